//! Nobody may grant what he does not hold: checked when roles and bindings are written.

use serde_json::Value;

use super::rbac::GROUP;
use super::{Authorizer, MASTERS, Rule};
use crate::attributes::{ApiError, Attributes, UserInfo, text};

/// Checks a write of `roles`, `clusterroles`, `rolebindings` or `clusterrolebindings`; anything else passes. `old` is
/// what is stored. A role may be written by who holds its rules or may `escalate`; a binding by who holds the
/// role's rules or may `bind` the role.
pub fn check(
    authorizer: &Authorizer,
    user: &UserInfo,
    plural: &str,
    namespace: &str,
    object: &Value,
    old: Option<&Value>,
) -> Result<(), ApiError> {
    if user.is_in(MASTERS) {
        return Ok(());
    }
    let name = text(object, "/metadata/name");
    let (asked, wanted) = match plural {
        "roles" | "clusterroles" => {
            if old.is_some_and(|old| old.get("rules") == object.get("rules")) {
                return Ok(());
            }
            (("escalate", plural, name), Some(Rule::of_role(object)))
        }
        "rolebindings" | "clusterrolebindings" => {
            let same = |old: &Value| {
                old.get("roleRef") == object.get("roleRef") && old.get("subjects") == object.get("subjects")
            };
            if old.is_some_and(same) {
                return Ok(());
            }
            let role_ref = &object["roleRef"];
            let roles = if text(role_ref, "/kind") == "Role" { "roles" } else { "clusterroles" };
            let rules = authorizer.rbac().rules_of_ref(role_ref, namespace);
            (("bind", roles, text(role_ref, "/name")), rules)
        }
        _ => return Ok(()),
    };
    let (verb, resource, resource_name) = asked;
    let may = Attributes {
        user: std::sync::Arc::new(user.clone()),
        verb: verb.to_owned(),
        group: GROUP.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: resource_name.to_owned(),
        is_resource: true,
        ..Attributes::default()
    };
    if authorizer.authorize(&may).allowed() {
        return Ok(());
    }
    let Some(wanted) = wanted else {
        return Err(ApiError::not_found(GROUP, resource, resource_name));
    };
    let held = authorizer.rbac().rules_for(user, namespace);
    let missing = missing(&held, &wanted);
    if missing.is_empty() {
        return Ok(());
    }
    Err(ApiError::forbidden(GROUP, plural, name, &attempt(user, &missing)))
}

/// The parts of `wanted` that `held` does not cover.
fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let atoms = wanted.iter().flat_map(Rule::atoms);
    atoms.filter(|atom| !held.iter().any(|rule| rule.covers(atom))).collect()
}

fn attempt(user: &UserInfo, missing: &[Rule]) -> String {
    let groups: Vec<String> = user.groups.iter().map(|group| format!("\"{group}\"")).collect();
    let rules: Vec<String> = missing.iter().map(Rule::to_string).collect();
    format!(
        "user \"{}\" (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        groups.join(" "),
        rules.join("\n")
    )
}
