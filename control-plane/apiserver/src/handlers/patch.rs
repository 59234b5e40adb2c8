//! The four ways to patch.

use api_model::merge::{self, PatchError};
use bytes::Bytes;
use http::StatusCode;
use kit::http::Response;
use serde_json::Value;

use super::objects::{answer, renderer};
use super::options::WriteOptions;
use super::{Api, Asked, body};
use crate::ApiError;
use crate::registry::manage::{self, Who};
use crate::registry::modify::Modify;
use crate::registry::{Target, object};

/// What a patch is.
pub(super) enum Patch {
    /// RFC 6902.
    Json(Value),
    /// RFC 7396.
    Merge(Value),
    /// Kubernetes' own, by the schema's merge keys.
    Strategic(Value),
    /// Server-side apply.
    Apply(Value),
}

const BUILT_IN: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/apply-patch+yaml",
    "application/strategic-merge-patch+json",
];

impl Patch {
    /// Reads a patch.
    pub(super) fn read(media: &str, bytes: &[u8], custom: bool) -> Result<Self, ApiError> {
        let json = || {
            serde_json::from_slice::<Value>(bytes)
                .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))
        };
        let accepted = if custom { &BUILT_IN[..3] } else { BUILT_IN };
        match media {
            "application/json-patch+json" => Ok(Self::Json(json()?)),
            "application/merge-patch+json" => Ok(Self::Merge(json()?)),
            "application/strategic-merge-patch+json" if !custom => Ok(Self::Strategic(json()?)),
            "application/apply-patch+yaml" => Ok(Self::Apply(body::yaml(bytes)?)),
            other => Err(ApiError::unsupported_media_type(other, accepted)),
        }
    }

    /// The patched value. `schema` is for strategic merges.
    pub(super) fn apply(&self, schema: &api_model::Schema, old: &Value) -> Result<Value, ApiError> {
        let patched = match self {
            Self::Json(patch) => merge::json_patch(old, patch),
            Self::Merge(patch) | Self::Apply(patch) => Ok(merge::merge_patch(old, patch)),
            Self::Strategic(patch) => merge::strategic(schema, old, patch),
        };
        patched.map_err(|error| match error {
            PatchError::Malformed(why) => ApiError::bad_request(why),
            PatchError::Unprocessable(why) => ApiError::new(422, "Invalid", why),
        })
    }
}

/// Patches an object, or the part that a subresource is.
pub(super) async fn patch(api: &Api, asked: &mut Asked, target: &Target) -> Result<Response, ApiError> {
    let renderer = renderer(api, asked, target)?;
    let options = WriteOptions::of(&asked.query, asked.user_agent())?;
    let media = body::content_type(asked.headers());
    let bytes = asked.take_body().await?;
    let patch = Patch::read(&media, &bytes, target.served.custom.is_some())?;
    let (status, bytes) = match patch {
        Patch::Apply(config) => apply(api, asked, target, &options, config).await?,
        patch => (StatusCode::OK, change(api, asked, target, &options, &patch).await?),
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
    let checked = matches!(target.subresource.as_str(), "" | "status");
    let modify = Modify { target, options, who: &who, checked };
    let warnings = &mut asked.warnings;
    let mut make = |old: &Value| {
        let mut new = patch.apply(&target.served.resource.schema, old)?;
        if object::resource_version(&new).is_empty() {
            object::set_meta(
                &mut new,
                "resourceVersion",
                object::at(old, &["metadata", "resourceVersion"]).clone(),
            );
        }
        body::prune(&target.served, &mut new, options.validation, warnings)?;
        Ok(new)
    };
    api.registry.modify(&modify, &mut make).await
}

async fn apply(
    api: &Api,
    asked: &mut Asked,
    target: &Target,
    options: &WriteOptions,
    mut config: Value,
) -> Result<(StatusCode, Bytes), ApiError> {
    if asked.query.get("fieldManager").is_none() {
        let path = api_model::FieldPath::new("fieldManager");
        let cause = api_model::Cause::required(&path, "is required for apply patch");
        return Err(ApiError::invalid("meta.k8s.io", "PatchOptions", "", &[cause]));
    }
    check_config(target, &mut config)?;
    body::prune(&target.served, &mut config, options.validation, &mut asked.warnings)?;
    let registry = &api.registry;
    let who = Who::applies(&options.manager, &target.subresource);
    let checked = matches!(target.subresource.as_str(), "" | "status");
    let modify = Modify { target, options, who: &who, checked };
    let version = object::resource_version(&config).to_owned();
    let mut make = |old: &Value| {
        if !version.is_empty() && version != object::resource_version(old) {
            return Err(target.modified());
        }
        let mut new =
            manage::apply(&target.served, Some(old), &config, &who, options.force, registry.clock.now())?;
        object::set_meta(
            &mut new,
            "resourceVersion",
            object::at(old, &["metadata", "resourceVersion"]).clone(),
        );
        Ok(new)
    };
    match registry.modify(&modify, &mut make).await {
        Err(error) if error.code == 404 && target.subresource.is_empty() && version.is_empty() => {
            let new =
                manage::apply(&target.served, None, &config, &who, options.force, registry.clock.now())?;
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

fn check_config(target: &Target, config: &mut Value) -> Result<(), ApiError> {
    for key in ["kind", "apiVersion"] {
        if object::text(config, &[key]).is_empty() {
            return Err(ApiError::bad_request(format!(
                "error decoding YAML: Object '{key}' is missing in the applied configuration"
            )));
        }
    }
    body::check_type(config, &target.served.resource.kind, &target.served.api_version())?;
    if object::at(config, &["metadata", "managedFields"]).as_array().is_some_and(|list| !list.is_empty()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    if object::name(config).is_empty() {
        object::set_meta(config, "name", target.name.clone().into());
    }
    if object::name(config) != target.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            object::name(config),
            target.name
        )));
    }
    Ok(())
}
