//! `AdmissionReview`, as upstream fills it and as an answer must be.

use base64::Engine as _;
use serde_json::{Value, json};

use super::hook::Hook;
use crate::admission::matching::{Seen, namespace_of};
use crate::attributes::{AdmissionRequest, kind_of, text};

const KIND: &str = "AdmissionReview";

fn api_version(hook: &Hook) -> String {
    format!("admission.k8s.io/{}", hook.version)
}

/// What a webhook is asked, with the objects in the version it sees.
pub(super) fn question(
    request: &AdmissionRequest<'_>,
    hook: &Hook,
    seen: &Seen,
    uid: &str,
    (object, old): (Option<&Value>, Option<&Value>),
) -> Value {
    let kind = |resource: &api_model::Resource| {
        let (group, version, kind) = kind_of(resource, request.subresource);
        json!({"group": group, "version": version, "kind": kind})
    };
    let place = |resource: &api_model::Resource| json!({"group": resource.group, "version": resource.version, "resource": resource.plural});
    let as_seen = match seen {
        Seen::AsIs => request.resource,
        Seen::As(served) => &served.resource,
    };
    let mut asked = json!({
        "uid": uid,
        "kind": kind(as_seen),
        "resource": place(as_seen),
        "requestKind": kind(request.resource),
        "requestResource": place(request.resource),
        "operation": request.operation.as_str(),
        "userInfo": request.user.to_value(),
        "object": object,
        "oldObject": old,
        "dryRun": request.dry_run(),
        "options": request.options.to_value(request.operation),
    });
    let stated = request.object.as_deref().map(|object| text(object, "/metadata/name")).unwrap_or_default();
    let name = if request.name.is_empty() { stated } else { request.name };
    let optional = [
        ("name", name),
        ("namespace", namespace_of(request)),
        ("subResource", request.subresource),
        ("requestSubResource", request.subresource),
    ];
    for (field, value) in optional.into_iter().filter(|(_, value)| !value.is_empty()) {
        asked[field] = json!(value);
    }
    json!({"kind": KIND, "apiVersion": api_version(hook), "request": asked})
}

/// What a webhook said.
pub(super) struct Answer {
    pub allowed: bool,
    pub status: Value,
    /// The JSON patch, decoded; none when there is nothing to change.
    pub patch: Option<Value>,
    pub warnings: Vec<String>,
    pub annotations: Vec<(String, String)>,
}

/// Reads an answer.
///
/// # Errors
/// What it may not be, in upstream's words.
pub(super) fn answer(review: &Value, hook: &Hook, uid: &str, mutates: bool) -> Result<Answer, String> {
    let (version, wanted) = (text(review, "/apiVersion"), api_version(hook));
    let kind = text(review, "/kind");
    if hook.version == "v1" && (version, kind) != (wanted.as_str(), KIND) {
        return Err(format!(
            "expected webhook response of {wanted}, Kind={KIND}, got {version}, Kind={kind}"
        ));
    }
    let Some(response) = review.get("response").filter(|response| response.is_object()) else {
        return Err("webhook response was absent".to_owned());
    };
    if hook.version == "v1" && text(response, "/uid") != uid {
        return Err(format!("expected response.uid=\"{uid}\", got \"{}\"", text(response, "/uid")));
    }
    let (encoded, patch_type) = (text(response, "/patch"), text(response, "/patchType"));
    let patch = match (mutates, encoded.is_empty(), patch_type) {
        (_, true, "") => None,
        (false, false, _) if hook.version == "v1" => {
            return Err("validating webhook may not return response.patch".to_owned());
        }
        (false, _, _) if hook.version == "v1" => {
            return Err("validating webhook may not return response.patchType".to_owned());
        }
        (false, ..) => None,
        (true, true, _) => {
            return Err("webhook returned response.patchType but not response.patch".to_owned());
        }
        (true, false, "") if hook.version == "v1" => {
            return Err("webhook returned response.patch but not response.patchType".to_owned());
        }
        (true, false, "JSONPatch" | "") => Some(decoded(encoded)?),
        (true, false, other) => {
            return Err(format!("webhook returned invalid response.patchType of \"{other}\""));
        }
    };
    let annotations = response.get("auditAnnotations").and_then(Value::as_object).into_iter().flatten();
    Ok(Answer {
        allowed: response["allowed"].as_bool() == Some(true),
        status: response["status"].clone(),
        patch: patch.filter(|patch| !patch.as_array().is_some_and(Vec::is_empty)),
        warnings: crate::attributes::texts(response, "/warnings"),
        annotations: annotations
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect(),
    })
}

fn decoded(patch: &str) -> Result<Value, String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(patch);
    let bytes = bytes.map_err(|error| format!("received undecodable patch in webhook response: {error}"))?;
    let patch: Value = serde_json::from_slice(&bytes)
        .map_err(|error| format!("received undecodable patch in webhook response: {error}"))?;
    if patch.is_array() {
        Ok(patch)
    } else {
        Err("received undecodable patch in webhook response: not a list of operations".to_owned())
    }
}
