//! The Node's status: sent when it changed, and every five minutes anyway.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus,
    NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::Patch;
use serde_json::json;

use super::capacity;
use crate::events::Level;
use crate::runtime::Readiness;
use crate::shared::Shared;

const LOOK: Duration = Duration::from_secs(10);
const TELL_ANYWAY: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_secs(1);
/// As many images as upstream shows.
const IMAGES_MAX: usize = 50;

/// Keeps the status true for ever.
pub async fn keep(shared: Arc<Shared>) {
    let mut readiness = shared.readiness.subscribe();
    let mut told: Option<(NodeStatus, tokio::time::Instant)> = None;
    let api: Api<Node> = Api::all(shared.config.client.clone());
    loop {
        readiness.borrow_and_update();
        let before = told.as_ref().map(|(status, _)| status);
        let status = compute(&shared, before).await;
        let due = match &told {
            None => true,
            Some((before, at)) => at.elapsed() >= TELL_ANYWAY || bare(before) != bare(&status),
        };
        let mut wait = LOOK;
        if due {
            announce(&shared, before, &status);
            let (params, patch) = (crate::client::patch(), Patch::Strategic(json!({ "status": status })));
            match api.patch_status(&shared.config.node_name, &params, &patch).await {
                Ok(_) => told = Some((status, tokio::time::Instant::now())),
                Err(error) => {
                    tracing::warn!(error = %kit::Chain(&error), "failed to send the node's status");
                    // A Node that was deleted is not made again: its machine is on its way out.
                    let gone = matches!(&error, kube::Error::Api(status) if status.code == 404);
                    wait = if gone { LOOK } else { RETRY };
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            changed = readiness.changed() => if changed.is_err() { return },
        }
    }
}

/// A status without its heartbeats.
fn bare(status: &NodeStatus) -> NodeStatus {
    let mut status = status.clone();
    for condition in status.conditions.iter_mut().flatten() {
        condition.last_heartbeat_time = None;
    }
    status
}

fn ready_of(status: &NodeStatus) -> Option<&str> {
    let conditions = status.conditions.iter().flatten();
    conditions.filter(|one| one.type_ == "Ready").map(|one| one.status.as_str()).next()
}

fn announce(shared: &Shared, before: Option<&NodeStatus>, now: &NodeStatus) {
    let tell = |what: &'static str| {
        let message = format!("Node {} status is now: {what}", shared.config.node_name);
        shared.events.node(Level::Normal, what, message);
    };
    if before.is_none() {
        tell("NodeHasSufficientMemory");
        tell("NodeHasNoDiskPressure");
        tell("NodeHasSufficientPID");
        shared.events.node(
            Level::Normal,
            "NodeAllocatableEnforced",
            "Updated Node Allocatable limit across pods",
        );
    }
    let was = before.and_then(ready_of);
    match ready_of(now) {
        Some("True") if was != Some("True") => tell("NodeReady"),
        Some("False") if was == Some("True") => tell("NodeNotReady"),
        _ => {}
    }
}

/// The status now; `before` keeps the times of conditions that did not change.
pub async fn compute(shared: &Shared, before: Option<&NodeStatus>) -> NodeStatus {
    let config = &shared.config;
    let (capacity, allocatable) = capacity::lists(config);
    let address = |kind: &str, address: String| NodeAddress { type_: kind.into(), address };
    NodeStatus {
        capacity: Some(capacity),
        allocatable: Some(allocatable),
        conditions: Some(conditions(shared, before)),
        addresses: Some(vec![
            address("InternalIP", shared.host_ip()),
            address("Hostname", config.hostname.clone()),
        ]),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(config.listen.port()) }),
        }),
        node_info: Some(info(shared)),
        images: Some(images(shared).await),
        ..NodeStatus::default()
    }
}

fn conditions(shared: &Shared, before: Option<&NodeStatus>) -> Vec<NodeCondition> {
    let now = shared.config.clock.now();
    let now = Time(jiff::Timestamp::from_second(now.as_second()).unwrap_or(now));
    let Readiness { runtime, network } = shared.readiness.borrow().clone();
    let why: Vec<String> = [runtime, network]
        .into_iter()
        .flatten()
        .map(|why| {
            if why.starts_with("NetworkReady") {
                format!("container runtime network not ready: {why}")
            } else {
                why
            }
        })
        .collect();
    let ready = match why.is_empty() {
        true => ("Ready", "True", "KubeletReady", "kubelet is posting ready status".to_owned()),
        false => ("Ready", "False", "KubeletNotReady", why.join(", ")),
    };
    let calm = [
        (
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available".to_owned(),
        ),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure".to_owned()),
        (
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available".to_owned(),
        ),
        ready,
    ];
    calm.into_iter()
        .map(|(kind, status, reason, message)| {
            let old = before.and_then(|before| before.conditions.as_ref()).into_iter().flatten();
            let same = old.into_iter().find(|one| one.type_ == kind && one.status == status);
            NodeCondition {
                type_: kind.into(),
                status: status.into(),
                reason: Some(reason.into()),
                message: Some(message),
                last_heartbeat_time: Some(now.clone()),
                last_transition_time: same
                    .and_then(|one| one.last_transition_time.clone())
                    .or_else(|| Some(now.clone())),
            }
        })
        .collect()
}

fn info(shared: &Shared) -> NodeSystemInfo {
    let config = &shared.config;
    let line = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let kernel = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    // Stable over restarts, and another for each machine although they share a kernel.
    let own = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_DNS, config.node_name.as_bytes());
    let machine_id = Some(line("/etc/machine-id")).filter(|id| !id.is_empty());
    NodeSystemInfo {
        architecture: architecture().into(),
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: shared.runtime_version.clone(),
        kernel_version: kernel.unwrap_or_default(),
        // Upstream no longer tells the proxy's version.
        kube_proxy_version: String::new(),
        kubelet_version: format!("v{}", config.kubernetes_version),
        machine_id: machine_id.unwrap_or_else(|| own.simple().to_string()),
        operating_system: "linux".into(),
        os_image: config.os_image.clone(),
        system_uuid: own.to_string(),
        swap: None,
    }
}

async fn images(shared: &Shared) -> Vec<ContainerImage> {
    let mut images = shared.config.runtime.images().await.unwrap_or_default();
    images.sort_by_key(|image| std::cmp::Reverse(image.size));
    images
        .into_iter()
        .take(IMAGES_MAX)
        .map(|image| ContainerImage {
            names: Some(image.repo_digests.into_iter().chain(image.repo_tags).collect()),
            size_bytes: i64::try_from(image.size).ok(),
        })
        .collect()
}

/// The machine's architecture in Go's words.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
