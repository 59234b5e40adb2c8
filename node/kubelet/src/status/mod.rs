//! A pod's status: computed from what runs ([`compute`]), sent when it changed ([`writer`]).

mod conditions;
mod container;
mod phase;
pub mod writer;

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, HostIP, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::image::Waits;
use crate::pod::plan::initialized;
use crate::pod::resources::qos;
use crate::pod::spec::{Kind, Spec};
use crate::pod::view::View;
use crate::probe::Verdicts;

/// Why a pod ended as a whole, whatever its containers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// `DeadlineExceeded`, …
    pub reason: &'static str,
    /// More words.
    pub message: String,
}

/// Everything a status follows from.
pub struct Input<'a> {
    /// The pod; its old status keeps what does not change.
    pub spec: &'a Spec,
    /// What runs.
    pub view: &'a View,
    /// What probes found.
    pub verdicts: &'a Verdicts,
    /// Why containers wait, by name.
    pub waits: &'a HashMap<String, Waits>,
    /// Last words of ended containers, by id.
    pub messages: &'a HashMap<String, String>,
    /// Addresses found so far (kept after the sandbox is gone).
    pub addresses: &'a [String],
    /// The node's address.
    pub host_ip: &'a str,
    /// When the kubelet first saw the pod.
    pub first_seen: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// The pod ended as a whole.
    pub ended: Option<&'a Ended>,
    /// All containers are stopped and none will start again.
    pub over: bool,
    /// `containerd`, the scheme of container ids.
    pub runtime_name: &'a str,
}

/// Computes a status.
pub fn compute(input: &Input<'_>) -> PodStatus {
    let spec = input.spec;
    let old = spec.pod.status.clone().unwrap_or_default();
    let done = initialized(spec, input.view, input.verdicts)
        || (input.over && conditions::was_true(&old, "Initialized"));
    let list = |kind: Kind| -> Vec<ContainerStatus> {
        spec.list(kind).iter().map(|container| container::status(input, kind, container, done)).collect()
    };
    let (init, main, ephemeral) = (list(Kind::Init), list(Kind::Main), list(Kind::Ephemeral));
    let mut phase = match input.ended {
        Some(_) => "Failed",
        None => phase::phase(spec, &init, &main, input.over),
    };
    if let Some(before @ ("Succeeded" | "Failed")) = old.phase.as_deref() {
        phase = if before == "Failed" { "Failed" } else { "Succeeded" };
    }
    let conditions = conditions::conditions(input, &old, phase, &init, &main, done);
    let some = |list: Vec<ContainerStatus>| (!list.is_empty()).then_some(list);
    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions),
        host_ip: Some(input.host_ip.to_owned()),
        host_ips: Some(vec![HostIP { ip: input.host_ip.to_owned() }]),
        pod_ip: input.addresses.first().cloned(),
        pod_ips: (!input.addresses.is_empty())
            .then(|| input.addresses.iter().map(|ip| PodIP { ip: ip.clone() }).collect()),
        start_time: old.start_time.or(Some(Time(input.first_seen))),
        init_container_statuses: some(init),
        container_statuses: some(main),
        ephemeral_container_statuses: some(ephemeral),
        qos_class: old.qos_class.or_else(|| Some(qos(&spec.pod).name().to_owned())),
        observed_generation: spec.pod.metadata.generation,
        reason: input.ended.map(|ended| ended.reason.to_owned()).or(old.reason),
        message: input.ended.map(|ended| ended.message.clone()).or(old.message),
        ..PodStatus::default()
    }
}

#[cfg(test)]
mod tests;
