//! The audit policy: what is recorded of which requests (`audit.k8s.io/v1` `Policy`).

use serde::Deserialize;

use crate::flow::Digest;

/// How much is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    /// Nothing.
    None,
    /// Who, what, when and how it ended.
    Metadata,
    /// The request's object too.
    Request,
    /// The response's object too.
    RequestResponse,
}

impl Level {
    /// As events spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// When something is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Stage {
    /// Before the request is looked at.
    RequestReceived,
    /// When the head of a long answer is sent.
    ResponseStarted,
    /// When the answer is complete.
    ResponseComplete,
    /// When the server broke over it.
    Panic,
}

impl Stage {
    /// As events spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<GroupResources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    api_version: String,
    kind: String,
    /// A policy may carry a name, which means nothing.
    #[serde(default, rename = "metadata")]
    _metadata: serde::de::IgnoredAny,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is no policy.
    #[error("failed to read the audit policy")]
    Read(#[source] serde_yaml_ng::Error),
    /// It is something else.
    #[error("the audit policy is a `{kind}` of `{api_version}`, not a `Policy` of `audit.k8s.io/v1`")]
    Kind {
        /// What it says it is.
        kind: String,
        /// Of which version.
        api_version: String,
    },
    /// A rule that could never match.
    #[error("rules[{at}]: rules cannot apply to both regular resources and non-resource URLs")]
    Both {
        /// Which.
        at: usize,
    },
    /// A pattern that means nothing.
    #[error(
        "rules[{at}]: non-resource URL `{url}` must begin with `/` or be `*`, and may have `*` only at its end"
    )]
    Url {
        /// Which.
        at: usize,
        /// The pattern.
        url: String,
    },
    /// Names of no resources.
    #[error("rules[{at}]: using resourceNames requires at least one resource")]
    Names {
        /// Which.
        at: usize,
    },
}

/// What is to be done about one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How much.
    pub level: Level,
    /// When not.
    pub omit_stages: Vec<Stage>,
    /// Whether `managedFields` are left out of objects.
    pub omit_managed_fields: bool,
}

/// A policy.
#[derive(Debug, Clone)]
pub struct Policy(Document);

impl Policy {
    /// Reads a policy, YAML or JSON.
    ///
    /// # Errors
    /// When it is none, or a rule makes no sense.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let document: Document = serde_yaml_ng::from_str(text).map_err(PolicyError::Read)?;
        if document.kind != "Policy" || document.api_version != "audit.k8s.io/v1" {
            return Err(PolicyError::Kind { kind: document.kind, api_version: document.api_version });
        }
        for (at, rule) in document.rules.iter().enumerate() {
            let of_resources = !rule.resources.is_empty() || !rule.namespaces.is_empty();
            if of_resources && !rule.non_resource_urls.is_empty() {
                return Err(PolicyError::Both { at });
            }
            let strange = |url: &&String| {
                let body = url.strip_suffix('*').unwrap_or(url);
                *url != "*" && (!body.starts_with('/') || body.contains('*'))
            };
            if let Some(url) = rule.non_resource_urls.iter().find(strange) {
                return Err(PolicyError::Url { at, url: url.clone() });
            }
            if rule.resources.iter().any(|one| !one.resource_names.is_empty() && one.resources.is_empty()) {
                return Err(PolicyError::Names { at });
            }
        }
        Ok(Self(document))
    }

    /// What AKS records: bodies of changes, of reads only that they were, of secrets and tokens never more than that.
    ///
    /// # Errors
    /// Never, as a test shows: it is part of the program.
    pub fn aks() -> Result<Self, PolicyError> {
        Self::parse(include_str!("aks-policy.yaml"))
    }

    /// The first rule that matches decides; without one nothing is recorded.
    pub fn judge(&self, request: &Digest<'_>) -> Verdict {
        let Document { rules, omit_stages, omit_managed_fields, .. } = &self.0;
        match rules.iter().find(|rule| rule.matches(request)) {
            None => Verdict {
                level: Level::None,
                omit_stages: omit_stages.clone(),
                omit_managed_fields: *omit_managed_fields,
            },
            Some(rule) => Verdict {
                level: rule.level,
                omit_stages: omit_stages.iter().chain(&rule.omit_stages).copied().collect(),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(*omit_managed_fields),
            },
        }
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == wanted)
}

impl Rule {
    fn matches(&self, request: &Digest<'_>) -> bool {
        let user = request.user;
        let asked_by = self.users.is_empty() || has(&self.users, &user.name);
        let in_group =
            self.user_groups.is_empty() || user.groups.iter().any(|group| has(&self.user_groups, group));
        let verb = self.verbs.is_empty() || has(&self.verbs, request.verb);
        if !asked_by || !in_group || !verb {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return self.matches_resource(request);
        }
        self.non_resource_urls.is_empty() || self.matches_path(request)
    }

    fn matches_resource(&self, request: &Digest<'_>) -> bool {
        if !request.is_resource || !self.namespaces.is_empty() && !has(&self.namespaces, request.namespace) {
            return false;
        }
        self.resources.is_empty() || self.resources.iter().any(|one| one.matches(request))
    }

    fn matches_path(&self, request: &Digest<'_>) -> bool {
        !request.is_resource
            && self.non_resource_urls.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => request.path.starts_with(prefix),
                None => request.path == pattern,
            })
    }
}

impl GroupResources {
    fn matches(&self, request: &Digest<'_>) -> bool {
        if self.group != request.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.resource_names.is_empty() && !has(&self.resource_names, request.name) {
            return false;
        }
        let Digest { resource, subresource, .. } = *request;
        self.resources.iter().any(|pattern| match (pattern.as_str(), pattern.split_once('/')) {
            ("*", _) => true,
            (_, Some(("*", of))) => !subresource.is_empty() && of == subresource,
            (_, Some((of, "*"))) => of == resource,
            (_, Some((of, sub))) => of == resource && sub == subresource,
            (of, None) => of == resource && subresource.is_empty(),
        })
    }
}
