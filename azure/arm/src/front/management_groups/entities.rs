//! `getEntities`: the groups and subscriptions that somebody may see.

use serde_json::{Value, json};

use super::action;
use crate::access::MANAGEMENT_GROUP;
use crate::front::route::Asked;
use crate::front::{Answer, Front};
use crate::{ArmError, ResourceId};

impl Front {
    /// What somebody may do with a group or subscription, in the words of this list.
    fn permission(&self, asked: &Asked<'_>, id: &ResourceId) -> &'static str {
        let of = |deed: &str| match id.subscription() {
            Some(_) => format!("Microsoft.Resources/subscriptions/{deed}"),
            None => action(deed),
        };
        let may = |deed: &str| self.access.may(asked.caller(), &of(deed), id);
        match () {
            () if may("delete") => "delete",
            () if may("write") => "edit",
            () if may("read") => "view",
            () => "noaccess",
        }
    }

    pub(super) fn entities(&self, asked: &Asked<'_>) -> Result<Answer, ArmError> {
        for name in ["$filter", "$search", "$skiptoken", "groupName"] {
            if asked.ctx.query(name).is_some() {
                return Err(ArmError::not_implemented(format_args!("The parameter '{name}' of getEntities")));
            }
        }
        let number = |name: &str| match asked.ctx.query(name) {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| {
                ArmError::invalid_parameter(name, format!("The value '{text}' of '{name}' is not a number."))
            }),
        };
        let (skip, top) = (number("$skip")?.unwrap_or(0), number("$top")?.unwrap_or(usize::MAX));
        let view = asked.ctx.query("$view").unwrap_or("FullHierarchy").to_ascii_lowercase();
        let mut all = self.all_groups();
        if view == "subscriptionsonly" {
            all.clear();
        }
        if view != "groupsonly" {
            all.push(ResourceId::of_subscription(&self.config.subscription_id));
        }
        all.retain(|id| self.permission(asked, id) != "noaccess");
        let count = all.len();
        let shown: Vec<Value> =
            all.iter().skip(skip).take(top).map(|id| self.entity_json(asked, id)).collect();
        Ok(Answer::ok(json!({"value": shown, "count": count})))
    }

    fn entity_json(&self, asked: &Asked<'_>, id: &ResourceId) -> Value {
        let is_group = id.subscription().is_none();
        let parent = match is_group {
            true => self.access.parent_group(id),
            false => Some(self.access.group_of_subscription(id)),
        };
        let above: Vec<ResourceId> = match &parent {
            Some(parent) => self.groups_above(parent).into_iter().rev().chain([parent.clone()]).collect(),
            None => Vec::new(),
        };
        let inherited = parent.as_ref().map_or("noaccess", |parent| self.permission(asked, parent));
        let name = match is_group {
            true => self.display_name(id),
            false => self.config.subscription_name.clone(),
        };
        let (mut groups, mut children, mut below) = (0, 0, 0);
        if is_group {
            groups = self.child_groups(id).len();
            children = groups + self.subscriptions_in(id).len();
            below = self.descendants_json(id).len();
        }
        json!({
            "id": id, "type": if is_group { MANAGEMENT_GROUP } else { "/subscriptions" }, "name": id.name(),
            "properties": {
                "tenantId": self.config.tenant_id, "displayName": name, "parent": {"id": parent},
                "permissions": self.permission(asked, id), "inheritedPermissions": inherited,
                "parentDisplayNameChain": above.iter().map(|group| self.display_name(group)).collect::<Vec<_>>(),
                "parentNameChain": above.iter().map(|group| group.name().to_owned()).collect::<Vec<_>>(),
                "numberOfDescendants": below, "numberOfChildren": children, "numberOfChildGroups": groups,
            },
        })
    }
}
