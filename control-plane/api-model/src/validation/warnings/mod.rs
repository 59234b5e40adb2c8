//! What is allowed and probably a mistake: the texts of upstream's `Warning` headers.
//!
//! Guarantees: what [`of`] says is upstream's text in upstream's order, and it never refuses anything. What it does not do: warn of
//! whole versions or kinds that go away (a request for them is told so, whatever it does), or of admission's opinions.

mod pod;

use super::names;
use super::place::Place;
use crate::resource::Resource;
use pod::{Found, deprecated_label};
use serde_json::Value;

const POD_NAMES: &str = "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended:";
const POD_HOSTNAME: &str = "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended:";

/// Warnings about a stored object, which was `old` before; `None` when it is new.
pub(super) fn of(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<String> {
    let mut found = Found::default();
    if resource.custom {
        return found.texts;
    }
    let at = Place::root(new);
    let created = old.is_none();
    match (resource.group.as_str(), resource.kind.as_str()) {
        // Pods are written often, and seldom by people: only new ones are looked at.
        ("", "Pod") if created => {
            name_of_pods(&at, POD_HOSTNAME, &mut found);
            pod::spec_and_metadata(&at, false, &mut found);
        }
        ("" | "apps" | "batch", _) => workload(&resource.kind, &at, old, &mut found),
        ("networking.k8s.io", "Ingress") if created => ingress(&at, &mut found),
        ("storage.k8s.io", "StorageClass") => topologies(&at, &mut found),
        _ => {}
    }
    found.texts
}

fn workload(kind: &str, at: &Place, old: Option<&Value>, found: &mut Found) {
    let spec = at.field("spec");
    // A change of labels or status says nothing new about the template.
    let changed = old.is_none_or(|old| old.get("spec") != Some(spec.value()));
    match kind {
        "ReplicationController" | "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet" | "Job" => {
            if old.is_none() {
                name_of_pods(at, POD_NAMES, found);
            }
            if changed {
                pod::spec_and_metadata(&spec.field("template"), true, found);
            }
            if kind == "StatefulSet" && spec.number("revisionHistoryLimit") < 0 {
                let why = "a negative value retains all historical revisions; a value >= 0 is recommended";
                found.at(&spec.field("revisionHistoryLimit"), why);
            }
            if kind == "Job" {
                many_indexes(&spec, found);
            }
        }
        "CronJob" if changed => {
            let job = spec.field("jobTemplate");
            pod::spec_and_metadata(&job.field("spec").field("template"), true, found);
        }
        "PodTemplate" if changed => pod::spec_and_metadata(&at.field("template"), true, found),
        "Service" => service(at, found),
        "PersistentVolume" => volume(at, found),
        "PersistentVolumeClaim" => storage_request(&spec, found),
        "ServiceAccount" => account(at, found),
        _ => {}
    }
}

fn name_of_pods(at: &Place, why: &str, found: &mut Found) {
    let problems = names::dns1123_label(at.field("metadata").text("name"));
    if !problems.is_empty() {
        found.texts.push(format!("{why} [{}]", problems.join(" ")));
    }
}

fn many_indexes(spec: &Place, found: &mut Found) {
    let many = spec.number("completions") > 100_000 && spec.number("parallelism") > 10_000;
    if spec.text("completionMode") == "Indexed" && many {
        let why = "In Indexed Jobs with a number of completions higher than 10^5 and parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail";
        found.at(spec, why);
    }
}

fn service(at: &Place, found: &mut Found) {
    let spec = at.field("spec");
    if spec.text("clusterIP") == "None" {
        let ignored = |field: &str| format!("spec.{field} is ignored when spec.clusterIP is \"None\"");
        if !spec.field("loadBalancerIP").is_empty() {
            found.texts.push(ignored("loadBalancerIP"));
        }
        if !spec.field("externalIPs").is_empty() {
            found.texts.push(ignored("externalIPs"));
        }
        if !matches!(spec.text("sessionAffinity"), "" | "None") {
            found.texts.push(ignored("SessionAffinity"));
        }
    }
    const OLD: &str = "service.kubernetes.io/topology-aware-hints";
    if at.field("metadata").field("annotations").has(OLD) {
        found.texts.push(format!(
            "annotation {OLD} is deprecated, please use service.kubernetes.io/topology-mode instead"
        ));
    }
}

fn ingress(at: &Place, found: &mut Found) {
    const CLASS: &str = "kubernetes.io/ingress.class";
    let annotated = at.field("metadata").field("annotations").has(CLASS);
    if annotated && !at.field("spec").has("ingressClassName") {
        found.texts.push(format!(
            "annotation \"{CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"
        ));
    }
}

fn account(at: &Place, found: &mut Found) {
    const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";
    let annotations = at.field("metadata");
    let annotations = annotations.field("annotations");
    if annotations.text(ENFORCE) == "true" {
        let why = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
        found.at(&annotations.key(ENFORCE), why);
    }
}

fn storage_request(spec: &Place, found: &mut Found) {
    let resources = spec.field("resources");
    found.fraction(&resources.field("requests"), "storage");
}

fn volume(at: &Place, found: &mut Found) {
    let metadata = at.field("metadata");
    let annotations = metadata.field("annotations");
    for (key, why) in [
        (
            "volume.beta.kubernetes.io/storage-class",
            "deprecated since v1.8; use \"storageClassName\" attribute instead",
        ),
        (
            "volume.beta.kubernetes.io/mount-options",
            "deprecated since v1.31; use \"mountOptions\" attribute instead",
        ),
    ] {
        if annotations.has(key) {
            found.at(&annotations.key(key), why);
        }
    }
    let spec = at.field("spec");
    let policy = spec.field("persistentVolumeReclaimPolicy");
    if policy.as_text() == "Recycle" {
        let why = "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.";
        found.at(&policy, why);
    }
    let affinity = spec.field("nodeAffinity");
    let required = affinity.field("required");
    for term in required.field("nodeSelectorTerms").items() {
        pod::node_term(&term, found);
    }
    pod::old_volume_sources(&spec, found);
    found.fraction(&spec.field("capacity"), "storage");
}

fn topologies(at: &Place, found: &mut Found) {
    for term in at.field("allowedTopologies").items() {
        for expression in term.field("matchLabelExpressions").items() {
            let key = expression.field("key");
            if let Some(why) = deprecated_label(key.as_text()) {
                found.at(&key, &format!("{} is {why}", key.as_text()));
            }
        }
    }
}
