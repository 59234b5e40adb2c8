//! Which pods are behind which service: endpoint slices, the older endpoints, and the mirror between them.

pub(crate) mod legacy;
pub(crate) mod mirror;
pub(crate) mod slices;
mod spread;

use std::sync::Arc;

use informers::objects::is_terminal;
use informers::selector::has_all;
use informers::{Change, Informer, Key, Queue};
use k8s_openapi::api::core::v1::{ObjectReference, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

const HEADLESS: &str = "service.kubernetes.io/headless";

/// The selector of a service that has one and is no mere name.
fn selector(service: &Service) -> Option<&informers::selector::Labels> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    spec.selector.as_ref().filter(|s| !s.is_empty())
}

fn is_headless(service: &Service) -> bool {
    service.spec.as_ref().and_then(|s| s.cluster_ip.as_deref()) == Some("None")
}

/// The pods a service selects that have an address and have not ended.
fn selected(service: &Service, pods: &Informer<Pod>) -> Vec<Arc<Pod>> {
    let Some(selector) = selector(service) else { return Vec::new() };
    let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
    let mut selected = pods.list_in(namespace);
    selected.retain(|pod| {
        pod.metadata.labels.as_ref().is_some_and(|labels| has_all(selector, labels))
            && !is_terminal(pod)
            && pod.status.as_ref().is_some_and(|s| s.pod_ip.as_deref().is_some_and(|ip| !ip.is_empty()))
    });
    selected
}

/// Services wake when they or one of their pods change.
fn wake(services: &Informer<Service>, pods: &Informer<Pod>, queue: &Queue<Key>) {
    services.enqueue_to(queue);
    let (services, queue) = (services.clone(), queue.clone());
    pods.subscribe(move |change| {
        if let Change::Updated(old, new) = change
            && !matters(old, new)
        {
            return;
        }
        let pod = change.object();
        for service in services.list_in(pod.metadata.namespace.as_deref().unwrap_or_default()) {
            let Some(selector) = selector(&service) else { continue };
            let hit = |pod: &Pod| pod.metadata.labels.as_ref().is_some_and(|l| has_all(selector, l));
            if hit(pod) || change.old().is_some_and(|old| hit(old)) {
                queue.add(Key::of(service.as_ref()));
            }
        }
    });
}

/// Whether a pod's change can change endpoints.
fn matters(old: &Pod, new: &Pod) -> bool {
    let facts = |pod: &Pod| {
        let status = pod.status.clone().unwrap_or_default();
        let spec = pod.spec.as_ref();
        (
            informers::objects::is_ready(pod),
            pod.metadata.deletion_timestamp.is_some(),
            (status.pod_ips, status.pod_ip, is_terminal(pod)),
            pod.metadata.labels.clone(),
            spec.map(|s| (s.node_name.clone(), s.hostname.clone(), s.subdomain.clone())),
        )
    };
    facts(old) != facts(new)
}

/// The number of the pod's port that a service port means.
fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(number)) if *number == 0 => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let spec = pod.spec.as_ref()?;
            let sidecars = spec
                .init_containers
                .iter()
                .flatten()
                .filter(|c| c.restart_policy.as_deref() == Some("Always"));
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            spec.containers
                .iter()
                .chain(sidecars)
                .flat_map(|c| c.ports.iter().flatten())
                .find(|p| p.name.as_ref() == Some(name) && p.protocol.as_deref().unwrap_or("TCP") == protocol)
                .map(|p| p.container_port)
        }
    }
}

fn pod_reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".into()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..Default::default()
    }
}

/// The pod's own name within the service's domain, if it asked for one.
fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    (spec.subdomain == service.metadata.name)
        .then(|| spec.hostname.clone())
        .flatten()
        .filter(|h| !h.is_empty())
}
