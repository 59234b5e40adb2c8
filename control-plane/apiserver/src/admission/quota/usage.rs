//! What one object takes.

use std::collections::BTreeSet;

use api_model::quantity::Quantity;
use serde_json::Value;

use crate::admission::resources::{Amounts, of_pod_with_overhead, quantity};
use crate::attributes::{Part, items, qualified, text};

/// Compute resources that every container must state when they are under quota.
const MUST_BE_STATED: [&str; 6] =
    ["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];
const OWN: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// The group and plural whose objects use a resource under quota.
pub(super) fn counted(resource: &str) -> (&str, &str) {
    if let Some(rest) = resource.strip_prefix("count/") {
        let (plural, group) = rest.split_once('.').unwrap_or((rest, ""));
        return (group, plural);
    }
    match resource {
        "services.nodeports" | "services.loadbalancers" => ("", "services"),
        "requests.storage" => ("", "persistentvolumeclaims"),
        "services"
        | "configmaps"
        | "secrets"
        | "persistentvolumeclaims"
        | "replicationcontrollers"
        | "resourcequotas" => ("", resource),
        storage if storage.contains(".storageclass.storage.k8s.io/") => ("", "persistentvolumeclaims"),
        class if class.ends_with(".deviceclass.resource.k8s.io/devices") => {
            ("resource.k8s.io", "resourceclaims")
        }
        _ => ("", "pods"),
    }
}

/// What an object takes, by the names that quotas use.
pub(super) fn of(group: &str, plural: &str, object: &Value) -> Amounts {
    let one = Quantity::from_int(1);
    let mut usage = Amounts::from([(format!("count/{}", qualified(group, plural)), one)]);
    match (group, plural) {
        ("", "pods") => pod(object, &mut usage),
        ("", "services") => service(object, &mut usage),
        ("", "persistentvolumeclaims") => claim(object, &mut usage),
        ("", "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas") => {
            usage.insert(plural.to_owned(), one);
        }
        ("resource.k8s.io", "resourceclaims") => devices(object, &mut usage),
        _ => {}
    }
    usage
}

fn pod(pod: &Value, usage: &mut Amounts) {
    // `count/pods` counts what is stored; everything else what has not ended.
    if matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        return;
    }
    usage.insert("pods".into(), Quantity::from_int(1));
    for (name, amount) in of_pod_with_overhead(pod, "requests") {
        if OWN.contains(&name.as_str()) || name.starts_with("hugepages-") {
            usage.insert(format!("requests.{name}"), amount);
            usage.insert(name, amount);
        } else if name.contains('/') {
            usage.insert(format!("requests.{name}"), amount);
        }
    }
    for (name, amount) in of_pod_with_overhead(pod, "limits") {
        if OWN.contains(&name.as_str()) {
            usage.insert(format!("limits.{name}"), amount);
        }
    }
}

fn service(service: &Value, usage: &mut Amounts) {
    let ports = items(service, "/spec/ports");
    let stated = ports.iter().filter(|port| port["nodePort"].as_u64().unwrap_or(0) != 0).count();
    let allocates = service.part("/spec/allocateLoadBalancerNodePorts") != Some(&Value::Bool(false));
    let (node_ports, balancers) = match text(service, "/spec/type") {
        "NodePort" => (ports.len(), 0),
        "LoadBalancer" => (if allocates { ports.len() } else { stated }, 1),
        _ => (0, 0),
    };
    let count = |number: usize| Quantity::from_int(i64::try_from(number).unwrap_or(i64::MAX));
    usage.insert("services".into(), count(1));
    usage.insert("services.nodeports".into(), count(node_ports));
    usage.insert("services.loadbalancers".into(), count(balancers));
}

fn claim(claim: &Value, usage: &mut Amounts) {
    let one = Quantity::from_int(1);
    let of = |pointer| claim.part(pointer).and_then(quantity).unwrap_or(Quantity::ZERO);
    let size = of("/spec/resources/requests/storage").max(of("/status/allocatedResources/storage"));
    usage.insert("persistentvolumeclaims".into(), one);
    usage.insert("requests.storage".into(), size);
    let annotated = text(claim, "/metadata/annotations/volume.beta.kubernetes.io~1storage-class");
    let class = if annotated.is_empty() { text(claim, "/spec/storageClassName") } else { annotated };
    if !class.is_empty() {
        usage.insert(format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims"), one);
        usage.insert(format!("{class}.storageclass.storage.k8s.io/requests.storage"), size);
    }
}

fn devices(claim: &Value, usage: &mut Amounts) {
    let mut ask = |exactly: &Value| {
        let class = text(exactly, "/deviceClassName");
        if class.is_empty() {
            return;
        }
        let count = match text(exactly, "/allocationMode") {
            // As many as one result can hold.
            "All" => 32,
            _ => exactly["count"].as_i64().unwrap_or(1),
        };
        let name = format!("{class}.deviceclass.resource.k8s.io/devices");
        let before = usage.get(&name).copied().unwrap_or(Quantity::ZERO);
        usage.insert(name, before.add(&Quantity::from_int(count)));
    };
    for request in items(claim, "/spec/devices/requests") {
        match request.get("exactly") {
            Some(exactly) => ask(exactly),
            // The first that fits is taken, so each may be.
            None => items(request, "/firstAvailable").iter().for_each(&mut ask),
        }
    }
}

/// Which of the resources under quota containers do not state, in upstream's words; empty when none.
pub(super) fn unspecified<'h>(hard: impl Iterator<Item = &'h String>, pod: &Value) -> String {
    let names: BTreeSet<&str> =
        hard.map(String::as_str).filter(|name| MUST_BE_STATED.contains(name)).collect();
    let mut missing = Vec::new();
    for resource in names {
        let (field, name) = resource.split_once('.').unwrap_or(("requests", resource));
        let states = |container: &&Value| container.part(&format!("/resources/{field}/{name}")).is_some();
        let without: BTreeSet<&str> = crate::admission::containers(pod)
            .filter(|one| !states(one))
            .map(|one| text(one, "/name"))
            .collect();
        if !without.is_empty() {
            missing.push(format!("{resource} for: {}", without.into_iter().collect::<Vec<_>>().join(",")));
        }
    }
    missing.join("; ")
}
