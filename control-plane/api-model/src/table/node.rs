//! The node row.

use super::cells::{Cells, Row, joined, text};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn cells(row: &Row<'_>) -> Cells {
    vec![
        row.name(),
        status(row).into(),
        roles(row),
        row.age(),
        row.text("/status/nodeInfo/kubeletVersion").into(),
        address(row, "InternalIP"),
        address(row, "ExternalIP"),
        row.text_or("/status/nodeInfo/osImage", "<unknown>"),
        row.text_or("/status/nodeInfo/kernelVersion", "<unknown>"),
        row.text_or("/status/nodeInfo/containerRuntimeVersion", "<unknown>"),
    ]
}

fn status(row: &Row<'_>) -> String {
    let ready = row.list("/status/conditions").iter().find(|c| text(c, "/type") == "Ready");
    let mut status = match ready.map(|c| text(c, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if row.flag("/spec/unschedulable") {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn roles(row: &Row<'_>) -> Value {
    let mut roles = BTreeSet::new();
    for (key, value) in row.labels().into_iter().flatten() {
        if let Some(role) = key.strip_prefix("node-role.kubernetes.io/") {
            roles.insert(role);
        } else if key == "kubernetes.io/role" {
            roles.extend(value.as_str());
        }
    }
    joined(roles, "<none>")
}

fn address(row: &Row<'_>, kind: &str) -> Value {
    let found = row.list("/status/addresses").iter().find(|a| text(a, "/type") == kind);
    found.map_or("<none>", |a| text(a, "/address")).into()
}
