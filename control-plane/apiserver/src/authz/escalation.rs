//! Nobody may grant what he does not hold: checked when roles and bindings are written.

use std::collections::BTreeSet;

use serde_json::Value;

use super::rbac::{GROUP, Unresolved};
use super::{Authorizer, MASTERS, Rule};
use crate::attributes::{ApiError, Attributes, UserInfo, text};

/// Checks a write of `roles`, `clusterroles`, `rolebindings` or `clusterrolebindings`; anything else passes. `old` is
/// what is stored. A role may be written by who holds its rules or may `escalate`; a binding by who holds the
/// role's rules or may `bind` the role. A role that sums others up may be written by who holds everything.
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
    let fields: &[&str] = match plural {
        "roles" | "clusterroles" => &["rules", "aggregationRule"],
        "rolebindings" | "clusterrolebindings" => &["roleRef", "subjects"],
        _ => return Ok(()),
    };
    let asker = Asker { authorizer, user, plural, namespace, name: text(object, "/metadata/name") };
    if old.is_some_and(|old| fields.iter().all(|field| old.get(field) == object.get(field))) {
        return Ok(());
    }
    match plural {
        "roles" | "clusterroles" => asker.may_write_role(object),
        _ => asker.may_write_binding(object),
    }
}

struct Asker<'a> {
    authorizer: &'a Authorizer,
    user: &'a UserInfo,
    plural: &'a str,
    namespace: &'a str,
    name: &'a str,
}

impl Asker<'_> {
    fn may(&self, verb: &str, resource: &str, name: &str) -> bool {
        let asked = Attributes {
            user: std::sync::Arc::new(self.user.clone()),
            verb: verb.to_owned(),
            group: GROUP.to_owned(),
            version: "v1".to_owned(),
            resource: resource.to_owned(),
            namespace: self.namespace.to_owned(),
            name: name.to_owned(),
            is_resource: true,
            ..Attributes::default()
        };
        self.authorizer.authorize(&asked).allowed()
    }

    fn may_write_role(&self, role: &Value) -> Result<(), ApiError> {
        if self.may("escalate", self.plural, self.name) {
            return Ok(());
        }
        self.holds(&Rule::of_role(role))?;
        let sums_up = role.get("aggregationRule").is_some_and(|rule| !rule.is_null());
        if sums_up && self.plural == "clusterroles" && self.holds(&Rule::everything()).is_err() {
            let why = "must have cluster-admin privileges to use the aggregationRule";
            return Err(ApiError::forbidden(GROUP, self.plural, self.name, why));
        }
        Ok(())
    }

    fn may_write_binding(&self, binding: &Value) -> Result<(), ApiError> {
        let role_ref = &binding["roleRef"];
        let resource = if text(role_ref, "/kind") == "Role" { "roles" } else { "clusterroles" };
        let name = text(role_ref, "/name");
        if self.may("bind", resource, name) {
            return Ok(());
        }
        let rules = self.authorizer.rbac().rules_of_ref(role_ref, self.namespace);
        self.holds(&rules.ok_or_else(|| ApiError::not_found(GROUP, resource, name))?)
    }

    fn holds(&self, wanted: &[Rule]) -> Result<(), ApiError> {
        let (held, unresolved) = self.authorizer.rbac().rules_for(self.user, self.namespace);
        let missing = missing(&held, wanted);
        if missing.is_empty() {
            return Ok(());
        }
        let why = self.attempt(&missing, &unresolved);
        Err(ApiError::forbidden(GROUP, self.plural, self.name, &why))
    }

    fn attempt(&self, missing: &[Rule], unresolved: &[Unresolved]) -> String {
        let groups: Vec<String> = self.user.groups.iter().map(|group| format!("{group:?}")).collect();
        let rules: BTreeSet<String> = compact(missing).iter().map(Rule::to_string).collect();
        let rules: Vec<String> = rules.into_iter().collect();
        let mut text = format!(
            "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
            self.user.name,
            groups.join(" "),
            rules.join("\n")
        );
        if !unresolved.is_empty() {
            let told: Vec<String> = unresolved.iter().map(Unresolved::told_by_registry).collect();
            text.push_str(&format!("; resolution errors: [{}]", told.join(" ")));
        }
        text
    }
}

/// The parts of `wanted` that `held` does not cover, each with one verb, group, resource and name.
pub fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let atoms = wanted.iter().flat_map(Rule::atoms);
    atoms.filter(|atom| !held.iter().any(|rule| rule.covers(atom))).collect()
}

/// Verbs on the same thing said together, for people.
fn compact(atoms: &[Rule]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for atom in atoms {
        let same = |rule: &&mut Rule| {
            rule.urls.is_empty()
                && (&rule.groups, &rule.resources, &rule.names)
                    == (&atom.groups, &atom.resources, &atom.names)
        };
        match rules.iter_mut().find(same).filter(|_| atom.urls.is_empty()) {
            Some(rule) => {
                for verb in &atom.verbs {
                    if !rule.verbs.contains(verb) {
                        rule.verbs.push(verb.clone());
                    }
                }
            }
            None => rules.push(atom.clone()),
        }
    }
    rules
}
