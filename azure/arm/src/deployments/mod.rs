//! Template deployments: parameters and types, variables, functions and lambdas, conditions, loops, dependencies,
//! references, outputs, nested templates, both modes, what-if, cancelling.
//!
//! Everything is deployed as the caller, through the front door, so a template can do no more than its sender. A template
//! may cause so much work and no more ([`meter`]). Not built: linked templates, parameters from Key Vault, scripts.

mod calls;
mod difference;
mod evaluate;
mod expression;
mod functions;
mod lambdas;
mod meter;
mod names;
mod parameters;
mod plan;
mod preview;
mod reading;
mod record;
mod run;
mod what_if;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::front::route_types::Asked;
use crate::front::{Answer, Front};
use crate::{ArmClient, ArmError, Resource, ResourceId};
use plan::{Plan, invalid};
use record::shown;

pub use preview::{Planned, Preview, preview};
pub use reading::{forgiving, read};

pub(crate) const TYPE: &str = "Microsoft.Resources/deployments";

/// The deployments that are going on, by key, each with its brake.
pub(crate) type Running = Mutex<HashMap<String, watch::Sender<bool>>>;

/// What happens to resources of the group that the template does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// They stay.
    Incremental,
    /// They are deleted in the end.
    Complete,
}

impl Mode {
    fn read(body: &Value, id: &ResourceId) -> Result<Self, ArmError> {
        let mode = body.pointer("/properties/mode").and_then(Value::as_str).unwrap_or("Incremental");
        if mode.eq_ignore_ascii_case("incremental") {
            return Ok(Self::Incremental);
        }
        if !mode.eq_ignore_ascii_case("complete") {
            return Err(ArmError::invalid_content(format_args!(
                "Error converting value \"{mode}\" to type 'DeploymentMode'. Path 'properties.mode'"
            )));
        }
        let scope = id.scope();
        if scope.group().is_none() || !scope.parts().is_empty() {
            return Err(ArmError::bad_request(
                "InvalidDeployment",
                format!(
                    "The deployment mode 'Complete' is not supported for deployment '{}': it is for resource groups only.",
                    id.name()
                ),
            ));
        }
        Ok(Self::Complete)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Incremental => "Incremental",
            Self::Complete => "Complete",
        }
    }
}

/// The body of a deployment.
fn read_body(asked: &Asked<'_>) -> Result<Value, ArmError> {
    reading::read(&asked.incoming.body)
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
        match id {
            Some(id) => self.deployment(asked, id, last.as_deref(), rest.get(2)).await,
            None => {
                let list = self.resources.list_type(&scope.extension("Microsoft.Resources", ""), TYPE);
                self.paged(asked, list.iter().map(|r| shown(r)).collect())
            }
        }
    }

    async fn deployment(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        id: ResourceId,
        last: Option<&str>,
        one: Option<&String>,
    ) -> Result<Answer, ArmError> {
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
        match (asked.method(), last) {
            (&Method::HEAD, None) => Ok(Answer::empty(if found.is_some() {
                StatusCode::NO_CONTENT
            } else {
                StatusCode::NOT_FOUND
            })),
            (&Method::GET, None) => Ok(Answer::ok(shown(&*existing()?))),
            (&Method::GET, Some(_)) => record::operations(&*existing()?, one),
            (&Method::DELETE, _) => {
                self.access.check_locks("delete", &id)?;
                if found.as_ref().is_some_and(|r| r.provisioning_state() == Some("Running")) {
                    return Err(active(&id, "delete"));
                }
                self.resources.remove(&id).await?;
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            }
            (&Method::POST, Some("exporttemplate")) => {
                Ok(Answer::ok(json!({"template": existing()?.extra.get("template")})))
            }
            (&Method::POST, Some("cancel")) => {
                existing()?;
                self.cancel(&id)
            }
            (&Method::POST, Some("validate")) => self.validate(asked, &id),
            (&Method::POST, Some("whatif")) => self.what_if(asked, &id).await,
            (&Method::PUT, None) => self.deploy(asked, id).await,
            (_, other) => {
                Err(ArmError::not_implemented(format_args!("The action '{TYPE}/{}'", other.unwrap_or(""))))
            }
        }
    }

    fn cancel(&self, id: &ResourceId) -> Result<Answer, ArmError> {
        match self.running.lock().get(id.key()) {
            Some(brake) => {
                brake.send_replace(true);
                Ok(Answer::empty(StatusCode::NO_CONTENT))
            }
            None => Err(ArmError::conflict(
                "DeploymentCannotBeCancelled",
                format!("The deployment '{}' cannot be cancelled because it is not running.", id.name()),
            )),
        }
    }

    fn planned(&self, id: &ResourceId, body: &Value) -> Result<(Plan, Value), ArmError> {
        let properties = body.get("properties").unwrap_or(&Value::Null);
        for link in ["templateLink", "parametersLink"] {
            if properties.get(link).is_some_and(|l| !l.is_null()) {
                return Err(ArmError::not_implemented(format_args!("A linked template ('{link}')")));
            }
        }
        let template = match properties.get("template") {
            // Some clients send the file's text.
            Some(Value::String(text)) => forgiving(text).map_err(|e| invalid(e.message))?,
            other => other.cloned().unwrap_or_default(),
        };
        let empty = json!({});
        let given = properties.get("parameters").filter(|p| !p.is_null()).unwrap_or(&empty);
        Ok((plan::plan(&template, given, self.scope_of(id, body))?, template))
    }

    fn validate(&self, asked: &Asked<'_>, id: &ResourceId) -> Result<Answer, ArmError> {
        let body = read_body(asked)?;
        record::check(id, &body, None)?;
        let mode = Mode::read(&body, id)?;
        let (plan, template) = self.planned(id, &body)?;
        let mut record = self.record(asked, id, &body, &template, &plan, mode);
        record.properties["provisioningState"] = json!("Succeeded");
        record.properties["validatedResources"] = plan.items.iter().map(|i| json!({"id": i.id})).collect();
        Ok(Answer::ok(shown(&record)))
    }

    async fn deploy(self: &Arc<Self>, asked: &Asked<'_>, id: ResourceId) -> Result<Answer, ArmError> {
        self.access.check_locks("write", &id)?;
        let body = read_body(asked)?;
        let existed = self.resources.get(&id);
        record::check(&id, &body, existed.as_deref())?;
        let mode = Mode::read(&body, &id)?;
        let (plan, template) = self.planned(&id, &body)?;
        let mut record = self.record(asked, &id, &body, &template, &plan, mode);
        record.extra.insert("template".to_owned(), template);
        let brake = watch::Sender::new(false);
        let cancel = brake.subscribe();
        {
            let mut running = self.running.lock();
            if running.contains_key(id.key()) {
                return Err(active(&id, "edit or replace"));
            }
            running.insert(id.key().to_owned(), brake);
        }
        let begun = self.begin(asked, &id, record, plan, mode, cancel).await;
        if begun.is_err() {
            self.running.lock().remove(id.key());
        }
        let (stored, operation) = begun?;
        let status = if existed.is_some() { StatusCode::OK } else { StatusCode::CREATED };
        let answer = self.polled(asked, Answer::new(status, shown(&stored)), &stored.id, &operation, false);
        operation.start(&self.config.tasks);
        Ok(answer)
    }

    async fn begin(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        id: &ResourceId,
        record: Resource,
        plan: Plan,
        mode: Mode,
        cancel: watch::Receiver<bool>,
    ) -> Result<(Resource, crate::Operation), ArmError> {
        // The operation first: a record that says `Running` has one, whenever the service ends.
        let operation = self.operations.create(id, "deploy", "global").await?;
        let stored = self.resources.save(record).await?;
        // As the caller, but holding no turn: the request is over when this runs.
        let arm = ArmClient::new(
            self.me.clone(),
            asked.ctx.caller.clone(),
            crate::front::Held::default(),
            &asked.ctx.correlation_id,
        );
        let (front, id, handle) = (self.clone(), id.clone(), operation.clone());
        let work = async move {
            let ended = front.carry_out(&arm, &id, plan, mode, cancel).await;
            front.running.lock().remove(id.key());
            match ended {
                Err(error) if error.code == "DeploymentCanceled" => handle.cancel(Some(error)).await,
                other => other,
            }
        };
        Ok((stored, operation.work(work)))
    }

    async fn carry_out(
        &self,
        arm: &ArmClient,
        id: &ResourceId,
        plan: Plan,
        mode: Mode,
        cancel: watch::Receiver<bool>,
    ) -> Result<(), ArmError> {
        let began = self.config.clock.now();
        let named: BTreeSet<String> = plan.items.iter().map(|i| i.id.top().key().to_owned()).collect();
        let (mut outcome, mut ended) = run::run(arm, self.config.clock.as_ref(), plan, cancel).await;
        if ended.is_ok() && mode == Mode::Complete {
            ended = self.delete_others(arm, &id.scope(), &named, &mut outcome).await;
        }
        let took = self.config.clock.now().duration_since(began);
        let state = match &ended {
            Ok(()) => "Succeeded",
            Err(error) if error.code == "DeploymentCanceled" => "Canceled",
            Err(_) => "Failed",
        };
        self.resources
            .modify(id, |r| {
                r.properties["provisioningState"] = json!(state);
                r.properties["duration"] = json!(run::span(took));
                r.properties["timestamp"] = json!(self.config.clock.now().to_string());
                r.properties["outputs"] = json!(outcome.outputs);
                r.properties["outputResources"] = outcome.deployed.iter().map(|d| json!({"id": d})).collect();
                if let Err(error) = &ended {
                    r.properties["error"] = error.inner();
                }
                r.extra.insert("operations".to_owned(), json!(outcome.operations));
                true
            })
            .await?;
        ended
    }

    /// The resources of a group that a template does not name, in the order in which they can go.
    fn others(&self, group: &ResourceId, named: &BTreeSet<String>) -> Vec<Arc<Resource>> {
        let mut found: Vec<(u32, Arc<Resource>)> = Vec::new();
        for resource in self.resources.list(group) {
            let Some(registered) = self.registered(&resource.kind_type) else { continue };
            let top = resource.id.types().len() == 1 && resource.id.parts().len() == 1;
            if top && registered.descriptor.tracked && !named.contains(resource.id.key()) {
                found.push((registered.descriptor.delete_rank, resource));
            }
        }
        found.sort_by_key(|(rank, _)| *rank);
        found.into_iter().map(|(_, resource)| resource).collect()
    }

    async fn delete_others(
        &self,
        arm: &ArmClient,
        group: &ResourceId,
        named: &BTreeSet<String>,
        outcome: &mut run::Outcome,
    ) -> Result<(), ArmError> {
        for resource in self.others(group, named) {
            let registered = self.registered(&resource.kind_type);
            let version =
                registered.and_then(|r| r.descriptor.api_versions.first().copied()).unwrap_or("2024-11-01");
            let began = self.config.clock.now();
            let ended = match arm.delete(&resource.id, version).await {
                Ok(reply) => {
                    let status = reply.status;
                    reply.done().await.map(|_| status)
                }
                Err(error) => Err(error),
            };
            let took = self.config.clock.now().duration_since(began);
            outcome.operations.push(run::operation("Delete", &resource.id, ended.as_ref(), began, took));
            ended.map_err(run::failed)?;
        }
        Ok(())
    }
}

fn active(id: &ResourceId, deed: &str) -> ArmError {
    ArmError::conflict(
        "DeploymentActive",
        format!(
            "Unable to {deed} deployment '{}': the deployment is still active. Please see https://aka.ms/arm-deploy for usage details.",
            id.name()
        ),
    )
}
