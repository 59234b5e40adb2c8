//! Who may do what: role assignments, deny assignments and locks. The one place where it is decided.
//!
//! Assignments, custom roles, deny assignments and locks are ordinary resources in the store (extension resources of
//! `Microsoft.Authorization`); built-in roles are data in [`built_in`], and what a body may name is data in [`links`].

mod built_in;
mod links;
mod locks;
pub mod roles;
mod scope;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::caller::service_object_id;
use crate::{ArmError, Caller, Resource, ResourceId, Resources};
use roles::{Permission, Role};
pub use scope::{MANAGEMENT_GROUP, management_group};
pub use view::View;
use view::deny_names;

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
    tenant_id: Arc<str>,
    services: Arc<BTreeSet<String>>,
}

fn text<'a>(resource: &'a Resource, name: &str) -> &'a str {
    resource.properties.get(name).and_then(Value::as_str).unwrap_or("")
}

impl Access {
    pub(crate) fn new(resources: Resources, tenant_id: &str) -> Self {
        let services = SERVICES.iter().map(|name| service_object_id(name)).collect();
        Self { resources, tenant_id: tenant_id.into(), services: Arc::new(services) }
    }

    /// Every extension resource of `full_type` that stands at one of the scopes at or above `scope`.
    fn above(&self, scope: &ResourceId, full_type: &str) -> Vec<Arc<Resource>> {
        let mut found = Vec::new();
        for at in self.chain(scope) {
            // `base` is `{scope}/providers/Microsoft.Authorization`: everything below it hangs on this very scope.
            let base = at.extension("Microsoft.Authorization", "");
            found.extend(self.resources.list_type(&base, full_type));
        }
        found
    }

    /// A role by its id or its GUID: built in or custom.
    pub fn role(&self, id_or_guid: &str) -> Option<Role> {
        let guid = id_or_guid.rsplit('/').next().unwrap_or(id_or_guid);
        if let Some(role) = roles::built_in().iter().find(|r| r.guid.eq_ignore_ascii_case(guid)) {
            return Some(role.clone());
        }
        let custom = self.resources.list_type(&ResourceId::root(), ROLE_DEFINITION);
        custom.iter().find(|r| r.name.eq_ignore_ascii_case(guid)).map(|r| Role::from_resource(r))
    }

    /// The roles that people made.
    pub fn custom_roles(&self) -> Vec<Role> {
        let stored = self.resources.list_type(&ResourceId::root(), ROLE_DEFINITION);
        stored.iter().map(|r| Role::from_resource(r)).collect()
    }

    fn is_service(&self, principals: &[&str]) -> bool {
        principals.iter().any(|p| self.services.contains(*p))
    }

    /// The permissions that an assignment gives to one of the principals.
    fn granted(&self, principals: &[&str], assignment: &Resource) -> Option<Vec<Permission>> {
        let principal = text(assignment, "principalId");
        if !principals.iter().any(|p| p.eq_ignore_ascii_case(principal)) {
            return None;
        }
        Some(self.role(text(assignment, "roleDefinitionId"))?.permissions)
    }

    /// What the principals may do at `scope`: the permissions of all roles assigned there or above.
    pub fn permissions(&self, principals: &[&str], scope: &ResourceId) -> Vec<Permission> {
        let mut found = Vec::new();
        if self.is_service(principals) {
            found.extend(self.role(roles::OWNER).map(|r| r.permissions).unwrap_or_default());
        }
        for assignment in self.above(scope, ROLE_ASSIGNMENT) {
            found.extend(self.granted(principals, &assignment).unwrap_or_default());
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
        if self.is_service(principals) {
            return None;
        }
        self.above(scope, DENY_ASSIGNMENT).into_iter().find(|deny| {
            let own_scope_only =
                deny.properties.get("doesNotApplyToChildScopes").and_then(Value::as_bool) == Some(true);
            let permissions = Permission::read_list(deny.properties.get("permissions"));
            (!own_scope_only || deny.id.scope() == *scope)
                && deny_names(deny, principals)
                && permissions.iter().any(&forbids)
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

    /// The assignment that lets a principal do a data action at `scope`; none when nothing does, or a deny assignment forbids it.
    pub fn data_grant(
        &self,
        object_id: &str,
        groups: &[String],
        action: &str,
        scope: &ResourceId,
    ) -> Option<Arc<Resource>> {
        let principals: Vec<&str> =
            std::iter::once(object_id).chain(groups.iter().map(String::as_str)).collect();
        let found = self.above(scope, ROLE_ASSIGNMENT).into_iter().find(|assignment| {
            let permissions = self.granted(&principals, assignment).unwrap_or_default();
            permissions.iter().any(|p| p.allows_data(action))
        })?;
        self.denied_by(&principals, scope, |p| p.allows_data(action)).is_none().then_some(found)
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
        self.may(caller, action, scope) || self.view(caller, scope).may_somewhere(action)
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

    /// Extension resources of `full_type` at `scope`, above it, and inside it when `below`.
    pub fn assignments(&self, scope: &ResourceId, below: bool, full_type: &str) -> Vec<Arc<Resource>> {
        let mut found = self.above(scope, full_type);
        if below {
            let known: BTreeSet<String> = found.iter().map(|r| r.id.key().to_owned()).collect();
            let places = std::iter::once(scope.clone()).chain(self.inside(scope));
            let inside = places.flat_map(|place| self.resources.list_type(&place, full_type));
            found.extend(inside.filter(|r| !known.contains(r.id.key())));
        }
        found
    }
}
