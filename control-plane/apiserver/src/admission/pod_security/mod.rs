//! PodSecurity: the privileged, baseline and restricted standards of every version, as a namespace's labels ask for.
//!
//! `enforce` refuses pods; `warn` and `audit` speak up about pods and about templates of workloads. A namespace whose
//! level rises is told which of its pods would not be admitted now. Nothing is changed.

mod checks;
mod namespaces;
mod policy;

use std::collections::HashMap;

use serde_json::Value;

use super::forbid;
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, Part, items, text};
use checks::Verdict;
use policy::{Level, LevelVersion, Policy};

/// What audit annotations of this plugin begin with.
const PREFIX: &str = "pod-security.kubernetes.io/";
/// Subresources of pods through which nothing changes that the standards are about.
const IGNORED_SUBRESOURCES: [&str; 8] =
    ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];
/// Resources that hold pod templates, with the template's place.
const TEMPLATES: [(&str, &str, &str); 8] = [
    ("", "podtemplates", "/template"),
    ("", "replicationcontrollers", "/spec/template"),
    ("apps", "replicasets", "/spec/template"),
    ("apps", "deployments", "/spec/template"),
    ("apps", "statefulsets", "/spec/template"),
    ("apps", "daemonsets", "/spec/template"),
    ("batch", "jobs", "/spec/template"),
    ("batch", "cronjobs", "/spec/jobTemplate/spec/template"),
];

/// Who and what the standards do not apply to.
#[derive(Debug, Clone, Default)]
pub struct Exemptions {
    /// User names.
    pub usernames: Vec<String>,
    /// Names of runtime classes.
    pub runtime_classes: Vec<String>,
    /// Namespaces.
    pub namespaces: Vec<String>,
}

/// The plugin.
#[derive(Default)]
pub(super) struct PodSecurity {
    exempt: Exemptions,
}

impl PodSecurity {
    pub fn new(exempt: Exemptions) -> Self {
        Self { exempt }
    }

    /// Judges a pod, a template or a namespace.
    pub fn check(&self, request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
        if !matches!(request.operation, Operation::Create | Operation::Update) {
            return Ok(());
        }
        let (group, plural) = (request.resource.group.as_str(), request.resource.plural.as_str());
        match (group, plural) {
            ("", "namespaces") => namespaces::check(self, request, objects),
            ("", "pods") => self.pod(request, objects),
            _ => match TEMPLATES.iter().find(|one| (one.0, one.1) == (group, plural)) {
                Some((_, _, place)) => self.template(request, objects, place),
                None => Ok(()),
            },
        }
    }

    fn exempts(&self, request: &AdmissionRequest<'_>) -> bool {
        let what = if self.exempt.namespaces.iter().any(|one| one == request.namespace) {
            "namespace"
        } else if self.exempt.usernames.contains(&request.user.name) {
            "user"
        } else {
            return false;
        };
        request.notes.annotate(format!("{PREFIX}exempt"), what);
        true
    }

    fn exempts_class(&self, pod: &Value) -> bool {
        let class = text(pod, "/spec/runtimeClassName");
        !class.is_empty() && self.exempt.runtime_classes.iter().any(|one| one == class)
    }

    fn pod(&self, request: &AdmissionRequest<'_>, objects: &dyn Objects) -> Result<(), ApiError> {
        if IGNORED_SUBRESOURCES.contains(&request.subresource) || self.exempts(request) {
            return Ok(());
        }
        let (policy, wrong) = policy_of(request, objects)?;
        let idle =
            [policy.enforce, policy.warn, policy.audit].iter().all(|one| one.level == Level::Privileged);
        let Some(pod) = request.object.as_deref().filter(|_| !(idle && wrong.is_empty())) else {
            return Ok(());
        };
        if request.old.is_some_and(|old| request.operation == Operation::Update && !is_significant(pod, old))
        {
            return Ok(());
        }
        self.evaluate(request, pod, &policy, &wrong, true)
    }

    fn template(
        &self,
        request: &AdmissionRequest<'_>,
        objects: &dyn Objects,
        place: &str,
    ) -> Result<(), ApiError> {
        if !request.subresource.is_empty() || self.exempts(request) {
            return Ok(());
        }
        let (policy, wrong) = policy_of(request, objects)?;
        let idle = [policy.warn, policy.audit].iter().all(|one| one.level == Level::Privileged);
        let template = request.object.as_deref().and_then(|object| object.part(place));
        match template.filter(|template| template.is_object() && !(idle && wrong.is_empty())) {
            Some(template) => self.evaluate(request, template, &policy, &wrong, false),
            None => Ok(()),
        }
    }

    /// Holds a pod, or a template, against the policy.
    fn evaluate(
        &self,
        request: &AdmissionRequest<'_>,
        pod: &Value,
        policy: &Policy,
        wrong: &[api_model::Cause],
        enforce: bool,
    ) -> Result<(), ApiError> {
        let notes = request.notes;
        if self.exempts_class(pod) {
            notes.annotate(format!("{PREFIX}exempt"), "runtimeClass");
            return Ok(());
        }
        if !wrong.is_empty() {
            let texts: Vec<String> =
                wrong.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
            notes
                .annotate(format!("{PREFIX}error"), format!("Failed to parse policy: {}", bracketed(&texts)));
        }
        let mut known: HashMap<LevelVersion, Verdict> = HashMap::new();
        let mut judge =
            |by: LevelVersion| known.entry(by).or_insert_with(|| checks::evaluate(by, pod)).clone();
        let mut refusal = None;
        if enforce {
            notes.annotate(format!("{PREFIX}enforce-policy"), policy.enforce.to_string());
            let verdict = judge(policy.enforce);
            if !verdict.allowed() {
                refusal = Some(format!("violates PodSecurity \"{}\": {}", policy.enforce, verdict.detail()));
            }
        }
        let audit = judge(policy.audit);
        if !audit.allowed() {
            let said = format!("would violate PodSecurity \"{}\": {}", policy.audit, audit.detail());
            notes.annotate(format!("{PREFIX}audit-violations"), said);
        }
        if let Some(why) = refusal {
            return Err(forbid(request, &why));
        }
        let warn = judge(policy.warn);
        if !warn.allowed() {
            notes.warn(format!("would violate PodSecurity \"{}\": {}", policy.warn, warn.detail()));
        }
        Ok(())
    }
}

/// What the request's namespace asks for, and what is wrong with how it says so.
fn policy_of(
    request: &AdmissionRequest<'_>,
    objects: &dyn Objects,
) -> Result<(Policy, Vec<api_model::Cause>), ApiError> {
    let Some(namespace) = objects.get("", "namespaces", "", request.namespace) else {
        return Err(ApiError::internal(format!("failed to lookup namespace \"{}\"", request.namespace)));
    };
    Ok(Policy::of(super::labels(&namespace)))
}

fn bracketed(texts: &[String]) -> String {
    match texts {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}

/// Whether an update changes anything the standards can be about: what else may change in a pod does not matter.
fn is_significant(pod: &Value, old: &Value) -> bool {
    let annotation = |object: &Value, key: &str| {
        let all = object.part("/metadata/annotations");
        all.and_then(|all| all.get(key)).and_then(Value::as_str).map(str::to_owned)
    };
    let differs = |key: &str| annotation(pod, key) != annotation(old, key);
    let changed = |new: &Value, old: &Value| {
        let name = text(new, "/name");
        text(new, "/image") != text(old, "/image")
            || new.get("securityContext") != old.get("securityContext")
            || differs(&format!("container.seccomp.security.alpha.kubernetes.io/{name}"))
            || differs(&format!("container.apparmor.security.beta.kubernetes.io/{name}"))
    };
    if differs("seccomp.security.alpha.kubernetes.io/pod") {
        return true;
    }
    for list in ["/spec/initContainers", "/spec/containers"] {
        let (new, old) = (items(pod, list), items(old, list));
        if new.len() != old.len() || new.iter().zip(old).any(|(new, old)| changed(new, old)) {
            return true;
        }
    }
    let before = items(old, "/spec/ephemeralContainers");
    items(pod, "/spec/ephemeralContainers").iter().any(|new| {
        let known = before.iter().find(|old| text(old, "/name") == text(new, "/name"));
        known.is_none_or(|old| changed(new, old))
    })
}

#[cfg(test)]
mod tests;
