//! Warnings about pods and about what pods are made from.

use std::collections::{BTreeMap, BTreeSet};

use super::super::place::Place;
use serde_json::Value;

/// What was found, in order.
#[derive(Default)]
pub(super) struct Found {
    pub texts: Vec<String>,
}

impl Found {
    pub fn at(&mut self, place: &Place, why: &str) {
        self.texts.push(format!("{}: {why}", place.path()));
    }

    /// An amount of bytes that is no whole number of them.
    pub fn fraction(&mut self, amounts: &Place, name: &'static str) {
        let amount = amounts.field(name);
        let Some(quantity) = amount.as_quantity().filter(|quantity| quantity.milli_value() % 1000 != 0)
        else {
            return;
        };
        let shown = quantity.canonical();
        self.at(
            &amounts.key(name),
            &format!("fractional byte value {shown:?} is invalid, must be an integer"),
        );
    }
}

/// What to use instead of a label of nodes that goes away.
pub(super) fn deprecated_label(label: &str) -> Option<&'static str> {
    Some(match label {
        "beta.kubernetes.io/arch" => r#"deprecated since v1.14; use "kubernetes.io/arch" instead"#,
        "beta.kubernetes.io/os" => r#"deprecated since v1.14; use "kubernetes.io/os" instead"#,
        "failure-domain.beta.kubernetes.io/region" => {
            r#"deprecated since v1.17; use "topology.kubernetes.io/region" instead"#
        }
        "failure-domain.beta.kubernetes.io/zone" => {
            r#"deprecated since v1.17; use "topology.kubernetes.io/zone" instead"#
        }
        "beta.kubernetes.io/instance-type" => {
            r#"deprecated since v1.17; use "node.kubernetes.io/instance-type" instead"#
        }
        _ => return None,
    })
}

const ANNOTATIONS: [(&str, &str); 3] = [
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        r#"non-functional in v1.16+; use the "priorityClassName" field instead"#,
    ),
    ("security.alpha.kubernetes.io/sysctls", r#"non-functional in v1.11+; use the "sysctls" field instead"#),
    (
        "security.alpha.kubernetes.io/unsafe-sysctls",
        r#"non-functional in v1.11+; use the "sysctls" field instead"#,
    ),
];

const POD_SECCOMP: &str = "seccomp.security.alpha.kubernetes.io/pod";
const CONTAINER_SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";
const CONTAINER_APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const USE_SECCOMP: &str = r#"non-functional in v1.27+; use the "seccompProfile" field instead"#;
const USE_APPARMOR: &str = r#"deprecated since v1.30; use the "appArmorProfile" field instead"#;
const NO_MATCH: &str = "a null labelSelector results in matching no pod";

/// A pod, or a template of one.
pub(super) fn spec_and_metadata(at: &Place, is_template: bool, found: &mut Found) {
    let (spec, metadata) = (at.field("spec"), at.field("metadata"));
    placement(&spec, found);
    let annotations = metadata.field("annotations");
    for (key, why) in ANNOTATIONS {
        if annotations.has(key) {
            found.at(&annotations.key(key), why);
        }
    }
    for volume in spec.field("volumes").items() {
        old_volume_sources(&volume, found);
    }
    twice(&spec.field("hostAliases"), "ip", "ip", found);
    let secrets = spec.field("imagePullSecrets");
    twice(&secrets, "name", "name", found);
    for secret in secrets.items().filter(|secret| secret.text("name").is_empty()) {
        found.at(&secret.field("name"), "invalid empty name \"\"");
    }
    let overhead = spec.field("overhead");
    for name in ["memory", "ephemeral-storage"] {
        found.fraction(&overhead, name);
    }
    let context = spec.field("securityContext");
    if !context.has("seccompProfile") && annotations.has(POD_SECCOMP) {
        found.at(&annotations.key(POD_SECCOMP), USE_SECCOMP);
    }
    let pod_confined = context.has("appArmorProfile") || !is_template;
    each_container(&spec, &mut |container| container_warnings(container, &annotations, pod_confined, found));
    ports(&spec, found);
    if spec.some_number("terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        let why = "must be >= 0; negative values are invalid and will be treated as 1";
        found.at(&spec.field("terminationGracePeriodSeconds"), why);
    }
    let affinity = spec.field("affinity");
    for kind in ["podAffinity", "podAntiAffinity"] {
        let terms = affinity.field(kind);
        for term in terms.field("requiredDuringSchedulingIgnoredDuringExecution").items() {
            selects_something(&term, found);
        }
        for term in terms.field("preferredDuringSchedulingIgnoredDuringExecution").items() {
            selects_something(&term.field("podAffinityTerm"), found);
        }
    }
}

fn selects_something(term: &Place, found: &mut Found) {
    if !term.has("labelSelector") {
        found.at(&term.field("labelSelector"), NO_MATCH);
    }
}

fn placement(spec: &Place, found: &mut Found) {
    for (label, place) in spec.field("nodeSelector").entries() {
        if let Some(why) = deprecated_label(label) {
            found.at(&place, why);
        }
    }
    let affinity = spec.field("affinity");
    let affinity = affinity.field("nodeAffinity");
    let required = affinity.field("requiredDuringSchedulingIgnoredDuringExecution");
    for term in required.field("nodeSelectorTerms").items() {
        node_term(&term, found);
    }
    for preferred in affinity.field("preferredDuringSchedulingIgnoredDuringExecution").items() {
        node_term(&preferred.field("preference"), found);
    }
    for constraint in spec.field("topologySpreadConstraints").items() {
        let key = constraint.field("topologyKey");
        if let Some(why) = deprecated_label(key.as_text()) {
            found.at(&key, &format!("{} is {why}", key.as_text()));
        }
        selects_something(&constraint, found);
    }
}

/// The labels a term selects nodes by.
pub(super) fn node_term(term: &Place, found: &mut Found) {
    for expression in term.field("matchExpressions").items() {
        let key = expression.field("key");
        if let Some(why) = deprecated_label(key.as_text()) {
            found.at(&key, &format!("{} is {why}", key.as_text()));
        }
    }
}

/// Sources that no kubelet mounts any more, in a volume of a pod or a persistent volume.
pub(super) fn old_volume_sources(volume: &Place, found: &mut Found) {
    for (source, why) in [
        ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
        ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
        ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
        ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
        ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
        ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
        ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
        ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ] {
        if volume.has(source) {
            let shown = if source == "storageos" { "storageOS" } else { source };
            found.at(&volume.field_as(source, shown), why);
        }
    }
}

fn twice(list: &Place, field: &'static str, what: &str, found: &mut Found) {
    let mut seen = BTreeSet::new();
    for item in list.items() {
        if !seen.insert(item.text(field)) {
            found.at(&item.field(field), &format!("duplicate {what} {:?}", item.text(field)));
        }
    }
}

/// Init containers first, as upstream walks them.
fn each_container(spec: &Place, visit: &mut dyn FnMut(&Place)) {
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        spec.field(list).items().for_each(|container| visit(&container));
    }
}

fn container_warnings(container: &Place, annotations: &Place, pod_confined: bool, found: &mut Found) {
    let (name, context) = (container.text("name"), container.field("securityContext"));
    let mut annotated = |prefix: &str, why: &str| {
        let key = format!("{prefix}{name}");
        if annotations.has(&key) {
            found.texts.push(format!("{}: {why}", annotations.path().key(&key)));
        }
    };
    // Most pods have none.
    if !annotations.is_empty() {
        if !context.has("seccompProfile") {
            annotated(CONTAINER_SECCOMP, USE_SECCOMP);
        }
        if !pod_confined && !context.has("appArmorProfile") {
            annotated(CONTAINER_APPARMOR, USE_APPARMOR);
        }
    }
    let resources = container.field("resources");
    for amount in ["memory", "ephemeral-storage"] {
        for list in ["limits", "requests"] {
            found.fraction(&resources.field(list), amount);
        }
    }
    hidden_variables(&container.field("env"), found);
}

fn hidden_variables(env: &Place, found: &mut Found) {
    let mut seen = BTreeSet::new();
    for variable in env.items() {
        let name = variable.text("name");
        if seen.insert(name) {
            continue;
        }
        // Building on the value before is what repeating a name is for.
        let before = format!("$({name})");
        let value = variable.text("value");
        if variable.has("valueFrom") || value == before || !value.contains(&before) {
            let why = format!("hides previous definition of {name:?}, which may be dropped when using apply");
            found.at(&variable, &why);
        }
    }
}

struct Port<'o> {
    path: String,
    host_ip: &'o str,
    host_port: i64,
}

fn ports(spec: &Place, found: &mut Found) {
    let mut all: BTreeMap<(i64, String), Vec<Port<'_>>> = BTreeMap::new();
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.field(list).items() {
            for port in container.field("ports").items() {
                port_warnings(&port, &mut all, found);
            }
        }
    }
}

fn port_warnings<'o>(
    port: &Place<'o, '_>,
    all: &mut BTreeMap<(i64, String), Vec<Port<'o>>>,
    found: &mut Found,
) {
    let this = Port {
        path: port.path().to_string(),
        host_ip: port.value().get("hostIP").and_then(Value::as_str).unwrap_or_default(),
        host_port: port.number("hostPort"),
    };
    let others = all.entry((port.number("containerPort"), port.text("protocol").to_owned())).or_default();
    for other in others.iter() {
        let kind = if this.host_ip == other.host_ip && this.host_port == other.host_port {
            "duplicate"
        } else if this.host_port == 0 || other.host_port == 0 {
            "overlapping"
        } else if this.host_port == other.host_port && (this.host_ip.is_empty() != other.host_ip.is_empty()) {
            "dangerously ambiguous"
        } else {
            continue;
        };
        found.texts.push(format!("{}: {kind} port definition with {}", this.path, other.path));
    }
    others.push(this);
}
