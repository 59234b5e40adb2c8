//! Rules of config maps and secrets.

use super::names;
use super::report::{IMMUTABLE, Report, map, text};
use crate::cause::Cause;
use crate::path::FieldPath;
use base64::Engine;
use serde_json::Value;

/// Bytes of data an object may hold.
const MAX_SIZE: usize = 1024 * 1024;

pub(super) fn config_map(o: &Value, report: &mut Report) {
    let mut size = 0;
    for field in ["data", "binaryData"] {
        let path = FieldPath::new(field);
        for (key, value) in map(o, field).into_iter().flatten() {
            report.problems(&path.key(key), key, names::config_key(key));
            if field == "binaryData" && map(o, "data").is_some_and(|d| d.contains_key(key)) {
                report.push(Cause::invalid_str(
                    &FieldPath::new("data").key(key),
                    key,
                    "duplicate of key present in binaryData",
                ));
            }
            let text = value.as_str().unwrap_or_default();
            size += if field == "data" { text.len() } else { text.len() / 4 * 3 };
        }
    }
    if size > MAX_SIZE {
        report.push(Cause::too_long(&FieldPath::root(), MAX_SIZE));
    }
}

pub(super) fn secret(o: &Value, report: &mut Report) {
    let path = FieldPath::new("data");
    let data = map(o, "data");
    let mut size = 0;
    for (key, value) in data.into_iter().flatten() {
        report.problems(&path.key(key), key, names::config_key(key));
        size += value.as_str().map_or(0, str::len) / 4 * 3;
    }
    if size > MAX_SIZE {
        report.push(Cause::too_long(&path, MAX_SIZE));
    }
    let has = |key: &str| data.is_some_and(|d| d.contains_key(key));
    match text(o, "type") {
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"].into_iter().filter(|k| !has(k)) {
                report.required(&path.key(key), "");
            }
        }
        "kubernetes.io/service-account-token" => {
            let at =
                FieldPath::new("metadata").child("annotations").key("kubernetes.io/service-account.name");
            if o.pointer("/metadata/annotations/kubernetes.io~1service-account.name").is_none_or(|n| n == "")
            {
                report.required(&at, "");
            }
        }
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            report.required(&path.key("username"), "");
            report.required(&path.key("password"), "");
        }
        "kubernetes.io/ssh-auth" if !has("ssh-privatekey") => {
            report.required(&path.key("ssh-privatekey"), "")
        }
        "kubernetes.io/dockerconfigjson" => {
            docker(data.and_then(|d| d.get(".dockerconfigjson")), &path.key(".dockerconfigjson"), report)
        }
        "kubernetes.io/dockercfg" => {
            docker(data.and_then(|d| d.get(".dockercfg")), &path.key(".dockercfg"), report)
        }
        _ => {}
    }
}

fn docker(value: Option<&Value>, path: &FieldPath, report: &mut Report) {
    let Some(text) = value.and_then(Value::as_str) else { return report.required(path, "") };
    let decoded = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    if serde_json::from_slice::<serde_json::Map<String, Value>>(&decoded).is_err() {
        report.push(Cause::invalid_str(path, "<secret contents redacted>", "invalid character"));
    }
}

pub(super) fn config_map_changes(new: &Value, old: &Value, report: &mut Report) {
    frozen(new, old, &["data", "binaryData"], report);
}

pub(super) fn secret_changes(new: &Value, old: &Value, report: &mut Report) {
    if text(new, "type") != text(old, "type") {
        report.push(Cause::invalid_str(&FieldPath::new("type"), text(new, "type"), IMMUTABLE));
    }
    frozen(new, old, &["data"], report);
}

fn frozen(new: &Value, old: &Value, fields: &[&str], report: &mut Report) {
    const DETAIL: &str = "field is immutable when `immutable` is set";
    let yes = Some(&Value::Bool(true));
    if old.get("immutable") != yes {
        return;
    }
    if new.get("immutable") != yes {
        report.forbidden(&FieldPath::new("immutable"), DETAIL);
    }
    for field in fields {
        if new.get(*field) != old.get(*field) {
            report.forbidden(&FieldPath::new(*field), DETAIL);
        }
    }
}
