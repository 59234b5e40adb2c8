//! The instance metadata service (169.254.169.254:80) and the wire server (168.63.129.16:80) of one network.
//!
//! Who asks is known from the address the request came from; pods ask as their machine, whose address their
//! packets carry beyond the node.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;
use kit::http::{Connection, Request, Response, Service, bytes_response, json};
use serde_json::{Value, json};

use super::directory::{Directory, Resident};
use crate::ids::NetworkId;
use crate::imds::{ImdsTokenError, ImdsTokenRequest};

const VERSIONS: [&str; 4] = ["2021-02-01", "2021-12-13", "2023-07-01", "2023-11-15"];

pub(super) struct Metadata {
    pub network: NetworkId,
    pub directory: Arc<Directory>,
}

fn refused(status: StatusCode, error: &str, description: &str) -> Response {
    json(status, &json!({"error": error, "error_description": description}))
}

fn bad(text: &str) -> Response {
    json(StatusCode::BAD_REQUEST, &json!({ "error": text }))
}

#[async_trait]
impl Service for Metadata {
    async fn call(&self, request: Request) -> Response {
        let (request, _) = request.into_parts();
        let peer = request.extensions.get::<Connection>().map(|c| c.peer.ip());
        let resident = match peer {
            Some(IpAddr::V4(address)) => self.directory.resident(&self.network, address),
            _ => None,
        };
        let Some(resident) = resident else {
            return refused(
                StatusCode::NOT_FOUND,
                "not_found",
                "No machine of this network has your address",
            );
        };
        let header = |name: &str| request.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !header("metadata").eq_ignore_ascii_case("true") {
            return bad("Bad request. Required metadata header not specified");
        }
        if request.headers.contains_key("x-forwarded-for") {
            return bad("Bad request. A forwarded request is not answered");
        }
        let query = parse_query(request.uri.query().unwrap_or_default());
        let get = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        if get("api-version").is_none_or(|version| version.is_empty()) {
            let error = json!({
                "error": "Bad request. api-version is invalid or was not specified in the request.",
                "newest-versions": VERSIONS,
            });
            return json(StatusCode::BAD_REQUEST, &error);
        }
        let path = request.uri.path().trim_end_matches('/').to_owned();
        match path.strip_prefix("/metadata/") {
            Some("identity/oauth2/token") => self.token(&resident, &query).await,
            Some("versions") => json(StatusCode::OK, &json!({ "apiVersions": VERSIONS })),
            Some(rest) if rest == "instance" || rest.starts_with("instance/") => {
                instance(&resident, rest, get("format").as_deref() == Some("text"))
            }
            _ => json(StatusCode::NOT_FOUND, &json!({"error": "Not found"})),
        }
    }
}

/// The document, or the part of it that the path names.
fn instance(resident: &Resident, path: &str, text: bool) -> Response {
    let mut at = &resident.document;
    for part in path.split('/').skip(1) {
        let next = match at {
            Value::Object(map) => map.get(part),
            Value::Array(list) => part.parse::<usize>().ok().and_then(|i| list.get(i)),
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => return json(StatusCode::NOT_FOUND, &json!({"error": "Not found"})),
        }
    }
    match (at, text) {
        (Value::Object(_) | Value::Array(_), false) => json(StatusCode::OK, at),
        (Value::Object(map), true) => {
            bytes_response(StatusCode::OK, "text/plain", map.keys().cloned().collect::<Vec<_>>().join("\n"))
        }
        (Value::String(leaf), true) => bytes_response(StatusCode::OK, "text/plain", leaf.clone()),
        (leaf, true) => bytes_response(StatusCode::OK, "text/plain", leaf.to_string()),
        _ => bad("Bad request. A leaf is only given as format=text"),
    }
}

impl Metadata {
    async fn token(&self, resident: &Resident, query: &[(String, String)]) -> Response {
        let get = |names: &[&str]| {
            query.iter().find(|(n, v)| names.contains(&n.as_str()) && !v.is_empty()).map(|(_, v)| v.clone())
        };
        let Some(resource) = get(&["resource"]) else {
            let text = "Required query variable 'resource' is missing";
            return refused(StatusCode::BAD_REQUEST, "invalid_request", text);
        };
        let Some(tokens) = self.directory.tokens() else {
            return refused(StatusCode::BAD_REQUEST, "invalid_request", "Identity not found");
        };
        let request = ImdsTokenRequest {
            machine_resource_id: resident.resource_id.clone(),
            resource,
            client_id: get(&["client_id"]),
            object_id: get(&["object_id", "principal_id"]),
            identity_resource_id: get(&["msi_res_id", "mi_res_id"]),
        };
        match tokens.token(request).await {
            Ok(token) => json(StatusCode::OK, &token),
            Err(ImdsTokenError { error, description }) => {
                refused(StatusCode::BAD_REQUEST, &error, &description)
            }
        }
    }
}

fn parse_query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        let bytes = text.as_bytes();
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let hex = bytes.get(at + 1..at + 3).and_then(|h| std::str::from_utf8(h).ok());
            match (bytes[at], hex.and_then(|h| u8::from_str_radix(h, 16).ok())) {
                (b'%', Some(byte)) => {
                    out.push(byte);
                    at += 3;
                }
                (byte, _) => {
                    out.push(byte);
                    at += 1;
                }
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    query
        .split('&')
        .filter(|p| !p.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name).to_ascii_lowercase(), decode(value)))
        .collect()
}

/// The wire server: present, as agents look for it, with nothing to hand out.
pub(super) struct WireServer;

#[async_trait]
impl Service for WireServer {
    async fn call(&self, request: Request) -> Response {
        if request.uri().query().is_some_and(|q| q.contains("comp=versions")) {
            let text = "<?xml version=\"1.0\" encoding=\"utf-8\"?><Versions><Preferred><Version>2015-04-05</Version>\
                        </Preferred><Supported><Version>2015-04-05</Version></Supported></Versions>";
            return bytes_response(StatusCode::OK, "text/xml", text);
        }
        bytes_response(StatusCode::NOT_FOUND, "text/plain", "not found")
    }
}

#[cfg(test)]
mod tests {
    use super::parse_query;

    #[test]
    fn queries_are_decoded() {
        let parsed = parse_query("resource=https%3A%2F%2Fvault.azure.net&x=%2&API-version=1+2");
        let show: Vec<String> = parsed.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(show, ["resource=https://vault.azure.net", "x=%2", "api-version=1 2"]);
    }
}
