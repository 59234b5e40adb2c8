//! What a managed namespace may say, with AKS's defaults.

use arm::{Resource, ResourceId};
use serde_json::{Map, Value, json};

use crate::fault::Fault;
use crate::json::text;

/// Namespaces of the system, which AKS lets nobody manage.
const SYSTEM: [&str; 15] = [
    "default",
    "kube-system",
    "kube-node-lease",
    "kube-public",
    "gatekeeper-system",
    "cert-manager",
    "calico-system",
    "tigera-system",
    "app-routing-system",
    "aks-istio-system",
    "istio-system",
    "dapr-system",
    "flux-system",
    "prometheus-system",
    "eraser-system",
];
/// The label that every Namespace has; AKS shows it too.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";
const RULES: [&str; 3] = ["DenyAll", "AllowAll", "AllowSameNamespace"];
const ADOPTION: [&str; 3] = ["Never", "IfIdentical", "Always"];
const DELETION: [&str; 2] = ["Keep", "Delete"];
const LABEL_LENGTH_MAX: usize = 63;
const PREFIX_LENGTH_MAX: usize = 253;
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
const MEMORY_UNITS: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The properties of a namespace as they are stored, from what a client sent.
pub(super) fn properties(id: &ResourceId, wish: &Value, cluster: &Resource) -> Result<Value, Fault> {
    check_name(id.name())?;
    let mut labels = texts(wish, "labels")?;
    labels.iter().try_for_each(|(key, value)| check_label(key, value.as_str().unwrap_or_default()))?;
    labels.insert(NAME_LABEL.to_owned(), json!(id.name()));
    let annotations = texts(wish, "annotations")?;
    check_annotations(&annotations)?;
    let rule = |direction: &str, default: &'static str| {
        let path = format!("/defaultNetworkPolicy/{direction}");
        choice(wish, &path, &format!("defaultNetworkPolicy.{direction}"), &RULES, default)
    };
    let mut made = json!({
        "labels": labels,
        "defaultNetworkPolicy": {
            "ingress": rule("ingress", "AllowSameNamespace")?,
            "egress": rule("egress", "AllowAll")?,
        },
        "adoptionPolicy": choice(wish, "/adoptionPolicy", "adoptionPolicy", &ADOPTION, "Never")?,
        "deletePolicy": choice(wish, "/deletePolicy", "deletePolicy", &DELETION, "Keep")?,
    });
    if !annotations.is_empty() {
        made["annotations"] = Value::Object(annotations);
    }
    let quota = quota(wish)?;
    if !quota.is_empty() {
        made["defaultResourceQuota"] = Value::Object(quota);
    }
    if let Some(name) = cluster.properties.get("azurePortalFQDN") {
        made["portalFqdn"] = name.clone();
    }
    Ok(made)
}

fn check_name(name: &str) -> Result<(), Fault> {
    if SYSTEM.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(Fault::parameter(
            "managedNamespaceName",
            format!("namespace '{name}' is used by system components and cannot be managed"),
        ));
    }
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let inner = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if name.len() <= LABEL_LENGTH_MAX && inner && edge(name.chars().next()) && edge(name.chars().last()) {
        return Ok(());
    }
    Err(Fault::parameter(
        "managedNamespaceName",
        format!(
            "'{name}' must consist of 1 to {LABEL_LENGTH_MAX} lower case letters, digits and '-', with a letter or a \
             digit at both ends"
        ),
    ))
}

/// A map of texts; none and empty are the same.
fn texts(wish: &Value, member: &str) -> Result<Map<String, Value>, Fault> {
    match wish.get(member) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) if map.values().all(Value::is_string) => Ok(map.clone()),
        Some(_) => Err(Fault::parameter(member, "it must be an object whose values are strings")),
    }
}

/// Letters, digits, `-`, `_` and `.`, a letter or digit at both ends.
fn is_qualified(part: &str, longest: usize) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    part.len() <= longest
        && edge(part.chars().next())
        && edge(part.chars().last())
        && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => {
            is_qualified(prefix, PREFIX_LENGTH_MAX) && is_qualified(name, LABEL_LENGTH_MAX)
        }
        None => is_qualified(key, LABEL_LENGTH_MAX),
    }
}

fn check_label(key: &str, value: &str) -> Result<(), Fault> {
    if !is_key(key) {
        return Err(Fault::parameter("labels", format!("'{key}' is no valid label key")));
    }
    if !value.is_empty() && !is_qualified(value, LABEL_LENGTH_MAX) {
        return Err(Fault::parameter("labels", format!("'{value}' is no valid value of label '{key}'")));
    }
    Ok(())
}

fn check_annotations(annotations: &Map<String, Value>) -> Result<(), Fault> {
    if let Some(key) = annotations.keys().find(|key| !is_key(key)) {
        return Err(Fault::parameter("annotations", format!("'{key}' is no valid annotation key")));
    }
    let size: usize =
        annotations.iter().map(|(key, value)| key.len() + value.as_str().unwrap_or_default().len()).sum();
    match size > ANNOTATIONS_BYTES_MAX {
        true => Err(Fault::parameter(
            "annotations",
            format!("they have {size} bytes, more than {ANNOTATIONS_BYTES_MAX}"),
        )),
        false => Ok(()),
    }
}

/// One of a few words, compared without regard to case and kept as AKS writes it.
fn choice(
    wish: &Value,
    pointer: &str,
    name: &str,
    all: &[&'static str],
    default: &'static str,
) -> Result<&'static str, Fault> {
    let written = match wish.pointer(pointer) {
        None | Some(Value::Null) => return Ok(default),
        Some(written) => written.as_str().unwrap_or_default(),
    };
    all.iter()
        .copied()
        .find(|one| one.eq_ignore_ascii_case(written))
        .ok_or_else(|| Fault::parameter(name, format!("'{written}' is not one of {}", all.join(", "))))
}

fn quota(wish: &Value) -> Result<Map<String, Value>, Fault> {
    let mut quota = Map::new();
    for (member, is_amount) in [
        ("cpuRequest", is_cpu as fn(&str) -> bool),
        ("cpuLimit", is_cpu),
        ("memoryRequest", is_memory),
        ("memoryLimit", is_memory),
    ] {
        let Some(value) = wish.pointer(&format!("/defaultResourceQuota/{member}")) else { continue };
        if value.is_null() {
            continue;
        }
        let amount = value.as_str().filter(|amount| is_amount(amount)).ok_or_else(|| {
            Fault::parameter(
                &format!("defaultResourceQuota.{member}"),
                format!("'{}' is no amount such as {}", shown(value), example(member)),
            )
        })?;
        quota.insert(member.to_owned(), json!(amount));
    }
    Ok(quota)
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn example(member: &str) -> &'static str {
    if member.starts_with("cpu") { "500m" } else { "256Mi" }
}

fn is_number(digits: &str) -> bool {
    !digits.is_empty() && digits.len() <= 15 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_cpu(amount: &str) -> bool {
    is_number(amount.strip_suffix('m').unwrap_or(amount))
}

fn is_memory(amount: &str) -> bool {
    is_number(MEMORY_UNITS.iter().find_map(|unit| amount.strip_suffix(unit)).unwrap_or(amount))
}

/// What becomes of an existing Namespace when this one is made.
pub(super) fn adoption(namespace: &Resource) -> &str {
    text(&namespace.properties, "/adoptionPolicy").unwrap_or("Never")
}

/// Whether the Namespace goes with the resource.
pub(super) fn goes_with_it(namespace: &Resource) -> bool {
    text(&namespace.properties, "/deletePolicy") == Some("Delete")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str, wish: Value) -> Result<Value, String> {
        let id = ResourceId::parse(&format!(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c/managedNamespaces/{name}"
        ));
        let mut cluster = Resource::new(ResourceId::root());
        cluster.properties = json!({ "azurePortalFQDN": "p" });
        properties(&id.unwrap(), &wish, &cluster).map_err(|fault| fault.target.unwrap_or_default())
    }

    #[test]
    fn what_is_left_out_has_the_defaults_of_aks() {
        let expected = json!({
            "labels": { "kubernetes.io/metadata.name": "team" }, "portalFqdn": "p",
            "defaultNetworkPolicy": { "ingress": "AllowSameNamespace", "egress": "AllowAll" },
            "adoptionPolicy": "Never", "deletePolicy": "Keep",
        });
        assert_eq!(made("team", Value::Null), Ok(expected.clone()));
        let empty = json!({ "labels": {}, "annotations": null, "defaultResourceQuota": {} });
        assert_eq!(made("team", empty), Ok(expected));
        let written = made("team", json!({ "adoptionPolicy": "always", "deletePolicy": "delete" })).unwrap();
        assert_eq!(
            (&written["adoptionPolicy"], &written["deletePolicy"]),
            (&json!("Always"), &json!("Delete"))
        );
    }

    #[test]
    fn what_a_namespace_cannot_be_is_refused_by_its_place() {
        for (name, wish, place) in [
            ("kube-system", json!({}), "managedNamespaceName"),
            ("Team", json!({}), "managedNamespaceName"),
            ("team-", json!({}), "managedNamespaceName"),
            ("team", json!({ "labels": ["a"] }), "labels"),
            ("team", json!({ "labels": { "a b": "c" } }), "labels"),
            ("team", json!({ "labels": { "a": "c/d" } }), "labels"),
            ("team", json!({ "annotations": { "a/b/c": "d" } }), "annotations"),
            ("team", json!({ "adoptionPolicy": "Sometimes" }), "adoptionPolicy"),
            ("team", json!({ "deletePolicy": 1 }), "deletePolicy"),
            ("team", json!({ "defaultNetworkPolicy": { "egress": "No" } }), "defaultNetworkPolicy.egress"),
            ("team", json!({ "defaultResourceQuota": { "cpuLimit": "m" } }), "defaultResourceQuota.cpuLimit"),
            (
                "team",
                json!({ "defaultResourceQuota": { "memoryLimit": "1G" } }),
                "defaultResourceQuota.memoryLimit",
            ),
        ] {
            assert_eq!(made(name, wish.clone()), Err(place.to_owned()), "{name} {wish}");
        }
    }
}
