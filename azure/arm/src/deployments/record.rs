//! A deployment as it is kept and shown, and what its request must be like.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::evaluate::Scope;
use super::plan::Plan;
use super::{Mode, TYPE, parameters, run};
use crate::front::route_types::Asked;
use crate::front::{Answer, Front};
use crate::{ArmError, Resource, ResourceId, locations};

/// The longest name of a deployment, in characters.
const NAME_CHARACTERS_MAX: usize = 64;

pub(super) fn shown(record: &Resource) -> Value {
    let mut body =
        json!({"id": record.id, "name": record.name, "type": TYPE, "properties": record.properties});
    if let Some(location) = &record.location {
        body["location"] = json!(location);
    }
    if let Some(tags) = &record.tags {
        body["tags"] = json!(tags);
    }
    body
}

/// Refuses a name or a location that a deployment cannot have.
pub(super) fn check(id: &ResourceId, body: &Value, existing: Option<&Resource>) -> Result<(), ArmError> {
    let name = id.name();
    let fits = (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count())
        && name.chars().all(|c| c.is_alphanumeric() || "-_().".contains(c))
        && !name.ends_with('.');
    if !fits {
        return Err(ArmError::bad_request(
            "InvalidDeploymentName",
            format!(
                "The provided deployment name '{name}' is not valid. A name has between 1 and {NAME_CHARACTERS_MAX} letters, digits, '-', '.', '(', ')' or '_', and does not end with a period."
            ),
        ));
    }
    let location = body.get("location").and_then(Value::as_str).filter(|l| !l.is_empty());
    if id.group().is_some() {
        return Ok(());
    }
    let Some(location) = location else {
        return Err(ArmError::bad_request(
            "LocationRequired",
            format!(
                "The 'location' property must be specified for '{name}'. Please see https://aka.ms/deploy-to-subscription for usage details."
            ),
        ));
    };
    let place = locations::normal(location);
    if !locations::exists(&place) {
        return Err(ArmError::bad_request(
            "LocationNotAvailableForDeployment",
            format!(
                "The provided location '{location}' is not available for deployment. List of available regions is '{}'.",
                locations::list()
            ),
        ));
    }
    match existing.and_then(|e| e.location.as_deref()) {
        Some(old) if old != place => Err(ArmError::conflict(
            "InvalidDeploymentLocation",
            format!(
                "Invalid deployment location '{place}'. The deployment '{name}' already exists in location '{old}'."
            ),
        )),
        _ => Ok(()),
    }
}

/// The operations of a deployment, or the one that is asked for.
pub(super) fn operations(record: &Resource, one: Option<&String>) -> Result<Answer, ArmError> {
    let list = record.extra.get("operations").and_then(Value::as_array).cloned().unwrap_or_default();
    let shown: Vec<Value> = list
        .into_iter()
        .enumerate()
        .map(|(index, properties)| {
            let name = format!("{index:016X}");
            json!({"id": format!("{}/operations/{name}", record.id), "operationId": name, "properties": properties})
        })
        .collect();
    let Some(one) = one else { return Ok(Answer::list(shown)) };
    let found =
        shown.into_iter().find(|o| o["operationId"].as_str().is_some_and(|id| id.eq_ignore_ascii_case(one)));
    found.map(Answer::ok).ok_or_else(|| {
        ArmError::new(
            StatusCode::NOT_FOUND,
            "DeploymentOperationNotFound",
            format!("The deployment operation '{one}' could not be found."),
        )
    })
}

impl Front {
    /// What the expressions of a deployment see.
    pub(super) fn scope_of(&self, id: &ResourceId, body: &Value) -> Scope {
        let target = id.scope();
        let group = target.group_id().and_then(|g| self.resources.get(&g));
        let location = group.as_ref().and_then(|g| g.location.clone());
        Scope {
            target,
            name: id.name().to_owned(),
            tenant_id: self.config.tenant_id.clone(),
            subscription_name: self.config.subscription_name.clone(),
            location: location
                .or_else(|| body.get("location").and_then(Value::as_str).map(str::to_owned))
                .unwrap_or_default(),
            tags: json!(group.as_ref().and_then(|g| g.tags.clone()).unwrap_or_default()),
            now: self.config.clock.now(),
            namespaces: Arc::new(self.namespaces()),
            ..Scope::default()
        }
    }

    pub(super) fn record(
        &self,
        asked: &Asked<'_>,
        id: &ResourceId,
        body: &Value,
        template: &Value,
        plan: &Plan,
        mode: Mode,
    ) -> Resource {
        let declared = template.get("parameters").unwrap_or(&Value::Null);
        let given: Map<String, Value> = plan
            .scope
            .parameters
            .iter()
            .map(|(name, value)| {
                let kind = parameters::kind(&plan.definitions, declared.get(name).unwrap_or(&Value::Null));
                let mut shown = json!({"type": run::capital(&kind)});
                if !kind.starts_with("secure") {
                    shown["value"] = value.clone();
                }
                (name.clone(), shown)
            })
            .collect();
        let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, template.to_string().as_bytes());
        let mut record = Resource::new(id.clone());
        let location = body.get("location").and_then(Value::as_str);
        record.location = location.filter(|_| id.group().is_none()).map(locations::normal);
        record.tags = body.get("tags").filter(|t| t.is_object()).map(crate::resource::read_tags);
        record.properties = json!({
            "mode": mode.name(), "provisioningState": "Running", "parameters": given,
            "timestamp": self.config.clock.now().to_string(), "duration": "PT0S", "correlationId": asked.ctx.correlation_id,
            "templateHash": hash.as_u128().to_string(), "dependencies": dependencies(plan), "providers": providers(plan),
        });
        record
    }

    /// A deployment that the last run of the service did not end.
    pub(crate) async fn interrupted(self: &Arc<Self>, id: &ResourceId) -> Result<ArmError, ArmError> {
        let error = ArmError::conflict(
            "DeploymentInterrupted",
            "The deployment was interrupted by a restart of the service. What it had deployed is there; repeat the request to deploy the rest.",
        );
        self.resources
            .modify(id, |r| {
                r.properties["provisioningState"] = json!("Failed");
                r.properties["error"] = error.inner();
                true
            })
            .await?;
        Ok(error)
    }
}

/// `dependsOn`, as the history shows it.
fn dependencies(plan: &Plan) -> Vec<Value> {
    let told = |id: &ResourceId| json!({"id": id, "resourceType": id.resource_type(), "resourceName": id.full_name()});
    let mut found = Vec::new();
    for item in plan.items.iter().filter(|item| !item.depends.is_empty()) {
        let needed: Vec<Value> = plan
            .items
            .iter()
            .filter(|other| item.needs.contains(other.id.key()))
            .map(|other| told(&other.id))
            .collect();
        let mut shown = told(&item.id);
        shown["dependsOn"] = json!(needed);
        found.push(shown);
    }
    found
}

fn providers(plan: &Plan) -> Vec<Value> {
    let mut types: Vec<(String, String, Option<String>)> = plan
        .items
        .iter()
        .filter(|item| !item.id.namespace().is_empty())
        .map(|item| {
            let full = item.id.resource_type();
            let short = full.split_once('/').map_or("", |(_, short)| short).to_owned();
            let location = item.raw.get("location").and_then(Value::as_str).filter(|l| !l.starts_with('['));
            (item.id.namespace().to_owned(), short, location.map(locations::normal))
        })
        .collect();
    types.sort();
    types.dedup();
    let mut found: Vec<Value> = Vec::new();
    for (namespace, kind, location) in types {
        let row = json!({"resourceType": kind, "locations": [location]});
        match found.iter_mut().find(|p| p["namespace"] == json!(namespace)) {
            Some(provider) => {
                if let Some(list) = provider["resourceTypes"].as_array_mut() {
                    list.push(row);
                }
            }
            None => found.push(json!({"namespace": namespace, "resourceTypes": [row]})),
        }
    }
    found
}
