//! A node without a machine: the same documents, certificates, kubelet and tunnel, in the service's process.
//!
//! Guarantees: what the API server sees is what a real node shows, but for containers, which do not exist and say
//! so. Does not: run anything, carry packets, check outbound connectivity.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use kit::names::Names;
use serde_json::Value;

use crate::api::Endpoint;
use crate::boot::{kubelet_config, node_name, reach};
use crate::document::{Bootstrap, Facts, is_bootstrap};
use crate::error::{BootError, ExitCodes};
use crate::join::Joining;
use crate::keys::KeyFile;
use crate::report::Report;
use crate::tunnel;

/// What a simulated machine is given.
pub struct Machine {
    /// The bootstrap document.
    pub custom_data: Vec<u8>,
    /// The machine's identity.
    pub machine_json: Value,
    /// Where API servers really listen (routed by server name).
    pub api_servers: SocketAddr,
    /// A directory of its own, for certificates and the kubelet's files.
    pub directory: PathBuf,
}

/// Joins the cluster and stays until `tasks` stop (which is also how it is powered off), then 0; a failed boot
/// returns its exit code. `log` gets the lines of the serial log, `booted` is called when the node runs.
pub async fn run(
    machine: Machine,
    log: impl Fn(&str) + Send + Sync + 'static,
    booted: impl FnOnce() + Send,
    tasks: &kit::Tasks,
) -> i32 {
    let report = Report::new(log);
    // Dropped with this future: a powered-off machine leaves no task behind.
    let own = StopOnDrop(tasks.child());
    match join(machine, &report, &own.0).await {
        Ok(()) => {
            booted();
            tasks.stopped().await;
            ExitCodes::Stopped as i32
        }
        Err(error) => {
            let code = error.exit_code();
            report.line(&format!("boot failed with exit status {}: {}", code as u8, kit::Chain(&error)));
            code as i32
        }
    }
}

struct StopOnDrop(kit::Tasks);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

async fn join(machine: Machine, report: &Report, tasks: &kit::Tasks) -> Result<(), BootError> {
    let document = |name: &str, error: serde_json::Error| BootError::Document {
        path: name.into(),
        source: error.into(),
    };
    let facts: Facts =
        serde_json::from_value(machine.machine_json).map_err(|e| document("machine.json", e))?;
    if !is_bootstrap(&machine.custom_data) {
        report.line(&format!("{} (simulated) is of no cluster", facts.hostname));
        return Ok(());
    }
    let bootstrap: Bootstrap =
        serde_json::from_slice(&machine.custom_data).map_err(|e| document("custom-data", e))?;
    report.line(&format!("{} (simulated) joins {}", facts.hostname, bootstrap.fqdn));
    let names = Names::new();
    names.fix(&bootstrap.fqdn, machine.api_servers.ip());
    let mut endpoint = Endpoint::new(&bootstrap, names);
    endpoint.port = machine.api_servers.port();
    let clock: Arc<dyn kit::Clock> = Arc::new(kit::SystemClock);
    let joining = Joining {
        endpoint: endpoint.clone(),
        bootstrap_token: bootstrap.bootstrap_token.clone(),
        node_name: node_name(&facts),
        address: facts.address.into(),
        client_file: KeyFile(Some(machine.directory.join("kubelet-client.pem"))),
        serving_file: KeyFile(Some(machine.directory.join("kubelet-server.pem"))),
        clock: clock.clone(),
        report: report.clone(),
    };
    let joined = report.step("certificate", joining.join(tasks)).await?;
    let pods = facts.routed_prefixes.first().copied().unwrap_or(bootstrap.pod_cidr);
    let runtime = Arc::new(kubelet::runtime::simulated::Simulated::new(pods, clock));
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config =
        kubelet_config(&facts, &bootstrap, &joined, runtime, listen, machine.directory.join("kubelet"));
    let starting = async { kubelet::start(config, tasks).await.map_err(|e| BootError::Kubelet(e.into())) };
    let kubelet = report.step("kubelet", starting).await?;
    let reach = reach(&facts, &bootstrap, kubelet.address());
    tasks.spawn("tunnel", tunnel::keep(endpoint, joined.identity.clone(), reach));
    report.line("booted");
    Ok(())
}
