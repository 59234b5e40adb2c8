//! `Microsoft.Authorization`: role assignments and definitions, locks, deny assignments, permissions.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::filter::{self, Clause};
use super::route::{Asked, no_route};
use super::{Answer, Front};
use crate::access::{DENY_ASSIGNMENT, LOCK, ROLE_ASSIGNMENT, ROLE_DEFINITION, reaches, roles};
use crate::{ArmError, Caller, Resource, ResourceId};

fn not_found(code: &str, message: String) -> ArmError {
    ArmError::new(StatusCode::NOT_FOUND, code, message)
}

impl Front {
    pub(super) async fn authorization(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        scope: ResourceId,
        kind: &str,
        rest: &[String],
    ) -> Result<Answer, ArmError> {
        let full_type = match kind {
            "roleassignments" => ROLE_ASSIGNMENT,
            "roledefinitions" => ROLE_DEFINITION,
            "locks" => LOCK,
            "denyassignments" => DENY_ASSIGNMENT,
            _ => return self.own_permissions(asked, &scope),
        };
        let deed = match *asked.method() {
            Method::GET => "read",
            Method::PUT => "write",
            Method::DELETE => "delete",
            _ => return Err(no_route(asked.incoming)),
        };
        asked.authorize(&format!("{full_type}/{deed}"), &scope)?;
        let id = match rest {
            [] => None,
            [name] => Some(scope.extension(full_type, name)),
            _ => return Err(no_route(asked.incoming)),
        };
        match (deed, id, full_type) {
            ("read", None, ROLE_DEFINITION) => self.list_roles(asked, &scope),
            ("read", None, LOCK) => {
                Ok(Answer::list(self.locks_in_view(&scope).iter().map(|r| shown(r)).collect()))
            }
            ("read", None, _) => self.list_assignments(asked, &scope, full_type),
            ("read", Some(id), ROLE_DEFINITION) => self.show_role(&scope, id.name()),
            ("read", Some(id), _) => self.stored(&id).map(|r| Answer::ok(shown(&r))),
            ("write", Some(id), ROLE_ASSIGNMENT) => self.put_assignment(asked, &scope, id).await,
            ("write", Some(id), ROLE_DEFINITION) => self.put_role(asked, &scope, id).await,
            ("write", Some(id), LOCK) => self.put_lock(asked, &scope, id).await,
            ("write", Some(id), _) => self.put_deny(asked, &scope, id).await,
            ("delete", Some(id), _) => self.remove(full_type, id).await,
            _ => Err(no_route(asked.incoming)),
        }
    }

    fn own_permissions(&self, asked: &Asked<'_>, scope: &ResourceId) -> Result<Answer, ArmError> {
        asked.authorize("Microsoft.Authorization/permissions/read", scope)?;
        let caller: &Caller = asked.caller();
        let principals: Vec<&str> = std::iter::once(caller.object_id.as_str())
            .chain(caller.groups.iter().map(String::as_str))
            .collect();
        let list = self.access.permissions(&principals, scope);
        Ok(Answer::list(list.iter().map(roles::Permission::to_json).collect()))
    }

    fn stored(&self, id: &ResourceId) -> Result<Resource, ArmError> {
        let found = self.resources.get(id).map(|r| (*r).clone());
        found.ok_or_else(|| match id.types().first().map(|(t, _)| t.to_ascii_lowercase()).as_deref() {
            Some("roleassignments") => not_found(
                "RoleAssignmentNotFound",
                format!("The role assignment '{}' is not found.", id.name()),
            ),
            Some("locks") => {
                not_found("LockNotFound", format!("The lock '{}' could not be found.", id.name()))
            }
            _ => ArmError::resource_not_found(id),
        })
    }

    fn list_assignments(
        &self,
        asked: &Asked<'_>,
        scope: &ResourceId,
        full_type: &str,
    ) -> Result<Answer, ArmError> {
        let clauses = filter::parse(asked.ctx.query("$filter"))?;
        let at_scope = clauses.iter().any(|c| c.op == "atscope");
        let list = self.access.assignments(scope, !at_scope, full_type);
        let kept = list
            .iter()
            .filter(|r| !at_scope || reaches(&r.id.scope(), scope))
            .filter(|r| clauses.iter().all(|c| self.assignment_fits(c, r)));
        Ok(Answer::list(kept.map(|r| shown(r)).collect()))
    }

    fn assignment_fits(&self, clause: &Clause, assignment: &Resource) -> bool {
        let principal = assignment.properties.get("principalId").and_then(Value::as_str).unwrap_or("");
        match (clause.op.as_str(), clause.field.to_ascii_lowercase().as_str()) {
            ("assignedto", who) => principal.eq_ignore_ascii_case(who),
            (_, "principalid") => clause.is(principal),
            _ => true,
        }
    }

    async fn put_assignment(
        &self,
        asked: &Asked<'_>,
        scope: &ResourceId,
        id: ResourceId,
    ) -> Result<Answer, ArmError> {
        let body = asked.incoming.object()?;
        let text = |name: &str| {
            body.pointer(&format!("/properties/{name}")).and_then(Value::as_str).unwrap_or("").to_owned()
        };
        if uuid::Uuid::parse_str(id.name()).is_err() {
            return Err(ArmError::bad_request(
                "InvalidRoleAssignmentId",
                format!(
                    "The role assignment ID '{}' is not valid. The role assignment ID must be a GUID.",
                    id.name()
                ),
            ));
        }
        let (definition, principal) = (text("roleDefinitionId"), text("principalId"));
        let Some(role) = self.access.role(&definition) else {
            return Err(not_found(
                "RoleDefinitionDoesNotExist",
                format!(
                    "The specified role definition with ID '{}' does not exist.",
                    definition.rsplit('/').next().unwrap_or("")
                ),
            ));
        };
        if uuid::Uuid::parse_str(&principal).is_err() {
            return Err(ArmError::bad_request(
                "InvalidPrincipalId",
                format!("A principal ID must be a GUID: '{principal}'."),
            ));
        }
        self.check_scope_exists(scope)?;
        let info = self.config.directory.principal(&principal).await;
        let kind = match (&info, text("principalType")) {
            (Some(info), _) => info.kind.clone(),
            (None, given) if !given.is_empty() && given != "User" => given,
            (None, _) => {
                return Err(ArmError::bad_request(
                    "PrincipalNotFound",
                    format!(
                        "Principal {} does not exist in the directory {}. Check that you have the correct principal ID. If you are creating this principal and then immediately assigning a role, this error might be related to a replication delay. In this case, set the role assignment principalType property to a value, such as ServicePrincipal, User, or Group.  See https://aka.ms/docs-principaltype",
                        principal.replace('-', ""),
                        self.config.tenant_id
                    ),
                ));
            }
        };
        let twin =
            self.resources.list(&scope.extension("Microsoft.Authorization", "")).into_iter().find(|r| {
                let get = |name: &str| r.properties.get(name).and_then(Value::as_str).unwrap_or("");
                r.kind_type == ROLE_ASSIGNMENT
                    && get("principalId").eq_ignore_ascii_case(&principal)
                    && get("roleDefinitionId").to_ascii_lowercase().ends_with(&role.guid)
            });
        if let Some(twin) = twin.filter(|t| t.id != id) {
            return Err(ArmError::conflict(
                "RoleAssignmentExists",
                format!(
                    "The role assignment already exists. The ID of the existing role assignment is {}.",
                    twin.name.replace('-', "")
                ),
            ));
        }
        self.access.check_locks("write", &id)?;
        let existing = self.resources.get(&id);
        let now = self.config.clock.now().to_string();
        let mut made = Resource::new(id);
        let subscription = scope.subscription_id().map(|s| s.to_string()).unwrap_or_default();
        made.properties = json!({
            "roleDefinitionId": format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{}", role.guid),
            "principalId": principal, "principalType": kind, "scope": scope.to_string(),
            "description": body.pointer("/properties/description"), "condition": null, "conditionVersion": null,
            "createdOn": existing.map_or_else(|| json!(now), |e| e.properties["createdOn"].clone()), "updatedOn": now,
            "createdBy": null, "updatedBy": asked.caller().object_id, "delegatedManagedIdentityResourceId": null,
        });
        if body.pointer("/properties/condition").is_some_and(|c| !c.is_null()) {
            return Err(ArmError::not_implemented("A condition on a role assignment"));
        }
        let stored = self.resources.save(made).await?;
        Ok(Answer::new(StatusCode::CREATED, shown(&stored)))
    }

    fn check_scope_exists(&self, scope: &ResourceId) -> Result<(), ArmError> {
        if let Some(group) = scope.group_id()
            && !self.resources.exists(&group)
        {
            return Err(ArmError::group_not_found(group.name()));
        }
        if scope.types().is_empty() || self.resources.exists(scope) {
            return Ok(());
        }
        // A namespace of a cluster is a scope without being a resource.
        let inside = scope
            .parent()
            .is_some_and(|p| self.resources.exists(&p) || self.registered(&scope.resource_type()).is_some());
        if inside { Ok(()) } else { Err(ArmError::resource_not_found(scope)) }
    }

    fn list_roles(&self, asked: &Asked<'_>, scope: &ResourceId) -> Result<Answer, ArmError> {
        let clauses = filter::parse(asked.ctx.query("$filter"))?;
        let all = roles::built_in().iter().cloned().chain(self.access.custom_roles());
        let kept = all.filter(|role| {
            clauses.iter().all(|c| match c.field.to_ascii_lowercase().as_str() {
                "rolename" => c.is(&role.name),
                "type" => c.is(&role.kind),
                _ => true,
            })
        });
        Ok(Answer::list(kept.map(|r| r.to_json(scope)).collect()))
    }

    fn show_role(&self, scope: &ResourceId, guid: &str) -> Result<Answer, ArmError> {
        match self.access.role(guid) {
            Some(role) => Ok(Answer::ok(role.to_json(scope))),
            None => Err(not_found(
                "RoleDefinitionDoesNotExist",
                format!("The specified role definition with ID '{guid}' does not exist."),
            )),
        }
    }

    async fn put_role(
        &self,
        asked: &Asked<'_>,
        scope: &ResourceId,
        id: ResourceId,
    ) -> Result<Answer, ArmError> {
        let body = asked.incoming.object()?;
        let mut properties = body.get("properties").cloned().unwrap_or_default();
        let name = properties.get("roleName").and_then(Value::as_str).unwrap_or("").to_owned();
        if name.is_empty() || uuid::Uuid::parse_str(id.name()).is_err() {
            return Err(ArmError::invalid_content("a role needs a GUID and a roleName"));
        }
        if roles::built_in().iter().any(|r| r.guid.eq_ignore_ascii_case(id.name())) {
            return Err(ArmError::bad_request(
                "InvalidRoleDefinitionId",
                "A built-in role cannot be changed.",
            ));
        }
        let taken = roles::built_in().iter().cloned().chain(self.access.custom_roles());
        if taken
            .into_iter()
            .any(|r| r.name.eq_ignore_ascii_case(&name) && !r.guid.eq_ignore_ascii_case(id.name()))
        {
            return Err(ArmError::conflict(
                "RoleDefinitionWithSameNameExists",
                format!(
                    "A custom role with the same name already exists in this directory. Use a different name: '{name}'."
                ),
            ));
        }
        properties["type"] = json!("CustomRole");
        // One role, whatever scope it was named through.
        let home =
            scope.subscription_id().unwrap_or_else(ResourceId::root).extension(ROLE_DEFINITION, id.name());
        let mut made = Resource::new(home);
        made.properties = properties;
        self.resources.save(made).await?;
        let mut answer = self.show_role(scope, id.name())?;
        answer.status = StatusCode::CREATED;
        Ok(answer)
    }

    fn locks_in_view(&self, scope: &ResourceId) -> Vec<Arc<Resource>> {
        self.access.assignments(scope, true, LOCK)
    }

    async fn put_lock(
        &self,
        asked: &Asked<'_>,
        scope: &ResourceId,
        id: ResourceId,
    ) -> Result<Answer, ArmError> {
        self.check_scope_exists(scope)?;
        let body = asked.incoming.object()?;
        let level = body.pointer("/properties/level").and_then(Value::as_str).unwrap_or("").to_owned();
        let level = match level.to_ascii_lowercase().as_str() {
            "cannotdelete" => "CanNotDelete",
            "readonly" => "ReadOnly",
            _ => {
                return Err(ArmError::bad_request(
                    "LockLevelNotSupported",
                    format!(
                        "The lock level '{level}' is not supported. The supported levels are 'CanNotDelete, ReadOnly'."
                    ),
                ));
            }
        };
        let existed = self.resources.exists(&id);
        let mut made = Resource::new(id);
        made.properties = json!({"level": level, "notes": body.pointer("/properties/notes")});
        let stored = self.resources.save(made).await?;
        Ok(Answer::new(if existed { StatusCode::OK } else { StatusCode::CREATED }, shown(&stored)))
    }

    /// Deny assignments are made by the cloud itself only, as in the public one.
    async fn put_deny(
        &self,
        asked: &Asked<'_>,
        scope: &ResourceId,
        id: ResourceId,
    ) -> Result<Answer, ArmError> {
        if asked.caller().kind != crate::CallerKind::Service {
            return Err(ArmError::authorization_failed(
                asked.caller(),
                &format!("{DENY_ASSIGNMENT}/write"),
                scope,
            ));
        }
        let body = asked.incoming.object()?;
        let mut made = Resource::new(id);
        made.properties = body.get("properties").cloned().unwrap_or_default();
        made.properties["scope"] = json!(scope.to_string());
        made.properties["isSystemProtected"] = json!(true);
        let stored = self.resources.save(made).await?;
        Ok(Answer::new(StatusCode::CREATED, shown(&stored)))
    }

    async fn remove(&self, full_type: &str, id: ResourceId) -> Result<Answer, ArmError> {
        let id = match full_type {
            ROLE_DEFINITION => {
                let custom = self.resources.list_type(&ResourceId::root(), ROLE_DEFINITION);
                match custom.iter().find(|r| r.name.eq_ignore_ascii_case(id.name())) {
                    Some(found) => found.id.clone(),
                    None => return Ok(Answer::empty(StatusCode::NO_CONTENT)),
                }
            }
            _ => id,
        };
        let Some(found) = self.resources.get(&id) else { return Ok(Answer::empty(StatusCode::NO_CONTENT)) };
        if full_type != LOCK {
            self.access.check_locks("delete", &id)?;
        }
        let body = shown(&found);
        self.resources.remove(&id).await?;
        Ok(if full_type == LOCK { Answer::empty(StatusCode::OK) } else { Answer::ok(body) })
    }
}

fn shown(resource: &Resource) -> Value {
    json!({"id": resource.id, "name": resource.name, "type": resource.kind_type, "properties": resource.properties})
}
