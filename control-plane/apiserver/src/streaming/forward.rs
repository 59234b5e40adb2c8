//! Passing a request on and its answer back, upgrades included.

use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use kit::http::{Request, Response};

use crate::attributes::ApiError;

/// Headers that concern one connection only, or that tell who the client is to us and nobody else.
const NOT_PASSED_ON: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::AUTHORIZATION,
];

/// What a connection is upgraded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Exec,
    PortForward,
}

impl Kind {
    /// Whether a kubelet's streaming server speaks a WebSocket subprotocol.
    fn spoken(self, protocol: &str) -> bool {
        match self {
            Self::Exec => matches!(
                protocol,
                "v4.channel.k8s.io" | "v4.base64.channel.k8s.io" | "channel.k8s.io" | "base64.channel.k8s.io"
            ),
            Self::PortForward => {
                matches!(protocol, "v4.channel.k8s.io" | "v4.base64.channel.k8s.io" | "portforward.k8s.io")
            }
        }
    }
}

pub(super) fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|one| one.trim().eq_ignore_ascii_case(token))
}

/// Whether a request asks for its connection to become something else.
pub(super) fn wants_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, header::CONNECTION, "upgrade") && headers.contains_key(header::UPGRADE)
}

/// Refuses what a kubelet could not answer: then `kubectl` falls back from WebSocket to SPDY.
pub(super) fn check_protocols(headers: &HeaderMap, kind: Kind) -> Result<(), ApiError> {
    if !wants_upgrade(headers) {
        return Err(ApiError::bad_request("Upgrade request required"));
    }
    if !has_token(headers, header::UPGRADE, "websocket") {
        return Ok(());
    }
    let offered = super::websocket::offered(headers);
    if offered.is_empty() || offered.iter().any(|one| kind.spoken(one)) {
        return Ok(());
    }
    Err(ApiError::bad_request(format!(
        "unable to upgrade: none of the WebSocket subprotocols [{}] is supported here, use SPDY/3.1",
        offered.join(" ")
    )))
}

/// The request for the far side, and the client's end of the upgrade if it asked for one.
pub(crate) fn onward(mut request: Request, path: &str) -> Result<(Request, Option<OnUpgrade>), ApiError> {
    let upgrading = wants_upgrade(request.headers());
    let protocol = request.headers().get(header::UPGRADE).cloned();
    let client = upgrading.then(|| hyper::upgrade::on(&mut request));
    let (mut parts, body) = request.into_parts();
    strip(&mut parts.headers);
    parts.headers.remove(header::HOST);
    if let Some(protocol) = protocol.filter(|_| upgrading) {
        parts.headers.insert(header::CONNECTION, http::HeaderValue::from_static("Upgrade"));
        parts.headers.insert(header::UPGRADE, protocol);
    }
    let mut onward =
        http::Request::new(if upgrading || parts.method == Method::GET { kit::http::empty() } else { body });
    *onward.method_mut() = parts.method;
    *onward.uri_mut() = path.parse().map_err(|_| ApiError::bad_request(format!("`{path}` is not a path")))?;
    *onward.headers_mut() = parts.headers;
    Ok((onward, client))
}

fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let mine = headers.keys().filter(|name| {
        let name = name.as_str();
        name.starts_with("impersonate-") || name.starts_with("x-remote-") || name == "keep-alive"
    });
    let mine: Vec<HeaderName> = mine.cloned().collect();
    for name in named.iter().chain(&mine).chain(&NOT_PASSED_ON) {
        headers.remove(name);
    }
}

/// The answer for the client. After a 101 the two connections are one, byte for byte, until either side ends.
pub(crate) fn answer(mut answer: Response, client: Option<OnUpgrade>) -> Response {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        strip(answer.headers_mut());
        return answer;
    }
    let Some(client) = client else {
        return ApiError::new(502, "", "backend switched protocols unasked").response();
    };
    let far = hyper::upgrade::on(&mut answer);
    // Ends when either side does; the client's connection is counted by whoever serves it.
    tokio::spawn(async move {
        let joined = async {
            let (near, far) = tokio::try_join!(client, far)?;
            let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
            if let Err(error) = tokio::io::copy_bidirectional(&mut near, &mut far).await {
                tracing::debug!(%error, "an upgraded connection ended");
            }
            Ok::<_, hyper::Error>(())
        };
        if let Err(error) = joined.await {
            tracing::debug!(%error, "a connection was not upgraded");
        }
    });
    let mut response = kit::http::status(StatusCode::SWITCHING_PROTOCOLS);
    *response.headers_mut() = std::mem::take(answer.headers_mut());
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response
}
