//! The four ways to patch.

use api_model::decode::{self, Document};
use api_model::merge::{self, PatchError};
use api_model::{Cause, FieldPath};
use bytes::Bytes;
use http::StatusCode;
use kit::http::Response;
use serde_json::{Value, json};

use super::body::Complaints;
use super::objects::{answer, renderer};
use super::options::{FieldValidation, Query, WriteOptions};
use super::{Api, Asked, body};
use crate::ApiError;
use crate::registry::manage::Who;
use crate::registry::modify::{self, Modify};
use crate::registry::{Target, object};

/// What a patch is.
pub(super) struct Patch {
    kind: Kind,
    /// What it says.
    value: Value,
    /// What is wrong with its text.
    complaints: Complaints,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
    /// Kubernetes' own, by the schema's merge keys.
    Strategic,
    /// Server-side apply.
    Apply,
}

const BUILT_IN: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const CUSTOM: [&str; 3] = [BUILT_IN[0], BUILT_IN[1], BUILT_IN[3]];

impl Kind {
    fn of(media: &str, custom: bool) -> Result<Self, ApiError> {
        match media {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" if !custom => Ok(Self::Strategic),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ => Err(ApiError::unsupported_media_type(if custom { &CUSTOM } else { &BUILT_IN })),
        }
    }
}

impl Patch {
    /// Reads a patch.
    pub(super) fn read(
        media: &str,
        bytes: &[u8],
        custom: bool,
        validation: FieldValidation,
    ) -> Result<Self, ApiError> {
        let kind = Kind::of(media, custom)?;
        if kind == Kind::Apply {
            let (value, repeated) = configuration(bytes)?;
            let looks = repeated && validation != FieldValidation::Ignore;
            let lines = if looks { decode::repeated_yaml(bytes) } else { Vec::new() };
            return Ok(Self { kind, value, complaints: Complaints { lines, others: Vec::new() } });
        }
        let read = decode::json(bytes).map_err(|error| match kind {
            Kind::Strategic => ApiError::bad_request(error.0),
            _ => ApiError::bad_request(format!("error decoding patch: {error}")),
        })?;
        if kind == Kind::Merge && !read.value.is_object() {
            return Err(not_a_map(&read.value));
        }
        let mut others = Vec::new();
        let strict = validation != FieldValidation::Ignore;
        if strict
            && (read.repeated || kind == Kind::Json)
            && let Ok(document) = Document::json(bytes)
        {
            others = match kind {
                Kind::Json => decode::unknown_operations(&document)
                    .into_iter()
                    .map(|text| format!("json patch {text}"))
                    .collect(),
                _ => decode::repeated_json(&document),
            };
        }
        Ok(Self { kind, value: read.value, complaints: Complaints { lines: Vec::new(), others } })
    }

    /// Whether it is an apply, and of what.
    pub(super) fn applied(&self) -> Option<&Value> {
        (self.kind == Kind::Apply).then_some(&self.value)
    }

    /// The patched value. `schema` is for strategic merges.
    pub(super) fn apply(&self, schema: &api_model::Schema, old: &Value) -> Result<Value, ApiError> {
        let mut new = old.clone();
        match self.kind {
            Kind::Json => merge::json_patch_mut(&mut new, &self.value),
            Kind::Merge | Kind::Apply => {
                merge::merge_patch_mut(&mut new, &self.value);
                Ok(())
            }
            Kind::Strategic => merge::strategic_mut(schema, &mut new, &self.value),
        }
        .map_err(refused)?;
        if new.is_object() { Ok(new) } else { Err(body::bad_result(&new.to_string(), "it is not an object")) }
    }

    /// The patch or what came of it, as errors quote it.
    fn quoted(&self, new: &Value) -> String {
        if self.kind == Kind::Strategic { merge::go_text(&self.value) } else { new.to_string() }
    }

    /// Takes from a patched object what its kind does not know, and says so.
    fn decoded(
        &self,
        target: &Target,
        new: &mut Value,
        validation: FieldValidation,
        warnings: &mut Vec<String>,
    ) -> Result<(), ApiError> {
        let served = &target.served;
        if served.custom.is_none()
            && let Some(misfit) = decode::misfit(&served.resource.schema, new)
        {
            return Err(body::bad_result(&self.quoted(new), &misfit));
        }
        let before = (validation == FieldValidation::Strict).then(|| self.quoted(new));
        let unknown = body::prune(served, new);
        if validation == FieldValidation::Ignore || unknown.is_empty() && self.complaints.is_empty() {
            return Ok(());
        }
        let mut others = self.complaints.others.clone();
        others.extend(body::named(&unknown));
        let complaints = Complaints { lines: Vec::new(), others };
        match before {
            Some(quoted) => Err(body::bad_result(&quoted, &complaints.error())),
            None => {
                complaints.warn(warnings);
                Ok(())
            }
        }
    }
}

fn not_a_map(value: &Value) -> ApiError {
    let name = match value {
        Value::Null => return ApiError::bad_request("Invalid JSON Patch"),
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) | Value::Object(_) => "array",
    };
    ApiError::bad_request(format!(
        "error decoding patch: json: cannot unmarshal {name} into Go value of type map[string]interface {{}}"
    ))
}

fn refused(error: PatchError) -> ApiError {
    match error {
        PatchError::Malformed(why) => ApiError::bad_request(why),
        PatchError::TooLarge(why) => {
            ApiError::new(413, "RequestEntityTooLarge", format!("Request entity too large: {why}"))
        }
        PatchError::Unprocessable(why) => {
            // Upstream does not tell the caller which operation it was.
            tracing::debug!(%why, "a patch does not apply");
            let message = "the server rejected our request due to an error in our request";
            let mut error = ApiError::new(422, "Invalid", message);
            error.details = Some(json!({}));
            error
        }
    }
}

/// An applied configuration: YAML, which JSON is as well. Tells whether a key stands twice.
fn configuration(bytes: &[u8]) -> Result<(Value, bool), ApiError> {
    let read = match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => decode::json(bytes).or_else(|_| decode::yaml(bytes)),
        _ => decode::yaml(bytes),
    };
    let read = read.map_err(|error| {
        ApiError::bad_request(format!("error decoding YAML: error converting YAML to JSON: {error}"))
    })?;
    let name = match &read.value {
        Value::Object(_) => return Ok((read.value, read.repeated)),
        Value::Null => return Ok((json!({}), false)),
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
    };
    Err(ApiError::bad_request(format!(
        "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {name} into Go value of type map[string]interface {{}}"
    )))
}

/// What upstream's `PatchOptions` must not say of such a patch.
pub(super) fn check_options(query: &Query, patch: &Patch) -> Result<(), ApiError> {
    check_kind_options(query, patch.kind)
}

fn check_kind_options(query: &Query, kind: Kind) -> Result<(), ApiError> {
    let mut causes = Vec::new();
    if kind == Kind::Apply {
        if query.get("fieldManager").is_none() {
            causes.push(Cause::required(&FieldPath::new("fieldManager"), "is required for apply patch"));
        }
    } else if query.has("force") {
        causes.push(Cause::forbidden(&FieldPath::new("force"), "may not be specified for non-apply patch"));
    }
    if causes.is_empty() {
        Ok(())
    } else {
        Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", &causes))
    }
}

/// Patches an object, or the part that a subresource is.
pub(super) async fn patch(api: &Api, asked: &mut Asked, target: &Target) -> Result<Response, ApiError> {
    let (media, custom) = (body::content_type(asked.headers()), target.served.custom.is_some());
    let kind = Kind::of(&media, custom)?;
    let renderer = renderer(api, asked, target)?;
    let options = WriteOptions::of(&asked.query, asked.user_agent())?;
    check_kind_options(&asked.query, kind)?;
    let bytes = asked.take_body().await?;
    let patch = Patch::read(&media, &bytes, custom, options.validation)?;
    let (status, bytes) = match kind {
        Kind::Apply => apply(api, asked, target, &options, &patch).await?,
        _ => (StatusCode::OK, change(api, asked, target, &options, &patch).await?),
    };
    Ok(answer(asked, &renderer, status, bytes))
}

async fn change(
    api: &Api,
    asked: &mut Asked,
    target: &Target,
    options: &WriteOptions,
    patch: &Patch,
) -> Result<Bytes, ApiError> {
    let who = Who::updates(&options.manager, &target.subresource);
    let checked = modify::is_checked(&target.subresource);
    let modify = Modify { target, options, who: &who, checked };
    let warnings = &mut asked.warnings;
    let mut make = |old: &Value| {
        let mut new = patch.apply(&target.served.resource.schema, old)?;
        patch.decoded(target, &mut new, options.validation, warnings)?;
        if object::resource_version(&new).is_empty() {
            object::set_meta(
                &mut new,
                "resourceVersion",
                object::at(old, &["metadata", "resourceVersion"]).clone(),
            );
        }
        Ok(new)
    };
    api.registry.modify(&modify, &mut make).await
}

async fn apply(
    api: &Api,
    asked: &mut Asked,
    target: &Target,
    options: &WriteOptions,
    patch: &Patch,
) -> Result<(StatusCode, Bytes), ApiError> {
    let config = &patch.value;
    check_config(target, config)?;
    let registry = &api.registry;
    let who = Who::applies(&options.manager, &target.subresource);
    let checked = modify::is_checked(&target.subresource);
    let modify = Modify { target, options, who: &who, checked };
    let version = object::resource_version(config).to_owned();
    let lines = &patch.complaints.lines;
    let strict = || match options.validation {
        FieldValidation::Strict if !lines.is_empty() => Err(ApiError::bad_request(format!(
            "error strict decoding YAML: error converting YAML to JSON: {}",
            body::yaml_errors(lines)
        ))),
        _ => Ok(()),
    };
    let mut make = |old: &Value| {
        if !version.is_empty() && version != object::resource_version(old) {
            return Err(target.modified());
        }
        let mut new = registry.apply(&target.served, Some(old), config, &who, options.force)?;
        strict()?;
        object::set_meta(
            &mut new,
            "resourceVersion",
            object::at(old, &["metadata", "resourceVersion"]).clone(),
        );
        Ok(new)
    };
    if options.validation == FieldValidation::Warn {
        patch.complaints.warn(&mut asked.warnings);
    }
    match registry.modify(&modify, &mut make).await {
        Err(error) if error.code == 404 && target.subresource.is_empty() && version.is_empty() => {
            let new = registry.apply(&target.served, None, config, &who, options.force)?;
            strict()?;
            check_new(target, &new)?;
            match registry.create(target, new, options, &who).await {
                // Somebody else made it meanwhile: then it is merged.
                Err(error) if error.reason == "AlreadyExists" => {
                    Ok((StatusCode::OK, registry.modify(&modify, &mut make).await?))
                }
                result => Ok((StatusCode::CREATED, result?)),
            }
        }
        result => Ok((StatusCode::OK, result?)),
    }
}

fn check_config(target: &Target, config: &Value) -> Result<(), ApiError> {
    let (kind, version) = (object::text(config, &["kind"]), object::text(config, &["apiVersion"]));
    if kind != target.served.resource.kind || version != target.served.api_version() {
        let slash = if version.contains('/') { "" } else { "/" };
        return Err(ApiError::bad_request(format!("invalid object type: {slash}{version}, Kind={kind}")));
    }
    let name = object::name(config);
    if !name.is_empty() && name != target.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        )));
    }
    Ok(())
}

/// What an object must have that is made by an apply.
fn check_new(target: &Target, new: &Value) -> Result<(), ApiError> {
    if object::name(new).is_empty() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            target.name
        )));
    }
    let uid = object::uid(new);
    if uid.is_empty() {
        return Ok(());
    }
    Err(target.conflict(&format!(
        "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
    )))
}
