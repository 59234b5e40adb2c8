//! Which requests webhooks and policies are about: rules and selectors, read once per change of their objects.

use std::sync::Arc;

use api_model::Resource;
use api_model::selector::LabelSelector;
use serde_json::Value;

use super::{Backend, labels};
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, items, text, texts};
use crate::registry::Served;

const REGISTRATION: &str = "admissionregistration.k8s.io";

/// Nobody may lock everybody out of the configurations of admission themselves.
pub(super) fn is_exempt(request: &AdmissionRequest<'_>) -> bool {
    request.resource.group == REGISTRATION
        && matches!(
            request.resource.plural.as_str(),
            "mutatingwebhookconfigurations"
                | "validatingwebhookconfigurations"
                | "validatingadmissionpolicies"
                | "validatingadmissionpolicybindings"
                | "mutatingadmissionpolicies"
                | "mutatingadmissionpolicybindings"
        )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Cluster,
    Namespaced,
}

/// One `RuleWithOperations`.
#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    /// Resource and subresource.
    resources: Vec<(String, String)>,
    names: Vec<String>,
    scope: Scope,
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == "*" || one == wanted)
}

impl Rule {
    fn of(rule: &Value) -> Self {
        let split = |one: String| match one.split_once('/') {
            Some((resource, subresource)) => (resource.to_owned(), subresource.to_owned()),
            None => (one, String::new()),
        };
        Self {
            operations: texts(rule, "/operations"),
            groups: texts(rule, "/apiGroups"),
            versions: texts(rule, "/apiVersions"),
            resources: texts(rule, "/resources").into_iter().map(split).collect(),
            names: texts(rule, "/resourceNames"),
            scope: match text(rule, "/scope") {
                "Cluster" => Scope::Cluster,
                "Namespaced" => Scope::Namespaced,
                _ => Scope::All,
            },
        }
    }

    fn matches(&self, resource: &Resource, request: &AdmissionRequest<'_>) -> bool {
        // A namespace is nowhere but in the cluster.
        let inside = !request.namespace.is_empty();
        let scope = match self.scope {
            Scope::All => true,
            Scope::Cluster => !inside,
            Scope::Namespaced => inside,
        };
        let names = || {
            let name = super::stated_name(request);
            self.names.is_empty() || self.names.iter().any(|one| one == name)
        };
        scope
            && has(&self.operations, request.operation.as_str())
            && has(&self.groups, &resource.group)
            && has(&self.versions, &resource.version)
            && self.resources.iter().any(|(of, sub)| {
                (of == "*" || *of == resource.plural) && (sub == "*" || sub == request.subresource)
            })
            && names()
    }
}

/// As which resource a request is seen: the one it was made to, or another version of the same objects.
#[derive(Clone)]
pub(super) enum Seen {
    AsIs,
    As(Arc<Served>),
}

/// Rules, selectors and how far a version matters.
#[derive(Debug)]
pub(super) struct Matcher {
    rules: Vec<Rule>,
    exclude: Vec<Rule>,
    namespaces: Result<LabelSelector, String>,
    objects: Result<LabelSelector, String>,
    equivalent: bool,
    /// What no rule is stated for matches all.
    open: bool,
}

impl Matcher {
    /// Of a webhook.
    pub fn of_webhook(webhook: &Value) -> Self {
        Self::of(webhook, "/rules", false)
    }

    /// Of `matchConstraints` or `matchResources`; `open`: without rules everything matches.
    pub fn of_match_resources(of: &Value, open: bool) -> Self {
        Self::of(of, "/resourceRules", open)
    }

    fn of(of: &Value, rules: &str, open: bool) -> Self {
        let selector = |field: &str| match of.get(field) {
            None | Some(Value::Null) => Ok(LabelSelector::everything()),
            found => LabelSelector::from_object(found).map_err(|error| error.to_string()),
        };
        Self {
            rules: items(of, rules).iter().map(Rule::of).collect(),
            exclude: items(of, "/excludeResourceRules").iter().map(Rule::of).collect(),
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
            equivalent: text(of, "/matchPolicy") != "Exact",
            open,
        }
    }

    /// How the request is seen; none when it does not match.
    ///
    /// # Errors
    /// When a selector cannot be read, or the request's namespace is not there to be selected.
    pub fn matches(
        &self,
        request: &AdmissionRequest<'_>,
        objects: &dyn Objects,
        backend: &dyn Backend,
    ) -> Result<Option<Seen>, ApiError> {
        let Some(seen) = self.seen(request, backend) else { return Ok(None) };
        Ok((self.selects_object(request)? && self.selects_namespace(request, objects)?).then_some(seen))
    }

    fn seen(&self, request: &AdmissionRequest<'_>, backend: &dyn Backend) -> Option<Seen> {
        let any =
            |rules: &[Rule], resource: &Resource| rules.iter().any(|rule| rule.matches(resource, request));
        let others = || -> Vec<Arc<Served>> {
            let same = |served: &Served| {
                served.resource.group == request.resource.group
                    && served.resource.version == request.resource.version
            };
            backend.equivalents(request.resource).into_iter().filter(|served| !same(served)).collect()
        };
        if !self.exclude.is_empty() {
            let excluded = any(&self.exclude, request.resource)
                || (self.equivalent && others().iter().any(|served| any(&self.exclude, &served.resource)));
            if excluded {
                return None;
            }
        }
        if (self.open && self.rules.is_empty()) || any(&self.rules, request.resource) {
            return Some(Seen::AsIs);
        }
        // Only rules that could be about another version are worth a look at the others.
        let worth = |rule: &Rule| {
            has(&rule.operations, request.operation.as_str())
                && rule.resources.iter().any(|(of, sub)| {
                    *of == request.resource.plural && (sub == "*" || sub == request.subresource)
                })
        };
        if !self.equivalent || !self.rules.iter().any(worth) {
            return None;
        }
        let others = others();
        let found = self
            .rules
            .iter()
            .find_map(|rule| others.iter().find(|served| rule.matches(&served.resource, request)));
        found.cloned().map(Seen::As)
    }

    fn selects_object(&self, request: &AdmissionRequest<'_>) -> Result<bool, ApiError> {
        let by = self.objects.as_ref().map_err(ApiError::internal)?;
        let both = [request.object.as_deref(), request.old];
        let has_meta = |one: &&Value| one.get("metadata").is_some_and(Value::is_object);
        Ok(by.is_everything()
            || both.into_iter().flatten().filter(has_meta).any(|one| by.matches(labels(one))))
    }

    fn selects_namespace(
        &self,
        request: &AdmissionRequest<'_>,
        objects: &dyn Objects,
    ) -> Result<bool, ApiError> {
        let by = self.namespaces.as_ref().map_err(ApiError::internal)?;
        if by.is_everything() {
            return Ok(true);
        }
        let is_namespace = request.resource.group.is_empty() && request.resource.plural == "namespaces";
        if is_namespace && request.subresource.is_empty() && request.operation != Operation::Delete {
            return Ok(by.matches(request.object.as_deref().and_then(labels)));
        }
        let name = namespace_of(request);
        if name.is_empty() {
            return Ok(true);
        }
        let Some(namespace) = objects.get("", "namespaces", "", name) else {
            return Err(ApiError::not_found("", "namespaces", name));
        };
        Ok(by.matches(labels(&namespace)))
    }
}

/// The namespace a request is in; of a namespace, itself.
pub(super) fn namespace_of<'r>(request: &'r AdmissionRequest<'_>) -> &'r str {
    if request.resource.plural != "namespaces" || !request.resource.group.is_empty() {
        return request.namespace;
    }
    if !request.name.is_empty() {
        return request.name;
    }
    let object = request.object.as_deref().or(request.old);
    object.map(|object| text(object, "/metadata/name")).unwrap_or_default()
}
