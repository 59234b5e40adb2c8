//! What comes of asking one webhook.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::Webhooks;
use super::hook::Hook;
use super::review::{self, Answer};
use crate::admission::matching::Seen;
use crate::attributes::{AdmissionRequest, ApiError, text};

/// Why a webhook did not do its work.
pub(super) enum Failure {
    /// It could not be asked or gave no proper answer: its failure policy decides.
    Call(String),
    /// It says no, or cannot be asked at all.
    Refused(ApiError),
}

impl Webhooks {
    /// Asks a webhook and reads what it says; its warnings and annotations are passed on.
    pub(super) async fn ask(
        &self,
        hook: &Hook,
        seen: &Seen,
        request: &AdmissionRequest<'_>,
        objects: (Option<&Value>, Option<&Value>),
        mutates: bool,
    ) -> Result<Answer, Failure> {
        if request.dry_run() && !hook.dry_runs {
            let why = format!("admission webhook \"{}\" does not support dry run", hook.name);
            return Err(Failure::Refused(ApiError::bad_request(why)));
        }
        let uid = uuid::Uuid::new_v4().to_string();
        let question = review::question(request, hook, seen, &uid, objects);
        let review = self.caller.call(&hook.line, &question).await.map_err(Failure::Call)?;
        let answer = review::answer(&review, hook, &uid, mutates)
            .map_err(|why| Failure::Call(format!("received invalid webhook response: {why}")))?;
        for (key, value) in &answer.annotations {
            request.notes.annotate(format!("{}/{key}", hook.name), value);
        }
        for warning in &answer.warnings {
            request.notes.warn(warning);
        }
        if answer.allowed { Ok(answer) } else { Err(Failure::Refused(denied(&hook.name, &answer.status))) }
    }
}

/// The 500 of a webhook that failed and may not be ignored.
pub(super) fn failed(hook: &Hook, why: &str) -> ApiError {
    ApiError::internal(format!("failed calling webhook \"{}\": {why}", hook.name))
}

/// A webhook's refusal: its own status, where it has one.
fn denied(name: &str, status: &Value) -> ApiError {
    let code = status["code"].as_u64().and_then(|code| u16::try_from(code).ok());
    let code = code.filter(|code| (400..600).contains(code)).unwrap_or(400);
    let (message, reason) = (text(status, "/message"), text(status, "/reason"));
    let denied = format!("admission webhook \"{name}\" denied the request");
    let message = match (message, reason) {
        ("", "") => format!("{denied} without explanation"),
        ("", reason) => format!("{denied}: {reason}"),
        (message, _) => format!("{denied}: {message}"),
    };
    let mut error = ApiError::new(code, Cow::Owned(reason.to_owned()), message);
    error.details = status.get("details").filter(|details| details.is_object()).cloned();
    error
}

/// `{"configuration":…,"webhook":…,"mutated":…}` and what was changed, for the audit log.
pub(super) fn annotate(
    request: &AdmissionRequest<'_>,
    hook: &Hook,
    (round, index): (u8, usize),
    patch: Option<&Value>,
    changed: bool,
) {
    let at = format!("round_{round}_index_{index}");
    let mutated = json!({"configuration": hook.configuration, "webhook": hook.name, "mutated": changed});
    request.notes.annotate(format!("mutation.webhook.admission.k8s.io/{at}"), mutated.to_string());
    if let Some(patch) = patch.filter(|_| changed) {
        let patched = json!({"configuration": hook.configuration, "webhook": hook.name, "patch": patch, "patchType": "JSONPatch"});
        request.notes.annotate(format!("patch.webhook.admission.k8s.io/{at}"), patched.to_string());
    }
}
