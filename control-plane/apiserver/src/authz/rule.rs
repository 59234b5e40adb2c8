//! One policy rule: what it matches and what it covers.

use serde_json::{Value, json};

use crate::attributes::{Attributes, texts};

/// `rbac.authorization.k8s.io` `PolicyRule`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Verbs; `*` is all.
    pub verbs: Vec<String>,
    /// API groups; the empty text is core.
    pub groups: Vec<String>,
    /// `pods`, `pods/log`, `*/scale`, `*`.
    pub resources: Vec<String>,
    /// Names; none means all.
    pub names: Vec<String>,
    /// Paths that are no resources; `*` at the end matches the rest.
    pub urls: Vec<String>,
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == "*" || one == wanted)
}

fn url_matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => pattern == path,
    }
}

fn resource_matches(list: &[String], resource: &str, subresource: &str) -> bool {
    list.iter().any(|one| match (one.as_str(), subresource) {
        ("*", _) => true,
        (one, "") => one == resource,
        (one, sub) => {
            one.split_once('/').is_some_and(|(of, which)| which == sub && (of == "*" || of == resource))
        }
    })
}

impl Rule {
    /// Reads a rule as it is stored.
    pub fn parse(value: &Value) -> Self {
        Self {
            verbs: texts(value, "/verbs"),
            groups: texts(value, "/apiGroups"),
            resources: texts(value, "/resources"),
            names: texts(value, "/resourceNames"),
            urls: texts(value, "/nonResourceURLs"),
        }
    }

    /// The rules of a role.
    pub fn of_role(role: &Value) -> Vec<Self> {
        crate::attributes::items(role, "/rules").iter().map(Self::parse).collect()
    }

    /// The rules of who may do everything.
    pub fn everything() -> Vec<Self> {
        let all = || vec!["*".to_owned()];
        vec![
            Self { verbs: all(), groups: all(), resources: all(), ..Self::default() },
            Self { verbs: all(), urls: all(), ..Self::default() },
        ]
    }

    /// As it is stored.
    pub fn to_value(&self) -> Value {
        let mut value = json!({"verbs": self.verbs});
        let fields = [
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.urls),
        ];
        for (field, list) in fields {
            if !list.is_empty() {
                value[field] = json!(list);
            }
        }
        value
    }

    /// Whether it allows a request.
    pub fn matches(&self, attributes: &Attributes) -> bool {
        if !has(&self.verbs, &attributes.verb) {
            return false;
        }
        if !attributes.is_resource {
            return self.urls.iter().any(|pattern| url_matches(pattern, &attributes.path));
        }
        has(&self.groups, &attributes.group)
            && resource_matches(&self.resources, &attributes.resource, &attributes.subresource)
            && (self.names.is_empty() || self.names.contains(&attributes.name))
    }

    /// The rule taken apart: one verb, group, resource, name each.
    pub fn atoms(&self) -> Vec<Self> {
        let mut atoms = Vec::new();
        let one = |list: &str| vec![list.to_owned()];
        for verb in &self.verbs {
            for url in &self.urls {
                atoms.push(Self { verbs: one(verb), urls: one(url), ..Self::default() });
            }
            for group in &self.groups {
                for resource in &self.resources {
                    let atom = Self {
                        verbs: one(verb),
                        groups: one(group),
                        resources: one(resource),
                        ..Self::default()
                    };
                    if self.names.is_empty() {
                        atoms.push(atom);
                    } else {
                        atoms.extend(self.names.iter().map(|name| Self { names: one(name), ..atom.clone() }));
                    }
                }
            }
        }
        atoms
    }

    /// Whether everything the atom allows is allowed by this rule.
    pub fn covers(&self, atom: &Self) -> bool {
        let all = |mine: &[String], wanted: &[String]| {
            mine.iter().any(|one| one == "*") || wanted.iter().all(|one| mine.contains(one))
        };
        let resources = || {
            atom.resources.iter().all(|wanted| {
                self.resources.iter().any(|mine| {
                    mine == "*"
                        || mine == wanted
                        || matches!((mine.split_once('/'), wanted.split_once('/')),
                            (Some(("*", mine)), Some((_, wanted))) if mine == wanted)
                })
            })
        };
        let names = || {
            self.names.is_empty()
                || (!atom.names.is_empty() && atom.names.iter().all(|name| self.names.contains(name)))
        };
        let urls = || {
            atom.urls.iter().all(|wanted| {
                self.urls.iter().any(|mine| {
                    mine == wanted || mine.ends_with('*') && wanted.starts_with(mine.trim_end_matches('*'))
                })
            })
        };
        all(&self.verbs, &atom.verbs) && all(&self.groups, &atom.groups) && resources() && names() && urls()
    }
}

impl std::fmt::Display for Rule {
    /// As upstream prints a rule that is missing: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("ResourceNames", &self.names),
            ("NonResourceURLs", &self.urls),
            ("Verbs", &self.verbs),
        ];
        let shown: Vec<String> = fields
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| {
                let quoted: Vec<String> = list.iter().map(|one| format!("\"{one}\"")).collect();
                format!("{name}:[{}]", quoted.join(" "))
            })
            .collect();
        write!(f, "{{{}}}", shown.join(", "))
    }
}
