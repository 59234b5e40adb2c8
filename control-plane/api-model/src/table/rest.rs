//! Rows of the other groups: networking, storage, certificates, RBAC, leases, admission, and so on.

use super::cells::{Cells, Row, first_three, joined, list, selector, shown, text};
use crate::duration;
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn cells(kind: (&str, &str), row: &Row<'_>) -> Option<Cells> {
    let created = || -> Value { row.text("/metadata/creationTimestamp").into() };
    let flag = |pointer: &str| row.shown_or(pointer, "false");
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
        "VolumeAttributesClass" => vec![row.name(), row.text("/driverName").into(), row.age()],
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
        "ValidatingAdmissionPolicy" => policy(row),
        "ValidatingAdmissionPolicyBinding" => {
            let param = match row.text("/spec/paramRef/name") {
                "" => "<unset>".into(),
                name => match row.text("/spec/paramRef/namespace") {
                    "" => format!("*/{name}"),
                    namespace => format!("{namespace}/{name}"),
                },
            };
            vec![row.name(), row.text("/spec/policyName").into(), param.into(), row.age()]
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
    let ports: Vec<String> = row
        .list("/ports")
        .iter()
        .map(|p| p.get("port").filter(|v| !v.is_null()).map_or("*".to_owned(), shown))
        .collect();
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
    let class = match row.text("/spec/ingressClassName") {
        "" => row.text_or("/metadata/annotations/kubernetes.io~1ingress.class", "<none>"),
        class => class.into(),
    };
    let hosts: Vec<String> = row
        .list("/spec/rules")
        .iter()
        .map(|r| text(r, "/host"))
        .filter(|h| !h.is_empty())
        .map(str::to_owned)
        .collect();
    let addresses = row.list("/status/loadBalancer/ingress").iter().map(|i| match text(i, "/ip") {
        "" => text(i, "/hostname"),
        ip => ip,
    });
    let ports = if row.list("/spec/tls").is_empty() { "80" } else { "80, 443" };
    vec![row.name(), class, first_three(&hosts, "*"), joined(addresses, ""), ports.into(), row.age()]
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
    let part = |name: &str| row.text(&format!("/spec/parentRef/{name}"));
    let mut name = part("resource").to_owned();
    if !part("group").is_empty() {
        name = format!("{name}.{}", part("group"));
    }
    for step in [part("namespace"), part("name")].into_iter().filter(|s| !s.is_empty()) {
        name = format!("{name}/{step}");
    }
    name.into()
}

fn storage_class(row: &Row<'_>) -> Cells {
    let default = row.text("/metadata/annotations/storageclass.kubernetes.io~1is-default-class") == "true";
    let name = row.text("/metadata/name");
    vec![
        if default { format!("{name} (default)").into() } else { name.into() },
        row.text("/provisioner").into(),
        row.text_or("/reclaimPolicy", "Delete"),
        row.text_or("/volumeBindingMode", "Immediate"),
        row.shown_or("/allowVolumeExpansion", "false"),
        row.age(),
    ]
}

fn csi_driver(row: &Row<'_>) -> Cells {
    let audiences: Vec<&str> = row.list("/spec/tokenRequests").iter().map(|t| text(t, "/audience")).collect();
    vec![
        row.name(),
        row.shown_or("/spec/attachRequired", "true"),
        row.shown_or("/spec/podInfoOnMount", "false"),
        row.shown_or("/spec/storageCapacity", "false"),
        joined(audiences, "<unset>"),
        row.shown_or("/spec/requiresRepublish", "false"),
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

fn policy(row: &Row<'_>) -> Cells {
    let kind = match (row.text("/spec/paramKind/apiVersion"), row.text("/spec/paramKind/kind")) {
        ("", "") => "<unset>".to_owned(),
        (version, kind) => format!("{version}/{kind}"),
    };
    vec![row.name(), row.list("/spec/validations").len().into(), kind.into(), row.age()]
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
        row.text_or("/spec/priorityLevelConfiguration/name", "<none>"),
        row.number("/spec/matchingPrecedence").into(),
        row.text_or("/spec/distinguisherMethod/type", "<none>"),
        row.age(),
        dangling.map_or("?", |c| text(c, "/status")).into(),
    ]
}

fn priority_level(row: &Row<'_>) -> Cells {
    let limited = "/spec/limited";
    let queuing = format!("{limited}/limitResponse/queuing");
    let shares = match row.text("/spec/type") {
        "Limited" => row.shown_or(&format!("{limited}/nominalConcurrencyShares"), "<none>"),
        _ => row.shown_or("/spec/exempt/nominalConcurrencyShares", "<none>"),
    };
    let queue = |field: &str| row.shown_or(&format!("{queuing}/{field}"), "<none>");
    vec![
        row.name(),
        row.text("/spec/type").into(),
        shares,
        queue("queues"),
        queue("handSize"),
        queue("queueLengthLimit"),
        row.age(),
    ]
}

fn claim_state(row: &Row<'_>) -> Value {
    let mut states = BTreeSet::new();
    if row.at("/metadata/deletionTimestamp").is_some() {
        states.insert("deleted");
    }
    if row.at("/status/allocation").is_none() {
        states.insert("pending");
    } else {
        states.insert("allocated");
        if !row.list("/status/reservedFor").is_empty() {
            states.insert("reserved");
        }
    }
    joined(states, "")
}
