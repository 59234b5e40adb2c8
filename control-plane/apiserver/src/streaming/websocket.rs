//! The server's side of WebSocket: the handshake, and messages over a connection that was upgraded.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use kit::http::{Request, Response};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::forward::{has_token, wants_upgrade};
use crate::attributes::ApiError;

/// Messages to and from a client.
pub(crate) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// The subprotocols that a client offers, in its order.
pub(crate) fn offered(headers: &HeaderMap) -> Vec<&str> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect()
}

/// Whether a request asks for WebSocket.
pub(crate) fn is_asked(headers: &HeaderMap) -> bool {
    wants_upgrade(headers) && has_token(headers, header::UPGRADE, "websocket")
}

/// A client that may become a [`Socket`] when it has been given the answer.
pub(crate) struct Accepted {
    /// The answer: 101.
    pub response: Response,
    upgrade: OnUpgrade,
}

/// Accepts a client with this subprotocol.
///
/// # Errors
/// When the handshake is not one.
pub(crate) fn accept(request: &mut Request, protocol: Option<&'static str>) -> Result<Accepted, ApiError> {
    let headers = request.headers();
    let version = headers.get(header::SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes);
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| version == Some(b"13"));
    let key = key.ok_or_else(|| ApiError::bad_request("bad Sec-WebSocket-Version or Sec-WebSocket-Key"))?;
    let accepted = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(ApiError::internal)?;
    let mut response = kit::http::status(StatusCode::SWITCHING_PROTOCOLS);
    let answer = response.headers_mut();
    answer.remove(header::CONTENT_LENGTH);
    answer.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    if let Some(protocol) = protocol {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok(Accepted { response, upgrade: hyper::upgrade::on(request) })
}

impl Accepted {
    /// The answer, and the socket that the connection is once it has been sent.
    pub fn split(self) -> (Response, impl Future<Output = Result<Socket, hyper::Error>>) {
        let upgrade = self.upgrade;
        let socket = async move {
            let upgraded = upgrade.await?;
            Ok(WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await)
        };
        (self.response, socket)
    }
}
