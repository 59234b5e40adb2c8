//! ValidatingAdmissionWebhook: all at once.

use futures::future::join_all;

use super::hook::Hook;
use super::outcome::{Failure, failed};
use super::{VALIDATING, Webhooks};
use crate::admission::matching::Seen;
use crate::admission::versions;
use crate::attributes::{AdmissionRequest, ApiError};
use crate::registry::Served;

impl Webhooks {
    pub async fn validate(&self, request: &AdmissionRequest<'_>, served: &Served) -> Result<(), ApiError> {
        let hooks = self.hooks(VALIDATING);
        if self.is_idle(&hooks, request) {
            return Ok(());
        }
        let mut relevant = Vec::new();
        for (index, hook) in hooks.iter().enumerate() {
            let Some(seen) = self.sees(hook, request)? else { continue };
            if self.conditions_hold(hook, request, &seen, served).await? {
                relevant.push((index, hook, seen));
            }
        }
        let asked = relevant
            .iter()
            .map(|(index, hook, seen)| self.validate_once(*index, hook, seen, request, served));
        // All are asked, and the first in order that says no is heard.
        join_all(asked).await.into_iter().collect()
    }

    async fn validate_once(
        &self,
        index: usize,
        hook: &Hook,
        seen: &Seen,
        request: &AdmissionRequest<'_>,
        served: &Served,
    ) -> Result<(), ApiError> {
        let (object, old) = versions::both(&*self.backend, request, served, seen).await?;
        match self.ask(hook, seen, request, (object.as_ref(), old.as_ref()), false).await {
            Ok(_) => Ok(()),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::Call(why)) if hook.ignores_failure => {
                tracing::warn!(webhook = hook.name, why, "an admission webhook failed and is ignored");
                let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}");
                request.notes.annotate(key, &hook.name);
                Ok(())
            }
            Err(Failure::Call(why)) => Err(failed(hook, &why)),
        }
    }
}
