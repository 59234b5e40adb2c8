//! The restricted standard: best practice for pods that need nothing special.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Violation, containers, has_own_users, is_windows, named, plural, quoted, setters, which};
use crate::attributes::{items, text};

/// Kinds of volumes a restricted pod may have.
const VOLUMES: [&str; 8] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub fn privilege_escalation(pod: &Value) -> Option<Violation> {
    let names = which(pod, |one| {
        one.pointer("/securityContext/allowPrivilegeEscalation") != Some(&Value::Bool(false))
    });
    if names.is_empty() {
        return None;
    }
    let detail = format!("{} must set securityContext.allowPrivilegeEscalation=false", named(&names));
    Violation::new("allowPrivilegeEscalation != false", detail)
}

pub fn privilege_escalation_1_25(pod: &Value) -> Option<Violation> {
    if is_windows(pod) { None } else { privilege_escalation(pod) }
}

pub fn capabilities(pod: &Value) -> Option<Violation> {
    fn wrongly_added(container: &Value) -> impl Iterator<Item = &str> {
        let all = items(container, "/securityContext/capabilities/add").iter().filter_map(Value::as_str);
        all.filter(|name| *name != "NET_BIND_SERVICE")
    }
    let keeping =
        which(pod, |one| !items(one, "/securityContext/capabilities/drop").iter().any(|name| name == "ALL"));
    let adding = which(pod, |one| wrongly_added(one).next().is_some());
    let mut details = Vec::new();
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", named(&keeping)));
    }
    if !adding.is_empty() {
        let extra: BTreeSet<&str> = containers(pod).flat_map(wrongly_added).collect();
        let extra = quoted(extra);
        details
            .push(format!("{} must not include {extra} in securityContext.capabilities.add", named(&adding)));
    }
    if details.is_empty() { None } else { Violation::new("unrestricted capabilities", details.join("; ")) }
}

pub fn capabilities_1_25(pod: &Value) -> Option<Violation> {
    if is_windows(pod) { None } else { capabilities(pod) }
}

/// What a volume is, by the one field beside its name; `unknown` when there is none.
fn volume_kind(volume: &Value) -> &str {
    let fields = volume.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    fields.map(|(kind, _)| kind.as_str()).find(|kind| *kind != "name").unwrap_or("unknown")
}

pub fn volumes(pod: &Value) -> Option<Violation> {
    let wrong: Vec<&Value> =
        items(pod, "/spec/volumes").iter().filter(|volume| !VOLUMES.contains(&volume_kind(volume))).collect();
    if wrong.is_empty() {
        return None;
    }
    let kinds: BTreeSet<&str> = wrong.iter().map(|volume| volume_kind(volume)).collect();
    let detail = format!(
        "{} {} {} restricted volume {} {}",
        plural("volume", "volumes", wrong.len()),
        quoted(wrong.iter().map(|volume| text(volume, "/name"))),
        plural("uses", "use", wrong.len()),
        plural("type", "types", kinds.len()),
        quoted(kinds)
    );
    Violation::new("restricted volume types", detail)
}

pub fn non_root(pod: &Value) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let stated = |value: &Value| value.pointer("/securityContext/runAsNonRoot").and_then(Value::as_bool);
    let of_pod = stated(&pod["spec"]);
    let roots = which(pod, |one| stated(one) == Some(false));
    if let Some(who) = setters(of_pod == Some(false), &roots) {
        return Violation::new(REASON, format!("{who} must not set securityContext.runAsNonRoot=false"));
    }
    let silent = which(pod, |one| stated(one).is_none() && of_pod != Some(true));
    if silent.is_empty() {
        return None;
    }
    Violation::new(REASON, format!("pod or {} must set securityContext.runAsNonRoot=true", named(&silent)))
}

pub fn non_root_1_35(pod: &Value) -> Option<Violation> {
    if has_own_users(pod) { None } else { non_root(pod) }
}

pub fn user(pod: &Value) -> Option<Violation> {
    let zero = |value: &Value| value.pointer("/securityContext/runAsUser").and_then(Value::as_i64) == Some(0);
    let who = setters(zero(&pod["spec"]), &which(pod, zero))?;
    Violation::new("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

pub fn user_1_35(pod: &Value) -> Option<Violation> {
    if has_own_users(pod) { None } else { user(pod) }
}
