//! URLs that are about no resource: discovery, version, health, metrics, OpenID.

use http::StatusCode;
use kit::http::{Request, Response};

use super::render::encoded;
use super::{Api, Asked};
use crate::ApiError;

/// Answers such a request.
///
/// # Errors
/// As the API answers them.
pub async fn serve(api: &Api, asked: &mut Asked) -> Result<Response, ApiError> {
    if !matches!(asked.info.verb, "get" | "head") {
        return Err(ApiError::method_not_allowed());
    }
    let path = asked.info.path.trim_end_matches('/').to_owned();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if matches!(parts.first(), Some(&("api" | "apis" | "openapi"))) {
        api.registry.sync_custom();
    }
    let json = |value: serde_json::Value| -> Response {
        encoded(StatusCode::OK, "application/json", value.to_string().into(), asked.headers())
    };
    match parts.as_slice() {
        [] => Ok(json(api.discovery.paths())),
        ["api" | "apis", ..] => api.discovery.serve(&parts, asked),
        ["openapi", rest @ ..] => api.discovery.openapi(rest, asked),
        ["version"] => Ok(json(api.discovery.version())),
        ["healthz" | "livez" | "readyz", rest @ ..] => Ok(health(asked, parts[0], rest)),
        ["metrics"] => Ok(metrics(api)),
        [".well-known", "openid-configuration"] => {
            let uri = format!("{}/openid/v1/jwks", api.tokens.issuer().trim_end_matches('/'));
            Ok(json(api.tokens.openid_configuration(&uri)))
        }
        ["openid", "v1", "jwks"] => Ok(encoded(
            StatusCode::OK,
            "application/jwk-set+json",
            api.tokens.jwks().to_string().into(),
            asked.headers(),
        )),
        _ => Err(ApiError::no_such_path()),
    }
}

/// Whoever reaches this answers: the caches are loaded before the server is given out, and writes are
/// refused by the store itself when it is unwell.
fn health(asked: &Asked, kind: &str, rest: &[&str]) -> Response {
    const CHECKS: &[&str] = &["ping", "log", "etcd", "informer-sync"];
    if let [check] = rest {
        let known = CHECKS.contains(check);
        let status = if known { StatusCode::OK } else { StatusCode::NOT_FOUND };
        return kit::http::bytes_response(
            status,
            "text/plain; charset=utf-8",
            if known { "ok" } else { "not found" },
        );
    }
    if !asked.query.has("verbose") {
        return kit::http::bytes_response(StatusCode::OK, "text/plain; charset=utf-8", "ok");
    }
    let mut text: String = CHECKS.iter().map(|check| format!("[+]{check} ok\n")).collect();
    text.push_str(&format!("{kind} check passed\n"));
    kit::http::bytes_response(StatusCode::OK, "text/plain; charset=utf-8", text)
}

fn metrics(api: &Api) -> Response {
    let mut text = String::from("# TYPE apiserver_storage_objects gauge\n");
    let mut watchers = String::from("# TYPE apiserver_longrunning_requests gauge\n");
    let mut kinds = api.registry.kinds.all();
    kinds.sort_by(|a, b| a.storage.cmp(&b.storage));
    kinds.dedup_by(|a, b| a.storage == b.storage);
    for served in kinds {
        let resource = served.resource.group_resource();
        let cache = api.registry.hub.cache(&served.storage);
        if !cache.is_empty() {
            text.push_str(&format!("apiserver_storage_objects{{resource=\"{resource}\"}} {}\n", cache.len()));
        }
        if cache.subscribers() > 0 {
            let count = cache.subscribers();
            watchers.push_str(&format!(
                "apiserver_longrunning_requests{{resource=\"{resource}\",verb=\"WATCH\"}} {count}\n"
            ));
        }
    }
    text.push_str(&watchers);
    text.push_str("# TYPE etcd_revision gauge\n");
    text.push_str(&format!("etcd_revision {}\n", api.registry.hub.progress()));
    kit::http::bytes_response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
}

/// Makes the connection a node's tunnel.
pub fn tunnel(api: &Api, request: Request, user: &crate::UserInfo) -> Response {
    api.tunnels.accept(request, user)
}
