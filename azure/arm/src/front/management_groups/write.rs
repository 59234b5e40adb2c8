//! Making, renaming, moving and deleting management groups.

use http::StatusCode;
use serde_json::{Value, json};

use super::{action, well_named};
use crate::access::{MANAGEMENT_GROUP, management_group};
use crate::front::route::Asked;
use crate::front::{Answer, Front};
use crate::{ArmError, Resource, ResourceId};

/// Levels of groups below the root group (learn.microsoft.com, governance/management-groups/overview).
const LEVELS_MAX: usize = 6;

fn refused(message: impl Into<String>) -> ArmError {
    ArmError::bad_request("BadRequest", message)
}

/// A text that may be left out or null.
fn text<'a>(value: Option<&'a Value>, target: &str) -> Result<Option<&'a str>, ArmError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => {
            Err(ArmError::invalid_parameter(target, format!("The value of '{target}' is not a text.")))
        }
    }
}

impl Front {
    /// The group that is named as a parent, by its id.
    fn named_parent(&self, id: &str) -> Result<ResourceId, ArmError> {
        let parent = ResourceId::parse(id)?;
        if !parent.is_type(MANAGEMENT_GROUP) || parent.subscription().is_some() {
            return Err(refused(format!("The parent '{id}' is not a management group.")));
        }
        self.known_group(parent.name())
    }

    /// Whether a group may be below this one; who moves it must be allowed to write to both.
    fn check_parent(
        &self,
        asked: &Asked<'_>,
        group: &ResourceId,
        parent: &ResourceId,
    ) -> Result<(), ArmError> {
        self.access.authorize(asked.caller(), &action("write"), parent)?;
        if *group == self.access.root_group() {
            return Err(refused("The root management group cannot be moved."));
        }
        let above = self.groups_above(parent);
        if parent == group || above.contains(group) {
            return Err(refused(format!(
                "Management group '{}' cannot be moved below itself.",
                group.name()
            )));
        }
        let root = usize::from(*parent != self.access.root_group());
        if above.len() + root + self.height(group) > LEVELS_MAX + usize::from(root == 1) {
            return Err(refused(format!(
                "The management group hierarchy cannot be deeper than {LEVELS_MAX} levels below the root management group."
            )));
        }
        Ok(())
    }

    pub(super) async fn put_management_group(
        &self,
        asked: &Asked<'_>,
        name: &str,
    ) -> Result<Answer, ArmError> {
        let id = self.known_group(name).unwrap_or_else(|_| management_group(name));
        let root = self.access.root_group();
        let exists = id == root || self.resources.exists(&id);
        let body = asked.incoming.object();
        let parent = body.as_ref().ok().and_then(|body| body.pointer("/properties/details/parent/id"));
        let parent = text(parent, "properties.details.parent.id").and_then(|parent| match parent {
            Some(parent) => self.named_parent(parent).map(Some),
            None => Ok(None),
        });
        // A group that is not there yet is made where it is going to be.
        let scope = match &parent {
            _ if exists => id.clone(),
            Ok(Some(parent)) => parent.clone(),
            _ => root.clone(),
        };
        asked.authorize(&action("write"), &scope)?;
        if !well_named(name) {
            return Err(ArmError::bad_request(
                "InvalidManagementGroupId",
                format!("The management group id '{name}' is not valid."),
            ));
        }
        let (body, parent) = (body?, parent?);
        let display = text(body.pointer("/properties/displayName"), "properties.displayName")?;
        let parent = if exists { parent } else { Some(parent.unwrap_or(root)) };
        // Said again, a name that is left out is the group's own.
        self.keep_group(asked, &id, Some(display.unwrap_or(name)), parent).await?;
        Ok(Answer::ok(self.management_group_json(&id, "", false)))
    }

    pub(super) async fn patch_management_group(
        &self,
        asked: &Asked<'_>,
        name: &str,
    ) -> Result<Answer, ArmError> {
        asked.authorize(&action("write"), &management_group(name))?;
        let id = self.known_group(name)?;
        let body = asked.incoming.object()?;
        let display = body.get("displayName").or_else(|| body.pointer("/properties/displayName"));
        let display = text(display, "displayName")?;
        let parent = match text(body.get("parentGroupId"), "parentGroupId")? {
            Some(parent) => Some(self.named_parent(parent)?),
            None => None,
        };
        self.keep_group(asked, &id, display, parent).await?;
        Ok(Answer::ok(self.management_group_json(&id, "", false)))
    }

    /// Stores what is changed of a group; what is not said stays.
    async fn keep_group(
        &self,
        asked: &Asked<'_>,
        id: &ResourceId,
        display: Option<&str>,
        parent: Option<ResourceId>,
    ) -> Result<(), ArmError> {
        let existing = self.resources.get(id);
        let old_parent = existing.as_ref().and_then(|_| self.access.parent_group(id));
        if let Some(parent) = parent.as_ref().filter(|parent| old_parent.as_ref() != Some(*parent)) {
            if let Some(old) = &old_parent {
                self.access.authorize(asked.caller(), &action("write"), old)?;
            }
            self.check_parent(asked, id, parent)?;
        }
        self.access.check_locks("write", id)?;
        let before = existing.as_ref().map_or(Value::Null, |e| e.properties.clone());
        let mut made = Resource::new(id.clone());
        made.properties = if before.is_object() { before.clone() } else { json!({"version": 0}) };
        if let Some(display) = display {
            made.properties["displayName"] = json!(display);
        }
        if let Some(parent) = parent {
            made.properties["parent"] = json!(parent.name());
        }
        if made.properties == before {
            return Ok(());
        }
        made.properties["version"] = json!(before["version"].as_u64().unwrap_or(0) + 1);
        made.properties["updatedTime"] = json!(self.config.clock.now().to_string());
        made.properties["updatedBy"] = json!(asked.caller().object_id);
        self.resources.save(made).await?;
        Ok(())
    }

    pub(super) async fn delete_management_group(
        &self,
        asked: &Asked<'_>,
        name: &str,
    ) -> Result<Answer, ArmError> {
        asked.authorize(&action("delete"), &management_group(name))?;
        if management_group(name) == self.access.root_group() {
            return Err(refused("The root management group cannot be deleted."));
        }
        let Ok(id) = self.known_group(name) else { return Ok(Answer::empty(StatusCode::NO_CONTENT)) };
        if !self.subscriptions_in(&id).is_empty() || !self.child_groups(&id).is_empty() {
            return Err(refused(format!(
                "Management group '{name}' cannot be deleted because it has children."
            )));
        }
        self.access.check_locks("delete", &id)?;
        self.resources.remove(&id).await?;
        let version = &asked.ctx.api_version;
        let at = format!(
            "{}/providers/Microsoft.Management/operationResults/delete/managementGroups/{name}?api-version={version}",
            asked.ctx.base_url.trim_end_matches('/')
        );
        let body = json!({"id": id, "type": MANAGEMENT_GROUP, "name": id.name(), "status": "NotStarted"});
        let mut answer = Answer::new(StatusCode::ACCEPTED, body)
            .header("location", at.clone())
            .header("azure-asyncoperation", at);
        answer.retry = true;
        Ok(answer)
    }

    /// How the deletion of a group went: it is gone before the request is answered.
    pub(super) fn deletion_of_group(&self, asked: &Asked<'_>, name: &str) -> Result<Answer, ArmError> {
        let id = management_group(name);
        if self.known_group(name).is_ok() {
            asked.authorize(&action("read"), &id)?;
            return Err(super::missing(&format!("operationResults/{name}")));
        }
        Ok(Answer::ok(json!({"id": id, "type": MANAGEMENT_GROUP, "name": name, "status": "Succeeded"})))
    }
}
