//! URLs that are about no resource: discovery, version, health, metrics, OpenID.

use http::StatusCode;
use kit::http::{Request, Response};

use super::render::{encoded, nothing_here};
use super::{Api, Asked, health, metrics};
use crate::ApiError;

/// Answers such a request.
///
/// # Errors
/// As the API answers them.
pub async fn serve(api: &Api, asked: &mut Asked) -> Result<Response, ApiError> {
    let path = asked.info.path.trim_end_matches('/').to_owned();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if matches!(parts.first(), Some(&("api" | "apis" | "openapi"))) {
        api.registry.sync_custom();
    }
    let routed = matches!(parts.first(), Some(&("api" | "apis" | "version" | ".well-known" | "openid")));
    if routed && asked.info.verb != "get" {
        return Err(ApiError::method_not_allowed());
    }
    let json = |value: serde_json::Value| -> Response {
        encoded(StatusCode::OK, "application/json", value.to_string().into(), asked.headers())
    };
    match parts.as_slice() {
        [] => Ok(json(api.discovery.paths())),
        ["api" | "apis", ..] => found(api.discovery.serve(&parts, asked)),
        ["openapi", rest @ ..] => found(api.discovery.openapi(rest, asked)),
        ["version"] => {
            Ok(encoded(StatusCode::OK, "application/json", api.discovery.version().into(), asked.headers()))
        }
        [kind @ ("healthz" | "livez" | "readyz"), rest @ ..] => {
            Ok(health::serve(api, asked, kind, rest).await)
        }
        ["metrics"] => Ok(kit::http::bytes_response(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics::all(api),
        )),
        ["debug", "api_priority_and_fairness", table] => dumped(api, table),
        [".well-known", "openid-configuration"] if api.tokens.is_discoverable() => {
            let uri = format!("{}/openid/v1/jwks", api.tokens.issuer().trim_end_matches('/'));
            let document = api.tokens.openid_configuration(&uri).to_string();
            Ok(published("application/json", document))
        }
        ["openid", "v1", "jwks"] if api.tokens.is_discoverable() => {
            Ok(published("application/jwk-set+json", api.tokens.jwks().to_string()))
        }
        _ => Ok(nothing_here()),
    }
}

/// What discovery does not know is answered as any path that nobody serves.
fn found(answer: Result<Response, ApiError>) -> Result<Response, ApiError> {
    match answer {
        Err(error) if error.code == 404 => Ok(nothing_here()),
        answer => answer,
    }
}

/// What anybody may keep for an hour, as upstream says of the issuer's documents.
fn published(content_type: &'static str, text: String) -> Response {
    let mut response = kit::http::bytes_response(StatusCode::OK, content_type, text);
    let kept = http::HeaderValue::from_static("public, max-age=3600");
    response.headers_mut().insert(http::header::CACHE_CONTROL, kept);
    response
}

/// Tables of priority and fairness.
fn dumped(api: &Api, name: &str) -> Result<Response, ApiError> {
    let table = api.flow.dump(name).ok_or_else(ApiError::no_such_path)?;
    Ok(kit::http::bytes_response(StatusCode::OK, "text/plain; charset=utf-8", table))
}

/// Makes the connection a node's tunnel.
pub fn tunnel(api: &Api, request: Request, user: &crate::UserInfo) -> Response {
    api.tunnels.accept(request, user)
}
