//! Requests about resources: which one, which part, which verb.

use std::sync::Arc;

use http::Method;
use kit::http::Response;

use super::path::{RequestInfo, not_a_name};
use super::render::nothing_here;
use super::{Api, Asked, objects, patch, special};
use crate::ApiError;
use crate::registry::{Served, Target};

/// What is wrong with a request's path or method, before anything is looked up.
enum Wrong {
    /// Nothing is served there, and whoever else might is asked in vain: plain text.
    Nothing,
    /// Nothing is served there, in a group that is.
    Path,
    /// The path is served, the method is not.
    Method,
}

/// Answers a request about a resource.
///
/// # Errors
/// As the API answers them.
pub async fn serve(api: &Api, asked: &mut Asked) -> Result<Response, ApiError> {
    let Some(served) = find(api, asked).await? else {
        let known = api.registry.kinds.has_version(&asked.info.group, &asked.info.version);
        return if known { Err(ApiError::no_such_path()) } else { Ok(nothing_here()) };
    };
    match check(&served, &asked.info, &asked.head.method) {
        Ok(()) => {}
        Err(Wrong::Nothing) => return Ok(nothing_here()),
        Err(Wrong::Path) => return Err(no_such_part(&served, &asked.info)),
        Err(Wrong::Method) => return Err(no_such_method(&served, asked.info.verb)),
    }
    let info = &asked.info;
    if let Some(why) = not_a_name(&info.name) {
        return Err(ApiError::bad_request(format!("Name parameter invalid: {:?}: {why}", info.name)));
    }
    let target = Target {
        // A namespace's own path carries its name twice.
        namespace: if served.resource.namespaced { info.namespace.clone() } else { String::new() },
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
    match asked.info.verb {
        "get" => objects::get(api, asked, &target).await,
        "list" => objects::list(api, asked, &target).await,
        "watch" => objects::watch(api, asked, &target).await,
        "create" => objects::create(api, asked, &target).await,
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

/// Whether this resource is served at this path with this method.
fn check(served: &Served, info: &RequestInfo, method: &Method) -> Result<(), Wrong> {
    let custom = served.custom.is_some();
    let nowhere = if custom { Wrong::Nothing } else { Wrong::Path };
    let resource = &served.resource;
    let under_namespace = !info.namespace.is_empty() && served.storage != "core/namespaces";
    if !resource.namespaced && under_namespace {
        return Err(nowhere);
    }
    let everywhere = resource.namespaced && info.namespace.is_empty();
    if everywhere && (!info.name.is_empty() || !served.has_verb("list")) {
        return Err(nowhere);
    }
    if !info.subresource.is_empty() {
        return check_part(served, info, method);
    }
    if info.followed {
        return match served.has_verb("watch") {
            true if *method == Method::GET => Ok(()),
            true => Err(Wrong::Method),
            false => Err(nowhere),
        };
    }
    let here: &[&str] = match (everywhere, info.name.is_empty()) {
        (true, _) => &["list", "watch"],
        (false, true) => &["list", "watch", "create", "deletecollection"],
        (false, false) => &["get", "update", "patch", "delete"],
    };
    if !here.iter().any(|verb| served.has_verb(verb)) {
        return Err(nowhere);
    }
    // Custom resources take HEAD for GET; no route of a built-in one does.
    let headed = *method == Method::HEAD && !custom;
    let known = here.contains(&info.verb) && served.has_verb(info.verb) && !headed;
    if custom && everywhere && !known {
        return Err(Wrong::Nothing);
    }
    if known { Ok(()) } else { Err(Wrong::Method) }
}

fn check_part(served: &Served, info: &RequestInfo, method: &Method) -> Result<(), Wrong> {
    if !served.has_subresource(&info.subresource) || info.name.is_empty() || info.followed {
        return Err(Wrong::Path);
    }
    let proxied = info.subresource == "proxy";
    if !info.rest.is_empty() && !proxied {
        return Err(Wrong::Path);
    }
    if proxied {
        return Ok(());
    }
    let known = match served.resource.subresource(&info.subresource) {
        Some(part) => part.verbs.iter().any(|verb| verb == info.verb),
        None => matches!(info.verb, "get" | "update" | "patch"),
    };
    let headed = *method == Method::HEAD && served.custom.is_none();
    if known && !headed { Ok(()) } else { Err(Wrong::Method) }
}

/// 404 for a part that the resource does not have.
fn no_such_part(served: &Served, info: &RequestInfo) -> ApiError {
    match served.custom {
        Some(_) => ApiError::not_found(&served.resource.group, &served.resource.plural, &info.name),
        None => ApiError::no_such_path(),
    }
}

/// 405 in the words of who answers for the resource.
fn no_such_method(served: &Served, verb: &str) -> ApiError {
    let mut error = ApiError::method_not_allowed();
    if served.custom.is_some() {
        let resource = &served.resource;
        error.message =
            format!("{verb} is not supported on resources of kind {:?}", resource.group_resource());
        error.details = Some(serde_json::json!({"group": resource.group, "kind": resource.plural}));
    }
    error
}

async fn find(api: &Api, asked: &Asked) -> Result<Option<Arc<Served>>, ApiError> {
    let info = &asked.info;
    let kinds = &api.registry.kinds;
    if let Some(served) = kinds.get(&info.group, &info.version, &info.resource)
        && served.custom.is_none()
    {
        return Ok(Some(served));
    }
    // It may be a custom resource whose definition was just written.
    api.registry.hub.fresh().await.map_err(crate::registry::behind)?;
    api.registry.sync_custom();
    Ok(kinds.get(&info.group, &info.version, &info.resource))
}

async fn subresource(api: &Api, asked: &mut Asked, target: &Target) -> Result<Response, ApiError> {
    let verb = asked.info.verb;
    if special::is_stream(&asked.info) {
        return special::stream(api, asked, target).await;
    }
    match (target.subresource.as_str(), verb) {
        ("scale", "get") => special::get_scale(api, asked, target).await,
        ("scale", "update" | "patch") => special::set_scale(api, asked, target).await,
        ("binding", "create") => special::bind(api, asked, target).await,
        ("eviction", "create") => special::evict(api, asked, target).await,
        ("token", "create") => special::token(api, asked, target).await,
        (_, "get") => objects::get(api, asked, target).await,
        (_, "update") => objects::update(api, asked, target).await,
        (_, "patch") => patch::patch(api, asked, target).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}
