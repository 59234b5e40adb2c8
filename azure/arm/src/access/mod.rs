//! Who may do what: role assignments, deny assignments and locks. The one place where it is decided.
//!
//! Assignments, custom roles, deny assignments and locks are ordinary resources in the store (extension resources of
//! `Microsoft.Authorization`); built-in roles are data in [`roles`].

pub mod roles;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::caller::service_object_id;
use crate::id::key_within;
use crate::{ArmError, Caller, Resource, ResourceId, Resources};
use roles::{Permission, Role};

/// Type of a role assignment.
pub const ROLE_ASSIGNMENT: &str = "Microsoft.Authorization/roleAssignments";
/// Type of a role definition.
pub const ROLE_DEFINITION: &str = "Microsoft.Authorization/roleDefinitions";
/// Type of a lock.
pub const LOCK: &str = "Microsoft.Authorization/locks";
/// Type of a deny assignment.
pub const DENY_ASSIGNMENT: &str = "Microsoft.Authorization/denyAssignments";

/// Parts of the cloud that act for themselves; each has Owner at the root.
pub const SERVICES: [&str; 5] = [
    "Microsoft.Resources",
    "Microsoft.ContainerService",
    "Microsoft.Compute",
    "Microsoft.Network",
    "Lazurite",
];

/// Decides. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    resources: Resources,
    services: Arc<BTreeSet<String>>,
}

/// The scopes at and above an id, as keys, innermost first. The root's is empty.
fn scopes(id: &ResourceId) -> Vec<String> {
    let mut found = Vec::new();
    let mut next = Some(id.clone());
    while let Some(id) = next {
        found.push(id.key().to_owned());
        next = id.parent();
    }
    found
}

impl Access {
    pub(crate) fn new(resources: Resources) -> Self {
        Self { resources, services: Arc::new(SERVICES.iter().map(|name| service_object_id(name)).collect()) }
    }

    /// Every extension resource of `full_type` that stands at one of the scopes at or above `scope`.
    fn above(&self, scope: &ResourceId, full_type: &str) -> Vec<Arc<Resource>> {
        let (_, short) = full_type.split_once('/').unwrap_or(("", full_type));
        let mut found = Vec::new();
        let mut next = Some(scope.clone());
        while let Some(at) = next {
            let base = at.extension("Microsoft.Authorization", "");
            // `base` is `{scope}/providers/Microsoft.Authorization`: everything below it hangs on this very scope.
            found.extend(self.resources.list(&base).into_iter().filter(|r| {
                r.kind_type
                    .get("Microsoft.Authorization/".len()..)
                    .is_some_and(|t| t.eq_ignore_ascii_case(short))
            }));
            next = at.parent();
        }
        found
    }

    /// A role by its id or its GUID: built in or custom.
    pub fn role(&self, id_or_guid: &str) -> Option<Role> {
        let guid = id_or_guid.rsplit('/').next().unwrap_or(id_or_guid).to_ascii_lowercase();
        if let Some(role) = roles::built_in().iter().find(|r| r.guid == guid) {
            return Some(role.clone());
        }
        self.custom_roles().into_iter().find(|r| r.guid.eq_ignore_ascii_case(&guid))
    }

    /// The roles that people made.
    pub fn custom_roles(&self) -> Vec<Role> {
        self.resources
            .list_type(&ResourceId::root(), ROLE_DEFINITION)
            .iter()
            .map(|r| Role::from_resource(r))
            .collect()
    }

    /// What the principals may do at `scope`: the permissions of all roles assigned there or above.
    pub fn permissions(&self, principals: &[&str], scope: &ResourceId) -> Vec<Permission> {
        let mut found = Vec::new();
        if principals.iter().any(|p| self.services.contains(*p)) {
            found.extend(self.role(roles::OWNER).map(|r| r.permissions).unwrap_or_default());
        }
        for assignment in self.above(scope, ROLE_ASSIGNMENT) {
            let text = |name: &str| assignment.properties.get(name).and_then(Value::as_str).unwrap_or("");
            if principals.iter().any(|p| p.eq_ignore_ascii_case(text("principalId")))
                && let Some(role) = self.role(text("roleDefinitionId"))
            {
                found.extend(role.permissions);
            }
        }
        found
    }

    fn principals(caller: &Caller) -> Vec<&str> {
        std::iter::once(caller.object_id.as_str()).chain(caller.groups.iter().map(String::as_str)).collect()
    }

    /// The deny assignment that forbids these principals what `forbids` picks out of its permissions.
    fn denied_by(
        &self,
        principals: &[&str],
        scope: &ResourceId,
        forbids: impl Fn(&Permission) -> bool,
    ) -> Option<Arc<Resource>> {
        if principals.iter().any(|p| self.services.contains(*p)) {
            return None;
        }
        let names = |r: &Resource, field: &str| -> bool {
            r.properties.get(field).and_then(Value::as_array).is_some_and(|list| {
                list.iter().filter_map(|p| p.get("id").and_then(Value::as_str)).any(|id| {
                    id == "00000000-0000-0000-0000-000000000000"
                        || principals.iter().any(|p| p.eq_ignore_ascii_case(id))
                })
            })
        };
        self.above(scope, DENY_ASSIGNMENT).into_iter().find(|deny| {
            let permissions = Permission::read_list(deny.properties.get("permissions"));
            names(deny, "principals") && !names(deny, "excludePrincipals") && permissions.iter().any(&forbids)
        })
    }

    /// Whether a role lets the caller do `action` (`Microsoft.Network/virtualNetworks/write`) at `scope`, and no deny
    /// assignment forbids it.
    pub fn may(&self, caller: &Caller, action: &str, scope: &ResourceId) -> bool {
        self.principals_may(&Self::principals(caller), action, scope)
    }

    /// The same for data actions, and for a caller who is known only by object id and groups.
    pub fn may_data(&self, object_id: &str, groups: &[String], action: &str, scope: &ResourceId) -> bool {
        let principals: Vec<&str> =
            std::iter::once(object_id).chain(groups.iter().map(String::as_str)).collect();
        self.permissions(&principals, scope).iter().any(|p| p.allows_data(action))
            && self.denied_by(&principals, scope, |p| p.allows_data(action)).is_none()
    }

    fn principals_may(&self, principals: &[&str], action: &str, scope: &ResourceId) -> bool {
        self.permissions(principals, scope).iter().any(|p| p.allows(action))
            && self.denied_by(principals, scope, |p| p.allows(action)).is_none()
    }

    /// The same as [`may`](Self::may) for a principal that is known only by object id and groups.
    pub fn principal_may(
        &self,
        object_id: &str,
        groups: &[String],
        action: &str,
        scope: &ResourceId,
    ) -> bool {
        let principals: Vec<&str> =
            std::iter::once(object_id).chain(groups.iter().map(String::as_str)).collect();
        self.principals_may(&principals, action, scope)
    }

    /// Whether the caller may do the action anywhere at or below `scope`; for lists that show only what one may see.
    pub fn may_somewhere(&self, caller: &Caller, action: &str, scope: &ResourceId) -> bool {
        if self.may(caller, action, scope) {
            return true;
        }
        let principals = Self::principals(caller);
        self.resources.list_type(scope, ROLE_ASSIGNMENT).iter().any(|assignment| {
            let text = |name: &str| assignment.properties.get(name).and_then(Value::as_str).unwrap_or("");
            principals.iter().any(|p| p.eq_ignore_ascii_case(text("principalId")))
                && self
                    .role(text("roleDefinitionId"))
                    .is_some_and(|r| r.permissions.iter().any(|p| p.allows(action)))
        })
    }

    /// The one gate: answers the error that ARM answers when the caller may not do the action.
    pub fn authorize(&self, caller: &Caller, action: &str, scope: &ResourceId) -> Result<(), ArmError> {
        let principals = Self::principals(caller);
        if !self.permissions(&principals, scope).iter().any(|p| p.allows(action)) {
            return Err(ArmError::authorization_failed(caller, action, scope));
        }
        if let Some(deny) = self.denied_by(&principals, scope, |p| p.allows(action)) {
            let name =
                deny.properties.get("denyAssignmentName").and_then(Value::as_str).unwrap_or(&deny.name);
            return Err(ArmError::new(
                http::StatusCode::FORBIDDEN,
                "DenyAssignmentAuthorizationFailed",
                format!(
                    "The client '{}' with object id '{}' has permission to perform action '{action}' on scope '{scope}'; however, the access is denied because of the deny assignment with name '{name}' and Id '{}' at scope '{}'.",
                    caller.name,
                    caller.object_id,
                    deny.name,
                    deny.id.scope()
                ),
            ));
        }
        Ok(())
    }

    /// Refuses what a lock forbids: everything but reading under `ReadOnly`, deleting under `CanNotDelete` (there also
    /// for locks on what lies below).
    pub fn check_locks(&self, deed: &'static str, id: &ResourceId) -> Result<(), ArmError> {
        let mut locks = self.above(id, LOCK);
        if deed == "delete" {
            let inside = self.resources.list_type(id, LOCK);
            locks.extend(inside);
        }
        let level = |r: &Resource| {
            r.properties.get("level").and_then(Value::as_str).unwrap_or("").to_ascii_lowercase()
        };
        locks.retain(|lock| match level(lock).as_str() {
            "readonly" => true,
            "cannotdelete" => deed == "delete",
            _ => false,
        });
        if locks.is_empty() {
            return Ok(());
        }
        let mut at: Vec<String> = locks.iter().map(|l| l.id.scope().to_string()).collect();
        at.sort();
        at.dedup();
        Err(ArmError::conflict(
            "ScopeLocked",
            format!(
                "The scope '{id}' cannot perform {deed} operation because following scope(s) are locked: '{}'. Please remove the lock and try again.",
                at.join(",")
            ),
        ))
    }

    /// Role assignments at `scope`, above it, and below it when `below`.
    pub fn assignments(&self, scope: &ResourceId, below: bool, full_type: &str) -> Vec<Arc<Resource>> {
        let mut found = self.above(scope, full_type);
        if below {
            let known: BTreeSet<String> = found.iter().map(|r| r.id.key().to_owned()).collect();
            found.extend(
                self.resources
                    .list_type(scope, full_type)
                    .into_iter()
                    .filter(|r| !known.contains(r.id.key())),
            );
        }
        found
    }
}

/// Whether an assignment at `assigned` reaches `scope`.
pub(crate) fn reaches(assigned: &ResourceId, scope: &ResourceId) -> bool {
    scopes(scope).iter().any(|key| key == assigned.key()) || key_within(scope.key(), assigned.key())
}
