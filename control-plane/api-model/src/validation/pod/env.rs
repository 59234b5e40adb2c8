//! Rules of a container's environment.

use super::volume_sources::local_path;
use crate::validation::names;
use crate::validation::place::Place;
use crate::validation::report::Report;
use serde_json::Value;
use std::collections::BTreeMap;

/// Fields of a pod that a variable may hold.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields of a pod that the API knows by name.
const KNOWN_FIELDS: [&str; 15] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.host",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];
/// Resources of a container that a variable or a file may hold.
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const BYTE_DIVISORS: [&str; 13] =
    ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// `env`.
pub(super) fn variables(at: &Place, volumes: &BTreeMap<&str, &Value>, report: &mut Report) {
    for variable in at.items() {
        report.named(&variable.field("name"), names::env_name);
        let from = variable.field("valueFrom");
        if from.is_set() {
            value_from(&from, !variable.field("value").is_empty(), volumes, report);
        }
    }
}

fn value_from(at: &Place, has_value: bool, volumes: &BTreeMap<&str, &Value>, report: &mut Report) {
    let mut sources = 0;
    if at.has("fieldRef") {
        sources += 1;
        field_ref(&at.field("fieldRef"), &FIELDS, report);
    }
    if at.has("resourceFieldRef") {
        sources += 1;
        resource_ref(&at.field("resourceFieldRef"), false, report);
    }
    for field in ["configMapKeyRef", "secretKeyRef"] {
        if at.has(field) {
            sources += 1;
            key_ref(&at.field(field), report);
        }
    }
    if at.has("fileKeyRef") {
        sources += 1;
        file_ref(&at.field("fileKeyRef"), volumes, report);
    }
    if sources == 0 {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        report.invalid_as(at, "", detail);
    } else if has_value {
        report.invalid_as(at, "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        report.invalid_as(at, "", "may not have more than one field specified at a time");
    }
}

fn key_ref(at: &Place, report: &mut Report) {
    report.problems(&at.field("name"), names::dns1123_subdomain(at.text("name")));
    report.named(&at.field("key"), names::config_key);
}

fn file_ref(at: &Place, volumes: &BTreeMap<&str, &Value>, report: &mut Report) {
    let volume = at.field("volumeName");
    report.named(&volume, names::dns1123_label);
    match volumes.get(volume.as_text()) {
        _ if volume.is_empty() => {}
        None => report.not_found(&volume, ""),
        Some(source) if source.get("emptyDir").is_none() => {
            report.invalid_text(&volume, "the volume must be of type emptyDir");
        }
        Some(_) => {}
    }
    let path = at.field("path");
    report.present(&path);
    local_path(&path, path.as_text(), report);
    report.named(&at.field("key"), names::env_name);
}

/// A field of the pod itself, by name or with one label or annotation of it.
pub(super) fn field_ref(at: &Place, supported: &[&str], report: &mut Report) {
    let (version, path) = (at.field("apiVersion"), at.field("fieldPath"));
    if version.is_empty() {
        return report.required(&version, "");
    }
    if path.is_empty() {
        return report.required(&path, "");
    }
    let text = path.as_text();
    let subscripted =
        text.strip_suffix("']").and_then(|rest| rest.split_once("['")).filter(|(path, _)| !path.is_empty());
    let problem = match subscripted {
        _ if version.as_text() != "v1" => Some(format!("unsupported pod version: {}", version.as_text())),
        Some(("metadata.annotations" | "metadata.labels", _)) => None,
        Some((path, _)) => Some(format!("field label does not support subscript: {path}")),
        None if KNOWN_FIELDS.contains(&text) => None,
        None => Some(format!("field label not supported: {text}")),
    };
    if let Some(problem) = problem {
        return report.invalid_text(&path, &format!("error converting fieldPath: {problem}"));
    }
    match subscripted {
        Some(("metadata.annotations", key)) => {
            let key = key.to_lowercase();
            report.problems_of(at, &key, names::qualified_name(&key));
        }
        Some((_, key)) => report.problems_of(at, key, names::qualified_name(key)),
        None => {
            let internal = if text == "spec.host" { "spec.nodeName" } else { text };
            if !supported.contains(&internal) {
                report.unsupported_as(&path, internal, supported);
            }
        }
    }
}

/// A resource of a container, divided by a unit.
pub(super) fn resource_ref(at: &Place, in_volume: bool, report: &mut Report) {
    let resource = at.field("resource");
    let name = resource.as_text();
    let huge = name.starts_with("requests.hugepages-") || name.starts_with("limits.hugepages-");
    if in_volume && at.field("containerName").is_empty() {
        report.required(&at.field("containerName"), "");
    } else if name.is_empty() {
        report.required(&resource, "");
    } else if !RESOURCES.contains(&name) && !huge {
        report.unsupported(&resource, &RESOURCES);
    }
    let Some(divisor) = at.field("divisor").as_quantity().filter(|divisor| !divisor.is_zero()) else {
        return;
    };
    let what = match name {
        "limits.cpu" | "requests.cpu" => {
            if !["1m", "1"].contains(&divisor.canonical().as_str()) {
                let detail = "only divisor's values 1m and 1 are supported with the cpu resource";
                report.invalid_as(&at.field("divisor"), name, detail);
            }
            return;
        }
        "limits.memory" | "requests.memory" => "memory",
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => "local ephemeral storage",
        _ if huge => "hugepages",
        _ => return,
    };
    if !BYTE_DIVISORS.contains(&divisor.canonical().as_str()) {
        let detail = format!(
            "only divisor's values {} are supported with the {what} resource",
            BYTE_DIVISORS.join(", ")
        );
        report.invalid_as(&at.field("divisor"), name, &detail);
    }
}

/// `envFrom`.
pub(super) fn sources(at: &Place, report: &mut Report) {
    for source in at.items() {
        let prefix = source.field("prefix");
        if !prefix.is_empty() {
            report.problems(&prefix, names::env_name(prefix.as_text()));
        }
        let mut found = 0;
        for field in ["configMapRef", "secretRef"] {
            let reference = source.field(field);
            if reference.is_set() {
                found += 1;
                report.named(&reference.field("name"), names::dns1123_subdomain);
            }
        }
        match found {
            0 => report.invalid_as(at, "", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => report.invalid_as(at, "", "may not have more than one field specified at a time"),
        }
    }
}
