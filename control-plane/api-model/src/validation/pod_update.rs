//! What may change in a pod after it was created.

use super::report::{Report, list, number};
use crate::path::FieldPath;
use serde_json::{Value, json};

const FIXED: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

pub(super) fn changes(new: &Value, old: &Value, report: &mut Report) {
    let (Some(new), Some(old)) = (new.get("spec"), old.get("spec")) else { return };
    if new == old {
        return;
    }
    let path = FieldPath::new("spec");
    for field in ["containers", "initContainers"] {
        if list(new, field).len() != list(old, field).len() {
            report.forbidden(&path.child(field), "pod updates may not add or remove containers");
            return;
        }
    }
    deadline(new, old, &path, report);
    let tolerations = list(new, "tolerations");
    if list(old, "tolerations").iter().any(|t| !tolerations.contains(t)) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        report.forbidden(&path.child("tolerations"), detail);
    }
    let gates = list(old, "schedulingGates");
    if let Some(added) = list(new, "schedulingGates").iter().position(|g| !gates.contains(g)) {
        let detail = "only deletion is allowed, but found new scheduling gate";
        report.forbidden(&path.child("schedulingGates").index(added), detail);
    }
    if masked(new, old) != *old {
        report.forbidden(&path, FIXED);
    }
}

fn deadline(new: &Value, old: &Value, path: &FieldPath, report: &mut Report) {
    let at = path.child("activeDeadlineSeconds");
    match (number(new, "activeDeadlineSeconds"), number(old, "activeDeadlineSeconds")) {
        (Some(now), Some(before)) if now > before => {
            report.invalid(
                &at,
                &now.into(),
                &format!("must be less than or equal to previous value {before}"),
            );
        }
        (None, Some(_)) => {
            report.invalid(&at, &Value::Null, "must not update from a positive integer to nil value")
        }
        _ => {}
    }
}

/// The new specification with everything that may change put back as it was.
fn masked(new: &Value, old: &Value) -> Value {
    let mut masked = new.clone();
    let Some(map) = masked.as_object_mut() else { return masked };
    let mut fields = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates"];
    if number(old, "terminationGracePeriodSeconds").unwrap_or(0) < 0
        && new["terminationGracePeriodSeconds"] == json!(1)
    {
        fields.push("terminationGracePeriodSeconds");
    }
    // A pod still held by gates may be narrowed to fewer nodes.
    if !list(old, "schedulingGates").is_empty() {
        fields.extend(["nodeSelector", "affinity"]);
    }
    for field in fields {
        match old.get(field) {
            Some(value) => map.insert(field.to_owned(), value.clone()),
            None => map.remove(field),
        };
    }
    for field in ["containers", "initContainers"] {
        let Some(Value::Array(containers)) = map.get_mut(field) else { continue };
        for (container, before) in containers.iter_mut().zip(list(old, field)) {
            if let (Some(container), Some(image)) = (container.as_object_mut(), before.get("image")) {
                container.insert("image".to_owned(), image.clone());
            }
        }
    }
    masked
}
