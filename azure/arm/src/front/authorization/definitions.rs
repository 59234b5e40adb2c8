//! Role definitions: those of the cloud to read, one's own to make, change and remove.

use http::StatusCode;
use serde_json::{Value, json};

use super::{clauses, not_found, property};
use crate::access::{MANAGEMENT_GROUP, ROLE_ASSIGNMENT, ROLE_DEFINITION, roles, roles::Role};
use crate::front::route::Asked;
use crate::front::{Answer, Front};
use crate::{ArmError, Resource, ResourceId};

/// How many roles of their own a tenant may have, as in the public cloud.
const CUSTOM_ROLES_MAX: usize = 5_000;

const WRITE: &str = "Microsoft.Authorization/roleDefinitions/write";
const DELETE: &str = "Microsoft.Authorization/roleDefinitions/delete";

fn invalid(message: impl Into<String>) -> ArmError {
    ArmError::bad_request("InvalidRoleDefinition", message)
}

impl Front {
    pub(super) fn list_roles(&self, asked: &Asked<'_>, scope: &ResourceId) -> Result<Answer, ArmError> {
        let clauses = clauses(asked)?;
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

    pub(super) fn show_role(&self, scope: &ResourceId, guid: &str) -> Result<Answer, ArmError> {
        match self.access.role(guid) {
            Some(role) => Ok(Answer::ok(role.to_json(scope))),
            None => Err(not_found(
                "RoleDefinitionDoesNotExist",
                format!("The specified role definition with ID '{guid}' does not exist."),
            )),
        }
    }

    fn custom(&self, guid: &str) -> Option<Resource> {
        let all = self.resources.list_type(&ResourceId::root(), ROLE_DEFINITION);
        all.iter().find(|r| r.name.eq_ignore_ascii_case(guid)).map(|r| (**r).clone())
    }

    pub(super) async fn put_role(
        &self,
        asked: &Asked<'_>,
        scope: &ResourceId,
        id: ResourceId,
    ) -> Result<Answer, ArmError> {
        let body = asked.incoming.object()?;
        let name = property(&body, "roleName").to_owned();
        if uuid::Uuid::parse_str(id.name()).is_err() {
            return Err(ArmError::bad_request(
                "InvalidRoleDefinitionId",
                format!(
                    "The role definition ID '{}' is not valid. The role definition ID must be a GUID.",
                    id.name()
                ),
            ));
        }
        if name.is_empty() || name.chars().count() > 512 {
            return Err(invalid("The role definition name must have between 1 and 512 characters."));
        }
        self.check_role_name(&name, id.name())?;
        let permissions = permissions(&body)?;
        let existing = self.custom(id.name());
        let assignable = self.assignable_scopes(asked, &body, &permissions)?;
        if let Some(existing) = &existing {
            self.may_everywhere(asked, WRITE, &Role::from_resource(existing).assignable_scopes)?;
        } else if self.access.custom_roles().len() >= CUSTOM_ROLES_MAX {
            return Err(ArmError::bad_request(
                "RoleDefinitionLimitExceeded",
                "No more role definitions can be created.",
            ));
        }
        let (now, who) = (self.config.clock.now().to_string(), &asked.caller().object_id);
        let old = |field: &str| existing.as_ref().and_then(|e| e.properties.get(field).cloned());
        // One role, whatever scope it was named through.
        let home = existing.as_ref().map_or_else(
            || scope.subscription_id().unwrap_or_else(ResourceId::root).extension(ROLE_DEFINITION, id.name()),
            |e| e.id.clone(),
        );
        let mut made = Resource::new(home);
        made.properties = json!({
            "roleName": name, "type": "CustomRole", "description": property(&body, "description"),
            "permissions": permissions.iter().map(roles::Permission::to_json).collect::<Vec<_>>(),
            "assignableScopes": assignable,
            "createdOn": old("createdOn").unwrap_or_else(|| json!(now)), "updatedOn": now,
            "createdBy": old("createdBy").unwrap_or_else(|| json!(who)), "updatedBy": who,
        });
        let stamps = ["updatedOn", "updatedBy"];
        let mut same = made.clone();
        for stamp in stamps {
            same.properties[stamp] = old(stamp).unwrap_or_default();
        }
        // What says the same again is not written again.
        if existing.as_ref().is_none_or(|e| e.properties != same.properties) {
            self.resources.save(made).await?;
        }
        let mut answer = self.show_role(scope, id.name())?;
        answer.status = StatusCode::CREATED;
        Ok(answer)
    }

    fn check_role_name(&self, name: &str, guid: &str) -> Result<(), ArmError> {
        if roles::built_in().iter().any(|r| r.guid.eq_ignore_ascii_case(guid)) {
            return Err(ArmError::bad_request(
                "InvalidRoleDefinitionId",
                "A built-in role cannot be changed.",
            ));
        }
        let same = |r: &Role| r.name.eq_ignore_ascii_case(name) && !r.guid.eq_ignore_ascii_case(guid);
        if roles::built_in().iter().any(same) || self.access.custom_roles().iter().any(same) {
            return Err(ArmError::conflict(
                "RoleDefinitionWithSameNameExists",
                format!(
                    "A custom role with the same name already exists in this directory. Use a different name: '{name}'."
                ),
            ));
        }
        Ok(())
    }

    /// The scopes a role of one's own is for: each must exist, and its maker must be allowed to make roles there.
    fn assignable_scopes(
        &self,
        asked: &Asked<'_>,
        body: &Value,
        permissions: &[roles::Permission],
    ) -> Result<Vec<String>, ArmError> {
        let given = body.pointer("/properties/assignableScopes").and_then(Value::as_array);
        let texts: Vec<String> =
            given.into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect();
        if texts.is_empty() || given.is_some_and(|list| list.len() != texts.len()) {
            return Err(invalid("The role definition must have at least one assignable scope."));
        }
        let mut groups = 0;
        for text in &texts {
            let scope = ResourceId::parse(text)
                .ok()
                .filter(|scope| text.starts_with('/') && *scope != ResourceId::root() && !text.contains('*'));
            let Some(scope) = scope else {
                return Err(invalid(format!(
                    "The assignable scope '{text}' is not valid. A custom role is assignable in management groups, subscriptions and resource groups, and not at the root."
                )));
            };
            groups += usize::from(scope.is_type(MANAGEMENT_GROUP));
            if scope.subscription().is_some_and(|s| !s.eq_ignore_ascii_case(&self.config.subscription_id)) {
                return Err(ArmError::new(
                    StatusCode::FORBIDDEN,
                    "LinkedAuthorizationFailed",
                    format!(
                        "The client '{}' with object id '{}' has permission to perform action '{WRITE}' on scope '{text}'; however, the linked subscription '{}' was not found.",
                        asked.caller().name,
                        asked.caller().object_id,
                        scope.subscription().unwrap_or("")
                    ),
                ));
            }
            self.check_scope_exists(&scope)?;
        }
        if groups > 1 {
            return Err(invalid("A role definition can have one management group as assignable scope."));
        }
        if groups > 0 && permissions.iter().any(|p| !p.data_actions.is_empty()) {
            return Err(invalid(
                "A role definition with DataActions cannot be assigned at a management group.",
            ));
        }
        self.may_everywhere(asked, WRITE, &texts)?;
        Ok(texts)
    }

    fn may_everywhere(&self, asked: &Asked<'_>, action: &str, scopes: &[String]) -> Result<(), ArmError> {
        for scope in scopes.iter().filter_map(|text| ResourceId::parse(text).ok()) {
            self.access.authorize(asked.caller(), action, &scope)?;
        }
        Ok(())
    }

    pub(super) async fn remove_role(&self, asked: &Asked<'_>, guid: &str) -> Result<Answer, ArmError> {
        if roles::built_in().iter().any(|r| r.guid.eq_ignore_ascii_case(guid)) {
            return Err(ArmError::bad_request(
                "InvalidRoleDefinitionId",
                "A built-in role cannot be deleted.",
            ));
        }
        let Some(found) = self.custom(guid) else { return Ok(Answer::empty(StatusCode::NO_CONTENT)) };
        let role = Role::from_resource(&found);
        self.may_everywhere(asked, DELETE, &role.assignable_scopes)?;
        let used = self.resources.list_type(&ResourceId::root(), ROLE_ASSIGNMENT).iter().any(|r| {
            let definition = r.properties.get("roleDefinitionId").and_then(Value::as_str).unwrap_or("");
            definition.rsplit('/').next().is_some_and(|g| g.eq_ignore_ascii_case(guid))
        });
        if used {
            return Err(ArmError::bad_request(
                "RoleDefinitionHasAssignments",
                "There are existing role assignments referencing role.",
            ));
        }
        let body = role.to_json(&found.id.scope());
        self.resources.remove(&found.id).await?;
        Ok(Answer::ok(body))
    }
}

/// The permissions of a body, which must be lists of actions.
fn permissions(body: &Value) -> Result<Vec<roles::Permission>, ArmError> {
    let list = body.pointer("/properties/permissions").and_then(Value::as_array);
    let Some(list) = list.filter(|l| !l.is_empty()) else {
        return Err(invalid("The role definition must have permissions."));
    };
    for permission in list {
        let Some(map) = permission.as_object() else {
            return Err(ArmError::invalid_content("a permission is an object"));
        };
        for (field, code) in [
            ("actions", "InvalidActionOrNotAction"),
            ("notActions", "InvalidActionOrNotAction"),
            ("dataActions", "InvalidDataActionOrNotDataAction"),
            ("notDataActions", "InvalidDataActionOrNotDataAction"),
        ] {
            let Some(actions) = map.get(field).filter(|a| !a.is_null()) else { continue };
            let Some(actions) = actions.as_array() else {
                return Err(ArmError::invalid_content(format_args!("{field} is a list")));
            };
            for action in actions {
                check_action(action, code)?;
            }
        }
        if map.get("condition").is_some_and(|c| !c.is_null()) {
            return Err(ArmError::not_implemented("A condition in a role definition"));
        }
    }
    let read = roles::Permission::read_list(body.pointer("/properties/permissions"));
    if read.iter().all(|p| p.actions.is_empty() && p.data_actions.is_empty()) {
        return Err(invalid("The role definition must allow at least one action."));
    }
    Ok(read)
}

fn check_action(action: &Value, code: &str) -> Result<(), ArmError> {
    let text = action.as_str().unwrap_or("");
    let known = text == "*" || (text.contains('/') && !text.contains(char::is_whitespace));
    if known {
        return Ok(());
    }
    let shown = action.as_str().map_or_else(|| action.to_string(), str::to_owned);
    Err(ArmError::bad_request(
        code,
        format!("'{shown}' does not match any of the actions supported by the providers."),
    ))
}
