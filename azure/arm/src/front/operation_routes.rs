//! The status of operations, and where their results are.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::Value;

use super::route::{Asked, no_route};
use super::{Answer, Front};
use crate::operations::Deed;
use crate::{ArmError, OperationStatus};

/// A status request waits this long for news, so that clients learn the end when it comes and not a poll later.
const PATIENCE: Duration = Duration::from_millis(900);

impl Front {
    pub(super) async fn operation(
        &self,
        asked: &Asked<'_>,
        kind: &str,
        id: &str,
    ) -> Result<Answer, ArmError> {
        if asked.method() != Method::GET {
            return Err(no_route(asked.incoming));
        }
        let missing = || {
            ArmError::new(
                StatusCode::NOT_FOUND,
                "OperationNotFound",
                format!("The operation '{id}' could not be found."),
            )
        };
        let record = self.operations.get(id).ok_or_else(missing)?;
        let deleted = record.deed == Deed::Delete && record.status.is_final();
        // Whoever deleted something may hear that it is gone, though nobody can read it any more.
        let action = if deleted {
            "Microsoft.Resources/subscriptions/resourceGroups/read".to_owned()
        } else {
            format!("{}/read", action_type(&record.resource))
        };
        let around = if deleted { record.resource.scope() } else { record.resource.clone() };
        if !(deleted && self.access.may_somewhere(asked.caller(), &action, &around)) {
            asked.authorize(&action, &around)?;
        }
        let record = match tokio::time::timeout(PATIENCE, self.operations.wait(id)).await {
            Ok(ended) => ended.ok_or_else(missing)?,
            Err(_) => self.operations.get(id).ok_or_else(missing)?,
        };
        let path = asked.incoming.uri.split('?').next().unwrap_or("").to_owned();
        if kind != "operationresults" {
            let mut answer = Answer::ok(record.to_json(&path));
            answer.retry = !record.status.is_final();
            return Ok(answer);
        }
        match record.status {
            OperationStatus::InProgress => {
                let url = format!("{}{}", asked.incoming.base_url, asked.incoming.uri);
                let mut answer = Answer::empty(StatusCode::ACCEPTED).header("location", url);
                answer.retry = true;
                Ok(answer)
            }
            OperationStatus::Succeeded => Ok(match (record.result, record.deed) {
                (Some(result), _) => Answer::ok(result),
                (None, Deed::Write) => {
                    let found = self.resources.get(&record.resource);
                    let shown = found.map_or(Value::Null, |r| match self.registered(&r.kind_type) {
                        Some(registered) => registered.present(&asked.ctx, &r),
                        None => r.to_json(),
                    });
                    Answer::ok(shown)
                }
                (None, Deed::Delete) if record.resource.namespace().is_empty() => {
                    Answer::empty(StatusCode::OK)
                }
                (None, _) => Answer::empty(StatusCode::NO_CONTENT),
            }),
            OperationStatus::Failed | OperationStatus::Canceled => Err(record
                .error
                .unwrap_or_else(|| ArmError::conflict("OperationCanceled", "The operation was canceled."))),
        }
    }
}

/// The type as actions name it.
fn action_type(id: &crate::ResourceId) -> String {
    if id.namespace().is_empty() {
        "Microsoft.Resources/subscriptions/resourceGroups".to_owned()
    } else {
        id.resource_type()
    }
}
