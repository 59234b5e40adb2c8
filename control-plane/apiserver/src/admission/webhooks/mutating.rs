//! MutatingAdmissionWebhook: one after the other, and again where asked for.

use std::collections::HashSet;

use serde_json::Value;

use super::hook::Hook;
use super::outcome::{Failure, annotate, failed};
use super::{MUTATING, Webhooks};
use crate::admission::matching::Seen;
use crate::attributes::{AdmissionRequest, ApiError};
use crate::registry::Served;

/// What the first round of plugins leaves for the second.
#[derive(Default)]
pub(in crate::admission) struct Rounds {
    /// Webhooks that were asked and wish to be asked again when the object changes after them.
    asked: HashSet<String>,
    /// Those that will be.
    again: HashSet<String>,
    /// The object as the last webhook left it.
    left: Option<Value>,
    second: bool,
    /// Something changed, so that all plugins are to look again.
    pub needed: bool,
}

impl Rounds {
    /// Begins the second round.
    pub fn begin_second(&mut self) {
        self.second = true;
    }

    /// Whoever was asked before is to be asked again.
    fn require(&mut self) {
        self.again.extend(self.asked.drain());
    }
}

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
        if rounds.second && rounds.left.as_ref() != request.object.as_deref() {
            rounds.require();
        }
        for (index, hook) in hooks.iter().enumerate() {
            if rounds.second && !rounds.again.contains(&hook.id) {
                continue;
            }
            let Some(seen) = self.sees(hook, request)? else { continue };
            if !self.conditions_hold(hook, request, &seen, served).await? {
                continue;
            }
            let place = (u8::from(rounds.second), index);
            let changed = self.mutate_once(hook, &seen, request, served, place).await?;
            if changed {
                rounds.require();
                rounds.needed = true;
            }
            if hook.reinvoked {
                rounds.asked.insert(hook.id.clone());
            }
        }
        // Nobody looks at it when nothing is asked again.
        if rounds.needed && !rounds.second {
            rounds.left = request.object.as_deref().cloned();
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
        let object = match request.object.as_deref() {
            Some(object) => Some(self.version(object, request, served, seen).await?),
            None => None,
        };
        let old = match request.old {
            Some(old) => Some(self.version(old, request, served, seen).await?),
            None => None,
        };
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
        let new = self.completed(patched, request, served, seen).await?;
        let Some(object) = request.object.as_deref_mut() else { return Ok(false) };
        let changed = *object != new;
        *object = new;
        annotate(request, hook, place, Some(patch), changed);
        Ok(changed)
    }

    /// A patched object as the request's version holds it: without what no schema knows, with all defaults.
    async fn completed(
        &self,
        mut patched: Value,
        request: &AdmissionRequest<'_>,
        served: &Served,
        seen: &Seen,
    ) -> Result<Value, ApiError> {
        let whole = request.kind() == crate::attributes::kind_of(request.resource, "");
        if let (Seen::As(from), true) = (seen, whole) {
            from.resource.schema.default(&mut patched);
            patched = self.backend.convert(patched, from, served).await?;
        }
        if whole {
            request.resource.schema.prune(&mut patched);
            request.resource.schema.default(&mut patched);
        }
        Ok(patched)
    }
}
