//! What one caller may do in a whole scope, worked out once: lists of thousands ask it for each row.

use std::sync::Arc;

use serde_json::Value;

use super::roles::Permission;
use super::{Access, DENY_ASSIGNMENT, ROLE_ASSIGNMENT};
use crate::{Caller, Resource, ResourceId};

/// The permissions of one caller in one scope.
pub struct View {
    /// Those that reach the whole scope.
    everywhere: Vec<Permission>,
    /// Those assigned further down, with where.
    below: Vec<(ResourceId, Vec<Permission>)>,
    /// Deny assignments that name the caller, with where.
    denied: Vec<(ResourceId, Vec<Permission>)>,
}

impl Access {
    /// What the caller may do at `scope` and inside it. Holds for as long as nobody changes an assignment.
    pub fn view(&self, caller: &Caller, scope: &ResourceId) -> View {
        let principals = Self::principals(caller);
        let everywhere = self.permissions(&principals, scope);
        let mut places = vec![scope.clone()];
        places.extend(self.inside(scope));
        let under = |full_type: &str| -> Vec<Arc<Resource>> {
            places.iter().flat_map(|place| self.resources.list_type(place, full_type)).collect()
        };
        let assigned = under(ROLE_ASSIGNMENT);
        let below =
            assigned.iter().filter_map(|r| Some((r.id.scope(), self.granted(&principals, r)?))).collect();
        let denied = if self.is_service(&principals) {
            Vec::new()
        } else {
            // What stands above reaches everything in here.
            let above = self.above(scope, DENY_ASSIGNMENT).into_iter().map(|r| (ResourceId::root(), r));
            let all = above.chain(under(DENY_ASSIGNMENT).into_iter().map(|r| (r.id.scope(), r)));
            let own = all.filter(|(_, deny)| deny_names(deny, &principals));
            own.map(|(at, r)| (at, Permission::read_list(r.properties.get("permissions")))).collect()
        };
        View { everywhere, below, denied }
    }
}

impl View {
    /// Whether the caller may do `action` at `id`, which lies inside the view's scope.
    pub fn may(&self, action: &str, id: &ResourceId) -> bool {
        let allows = |list: &[Permission]| list.iter().any(|p| p.allows(action));
        let reaches = |(at, list): &(ResourceId, Vec<Permission>)| id.is_within(at) && allows(list);
        (allows(&self.everywhere) || self.below.iter().any(reaches)) && !self.denied.iter().any(reaches)
    }

    /// Whether the caller may do `action` at the scope or anywhere inside it.
    pub fn may_somewhere(&self, action: &str) -> bool {
        self.everywhere.iter().any(|p| p.allows(action))
            || self.below.iter().any(|(_, list)| list.iter().any(|p| p.allows(action)))
    }

    /// Whether the caller has any role at the scope or inside it.
    pub fn is_empty(&self) -> bool {
        self.everywhere.is_empty() && self.below.is_empty()
    }
}

/// Whether a deny assignment names one of the principals and excludes none.
pub(super) fn deny_names(deny: &Resource, principals: &[&str]) -> bool {
    let named = |field: &str| -> bool {
        let list = deny.properties.get(field).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|p| p.get("id").and_then(Value::as_str)).any(|id| {
            id == "00000000-0000-0000-0000-000000000000"
                || principals.iter().any(|p| p.eq_ignore_ascii_case(id))
        })
    };
    named("principals") && !named("excludePrincipals")
}
