//! Rules of what a container mounts.

use super::volume_sources::{descending_path, has_backsteps};
use crate::validation::place::Place;
use crate::validation::report::Report;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// `volumeMounts`.
pub(super) fn mounts(container: &Place, volumes: &BTreeMap<&str, &Value>, report: &mut Report) {
    let at = container.field("volumeMounts");
    let devices = container.field("volumeDevices");
    let has_device = |field: &str, value: &str| {
        devices.list().iter().any(|d| d.get(field).and_then(Value::as_str) == Some(value))
    };
    let mut paths = BTreeSet::new();
    for mount in at.items() {
        let (name, path) = (mount.field("name"), mount.field("mountPath"));
        report.present(&name);
        if !volumes.contains_key(name.as_text()) {
            report.not_found(&name, "");
        }
        report.present(&path);
        if !paths.insert(path.as_text()) {
            report.invalid_text(&path, "must be unique");
        }
        if has_device("name", name.as_text()) {
            report.invalid_text(&name, "must not already exist in volumeDevices");
        }
        if has_device("devicePath", path.as_text()) {
            report.invalid_text(&path, "must not already exist as a path in volumeDevices");
        }
        sub_paths(&mount, &at, report);
        if mount.has("mountPropagation") {
            let how = mount.field("mountPropagation");
            propagation(&at.named_field(&mount, "mountPropagation"), how.as_text(), container, report);
        }
        recursive_read_only(&mount, &at.named_field(&mount, "recursiveReadOnly"), report);
    }
}

/// Upstream reports these for the list.
fn sub_paths<'o>(mount: &Place<'o, '_>, list: &Place<'o, '_>, report: &mut Report) {
    let (path, expression) = (mount.field("subPath"), mount.field("subPathExpr"));
    if !path.is_empty() {
        descending_path(&list.named_field(mount, "subPath"), path.as_text(), report);
    }
    if !expression.is_empty() {
        if !path.is_empty() {
            report.invalid_text(&expression, "subPathExpr and subPath are mutually exclusive");
        }
        descending_path(&list.named_field(mount, "subPathExpr"), expression.as_text(), report);
    }
}

fn propagation(at: &Place, how: &str, container: &Place, report: &mut Report) {
    report.optional_of(at, &["Bidirectional", "HostToContainer", "None"]);
    let privileged = container.field("securityContext").flag("privileged");
    if how == "Bidirectional" && !privileged {
        report.forbidden(at, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn recursive_read_only(mount: &Place, at: &Place, report: &mut Report) {
    match at.as_text() {
        "" if !at.is_set() => {}
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !mount.flag("readOnly") {
                report.forbidden(at, "may only be specified when readOnly is true");
            }
            if !matches!(mount.text("mountPropagation"), "" | "None") {
                report.forbidden(at, "may only be specified when mountPropagation is None or not specified");
            }
        }
        _ => report.unsupported(at, &["Disabled", "Enabled", "IfPossible"]),
    }
}

/// `volumeDevices`: claims as raw devices.
pub(super) fn devices(container: &Place, volumes: &BTreeMap<&str, &Value>, report: &mut Report) {
    let mounts = container.field("volumeMounts");
    let has_mount = |field: &str, value: &str| {
        mounts.list().iter().any(|m| m.get(field).and_then(Value::as_str) == Some(value))
    };
    let (mut paths, mut seen) = (BTreeSet::new(), BTreeSet::new());
    for device in container.field("volumeDevices").items() {
        let (name, path) = (device.field("name"), device.field("devicePath"));
        report.present(&name);
        if seen.contains(name.as_text()) {
            report.invalid_text(&name, "must be unique");
        }
        match volumes.get(name.as_text()) {
            Some(source)
                if source.get("persistentVolumeClaim").is_none() && source.get("ephemeral").is_none() =>
            {
                let detail =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                report.invalid_text(&name, detail);
            }
            Some(_) => {}
            None => report.not_found(&name, ""),
        }
        report.present(&path);
        if paths.contains(path.as_text()) {
            report.invalid_text(&path, "must be unique");
        }
        if has_backsteps(path.as_text()) {
            report.invalid_text(&path, "can not contain backsteps ('..')");
        } else {
            paths.insert(path.as_text());
        }
        if has_mount("name", name.as_text()) {
            report.invalid_text(&name, "must not already exist in volumeMounts");
        }
        if has_mount("mountPath", path.as_text()) {
            report.invalid_text(&path, "must not already exist as a path in volumeMounts");
        }
        if !name.is_empty() {
            seen.insert(name.as_text());
        }
    }
}
