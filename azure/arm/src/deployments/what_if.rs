//! `whatIf`: what a deployment would make, change, leave alone and delete, without doing any of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::difference::difference;
use super::plan::{Item, Plan};
use super::{Mode, read_body, run};
use crate::front::route_types::Asked;
use crate::front::{Answer, Front};
use crate::{ArmError, ResourceId};

/// Deployments in deployments beyond this are not looked into.
const NESTING_MAX: usize = 5;

/// One change, before it is shown.
struct Change {
    id: ResourceId,
    kind: &'static str,
    before: Option<Value>,
    after: Option<Value>,
    delta: Vec<Value>,
}

impl Change {
    fn shown(&self, ids_only: bool) -> Value {
        let mut made = json!({"resourceId": self.id, "changeType": self.kind});
        if !ids_only {
            made["before"] = json!(self.before);
            made["after"] = json!(self.after);
            if !self.delta.is_empty() {
                made["delta"] = json!(self.delta);
            }
        }
        made
    }
}

impl Front {
    pub(super) async fn what_if(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        id: &ResourceId,
    ) -> Result<Answer, ArmError> {
        let body = read_body(asked)?;
        let mode = Mode::read(&body, id)?;
        let (plan, _) = self.planned(id, &body)?;
        let mut changes = Vec::new();
        self.changes(asked, plan, 0, &mut changes).await?;
        if id.scope().group().is_some() && id.scope().parts().is_empty() {
            let named: BTreeSet<String> = changes.iter().map(|c| c.id.top().key().to_owned()).collect();
            for other in self.others(&id.scope(), &named) {
                let before = Some(other.to_json());
                let kind = if mode == Mode::Complete { "Delete" } else { "Ignore" };
                changes.push(Change { id: other.id.clone(), kind, before, after: None, delta: Vec::new() });
            }
        }
        let format = body.pointer("/properties/whatIfSettings/resultFormat").and_then(Value::as_str);
        let ids_only = format.is_some_and(|f| f.eq_ignore_ascii_case("ResourceIdOnly"));
        let list: Vec<Value> = changes.iter().map(|c| c.shown(ids_only)).collect();
        Ok(Answer::ok(json!({"status": "Succeeded", "properties": {
            "correlationId": asked.ctx.correlation_id, "changes": list, "potentialChanges": [], "diagnostics": []}})))
    }

    fn changes<'a>(
        self: &'a Arc<Self>,
        asked: &'a Asked<'_>,
        plan: Plan,
        depth: usize,
        found: &'a mut Vec<Change>,
    ) -> BoxFuture<'a, Result<(), ArmError>> {
        Box::pin(async move {
            // What is not there yet has no state to refer to.
            let missing: BTreeSet<String> = plan
                .items
                .iter()
                .filter(|item| !item.existing && !self.resources.exists(&item.id))
                .map(|item| item.id.key().to_owned())
                .collect();
            for item in plan.items.iter().filter(|item| !item.existing) {
                let mut scope = item.scope.clone();
                let settled = run::settle(&asked.ctx.arm, &mut scope, &missing, |s| run::body(item, s)).await;
                let made = match settled {
                    Ok(made) => made,
                    // A reference to what is not there at all.
                    Err(error) if error.is_not_found() => None,
                    Err(error) => return Err(error),
                };
                if let (true, Some(body), true) = (run::is_deployment(&item.id), &made, depth < NESTING_MAX) {
                    let (inner, _) = self.planned(&item.id, body)?;
                    self.changes(asked, inner, depth + 1, found).await?;
                    continue;
                }
                found.push(self.change(asked, item, made).await?);
            }
            Ok(())
        })
    }

    /// Compares one resource with what is there.
    async fn change(&self, asked: &Asked<'_>, item: &Item, made: Option<Value>) -> Result<Change, ArmError> {
        let before = asked.ctx.arm.find(&item.id, &item.version).await?;
        let mut after = made.clone().unwrap_or_else(|| json!({}));
        after["id"] = json!(item.id);
        after["name"] = json!(item.id.name());
        after["type"] = json!(item.id.resource_type());
        after["apiVersion"] = json!(item.version);
        let delta = match (&before, &made) {
            (Some(before), Some(made)) => difference(before, made),
            _ => Vec::new(),
        };
        let kind = match (&before, &made) {
            (None, _) => "Create",
            (Some(_), None) => "Deploy",
            (Some(_), Some(_)) if delta.is_empty() => "NoChange",
            (Some(_), Some(_)) => "Modify",
        };
        Ok(Change { id: item.id.clone(), kind, before, after: Some(after), delta })
    }
}
