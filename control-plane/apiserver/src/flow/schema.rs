//! Which flow schema a request falls under, and which flow of it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::HeaderValue;
use serde_json::Value;

use super::level::Level;
use crate::attributes::{UserInfo, items, text, texts};

/// A request as classification sees it.
#[derive(Debug, Clone, Copy)]
pub struct Digest<'a> {
    /// Who asks.
    pub user: &'a UserInfo,
    /// The verb.
    pub verb: &'a str,
    /// Whether it is about a resource.
    pub is_resource: bool,
    /// API group.
    pub group: &'a str,
    /// Plural name.
    pub resource: &'a str,
    /// Subresource, or empty.
    pub subresource: &'a str,
    /// Namespace, or empty.
    pub namespace: &'a str,
    /// Name, or empty.
    pub name: &'a str,
    /// The URL's path.
    pub path: &'a str,
}

#[derive(Debug)]
enum Subject {
    User(String),
    Group(String),
    ServiceAccount { namespace: String, name: String },
}

#[derive(Debug)]
struct ResourceRule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    namespaces: Vec<String>,
    cluster: bool,
}

#[derive(Debug)]
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    /// Verbs and paths.
    others: Vec<(Vec<String>, Vec<String>)>,
}

/// What tells the flows of a schema apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Distinguisher {
    Nothing,
    User,
    Namespace,
}

/// What happened to requests of a schema.
#[derive(Debug, Default)]
pub struct Counters {
    /// Started.
    pub dispatched: AtomicU64,
    /// Refused because no seat was free.
    pub concurrency_limit: AtomicU64,
    /// Refused because their queue was full.
    pub queue_full: AtomicU64,
    /// Waited too long.
    pub timed_out: AtomicU64,
    /// Gave up.
    pub cancelled: AtomicU64,
}

/// A compiled flow schema.
pub struct Schema {
    /// Its name.
    pub name: String,
    /// Its uid, for the response.
    pub uid: HeaderValue,
    /// Smaller numbers are asked first.
    pub precedence: i64,
    /// Where its requests queue.
    pub level: Arc<Level>,
    /// What happened.
    pub counters: Arc<Counters>,
    distinguisher: Distinguisher,
    rules: Vec<Rule>,
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == "*" || one == wanted)
}

impl Subject {
    fn parse(value: &Value) -> Option<Self> {
        let at = |pointer| text(value, pointer).to_owned();
        match text(value, "/kind") {
            "User" => Some(Self::User(at("/user/name"))),
            "Group" => Some(Self::Group(at("/group/name"))),
            "ServiceAccount" => Some(Self::ServiceAccount {
                namespace: at("/serviceAccount/namespace"),
                name: at("/serviceAccount/name"),
            }),
            _ => None,
        }
    }

    fn matches(&self, user: &UserInfo) -> bool {
        match self {
            Self::User(name) => name == "*" || *name == user.name,
            Self::Group(name) => name == "*" || user.is_in(name),
            Self::ServiceAccount { namespace, name } => {
                let account =
                    user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
                account.is_some_and(|(of, account)| of == namespace && (name == "*" || name == account))
            }
        }
    }
}

impl ResourceRule {
    fn parse(value: &Value) -> Self {
        Self {
            verbs: texts(value, "/verbs"),
            groups: texts(value, "/apiGroups"),
            resources: texts(value, "/resources"),
            namespaces: texts(value, "/namespaces"),
            cluster: value.get("clusterScope") == Some(&Value::Bool(true)),
        }
    }

    fn matches(&self, request: &Digest<'_>) -> bool {
        let placed = match request.namespace {
            "" => self.cluster,
            namespace => has(&self.namespaces, namespace),
        };
        let resource = || {
            self.resources.iter().any(|one| match (one.as_str(), request.subresource) {
                ("*", _) => true,
                (one, "") => one == request.resource,
                (one, sub) => one.split_once('/') == Some((request.resource, sub)),
            })
        };
        placed && has(&self.verbs, request.verb) && has(&self.groups, request.group) && resource()
    }
}

fn path_matches(patterns: &[String], path: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(prefix) => pattern == "*" || path.starts_with(prefix),
        None => pattern == path,
    })
}

impl Rule {
    fn parse(value: &Value) -> Self {
        Self {
            subjects: items(value, "/subjects").iter().filter_map(Subject::parse).collect(),
            resources: items(value, "/resourceRules").iter().map(ResourceRule::parse).collect(),
            others: items(value, "/nonResourceRules")
                .iter()
                .map(|rule| (texts(rule, "/verbs"), texts(rule, "/nonResourceURLs")))
                .collect(),
        }
    }

    fn matches(&self, request: &Digest<'_>) -> bool {
        let about = || {
            if request.is_resource {
                self.resources.iter().any(|rule| rule.matches(request))
            } else {
                self.others
                    .iter()
                    .any(|(verbs, paths)| has(verbs, request.verb) && path_matches(paths, request.path))
            }
        };
        self.subjects.iter().any(|subject| subject.matches(request.user)) && about()
    }
}

/// What a schema needs from its object before its level is known.
pub(super) fn level_name(object: &Value) -> &str {
    text(object, "/spec/priorityLevelConfiguration/name")
}

impl Schema {
    /// Reads a stored schema whose level is there.
    pub(super) fn parse(object: &Value, level: Arc<Level>, counters: Arc<Counters>) -> Self {
        let uid = HeaderValue::from_str(text(object, "/metadata/uid"));
        Self {
            name: text(object, "/metadata/name").to_owned(),
            uid: uid.unwrap_or(HeaderValue::from_static("")),
            precedence: object.pointer("/spec/matchingPrecedence").and_then(Value::as_i64).unwrap_or(1000),
            level,
            counters,
            distinguisher: match text(object, "/spec/distinguisherMethod/type") {
                "ByUser" => Distinguisher::User,
                "ByNamespace" => Distinguisher::Namespace,
                _ => Distinguisher::Nothing,
            },
            rules: items(object, "/spec/rules").iter().map(Rule::parse).collect(),
        }
    }

    /// Whether a request falls under it.
    pub fn matches(&self, request: &Digest<'_>) -> bool {
        self.rules.iter().any(|rule| rule.matches(request))
    }

    /// What tells the request's flow from others of the schema.
    pub fn distinguisher<'a>(&self, request: &Digest<'a>) -> &'a str {
        match self.distinguisher {
            Distinguisher::Nothing => "",
            Distinguisher::User => &request.user.name,
            Distinguisher::Namespace => request.namespace,
        }
    }

    /// The flow as a number.
    pub fn flow(&self, distinguisher: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.name, distinguisher).hash(&mut hasher);
        hasher.finish()
    }
}
