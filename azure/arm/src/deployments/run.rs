//! Carrying a plan out, as the caller, through the front door.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::evaluate::{Missing, Scope};
use super::plan::{Item, Plan, invalid};
use crate::{ArmClient, ArmError, ResourceId};

/// What became of a deployment.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub outputs: Map<String, Value>,
    pub deployed: Vec<ResourceId>,
    /// As the list of operations shows them.
    pub operations: Vec<Value>,
}

fn is_deployment(id: &ResourceId) -> bool {
    id.is_type("Microsoft.Resources/deployments")
}

/// The body of a PUT.
fn body(item: &Item, scope: &Scope) -> Result<Value, Missing> {
    let mut made = Map::new();
    for (name, raw) in &item.raw {
        let inner = is_deployment(&item.id)
            && name == "properties"
            && raw
                .pointer("/expressionEvaluationOptions/scope")
                .and_then(Value::as_str)
                .is_some_and(|s| s.eq_ignore_ascii_case("inner"));
        let value = if inner {
            let mut value = raw.clone();
            if let Some(parameters) = raw.get("parameters") {
                value["parameters"] = scope.value(parameters)?;
            }
            value
        } else {
            scope.value(raw)?
        };
        made.insert(name.clone(), value);
    }
    Ok(Value::Object(made))
}

/// Fetches what a key of [`Scope::states`] names.
async fn fetch(arm: &ArmClient, key: &str) -> Result<Value, ArmError> {
    let words: Vec<&str> = key.split('|').collect();
    match words[..] {
        ["full", id, version] => arm.get(id, version).await,
        ["list", id, action, version] => {
            let id = ResourceId::parse(id)?;
            arm.post(format!("{id}/{action}"), version, Value::Null).await?.done().await
        }
        _ => Err(invalid("a reference that cannot be resolved")),
    }
}

fn id_in(key: &str) -> Option<ResourceId> {
    ResourceId::parse(key.split('|').nth(1)?).ok()
}

/// Evaluates with `make`, fetching states as they turn out to be needed. `None`: one is of a resource still to come.
async fn settle<T>(
    arm: &ArmClient,
    scope: &mut Scope,
    waiting: &BTreeSet<String>,
    make: impl Fn(&Scope) -> Result<T, Missing>,
) -> Result<Option<T>, ArmError> {
    loop {
        match make(scope) {
            Ok(made) => return Ok(Some(made)),
            Err(Missing::Wrong(why)) => return Err(invalid(why)),
            Err(Missing::State(key)) => {
                if id_in(&key).is_some_and(|id| waiting.contains(id.key())) {
                    return Ok(None);
                }
                let state = fetch(arm, &key).await?;
                scope.states.insert(key, state);
            }
        }
    }
}

fn blocks(name: &str, other: &Item) -> bool {
    let lower = name.to_ascii_lowercase();
    other.symbol.as_deref() == Some(name)
        || other.copy.as_deref().is_some_and(|c| c.eq_ignore_ascii_case(name))
        || ResourceId::parse(name).is_ok_and(|id| name.starts_with('/') && id == other.id)
        || other.id.full_name().eq_ignore_ascii_case(name)
        || (!name.starts_with('/') && other.id.key().ends_with(&format!("/{lower}")))
        || format!("{}/{}", other.id.resource_type(), other.id.full_name()).eq_ignore_ascii_case(name)
}

/// Deploys everything, one after the other, what others need first.
pub(crate) async fn run(arm: &ArmClient, plan: Plan) -> Result<Outcome, (ArmError, Outcome)> {
    let mut outcome = Outcome::default();
    let mut scope = plan.scope;
    let (_, mut pending): (Vec<Item>, Vec<Item>) = plan.items.into_iter().partition(|i| i.existing);
    while !pending.is_empty() {
        let waiting: BTreeSet<String> = pending.iter().map(|i| i.id.key().to_owned()).collect();
        let mut moved = false;
        let mut left = Vec::new();
        let all = pending.clone();
        for item in pending {
            let blocked = item
                .depends
                .iter()
                .any(|d| all.iter().any(|o| o.id != item.id && waiting.contains(o.id.key()) && blocks(d, o)));
            if blocked {
                left.push(item);
                continue;
            }
            let mut inner = item.scope.clone();
            inner.states.clone_from(&scope.states);
            let made = match settle(arm, &mut inner, &waiting, |s| body(&item, s)).await {
                Ok(Some(made)) => made,
                Ok(None) => {
                    left.push(item);
                    continue;
                }
                Err(error) => return Err((error, outcome)),
            };
            scope.states.extend(inner.states);
            let ended = match arm.put(&item.id, &item.version, made).await {
                Ok(reply) => reply.done().await,
                Err(error) => Err(error),
            };
            outcome.operations.push(operation(&item.id, ended.as_ref().err()));
            if let Err(error) = ended {
                return Err((failed(error), outcome));
            }
            outcome.deployed.push(item.id.clone());
            moved = true;
        }
        if !moved {
            let names: Vec<String> = left.iter().map(|i| i.id.full_name()).collect();
            return Err((
                invalid(format_args!("Circular dependency detected on resource(s): '{}'", names.join(", "))),
                outcome,
            ));
        }
        pending = left;
    }
    match outputs(arm, &mut scope, &plan.outputs).await {
        Ok(outputs) => outcome.outputs = outputs,
        Err(error) => return Err((error, outcome)),
    }
    Ok(outcome)
}

/// What the deployment gives, when everything stands.
async fn outputs(
    arm: &ArmClient,
    scope: &mut Scope,
    wanted: &Map<String, Value>,
) -> Result<Map<String, Value>, ArmError> {
    let none = BTreeSet::new();
    let mut outputs = Map::new();
    for (name, raw) in wanted {
        let condition = raw.get("condition").cloned().unwrap_or(Value::Bool(true));
        let evaluate = |s: &Scope| {
            if s.value(&condition)? == Value::Bool(true) {
                s.value(&raw["value"]).map(Some)
            } else {
                Ok(None)
            }
        };
        if let Some(Some(value)) = settle(arm, scope, &none, evaluate).await? {
            outputs.insert(name.clone(), json!({"type": raw["type"].as_str().map(capital), "value": value}));
        }
    }
    Ok(outputs)
}

fn capital(kind: &str) -> String {
    let mut letters = kind.chars();
    letters.next().map(|c| c.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

fn failed(inner: ArmError) -> ArmError {
    ArmError::conflict(
        "DeploymentFailed",
        "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details.",
    )
    .detail(inner)
}

fn operation(id: &ResourceId, error: Option<&ArmError>) -> Value {
    json!({
        "provisioningOperation": "Create", "provisioningState": if error.is_some() { "Failed" } else { "Succeeded" },
        "statusCode": error.map_or("OK".to_owned(), |e| e.status.as_u16().to_string()),
        "statusMessage": error.map(ArmError::body),
        "targetResource": {"id": id, "resourceType": id.resource_type(), "resourceName": id.full_name()},
    })
}
