//! MutatingAdmissionWebhook: one after the other, and again where asked for.

use super::hook::Hook;
use super::outcome::{Failure, annotate, failed};
use super::{MUTATING, Webhooks};
use crate::admission::matching::Seen;
use crate::admission::rounds::Rounds;
use crate::admission::versions;
use crate::attributes::{AdmissionRequest, ApiError};
use crate::registry::Served;

impl Webhooks {
    pub async fn mutate(
        &self,
        request: &mut AdmissionRequest<'_>,
        served: &Served,
        rounds: &mut Rounds,
    ) -> Result<(), ApiError> {
        let hooks = self.hooks(MUTATING);
        if self.is_idle(&hooks, request) {
            return Ok(());
        }
        if rounds.second {
            rounds.webhooks.resume(request.object.as_deref());
        }
        for (index, hook) in hooks.iter().enumerate() {
            if rounds.second && !rounds.webhooks.wants(&hook.id) {
                continue;
            }
            let Some(seen) = self.sees(hook, request)? else { continue };
            if !self.conditions_hold(hook, request, &seen, served).await? {
                continue;
            }
            let place = (u8::from(rounds.second), index);
            let changed = self.mutate_once(hook, &seen, request, served, place).await?;
            if changed {
                rounds.webhooks.require();
                rounds.needed = true;
            }
            if hook.reinvoked {
                rounds.webhooks.asked(&hook.id);
            }
        }
        // Nobody looks at it when nothing is asked again.
        if rounds.needed && !rounds.second {
            rounds.webhooks.leave(request.object.as_deref());
        }
        Ok(())
    }

    /// Asks one webhook; says whether it changed the object.
    async fn mutate_once(
        &self,
        hook: &Hook,
        seen: &Seen,
        request: &mut AdmissionRequest<'_>,
        served: &Served,
        place: (u8, usize),
    ) -> Result<bool, ApiError> {
        let (object, old) = versions::both(&*self.backend, request, served, seen).await?;
        let asked = self.ask(hook, seen, request, (object.as_ref(), old.as_ref()), true).await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(Failure::Refused(error)) => {
                annotate(request, hook, place, None, false);
                return Err(error);
            }
            Err(Failure::Call(why)) if hook.ignores_failure => {
                tracing::warn!(webhook = hook.name, why, "an admission webhook failed and is ignored");
                let key = format!(
                    "failed-open.mutation.webhook.admission.k8s.io/round_{}_index_{}",
                    place.0, place.1
                );
                request.notes.annotate(key, &hook.name);
                annotate(request, hook, place, None, false);
                return Ok(false);
            }
            Err(Failure::Call(why)) => return Err(failed(hook, &why)),
        };
        let Some(patch) = &answer.patch else {
            annotate(request, hook, place, None, false);
            return Ok(false);
        };
        let Some(before) = object else {
            let why = "attempted to modify the object, which is not supported for this operation";
            return Err(ApiError::internal(format!("admission webhook \"{}\" {why}", hook.name)));
        };
        let patched = api_model::merge::json_patch(&before, patch).map_err(ApiError::internal)?;
        let new = versions::completed(&*self.backend, patched, request, served, seen).await?;
        let Some(object) = request.object.as_deref_mut() else { return Ok(false) };
        let changed = *object != new;
        *object = new;
        annotate(request, hook, place, Some(patch), changed);
        Ok(changed)
    }
}
