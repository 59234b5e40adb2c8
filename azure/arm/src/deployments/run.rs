//! Carrying a plan out, as the caller, through the front door.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::evaluate::{Missing, Scope};
use super::parameters;
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

pub(super) fn is_deployment(id: &ResourceId) -> bool {
    id.is_type("Microsoft.Resources/deployments")
}

/// The body of a PUT.
pub(super) fn body(item: &Item, scope: &Scope) -> Result<Value, Missing> {
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

/// The value of an output; nothing when its condition does not hold.
pub(super) fn output(scope: &Scope, declared: &Value) -> Result<Option<Value>, Missing> {
    if let Some(condition) = declared.get("condition")
        && scope.value(condition)? != Value::Bool(true)
    {
        return Ok(None);
    }
    match declared.get("copy") {
        Some(copy) => scope.copied(copy).map(|(_, list)| Some(list)),
        None => scope.value(declared.get("value").unwrap_or(&Value::Null)).map(Some),
    }
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
pub(super) async fn settle<T>(
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
                Arc::make_mut(&mut scope.states).insert(key, state);
            }
        }
    }
}

fn canceled() -> ArmError {
    ArmError::conflict("DeploymentCanceled", "The deployment was canceled.")
}

/// A deployment under way.
struct Run<'a> {
    arm: &'a ArmClient,
    clock: &'a dyn kit::Clock,
    cancel: watch::Receiver<bool>,
    scope: Scope,
    outcome: Outcome,
}

impl Run<'_> {
    /// Deploys one resource; false: it must wait for another.
    async fn deploy(&mut self, item: &Item, waiting: &BTreeSet<String>) -> Result<bool, ArmError> {
        let mut inner = item.scope.clone();
        inner.states = self.scope.states.clone();
        let Some(made) = settle(self.arm, &mut inner, waiting, |s| body(item, s)).await? else {
            return Ok(false);
        };
        self.scope.states = inner.states;
        let began = self.clock.now();
        let ended = {
            let mut cancel = self.cancel.clone();
            let work = async {
                let reply = self.arm.put(&item.id, &item.version, made).await?;
                let status = reply.status;
                reply.done().await.map(|_| status)
            };
            tokio::select! {
                ended = work => ended,
                true = told(&mut cancel) => Err(canceled()),
            }
        };
        let took = self.clock.now().duration_since(began);
        self.outcome.operations.push(operation("Create", &item.id, ended.as_ref(), began, took));
        match ended {
            Ok(_) => {
                self.outcome.deployed.push(item.id.clone());
                Ok(true)
            }
            Err(error) if error.code == "DeploymentCanceled" => Err(error),
            Err(error) => Err(failed(error)),
        }
    }

    /// Everything, one after the other, what others need first.
    async fn all(&mut self, mut pending: Vec<Item>) -> Result<(), ArmError> {
        while !pending.is_empty() {
            let waiting: BTreeSet<String> = pending.iter().map(|i| i.id.key().to_owned()).collect();
            let blocked: Vec<bool> =
                pending.iter().map(|item| item.needs.iter().any(|key| waiting.contains(key))).collect();
            let (mut moved, mut left) = (false, Vec::new());
            for (item, blocked) in pending.into_iter().zip(blocked) {
                if *self.cancel.borrow() {
                    return Err(canceled());
                }
                if !blocked && self.deploy(&item, &waiting).await? {
                    moved = true;
                } else {
                    left.push(item);
                }
            }
            if !moved {
                let names: Vec<String> = left.iter().map(|i| i.id.to_string()).collect();
                return Err(invalid(format_args!(
                    "Circular dependency detected on resource: '{}'. Please see https://aka.ms/arm-syntax-resources for usage details",
                    names.join(", ")
                )));
            }
            pending = left;
        }
        Ok(())
    }

    async fn outputs(&mut self, declared: &Map<String, Value>, definitions: &Value) -> Result<(), ArmError> {
        let none = BTreeSet::new();
        for (name, raw) in declared {
            let evaluate = |s: &Scope| output(s, raw);
            let Some(Some(value)) = settle(self.arm, &mut self.scope, &none, evaluate).await? else {
                continue;
            };
            let kind = parameters::kind(definitions, raw);
            let mut shown = json!({"type": capital(&kind)});
            // A secret is given to nobody who reads the history.
            if !kind.starts_with("secure") {
                shown["value"] = value;
            }
            self.outcome.outputs.insert(camel(name), shown);
        }
        Ok(())
    }
}

/// The name of an output as the resource manager shows it: capitals at its beginning become small, all but one that a
/// small letter or another sign follows (`NewName` is shown as `newName`, `VMSS` as `vmss`, `TRANS_Test` as `tranS_Test`;
/// <https://github.com/Azure/bicep/issues/9360>).
fn camel(name: &str) -> String {
    let mut shown: Vec<char> = name.chars().collect();
    for at in 0..shown.len() {
        let followed = shown.get(at + 1).is_some_and(|next| !next.is_uppercase());
        if !shown[at].is_uppercase() || at > 0 && followed {
            break;
        }
        shown[at] = shown[at].to_ascii_lowercase();
    }
    shown.into_iter().collect()
}

async fn told(cancel: &mut watch::Receiver<bool>) -> bool {
    let told = cancel.wait_for(|cancelled| *cancelled).await.is_ok();
    // Without anybody who could tell it never comes.
    if told { true } else { std::future::pending().await }
}

/// Deploys a plan until it ends, fails or is cancelled.
pub(crate) async fn run(
    arm: &ArmClient,
    clock: &dyn kit::Clock,
    plan: Plan,
    cancel: watch::Receiver<bool>,
) -> (Outcome, Result<(), ArmError>) {
    let mut run = Run { arm, clock, cancel, scope: plan.scope, outcome: Outcome::default() };
    let wanted: Vec<Item> = plan.items.into_iter().filter(|item| !item.existing).collect();
    let mut ended = run.all(wanted).await;
    if ended.is_ok() {
        ended = run.outputs(&plan.outputs, &plan.definitions).await;
    }
    (run.outcome, ended)
}

/// `string` as the history spells it.
pub(super) fn capital(kind: &str) -> String {
    match kind {
        "securestring" => "SecureString".to_owned(),
        "secureobject" => "SecureObject".to_owned(),
        _ => {
            let mut letters = kind.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase().to_string()).unwrap_or_default();
            first + letters.as_str()
        }
    }
}

/// The error of a deployment of which something failed.
pub(super) fn failed(inner: ArmError) -> ArmError {
    ArmError::conflict(
        "DeploymentFailed",
        "At least one resource deployment operation failed. Please list deployment operations for details. Please see https://aka.ms/arm-deployment-operations for usage details.",
    )
    .detail(inner)
}

/// A span of time as deployments spell it.
pub(super) fn span(took: jiff::SignedDuration) -> String {
    format!("PT{}.{:03}S", took.as_secs(), took.subsec_millis())
}

/// One operation, as the history shows it: what it did, how that was answered, when and for how long.
pub(super) fn operation(
    deed: &str,
    id: &ResourceId,
    ended: Result<&StatusCode, &ArmError>,
    began: jiff::Timestamp,
    took: jiff::SignedDuration,
) -> Value {
    let (state, status) = match ended {
        Ok(status) => ("Succeeded", *status),
        Err(error) if error.code == "DeploymentCanceled" => ("Canceled", error.status),
        Err(error) => ("Failed", error.status),
    };
    json!({
        "provisioningOperation": deed, "provisioningState": state,
        "timestamp": (began + took).to_string(), "duration": span(took),
        "statusCode": status.canonical_reason().unwrap_or("Conflict").replace(' ', ""),
        "statusMessage": ended.err().map(ArmError::body),
        "targetResource": {"id": id, "resourceType": id.resource_type(), "resourceName": id.full_name()},
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_of_outputs_begin_small() {
        for (declared, shown) in [
            ("VMSS", "vmss"),
            ("NewName", "newName"),
            ("TRANS_Test", "tranS_Test"),
            ("VMName", "vmName"),
            ("already", "already"),
            ("A", "a"),
            ("", ""),
        ] {
            assert_eq!(super::camel(declared), shown);
        }
    }
}
