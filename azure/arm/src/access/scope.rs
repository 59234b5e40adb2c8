//! What lies above a scope: resource, group, subscription, management group, the tenant's root group, `/`.

use serde_json::Value;

use super::Access;
use crate::ResourceId;

/// Type of a management group.
pub const MANAGEMENT_GROUP: &str = "Microsoft.Management/managementGroups";

/// The id of a management group.
pub fn management_group(name: &str) -> ResourceId {
    ResourceId::root().extension(MANAGEMENT_GROUP, name)
}

fn is_subscription(id: &ResourceId) -> bool {
    id.parts().is_empty() && id.group().is_none() && id.subscription().is_some()
}

fn is_management_group(id: &ResourceId) -> bool {
    id.parts().len() == 1 && id.subscription().is_none() && id.is_type(MANAGEMENT_GROUP)
}

impl Access {
    /// The tenant's root management group: named like the tenant, above all others.
    pub fn root_group(&self) -> ResourceId {
        management_group(&self.tenant_id)
    }

    /// The management group that one is below; the root group is below none.
    pub(crate) fn parent_group(&self, group: &ResourceId) -> Option<ResourceId> {
        let root = self.root_group();
        if *group == root {
            return None;
        }
        let stored = self.resources.get(group);
        let name = stored.as_ref().and_then(|s| s.properties.get("parent").and_then(Value::as_str));
        let parent = name.and_then(|name| self.resources.get(&management_group(name)));
        Some(parent.map_or(root, |parent| parent.id.clone()))
    }

    /// The management group a subscription is in: the one it was put into, or the root group.
    pub fn group_of_subscription(&self, subscription: &ResourceId) -> ResourceId {
        let stored = self.resources.get(subscription);
        let name = stored.as_ref().and_then(|s| s.properties.get("managementGroup").and_then(Value::as_str));
        name.map(management_group).filter(|g| self.resources.exists(g)).unwrap_or_else(|| self.root_group())
    }

    /// One step up; the root has nothing above.
    pub(crate) fn above_scope(&self, id: &ResourceId) -> Option<ResourceId> {
        if is_subscription(id) {
            return Some(self.group_of_subscription(id));
        }
        if is_management_group(id) {
            return Some(self.parent_group(id).unwrap_or_else(ResourceId::root));
        }
        id.parent()
    }

    /// The scope itself and all above it, innermost first.
    pub(crate) fn chain(&self, id: &ResourceId) -> Vec<ResourceId> {
        let mut found = vec![id.clone()];
        while let Some(next) =
            found.last().and_then(|last| self.above_scope(last)).filter(|n| !found.contains(n))
        {
            found.push(next);
        }
        found
    }

    /// Everything a scope holds that is not below it by its id: the subscriptions of a management group.
    pub(crate) fn inside(&self, scope: &ResourceId) -> Vec<ResourceId> {
        if !is_management_group(scope) {
            return Vec::new();
        }
        let subscriptions =
            self.resources.list_type(&ResourceId::root(), "Microsoft.Resources/subscriptions");
        subscriptions.iter().map(|s| s.id.clone()).filter(|s| self.chain(s).contains(scope)).collect()
    }
}
