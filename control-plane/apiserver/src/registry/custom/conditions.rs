//! What a definition's status says: which of its names are its own, and whether it is served.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::{check, storage_version};
use crate::registry::object::{at, items, text};

/// Marks a group of the community as approved.
const APPROVED: &str = "api-approved.kubernetes.io";

/// Whether a condition of a definition holds.
pub fn holds(definition: &Value, kind: &str) -> bool {
    let conditions = items(definition, &["status", "conditions"]);
    conditions.iter().any(|one| text(one, &["type"]) == kind && text(one, &["status"]) == "True")
}

/// The status of a definition that replaces `old`, among the accepted names of the `others` in its group.
pub(super) fn status<'o>(
    new: &Value,
    old: Option<&Value>,
    others: impl Iterator<Item = &'o Value>,
    now: &str,
) -> Value {
    let before = old.map(|old| at(old, &["status"])).cloned().unwrap_or_default();
    let mut stored = items(&before, &["storedVersions"]).to_vec();
    let version = json!(storage_version(new));
    if !stored.contains(&version) {
        stored.push(version);
    }
    let (names, conflict) = accepted(at(new, &["spec", "names"]), at(&before, &["acceptedNames"]), others);
    let mut conditions = items(&before, &["conditions"]).to_vec();
    approval(new, &mut conditions, now);
    match &conflict {
        None => {
            set(&mut conditions, ("NamesAccepted", "True"), "NoConflicts", "no conflicts found", now);
            if !established(&conditions) {
                let message = "the initial names have been accepted";
                set(&mut conditions, ("Established", "True"), "InitialNamesAccepted", message, now);
            }
        }
        Some((reason, message)) => {
            set(&mut conditions, ("NamesAccepted", "False"), reason, message, now);
            if !established(&conditions) {
                let message = "not all names are accepted";
                set(&mut conditions, ("Established", "False"), "NotAccepted", message, now);
            }
        }
    }
    json!({"acceptedNames": names, "storedVersions": stored, "conditions": conditions})
}

/// Sets a condition; its time changes with its status.
pub(super) fn set(
    conditions: &mut Vec<Value>,
    (kind, status): (&str, &str),
    reason: &str,
    message: &str,
    now: &str,
) {
    let known = conditions.iter_mut().find(|one| text(one, &["type"]) == kind);
    let since = known.as_deref().filter(|known| text(known, &["status"]) == status);
    let since = since.map_or(now, |known| text(known, &["lastTransitionTime"])).to_owned();
    let made = json!({
        "type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
    });
    match known {
        Some(known) => *known = made,
        None => conditions.push(made),
    }
}

fn established(conditions: &[Value]) -> bool {
    conditions.iter().any(|one| text(one, &["type"]) == "Established" && text(one, &["status"]) == "True")
}

/// Groups of the community are served with a mark only; what it says is shown.
fn approval(definition: &Value, conditions: &mut Vec<Value>, now: &str) {
    if !check::protected(text(definition, &["spec", "group"])) {
        return;
    }
    let kind = "KubernetesAPIApprovalPolicyConformant";
    let given = text(definition, &["metadata", "annotations", APPROVED]);
    if given.starts_with("unapproved") {
        let message = format!("not approved: {given:?}");
        set(conditions, (kind, "False"), "UnapprovedAnnotation", &message, now);
    } else if check::approves(given) {
        let message = format!("approved in {given}");
        set(conditions, (kind, "True"), "ApprovedAnnotation", &message, now);
    } else {
        let message = format!(
            "protected groups must have approval annotation {APPROVED:?}, see https://github.com/kubernetes/enhancements/pull/1111"
        );
        set(conditions, (kind, "False"), "MissingAnnotation", &message, now);
    }
}

/// The names that are accepted, and which conflict comes last, as upstream says it.
fn accepted<'o>(
    wanted: &Value,
    had: &Value,
    others: impl Iterator<Item = &'o Value>,
) -> (Value, Option<(&'static str, String)>) {
    let (mut resources, mut kinds) = (HashSet::new(), HashSet::new());
    for names in others {
        resources.extend(["plural", "singular"].map(|key| text(names, &[key])));
        resources.extend(items(names, &["shortNames"]).iter().filter_map(Value::as_str));
        kinds.extend(["kind", "listKind"].map(|key| text(names, &[key])));
    }
    let mut names: Map<String, Value> = had.as_object().cloned().unwrap_or_default();
    for key in ["plural", "kind"] {
        names.entry(key).or_insert_with(|| json!(""));
    }
    let mut conflict = None;
    let in_use = |name: &str| format!("{name:?} is already in use");
    for (key, used, reason) in [
        ("plural", &resources, "PluralConflict"),
        ("singular", &resources, "SingularConflict"),
        ("shortNames", &resources, "ShortNamesConflict"),
        ("kind", &kinds, "KindConflict"),
        ("listKind", &kinds, "ListKindConflict"),
    ] {
        let given = at(wanted, &[key]);
        let before = at(had, &[key]);
        let new: Vec<&str> = match given {
            Value::Array(list) => {
                let had = before.as_array().map(Vec::as_slice).unwrap_or_default();
                list.iter().filter(|one| !had.contains(one)).filter_map(Value::as_str).collect()
            }
            given if given == before => Vec::new(),
            given => given.as_str().into_iter().collect(),
        };
        let taken: Vec<String> =
            new.iter().filter(|name| used.contains(**name)).map(|name| in_use(name)).collect();
        match taken.as_slice() {
            [] if given.is_null() => {
                names.remove(key);
            }
            [] => {
                names.insert(key.to_owned(), given.clone());
            }
            [one] => conflict = Some((reason, one.clone())),
            many => conflict = Some((reason, format!("[{}]", many.join(", ")))),
        }
    }
    match at(wanted, &["categories"]) {
        Value::Null => names.remove("categories"),
        categories => names.insert("categories".to_owned(), categories.clone()),
    };
    (Value::Object(names), conflict)
}
