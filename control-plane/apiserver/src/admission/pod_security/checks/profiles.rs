//! AppArmor, SELinux and seccomp: what confines a container beyond its user.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Violation, is_windows, named, plural, quoted, setters, which, wrong_values};
use crate::attributes::text;

const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

fn annotations(pod: &Value) -> impl Iterator<Item = (&str, &str)> {
    let all = pod.pointer("/metadata/annotations").and_then(Value::as_object).into_iter().flatten();
    all.filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

pub fn app_armor(pod: &Value) -> Option<Violation> {
    let wrong = |kind: &str| !matches!(kind, "RuntimeDefault" | "Localhost");
    let (own, names, values) = wrong_values(pod, "/securityContext/appArmorProfile/type", wrong);
    let fine =
        |value: &str| value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
    let annotated = annotations(pod).filter(|(key, value)| key.starts_with(APP_ARMOR) && !fine(value));
    let annotated: BTreeSet<String> = annotated.map(|(key, value)| format!("{key}={value:?}")).collect();
    let mut who: Vec<String> = setters(own, &names).into_iter().collect();
    let mut all: Vec<String> = values.into_iter().map(str::to_owned).collect();
    if !annotated.is_empty() {
        who.push(plural("annotation", "annotations", annotated.len()).to_owned());
        all.extend(annotated);
    }
    if who.is_empty() {
        return None;
    }
    let reason = plural("forbidden AppArmor profile", "forbidden AppArmor profiles", all.len());
    Violation::new(
        reason,
        format!("{} must not set AppArmor profile type to {}", who.join(" and "), quoted(all)),
    )
}

fn selinux_beyond(pod: &Value, types: &[&str]) -> Option<Violation> {
    let at = |value: &Value, field: &str| {
        text(value, &format!("/securityContext/seLinuxOptions/{field}")).to_owned()
    };
    let bad_type = |value: &Value| !types.contains(&at(value, "type").as_str());
    let wrong =
        |value: &Value| bad_type(value) || !at(value, "user").is_empty() || !at(value, "role").is_empty();
    let spec = &pod["spec"];
    let who = setters(wrong(spec), &which(pod, wrong))?;
    let everywhere: Vec<&Value> = std::iter::once(spec).chain(super::containers(pod)).collect();
    let bad: BTreeSet<String> =
        everywhere.iter().filter(|value| bad_type(value)).map(|value| at(value, "type")).collect();
    let mut data = Vec::new();
    if !bad.is_empty() {
        data.push(format!("{} {}", plural("type", "types", bad.len()), quoted(bad)));
    }
    for field in ["user", "role"] {
        if everywhere.iter().any(|value| !at(value, field).is_empty()) {
            data.push(format!("{field} may not be set"));
        }
    }
    let detail = format!("{who} set forbidden securityContext.seLinuxOptions: {}", data.join("; "));
    Violation::new("seLinuxOptions", detail)
}

pub fn selinux(pod: &Value) -> Option<Violation> {
    selinux_beyond(pod, &["", "container_t", "container_init_t", "container_kvm_t"])
}

pub fn selinux_1_31(pod: &Value) -> Option<Violation> {
    selinux_beyond(pod, &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"])
}

/// Before 1.19 the profile was an annotation.
pub fn seccomp_annotations(pod: &Value) -> Option<Violation> {
    let fine = |value: &str| {
        matches!(value, "runtime/default" | "docker/default") || value.starts_with("localhost/")
    };
    let containers: Vec<String> =
        super::containers(pod).map(|one| format!("{SECCOMP_CONTAINER}{}", text(one, "/name"))).collect();
    let concerns = |key: &str| key == SECCOMP_POD || containers.iter().any(|one| one == key);
    let wrong = annotations(pod).filter(|(key, value)| concerns(key) && !fine(value));
    let wrong: BTreeSet<String> = wrong.map(|(key, value)| format!("{key}={value:?}")).collect();
    if wrong.is_empty() {
        return None;
    }
    let word = plural("annotation", "annotations", wrong.len());
    let list = wrong.into_iter().collect::<Vec<_>>().join(", ");
    Violation::new("seccompProfile", format!("forbidden {word} {list}"))
}

fn is_confined(kind: &str) -> bool {
    matches!(kind, "RuntimeDefault" | "Localhost")
}

const SECCOMP_TYPE: &str = "/securityContext/seccompProfile/type";

pub fn seccomp_baseline(pod: &Value) -> Option<Violation> {
    let (own, names, values) = wrong_values(pod, SECCOMP_TYPE, |kind| !is_confined(kind));
    let who = setters(own, &names)?;
    let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(values));
    Violation::new("seccompProfile", detail)
}

pub fn seccomp_restricted(pod: &Value) -> Option<Violation> {
    if let Some(explicit) = seccomp_baseline(pod) {
        return Some(explicit);
    }
    let confined = is_confined(text(&pod["spec"], SECCOMP_TYPE));
    let silent = which(pod, |one| !confined && text(one, SECCOMP_TYPE).is_empty());
    if silent.is_empty() {
        return None;
    }
    let detail = format!(
        "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
        named(&silent)
    );
    Violation::new("seccompProfile", detail)
}

pub fn seccomp_restricted_1_25(pod: &Value) -> Option<Violation> {
    if is_windows(pod) { None } else { seccomp_restricted(pod) }
}
