//! The pod's conditions.

use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Input;
use crate::pod::spec::is_sidecar;

struct Said {
    status: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

fn yes() -> Said {
    Said { status: true, reason: None, message: None }
}

fn no(reason: &'static str, message: Option<String>) -> Said {
    Said { status: false, reason: Some(reason), message }
}

/// Whether an old status said so.
pub fn was_true(old: &PodStatus, kind: &str) -> bool {
    old.conditions.iter().flatten().any(|one| one.type_ == kind && one.status == "True")
}

/// The conditions the kubelet owns; others (`readinessGates`) stay as they are in the API.
pub fn conditions(
    input: &Input<'_>,
    old: &PodStatus,
    phase: &str,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
    initialized: bool,
) -> Vec<PodCondition> {
    let containers = containers_ready(input, phase, init, main);
    let ready = pod_ready(input, old, &containers);
    let has_sandbox = input.view.ready_sandbox().is_some()
        && (input.spec.host_network() || !input.view.addresses().is_empty());
    let said = [
        (
            "PodReadyToStartContainers",
            Said { status: has_sandbox && !input.over, reason: None, message: None },
        ),
        ("Initialized", initialized_condition(input, phase, init, initialized)),
        ("Ready", ready),
        ("ContainersReady", containers),
        ("PodScheduled", yes()),
    ];
    said.into_iter().map(|(kind, said)| condition(input, old, kind, said)).collect()
}

fn condition(input: &Input<'_>, old: &PodStatus, kind: &str, said: Said) -> PodCondition {
    let status = if said.status { "True" } else { "False" };
    let before = old.conditions.iter().flatten().find(|one| one.type_ == kind && one.status == status);
    let now = jiff::Timestamp::from_second(input.now.as_second()).unwrap_or(input.now);
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: said.reason.map(str::to_owned),
        message: said.message,
        last_probe_time: None,
        last_transition_time: before.and_then(|one| one.last_transition_time.clone()).or(Some(Time(now))),
        observed_generation: input.spec.pod.metadata.generation,
    }
}

fn initialized_condition(input: &Input<'_>, phase: &str, init: &[ContainerStatus], done: bool) -> Said {
    if done && phase == "Succeeded" && !init.is_empty() {
        return Said { reason: Some("PodCompleted"), ..yes() };
    }
    if done || init.is_empty() {
        return yes();
    }
    let unfinished: Vec<&str> = input
        .spec
        .init
        .iter()
        .zip(init)
        .filter(
            |(container, status)| {
                if is_sidecar(container) { status.started != Some(true) } else { !status.ready }
            },
        )
        .map(|(_, status)| status.name.as_str())
        .collect();
    no(
        "ContainersNotInitialized",
        Some(format!("containers with incomplete status: [{}]", unfinished.join(" "))),
    )
}

fn containers_ready(
    input: &Input<'_>,
    phase: &str,
    init: &[ContainerStatus],
    main: &[ContainerStatus],
) -> Said {
    match phase {
        "Succeeded" => return no("PodCompleted", None),
        "Failed" => return no("PodFailed", None),
        _ => {}
    }
    let sidecars = input.spec.init.iter().zip(init).filter(|(container, _)| is_sidecar(container));
    let needed = sidecars.map(|(_, status)| status).chain(main);
    let unready: Vec<&str> =
        needed.filter(|status| !status.ready).map(|status| status.name.as_str()).collect();
    if unready.is_empty() {
        return yes();
    }
    no("ContainersNotReady", Some(format!("containers with unready status: [{}]", unready.join(" "))))
}

fn pod_ready(input: &Input<'_>, old: &PodStatus, containers: &Said) -> Said {
    if !containers.status {
        return Said { status: false, reason: containers.reason, message: containers.message.clone() };
    }
    let gates = input.spec.spec().and_then(|pod| pod.readiness_gates.clone()).unwrap_or_default();
    let closed: Vec<String> = gates
        .iter()
        .filter(|gate| !was_true(old, &gate.condition_type))
        .map(|gate| {
            let known = old.conditions.iter().flatten().any(|one| one.type_ == gate.condition_type);
            match known {
                true => format!(
                    "the status of pod readiness gate {:?} is not \"True\", but False",
                    gate.condition_type
                ),
                false => format!(
                    "corresponding condition of pod readiness gate {:?} does not exist.",
                    gate.condition_type
                ),
            }
        })
        .collect();
    if closed.is_empty() { yes() } else { no("ReadinessGatesNotReady", Some(closed.join(", "))) }
}
