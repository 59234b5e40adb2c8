//! The hierarchy settings of the root group: where new subscriptions go, and who makes groups.
//!
//! A cloud has the one subscription that it was made with, so that the default group has no effect. Groups are never made
//! without a right to: the setting that would let everybody is refused.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{action, missing};
use crate::access::{MANAGEMENT_GROUP, management_group};
use crate::front::route::{Asked, no_route};
use crate::front::{Answer, Front};
use crate::{ArmError, ResourceId};

const KEY: &str = "management-groups";

impl Front {
    /// `…/settings`, or (`one`) `…/settings/default`.
    pub(super) async fn hierarchy_settings(
        &self,
        asked: &Asked<'_>,
        name: &str,
        one: bool,
    ) -> Result<Answer, ArmError> {
        let deed = match *asked.method() {
            Method::GET => "settings/read",
            Method::PUT | Method::PATCH if one => "settings/write",
            Method::DELETE if one => "settings/delete",
            _ => return Err(no_route(asked.incoming)),
        };
        asked.authorize(&action(deed), &management_group(name))?;
        let group = self.known_group(name)?;
        if group != self.access.root_group() {
            return Err(ArmError::bad_request(
                "BadRequest",
                "Hierarchy settings are set on the root management group.",
            ));
        }
        let kept: Option<Value> = self.settings.get::<Option<Value>>(KEY)?.flatten();
        let shown = |settings: &Value| {
            let mut body = json!({"id": format!("{group}/settings/default"), "name": "default",
                "type": format!("{MANAGEMENT_GROUP}/settings"), "properties": {"tenantId": self.config.tenant_id}});
            for (name, value) in settings.as_object().into_iter().flatten() {
                body["properties"][name] = value.clone();
            }
            body
        };
        match *asked.method() {
            Method::GET if !one => Ok(Answer::list(kept.iter().map(shown).collect())),
            Method::GET => {
                let kept = kept.ok_or_else(|| missing(&format!("{name}/settings/default")))?;
                Ok(Answer::ok(shown(&kept)))
            }
            Method::DELETE => {
                self.settings.put(KEY, &None::<Value>).await?;
                Ok(Answer::empty(StatusCode::OK))
            }
            _ => {
                let body = asked.incoming.object()?;
                let patched = kept.filter(|_| *asked.method() == Method::PATCH);
                let settings = self.wanted_settings(&body, patched.unwrap_or_else(|| json!({})))?;
                self.settings.put(KEY, &Some(&settings)).await?;
                Ok(Answer::ok(shown(&settings)))
            }
        }
    }

    fn wanted_settings(&self, body: &Value, mut settings: Value) -> Result<Value, ArmError> {
        let asked = |name: &str| {
            let value = body.pointer(&format!("/properties/{name}")).or_else(|| body.get(name));
            value.filter(|value| !value.is_null()).cloned()
        };
        let (require, group) = ("requireAuthorizationForGroupCreation", "defaultManagementGroup");
        match asked(require) {
            None => {}
            Some(Value::Bool(true)) => settings[require] = json!(true),
            Some(Value::Bool(false)) => {
                return Err(ArmError::not_implemented("A tenant in which everybody makes management groups"));
            }
            Some(_) => {
                return Err(ArmError::invalid_parameter(
                    require,
                    format!("The value of '{require}' is not a boolean."),
                ));
            }
        }
        if let Some(value) = asked(group) {
            let id = value.as_str().and_then(|id| ResourceId::parse(id).ok());
            let id = id.filter(|id| id.is_type(MANAGEMENT_GROUP));
            let id = id.ok_or_else(|| {
                ArmError::invalid_parameter(
                    group,
                    format!("The value of '{group}' is not the id of a management group."),
                )
            })?;
            settings[group] = json!(self.known_group(id.name())?);
        }
        Ok(settings)
    }
}
