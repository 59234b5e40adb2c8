//! Policies with their bindings, read and compiled.

use std::sync::Arc;

use serde_json::Value;

use super::{BINDINGS, GROUP, POLICIES, Policies};
use crate::admission::expressions::{Conditions, Expression, Has, Wanted, environment};
use crate::admission::matching::Matcher;
use crate::attributes::{items, text, texts};

/// One of `validations`.
#[derive(Debug)]
pub(super) struct Validation {
    pub expression: Expression,
    pub message: String,
    pub message_expression: Option<Expression>,
    /// What the `Status` gives as its reason; `Invalid` when nothing is said.
    pub reason: String,
}

/// One of `auditAnnotations`.
#[derive(Debug)]
pub(super) struct Annotation {
    pub key: String,
    pub value: Expression,
}

/// A policy's expressions.
#[derive(Debug)]
pub(super) struct Compiled {
    /// In order; each may use those before it.
    pub variables: Vec<(String, Expression)>,
    pub conditions: Conditions,
    pub validations: Vec<Validation>,
    pub annotations: Vec<Annotation>,
    pub has_params: bool,
}

/// A policy that is bound somewhere.
pub(super) struct Policy {
    pub name: String,
    pub matcher: Matcher,
    /// What cannot be evaluated does not count.
    pub ignores: bool,
    /// Group, version and kind of parameters.
    pub param_kind: Option<(String, String, String)>,
    pub compiled: Arc<Compiled>,
    pub bindings: Vec<Binding>,
}

/// Where and how a policy applies.
pub(super) struct Binding {
    pub name: String,
    pub matcher: Option<Matcher>,
    /// `paramRef`.
    pub param: Option<Value>,
    pub actions: Vec<String>,
}

impl Compiled {
    pub fn of(spec: &Value) -> Self {
        let has_params = spec.get("paramKind").is_some_and(Value::is_object);
        let mut names: Vec<String> = Vec::new();
        let mut variables = Vec::new();
        for variable in items(spec, "/variables") {
            let known = environment(Has { params: has_params, authorizer: true, variables: &names });
            let name = text(variable, "/name").to_owned();
            let expression = Expression::compile(&known, text(variable, "/expression"), Wanted::Anything);
            variables.push((name.clone(), expression));
            names.push(name);
        }
        let all = environment(Has { params: has_params, authorizer: true, variables: &names });
        let quiet = environment(Has { params: has_params, authorizer: false, variables: &names });
        let validation = |one: &Value| Validation {
            expression: Expression::compile(&all, text(one, "/expression"), Wanted::Bool),
            message: text(one, "/message").trim().to_owned(),
            message_expression: Some(text(one, "/messageExpression"))
                .filter(|text| !text.is_empty())
                .map(|text| Expression::compile(&quiet, text, Wanted::Text)),
            reason: text(one, "/reason").to_owned(),
        };
        let annotation = |one: &Value| Annotation {
            key: text(one, "/key").to_owned(),
            value: Expression::compile(&all, text(one, "/valueExpression"), Wanted::TextOrNull),
        };
        Self {
            variables,
            conditions: Conditions::of(items(spec, "/matchConditions"), &all),
            validations: items(spec, "/validations").iter().map(validation).collect(),
            annotations: items(spec, "/auditAnnotations").iter().map(annotation).collect(),
            has_params,
        }
    }
}

impl Binding {
    fn of(binding: &Value) -> Self {
        let stated = |field: &str| binding["spec"].get(field).filter(|one| one.is_object());
        Self {
            name: text(binding, "/metadata/name").to_owned(),
            matcher: stated("matchResources").map(|one| Matcher::of_match_resources(one, true)),
            param: stated("paramRef").cloned(),
            actions: texts(binding, "/spec/validationActions"),
        }
    }
}

fn kind_of(spec: &Value) -> Option<(String, String, String)> {
    let kind = spec.get("paramKind").filter(|kind| kind.is_object())?;
    let version = text(kind, "/apiVersion");
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    Some((group.to_owned(), version.to_owned(), text(kind, "/kind").to_owned()))
}

impl Policies {
    /// All policies that are bound, in order of their names.
    pub(super) fn bound(&self) -> Vec<Policy> {
        let named = |plural: &str| {
            let mut all = self.objects.list(GROUP, plural, None);
            all.sort_by_key(|one| text(one, "/metadata/name").to_owned());
            all
        };
        let bindings = named(BINDINGS);
        let policies = named(POLICIES);
        let mut kept = self.compiled.lock();
        let ids: Vec<String> = policies.iter().map(|policy| id_of(policy)).collect();
        kept.retain(|id, _| ids.contains(id));
        let of = |policy: &Arc<Value>| -> Option<Policy> {
            let name = text(policy, "/metadata/name");
            let bound = bindings.iter().filter(|binding| text(binding, "/spec/policyName") == name);
            let bindings: Vec<Binding> = bound.map(|binding| Binding::of(binding)).collect();
            if bindings.is_empty() {
                return None;
            }
            let spec = &policy["spec"];
            let generation = policy["metadata"]["generation"].as_i64().unwrap_or(-1);
            let id = id_of(policy);
            let known = kept.get(&id).filter(|(of, _)| *of == generation && generation >= 0);
            let compiled =
                known.map(|(_, compiled)| compiled.clone()).unwrap_or_else(|| Arc::new(Compiled::of(spec)));
            kept.insert(id, (generation, compiled.clone()));
            Some(Policy {
                name: name.to_owned(),
                matcher: Matcher::of_match_resources(&spec["matchConstraints"], false),
                ignores: text(spec, "/failurePolicy") == "Ignore",
                param_kind: kind_of(spec),
                compiled,
                bindings,
            })
        };
        policies.iter().filter_map(of).collect()
    }
}

fn id_of(policy: &Value) -> String {
    format!("{}/{}", text(policy, "/metadata/name"), text(policy, "/metadata/uid"))
}
