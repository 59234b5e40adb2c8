//! What all policies together mean for a request: refused, warned, or noted for the audit log.

use std::collections::BTreeMap;

use serde_json::json;

use super::bound::Binding;
use super::evaluate::{Denied, Verdict};
use crate::admission::forbid;
use crate::attributes::{AdmissionRequest, ApiError};

type Bound = super::bound::Policy<super::policy::Compiled>;

/// Bytes of an audit annotation's value at most.
const ANNOTATION_MAX_BYTES: usize = 10 * 1024;

/// The first refusal counts.
pub(super) struct Outcome<'r, 'a> {
    request: &'r AdmissionRequest<'a>,
    refusal: Option<ApiError>,
    annotations: BTreeMap<String, Vec<String>>,
}

fn code(reason: &str) -> u16 {
    match reason {
        "Forbidden" => 403,
        "Unauthorized" => 401,
        "RequestEntityTooLarge" => 413,
        _ => 422,
    }
}

impl<'r, 'a> Outcome<'r, 'a> {
    pub fn new(request: &'r AdmissionRequest<'a>) -> Self {
        Self { request, refusal: None, annotations: BTreeMap::new() }
    }

    /// A policy or binding that cannot be applied.
    pub fn misconfigured(&mut self, policy: &Bound, binding: Option<&Binding>, why: &str) {
        if !policy.ignores {
            let what = if binding.is_some() { "binding" } else { "policy" };
            self.refuse(policy, binding, &format!("failed to configure {what}: {why}"), "");
        }
    }

    fn refuse(&mut self, policy: &Bound, binding: Option<&Binding>, why: &str, reason: &str) {
        if self.refusal.is_some() {
            return;
        }
        let by = match binding {
            Some(binding) => {
                format!("ValidatingAdmissionPolicy '{}' with binding '{}'", policy.name, binding.name)
            }
            None => format!("ValidatingAdmissionPolicy '{}'", policy.name),
        };
        let message = format!("{by} denied request: {why}");
        let reason = if reason.is_empty() { "Invalid" } else { reason }.to_owned();
        let mut error = forbid(self.request, &message);
        error.code = code(&reason);
        error.reason = reason.into();
        if let Some(details) = error.details.as_mut() {
            details["causes"] = json!([{"message": message}]);
        }
        self.refusal = Some(error);
    }

    /// Takes in what a policy said through a binding.
    pub fn take(&mut self, policy: &Bound, binding: &Binding, verdict: Verdict) {
        for denied in &verdict.denied {
            for action in &binding.actions {
                match action.as_str() {
                    "Deny" => self.refuse(policy, Some(binding), &denied.message, &denied.reason),
                    "Warn" => self.request.notes.warn(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                        policy.name, binding.name, denied.message
                    )),
                    "Audit" => self.note(policy, binding, denied),
                    _ => {}
                }
            }
        }
        for why in &verdict.broken {
            self.refuse(policy, Some(binding), why, "");
        }
        for (key, mut value) in verdict.annotations {
            let mut end = value.len().min(ANNOTATION_MAX_BYTES);
            while !value.is_char_boundary(end) {
                end -= 1;
            }
            value.truncate(end);
            let values = self.annotations.entry(key).or_default();
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }

    fn note(&self, policy: &Bound, binding: &Binding, denied: &Denied) {
        let failure = json!([{
            "message": denied.message,
            "policy": policy.name,
            "binding": binding.name,
            "expressionIndex": denied.index,
            "validationActions": binding.actions,
        }]);
        self.request
            .notes
            .annotate("validation.policy.admission.k8s.io/validation_failure", failure.to_string());
    }

    /// Publishes what a policy notes, after all its bindings.
    pub fn publish(&mut self, policy: &Bound) {
        for (key, values) in std::mem::take(&mut self.annotations) {
            self.request.notes.annotate(format!("{}/{key}", policy.name), values.join(", "));
        }
    }

    pub fn into_result(self) -> Result<(), ApiError> {
        self.refusal.map_or(Ok(()), Err)
    }
}
