//! Rules of containers.

use super::names;
use super::report::{Report, at, list, map, number, text};
use crate::cause::Cause;
use crate::path::FieldPath;
use crate::quantity::Quantity;
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) fn containers(spec: &Value, path: &FieldPath, volumes: &BTreeSet<&str>, report: &mut Report) {
    if list(spec, "containers").is_empty() {
        report.required(&path.child("containers"), "");
    }
    let mut seen = BTreeSet::new();
    for field in ["containers", "initContainers", "ephemeralContainers"] {
        let mut ports = BTreeSet::new();
        for (index, container) in list(spec, field).iter().enumerate() {
            let at = path.child(field).index(index);
            match text(container, "name") {
                "" => report.required(&at.child("name"), ""),
                name => {
                    report.problems(&at.child("name"), name, names::dns1123_label(name));
                    if !seen.insert(name) {
                        report.push(Cause::duplicate(&at.child("name"), &name.into()));
                    }
                }
            }
            one(container, &at, volumes, report);
            host_ports(spec, container, &at, &mut ports, report);
            if field == "initContainers" && text(container, "restartPolicy") != "Always" {
                for probe in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
                    if container.get(probe).is_some_and(|p| !p.is_null()) {
                        let detail = "may not be set for init containers without restartPolicy=Always";
                        report.forbidden(&at.child(probe), detail);
                    }
                }
            }
        }
    }
}

fn one(container: &Value, path: &FieldPath, volumes: &BTreeSet<&str>, report: &mut Report) {
    let image = text(container, "image");
    if image.is_empty() {
        report.required(&path.child("image"), "");
    } else if image.trim() != image {
        report.push(Cause::invalid_str(
            &path.child("image"),
            image,
            "must not have leading or trailing whitespace",
        ));
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    report.one_of(&path.child("imagePullPolicy"), container.get("imagePullPolicy"), &policies, true);
    let messages = ["FallbackToLogsOnError", "File"];
    report.one_of(
        &path.child("terminationMessagePolicy"),
        container.get("terminationMessagePolicy"),
        &messages,
        true,
    );
    ports(container, path, report);
    env(container, path, report);
    mounts(container, path, volumes, report);
    resources(at(container, "/resources"), &path.child("resources"), report);
    for probe_name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(found) = container.get(probe_name).filter(|p| !p.is_null()) {
            let at = path.child(probe_name);
            probe(found, &at, report);
            if probe_name != "readinessProbe" && number(found, "successThreshold").unwrap_or(1) != 1 {
                let value = found.get("successThreshold").unwrap_or(&Value::Null);
                report.invalid(&at.child("successThreshold"), value, "must be 1");
            }
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(found) = container.pointer(&format!("/lifecycle/{hook}")) {
            handler(found, &path.child("lifecycle").child(hook), report);
        }
    }
    let security = at(container, "/securityContext");
    let set = |field: &str, value: bool| security.get(field) == Some(&Value::Bool(value));
    if set("privileged", true) && set("allowPrivilegeEscalation", false) {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        report.invalid(&path.child("securityContext"), security, detail);
    }
}

fn ports(container: &Value, path: &FieldPath, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for (index, port) in list(container, "ports").iter().enumerate() {
        let at = path.child("ports").index(index);
        match text(port, "name") {
            "" => {}
            name => {
                report.problems(&at.child("name"), name, names::port_name(name));
                if !seen.insert(name) {
                    report.push(Cause::duplicate(&at.child("name"), &name.into()));
                }
            }
        }
        match number(port, "containerPort").unwrap_or(0) {
            0 => report.required(&at.child("containerPort"), ""),
            number => port_range(&at.child("containerPort"), number, report),
        }
        if let Some(number) = number(port, "hostPort").filter(|n| *n != 0) {
            port_range(&at.child("hostPort"), number, report);
        }
        report.one_of(&at.child("protocol"), port.get("protocol"), &["SCTP", "TCP", "UDP"], true);
    }
}

pub(super) fn port_range(path: &FieldPath, port: i64, report: &mut Report) {
    if let Some(problem) = names::port_number(port) {
        report.invalid(path, &port.into(), &problem);
    }
}

fn host_ports(
    spec: &Value,
    container: &Value,
    path: &FieldPath,
    seen: &mut BTreeSet<String>,
    report: &mut Report,
) {
    let host_network = spec.get("hostNetwork") == Some(&Value::Bool(true));
    for (index, port) in list(container, "ports").iter().enumerate() {
        let host = number(port, "hostPort").unwrap_or(0);
        if host == 0 {
            continue;
        }
        let at = path.child("ports").index(index).child("hostPort");
        let shown = format!("{}/{}/{host}", text(port, "protocol"), text(port, "hostIP"));
        if !seen.insert(shown.clone()) {
            report.push(Cause::duplicate(&at, &shown.into()));
        }
        if host_network && Some(host) != number(port, "containerPort") {
            report.invalid(&at, &host.into(), "must match `containerPort` when `hostNetwork` is true");
        }
    }
}

fn env(container: &Value, path: &FieldPath, report: &mut Report) {
    for (index, variable) in list(container, "env").iter().enumerate() {
        let at = path.child("env").index(index);
        match text(variable, "name") {
            "" => report.required(&at.child("name"), ""),
            name => report.problems(&at.child("name"), name, names::env_name(name)),
        }
        let Some(source) = map(variable, "valueFrom") else { continue };
        if source.is_empty() {
            let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            report.push(Cause::invalid_str(&at.child("valueFrom"), "", detail));
        } else if !text(variable, "value").is_empty() {
            report.push(Cause::invalid_str(
                &at.child("valueFrom"),
                "",
                "may not be specified when `value` is not empty",
            ));
        } else if source.len() > 1 {
            report.push(Cause::invalid_str(
                &at.child("valueFrom"),
                "",
                "may not have more than one field specified at a time",
            ));
        }
    }
}

fn mounts(container: &Value, path: &FieldPath, volumes: &BTreeSet<&str>, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
        let at = path.child("volumeMounts").index(index);
        match text(mount, "name") {
            "" => report.required(&at.child("name"), ""),
            name if !volumes.contains(name) => report.push(Cause::not_found(&at.child("name"), &name.into())),
            _ => {}
        }
        match text(mount, "mountPath") {
            "" => report.required(&at.child("mountPath"), ""),
            place if !seen.insert(place) => {
                report.push(Cause::invalid_str(&at.child("mountPath"), place, "must be unique"));
            }
            _ => {}
        }
        let sub = text(mount, "subPath");
        if sub.starts_with('/') {
            report.push(Cause::invalid_str(&at.child("subPath"), sub, "must be a relative path"));
        }
        if sub.split('/').any(|step| step == "..") {
            report.push(Cause::invalid_str(&at.child("subPath"), sub, "must not contain '..'"));
        }
    }
}

/// Requests and limits: not negative, and no request above its limit.
pub(super) fn resources(resources: &Value, path: &FieldPath, report: &mut Report) {
    let quantity = |value: &Value| Quantity::parse(value.as_str().unwrap_or_default()).ok();
    for field in ["limits", "requests"] {
        for (name, value) in map(resources, field).into_iter().flatten() {
            let at = path.child(field);
            let known = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage" | "storage")
                || name.contains('/')
                || name.starts_with("hugepages-");
            if !known {
                let detail = "must be a standard resource for containers";
                report.push(Cause::invalid_str(
                    &at,
                    name,
                    "must be a standard resource type or fully qualified",
                ));
                report.push(Cause::invalid_str(&at, name, detail));
            }
            if quantity(value).is_some_and(|q| q.sign() < 0) {
                report.invalid(&at.key(name), value, "must be greater than or equal to 0");
            }
        }
    }
    for (name, requested) in map(resources, "requests").into_iter().flatten() {
        let Some(limit) = map(resources, "limits").and_then(|l| l.get(name)) else { continue };
        if let (Some(request), Some(limit)) = (quantity(requested), quantity(limit)) {
            let at = path.child("requests");
            if request > limit {
                report.invalid(
                    &at,
                    requested,
                    &format!("must be less than or equal to {name} limit of {limit}"),
                );
            } else if request != limit && name.contains('/') && !name.contains("kubernetes.io/") {
                report.invalid(&at, requested, &format!("must be equal to {name} limit of {limit}"));
            }
        }
    }
}

fn probe(probe: &Value, path: &FieldPath, report: &mut Report) {
    handler(probe, path, report);
    for field in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        report.not_negative(&path.child(field), probe.get(field));
    }
}

fn handler(handler: &Value, path: &FieldPath, report: &mut Report) {
    let kinds = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];
    let set: Vec<&str> =
        kinds.into_iter().filter(|k| handler.get(*k).is_some_and(|v| !v.is_null())).collect();
    match set[..] {
        [] => report.required(path, "must specify a handler type"),
        [_] => {}
        [_, more, ..] => report.forbidden(&path.child(more), "may not specify more than 1 handler type"),
    }
    if handler.get("exec").is_some() && list(at(handler, "/exec"), "command").is_empty() {
        report.required(&path.child("exec").child("command"), "");
    }
    for kind in ["httpGet", "tcpSocket", "grpc"] {
        let Some(port) = handler.get(kind).map(|h| h.get("port").unwrap_or(&Value::Null)) else { continue };
        let at = path.child(kind).child("port");
        match port {
            Value::String(name) => report.problems(&at, name, names::port_name(name)),
            other => port_range(&at, other.as_i64().unwrap_or(0), report),
        }
    }
    if let Some(get) = handler.get("httpGet") {
        report.one_of(&path.child("httpGet").child("scheme"), get.get("scheme"), &["HTTP", "HTTPS"], true);
    }
}
