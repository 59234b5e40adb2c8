//! What machines are made of here: the fabric, chosen at start.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use async_trait::async_trait;
use container_service::{ContainerService, ControlPlanes, RegistryMirror, Settings, Size, Sizes};
use fabric::linux::{LinuxConfig, LinuxFabric};
use fabric::{Booted, Fabric, ImdsTokens, MachineFiles, MachineId, MachineStarter, SimulatedFabric};
use kit::Tasks;

use crate::cli::{FabricChoice, why_only_simulated};
use crate::place::State;

/// How long nodes may take from boot to ready before their pool counts as failed.
const NODES_READY_LIMIT: std::time::Duration = std::time::Duration::from_secs(300);

/// The exit code of a machine that has nowhere to write.
const NO_DISK: i32 = 1;

/// The fabric, and what depends on which it is.
pub(super) struct Machines {
    pub(super) fabric: Arc<dyn Fabric>,
    linux: Option<Arc<LinuxFabric>>,
}

/// Opens the fabric that was asked for; `auto` is real where this machine can.
pub(super) async fn open(
    choice: FabricChoice,
    api: SocketAddr,
    state: &State,
    tasks: &Tasks,
) -> Result<Machines> {
    let reason = match choice {
        FabricChoice::Linux => None,
        FabricChoice::Simulated => Some("it was asked for".to_owned()),
        FabricChoice::Auto => why_only_simulated(),
    };
    if let Some(reason) = reason {
        tracing::info!(%reason, "nodes are simulated");
        let starter = SimulatedMachines { api, dir: state.join("machines"), tasks: tasks.clone() };
        let fabric = Arc::new(SimulatedFabric::new(Arc::new(starter), tasks.clone()));
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

/// A machine's "disk": keys and secret volumes are in it, so nobody else may look inside.
fn closed_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    // Only the last one is closed: real machines pass through those above it.
    if let Some(above) = dir.parent() {
        std::fs::create_dir_all(above)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
}

/// The disk of a machine's generation: the one that is there, else an empty one, as after a reimage.
fn disk(dir: &Path, generation: u64) -> std::io::Result<()> {
    let label = dir.join("generation");
    let wanted = generation.to_string();
    if std::fs::read_to_string(&label).is_ok_and(|found| found == wanted) {
        return closed_dir(dir);
    }
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    closed_dir(dir)?;
    std::fs::write(label, wanted)
}

/// Machines without processes: the join and a kubelet with a simulated runtime, as tasks of the service.
struct SimulatedMachines {
    /// Where the API servers listen on the host.
    api: SocketAddr,
    dir: PathBuf,
    tasks: Tasks,
}

#[async_trait]
impl MachineStarter for SimulatedMachines {
    async fn run(&self, files: MachineFiles, report: Booted) -> i32 {
        let directory = self.dir.join(files.id.as_str());
        if let Err(error) = disk(&directory, files.generation) {
            report.log(&format!("failed to make `{}`: {error}", directory.display()));
            return NO_DISK;
        }
        let machine = node_agent::simulated::Machine {
            directory,
            custom_data: files.custom_data,
            machine_json: files.machine_json,
            api_servers: self.api,
        };
        let log = report.clone();
        node_agent::simulated::run(machine, move |line| log.log(line), move || report.booted(), &self.tasks)
            .await
    }

    async fn keep_disks(&self, of: &BTreeSet<MachineId>) -> std::io::Result<()> {
        let (dir, of) = (self.dir.clone(), of.clone());
        tokio::task::spawn_blocking(move || keep_disks(&dir, &of)).await?
    }
}

/// Deletes the disks in `dir` that are of none of these machines.
fn keep_disks(dir: &Path, of: &BTreeSet<MachineId>) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let id = entry.file_name().to_str().and_then(MachineId::parse);
        if id.is_some_and(|id| !of.contains(&id)) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_keeps_its_disk_until_it_is_reimaged() {
        let dir = tempfile::tempdir().unwrap();
        let of = dir.path().join("machine");
        for (generation, kept) in [(0, false), (0, true), (1, false), (1, true)] {
            disk(&of, generation).unwrap();
            assert_eq!(of.join("kubelet.crt").exists(), kept, "generation {generation}");
            std::fs::write(of.join("kubelet.crt"), b"").unwrap();
        }
    }

    #[test]
    fn only_the_disks_of_machines_that_are_gone_are_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, gone) = (MachineId::of("kept"), MachineId::of("gone"));
        keep_disks(&dir.path().join("none"), &BTreeSet::new()).unwrap();
        for name in [kept.as_str(), gone.as_str(), "something-else"] {
            std::fs::create_dir_all(dir.path().join(name).join("kubelet")).unwrap();
        }
        keep_disks(dir.path(), &BTreeSet::from([kept.clone()])).unwrap();
        assert!(dir.path().join(kept.as_str()).exists() && dir.path().join("something-else").exists());
        assert!(!dir.path().join(gone.as_str()).exists());
    }
}
