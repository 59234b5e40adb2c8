//! Requests about resources: which one, which part, which verb.

use std::sync::Arc;

use kit::http::Response;

use super::{Api, Asked, objects, patch, special};
use crate::ApiError;
use crate::registry::{Served, Target};

/// Answers a request about a resource.
///
/// # Errors
/// As the API answers them.
pub async fn serve(api: &Api, asked: &mut Asked) -> Result<Response, ApiError> {
    let served = find(api, asked).await?;
    let info = &asked.info;
    // A namespace's own path carries its name twice.
    let namespace = if served.resource.namespaced { info.namespace.clone() } else { String::new() };
    let under_namespace = !info.namespace.is_empty() && served.storage != "core/namespaces";
    if !served.resource.namespaced && under_namespace {
        return Err(ApiError::no_such_path());
    }
    let single = !info.name.is_empty() || info.verb == "create";
    if served.resource.namespaced && namespace.is_empty() && single && !served.rules.is_virtual {
        return Err(ApiError::no_such_path());
    }
    let target = Target {
        namespace,
        name: info.name.clone(),
        subresource: info.subresource.clone(),
        user: asked.user.clone(),
        notes: asked.notes.clone(),
        judged: false,
        served,
    };
    if let Some(warning) = goes_away(&target.served) {
        target.notes.warn(warning);
    }
    if !target.subresource.is_empty() {
        return subresource(api, asked, &target).await;
    }
    if target.served.rules.is_virtual {
        return special::virtual_object(api, asked, &target).await;
    }
    if !target.served.has_verb(asked.info.verb) {
        return Err(ApiError::method_not_allowed());
    }
    match asked.info.verb {
        "get" => objects::get(api, asked, &target).await,
        "list" => objects::list(api, asked, &target).await,
        "watch" => objects::watch(api, asked, &target).await,
        "create" if target.name.is_empty() => objects::create(api, asked, &target).await,
        "update" => objects::update(api, asked, &target).await,
        "patch" => patch::patch(api, asked, &target).await,
        "delete" => objects::delete(api, asked, &target).await,
        "deletecollection" => objects::delete_collection(api, asked, &target).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// What a client of a kind is told whose days are over.
fn goes_away(served: &Served) -> Option<&'static str> {
    match served.storage.as_str() {
        "core/endpoints" => {
            Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
        }
        "core/componentstatuses" => Some("v1 ComponentStatus is deprecated in v1.19+"),
        _ => None,
    }
}

async fn find(api: &Api, asked: &Asked) -> Result<Arc<Served>, ApiError> {
    let info = &asked.info;
    let kinds = &api.registry.kinds;
    if let Some(served) = kinds.get(&info.group, &info.version, &info.resource)
        && served.custom.is_none()
    {
        return Ok(served);
    }
    // It may be a custom resource whose definition was just written.
    api.registry.hub.fresh().await.map_err(crate::registry::behind)?;
    api.registry.sync_custom();
    kinds.get(&info.group, &info.version, &info.resource).ok_or_else(ApiError::no_such_path)
}

async fn subresource(api: &Api, asked: &mut Asked, target: &Target) -> Result<Response, ApiError> {
    let verb = asked.info.verb;
    if special::is_stream(&asked.info) {
        return special::stream(api, asked, target).await;
    }
    if !target.served.has_subresource(&target.subresource) {
        return Err(ApiError::no_such_path());
    }
    match (target.subresource.as_str(), verb) {
        ("scale", "get") => special::get_scale(api, asked, target).await,
        ("scale", "update" | "patch") => special::set_scale(api, asked, target).await,
        ("binding", "create") => special::bind(api, asked, target).await,
        ("eviction", "create") => special::evict(api, asked, target).await,
        ("token", "create") => special::token(api, asked, target).await,
        ("status" | "approval" | "ephemeralcontainers" | "resize", "get") => {
            objects::get(api, asked, target).await
        }
        ("status" | "approval" | "finalize" | "ephemeralcontainers" | "resize", "update") => {
            objects::update(api, asked, target).await
        }
        ("status" | "approval" | "ephemeralcontainers" | "resize", "patch") => {
            patch::patch(api, asked, target).await
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}
