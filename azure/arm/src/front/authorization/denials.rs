//! Deny assignments: made and taken away by the cloud itself only, as in the public one.

use http::StatusCode;
use serde_json::json;

use super::shown;
use crate::access::DENY_ASSIGNMENT;
use crate::front::route::Asked;
use crate::front::{Answer, Front};
use crate::{ArmError, CallerKind, Resource, ResourceId};

fn cloud_only(asked: &Asked<'_>, deed: &str, scope: &ResourceId) -> Result<(), ArmError> {
    if asked.caller().kind == CallerKind::Service {
        return Ok(());
    }
    Err(ArmError::authorization_failed(asked.caller(), &format!("{DENY_ASSIGNMENT}/{deed}"), scope))
}

impl Front {
    pub(super) async fn put_deny(
        &self,
        asked: &Asked<'_>,
        scope: &ResourceId,
        id: ResourceId,
    ) -> Result<Answer, ArmError> {
        cloud_only(asked, "write", scope)?;
        let body = asked.incoming.object()?;
        let mut made = Resource::new(id);
        made.properties =
            body.get("properties").filter(|p| p.is_object()).cloned().unwrap_or_else(|| json!({}));
        made.properties["scope"] = json!(scope.to_string());
        made.properties["isSystemProtected"] = json!(true);
        let stored = self.resources.save(made).await?;
        Ok(Answer::new(StatusCode::CREATED, shown(&stored)))
    }

    pub(super) async fn remove_deny(&self, asked: &Asked<'_>, id: ResourceId) -> Result<Answer, ArmError> {
        cloud_only(asked, "delete", &id)?;
        self.remove(DENY_ASSIGNMENT, id).await
    }
}
