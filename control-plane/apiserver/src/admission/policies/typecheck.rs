//! Warnings about expressions that cannot be right for a kind that a policy names: `status.typeChecking`.
//!
//! A policy is stored whatever is said here; the status is written a moment after it, for the generation it was looked at.

use std::sync::Arc;

use api_model::Model;
use cel::{Environment, Shape, Type};
use serde_json::{Value, json};

use super::{GROUP, POLICIES, variables};
use crate::admission::Backend;
use crate::admission::expressions::{Has, environment};
use crate::attributes::{ApiError, Objects, UserInfo, items, text, texts};
use crate::handlers::options::WriteOptions;
use crate::registry::manage::Who;
use crate::registry::modify::Modify;
use crate::registry::{Registry, Served, Target, object};

/// Kinds that one rule may add; with so many, no more rules are looked at, as upstream.
const KINDS_MAX: usize = 10;
/// Schemas inside each other at most; deeper ones are not looked into.
const DEPTH_MAX: usize = 24;
const MANAGER: &str = "kube-controller-manager";

/// Keeps the status of policies until the server ends.
pub(in crate::admission) async fn keep(registry: Arc<Registry>) {
    let mut progress = registry.hub.follow_progress();
    let mut seen = None;
    loop {
        let now = Objects::version(&*registry, GROUP, POLICIES);
        if seen != Some(now) {
            seen = Some(now);
            for policy in Objects::list(&*registry, GROUP, POLICIES, None) {
                let generation = &policy["metadata"]["generation"];
                if *generation == policy["status"]["observedGeneration"] {
                    continue;
                }
                if let Err(error) = write(&registry, &policy).await {
                    let name = object::name(&policy);
                    tracing::warn!(name, %error, "the status of a policy could not be written");
                }
            }
        }
        if progress.changed().await.is_err() {
            return;
        }
    }
}

async fn write(registry: &Registry, policy: &Value) -> Result<(), ApiError> {
    let Some(served) = registry.served(GROUP, POLICIES) else { return Ok(()) };
    let warnings = warnings(registry, policy);
    let mut status = json!({"observedGeneration": policy["metadata"]["generation"], "typeChecking": {}});
    if !warnings.is_empty() {
        status["typeChecking"]["expressionWarnings"] = json!(warnings);
    }
    let user = Arc::new(UserInfo::new("system:apiserver", &["system:masters"]));
    let target = Target::new(served, "", object::name(policy), user).through("status").judged();
    let options = WriteOptions::internal(MANAGER);
    let who = Who::updates(MANAGER, "status");
    let modify = Modify { target: &target, options: &options, who: &who, checked: false };
    let mut change = |old: &Value| {
        let mut new = old.clone();
        // A newer generation is looked at by itself.
        if old["metadata"]["generation"] == policy["metadata"]["generation"] {
            let conditions = old.pointer("/status/conditions").cloned();
            object::set(&mut new, "status", status.clone());
            if let Some(conditions) = conditions {
                new["status"]["conditions"] = conditions;
            }
        }
        Ok(new)
    };
    match registry.modify(&modify, &mut change).await {
        Err(error) if error.reason != "NotFound" => Err(error),
        _ => Ok(()),
    }
}

/// `expressionWarnings` of a policy.
fn warnings(registry: &Registry, policy: &Value) -> Vec<Value> {
    let spec = &policy["spec"];
    let params = params(registry, spec);
    let kinds: Vec<(String, Environment)> = kinds(registry, spec)
        .into_iter()
        .filter_map(|served| {
            let shape = shape_of(registry, &served)?;
            let resource = &served.resource;
            let name = format!("{}/{}, Kind={}", resource.group, resource.version, resource.kind);
            Some((name, environment_of(spec, &shape, params.as_ref())))
        })
        .collect();
    let mut warnings = Vec::new();
    for (index, validation) in items(spec, "/validations").iter().enumerate() {
        for field in ["expression", "messageExpression"] {
            let expression = validation[field].as_str().unwrap_or_default();
            if expression.is_empty() {
                continue;
            }
            let wrong = kinds.iter().filter_map(|(kind, known)| {
                known.compile(expression).err().map(|issues| format!("{kind}: {issues}\n"))
            });
            let wrong: Vec<String> = wrong.collect();
            if !wrong.is_empty() {
                let place = format!("spec.validations[{index}].{field}");
                warnings.push(json!({"fieldRef": place, "warning": wrong.join("\n")}));
            }
        }
    }
    warnings
}

/// What the expressions of a policy know when its objects are of this shape. Upstream declares no `authorizer.requestResource` here.
fn environment_of(spec: &Value, object: &Arc<Shape>, params: Option<&Arc<Shape>>) -> Environment {
    let known = |variables: &[(String, Type)]| {
        let typed = environment(Has { variables, ..Has::default() })
            .authorizer()
            .shaped("object", object.clone())
            .shaped("oldObject", object.clone());
        match params {
            Some(params) => typed.shaped("params", params.clone()),
            None => typed,
        }
    };
    let variables = variables::compiled_in(spec, &known);
    known(&variables::types(&variables))
}

/// The shape of a policy's parameters; `None` when it has none, or nobody knows their kind.
fn params(registry: &Registry, spec: &Value) -> Option<Arc<Shape>> {
    let kind = spec.get("paramKind").filter(|kind| kind.is_object())?;
    let api_version = text(kind, "/apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let served = registry.by_kind(group, version, text(kind, "/kind"))?;
    shape_of(registry, &served)
}

/// The kinds a policy names, in order; a rule that matches any group or version is not looked at.
fn kinds(registry: &Registry, spec: &Value) -> Vec<Arc<Served>> {
    let mut found: Vec<Arc<Served>> = Vec::new();
    for rule in items(spec, "/matchConstraints/resourceRules") {
        let [groups, versions, resources] = ["/apiGroups", "/apiVersions", "/resources"].map(|field| {
            let mut all = texts(rule, field);
            all.sort();
            all
        });
        if groups.iter().chain(&versions).any(|one| one.contains('*')) {
            continue;
        }
        let names = groups.iter().flat_map(|group| versions.iter().map(move |version| (group, version)));
        let named = names
            .flat_map(|(group, version)| resources.iter().map(move |resource| (group, version, resource)))
            .filter_map(|(group, version, resource)| registry.kinds.get(group, version, resource));
        let named: Vec<Arc<Served>> = named.take(KINDS_MAX).collect();
        let is_full = named.len() == KINDS_MAX;
        found.extend(named);
        if is_full {
            break;
        }
    }
    let key = |one: &Arc<Served>| {
        let resource = &one.resource;
        (resource.group.clone(), resource.version.clone(), resource.kind.clone())
    };
    found.sort_by_cached_key(key);
    found.dedup_by_key(|one| key(one));
    found
}

fn shape_of(registry: &Registry, served: &Served) -> Option<Arc<Shape>> {
    let resource = &served.resource;
    let name = format!("{}.{}.{}", resource.group, resource.version, resource.kind);
    if let Some(custom) = &served.custom {
        let definition = registry.definition(&custom.definition)?;
        let version =
            items(&definition, "/spec/versions").iter().find(|one| text(one, "/name") == resource.version)?;
        return Shape::from_schema(version.pointer("/schema/openAPIV3Schema")?, true, &name);
    }
    Shape::from_schema(&schema_of(&registry.model, resource)?, false, &name)
}

/// The schema of a built-in kind, without references.
fn schema_of(model: &Model, resource: &api_model::Resource) -> Option<Value> {
    let document: Value = serde_json::from_slice(&model.openapi_v3(&resource.group_path())?.plain()).ok()?;
    let all = document.pointer("/components/schemas")?;
    let wanted = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let is_it = |schema: &&Value| items(schema, "/x-kubernetes-group-version-kind").contains(&wanted);
    let schema = all.as_object()?.values().find(is_it)?;
    Some(resolved(schema, all, DEPTH_MAX))
}

fn resolved(schema: &Value, all: &Value, depth: usize) -> Value {
    if depth == 0 {
        return json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    let reference = match items(schema, "/allOf") {
        [one] => text(one, "/$ref"),
        _ => text(schema, "/$ref"),
    };
    if let Some(below) =
        reference.rsplit('/').next().filter(|name| !name.is_empty()).and_then(|name| all.get(name))
    {
        return resolved(below, all, depth - 1);
    }
    if !items(schema, "/oneOf").is_empty() || text(schema, "/format") == "int-or-string" {
        return json!({"x-kubernetes-int-or-string": true});
    }
    let mut made = schema.clone();
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            made[key] = resolved(&schema[key], all, depth - 1);
        }
    }
    if let Some(properties) = made.get_mut("properties").and_then(Value::as_object_mut) {
        for below in properties.values_mut() {
            *below = resolved(below, all, depth - 1);
        }
    }
    made
}
