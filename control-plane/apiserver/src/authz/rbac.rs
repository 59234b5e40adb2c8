//! Roles and bindings, compiled once for as long as they do not change.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use serde_json::Value;

use super::rule::Rule;
use crate::attributes::{Attributes, Decision, Objects, UserInfo, VersionReader, items, text};

/// Group of the RBAC resources.
pub const GROUP: &str = "rbac.authorization.k8s.io";
const PLURALS: [&str; 4] = ["clusterroles", "clusterrolebindings", "roles", "rolebindings"];

/// A binding as seen from its subject.
struct Grant {
    /// Empty for a cluster role binding.
    namespace: String,
    role_kind: String,
    role: String,
    /// What is said when it allows something.
    reason: String,
    rules: Option<Arc<Vec<Rule>>>,
}

/// Why a grant allows.
fn reason(namespace: &str, binding: &str, role: (&str, &str), subject: &str) -> String {
    let binding = match namespace {
        "" => format!("ClusterRoleBinding {binding:?}"),
        namespace => format!("RoleBinding \"{binding}/{namespace}\""),
    };
    let (kind, role) = role;
    format!("RBAC: allowed by {binding} of {kind} {role:?} to {subject}")
}

impl Grant {
    fn unresolved(&self) -> Unresolved {
        Unresolved { is_cluster_role: self.role_kind == "ClusterRole", role: self.role.clone() }
    }
}

/// A role that a binding names and that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    is_cluster_role: bool,
    role: String,
}

impl Unresolved {
    /// As the authoriser says it, which looks in its cache.
    pub fn told_by_authorizer(&self) -> String {
        let resource = if self.is_cluster_role { "clusterrole" } else { "role" };
        format!("{resource}.{GROUP} {:?} not found", self.role)
    }

    /// As the registry says it.
    pub fn told_by_registry(&self) -> String {
        let resource = if self.is_cluster_role { "clusterroles" } else { "roles" };
        format!("{resource}.{GROUP} {:?} not found", self.role)
    }
}

/// What was granted, by the name of the user or group; cluster-wide grants first.
#[derive(Default)]
struct Grants {
    users: HashMap<String, Vec<Grant>>,
    groups: HashMap<String, Vec<Grant>>,
}

struct Compiled {
    /// The versions of the four resources it was made of.
    of: [u64; 4],
    grants: Grants,
}

/// The role-based authoriser.
pub struct Rbac {
    objects: Arc<dyn Objects>,
    /// Of the four resources.
    readers: [Option<VersionReader>; 4],
    compiled: ArcSwapOption<Compiled>,
}

impl Rbac {
    /// Over these objects.
    pub fn new(objects: Arc<dyn Objects>) -> Self {
        let readers = PLURALS.map(|plural| objects.version_reader(GROUP, plural));
        Self { objects, readers, compiled: ArcSwapOption::empty() }
    }

    fn versions(&self) -> [u64; 4] {
        let mut versions = [0; 4];
        for ((version, reader), plural) in versions.iter_mut().zip(&self.readers).zip(PLURALS) {
            *version = reader.as_ref().map_or_else(|| self.objects.version(GROUP, plural), |read| read());
        }
        versions
    }

    fn compiled(&self) -> Arc<Compiled> {
        let of = self.versions();
        if let Some(compiled) = self.compiled.load_full().filter(|compiled| compiled.of == of) {
            return compiled;
        }
        // Versions were read first: what changes meanwhile makes it be compiled again.
        let compiled = Arc::new(Compiled { of, grants: self.compile() });
        self.compiled.store(Some(compiled.clone()));
        compiled
    }

    fn compile(&self) -> Grants {
        let rules_of = |plural: &str| -> BTreeMap<(String, String), Arc<Vec<Rule>>> {
            let roles = self.objects.list(GROUP, plural, None);
            let at = |role: &Value, pointer| text(role, pointer).to_owned();
            roles
                .iter()
                .map(|role| {
                    let key = (at(role, "/metadata/namespace"), at(role, "/metadata/name"));
                    (key, Arc::new(Rule::of_role(role)))
                })
                .collect()
        };
        let (cluster_roles, roles) = (rules_of("clusterroles"), rules_of("roles"));
        let mut grants = Grants::default();
        for plural in ["clusterrolebindings", "rolebindings"] {
            for binding in self.objects.list(GROUP, plural, None) {
                let namespace = text(&binding, "/metadata/namespace");
                let (kind, role) = (text(&binding, "/roleRef/kind"), text(&binding, "/roleRef/name"));
                let name = text(&binding, "/metadata/name");
                let rules = match kind {
                    "ClusterRole" => cluster_roles.get(&(String::new(), role.to_owned())),
                    _ => roles.get(&(namespace.to_owned(), role.to_owned())),
                };
                for subject in items(&binding, "/subjects") {
                    grants.add(
                        subject,
                        |subject: String| Grant {
                            namespace: namespace.to_owned(),
                            role_kind: kind.to_owned(),
                            role: role.to_owned(),
                            reason: reason(namespace, name, (kind, role), &subject),
                            rules: rules.cloned(),
                        },
                        namespace,
                    );
                }
            }
        }
        grants
    }

    /// Allows, or has no opinion; RBAC never denies.
    pub fn authorize(&self, attributes: &Attributes) -> Decision {
        let compiled = self.compiled();
        let mut missing: Vec<String> = Vec::new();
        for grant in compiled.grants.of(&attributes.user, &attributes.namespace) {
            match &grant.rules {
                Some(rules) if rules.iter().any(|rule| rule.matches(attributes)) => {
                    return Decision::Allow { reason: grant.reason.clone() };
                }
                Some(_) => {}
                None => {
                    let text = grant.unresolved().told_by_authorizer();
                    if !missing.contains(&text) {
                        missing.push(text);
                    }
                }
            }
        }
        let reason = match missing.as_slice() {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            many => format!("RBAC: [{}]", many.join(", ")),
        };
        Decision::NoOpinion { reason }
    }

    /// All rules that count for a user in a namespace (without one, the cluster-wide rules), and which roles could not be found.
    pub fn rules_for(&self, user: &UserInfo, namespace: &str) -> (Vec<Rule>, Vec<Unresolved>) {
        let compiled = self.compiled();
        let (mut found, mut unresolved): (Vec<Rule>, Vec<Unresolved>) = (Vec::new(), Vec::new());
        for grant in compiled.grants.of(user, namespace) {
            match &grant.rules {
                Some(rules) => {
                    for rule in rules.iter() {
                        if !found.contains(rule) {
                            found.push(rule.clone());
                        }
                    }
                }
                None => unresolved.push(grant.unresolved()),
            }
        }
        (found, unresolved)
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

impl Grants {
    /// Notes a subject of a binding in `namespace`; what cannot be a subject is left out.
    fn add(&mut self, subject: &Value, grant: impl FnOnce(String) -> Grant, namespace: &str) {
        let name = text(subject, "/name");
        let (list, key, shown) = match text(subject, "/kind") {
            "User" => (&mut self.users, name.to_owned(), format!("User {name:?}")),
            "Group" => (&mut self.groups, name.to_owned(), format!("Group {name:?}")),
            "ServiceAccount" => {
                let own = text(subject, "/namespace");
                let own = if own.is_empty() { namespace } else { own };
                let key = format!("system:serviceaccount:{own}:{name}");
                (&mut self.users, key, format!("ServiceAccount \"{name}/{own}\""))
            }
            _ => return,
        };
        list.entry(key).or_default().push(grant(shown));
    }

    /// What counts for a user in a namespace.
    fn of<'a>(&'a self, user: &'a UserInfo, namespace: &'a str) -> impl Iterator<Item = &'a Grant> {
        let own = self.users.get(&user.name).into_iter();
        let through_groups = user.groups.iter().filter_map(|group| self.groups.get(group));
        let all = own.chain(through_groups).flatten();
        all.filter(move |grant| grant.namespace.is_empty() || grant.namespace == namespace)
    }
}
