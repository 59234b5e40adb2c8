//! Requests on typed resources.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::route::Asked;
use super::{Answer, Front, Registered, provider_calls, reply, rules};
use crate::caller::CallerKind;
use crate::types::{Acted, DeleteStatus, Deleted, Patch, Put, Written};
use crate::{ArmError, Ctx, Operation, Resource, ResourceId};

/// How much of a path is a registered type.
struct Match {
    registered: Registered,
    /// The resource, or for a collection what it lies in.
    id: ResourceId,
    collection: bool,
    /// Segments behind the resource.
    tail: Vec<String>,
}

impl Front {
    fn matched(&self, scope: &ResourceId, namespace: &str, rest: &[String]) -> Option<Match> {
        let mut full_type = namespace.to_owned();
        let mut id = scope.clone();
        let mut best = None;
        for (index, kind) in rest.iter().enumerate().step_by(2) {
            full_type = format!("{full_type}/{kind}");
            let registered = self.registered(&full_type);
            match rest.get(index + 1) {
                Some(name) => {
                    id = if index == 0 { id.extension(&full_type, name) } else { id.child(kind, name) };
                    if let Some(registered) = registered {
                        let id = id.clone().with_type_case(registered.descriptor.full_type);
                        best = Some(Match {
                            registered: registered.clone(),
                            id,
                            collection: false,
                            tail: rest[index + 2..].to_vec(),
                        });
                    }
                }
                None => {
                    if let Some(registered) = registered {
                        best = Some(Match {
                            registered: registered.clone(),
                            id: id.clone(),
                            collection: true,
                            tail: Vec::new(),
                        });
                    }
                }
            }
        }
        best
    }

    /// A request on a resource, a collection, below a resource, or on the provider itself.
    pub(super) async fn typed(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        scope: ResourceId,
        namespace: &str,
        rest: &[String],
    ) -> Result<Answer, ArmError> {
        let scope = self.group_case(scope);
        let Some(found) = self.matched(&scope, namespace, rest) else {
            return self.provider_call(asked, scope, namespace, rest).await;
        };
        self.check_type_version(&found.registered, &asked.ctx.api_version)?;
        let Match { registered, id, collection, tail } = found;
        match (asked.method(), collection, tail.is_empty()) {
            (&Method::GET, true, _) => self.list_typed(asked, &registered, id).await,
            (&Method::GET | &Method::HEAD, false, true) => self.get_typed(asked, &registered, id).await,
            (&Method::PUT, false, true) => self.put_typed(asked, &registered, id).await,
            (&Method::PATCH, false, true) => self.patch_typed(asked, &registered, id).await,
            (&Method::DELETE, false, true) => self.delete_typed(asked, &registered, id).await,
            (&Method::POST, false, false) => self.act_typed(asked, &registered, id, &tail).await,
            (&Method::GET, false, false) => self.read_below(asked, &registered, id, &tail).await,
            (method @ (&Method::PUT | &Method::PATCH | &Method::DELETE), false, false) => {
                let kinds: Vec<&str> = tail.iter().step_by(2).map(String::as_str).collect();
                let full_type = registered.descriptor.full_type;
                asked.authorize(
                    &format!("{full_type}/{}", provider_calls::of_provider(method, &kinds)),
                    &id,
                )?;
                Err(ArmError::not_implemented(format_args!(
                    "The operation '{method}' on the resource type '{full_type}/{}'",
                    kinds.join("/")
                )))
            }
            (method, ..) => Err(ArmError::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "HttpMethodNotAllowed",
                format!("The HTTP method '{method}' is not supported at scope '{id}'."),
            )),
        }
    }

    /// The same id with the group's name as it was made.
    fn group_case(&self, scope: ResourceId) -> ResourceId {
        match scope.group_id().and_then(|g| self.resources.get(&g)) {
            Some(group) => scope.with_group_case(&group.name),
            None => scope,
        }
    }

    fn shown(&self, ctx: &Ctx, registered: &Registered, resource: &Resource) -> Value {
        let mut body = registered.present(ctx, resource);
        if let (Some(name), Some(map)) = (registered.descriptor.etag, body.as_object_mut())
            && !resource.etag.is_empty()
        {
            map.entry(name).or_insert_with(|| json!(quoted(&resource.etag)));
        }
        body
    }

    fn require_group(&self, id: &ResourceId) -> Result<(), ArmError> {
        match id.group_id() {
            Some(group) if !self.resources.exists(&group) => {
                Err(ArmError::group_not_found(id.group().unwrap_or("")))
            }
            _ => Ok(()),
        }
    }

    async fn found(&self, ctx: &Ctx, registered: &Registered, id: &ResourceId) -> Result<Resource, ArmError> {
        match registered.kind.get(ctx, id).await? {
            Some(resource) => Ok(resource),
            None => {
                self.require_group(id)?;
                Err(ArmError::resource_not_found(id))
            }
        }
    }

    async fn list_typed(
        &self,
        asked: &Asked<'_>,
        registered: &Registered,
        scope: ResourceId,
    ) -> Result<Answer, ArmError> {
        asked.authorize(&format!("{}/read", registered.descriptor.full_type), &scope)?;
        self.require_group(&scope)?;
        if let Some((parent, _)) = registered.descriptor.full_type.rsplit_once('/')
            && let Some(parent) = self.registered(parent)
            && scope.is_type(parent.descriptor.full_type)
        {
            self.found(&asked.ctx, parent, &scope).await?;
        }
        let list = registered.kind.list(&asked.ctx, &scope).await?;
        self.paged(asked, list.iter().map(|r| self.shown(&asked.ctx, registered, r)).collect())
    }

    async fn get_typed(
        &self,
        asked: &Asked<'_>,
        registered: &Registered,
        id: ResourceId,
    ) -> Result<Answer, ArmError> {
        asked.authorize(&format!("{}/read", registered.descriptor.full_type), &id)?;
        let resource = self.found(&asked.ctx, registered, &id).await?;
        if asked.method() == Method::HEAD {
            return Ok(Answer::empty(StatusCode::NO_CONTENT));
        }
        let answer = Answer::ok(self.shown(&asked.ctx, registered, &resource));
        Ok(answer.header("etag", quoted(&resource.etag)))
    }

    async fn may_write(
        &self,
        asked: &Asked<'_>,
        registered: &Registered,
        id: &ResourceId,
    ) -> Result<(), ArmError> {
        asked.authorize(&format!("{}/write", registered.descriptor.full_type), id)?;
        self.require_registered(registered.descriptor.namespace())?;
        self.require_group(id)?;
        if let Some(group) = id.group_id().and_then(|g| self.resources.get(&g))
            && group.provisioning_state() == Some("Deleting")
        {
            return Err(ArmError::conflict(
                "ResourceGroupBeingDeleted",
                format!(
                    "The resource group '{}' is in deprovisioning state and cannot perform this operation.",
                    group.name
                ),
            ));
        }
        if id.types().len() > 1
            && let Some(parent) = id.parent()
            && let Some(kind) = self.registered(&parent.resource_type())
            && kind.kind.get(&asked.ctx, &parent).await?.is_none()
        {
            return Err(ArmError::parent_not_found(id));
        }
        if registered.descriptor.extension && !id.scope().parts().is_empty() {
            let base = id.scope();
            if let Some(kind) = self.registered(&base.resource_type()) {
                self.found(&asked.ctx, kind, &base).await?;
            }
        }
        asked.ctx.access.check_locks("write", id)
    }

    async fn put_typed(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        registered: &Registered,
        id: ResourceId,
    ) -> Result<Answer, ArmError> {
        self.may_write(asked, registered, &id).await?;
        rules::check_name(registered, &id)?;
        let mut body = asked.incoming.object()?;
        self.check_links(asked, registered, &id, &body)?;
        let turn = self.turns.take(&id, &self.held(asked)).await;
        let ctx = self.within(asked, &turn);
        let existing = registered.kind.get(&ctx, &id).await?;
        rules::check_location(
            registered,
            &id,
            body.get("location").and_then(Value::as_str),
            existing.as_ref(),
        )?;
        check_etags(asked, existing.as_ref())?;
        if registered.descriptor.identity {
            let old = existing.as_ref().and_then(|e| e.identity.as_ref());
            let block = crate::identity::resolve(&ctx, &id, body.get("identity"), old).await?;
            if let Some(map) = body.as_object_mut() {
                map.remove("identity");
                map.extend(block.map(|b| ("identity".to_owned(), b)));
            }
        }
        let request = Put { id: &id, body, existing: existing.as_ref() };
        let written = registered.kind.put(&ctx, request).await;
        if written.is_err() && existing.is_none() && registered.descriptor.identity {
            ctx.directory.delete_managed_identity(&id).await?;
        }
        let status =
            if existing.is_some() { registered.descriptor.updated } else { registered.descriptor.created };
        self.store_and_answer(asked, registered, existing.as_ref(), written?, status).await
    }

    async fn patch_typed(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        registered: &Registered,
        id: ResourceId,
    ) -> Result<Answer, ArmError> {
        self.may_write(asked, registered, &id).await?;
        let mut body = asked.incoming.object()?;
        self.check_links(asked, registered, &id, &body)?;
        let turn = self.turns.take(&id, &self.held(asked)).await;
        let ctx = self.within(asked, &turn);
        let existing = self.found(&ctx, registered, &id).await?;
        check_etags(asked, Some(&existing))?;
        if registered.descriptor.identity && body.get("identity").is_some() {
            let old = existing.identity.as_ref();
            let asked_for = body.get("identity").map(|asked| crate::identity::patched(asked, old));
            let block = crate::identity::resolve(&ctx, &id, asked_for.as_ref(), old).await?;
            body["identity"] = block.unwrap_or(Value::Null);
        }
        let written = registered.kind.patch(&ctx, Patch { id: &id, body, existing: &existing }).await?;
        self.store_and_answer(asked, registered, Some(&existing), written, registered.descriptor.patched)
            .await
    }

    fn check_links(
        &self,
        asked: &Asked<'_>,
        registered: &Registered,
        id: &ResourceId,
        body: &Value,
    ) -> Result<(), ArmError> {
        let action = format!("{}/write", registered.descriptor.full_type);
        let properties = body.get("properties").unwrap_or(&Value::Null);
        super::tags::check(body.get("tags"))?;
        if registered.descriptor.tracked {
            super::definition::check(body, &asked.incoming.body)?;
        }
        self.access.check_links(asked.caller(), &action, id, properties)
    }

    async fn store_and_answer(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        registered: &Registered,
        existing: Option<&Resource>,
        written: Written,
        status: StatusCode,
    ) -> Result<Answer, ArmError> {
        let (mut resource, operation) = match written {
            Written::Elsewhere(body) => return Ok(Answer::new(status, body)),
            Written::Done(resource) => (resource, None),
            Written::Accepted { resource, operation } => (resource, Some(operation)),
        };
        // What says the same again changes nothing: no new ETag, no new date.
        let same = existing.filter(|e| operation.is_none() && **e == resource);
        let stored = match same {
            Some(same) => same.clone(),
            None => {
                resource.system_data = self.system_data(asked, existing);
                self.resources.save(resource).await?
            }
        };
        let mut answer = Answer::new(status, self.shown(&asked.ctx, registered, &stored));
        answer = answer.header("etag", quoted(&stored.etag));
        if let Some(operation) = operation {
            answer = self.polled(asked, answer, &stored.id, &operation, status == StatusCode::ACCEPTED);
            operation.start(&self.config.tasks);
        }
        Ok(answer)
    }

    /// Adds the headers that clients poll by.
    pub(crate) fn polled(
        &self,
        asked: &Asked<'_>,
        mut answer: Answer,
        resource: &ResourceId,
        operation: &Operation,
        location: bool,
    ) -> Answer {
        let record = operation.record();
        let region = record.as_ref().map_or("", |r| r.location.as_str());
        let url = |kind: &str| {
            format!(
                "{}{}?api-version={}",
                asked.incoming.base_url,
                reply::operation_path(resource, region, kind, operation.id()),
                asked.ctx.api_version
            )
        };
        answer = answer.header("azure-asyncoperation", url("operations"));
        if location {
            answer = answer.header("location", url("operationresults"));
        }
        answer.operation = Some(operation.id().to_owned());
        answer
    }

    async fn delete_typed(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        registered: &Registered,
        id: ResourceId,
    ) -> Result<Answer, ArmError> {
        asked.authorize(&format!("{}/delete", registered.descriptor.full_type), &id)?;
        let turn = self.turns.take(&id, &self.held(asked)).await;
        let ctx = self.within(asked, &turn);
        let Some(existing) = registered.kind.get(&ctx, &id).await? else {
            self.require_group(&id)?;
            return Ok(Answer::empty(registered.descriptor.delete_missing));
        };
        asked.ctx.access.check_locks("delete", &id)?;
        check_etags(asked, Some(&existing))?;
        match registered.kind.delete(&ctx, &existing).await? {
            Deleted::Done => {
                self.forget(&id, &existing).await?;
                Ok(Answer::empty(match registered.descriptor.deleted {
                    DeleteStatus::Ok => StatusCode::OK,
                    DeleteStatus::NoContent => StatusCode::NO_CONTENT,
                }))
            }
            Deleted::Accepted(operation) => {
                let had = self.resources.modify(&id, |r| {
                    let had = r.provisioning_state().is_some();
                    if had {
                        r.set_provisioning_state("Deleting");
                    }
                    had
                });
                had.await?;
                let answer = self.polled(asked, Answer::empty(StatusCode::ACCEPTED), &id, &operation, true);
                operation.start(&self.config.tasks);
                self.forget_identity_after(&operation, existing);
                Ok(answer)
            }
        }
    }

    async fn forget(&self, id: &ResourceId, existing: &Resource) -> Result<(), ArmError> {
        self.resources.remove(id).await?;
        if existing.principal_id().is_some() && existing.kind_type != crate::identity::USER_ASSIGNED {
            self.config.directory.delete_managed_identity(id).await?;
        }
        Ok(())
    }

    pub(super) fn forget_identity_after(&self, operation: &Operation, existing: Resource) {
        if existing.principal_id().is_none() {
            return;
        }
        let (operations, directory, id) =
            (self.operations.clone(), self.config.directory.clone(), operation.id().to_owned());
        self.config.tasks.spawn("forget identity", async move {
            let ended = operations.wait(&id).await;
            if ended.is_some_and(|r| r.status == crate::OperationStatus::Succeeded)
                && let Err(error) = directory.delete_managed_identity(&existing.id).await
            {
                tracing::warn!(resource = %existing.id, error = %kit::Chain(&error), "failed to remove an identity");
            }
        });
    }

    async fn act_typed(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        registered: &Registered,
        id: ResourceId,
        tail: &[String],
    ) -> Result<Answer, ArmError> {
        let name = tail.join("/");
        asked.authorize(&format!("{}/{}/action", registered.descriptor.full_type, deed_of(tail)), &id)?;
        let existing = self.found(&asked.ctx, registered, &id).await?;
        // Under a read-only lock no POST gets through, not even one that only lists keys.
        asked.ctx.access.check_locks("write", &id)?;
        let body = asked.incoming.json()?;
        let acted = registered.kind.action(&asked.ctx, &existing, &name, body).await?;
        Ok(self.acted(asked, &id, acted))
    }

    async fn read_below(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        registered: &Registered,
        id: ResourceId,
        tail: &[String],
    ) -> Result<Answer, ArmError> {
        let kinds: Vec<&str> = tail.iter().step_by(2).map(String::as_str).collect();
        asked.authorize(&format!("{}/{}/read", registered.descriptor.full_type, kinds.join("/")), &id)?;
        let existing = self.found(&asked.ctx, registered, &id).await?;
        let acted = registered.kind.read(&asked.ctx, &existing, tail).await?;
        Ok(self.acted(asked, &id, acted))
    }

    pub(super) fn acted(&self, asked: &Asked<'_>, id: &ResourceId, acted: Acted) -> Answer {
        match acted {
            Acted::Done(Some(body)) => Answer::ok(body),
            Acted::Done(None) => Answer::empty(StatusCode::NO_CONTENT),
            Acted::Answer(status, body) => {
                let mut answer = Answer::new(status, body);
                if status == StatusCode::ACCEPTED {
                    answer = answer
                        .header("location", format!("{}{}", asked.incoming.base_url, asked.incoming.uri));
                    answer.retry = true;
                }
                answer
            }
            Acted::AcceptedAt { path, body } => {
                let url = format!("{}{path}?api-version={}", asked.incoming.base_url, asked.ctx.api_version);
                let mut answer = Answer::new(StatusCode::ACCEPTED, body).header("location", url);
                answer.retry = true;
                answer
            }
            Acted::Accepted(operation) => {
                let answer = self.polled(asked, Answer::empty(StatusCode::ACCEPTED), id, &operation, true);
                operation.start(&self.config.tasks);
                answer
            }
            Acted::Begun(operation) => {
                operation.start(&self.config.tasks);
                Answer::empty(StatusCode::NO_CONTENT)
            }
        }
    }

    fn held(&self, asked: &Asked<'_>) -> super::Held {
        asked.incoming.in_process.as_ref().map(|p| p.held.clone()).unwrap_or_default()
    }

    /// The context of work done during a turn: its own requests do not wait for it.
    fn within(&self, asked: &Asked<'_>, turn: &super::turn::Turn) -> Ctx {
        let mut ctx = asked.ctx.clone();
        ctx.arm = crate::ArmClient::new(
            self.me.clone(),
            ctx.caller.clone(),
            turn.held.clone(),
            &ctx.correlation_id,
        );
        ctx
    }

    pub(super) fn system_data(&self, asked: &Asked<'_>, existing: Option<&Resource>) -> Value {
        let now = self.config.clock.now().to_string();
        let caller = asked.caller();
        let kind = match caller.kind {
            CallerKind::User => "User",
            CallerKind::ServicePrincipal if caller.claims.get("xms_mirid").is_some() => "ManagedIdentity",
            CallerKind::ServicePrincipal | CallerKind::Service => "Application",
        };
        let old = |name: &str| existing.and_then(|e| e.system_data.get(name).cloned());
        json!({
            "createdBy": old("createdBy").unwrap_or_else(|| json!(caller.name)),
            "createdByType": old("createdByType").unwrap_or_else(|| json!(kind)),
            "createdAt": old("createdAt").unwrap_or_else(|| json!(now)),
            "lastModifiedBy": caller.name, "lastModifiedByType": kind, "lastModifiedAt": now,
        })
    }
}

/// What a role names a POST below a resource: the names of children are left out
/// (`accessProfiles/clusterAdmin/listCredential` is `accessProfiles/listCredential`).
fn deed_of(tail: &[String]) -> String {
    let step = if tail.len() % 2 == 1 { 2 } else { 1 };
    tail.iter().step_by(step).map(String::as_str).collect::<Vec<_>>().join("/")
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// `If-Match` and `If-None-Match`.
fn check_etags(asked: &Asked<'_>, existing: Option<&Resource>) -> Result<(), ArmError> {
    let bare = |text: &str| text.trim().trim_start_matches("W/").trim_matches('"').to_owned();
    if let Some(wanted) = asked.incoming.header("if-match") {
        let holds =
            existing.is_some_and(|e| wanted.split(',').map(bare).any(|tag| tag == "*" || tag == e.etag));
        if !holds {
            return Err(ArmError::precondition_failed());
        }
    }
    if let Some(unwanted) = asked.incoming.header("if-none-match") {
        if bare(unwanted) != "*" {
            return Err(ArmError::bad_request("BadRequest", "The If-None-Match header may only be '*'."));
        }
        if existing.is_some() {
            return Err(ArmError::precondition_failed());
        }
    }
    Ok(())
}
