//! Admission webhooks: asked on every verb that their rules name, in the version they ask for, through the tunnels
//! (services) or directly (URLs), trusted by their CA bundle only.
//!
//! Mutating ones are asked one after the other, in order of their configurations' names, and again when a later one changed the
//! object and they wish so; validating ones all at once. What an answer may not be is a failure, and a failure refuses the request
//! unless the webhook says that it may be ignored.

mod call;
mod conditions;
mod hook;
mod mutating;
mod outcome;
mod review;
mod validating;

use std::sync::Arc;

use serde_json::Value;

use super::Backend;
use super::derived::Derived;
use super::matching::{Seen, is_exempt};
use crate::attributes::{AdmissionRequest, ApiError, Objects};
use crate::authz::Authorizer;
pub(crate) use call::Caller;
use hook::Hook;
pub(crate) use hook::Line;

const GROUP: &str = "admissionregistration.k8s.io";
const MUTATING: &str = "mutatingwebhookconfigurations";
const VALIDATING: &str = "validatingwebhookconfigurations";

/// Calls webhooks.
pub(super) struct Webhooks {
    objects: Arc<dyn Objects>,
    caller: Arc<Caller>,
    backend: Arc<dyn Backend>,
    authorizer: Arc<Authorizer>,
    mutating: Derived<Vec<Arc<Hook>>>,
    validating: Derived<Vec<Arc<Hook>>>,
}

impl Webhooks {
    pub fn new(
        objects: Arc<dyn Objects>,
        caller: Arc<Caller>,
        backend: Arc<dyn Backend>,
        authorizer: Arc<Authorizer>,
    ) -> Self {
        Self {
            objects,
            caller,
            backend,
            authorizer,
            mutating: Derived::new(&[(GROUP, MUTATING)]),
            validating: Derived::new(&[(GROUP, VALIDATING)]),
        }
    }

    /// All webhooks of a kind, in order.
    fn hooks(&self, plural: &'static str) -> Arc<Vec<Arc<Hook>>> {
        let kept = if plural == MUTATING { &self.mutating } else { &self.validating };
        kept.get(&*self.objects, || {
            let mut configurations = self.objects.list(GROUP, plural, None);
            let name = |one: &Arc<Value>| crate::attributes::text(one, "/metadata/name").to_owned();
            configurations.sort_by_key(name);
            configurations.iter().flat_map(|one| Hook::all_of(one)).map(Arc::new).collect()
        })
    }

    /// How a webhook is to see the request; none when it is not to be asked.
    fn sees(&self, hook: &Hook, request: &AdmissionRequest<'_>) -> Result<Option<Seen>, ApiError> {
        hook.matcher.matches(request, &*self.objects, &*self.backend)
    }

    fn is_idle(&self, hooks: &[Arc<Hook>], request: &AdmissionRequest<'_>) -> bool {
        hooks.is_empty() || is_exempt(request)
    }
}
