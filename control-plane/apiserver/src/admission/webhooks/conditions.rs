//! `matchConditions`: expressions that must hold for a webhook to be asked.

use super::Webhooks;
use super::hook::Hook;
use super::outcome::failed;
use crate::admission::matching::Seen;
use crate::attributes::{AdmissionRequest, ApiError};
use crate::registry::Served;

impl Webhooks {
    /// Whether a webhook is to be asked, by its conditions.
    pub(super) async fn conditions_hold(
        &self,
        hook: &Hook,
        _request: &AdmissionRequest<'_>,
        _seen: &Seen,
        _served: &Served,
    ) -> Result<bool, ApiError> {
        if hook.conditions.is_empty() {
            return Ok(true);
        }
        if hook.ignores_failure {
            return Ok(false);
        }
        Err(failed(hook, "its matchConditions are in CEL, which this server does not evaluate yet"))
    }
}
