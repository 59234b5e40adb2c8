//! Rules of annotations that once were fields of pods.

use super::each_container;
use super::spec::toleration_list;
use super::volume_sources::descending_path;
use crate::cause::quoted;
use crate::validation::place::Place;
use crate::validation::report::Report;
use serde_json::Value;

const MIRROR: &str = "kubernetes.io/config.mirror";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// What a pod's annotations may say; `at` is the map.
pub(super) fn pod(at: &Place, spec: &Place, report: &mut Report) {
    if at.map().is_none_or(|map| map.is_empty()) {
        return;
    }
    if at.has(MIRROR) && spec.text("nodeName").is_empty() {
        report.invalid(&at.key(MIRROR), "must set spec.nodeName if mirror pod annotation is set");
    }
    if !at.text(TOLERATIONS).is_empty() {
        match serde_json::from_str::<Vec<Value>>(at.text(TOLERATIONS)) {
            Ok(list) => {
                let list = Value::Array(list);
                let judged = Place::root(&list);
                toleration_list(&judged, report);
            }
            Err(error) => report.invalid_as(at, TOLERATIONS, &error.to_string()),
        }
    }
    let cost = at.text(DELETION_COST);
    let signed = cost.strip_prefix('+').unwrap_or(cost);
    if at.has(DELETION_COST)
        && (cost.starts_with('+')
            || cost.starts_with('0') && cost.len() > 1
            || signed.parse::<i32>().is_err())
    {
        report.invalid(&at.key(DELETION_COST), "must be a 32bit integer");
    }
    for (key, value) in at.entries() {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            seccomp(&value, report);
        } else if let Some(container) = key.strip_prefix(APP_ARMOR) {
            app_armor(&value, container, spec, report);
        }
    }
}

fn seccomp(at: &Place, report: &mut Report) {
    match at.as_text() {
        "runtime/default" | "docker/default" | "unconfined" => {}
        text => match text.strip_prefix("localhost/") {
            Some(profile) => descending_path(at, profile, report),
            None => report.invalid(at, "must be a valid seccomp profile"),
        },
    }
}

fn app_armor(at: &Place, container: &str, spec: &Place, report: &mut Report) {
    let mut found = false;
    each_container(spec, |one| found |= one.text("name") == container);
    if !found {
        report.invalid_as(at, container, "container not found");
    }
    let profile = at.as_text();
    if !matches!(profile, "" | "runtime/default" | "unconfined") && !profile.starts_with("localhost/") {
        report.invalid(at, &format!("invalid AppArmor profile name: {}", quoted(profile)));
    }
}

/// Where an annotation and a field say the same thing, they agree.
pub(super) fn agree_with_fields(annotations: &Place, spec: &Place, report: &mut Report) {
    if annotations.map().is_none_or(|map| map.is_empty()) {
        return;
    }
    let context = spec.field("securityContext");
    if annotations.has(SECCOMP_POD) {
        agree(annotations.text(SECCOMP_POD), &context.field("seccompProfile"), "seccomp", report);
    }
    let of_pod = context.field("appArmorProfile");
    let on_windows = spec.field("os").text("name") == "windows";
    each_container(spec, |container| {
        let name = container.text("name");
        let context = container.field("securityContext");
        if let Some(note) =
            annotations.value().get(format!("{SECCOMP_CONTAINER}{name}")).and_then(Value::as_str)
        {
            agree(note, &context.field("seccompProfile"), "seccomp", report);
        }
        let note = annotations.value().get(format!("{APP_ARMOR}{name}")).and_then(Value::as_str);
        if let Some(note) = note.filter(|_| !on_windows) {
            let own = context.field("appArmorProfile");
            let profile = if own.is_set() { own } else { own.with(of_pod.value()) };
            agree(note, &profile, "apparmor", report);
        }
    });
}

fn agree(note: &str, profile: &Place, what: &str, report: &mut Report) {
    let kind = profile.field("type");
    let fits = match kind.as_text() {
        "Unconfined" => note == "unconfined",
        "RuntimeDefault" => note == "runtime/default" || (what == "seccomp" && note == "docker/default"),
        "Localhost" => match note.strip_prefix("localhost/") {
            Some(named) if profile.has("localhostProfile") && named == profile.text("localhostProfile") => {
                true
            }
            Some(_) => {
                let detail = format!("{what} profile in annotation and field must match");
                return report.forbidden(&profile.field("localhostProfile"), &detail);
            }
            None => false,
        },
        _ => true,
    };
    if !fits {
        report.forbidden(&kind, &format!("{what} type in annotation and field must match"));
    }
}

/// Annotations that never change after a pod was made.
pub(super) fn fixed<'o>(new: &Place<'o, '_>, old: &Place<'o, '_>, report: &mut Report) {
    let fixed = |key: &str| key == MIRROR || key.starts_with(APP_ARMOR);
    let what = |key: &str| if key == MIRROR { "mirror pod annotation" } else { "AppArmor annotations" };
    for (key, value) in old.entries().filter(|(key, _)| fixed(key)) {
        if new.value().get(key) != Some(value.value()) {
            report.forbidden(&new.key(key), &format!("may not remove or update {}", what(key)));
        }
    }
    for (key, value) in new.entries().filter(|(key, _)| fixed(key)) {
        if old.value().get(key).is_none() {
            report.forbidden(&value, &format!("may not add {}", what(key)));
        }
    }
}

/// Whether a pod stands for one that a node runs by itself.
pub(super) fn is_mirror(object: &Place) -> bool {
    object.field("metadata").field("annotations").has(MIRROR)
}
