//! Roles and bindings, compiled once for as long as they do not change.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

use super::rule::Rule;
use crate::attributes::{Attributes, Decision, Objects, UserInfo, items, text};

/// Group of the RBAC resources.
pub const GROUP: &str = "rbac.authorization.k8s.io";
const PLURALS: [&str; 4] = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"];

/// A binding as seen from its subject.
struct Grant {
    /// Empty for a cluster role binding.
    namespace: String,
    binding: String,
    role_kind: String,
    role: String,
    rules: Option<Arc<Vec<Rule>>>,
}

/// Subject ("u:name" or "g:name") → what it was granted.
type Grants = HashMap<String, Vec<Grant>>;

/// The role-based authoriser.
pub struct Rbac {
    objects: Arc<dyn Objects>,
    compiled: Mutex<Option<([u64; 4], Arc<Grants>)>>,
}

/// How a subject of a binding is looked up; none for what cannot be a subject.
fn subject_key(subject: &Value, namespace: &str) -> Option<String> {
    let name = text(subject, "/name");
    match text(subject, "/kind") {
        "User" => Some(format!("u:{name}")),
        "Group" => Some(format!("g:{name}")),
        "ServiceAccount" => {
            let own = text(subject, "/namespace");
            let own = if own.is_empty() { namespace } else { own };
            Some(format!("u:system:serviceaccount:{own}:{name}"))
        }
        _ => None,
    }
}

impl Rbac {
    /// Over these objects.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        Self { objects, compiled: Mutex::new(None) }
    }

    fn grants(&self) -> Arc<Grants> {
        let versions = PLURALS.map(|plural| self.objects.version(GROUP, plural));
        let mut compiled = self.compiled.lock();
        if let Some((of, grants)) = compiled.as_ref()
            && *of == versions
        {
            return grants.clone();
        }
        let grants = Arc::new(self.compile());
        *compiled = Some((versions, grants.clone()));
        grants
    }

    fn compile(&self) -> Grants {
        let rules_of = |plural: &str| -> BTreeMap<(String, String), Arc<Vec<Rule>>> {
            let roles = self.objects.list(GROUP, plural, None);
            roles
                .iter()
                .map(|role| {
                    let key = (
                        text(role, "/metadata/namespace").to_owned(),
                        text(role, "/metadata/name").to_owned(),
                    );
                    (key, Arc::new(Rule::of_role(role)))
                })
                .collect()
        };
        let (cluster_roles, roles) = (rules_of("clusterroles"), rules_of("roles"));
        let mut grants = Grants::new();
        for plural in ["clusterrolebindings", "rolebindings"] {
            for binding in self.objects.list(GROUP, plural, None) {
                let namespace = text(&binding, "/metadata/namespace");
                let (kind, role) = (text(&binding, "/roleRef/kind"), text(&binding, "/roleRef/name"));
                let rules = match kind {
                    "ClusterRole" => cluster_roles.get(&(String::new(), role.to_owned())),
                    _ => roles.get(&(namespace.to_owned(), role.to_owned())),
                };
                for subject in items(&binding, "/subjects") {
                    let Some(key) = subject_key(subject, namespace) else { continue };
                    grants.entry(key).or_default().push(Grant {
                        namespace: namespace.to_owned(),
                        binding: text(&binding, "/metadata/name").to_owned(),
                        role_kind: kind.to_owned(),
                        role: role.to_owned(),
                        rules: rules.cloned(),
                    });
                }
            }
        }
        grants
    }

    /// Calls `visit` with each grant that counts for the user in the namespace, and the subject's kind and name, until it returns true.
    fn visit(
        &self,
        user: &UserInfo,
        namespace: &str,
        mut visit: impl FnMut(&Grant, &'static str, &str) -> bool,
    ) {
        let grants = self.grants();
        let groups = user.groups.iter().map(|group| ("Group", format!("g:{group}"), group.as_str()));
        let subjects =
            std::iter::once(("User", format!("u:{}", user.name), user.name.as_str())).chain(groups);
        for (kind, key, name) in subjects {
            for grant in grants.get(&key).map_or(&[][..], Vec::as_slice) {
                let counts = grant.namespace.is_empty() || grant.namespace == namespace;
                if counts && visit(grant, kind, name) {
                    return;
                }
            }
        }
    }

    /// Allows, or has no opinion; RBAC never denies.
    pub fn authorize(&self, attributes: &Attributes) -> Decision {
        let mut allowed = None;
        let mut missing = Vec::new();
        self.visit(&attributes.user, &attributes.namespace, |grant, kind, name| {
            let Some(rules) = &grant.rules else {
                let resource = if grant.role_kind == "ClusterRole" { "clusterrole" } else { "role" };
                let text = format!("{resource}.{GROUP} \"{}\" not found", grant.role);
                if !missing.contains(&text) {
                    missing.push(text);
                }
                return false;
            };
            if !rules.iter().any(|rule| rule.matches(attributes)) {
                return false;
            }
            let binding = match grant.namespace.as_str() {
                "" => format!("ClusterRoleBinding \"{}\"", grant.binding),
                namespace => format!("RoleBinding \"{}/{namespace}\"", grant.binding),
            };
            allowed = Some(format!(
                "RBAC: allowed by {binding} of {} \"{}\" to {kind} \"{name}\"",
                grant.role_kind, grant.role
            ));
            true
        });
        match (allowed, missing.as_slice()) {
            (Some(reason), _) => Decision::Allow { reason },
            (None, []) => Decision::NoOpinion { reason: String::new() },
            (None, [one]) => Decision::NoOpinion { reason: format!("RBAC: {one}") },
            (None, many) => Decision::NoOpinion { reason: format!("RBAC: [{}]", many.join(", ")) },
        }
    }

    /// All rules that count for a user in a namespace; without one, the cluster-wide rules.
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> Vec<Rule> {
        let mut found: Vec<Rule> = Vec::new();
        self.visit(user, namespace, |grant, _, _| {
            for rule in grant.rules.iter().flat_map(|rules| rules.iter()) {
                if !found.contains(rule) {
                    found.push(rule.clone());
                }
            }
            false
        });
        found
    }

    /// The rules a role reference stands for.
    pub fn rules_of_ref(&self, role_ref: &Value, namespace: &str) -> Option<Vec<Rule>> {
        let name = text(role_ref, "/name");
        let role = match text(role_ref, "/kind") {
            "ClusterRole" => self.objects.get(GROUP, "clusterroles", "", name),
            "Role" => self.objects.get(GROUP, "roles", namespace, name),
            _ => None,
        }?;
        Some(Rule::of_role(&role))
    }
}
