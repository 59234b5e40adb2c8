//! `Microsoft.Insights/eventtypes/management/values`.

use http::Method;
use serde_json::{Map, Value};

use super::filter::Clause;
use super::route::{Asked, no_route};
use super::{Answer, Front, filter};
use crate::activity::Event;
use crate::{ArmError, ResourceId};

fn unsupported(text: &str) -> ArmError {
    ArmError::bad_request("BadRequest", format!("The $filter '{text}' is not supported by the activity log."))
}

/// Whether a list in one text, `Critical,Error`, has a word.
fn lists(clause: &Clause, word: &str) -> bool {
    clause.value.split(',').any(|w| w.trim().eq_ignore_ascii_case(word))
}

fn check(clauses: &[Clause], text: &str) -> Result<(), ArmError> {
    const KNOWN: [&str; 15] = [
        "eventtimestamp",
        "submissiontimestamp",
        "status",
        "caller",
        "correlationid",
        "resourcegroupname",
        "resourceid",
        "resourceuri",
        "resourceprovider",
        "resourcetype",
        "resourcetypes",
        "operations",
        "category",
        "levels",
        "level",
    ];
    for clause in clauses {
        let field = clause.field.to_ascii_lowercase();
        let time = field.ends_with("timestamp");
        let known =
            KNOWN.contains(&field.as_str()) || ["channels", "eventchannels"].contains(&field.as_str());
        let fits = if time { filter::time(&clause.value).is_some() } else { clause.op == "eq" };
        if !known || !fits {
            return Err(unsupported(text));
        }
    }
    Ok(())
}

fn fits(clause: &Clause, event: &Event) -> bool {
    match clause.field.to_ascii_lowercase().as_str() {
        "eventtimestamp" | "submissiontimestamp" => filter::compare_time(clause, &event.at),
        "status" => lists(clause, &event.status),
        "caller" => clause.is(&event.caller) || clause.is(&event.caller_id),
        "correlationid" => clause.is(&event.correlation_id),
        "resourcegroupname" => clause.is(event.resource.group().unwrap_or("")),
        // What was done to children was done to the resource, too.
        "resourceid" | "resourceuri" => {
            ResourceId::parse(&clause.value).is_ok_and(|id| event.resource.is_within(&id))
        }
        "resourceprovider" => clause.is(event.resource.namespace()),
        "resourcetype" | "resourcetypes" => lists(clause, &event.resource.resource_type()),
        "operations" => lists(clause, &event.action),
        "category" => clause.is(&event.category),
        "level" | "levels" => lists(clause, event.level()),
        _ => true,
    }
}

/// Keeps the members that `$select` names.
fn select(shown: Value, names: &[String]) -> Value {
    let Value::Object(map) = shown else { return shown };
    if names.is_empty() {
        return Value::Object(map);
    }
    let kept: Map<String, Value> =
        map.into_iter().filter(|(name, _)| names.contains(&name.to_ascii_lowercase())).collect();
    Value::Object(kept)
}

impl Front {
    pub(super) fn activity_log(
        &self,
        asked: &Asked<'_>,
        scope: ResourceId,
        rest: &[String],
    ) -> Result<Answer, ArmError> {
        let words: Vec<String> = rest.iter().map(|s| s.to_ascii_lowercase()).collect();
        if words != ["eventtypes", "management", "values"] || asked.method() != Method::GET {
            return Err(no_route(asked.incoming));
        }
        asked.authorize("Microsoft.Insights/eventtypes/values/read", &scope)?;
        let text = asked.ctx.query("$filter");
        let clauses = filter::parse(text)?;
        check(&clauses, text.unwrap_or(""))?;
        let names: Vec<String> = asked
            .ctx
            .query("$select")
            .unwrap_or("")
            .split(',')
            .map(|name| name.trim().to_ascii_lowercase())
            .filter(|name| !name.is_empty())
            .collect();
        let found = self
            .activity
            .select(|e| e.resource.is_within(&scope) && clauses.iter().all(|clause| fits(clause, e)));
        let mut answer = self.paged(asked, found.iter().map(Event::to_json).collect())?;
        if let Some(Value::Array(rows)) = answer.body.as_mut().and_then(|body| body.get_mut("value")) {
            for row in rows {
                *row = select(row.take(), &names);
            }
        }
        Ok(answer)
    }
}
