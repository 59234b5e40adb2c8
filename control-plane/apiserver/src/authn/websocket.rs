//! Bearer tokens of browsers, which cannot set headers on a WebSocket: a subprotocol carries the token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};

const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";

fn is_websocket(headers: &HeaderMap) -> bool {
    let has = |name: header::HeaderName, wanted: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(wanted))
    };
    has(header::CONNECTION, "upgrade") && has(header::UPGRADE, "websocket")
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values =
        headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|one| !one.is_empty())
}

/// The token among the subprotocols a WebSocket client offers. It counts only beside another subprotocol,
/// because the server has to choose one and must not choose the token.
pub(super) fn token(headers: &HeaderMap) -> Option<String> {
    if !is_websocket(headers) {
        return None;
    }
    let (mut token, mut others) = (None, 0);
    for protocol in protocols(headers) {
        match protocol.strip_prefix(PREFIX) {
            Some(encoded) if token.is_none() => token = Some(encoded),
            Some(_) => return None,
            None => others += 1,
        }
    }
    let decoded = URL_SAFE_NO_PAD.decode(token.filter(|_| others > 0)?).ok()?;
    String::from_utf8(decoded).ok().filter(|token| !token.is_empty())
}

/// Takes the token out, so that it is neither chosen as subprotocol nor handed on by a proxy.
pub(super) fn strip(headers: &mut HeaderMap) {
    if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return;
    }
    let kept: Vec<&str> = protocols(headers).filter(|one| !one.starts_with(PREFIX)).collect();
    let kept = HeaderValue::from_str(&kept.join(", "));
    headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
    if let Ok(kept) = kept
        && !kept.is_empty()
    {
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, kept);
    }
}
