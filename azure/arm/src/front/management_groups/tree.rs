//! Management groups as they are shown: their parents, their children, and all below them.

use serde_json::{Value, json};

use super::missing;
use crate::access::{MANAGEMENT_GROUP, management_group};
use crate::front::Front;
use crate::{ArmError, ResourceId};

impl Front {
    pub(super) fn display_name(&self, group: &ResourceId) -> String {
        let stored = self.resources.get(group);
        let name = stored.as_ref().and_then(|r| r.properties.get("displayName")).and_then(Value::as_str);
        match name {
            Some(name) => name.to_owned(),
            None if *group == self.access.root_group() => "Tenant Root Group".to_owned(),
            None => group.name().to_owned(),
        }
    }

    /// The group of this name, as it was written when it was made.
    pub(super) fn known_group(&self, name: &str) -> Result<ResourceId, ArmError> {
        let id = management_group(name);
        let root = self.access.root_group();
        if id == root {
            return Ok(root);
        }
        self.resources.get(&id).map(|stored| stored.id.clone()).ok_or_else(|| missing(name))
    }

    /// Every group, the root group first.
    pub(super) fn all_groups(&self) -> Vec<ResourceId> {
        let root = self.access.root_group();
        let stored = self.resources.list_type(&ResourceId::root(), MANAGEMENT_GROUP);
        let others = stored.iter().map(|r| r.id.clone()).filter(|id| *id != root);
        std::iter::once(root.clone()).chain(others).collect()
    }

    /// The groups right below one.
    pub(super) fn child_groups(&self, group: &ResourceId) -> Vec<ResourceId> {
        let mut all = self.all_groups();
        all.retain(|one| self.access.parent_group(one).as_ref() == Some(group));
        all
    }

    /// The groups above one, the nearest first.
    pub(super) fn groups_above(&self, group: &ResourceId) -> Vec<ResourceId> {
        let mut found: Vec<ResourceId> = Vec::new();
        let mut next = self.access.parent_group(group);
        while let Some(parent) = next.filter(|parent| !found.contains(parent)) {
            next = self.access.parent_group(&parent);
            found.push(parent);
        }
        found
    }

    /// How many levels of groups there are from this one down, itself counted.
    pub(super) fn height(&self, group: &ResourceId) -> usize {
        let below = self.child_groups(group);
        1 + below.iter().map(|child| self.height(child)).max().unwrap_or(0)
    }

    /// As lists show it.
    pub(super) fn listed_group_json(&self, id: &ResourceId) -> Value {
        json!({
            "id": id, "type": MANAGEMENT_GROUP, "name": id.name(),
            "properties": {"tenantId": self.config.tenant_id, "displayName": self.display_name(id)},
        })
    }

    /// A group by itself, with the parts named in `expand`.
    pub(super) fn management_group_json(&self, id: &ResourceId, expand: &str, recurse: bool) -> Value {
        let stored = self.resources.get(id);
        let kept = |name: &str| stored.as_ref().map_or(Value::Null, |r| r.properties[name].clone());
        let version = kept("version").as_u64().unwrap_or(1);
        let mut details =
            json!({"version": version, "updatedTime": kept("updatedTime"), "updatedBy": kept("updatedBy")});
        if let Some(parent) = self.access.parent_group(id) {
            details["parent"] =
                json!({"id": parent, "name": parent.name(), "displayName": self.display_name(&parent)});
        }
        let above = self.groups_above(id);
        let step =
            |group: &ResourceId| json!({"name": group.name(), "displayName": self.display_name(group)});
        if expand.contains("path") {
            details["path"] = above.iter().rev().chain([id]).map(step).collect();
        }
        if expand.contains("ancestors") {
            details["managementGroupAncestors"] = above.iter().map(|group| json!(group.name())).collect();
            details["managementGroupAncestorsChain"] = above.iter().map(step).collect();
        }
        let mut body = self.listed_group_json(id);
        body["properties"]["details"] = details;
        if expand.contains("children") {
            body["properties"]["children"] = self.children_json(id, recurse);
        }
        body
    }

    /// Null where there are none, as the public cloud has it.
    fn children_json(&self, id: &ResourceId, recurse: bool) -> Value {
        let groups = self.child_groups(id).into_iter().map(|group| {
            let mut child = json!({"id": group, "type": MANAGEMENT_GROUP, "name": group.name(),
                "displayName": self.display_name(&group)});
            if recurse {
                child["children"] = self.children_json(&group, true);
            }
            child
        });
        let subscriptions = self.subscriptions_in(id).into_iter().map(|subscription| {
            json!({"id": subscription, "type": "/subscriptions", "name": subscription.name(),
                "displayName": self.config.subscription_name})
        });
        let all: Vec<Value> = groups.chain(subscriptions).collect();
        if all.is_empty() { Value::Null } else { Value::Array(all) }
    }

    /// Everything below a group, level by level.
    pub(super) fn descendants_json(&self, id: &ResourceId) -> Vec<Value> {
        let (mut found, mut level) = (Vec::new(), vec![id.clone()]);
        while !level.is_empty() {
            let mut next = Vec::new();
            for parent in &level {
                for group in self.child_groups(parent) {
                    found.push(json!({"id": group, "type": MANAGEMENT_GROUP, "name": group.name(),
                        "properties": {"displayName": self.display_name(&group), "parent": {"id": parent}}}));
                    next.push(group);
                }
                found.extend(self.subscriptions_in(parent).iter().map(|subscription| {
                    json!({"id": subscription, "type": "/subscriptions", "name": subscription.name(),
                        "properties": {"displayName": self.config.subscription_name, "parent": {"id": parent}}})
                }));
            }
            level = next;
        }
        found
    }
}
