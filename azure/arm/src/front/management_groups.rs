//! Management groups: the tenant's root group, and one level of groups below it that subscriptions are put into.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::route::{Asked, no_route};
use super::{Answer, Front};
use crate::access::{MANAGEMENT_GROUP, management_group};
use crate::{ArmError, Resource, ResourceId};

fn action(deed: &str) -> String {
    format!("{MANAGEMENT_GROUP}/{deed}")
}

fn missing(name: &str) -> ArmError {
    ArmError::new(
        StatusCode::NOT_FOUND,
        "NotFound",
        format!("'/providers/{MANAGEMENT_GROUP}/{name}' not found"),
    )
}

impl Front {
    fn display_name(&self, group: &ResourceId) -> String {
        let stored = self.resources.get(group);
        let name = stored.as_ref().and_then(|r| r.properties.get("displayName")).and_then(Value::as_str);
        match name {
            Some(name) => name.to_owned(),
            None if *group == self.access.root_group() => "Tenant Root Group".to_owned(),
            None => group.name().to_owned(),
        }
    }

    fn known_group(&self, name: &str) -> Result<ResourceId, ArmError> {
        let id = management_group(name);
        if id == self.access.root_group() || self.resources.exists(&id) { Ok(id) } else { Err(missing(name)) }
    }

    fn all_groups(&self) -> Vec<ResourceId> {
        let root = self.access.root_group();
        let stored = self.resources.list_type(&ResourceId::root(), MANAGEMENT_GROUP);
        let others = stored.iter().map(|r| r.id.clone()).filter(|id| *id != root);
        std::iter::once(root.clone()).chain(others).collect()
    }

    /// The subscription, if it is in this group itself.
    fn subscriptions_in(&self, group: &ResourceId) -> Vec<ResourceId> {
        let own = ResourceId::of_subscription(&self.config.subscription_id);
        if self.access.group_of_subscription(&own) == *group { vec![own] } else { Vec::new() }
    }

    fn management_group_json(&self, id: &ResourceId, children: bool) -> Value {
        let root = self.access.root_group();
        let mut details = json!({"version": 1, "updatedTime": null, "updatedBy": null});
        if *id != root {
            details["parent"] =
                json!({"id": root, "name": root.name(), "displayName": self.display_name(&root)});
        }
        let mut body = json!({
            "id": id, "type": MANAGEMENT_GROUP, "name": id.name(),
            "properties": {"tenantId": self.config.tenant_id, "displayName": self.display_name(id), "details": details},
        });
        if children {
            let mut list: Vec<Value> = Vec::new();
            if *id == root {
                list.extend(self.all_groups().iter().filter(|g| **g != root).map(|g| {
                    json!({"id": g, "type": MANAGEMENT_GROUP, "name": g.name(), "displayName": self.display_name(g)})
                }));
            }
            list.extend(self.subscriptions_in(id).iter().map(|s| {
                json!({"id": s, "type": "/subscriptions", "name": s.name(), "displayName": self.config.subscription_name})
            }));
            body["properties"]["children"] = Value::Array(list);
        }
        body
    }

    fn subscription_under(&self, group: &ResourceId, subscription: &ResourceId) -> Value {
        json!({
            "id": format!("{group}/subscriptions/{}", subscription.name()), "name": subscription.name(),
            "type": "Microsoft.Management/managementGroups/subscriptions",
            "properties": {"tenant": self.config.tenant_id, "displayName": self.config.subscription_name,
                "parent": {"id": group}, "state": "Active"},
        })
    }

    pub(super) async fn management_groups(
        &self,
        asked: &Asked<'_>,
        rest: &[String],
    ) -> Result<Answer, ArmError> {
        let words: Vec<String> = rest.iter().map(|s| s.to_ascii_lowercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match (asked.method().clone(), &words[..]) {
            (Method::GET, []) => {
                let may = |id: &ResourceId| self.access.may(asked.caller(), &action("read"), id);
                let seen: Vec<ResourceId> = self.all_groups().into_iter().filter(may).collect();
                if seen.is_empty() {
                    asked.authorize(&action("read"), &self.access.root_group())?;
                }
                Ok(Answer::list(seen.iter().map(|id| self.management_group_json(id, false)).collect()))
            }
            (Method::GET, [name]) => {
                asked.authorize(&action("read"), &management_group(name))?;
                let id = self.known_group(&rest[0])?;
                let children =
                    asked.ctx.query("$expand").is_some_and(|e| e.to_ascii_lowercase().contains("children"));
                Ok(Answer::ok(self.management_group_json(&id, children)))
            }
            (Method::GET, [name, "descendants"]) => {
                asked.authorize(&action("descendants/read"), &management_group(name))?;
                let id = self.known_group(&rest[0])?;
                let body = self.management_group_json(&id, true);
                Ok(Answer::ok(json!({"value": body["properties"]["children"]})))
            }
            (Method::GET, [name, "subscriptions"]) => {
                asked.authorize(&action("subscriptions/read"), &management_group(name))?;
                let id = self.known_group(&rest[0])?;
                let list = self.subscriptions_in(&id);
                Ok(Answer::list(list.iter().map(|s| self.subscription_under(&id, s)).collect()))
            }
            (Method::GET, [name, "subscriptions", _]) => {
                asked.authorize(&action("subscriptions/read"), &management_group(name))?;
                let id = self.known_group(&rest[0])?;
                let list = self.subscriptions_in(&id);
                let found = list.iter().find(|s| s.name().eq_ignore_ascii_case(&rest[2]));
                let found =
                    found.ok_or_else(|| missing(&format!("{}/subscriptions/{}", rest[0], rest[2])))?;
                Ok(Answer::ok(self.subscription_under(&id, found)))
            }
            (Method::PUT, [_]) => self.put_management_group(asked, &rest[0]).await,
            (Method::PATCH, [_]) => self.rename_management_group(asked, &rest[0]).await,
            (Method::DELETE, [_]) => self.delete_management_group(asked, &rest[0]).await,
            (Method::PUT, [_, "subscriptions", _]) => self.move_subscription(asked, &rest[0], &rest[2]).await,
            (Method::DELETE, [_, "subscriptions", _]) => {
                let root = self.access.root_group();
                self.move_out(asked, &rest[0], &rest[2], &root).await
            }
            _ => Err(no_route(asked.incoming)),
        }
    }

    async fn put_management_group(&self, asked: &Asked<'_>, name: &str) -> Result<Answer, ArmError> {
        let id = management_group(name);
        asked.authorize(&action("write"), &id)?;
        let fits = (1..=90).contains(&name.chars().count())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_().".contains(c))
            && !name.ends_with('.');
        if !fits {
            return Err(ArmError::bad_request(
                "InvalidManagementGroupId",
                format!("The management group id '{name}' is not valid."),
            ));
        }
        let body = asked.incoming.object()?;
        let root = self.access.root_group();
        let parent = body.pointer("/properties/details/parent/id").and_then(Value::as_str);
        if let Some(parent) = parent {
            let parent = ResourceId::parse(parent)?;
            if parent != root {
                self.known_group(parent.name())?;
                return Err(ArmError::not_implemented(
                    "A management group below another than the root group",
                ));
            }
        }
        let display = body.pointer("/properties/displayName").and_then(Value::as_str).unwrap_or(name);
        let existing = self.resources.get(&id);
        if existing.as_ref().is_none_or(|e| e.properties["displayName"] != display) {
            let mut made = Resource::new(id.clone());
            made.properties = json!({ "displayName": display });
            self.resources.save(made).await?;
        }
        Ok(Answer::ok(self.management_group_json(&id, false)))
    }

    async fn rename_management_group(&self, asked: &Asked<'_>, name: &str) -> Result<Answer, ArmError> {
        asked.authorize(&action("write"), &management_group(name))?;
        let id = self.known_group(name)?;
        let body = asked.incoming.object()?;
        let display = body.get("displayName").or_else(|| body.pointer("/properties/displayName"));
        if let Some(display) = display.and_then(Value::as_str) {
            let mut made = Resource::new(id.clone());
            made.properties = json!({ "displayName": display });
            self.resources.save(made).await?;
        }
        Ok(Answer::ok(self.management_group_json(&id, false)))
    }

    async fn delete_management_group(&self, asked: &Asked<'_>, name: &str) -> Result<Answer, ArmError> {
        let id = management_group(name);
        asked.authorize(&action("delete"), &id)?;
        if id == self.access.root_group() {
            return Err(ArmError::bad_request("BadRequest", "The root management group cannot be deleted."));
        }
        if !self.resources.exists(&id) {
            return Ok(Answer::empty(StatusCode::NO_CONTENT));
        }
        if !self.subscriptions_in(&id).is_empty() {
            return Err(ArmError::bad_request(
                "BadRequest",
                format!("Management group '{name}' cannot be deleted because it has children."),
            ));
        }
        self.access.check_locks("delete", &id)?;
        self.resources.remove(&id).await?;
        Ok(Answer::ok(json!({"id": id, "type": MANAGEMENT_GROUP, "name": name, "status": "Succeeded"})))
    }

    async fn move_subscription(
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

    async fn move_out(
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
