//! Rows of the other groups: networking, storage, certificates, RBAC, leases, admission, and so on.

use super::cells::{Cells, Row, first_three, joined, list, selector, shown, text};
use super::core::balanced;
use crate::duration;
use serde_json::Value;

pub(super) fn cells(kind: (&str, &str), row: &Row<'_>) -> Option<Cells> {
    let created = || -> Value { row.text("/metadata/creationTimestamp").into() };
    let flag = |pointer: &str| row.truth_or(pointer, false);
    Some(match kind.1 {
        "EndpointSlice" => endpoint_slice(row),
        "Ingress" => ingress(row),
        "IngressClass" => vec![row.name(), row.text("/spec/controller").into(), parameters(row), row.age()],
        "NetworkPolicy" => vec![row.name(), selector(row.at("/spec/podSelector")), row.age()],
        "IPAddress" => vec![row.name(), parent_ref(row)],
        "ServiceCIDR" => vec![row.name(), joined(texts(row.list("/spec/cidrs")), ""), row.age()],
        "StorageClass" => storage_class(row),
        "VolumeAttachment" => vec![
            row.name(),
            row.text("/spec/attacher").into(),
            row.text("/spec/source/persistentVolumeName").into(),
            row.text("/spec/nodeName").into(),
            flag("/status/attached"),
            row.age(),
        ],
        "VolumeAttributesClass" => {
            let marks = ["/metadata/annotations/volumeattributesclass.alpha.kubernetes.io~1is-default-class"];
            vec![name_or_default(row, &marks), row.text("/driverName").into(), row.age()]
        }
        "CSINode" => vec![row.name(), row.list("/spec/drivers").len().into(), row.age()],
        "CSIDriver" => csi_driver(row),
        "CSIStorageCapacity" => {
            vec![row.name(), row.text("/storageClassName").into(), row.shown_or("/capacity", "<unset>")]
        }
        "CertificateSigningRequest" => signing_request(row),
        "Role" | "ClusterRole" | "CustomResourceDefinition" | "LimitRange" => vec![row.name(), created()],
        "RoleBinding" | "ClusterRoleBinding" => binding(row),
        "Lease" => vec![row.name(), row.text("/spec/holderIdentity").into(), row.age()],
        "PriorityClass" => vec![
            row.name(),
            row.number("/value").into(),
            flag("/globalDefault"),
            row.age(),
            row.text("/preemptionPolicy").into(),
        ],
        "RuntimeClass" => vec![row.name(), row.text("/handler").into(), row.age()],
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
            vec![row.name(), row.list("/webhooks").len().into(), row.age()]
        }
        "ValidatingAdmissionPolicy" => policy(row, "/spec/validations"),
        "MutatingAdmissionPolicy" => policy(row, "/spec/mutations"),
        "ValidatingAdmissionPolicyBinding" | "MutatingAdmissionPolicyBinding" => {
            vec![row.name(), row.text("/spec/policyName").into(), parameter(row).into(), row.age()]
        }
        "APIService" => api_service(row),
        "FlowSchema" => flow_schema(row),
        "PriorityLevelConfiguration" => priority_level(row),
        "ResourceClaim" => vec![row.name(), claim_state(row), row.age()],
        "ResourceSlice" => vec![
            row.name(),
            row.text("/spec/nodeName").into(),
            row.text("/spec/driver").into(),
            row.text("/spec/pool/name").into(),
            row.age(),
        ],
        _ => return None,
    })
}

fn texts(items: &[Value]) -> impl Iterator<Item = &str> {
    items.iter().filter_map(Value::as_str)
}

fn endpoint_slice(row: &Row<'_>) -> Cells {
    let number = |port: &Value| {
        let named = || port.get("name").and_then(Value::as_str).unwrap_or("*").to_owned();
        port.get("port").filter(|v| !v.is_null()).map_or_else(named, shown)
    };
    let ports: Vec<String> = row.list("/ports").iter().map(number).collect();
    let addresses: Vec<String> = row
        .list("/endpoints")
        .iter()
        .flat_map(|e| texts(list(e.get("addresses"))).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    vec![
        row.name(),
        row.text("/addressType").into(),
        first_three(&ports, "<unset>"),
        first_three(&addresses, "<unset>"),
        row.age(),
    ]
}

fn ingress(row: &Row<'_>) -> Cells {
    let ports = if row.list("/spec/tls").is_empty() { "80" } else { "80, 443" };
    let class = row.shown_or("/spec/ingressClassName", "<none>");
    vec![row.name(), class, hosts(row), joined(balanced(row), ""), ports.into(), row.age()]
}

/// The first three hosts; what comes after them is counted by rules, with a host or without.
fn hosts(row: &Row<'_>) -> Value {
    let rules = row.list("/spec/rules");
    let mut shown: Vec<&str> = Vec::new();
    for rule in rules {
        if shown.len() == 3 {
            return format!("{} + {} more...", shown.join(","), rules.len() - 3).into();
        }
        shown.extend(Some(text(rule, "/host")).filter(|host| !host.is_empty()));
    }
    joined(shown, "*")
}

fn parameters(row: &Row<'_>) -> Value {
    if row.at("/spec/parameters").is_none() {
        return "<none>".into();
    }
    let kind = row.text("/spec/parameters/kind");
    let group = match row.text("/spec/parameters/apiGroup") {
        "" => String::new(),
        group => format!(".{group}"),
    };
    format!("{kind}{group}/{}", row.text("/spec/parameters/name")).into()
}

fn parent_ref(row: &Row<'_>) -> Value {
    if row.at("/spec/parentRef").is_none() {
        return "<none>".into();
    }
    let part = |name: &str| row.text(&format!("/spec/parentRef/{name}"));
    let mut shown = part("resource").to_lowercase();
    if !part("group").is_empty() {
        shown = format!("{shown}.{}", part("group").to_lowercase());
    }
    if !part("namespace").is_empty() {
        shown = format!("{shown}/{}", part("namespace"));
    }
    format!("{shown}/{}", part("name")).into()
}

/// The name, marked when one of these annotations makes the class the default.
fn name_or_default(row: &Row<'_>, marks: &[&str]) -> Value {
    let name = row.text("/metadata/name");
    if marks.iter().any(|mark| row.text(mark) == "true") {
        format!("{name} (default)").into()
    } else {
        name.into()
    }
}

fn storage_class(row: &Row<'_>) -> Cells {
    let marks = [
        "/metadata/annotations/storageclass.kubernetes.io~1is-default-class",
        "/metadata/annotations/storageclass.beta.kubernetes.io~1is-default-class",
    ];
    vec![
        name_or_default(row, &marks),
        row.text("/provisioner").into(),
        row.text_or("/reclaimPolicy", "Delete"),
        row.text_or("/volumeBindingMode", "Immediate"),
        row.truth_or("/allowVolumeExpansion", false),
        row.age(),
    ]
}

fn csi_driver(row: &Row<'_>) -> Cells {
    let audiences: Vec<&str> = row.list("/spec/tokenRequests").iter().map(|t| text(t, "/audience")).collect();
    let audiences = row.at("/spec/tokenRequests").map_or("<unset>".to_owned(), |_| audiences.join(","));
    vec![
        row.name(),
        row.truth_or("/spec/attachRequired", true),
        row.truth_or("/spec/podInfoOnMount", false),
        row.truth_or("/spec/storageCapacity", false),
        audiences.into(),
        row.truth_or("/spec/requiresRepublish", false),
        joined(texts(row.list("/spec/volumeLifecycleModes")), "<none>"),
        row.age(),
    ]
}

fn signing_request(row: &Row<'_>) -> Cells {
    let conditions = row.list("/status/conditions");
    let has = |kind: &str| conditions.iter().any(|c| text(c, "/type") == kind);
    let mut state = if has("Denied") {
        "Denied"
    } else if has("Approved") {
        "Approved"
    } else {
        "Pending"
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !row.text("/status/certificate").is_empty() {
        state.push_str(",Issued");
    }
    let requested = row
        .at("/spec/expirationSeconds")
        .and_then(Value::as_i64)
        .map_or("<none>".to_owned(), duration::human);
    vec![
        row.name(),
        row.age(),
        row.text_or("/spec/signerName", "<none>"),
        row.text("/spec/username").into(),
        requested.into(),
        state.into(),
    ]
}

fn binding(row: &Row<'_>) -> Cells {
    let role = format!("{}/{}", row.text("/roleRef/kind"), row.text("/roleRef/name"));
    let subjects = |kind: &str| -> Value {
        let names: Vec<String> = row
            .list("/subjects")
            .iter()
            .filter(|s| text(s, "/kind") == kind)
            .map(|s| match kind {
                "ServiceAccount" => format!("{}/{}", text(s, "/namespace"), text(s, "/name")),
                _ => text(s, "/name").to_owned(),
            })
            .collect();
        names.join(", ").into()
    };
    vec![row.name(), role.into(), row.age(), subjects("User"), subjects("Group"), subjects("ServiceAccount")]
}

fn policy(row: &Row<'_>, rules: &str) -> Cells {
    let kind = match row.at("/spec/paramKind") {
        None => "<unset>".to_owned(),
        Some(kind) => format!("{}/{}", text(kind, "/apiVersion"), text(kind, "/kind")),
    };
    vec![row.name(), row.list(rules).len().into(), kind.into(), row.age()]
}

/// What a policy's binding takes its parameters from.
fn parameter(row: &Row<'_>) -> String {
    match (row.text("/spec/paramRef/name"), row.text("/spec/paramRef/namespace")) {
        ("", _) => row.at("/spec/paramRef/selector").map_or("<unset>".to_owned(), go_selector),
        (name, "") => format!("*/{name}"),
        (name, namespace) => format!("{namespace}/{name}"),
    }
}

/// A label selector as Go's generated code prints the struct.
fn go_selector(selector: &Value) -> String {
    let labels = selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten();
    let labels: String = labels.map(|(key, value)| format!("{key}: {},", shown(value))).collect();
    let requirement = |one: &Value| {
        let values = list(one.get("values")).iter().map(shown).collect::<Vec<_>>().join(" ");
        let (key, operator) = (text(one, "/key"), text(one, "/operator"));
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},")
    };
    let requirements: String = list(selector.get("matchExpressions")).iter().map(requirement).collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{requirements}}},}}"
    )
}

fn api_service(row: &Row<'_>) -> Cells {
    let service = match row.text("/spec/service/name") {
        "" => "Local".to_owned(),
        name => format!("{}/{name}", row.text("/spec/service/namespace")),
    };
    let available = row.list("/status/conditions").iter().find(|c| text(c, "/type") == "Available");
    let state = match available {
        Some(c) if text(c, "/status") == "True" => "True".to_owned(),
        Some(c) => format!("{} ({})", text(c, "/status"), text(c, "/reason")),
        None => "Unknown".to_owned(),
    };
    vec![row.name(), service.into(), state.into(), row.age()]
}

fn flow_schema(row: &Row<'_>) -> Cells {
    let dangling = row.list("/status/conditions").iter().find(|c| text(c, "/type") == "Dangling");
    vec![
        row.name(),
        row.text("/spec/priorityLevelConfiguration/name").into(),
        row.number("/spec/matchingPrecedence").into(),
        row.shown_or("/spec/distinguisherMethod/type", "<none>"),
        row.age(),
        dangling.map_or("?", |c| text(c, "/status")).into(),
    ]
}

fn priority_level(row: &Row<'_>) -> Cells {
    let at = |pointer: &str| {
        row.at(&format!("/spec/limited/{pointer}")).cloned().unwrap_or_else(|| "<none>".into())
    };
    vec![
        row.name(),
        row.text("/spec/type").into(),
        at("nominalConcurrencyShares"),
        at("limitResponse/queuing/queues"),
        at("limitResponse/queuing/handSize"),
        at("limitResponse/queuing/queueLengthLimit"),
        row.age(),
    ]
}

fn claim_state(row: &Row<'_>) -> Value {
    let deleted = row.at("/metadata/deletionTimestamp").is_some();
    let allocated = row.at("/status/allocation").is_some();
    let reserved = allocated && !row.list("/status/reservedFor").is_empty();
    let states = [
        (deleted, "deleted"),
        (!allocated && !deleted, "pending"),
        (allocated, "allocated"),
        (reserved, "reserved"),
    ];
    joined(states.iter().filter(|(is, _)| *is).map(|(_, state)| *state), "")
}
