//! `Microsoft.Insights/eventtypes/management/values`.

use serde_json::Value;

use super::route::{Asked, no_route};
use super::{Answer, Front, filter};
use crate::{ArmError, ResourceId};

impl Front {
    pub(super) fn activity_log(
        &self,
        asked: &Asked<'_>,
        scope: ResourceId,
        rest: &[String],
    ) -> Result<Answer, ArmError> {
        let words: Vec<String> = rest.iter().map(|s| s.to_ascii_lowercase()).collect();
        if words != ["eventtypes", "management", "values"] {
            return Err(no_route(asked.incoming));
        }
        asked.authorize("Microsoft.Insights/eventtypes/values/read", &scope)?;
        let clauses = filter::parse(asked.ctx.query("$filter"))?;
        let events = self.activity.events();
        let kept: Vec<Value> = events
            .iter()
            .filter(|e| e.resource.is_within(&scope))
            .filter(|e| {
                clauses.iter().all(|c| match c.field.to_ascii_lowercase().as_str() {
                    "eventtimestamp" => filter::compare_time(c, &e.at),
                    "status" => c.is(&e.status),
                    "caller" => c.is(&e.caller) || c.is(&e.caller_id),
                    "correlationid" => c.is(&e.correlation_id),
                    "resourcegroupname" => c.is(e.resource.group().unwrap_or("")),
                    "resourceid" | "resourceuri" => {
                        ResourceId::parse(&c.value).is_ok_and(|id| id == e.resource)
                    }
                    "resourceprovider" => c.is(e.resource.namespace()),
                    "levels" | "channels" | "eventchannels" => true,
                    _ => true,
                })
            })
            .map(|e| e.to_json())
            .collect();
        Ok(Answer::list(kept))
    }
}
