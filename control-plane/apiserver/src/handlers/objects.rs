//! get, list, watch, create, update, delete, deletecollection.

use std::sync::Arc;

use api_model::selector::{FieldSelector, LabelSelector};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::StatusCode;
use kit::http::Response;
use serde_json::Value;

use super::options::{DeleteOptions, WriteOptions};
use super::render::{Renderer, include, respond};
use super::{Api, Asked, body, components, negotiate, watch as streams};
use crate::ApiError;
use crate::registry::manage::Who;
use crate::registry::modify::{self, Modify};
use crate::registry::read::{ListOptions, Listed};
use crate::registry::remove::{Removed, gone_status};
use crate::registry::{Served, Target, object};
use crate::streaming::websocket;
use crate::watch::{Entry, Filter};

/// Objects of a collection that are deleted at once.
const DELETIONS_TOGETHER_MAX: usize = 64;

/// A renderer for what this request accepts.
pub(super) fn renderer<'a>(
    api: &'a Api,
    asked: &Asked,
    target: &'a Target,
) -> Result<Renderer<'a>, ApiError> {
    let stream = asked.info.verb == "watch";
    let offers = negotiate::Offers { shapes: true, binary: target.served.custom.is_none(), stream };
    Ok(Renderer {
        served: &target.served,
        model: &api.registry.model,
        form: negotiate::choose(asked.headers(), asked.pretty(), offers)?,
        include: include(&asked.query)?,
        now: api.registry.clock.now(),
    })
}

/// Answers with one object, given in the version of the request.
pub(super) fn answer(asked: &Asked, renderer: &Renderer<'_>, status: StatusCode, bytes: Bytes) -> Response {
    respond(renderer.model, status, renderer.form, renderer.one(bytes), asked.headers(), &asked.warnings)
}

/// Reads one object.
pub(super) async fn get(api: &Api, asked: &Asked, target: &Target) -> Result<Response, ApiError> {
    if components::is_asked(target) {
        return components::get(api, asked, target).await;
    }
    let renderer = renderer(api, asked, target)?;
    let entry = api.registry.get(target, asked.query.get("resourceVersion")).await?;
    let mut shown = api.registry.shown(&target.served, vec![entry]).await?;
    let Some(entry) = shown.pop() else { return Err(target.not_found()) };
    Ok(answer(asked, &renderer, StatusCode::OK, renderer.versioned(&entry)))
}

/// Which objects a list, a watch or a deletion of many is about. All are refused in the same words.
fn filter(asked: &Asked, target: &Target) -> Result<Filter, ApiError> {
    let mut filter = Filter::default();
    if target.served.resource.namespaced && !target.namespace.is_empty() {
        filter.namespace = Some(target.namespace.clone());
    }
    if let Some(text) = asked.query.get("labelSelector") {
        let parsed = LabelSelector::parse(text).map_err(|error| ApiError::bad_request(error.to_string()))?;
        filter.labels = (!parsed.is_everything()).then_some(parsed);
    }
    if let Some(text) = asked.query.get("fieldSelector") {
        let parsed = FieldSelector::parse(text).map_err(|error| ApiError::bad_request(error.to_string()))?;
        selectable(&parsed, &target.served)?;
        filter.name = parsed.exact("metadata.name").map(str::to_owned);
        if !target.name.is_empty() && !parsed.is_everything() && filter.name.as_ref() != Some(&target.name) {
            return Err(ApiError::bad_request("fieldSelector metadata.name doesn't match requested name"));
        }
        filter.fields = (!parsed.is_everything()).then_some(parsed);
    }
    if !target.name.is_empty() {
        filter.name = Some(target.name.clone());
    }
    Ok(filter)
}

/// Refuses fields that objects of this kind are not selected by, as whoever converts the kind's fields says it.
fn selectable(selector: &FieldSelector, served: &Served) -> Result<(), ApiError> {
    let resource = &served.resource;
    let known = &resource.field_labels;
    let Some(unknown) = selector.requirements().iter().find(|one| !known.contains(&one.field)) else {
        return Ok(());
    };
    let field = &unknown.field;
    let only_metadata = served.custom.is_none() && known.iter().all(|label| label.starts_with("metadata."));
    Err(ApiError::bad_request(match (resource.group.as_str(), resource.kind.as_str()) {
        _ if only_metadata => {
            format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        }
        ("batch", "Job") => format!("field label {field:?} not supported for Job"),
        ("resource.k8s.io", kind) => {
            format!("field label not supported for {}, Kind={kind}: {field}", served.api_version())
        }
        _ => format!("field label not supported: {field}"),
    }))
}

fn list_options(asked: &Asked, target: &Target) -> Result<ListOptions, ApiError> {
    let query = &asked.query;
    if query.has("sendInitialEvents") && asked.info.verb != "watch" {
        let path = api_model::FieldPath::new("sendInitialEvents");
        let cause = api_model::Cause::forbidden(&path, "sendInitialEvents is forbidden for list");
        return Err(ApiError::invalid("meta.k8s.io", "ListOptions", "", &[cause]));
    }
    Ok(ListOptions {
        limit: usize::try_from(query.number("limit")?.unwrap_or(0)).unwrap_or(0),
        filter: filter(asked, target)?,
        continue_token: query.get("continue").map(str::to_owned),
        resource_version: query.get("resourceVersion").map(str::to_owned),
        version_match: query.get("resourceVersionMatch").map(str::to_owned),
    })
}

/// Reads many objects.
pub(super) async fn list(api: &Api, asked: &Asked, target: &Target) -> Result<Response, ApiError> {
    let renderer = renderer(api, asked, target)?;
    let options = list_options(asked, target)?;
    if components::is_asked(target) {
        return components::list(api, asked, target, &options.filter).await;
    }
    let mut listed = api.registry.list(&target.served.storage, &options).await?;
    listed.entries = api.registry.shown(&target.served, listed.entries).await?;
    Ok(renderer.many(listed, asked.headers(), &asked.warnings))
}

/// Follows changes.
pub(super) async fn watch(api: &Api, asked: &mut Asked, target: &Target) -> Result<Response, ApiError> {
    let renderer = renderer(api, asked, target)?;
    let query = &asked.query;
    let options = streams::WatchOptions {
        filter: filter(asked, target)?,
        resource_version: query.get("resourceVersion").map(str::to_owned),
        bookmarks: query.flag("allowWatchBookmarks"),
        initial_events: query.has("sendInitialEvents").then(|| query.flag("sendInitialEvents")),
        version_match: query.get("resourceVersionMatch").map(str::to_owned),
        continued: query.get("continue").is_some(),
        timeout_s: query.number("timeoutSeconds")?.filter(|seconds| *seconds != 0),
    };
    let (form, include) = (renderer.form, renderer.include);
    let answer = streams::watch(&api.registry, target.served.clone(), form, include, options).await?;
    if websocket::is_asked(asked.headers()) { streams::over_socket(asked, answer) } else { Ok(answer) }
}

/// The object that a request carries, checked and without unknown fields.
async fn sent_object(
    api: &Api,
    asked: &mut Asked,
    target: &Target,
    options: &WriteOptions,
) -> Result<Value, ApiError> {
    let media = body::content_type(asked.headers());
    let bytes = asked.take_body().await?;
    body::object(&api.registry.model, &target.served, &media, &bytes, options.validation, &mut asked.warnings)
}

/// Creates an object.
pub(super) async fn create(api: &Api, asked: &mut Asked, target: &Target) -> Result<Response, ApiError> {
    let renderer = renderer(api, asked, target)?;
    let options = WriteOptions::read("CreateOptions", &asked.query, asked.user_agent())?;
    let object = sent_object(api, asked, target, &options).await?;
    let who = Who::updates(&options.manager, "");
    let bytes = api.registry.create(target, object, &options, &who).await?;
    Ok(answer(asked, &renderer, StatusCode::CREATED, bytes))
}

/// Replaces an object, or the part that a subresource is.
pub(super) async fn update(api: &Api, asked: &mut Asked, target: &Target) -> Result<Response, ApiError> {
    let renderer = renderer(api, asked, target)?;
    let options = WriteOptions::read("UpdateOptions", &asked.query, asked.user_agent())?;
    let object = sent_object(api, asked, target, &options).await?;
    let who = Who::updates(&options.manager, &target.subresource);
    let checked = modify::is_checked(&target.subresource);
    let modify = Modify { target, options: &options, who: &who, checked };
    let result = api.registry.modify(&modify, &mut |_| Ok(object.clone())).await;
    let may_create = target.served.rules.create_on_update
        && target.subresource.is_empty()
        && object::resource_version(&object).is_empty();
    match result {
        Err(error) if error.code == 404 && may_create => {
            let mut object = object;
            if object::name(&object).is_empty() {
                object::set_meta(&mut object, "name", target.name.clone().into());
            }
            let bytes = api.registry.create(target, object, &options, &who).await?;
            Ok(answer(asked, &renderer, StatusCode::CREATED, bytes))
        }
        result => Ok(answer(asked, &renderer, StatusCode::OK, result?)),
    }
}

/// The options of a deletion: in the body, or else in the query.
async fn delete_options(api: &Api, asked: &mut Asked) -> Result<DeleteOptions, ApiError> {
    let media = body::content_type(asked.headers());
    let bytes = asked.take_body().await?;
    if bytes.is_empty() {
        return DeleteOptions::of(&asked.query, None);
    }
    let value = body::value(&api.registry.model, &media, &bytes)?;
    let (kind, version) = (object::text(&value, &["kind"]), object::text(&value, &["apiVersion"]));
    if !value.is_object() || !matches!(kind, "" | "DeleteOptions") {
        return Err(ApiError::bad_request(format!(
            "no kind {kind:?} is registered for version {version:?} in scheme"
        )));
    }
    DeleteOptions::of(&asked.query, Some(&value))
}

/// Deletes an object.
pub(super) async fn delete(api: &Api, asked: &mut Asked, target: &Target) -> Result<Response, ApiError> {
    let renderer = renderer(api, asked, target)?;
    let options = delete_options(api, asked).await?;
    let removed = api.registry.delete(target, &options).await?;
    if target.served.storage == crate::registry::custom::DEFINITIONS && !options.dry_run {
        api.registry.hub.fresh().await.map_err(crate::registry::behind)?;
        api.registry.clean_up_definitions();
    }
    match removed {
        Removed::Gone(bytes) if !target.served.rules.returns_deleted => {
            let status = gone_status(target, &object::decode(&bytes).unwrap_or_default());
            let bytes = serde_json::to_vec(&status).unwrap_or_default().into();
            Ok(respond(
                renderer.model,
                StatusCode::OK,
                plain(&renderer),
                bytes,
                asked.headers(),
                &asked.warnings,
            ))
        }
        Removed::Marked(bytes) if options.dependents_go => {
            Ok(answer(asked, &renderer, StatusCode::ACCEPTED, bytes))
        }
        Removed::Gone(bytes) | Removed::Marked(bytes) => Ok(answer(asked, &renderer, StatusCode::OK, bytes)),
    }
}

fn plain(renderer: &Renderer<'_>) -> negotiate::Form {
    negotiate::Form { shape: negotiate::Shape::Object, ..renderer.form }
}

/// Deletes what a list would show.
pub(super) async fn delete_collection(
    api: &Api,
    asked: &mut Asked,
    target: &Target,
) -> Result<Response, ApiError> {
    let renderer = renderer(api, asked, target)?;
    let list = list_options(asked, target)?;
    let options = delete_options(api, asked).await?;
    let listed: Listed = api.registry.list(&target.served.storage, &list).await?;
    let each = |entry: &Arc<Entry>| Target {
        namespace: entry.namespace().to_owned(),
        name: entry.name().to_owned(),
        ..target.clone()
    };
    let targets: Vec<Target> = listed.entries.iter().map(each).collect();
    let (registry, options) = (&api.registry, &options);
    let deletions = targets.into_iter().map(|one| async move {
        match registry.delete(&one, options).await {
            Err(error) if error.code != 404 => Err(error),
            _ => Ok(()),
        }
    });
    // Together, so that many share a way to the disk; the first failure ends it, as upstream.
    futures::stream::iter(deletions).buffer_unordered(DELETIONS_TOGETHER_MAX).try_collect::<()>().await?;
    Ok(renderer.many(listed, asked.headers(), &asked.warnings))
}
