//! Names, group and scope of a definition.

use api_model::validation::names::{dns1035_label, dns1123_subdomain};
use api_model::{Cause, FieldPath};
use serde_json::Value;

use crate::registry::object::{at, items, name, text};

/// Marks a group of the community as approved.
const APPROVED: &str = "api-approved.kubernetes.io";

pub(super) fn metadata(new: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let (group, plural) = (text(new, &["spec", "group"]), text(new, &["spec", "names", "plural"]));
    let path = FieldPath::new("metadata");
    if name(new) != format!("{plural}.{group}") {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid_str(&path.child("name"), name(new), detail));
    }
    let approval = |of: &Value| at(of, &["metadata", "annotations", APPROVED]).as_str().map(str::to_owned);
    if protected(group) && old.is_none_or(|old| approval(old) != approval(new)) {
        let path = path.child("annotations").key(APPROVED);
        let link = "see https://github.com/kubernetes/enhancements/pull/1111";
        match approval(new).as_deref() {
            None | Some("") => {
                let detail = format!("protected groups must have approval annotation {APPROVED:?}, {link}");
                causes.push(Cause::required(&path, &detail));
            }
            Some(given) if !approves(given) => {
                let detail = format!(
                    "protected groups must have approval annotation {APPROVED:?} with either a URL or a reason starting with \"unapproved\", {link}"
                );
                causes.push(Cause::invalid_str(&path, given, &detail));
            }
            Some(_) => {}
        }
    }
}

/// Groups whose names are the community's.
pub(crate) fn protected(group: &str) -> bool {
    ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group == *domain || group.ends_with(&format!(".{domain}")))
}

/// Whether the mark is a page or says that there is no approval.
pub(crate) fn approves(given: &str) -> bool {
    given.starts_with("unapproved") || given.starts_with("https://") || given.starts_with("http://")
}

pub(super) fn spec(definition: &Value, causes: &mut Vec<Cause>) {
    let spec = FieldPath::new("spec");
    let group = text(definition, &["spec", "group"]);
    let wrong = dns1123_subdomain(group);
    if group.is_empty() {
        causes.push(Cause::required(&spec.child("group"), ""));
    } else if !wrong.is_empty() {
        causes.push(Cause::invalid_str(&spec.child("group"), group, &wrong.join(",")));
    } else if !group.contains('.') {
        causes.push(Cause::invalid_str(
            &spec.child("group"),
            group,
            "should be a domain with at least one dot",
        ));
    }
    match text(definition, &["spec", "scope"]) {
        "" => causes.push(Cause::required(&spec.child("scope"), "")),
        "Cluster" | "Namespaced" => {}
        _ => {
            let given = at(definition, &["spec", "scope"]);
            causes.push(Cause::unsupported(&spec.child("scope"), given, &["Cluster", "Namespaced"]));
        }
    }
    let names = at(definition, &["spec", "names"]);
    let path = spec.child("names");
    for key in ["plural", "singular", "kind", "listKind"] {
        if text(names, &[key]).is_empty() {
            causes.push(Cause::required(&path.child(key), ""));
        }
    }
    forms(names, &path, causes);
}

fn forms(names: &Value, path: &FieldPath, causes: &mut Vec<Cause>) {
    for key in ["plural", "singular"] {
        let given = text(names, &[key]);
        let wrong = dns1035_label(given);
        if !given.is_empty() && !wrong.is_empty() {
            causes.push(Cause::invalid_str(&path.child(key), given, &wrong.join(",")));
        }
    }
    for key in ["kind", "listKind"] {
        let given = text(names, &[key]);
        let wrong = dns1035_label(&given.to_lowercase());
        if !given.is_empty() && !wrong.is_empty() {
            let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
            causes.push(Cause::invalid_str(&path.child(key), given, &detail));
        }
    }
    let list_kind = text(names, &["listKind"]);
    if !list_kind.is_empty() && list_kind == text(names, &["kind"]) {
        let detail = "kind and listKind may not be the same";
        causes.push(Cause::invalid_str(&path.child("listKind"), list_kind, detail));
    }
    for key in ["shortNames", "categories"] {
        for (index, given) in items(names, &[key]).iter().enumerate() {
            let given = given.as_str().unwrap_or_default();
            let wrong = dns1035_label(given);
            if !wrong.is_empty() {
                causes.push(Cause::invalid_str(&path.child(key).index(index), given, &wrong.join(",")));
            }
        }
    }
}

/// What names objects in the store and in messages does not change.
pub(super) fn unchanged(new: &Value, old: &Value, causes: &mut Vec<Cause>) {
    let conditions = items(old, &["status", "conditions"]);
    let established = conditions
        .iter()
        .any(|one| text(one, &["type"]) == "Established" && text(one, &["status"]) == "True");
    let mut fixed: Vec<&[&str]> = vec![&["spec", "group"], &["spec", "names", "plural"]];
    if established {
        fixed.splice(0..0, [&["spec", "scope"][..], &["spec", "names", "kind"][..]]);
    }
    for path in fixed {
        if at(new, path) != at(old, path) {
            let cause = Cause::invalid(&FieldPath::new(&path.join(".")), at(new, path), "field is immutable");
            causes.push(cause);
        }
    }
}
