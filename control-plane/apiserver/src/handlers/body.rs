//! Reads bodies: JSON or YAML, unknown fields dropped, reported or refused.

use http::HeaderMap;
use serde_json::{Value, json};

use super::options::FieldValidation;
use crate::ApiError;
use crate::registry::{Served, object};

/// The largest body of a request, in bytes; as upstream's.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// The types that objects may be sent in.
pub const ACCEPTED: &[&str] = &["application/json", "application/yaml", crate::protobuf::MEDIA_TYPE];

/// `Content-Type` without parameters; JSON when nothing is said.
pub fn content_type(headers: &HeaderMap) -> String {
    let text =
        headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text.split(';').next().unwrap_or_default().trim() {
        "" => "application/json".to_owned(),
        media => media.to_ascii_lowercase(),
    }
}

/// Reads a whole body.
///
/// # Errors
/// When it is too large or breaks off.
pub async fn read(body: kit::http::Body) -> Result<bytes::Bytes, ApiError> {
    kit::http::read(body, BODY_BYTES_MAX).await.map_err(|error| match error {
        kit::http::BodyError::TooLarge { limit_bytes } => ApiError::too_large(limit_bytes),
        kit::http::BodyError::Broken(_) => ApiError::bad_request("the body of the request broke off"),
    })
}

/// The value of a body.
///
/// # Errors
/// When it cannot be read or its type is unknown.
pub fn value(model: &api_model::Model, media: &str, bytes: &[u8]) -> Result<Value, ApiError> {
    match media {
        "application/json" | "text/json" | "*/*" => serde_json::from_slice(bytes).map_err(|error| {
            ApiError::bad_request(format!("couldn't get version/kind; json parse error: {error}"))
        }),
        "application/yaml" | "application/x-yaml" | "text/yaml" => yaml(bytes),
        crate::protobuf::MEDIA_TYPE => crate::protobuf::decode(model, bytes),
        _ => Err(ApiError::unsupported_media_type(media, ACCEPTED)),
    }
}

/// The value of a YAML text.
///
/// # Errors
/// When it cannot be read.
pub fn yaml(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_yaml_ng::from_slice(bytes)
        .map_err(|error| ApiError::bad_request(format!("error converting YAML to JSON: yaml: {error}")))
}

/// Completes and checks the type of an object that is written through `kind` of `api_version`.
///
/// # Errors
/// When it is another kind.
pub fn check_type(object: &mut Value, kind: &str, api_version: &str) -> Result<(), ApiError> {
    if !object.is_object() {
        return Err(ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): it is not an object"
        )));
    }
    let (given_kind, given_version) =
        (object::text(object, &["kind"]), object::text(object, &["apiVersion"]));
    if !given_kind.is_empty() && given_kind != kind {
        return Err(ApiError::bad_request(format!(
            "{given_kind} in version {given_version:?} cannot be handled as a {kind}: no kind {given_kind:?} is registered for this resource"
        )));
    }
    if !given_version.is_empty() && given_version != api_version {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({api_version})"
        )));
    }
    object::set(object, "kind", json!(kind));
    object::set(object, "apiVersion", json!(api_version));
    Ok(())
}

/// Drops fields that the schema does not know; says so in `warnings`, or refuses the object.
///
/// # Errors
/// When there are such fields and the caller is strict.
pub fn prune(
    served: &Served,
    object: &mut Value,
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<(), ApiError> {
    let unknown = served.resource.schema.prune(object);
    if unknown.is_empty() || validation == FieldValidation::Ignore {
        return Ok(());
    }
    let texts: Vec<String> = unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect();
    if validation == FieldValidation::Strict {
        let (kind, version) = (&served.resource.kind, &served.resource.version);
        return Err(ApiError::bad_request(format!(
            "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {}",
            texts.join(", ")
        )));
    }
    for text in texts {
        if !warnings.contains(&text) {
            warnings.push(text);
        }
    }
    Ok(())
}
