//! Management groups: a tree below the tenant's root group, with the subscriptions that are put into it.
//!
//! Roles and locks come down the tree. Groups are made by whoever may write to their parent: nothing is open to everybody.

mod entities;
mod settings;
mod subscriptions;
mod tree;
mod write;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::route::{Asked, no_route};
use super::{Answer, Front};
use crate::access::{MANAGEMENT_GROUP, management_group};
use crate::{ArmError, ResourceId};

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

/// Whether a group may have this name.
fn well_named(name: &str) -> bool {
    (1..=90).contains(&name.chars().count())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_().".contains(c))
        && !name.ends_with('.')
}

impl Front {
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
                Ok(Answer::list(seen.iter().map(|id| self.listed_group_json(id)).collect()))
            }
            (Method::GET, [name]) => {
                asked.authorize(&action("read"), &management_group(name))?;
                let id = self.known_group(&rest[0])?;
                let expand = asked.ctx.query("$expand").unwrap_or_default().to_ascii_lowercase();
                let recurse = asked.ctx.query("$recurse").is_some_and(|r| r.eq_ignore_ascii_case("true"));
                Ok(Answer::ok(self.management_group_json(&id, &expand, recurse)))
            }
            (Method::GET, [name, "descendants"]) => {
                asked.authorize(&action("descendants/read"), &management_group(name))?;
                let id = self.known_group(&rest[0])?;
                Ok(Answer::list(self.descendants_json(&id)))
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
            (Method::PATCH, [_]) => self.patch_management_group(asked, &rest[0]).await,
            (Method::DELETE, [_]) => self.delete_management_group(asked, &rest[0]).await,
            (Method::PUT, [_, "subscriptions", _]) => self.move_subscription(asked, &rest[0], &rest[2]).await,
            (Method::DELETE, [_, "subscriptions", _]) => {
                let root = self.access.root_group();
                self.move_out(asked, &rest[0], &rest[2], &root).await
            }
            (_, [_, "settings"]) => self.hierarchy_settings(asked, &rest[0], false).await,
            (_, [_, "settings", "default"]) => self.hierarchy_settings(asked, &rest[0], true).await,
            _ => Err(no_route(asked.incoming)),
        }
    }

    /// What of `Microsoft.Management` is not about one group. `None`: it is not of these.
    pub(super) fn management(&self, asked: &Asked<'_>, rest: &[String]) -> Option<Result<Answer, ArmError>> {
        let words: Vec<String> = rest.iter().map(|s| s.to_ascii_lowercase()).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Some(match (asked.method().clone(), &words[..]) {
            (Method::POST, ["getentities"]) => self.entities(asked),
            (Method::POST, ["checknameavailability"]) => self.check_group_name(asked),
            // Whatever subscription there is has been below the root group since it was made.
            (Method::POST, ["starttenantbackfill" | "tenantbackfillstatus"]) => {
                Ok(Answer::ok(json!({"tenantId": self.config.tenant_id, "status": "Completed"})))
            }
            (Method::GET, ["operationresults", "delete", "managementgroups", _]) => {
                self.deletion_of_group(asked, &rest[3])
            }
            _ => return None,
        })
    }

    fn check_group_name(&self, asked: &Asked<'_>) -> Result<Answer, ArmError> {
        let body = asked.incoming.object()?;
        let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
        let taken = self.known_group(name).is_ok();
        Ok(Answer::ok(if !well_named(name) {
            json!({"nameAvailable": false, "reason": "Invalid", "message": format!("The management group id '{name}' is not valid.")})
        } else if taken {
            json!({"nameAvailable": false, "reason": "AlreadyExists", "message": "The group with the specified name already exists"})
        } else {
            json!({"nameAvailable": true})
        }))
    }
}
