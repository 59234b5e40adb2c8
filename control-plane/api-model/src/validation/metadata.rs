//! Rules of `metadata`.

use super::names;
use super::report::{IMMUTABLE, Report, list, map, text};
use crate::cause::Cause;
use crate::path::FieldPath;
use crate::resource::Resource;
use serde_json::Value;

/// All annotations of an object together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

pub(super) fn create(resource: &Resource, object: &Value, report: &mut Report) {
    let metadata = object.get("metadata").unwrap_or(&Value::Null);
    let path = FieldPath::new("metadata");
    let generate = text(metadata, "generateName");
    if !generate.is_empty() {
        // A generated name ends in letters of ours, so a trailing dash is well.
        let sample = format!("{}x", generate.trim_end_matches('-'));
        let sample = if generate.ends_with('-') { sample } else { generate.to_owned() };
        report.problems(&path.child("generateName"), generate, name_problems(resource, &sample));
    }
    match text(metadata, "name") {
        "" if generate.is_empty() => report.required(&path.child("name"), "name or generateName is required"),
        "" => {}
        name => report.problems(&path.child("name"), name, name_problems(resource, name)),
    }
    match (resource.namespaced, text(metadata, "namespace")) {
        (true, "") => report.required(&path.child("namespace"), ""),
        (true, namespace) => {
            report.problems(&path.child("namespace"), namespace, names::dns1123_label(namespace))
        }
        (false, "") => {}
        (false, _) => report.forbidden(&path.child("namespace"), "not allowed on this type"),
    }
    common(metadata, &path, report);
}

pub(super) fn update(resource: &Resource, new: &Value, old: &Value, report: &mut Report) {
    let _ = resource;
    let (new, old) =
        (new.get("metadata").unwrap_or(&Value::Null), old.get("metadata").unwrap_or(&Value::Null));
    let path = FieldPath::new("metadata");
    for field in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        let (now, before) = (new.get(field).unwrap_or(&Value::Null), old.get(field).unwrap_or(&Value::Null));
        // What the client leaves out the registry fills in.
        if !now.is_null() && now != before {
            report.invalid(&path.child(field), now, IMMUTABLE);
        }
    }
    if !old.get("deletionTimestamp").unwrap_or(&Value::Null).is_null() {
        let added: Vec<&Value> =
            list(new, "finalizers").iter().filter(|f| !list(old, "finalizers").contains(f)).collect();
        if !added.is_empty() {
            let shown: Vec<String> = added.iter().map(|f| f.to_string()).collect();
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                shown.join(", ")
            );
            report.forbidden(&path.child("finalizers"), &detail);
        }
    }
    common(new, &path, report);
}

fn common(metadata: &Value, path: &FieldPath, report: &mut Report) {
    labels(metadata.get("labels"), &path.child("labels"), report);
    annotations(metadata, &path.child("annotations"), report);
    for (index, finalizer) in list(metadata, "finalizers").iter().enumerate() {
        let finalizer = finalizer.as_str().unwrap_or_default();
        let at = path.child("finalizers").index(index);
        report.problems(&at, finalizer, names::qualified_name(finalizer));
    }
    owners(metadata, &path.child("ownerReferences"), report);
}

/// Keys and values of labels.
pub(super) fn labels(labels: Option<&Value>, path: &FieldPath, report: &mut Report) {
    for (key, value) in labels.and_then(Value::as_object).into_iter().flatten() {
        report.problems(path, key, names::qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        report.problems(path, value, names::label_value(value));
    }
}

fn annotations(metadata: &Value, path: &FieldPath, report: &mut Report) {
    let mut size = 0;
    for (key, value) in map(metadata, "annotations").into_iter().flatten() {
        report.problems(path, key, names::qualified_name(&key.to_lowercase()));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MAX_ANNOTATIONS {
        report.push(Cause::too_long(path, MAX_ANNOTATIONS));
    }
}

fn owners(metadata: &Value, path: &FieldPath, report: &mut Report) {
    let mut controllers = Vec::new();
    for (index, owner) in list(metadata, "ownerReferences").iter().enumerate() {
        for (field, detail) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(owner, field).is_empty() {
                report.invalid(&path.index(index).child(field), &Value::from(""), detail);
            }
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            controllers.push(text(owner, "kind").to_owned());
        }
    }
    if let [first, second, ..] = &controllers[..] {
        let detail = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {second}"
        );
        report.invalid(path, metadata.get("ownerReferences").unwrap_or(&Value::Null), &detail);
    }
}

fn name_problems(resource: &Resource, name: &str) -> Vec<String> {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Namespace") | ("apps", "StatefulSet") => names::dns1123_label(name),
        ("", "Service") => names::dns1035_label(name),
        ("rbac.authorization.k8s.io" | "apiregistration.k8s.io", _) => names::path_segment(name),
        ("networking.k8s.io", "IPAddress") => match name.parse::<std::net::IpAddr>() {
            Ok(_) => Vec::new(),
            Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
        },
        ("batch", "CronJob") if name.len() > 52 => vec!["must be no more than 52 bytes".to_owned()],
        _ => names::dns1123_subdomain(name),
    }
}
