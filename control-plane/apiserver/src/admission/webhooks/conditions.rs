//! `matchConditions`: expressions that must hold for a webhook to be asked.

use super::Webhooks;
use super::hook::Hook;
use crate::admission::expressions::{Asks, Inputs};
use crate::admission::matching::Seen;
use crate::admission::versions;
use crate::attributes::{AdmissionRequest, ApiError};
use crate::registry::Served;

impl Webhooks {
    /// Whether a webhook is to be asked, by its conditions. One whose failures are ignored is not when that cannot be said.
    pub(super) async fn conditions_hold(
        &self,
        hook: &Hook,
        request: &AdmissionRequest<'_>,
        seen: &Seen,
        served: &Served,
    ) -> Result<bool, ApiError> {
        if hook.conditions.is_empty() {
            return Ok(true);
        }
        let both = versions::both(&*self.backend, request, served, seen).await?;
        let inputs = Inputs::new(request, seen, &*self.objects, both);
        let asks = Asks::new(&self.authorizer, request.user);
        match hook.conditions.hold(&inputs.bound(&asks)) {
            Ok(holds) => Ok(holds),
            Err(_) if hook.ignores_failure => Ok(false),
            Err(why) => {
                let resource = request.resource;
                Err(ApiError::forbidden(
                    &resource.group,
                    &resource.plural,
                    crate::admission::object_name(request),
                    &why,
                ))
            }
        }
    }
}
