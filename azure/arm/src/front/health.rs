//! `Microsoft.ResourceHealth`: whether a resource can be used, as far as its own state says, and since when.

use http::Method;
use serde_json::{Value, json};

use super::route::{Asked, no_route};
use super::{Answer, Front};
use crate::{ArmError, Resource, ResourceId};

const STATUSES: &str = "Microsoft.ResourceHealth/availabilityStatuses";

/// How a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Availability {
    Available,
    Degraded,
    /// Switched off by its owner.
    Stopped,
    /// Its last change failed, or it does not work.
    Unavailable,
}

impl Availability {
    /// What the state of a resource says.
    pub(crate) fn of(resource: &Resource) -> Self {
        let text = |pointer: &str| resource.properties.pointer(pointer).and_then(Value::as_str);
        match (resource.provisioning_state(), text("/powerState/code")) {
            (_, Some("Stopped")) => Self::Stopped,
            (Some("Failed"), Some("Running")) => Self::Degraded,
            (Some("Failed"), _) => Self::Unavailable,
            _ => Self::Available,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::Degraded => "Degraded",
            Self::Stopped | Self::Unavailable => "Unavailable",
        }
    }

    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::Available => "There aren't any known problems affecting this resource.",
            Self::Degraded => "The last change of this resource failed; it runs as it was before.",
            Self::Stopped => "This resource was stopped by an authorized user or process.",
            Self::Unavailable => "This resource cannot be used because its last change failed.",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Stopped => "Customer Initiated",
            Self::Available => "",
            Self::Degraded | Self::Unavailable => "Unplanned",
        }
    }
}

fn shown(resource: &Resource, now: &str) -> Value {
    let state = Availability::of(resource);
    let since = resource.system_data.get("lastModifiedAt").cloned().unwrap_or_else(|| json!(now));
    json!({
        "id": format!("{}/providers/{STATUSES}/current", resource.id), "name": "current", "type": STATUSES,
        "location": resource.location,
        "properties": {
            "availabilityState": state.name(), "title": state.name(), "summary": state.summary(), "detailedStatus": "",
            "reasonType": state.reason(), "reasonChronicity": "Persistent", "occuredTime": since, "reportedTime": now,
        },
    })
}

impl Front {
    pub(super) async fn health(
        &self,
        asked: &Asked<'_>,
        scope: ResourceId,
        kind: &str,
        rest: &[String],
    ) -> Result<Answer, ArmError> {
        if asked.method() != Method::GET {
            return Err(no_route(asked.incoming));
        }
        let now = self.config.clock.now().to_string();
        if kind == "events" {
            asked.authorize("Microsoft.ResourceHealth/events/read", &scope)?;
            return Ok(Answer::list(self.health_events(&scope)));
        }
        asked.authorize(&format!("{STATUSES}/read"), &scope)?;
        if !scope.parts().is_empty() {
            let Some(registered) = self.registered(&scope.resource_type()) else {
                return Err(ArmError::resource_not_found(&scope));
            };
            let found = registered.kind.get(&asked.ctx, &scope).await?;
            let found = found.ok_or_else(|| ArmError::resource_not_found(&scope))?;
            return match rest {
                [] => Ok(Answer::list(vec![shown(&found, &now)])),
                [name] if name.eq_ignore_ascii_case("current") => Ok(Answer::ok(shown(&found, &now))),
                _ => Err(no_route(asked.incoming)),
            };
        }
        if !rest.is_empty() {
            return Err(no_route(asked.incoming));
        }
        if let Some(group) = scope.group()
            && !self.resources.exists(&scope)
        {
            return Err(ArmError::group_not_found(group));
        }
        let view = self.access.view(asked.caller(), &scope);
        let mut list = Vec::new();
        for resource in self.resources.list(&scope) {
            let Some(registered) = self.registered(&resource.kind_type) else { continue };
            let read = format!("{}/read", registered.descriptor.full_type);
            if registered.descriptor.tracked && view.may(&read, &resource.id) {
                list.push(shown(&resource, &now));
            }
        }
        self.paged(asked, list)
    }

    /// What the activity log knows of health, as events of the service.
    fn health_events(&self, scope: &ResourceId) -> Vec<Value> {
        let events = self.activity.events();
        let own = events.iter().filter(|e| e.category == "ResourceHealth" && e.resource.is_within(scope));
        own.map(|e| {
            json!({
                "id": format!("{scope}/providers/Microsoft.ResourceHealth/events/{}", e.correlation_id),
                "name": e.correlation_id, "type": "Microsoft.ResourceHealth/events",
                "properties": {
                    "eventType": "ServiceIssue", "eventSource": "ResourceHealth", "level": "Warning",
                    "status": if e.status == "Resolved" { "Resolved" } else { "Active" },
                    "title": e.error.clone().unwrap_or_else(|| e.status.clone()), "summary": e.status,
                    "impactStartTime": e.at, "lastUpdateTime": e.at,
                    "impact": [{"impactedService": e.resource.resource_type(), "impactedRegions": []}],
                },
            })
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Availability;
    use crate::{Resource, ResourceId};

    #[test]
    fn the_state_of_a_resource_says_how_it_is() {
        let table = [
            (json!({}), Availability::Available),
            (json!({"provisioningState": "Updating"}), Availability::Available),
            (json!({"provisioningState": "Failed"}), Availability::Unavailable),
            (
                json!({"provisioningState": "Failed", "powerState": {"code": "Running"}}),
                Availability::Degraded,
            ),
            (
                json!({"provisioningState": "Succeeded", "powerState": {"code": "Stopped"}}),
                Availability::Stopped,
            ),
        ];
        for (properties, expected) in table {
            let mut resource = Resource::new(ResourceId::root());
            resource.properties = properties;
            assert_eq!(Availability::of(&resource), expected, "{}", resource.properties);
        }
    }
}
