//! The boot of a real machine.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use kit::files::{Readers, read, write_atomic};
use kit::names::Names;
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};

use crate::acr::AcrCredentials;
use crate::api::Endpoint;
use crate::document::{Bootstrap, Facts, is_bootstrap};
use crate::error::{BootError, Cause, ExitCodes};
use crate::join::{Joined, Joining};
use crate::keys::KeyFile;
use crate::report::Report;
use crate::tunnel::Reach;
use crate::{checks, cloud_config, containerd, images, network, tunnel};

const MACHINE: &str = "/var/lib/waagent/machine.json";
const CUSTOM_DATA: &str = "/var/lib/waagent/custom-data";
const PKI: &str = "/var/lib/kubelet/pki";
const BOOTED: &str = "/run/lazurite/booted";
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Boots this machine and runs it until it is told to stop. The exit code is AKS's.
pub async fn boot() -> ExitCode {
    let report = Report::new(|line| println!("{line}"));
    let tasks = kit::Tasks::new();
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        report.line("failed to listen for signals");
        return ExitCode::FAILURE;
    };
    let up = tokio::select! {
        up = up(&report, &tasks) => up,
        _ = terminate.recv() => return ExitCode::from(ExitCodes::Stopped as u8),
    };
    if let Err(error) = up {
        let code = error.exit_code();
        report.line(&format!("boot failed with exit status {}: {}", code as u8, kit::Chain(&error)));
        tasks.drain(STOP_LIMIT).await;
        return ExitCode::from(code as u8);
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    report.line("stopping");
    tasks.drain(STOP_LIMIT).await;
    ExitCode::from(ExitCodes::Stopped as u8)
}

fn document<T: DeserializeOwned>(path: &str) -> Result<T, BootError> {
    let path = PathBuf::from(path);
    let parsed = read(&path).map_err(Cause::from).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    parsed.map_err(|source| BootError::Document { path, source })
}

async fn up(report: &Report, tasks: &kit::Tasks) -> Result<(), BootError> {
    let facts: Facts = document(MACHINE)?;
    if !read(Path::new(CUSTOM_DATA)).is_ok_and(|data| is_bootstrap(&data)) {
        report.line(&format!("{} at {} is of no cluster", facts.hostname, facts.address));
        return tell_booted(report);
    }
    let bootstrap: Bootstrap = document(CUSTOM_DATA)?;
    report.line(&format!("{} at {} joins {}", facts.hostname, facts.address, bootstrap.fqdn));
    let runtime = async {
        let (own, document) = (facts.clone(), bootstrap.clone());
        let set_up = blocking(BootError::Network, move || network::set_up(Path::new("/"), &own, &document));
        report.step("network of pods", set_up).await?;
        let (own, document) = (facts.clone(), bootstrap.clone());
        let start = async {
            blocking(BootError::Containerd, move || {
                cloud_config::write(Path::new("/"), &own, &document)?;
                containerd::configure(Path::new("/"), &document)
            })
            .await?;
            containerd::start(tasks).await
        };
        report.step("containerd", start).await?;
        report.step("images", images::import()).await
    };
    let join = async {
        let names = Names::new();
        let endpoint = Endpoint::new(&bootstrap, names.clone());
        report.step("outbound connectivity", checks::outbound(&names)).await?;
        report.step("API server name", checks::name(&endpoint)).await?;
        report.step("API server", checks::api_server(&endpoint)).await?;
        report.step("certificate", joining(&facts, &bootstrap, endpoint, report).join(tasks)).await
    };
    let (_, joined) = tokio::try_join!(runtime, join)?;
    tasks.spawn("images", images::keep());
    report.step("kubelet", run(&facts, &bootstrap, joined, tasks)).await?;
    tell_booted(report)
}

fn tell_booted(report: &Report) -> Result<(), BootError> {
    let now = jiff::Timestamp::now().to_string();
    write_atomic(Path::new(BOOTED), now.as_bytes(), Readers::Everyone)
        .map_err(|e| BootError::Kubelet(e.into()))?;
    report.line("booted");
    Ok(())
}

/// Work with files and programs, beside the join and not in its way.
async fn blocking(
    failed: impl FnOnce(Cause) -> BootError,
    work: impl FnOnce() -> Result<(), BootError> + Send + 'static,
) -> Result<(), BootError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(failed(error.into())),
    }
}

fn joining(facts: &Facts, bootstrap: &Bootstrap, endpoint: Endpoint, report: &Report) -> Joining {
    Joining {
        endpoint,
        bootstrap_token: bootstrap.bootstrap_token.clone(),
        node_name: node_name(facts),
        address: IpAddr::V4(facts.address),
        client_file: KeyFile(Some(Path::new(PKI).join("kubelet-client-current.pem"))),
        serving_file: KeyFile(Some(Path::new(PKI).join("kubelet-server-current.pem"))),
        clock: Arc::new(kit::SystemClock),
        report: report.clone(),
    }
}

pub(crate) fn node_name(facts: &Facts) -> String {
    facts.hostname.to_ascii_lowercase()
}

/// A kubelet's configuration, the same for real and simulated nodes but for what they pass.
pub(crate) fn kubelet_config(
    facts: &Facts,
    bootstrap: &Bootstrap,
    joined: &Joined,
    runtime: Arc<dyn kubelet::runtime::Runtime>,
    listen: SocketAddr,
    root_dir: PathBuf,
) -> kubelet::Config {
    kubelet::Config {
        node_name: node_name(facts),
        node_address: IpAddr::V4(facts.address),
        hostname: facts.hostname.clone(),
        provider_id: None,
        labels: bootstrap.labels.clone(),
        taints: bootstrap.parsed_taints(),
        max_pods: bootstrap.max_pods,
        client: joined.transport.client(),
        kubernetes_version: bootstrap.kubernetes_version.clone(),
        serving: joined.serving.clone(),
        client_ca_pem: bootstrap.ca_pem.clone(),
        runtime,
        pod_log_dir: root_dir.join("logs"),
        root_dir,
        cluster_dns: vec![IpAddr::V4(bootstrap.dns_service_ip)],
        cluster_domain: bootstrap.cluster_domain.clone(),
        listen,
        cpus: facts.cpus,
        memory_bytes: facts.memory_bytes,
        ephemeral_storage_bytes: 128 << 30,
        os_image: "Linux".into(),
        cgroup_root: None,
        clock: Arc::new(kit::SystemClock),
        credentials: None,
    }
}

/// Where streams of the tunnel may go on this node.
pub(crate) fn reach(facts: &Facts, bootstrap: &Bootstrap, kubelet: SocketAddr) -> Reach {
    Reach {
        node: vec![node_name(facts), facts.address.to_string()],
        kubelet,
        inside: vec![bootstrap.pod_cidr, bootstrap.service_cidr],
    }
}

async fn run(
    facts: &Facts,
    bootstrap: &Bootstrap,
    joined: Joined,
    tasks: &kit::Tasks,
) -> Result<(), BootError> {
    let runtime = Arc::new(kubelet::runtime::cri::Cri::new(Path::new(containerd::SOCKET)));
    let listen = SocketAddr::from(([0, 0, 0, 0], 10250));
    let mut config = kubelet_config(facts, bootstrap, &joined, runtime, listen, "/var/lib/kubelet".into());
    config.pod_log_dir = "/var/log/pods".into();
    config.cgroup_root = Some("/sys/fs/cgroup".into());
    config.os_image = os_image();
    let own = AcrCredentials::new(bootstrap, Names::new());
    config.credentials = own.map(|own| Arc::new(own) as Arc<dyn kubelet::ImageCredentials>);
    if let Ok(disk) = nix::sys::statvfs::statvfs("/var") {
        config.ephemeral_storage_bytes = disk.blocks() * disk.fragment_size();
    }
    let kubelet = kubelet::start(config, tasks).await.map_err(|e| BootError::Kubelet(e.into()))?;
    let proxy = kube_proxy::Config {
        node_name: node_name(facts),
        node_address: facts.address,
        pod_cidr: bootstrap.pod_cidr,
        health: Some(SocketAddr::from(([0, 0, 0, 0], 10256))),
    };
    kube_proxy::start(joined.transport.client(), proxy, tasks);
    let endpoint = Endpoint::new(bootstrap, Names::new());
    let reach = reach(facts, bootstrap, kubelet.address());
    tasks.spawn("tunnel", tunnel::keep(endpoint, joined.identity.clone(), reach));
    Ok(())
}

fn os_image() -> String {
    let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".into(), |name| name.trim_matches('"').to_owned())
}
