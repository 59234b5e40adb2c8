//! Which labels of its node a kubelet may not touch.

use std::collections::BTreeSet;

use serde_json::Value;

/// Labels of `kubernetes.io` that a kubelet may set itself.
const OWN: [&str; 11] = [
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
];

/// Whether a label is one that only administrators may set on nodes.
fn is_reserved(label: &str) -> bool {
    let Some((domain, _)) = label.split_once('/') else { return false };
    let under = |parent: &str| {
        domain == parent || domain.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
    };
    if under("node-restriction.kubernetes.io") {
        return true;
    }
    if OWN.contains(&label) || under("kubelet.kubernetes.io") || under("node.kubernetes.io") {
        return false;
    }
    under("kubernetes.io") || under("k8s.io")
}

/// The reserved labels that differ, in order.
pub(super) fn forbidden(new: &Value, old: Option<&Value>) -> Vec<String> {
    let of = |object: &Value| crate::admission::labels(object).cloned().unwrap_or_default();
    let (new, old) = (of(new), old.map(of).unwrap_or_default());
    let names: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    let differs = |label: &&String| new.get(*label) != old.get(*label);
    names.into_iter().filter(differs).filter(|label| is_reserved(label)).cloned().collect()
}
