//! Reads bodies: JSON, YAML or the binary form; what does not belong is dropped, reported or refused, in upstream's words.

use api_model::decode::{self, Document};
use api_model::{Cause, FieldPath};
use http::HeaderMap;
use serde_json::{Value, json};

use super::options::FieldValidation;
use crate::ApiError;
use crate::registry::{Served, object};

/// The largest body of a request, in bytes; as upstream's.
pub const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// The types that objects may be sent in.
pub const ACCEPTED: &[&str] = &["application/json", "application/yaml", crate::protobuf::MEDIA_TYPE];

/// How much of a body that cannot be read is shown, in bytes.
const SUMMARY_BYTES_MAX: usize = 30;

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

/// What a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Json,
    Yaml,
    Binary,
}

fn writing(media: &str) -> Result<Writing, ApiError> {
    match media {
        "application/json" | "text/json" | "*/*" => Ok(Writing::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Writing::Yaml),
        crate::protobuf::MEDIA_TYPE => Ok(Writing::Binary),
        _ => Err(ApiError::unsupported_media_type(ACCEPTED)),
    }
}

/// The value of a body.
///
/// # Errors
/// When it cannot be read or its type is unknown.
pub fn value(model: &api_model::Model, media: &str, bytes: &[u8]) -> Result<Value, ApiError> {
    match writing(media)? {
        Writing::Json => decode::json(bytes).map(|read| read.value).map_err(|error| {
            ApiError::bad_request(format!("couldn't get version/kind; json parse error: {error}"))
        }),
        Writing::Yaml => {
            decode::yaml(bytes).map(|read| read.value).map_err(|error| ApiError::bad_request(error.0))
        }
        Writing::Binary => crate::protobuf::decode(model, bytes),
    }
}

/// The object of a body that is written through `served`: of that kind, with fields of the right types, without fields the kind does not
/// have. What is wrong with the text is said in `warnings` or refuses it, as `validation` wants.
///
/// # Errors
/// As upstream's decoder.
pub fn object(
    model: &api_model::Model,
    served: &Served,
    media: &str,
    bytes: &[u8],
    validation: FieldValidation,
    warnings: &mut Vec<String>,
) -> Result<Value, ApiError> {
    let kind = &served.resource.kind;
    let unrecognized = |why: &str| {
        let summary = summary(bytes);
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {why} ({summary})"
        ))
    };
    let writing = writing(media)?;
    let (mut object, repeated) = match writing {
        Writing::Json => {
            let read = decode::json(bytes).map_err(|error| {
                unrecognized(&format!("couldn't get version/kind; json parse error: {error}"))
            })?;
            (read.value, read.repeated)
        }
        Writing::Yaml => {
            let read = decode::yaml(bytes).map_err(|error| unrecognized(&error.0))?;
            (read.value, read.repeated)
        }
        Writing::Binary => (crate::protobuf::decode(model, bytes)?, false),
    };
    if let Some(name) = not_an_object(&object) {
        return Err(unrecognized(&format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {name} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
        )));
    }
    check_type(&mut object, kind, &served.api_version())?;
    if served.custom.is_none()
        && let Some(misfit) = decode::misfit(&served.resource.schema, &object)
    {
        return Err(unhandled(served, &misfit));
    }
    let unknown = prune(served, &mut object);
    if validation == FieldValidation::Ignore || unknown.is_empty() && !repeated {
        return Ok(object);
    }
    let complaints = match writing {
        Writing::Json => strict_json(served, bytes, &unknown),
        Writing::Yaml => Complaints { lines: decode::repeated_yaml(bytes), others: named(&unknown) },
        Writing::Binary => Complaints { lines: Vec::new(), others: named(&unknown) },
    };
    match validation {
        FieldValidation::Strict => Err(unhandled(served, &complaints.error())),
        _ => {
            complaints.warn(warnings);
            Ok(object)
        }
    }
}

fn not_an_object(value: &Value) -> Option<&'static str> {
    match value {
        // Go decodes `null` into nothing at all, which then lacks everything.
        Value::Object(_) | Value::Null => None,
        Value::Bool(_) => Some("bool"),
        Value::Number(_) => Some("number"),
        Value::String(_) => Some("string"),
        Value::Array(_) => Some("array"),
    }
}

/// The beginning of a body: as it is when it looks like JSON, else in hexadecimal digits.
fn summary(bytes: &[u8]) -> String {
    let head = bytes.get(..SUMMARY_BYTES_MAX).unwrap_or(bytes);
    let more = if bytes.len() > SUMMARY_BYTES_MAX { " ..." } else { "" };
    match bytes.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(head)),
        Some(_) => {
            let digits: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{digits}{more}")
        }
    }
}

/// That an object cannot be decoded into its kind.
fn unhandled(served: &Served, why: &str) -> ApiError {
    let (kind, version) = (&served.resource.kind, &served.resource.version);
    ApiError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
}

/// What strict decoding has to say.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Complaints {
    /// Keys that stand twice in a YAML text, each with its line.
    pub lines: Vec<String>,
    /// All else.
    pub others: Vec<String>,
}

impl Complaints {
    /// Whether there is nothing to complain about.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.others.is_empty()
    }

    /// As an error.
    pub fn error(&self) -> String {
        let mut all = Vec::with_capacity(self.others.len() + 1);
        if !self.lines.is_empty() {
            all.push(yaml_errors(&self.lines));
        }
        all.extend(self.others.iter().cloned());
        format!("strict decoding error: {}", all.join(", "))
    }

    /// As warnings, each once.
    pub fn warn(&self, warnings: &mut Vec<String>) {
        for text in self.lines.iter().chain(&self.others) {
            if !warnings.contains(text) {
                warnings.push(text.clone());
            }
        }
    }
}

/// What go-yaml says of these lines.
pub fn yaml_errors(lines: &[String]) -> String {
    format!("yaml: unmarshal errors:\n  {}", lines.join("\n  "))
}

/// `unknown field "spec.foo"` of each.
pub fn named(unknown: &[FieldPath]) -> Vec<String> {
    unknown.iter().map(|path| format!("unknown field \"{path}\"")).collect()
}

/// Of built-in kinds all in the text's order; of custom ones, which are read before they are known, first what stands twice.
fn strict_json(served: &Served, bytes: &[u8], unknown: &[FieldPath]) -> Complaints {
    let Ok(document) = Document::json(bytes) else { return Complaints::default() };
    let others = if served.custom.is_none() {
        decode::unknown_and_repeated(&served.resource.schema, &document)
    } else {
        let mut all = decode::repeated_json(&document);
        all.extend(named(unknown));
        all
    };
    Complaints { lines: Vec::new(), others }
}

/// Completes and checks the type of an object that is written through `kind` of `api_version`.
///
/// # Errors
/// When it is another kind.
pub fn check_type(object: &mut Value, kind: &str, api_version: &str) -> Result<(), ApiError> {
    if object.is_null() {
        *object = json!({});
    }
    if !object.is_object() {
        return Err(ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): it is not an object"
        )));
    }
    let (given_kind, given_version) =
        (object::text(object, &["kind"]), object::text(object, &["apiVersion"]));
    if !given_kind.is_empty() && given_kind != kind {
        let version = given_version.rsplit('/').next().unwrap_or_default();
        return Err(ApiError::bad_request(format!(
            "{given_kind} in version {version:?} cannot be handled as a {kind}: no kind {given_kind:?} is registered for this resource"
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

/// Drops fields that the schema does not know, and tells which.
pub fn prune(served: &Served, object: &mut Value) -> Vec<FieldPath> {
    // An empty list of managers is a wish to forget them, not nothing.
    if let Some(list @ Value::Array(_)) = object.pointer_mut("/metadata/managedFields")
        && list.as_array().is_some_and(Vec::is_empty)
    {
        *list = json!([{}]);
    }
    served.resource.schema.prune(object)
}

/// That the result of a patch cannot be decoded into its kind; `patch` as upstream shows it.
pub fn bad_result(patch: &str, why: &str) -> ApiError {
    ApiError::invalid("", "", "", &[Cause::invalid_str(&FieldPath::new("patch"), patch, why)])
}

#[cfg(test)]
mod tests {
    use super::summary;

    #[test]
    fn bodies_are_summed_up() {
        assert_eq!(summary(b""), "<empty>");
        assert_eq!(summary(b"{\"a\""), "{\"a\"");
        assert_eq!(summary(b"abc"), "616263");
        assert_eq!(summary(&[b'{'; 40]), format!("{} ...", "{".repeat(30)));
    }
}
