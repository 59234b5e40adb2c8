//! Rules of a pod's volumes.

use super::names;
use super::report::{Report, list, text};
use crate::cause::Cause;
use crate::path::FieldPath;
use serde_json::Value;
use std::collections::BTreeSet;

/// Judges the volumes and gives their names, for mounts to refer to.
pub(super) fn volumes<'a>(spec: &'a Value, path: &FieldPath, report: &mut Report) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        let at = path.child("volumes").index(index);
        match text(volume, "name") {
            "" => report.required(&at.child("name"), ""),
            name => {
                report.problems(&at.child("name"), name, names::dns1123_label(name));
                if !seen.insert(name) {
                    report.push(Cause::duplicate(&at.child("name"), &name.into()));
                }
            }
        }
        source(volume, &at, report);
    }
    seen
}

fn source(volume: &Value, path: &FieldPath, report: &mut Report) {
    let sources: Vec<&String> = volume
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| *key != "name" && !value.is_null())
        .map(|(key, _)| key)
        .collect();
    match &sources[..] {
        [] => report.required(path, "must specify a volume type"),
        [_] => {}
        [_, more @ ..] => {
            for kind in more {
                report.forbidden(&path.child(kind), "may not specify more than 1 volume type");
            }
        }
    }
    for (kind, field) in [
        ("hostPath", "path"),
        ("secret", "secretName"),
        ("configMap", "name"),
        ("persistentVolumeClaim", "claimName"),
        ("csi", "driver"),
        ("nfs", "server"),
    ] {
        if let Some(source) = volume.get(kind).filter(|s| !s.is_null())
            && text(source, field).is_empty()
        {
            report.required(&path.child(kind).child(field), "");
        }
    }
    for kind in ["secret", "configMap", "downwardAPI", "projected"] {
        let Some(source) = volume.get(kind) else { continue };
        let at = path.child(kind);
        if let Some(mode) =
            source.get("defaultMode").filter(|m| m.as_i64().is_some_and(|m| !(0..=0o777).contains(&m)))
        {
            let detail = "must be a number between 0 and 0777 (octal), both inclusive";
            report.invalid(&at.child("defaultMode"), mode, detail);
        }
        for (index, item) in list(source, "items").iter().enumerate() {
            let at = at.child("items").index(index);
            if text(item, "key").is_empty() && kind != "downwardAPI" {
                report.required(&at.child("key"), "");
            }
            relative(item, &at, report);
        }
        for (index, part) in list(source, "sources").iter().enumerate() {
            if let Some(token) = part.get("serviceAccountToken") {
                let at = at.child("sources").index(index).child("serviceAccountToken");
                relative(token, &at, report);
                let seconds = token.get("expirationSeconds").and_then(Value::as_i64).unwrap_or(3600);
                if seconds < 600 {
                    let detail = "may not specify a duration less than 10 minutes";
                    report.invalid(&at.child("expirationSeconds"), &seconds.into(), detail);
                }
            }
        }
    }
}

fn relative(item: &Value, path: &FieldPath, report: &mut Report) {
    let place = text(item, "path");
    let at = path.child("path");
    if place.is_empty() {
        report.required(&at, "");
    } else if place.starts_with('/') {
        report.push(Cause::invalid_str(&at, place, "must be a relative path"));
    } else if place.split('/').any(|step| step == "..") {
        report.push(Cause::invalid_str(&at, place, "must not contain '..'"));
    }
}
