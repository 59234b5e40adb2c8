//! `Microsoft.Authorization`: role assignments and definitions, locks, deny assignments, the caller's own permissions,
//! the list of operations, and access for the tenant's administrators.

mod assignments;
mod definitions;
mod denials;
mod locks;
pub(super) mod operations;

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::filter::{self, Clause};
use super::route::{Asked, no_route};
use super::{Answer, Front};
use crate::access::{DENY_ASSIGNMENT, LOCK, ROLE_ASSIGNMENT, ROLE_DEFINITION, roles};
use crate::{ArmError, Caller, Resource, ResourceId};

fn not_found(code: &str, message: String) -> ArmError {
    ArmError::new(StatusCode::NOT_FOUND, code, message)
}

fn shown(resource: &Resource) -> Value {
    json!({"id": resource.id, "name": resource.name, "type": resource.kind_type, "properties": resource.properties})
}

/// The words behind `Microsoft.Authorization` that are answered here.
pub(super) const KINDS: [&str; 8] = [
    "roleassignments",
    "roledefinitions",
    "locks",
    "permissions",
    "denyassignments",
    "provideroperations",
    "classicadministrators",
    "elevateaccess",
];

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
            "provideroperations" => return self.provider_operations(asked, rest),
            "classicadministrators" => {
                asked.authorize("Microsoft.Authorization/classicAdministrators/read", &scope)?;
                return Ok(Answer::list(Vec::new()));
            }
            "elevateaccess" => return self.elevate(asked).await,
            _ => return self.own_permissions(asked, &scope),
        };
        let deed = match *asked.method() {
            Method::GET => "read",
            Method::PUT => "write",
            Method::DELETE => "delete",
            _ => return Err(no_route(asked.incoming)),
        };
        let id = match rest {
            [] => None,
            [name] => Some(scope.extension(full_type, name)),
            _ => return Err(no_route(asked.incoming)),
        };
        asked.authorize(&format!("{full_type}/{deed}"), id.as_ref().unwrap_or(&scope))?;
        match (deed, id, full_type) {
            ("read", None, ROLE_DEFINITION) => self.list_roles(asked, &scope),
            ("read", None, LOCK) => {
                let list = self.access.assignments(&scope, true, LOCK);
                Ok(Answer::list(list.iter().map(|r| shown(r)).collect()))
            }
            ("read", None, _) => self.list_assignments(asked, &scope, full_type),
            ("read", Some(id), ROLE_DEFINITION) => self.show_role(&scope, id.name()),
            ("read", Some(id), _) => self.stored(&id).map(|r| Answer::ok(shown(&r))),
            ("write", Some(id), ROLE_ASSIGNMENT) => self.put_assignment(asked, &scope, id).await,
            ("write", Some(id), ROLE_DEFINITION) => self.put_role(asked, &scope, id).await,
            ("write", Some(id), LOCK) => self.put_lock(asked, &scope, id).await,
            ("write", Some(id), _) => self.put_deny(asked, &scope, id).await,
            ("delete", Some(id), ROLE_DEFINITION) => self.remove_role(asked, id.name()).await,
            ("delete", Some(id), DENY_ASSIGNMENT) => self.remove_deny(asked, id).await,
            ("delete", Some(id), _) => self.remove(full_type, id).await,
            _ => Err(no_route(asked.incoming)),
        }
    }

    fn own_permissions(&self, asked: &Asked<'_>, scope: &ResourceId) -> Result<Answer, ArmError> {
        if asked.method() != Method::GET {
            return Err(no_route(asked.incoming));
        }
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
            Some("denyassignments") => not_found(
                "DenyAssignmentNotFound",
                format!("The deny assignment '{}' is not found.", id.name()),
            ),
            Some("locks") => {
                not_found("LockNotFound", format!("The lock '{}' could not be found.", id.name()))
            }
            _ => ArmError::resource_not_found(id),
        })
    }

    /// 404 for an assignment or lock on what is not there.
    fn check_scope_exists(&self, scope: &ResourceId) -> Result<(), ArmError> {
        if let Some(group) = scope.group_id()
            && !self.resources.exists(&group)
        {
            return Err(ArmError::group_not_found(group.name()));
        }
        if scope.types().is_empty() || self.resources.exists(scope) || *scope == self.access.root_group() {
            return Ok(());
        }
        // A namespace of a cluster is a scope without being a resource, and some children are only worked out.
        let below = scope.types().len() > 1 && scope.parent().is_some_and(|p| self.resources.exists(&p));
        if below { Ok(()) } else { Err(ArmError::resource_not_found(scope)) }
    }

    async fn remove(&self, full_type: &str, id: ResourceId) -> Result<Answer, ArmError> {
        let Some(found) = self.resources.get(&id) else { return Ok(Answer::empty(StatusCode::NO_CONTENT)) };
        if full_type != LOCK {
            self.access.check_locks("delete", &id)?;
        }
        let body = shown(&found);
        self.resources.remove(&id).await?;
        Ok(if full_type == LOCK { Answer::empty(StatusCode::OK) } else { Answer::ok(body) })
    }

    /// `POST …/elevateAccess`: makes an administrator of the tenant User Access Administrator at the root. The
    /// administrators are those whom the cloud was born with.
    async fn elevate(&self, asked: &Asked<'_>) -> Result<Answer, ArmError> {
        if asked.method() != Method::POST {
            return Err(no_route(asked.incoming));
        }
        let (action, root) = ("Microsoft.Authorization/elevateAccess/action", ResourceId::root());
        let caller = asked.caller();
        asked.incoming.note(action, &root, caller);
        if !self.config.owners.iter().any(|owner| owner.eq_ignore_ascii_case(&caller.object_id)) {
            return Err(ArmError::authorization_failed(caller, action, &root));
        }
        let seed = format!("elevated {}", caller.object_id);
        let name = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, seed.as_bytes()).to_string();
        let id = root.extension(ROLE_ASSIGNMENT, &name);
        let made = self.assignment(
            asked,
            id,
            roles::USER_ACCESS_ADMINISTRATOR,
            &caller.object_id,
            "ServicePrincipal",
        );
        self.resources.save(made).await?;
        Ok(Answer::empty(StatusCode::OK))
    }
}

/// A text of `properties`; absent is empty.
fn property<'a>(body: &'a Value, name: &str) -> &'a str {
    body.get("properties").and_then(|p| p.get(name)).and_then(Value::as_str).unwrap_or("")
}

fn clauses(asked: &Asked<'_>) -> Result<Vec<Clause>, ArmError> {
    filter::parse(asked.ctx.query("$filter"))
}
