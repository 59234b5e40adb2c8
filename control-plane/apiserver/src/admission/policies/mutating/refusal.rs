//! What policies that could not be applied mean for a request.

use serde_json::json;

use crate::admission::forbid;
use crate::admission::policies::bound::Policy;
use crate::attributes::{AdmissionRequest, ApiError};

/// All of them are told; the first gives the message and the reason.
#[derive(Default)]
pub(super) struct Refusals(Vec<(String, &'static str)>);

impl Refusals {
    /// A policy or binding that cannot be asked at all.
    pub fn misconfigured<C>(&mut self, policy: &Policy<C>, binding: Option<&str>, why: &str) {
        let what = if binding.is_some() { "binding" } else { "policy" };
        self.add(policy, binding, &format!("failed to configure {what}: {why}"), "");
    }

    /// A policy that was asked and failed.
    pub fn failed<C>(&mut self, policy: &Policy<C>, binding: &str, why: &str) {
        self.add(policy, Some(binding), why, "Invalid");
    }

    fn add<C>(&mut self, policy: &Policy<C>, binding: Option<&str>, why: &str, reason: &'static str) {
        if policy.ignores {
            tracing::warn!(policy = policy.name, why, "an admission policy failed and is ignored");
            return;
        }
        let by = match binding {
            Some(binding) => format!("policy '{}' with binding '{binding}'", policy.name),
            None => format!("policy {:?}", policy.name),
        };
        self.0.push((format!("{by} denied request: {why}"), reason));
    }

    /// The answer: 403, whatever the reason.
    pub fn into_result(self, request: &AdmissionRequest<'_>) -> Result<(), ApiError> {
        let Some((message, reason)) = self.0.first() else { return Ok(()) };
        let mut error = forbid(request, message);
        error.message.clone_from(message);
        if !reason.is_empty() {
            error.reason = (*reason).into();
        }
        if let Some(details) = error.details.as_mut() {
            let causes: Vec<_> = self.0.iter().map(|(message, _)| json!({"message": message})).collect();
            details["causes"] = json!(causes);
        }
        Err(error)
    }
}
