//! Rules of claims, volumes and storage classes.

use super::report::{Report, at, list, map, spec, text};
use crate::path::FieldPath;
use crate::quantity::Quantity;
use serde_json::{Map, Value};

const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

fn access_modes(spec: &Value, path: &FieldPath, report: &mut Report) {
    let at = path.child("accessModes");
    let modes = list(spec, "accessModes");
    if modes.is_empty() {
        report.required(&at, "at least 1 access mode is required");
    }
    for mode in modes {
        report.one_of(&at, Some(mode), &MODES, true);
    }
    if modes.len() > 1 && modes.iter().any(|m| m == "ReadWriteOncePod") {
        report.forbidden(&at, "may not use ReadWriteOncePod with other access modes");
    }
}

fn positive(value: &Value, path: &FieldPath, report: &mut Report) {
    let parsed = Quantity::parse(value.as_str().unwrap_or_default());
    if parsed.is_ok_and(|q| q.sign() <= 0) {
        report.invalid(path, value, "must be greater than zero");
    }
}

pub(super) fn claim(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    access_modes(spec, &path, report);
    let at_storage = path.child("resources").key("storage");
    match spec.pointer("/resources/requests/storage") {
        None => report.required(&at_storage, ""),
        Some(size) => positive(size, &at_storage, report),
    }
    report.one_of(&path.child("volumeMode"), spec.get("volumeMode"), &["Block", "Filesystem"], false);
}

pub(super) fn claim_changes(new: &Value, old: &Value, report: &mut Report) {
    let path = FieldPath::new("spec");
    let bound = at(old, "/status/phase") == "Bound";
    let fixed = |o: &Value| -> Map<String, Value> {
        let mut spec = map(o, "spec").cloned().unwrap_or_default();
        if let Some(Value::Object(resources)) = spec.get_mut("resources") {
            resources.remove("requests");
        }
        spec.remove("volumeAttributesClassName");
        if !bound {
            // The binder names the volume, and an empty class may be filled in once.
            spec.remove("volumeName");
        }
        spec
    };
    let (mut now, before) = (fixed(new), fixed(old));
    if before.get("storageClassName").is_none() {
        now.remove("storageClassName");
    }
    if now != before {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        report.forbidden(&path, detail);
    }
    let size = |o: &Value| Quantity::parse(at(o, "/spec/resources/requests/storage").as_str()?).ok();
    if let (Some(now), Some(before)) = (size(new), size(old)) {
        let at = path.child("resources").child("requests").child("storage");
        if now < before && at_status_size(old).is_none_or(|s| now < s) {
            report.forbidden(&at, "field can not be less than status.capacity");
        } else if now != before && !bound {
            let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
            report.forbidden(&path, detail);
        }
    }
}

fn at_status_size(o: &Value) -> Option<Quantity> {
    Quantity::parse(at(o, "/status/capacity/storage").as_str()?).ok()
}

/// Fields of a volume's specification that are not its source.
const NOT_SOURCES: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeMode",
    "volumeAttributesClassName",
];

pub(super) fn volume(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    access_modes(spec, &path, report);
    match spec.pointer("/capacity/storage") {
        None => report.required(&path.child("capacity"), ""),
        Some(size) => positive(size, &path.child("capacity").key("storage"), report),
    }
    let sources = spec.as_object().map_or(0, |s| {
        s.iter().filter(|(key, value)| !NOT_SOURCES.contains(&key.as_str()) && !value.is_null()).count()
    });
    match sources {
        0 => report.required(&path, "must specify a volume type"),
        1 => {}
        _ => report.forbidden(&path, "may not specify more than 1 volume type"),
    }
    let policies = ["Delete", "Recycle", "Retain"];
    report.one_of(
        &path.child("persistentVolumeReclaimPolicy"),
        spec.get("persistentVolumeReclaimPolicy"),
        &policies,
        false,
    );
}

pub(super) fn volume_changes(new: &Value, old: &Value, report: &mut Report) {
    let source = |o: &Value| -> Map<String, Value> {
        let spec = map(o, "spec").into_iter().flatten().filter(|(k, _)| !NOT_SOURCES.contains(&k.as_str()));
        spec.map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    if source(new) != source(old) {
        report.forbidden(
            &FieldPath::new("spec.persistentvolumesource"),
            "spec.persistentvolumesource is immutable after creation",
        );
    }
    report.immutable(new, old, &["spec", "volumeMode"]);
}

pub(super) fn class(o: &Value, report: &mut Report) {
    if text(o, "provisioner").is_empty() {
        report.required(&FieldPath::new("provisioner"), "");
    }
    report.one_of(&FieldPath::new("reclaimPolicy"), o.get("reclaimPolicy"), &["Delete", "Retain"], false);
    let modes = ["Immediate", "WaitForFirstConsumer"];
    report.one_of(&FieldPath::new("volumeBindingMode"), o.get("volumeBindingMode"), &modes, false);
}

pub(super) fn class_changes(new: &Value, old: &Value, report: &mut Report) {
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        if new.get(field) != old.get(field) {
            report.forbidden(&FieldPath::new(field), &format!("updates to {field} are forbidden."));
        }
    }
    report.immutable(new, old, &["volumeBindingMode"]);
}
