//! Subscriptions that are put into management groups.

use http::StatusCode;
use serde_json::{Value, json};

use super::action;
use crate::access::management_group;
use crate::front::route::Asked;
use crate::front::{Answer, Front};
use crate::{ArmError, ResourceId};

impl Front {
    /// The subscription, if it is in this group itself.
    pub(super) fn subscriptions_in(&self, group: &ResourceId) -> Vec<ResourceId> {
        let own = ResourceId::of_subscription(&self.config.subscription_id);
        if self.access.group_of_subscription(&own) == *group { vec![own] } else { Vec::new() }
    }

    pub(super) fn subscription_under(&self, group: &ResourceId, subscription: &ResourceId) -> Value {
        json!({
            "id": format!("{group}/subscriptions/{}", subscription.name()), "name": subscription.name(),
            "type": "Microsoft.Management/managementGroups/subscriptions",
            "properties": {"tenant": self.config.tenant_id, "displayName": self.config.subscription_name,
                "parent": {"id": group}, "state": "Active"},
        })
    }

    pub(super) async fn move_subscription(
        &self,
        asked: &Asked<'_>,
        group: &str,
        subscription: &str,
    ) -> Result<Answer, ArmError> {
        asked.authorize(&action("subscriptions/write"), &management_group(group))?;
        let id = self.known_group(group)?;
        self.put_into(asked, subscription, &id).await?;
        let moved = ResourceId::of_subscription(&self.config.subscription_id);
        Ok(Answer::ok(self.subscription_under(&id, &moved)))
    }

    pub(super) async fn move_out(
        &self,
        asked: &Asked<'_>,
        group: &str,
        subscription: &str,
        to: &ResourceId,
    ) -> Result<Answer, ArmError> {
        asked.authorize(&action("subscriptions/delete"), &management_group(group))?;
        let id = self.known_group(group)?;
        if !self.subscriptions_in(&id).iter().any(|s| s.name().eq_ignore_ascii_case(subscription)) {
            return Ok(Answer::empty(StatusCode::NO_CONTENT));
        }
        self.put_into(asked, subscription, to).await?;
        Ok(Answer::empty(StatusCode::OK))
    }

    /// Whoever moves a subscription changes who may use it, so they must be allowed to assign roles there.
    async fn put_into(
        &self,
        asked: &Asked<'_>,
        subscription: &str,
        group: &ResourceId,
    ) -> Result<(), ArmError> {
        self.check_subscription(subscription)?;
        let id = ResourceId::of_subscription(&self.config.subscription_id);
        self.access.authorize(asked.caller(), "Microsoft.Authorization/roleAssignments/write", &id)?;
        self.access.check_locks("write", &id)?;
        let name = group.name().to_owned();
        self.resources
            .modify(&id, |s| {
                let changed = s.properties["managementGroup"] != json!(name);
                s.properties["managementGroup"] = json!(name);
                changed
            })
            .await?;
        Ok(())
    }
}
