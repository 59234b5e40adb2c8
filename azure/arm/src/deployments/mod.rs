//! Template deployments: parameters, variables, conditions, loops, dependencies, references, outputs, nested templates.
//!
//! Everything is deployed as the caller, through the front door, so a template can do no more than its sender.
//! Not built: complete mode, linked templates, Key Vault parameters, scripts.

mod evaluate;
mod expression;
mod functions;
mod plan;
mod run;

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::front::route_types::Asked;
use crate::front::{Answer, Front};
use crate::{ArmError, Resource, ResourceId};
use evaluate::Scope;
use plan::{Plan, invalid};

const TYPE: &str = "Microsoft.Resources/deployments";

/// The body of a deployment. az sends templates as they are in the file, so comments and bare names must be read.
fn read_body(asked: &Asked<'_>) -> Result<Value, ArmError> {
    let strict = asked.incoming.object();
    if strict.is_ok() {
        return strict;
    }
    let text = std::str::from_utf8(&asked.incoming.body).map_err(ArmError::invalid_content)?;
    let value: Value = json5::from_str(text).map_err(ArmError::invalid_content)?;
    if value.is_object() { Ok(value) } else { Err(ArmError::invalid_content("an object is expected")) }
}

fn shown(record: &Resource) -> Value {
    let mut body =
        json!({"id": record.id, "name": record.name, "type": TYPE, "properties": record.properties});
    if let Some(location) = &record.location {
        body["location"] = json!(location);
    }
    body
}

impl Front {
    pub(crate) async fn deployments(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        scope: ResourceId,
        rest: &[String],
    ) -> Result<Answer, ArmError> {
        let last = rest.get(1).map(|s| s.to_ascii_lowercase());
        let id = rest.first().map(|name| scope.extension(TYPE, name));
        let action = match (asked.method(), last.as_deref()) {
            (&Method::GET | &Method::HEAD, None) => "read".to_owned(),
            (&Method::GET, Some("operations")) => "operations/read".to_owned(),
            (&Method::PUT, None) => "write".to_owned(),
            (&Method::DELETE, None) => "delete".to_owned(),
            (&Method::POST, Some(name)) => format!("{name}/action"),
            _ => {
                return Err(ArmError::not_implemented(format_args!(
                    "'{} {}'",
                    asked.method(),
                    asked.incoming.uri
                )));
            }
        };
        asked.authorize(&format!("{TYPE}/{action}"), id.as_ref().unwrap_or(&scope))?;
        if let Some(group) = scope.group_id()
            && !self.resources.exists(&group)
        {
            return Err(ArmError::group_not_found(group.name()));
        }
        let Some(id) = id else {
            let list = self.resources.list(&scope.extension("Microsoft.Resources", ""));
            return Ok(Answer::list(list.iter().filter(|r| r.kind_type == TYPE).map(|r| shown(r)).collect()));
        };
        let found = self.resources.get(&id);
        let existing = || {
            found.clone().ok_or_else(|| {
                ArmError::new(
                    StatusCode::NOT_FOUND,
                    "DeploymentNotFound",
                    format!("Deployment '{}' could not be found.", id.name()),
                )
            })
        };
        match (asked.method(), last.as_deref()) {
            (&Method::HEAD, None) => Ok(Answer::empty(if found.is_some() {
                StatusCode::NO_CONTENT
            } else {
                StatusCode::NOT_FOUND
            })),
            (&Method::GET, None) => Ok(Answer::ok(shown(&*existing()?))),
            (&Method::GET, Some(_)) => Ok(Answer::list(operations(&*existing()?, rest.get(2)))),
            (&Method::DELETE, _) => {
                self.access.check_locks("delete", &id)?;
                self.resources.remove(&id).await?;
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            }
            (&Method::POST, Some("exporttemplate")) => {
                Ok(Answer::ok(json!({"template": existing()?.extra.get("template")})))
            }
            (&Method::POST, Some("validate")) => self.validate(asked, &id),
            (&Method::POST, Some("whatif")) => self.what_if(asked, &id),
            (&Method::PUT, None) => self.deploy(asked, id).await,
            (_, other) => {
                Err(ArmError::not_implemented(format_args!("The action '{TYPE}/{}'", other.unwrap_or(""))))
            }
        }
    }

    fn planned(&self, asked: &Asked<'_>, id: &ResourceId, body: &Value) -> Result<(Plan, Value), ArmError> {
        let properties = &body["properties"];
        if properties.get("templateLink").is_some_and(|l| !l.is_null()) {
            return Err(ArmError::not_implemented("A linked template"));
        }
        if properties["mode"].as_str().is_some_and(|m| m.eq_ignore_ascii_case("complete")) {
            return Err(ArmError::not_implemented("The deployment mode 'Complete'"));
        }
        let template = match &properties["template"] {
            // Some clients send the file's text.
            Value::String(text) => json5::from_str(text).map_err(invalid)?,
            other => other.clone(),
        };
        let target = id.scope();
        let group = target.group_id().and_then(|g| self.resources.get(&g));
        let scope = Scope {
            target,
            name: id.name().to_owned(),
            tenant_id: self.config.tenant_id.clone(),
            location: group
                .as_ref()
                .and_then(|g| g.location.clone())
                .or_else(|| body["location"].as_str().map(str::to_owned))
                .unwrap_or_default(),
            tags: json!(group.as_ref().and_then(|g| g.tags.clone()).unwrap_or_default()),
            now: self.config.clock.now().strftime("%Y%m%dT%H%M%SZ").to_string(),
            ..Scope::default()
        };
        let empty = json!({});
        let given = properties.get("parameters").filter(|p| !p.is_null()).unwrap_or(&empty);
        let _ = asked;
        Ok((plan::plan(&template, given, scope)?, template))
    }

    fn record(
        &self,
        asked: &Asked<'_>,
        id: &ResourceId,
        body: &Value,
        template: &Value,
        plan: &Plan,
    ) -> Resource {
        let secret = |name: &str| {
            template["parameters"][name]["type"]
                .as_str()
                .is_some_and(|t| t.to_ascii_lowercase().starts_with("secure"))
        };
        let shown_parameters: serde_json::Map<String, Value> = plan
            .scope
            .parameters
            .iter()
            .map(|(name, value)| {
                let kind = template["parameters"][name]["type"].clone();
                (
                    name.clone(),
                    if secret(name) { json!({"type": kind}) } else { json!({"type": kind, "value": value}) },
                )
            })
            .collect();
        let mut namespaces: Vec<String> =
            plan.items.iter().map(|i| i.id.namespace().to_owned()).filter(|n| !n.is_empty()).collect();
        namespaces.sort();
        namespaces.dedup();
        let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, template.to_string().as_bytes());
        let mut record = Resource::new(id.clone());
        record.location =
            if id.group().is_some() { None } else { body["location"].as_str().map(crate::locations::normal) };
        record.properties = json!({
            "mode": "Incremental", "provisioningState": "Running", "parameters": shown_parameters,
            "timestamp": self.config.clock.now().to_string(), "duration": "PT0S", "correlationId": asked.ctx.correlation_id,
            "templateHash": hash.as_u128().to_string(), "dependencies": [],
            "providers": namespaces.iter().map(|n| json!({"namespace": n, "resourceTypes": []})).collect::<Vec<_>>(),
        });
        record
    }

    fn validate(&self, asked: &Asked<'_>, id: &ResourceId) -> Result<Answer, ArmError> {
        let body = read_body(asked)?;
        let (plan, template) = self.planned(asked, id, &body)?;
        let mut record = self.record(asked, id, &body, &template, &plan);
        record.properties["provisioningState"] = json!("Succeeded");
        record.properties["validatedResources"] = plan.items.iter().map(|i| json!({"id": i.id})).collect();
        Ok(Answer::ok(shown(&record)))
    }

    /// Says which resources would be made and which written again; it does not compare properties.
    fn what_if(&self, asked: &Asked<'_>, id: &ResourceId) -> Result<Answer, ArmError> {
        let (plan, _) = self.planned(asked, id, &read_body(asked)?)?;
        let changes: Vec<Value> = plan
            .items
            .iter()
            .filter(|i| !i.existing)
            .map(|i| json!({"resourceId": i.id, "changeType": if self.resources.exists(&i.id) { "Deploy" } else { "Create" }}))
            .collect();
        Ok(Answer::ok(
            json!({"status": "Succeeded", "properties": {"correlationId": asked.ctx.correlation_id, "changes": changes}}),
        ))
    }

    async fn deploy(self: &Arc<Self>, asked: &Asked<'_>, id: ResourceId) -> Result<Answer, ArmError> {
        self.access.check_locks("write", &id)?;
        let body = read_body(asked)?;
        let (plan, template) = self.planned(asked, &id, &body)?;
        let mut record = self.record(asked, &id, &body, &template, &plan);
        record.extra.insert("template".to_owned(), template);
        let existed = self.resources.get(&id);
        if existed.as_ref().is_some_and(|r| r.provisioning_state() == Some("Running")) {
            return Err(ArmError::conflict(
                "DeploymentActive",
                format!(
                    "Unable to edit or replace deployment '{}': previous deployment from is still active. Please see https://aka.ms/arm-deploy for usage details.",
                    id.name()
                ),
            ));
        }
        let stored = self.resources.save(record).await?;
        let operation = self.operations.create(&id, "deploy", "global").await?;
        let (front, ctx) = (self.clone(), asked.ctx.clone());
        let began = self.config.clock.now();
        // As the caller, but holding no turn: the request is over when this runs.
        let arm = crate::ArmClient::new(self.me.clone(), ctx.caller.clone(), crate::front::Held::default());
        let work = async move {
            let (outcome, error) = match run::run(&arm, plan).await {
                Ok(outcome) => (outcome, None),
                Err((error, outcome)) => (outcome, Some(error)),
            };
            let took = front.config.clock.now().duration_since(began);
            front
                .resources
                .modify(&id, |r| {
                    r.properties["provisioningState"] =
                        json!(if error.is_some() { "Failed" } else { "Succeeded" });
                    r.properties["duration"] =
                        json!(format!("PT{}.{:03}S", took.as_secs(), took.subsec_millis()));
                    r.properties["timestamp"] = json!(front.config.clock.now().to_string());
                    r.properties["outputs"] = json!(outcome.outputs);
                    r.properties["outputResources"] =
                        outcome.deployed.iter().map(|d| json!({"id": d})).collect();
                    if let Some(error) = &error {
                        r.properties["error"] = error.inner();
                    }
                    r.extra.insert("operations".to_owned(), json!(outcome.operations));
                    true
                })
                .await?;
            error.map_or(Ok(()), Err)
        };
        let operation = operation.work(work);
        let status = if existed.is_some() { StatusCode::OK } else { StatusCode::CREATED };
        let answer = self.polled(asked, Answer::new(status, shown(&stored)), &stored.id, &operation, false);
        operation.start(&self.config.tasks);
        Ok(answer)
    }
}

fn operations(record: &Resource, one: Option<&String>) -> Vec<Value> {
    let list = record.extra.get("operations").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut shown: Vec<Value> = list
        .into_iter()
        .enumerate()
        .map(|(index, properties)| {
            let name = format!("{index:016X}");
            json!({"id": format!("{}/operations/{name}", record.id), "operationId": name, "properties": properties})
        })
        .collect();
    if let Some(one) = one {
        shown.retain(|o| o["operationId"].as_str() == Some(one));
    }
    shown
}
