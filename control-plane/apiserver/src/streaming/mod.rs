//! What is answered by a kubelet, a pod or a service instead of the store: logs, exec, attach, port-forward and proxies.
//!
//! Everything goes through the tunnels. Where client and kubelet speak the same protocol, bytes are passed on as they come. The newer
//! WebSocket protocols, which kubelets do not speak, are translated into SPDY. A client that offers only protocols that neither knows is
//! refused, so that it falls back.

mod exec;
pub(crate) mod forward;
mod log;
mod proxy;
mod spdy;
mod target;
mod translate;
pub(crate) mod websocket;

pub(crate) use proxy::endpoint;

use std::sync::Arc;

use kit::http::{Request, Response};

use crate::attributes::{ApiError, Objects};
use crate::tunnel::{KubeletError, Kubelets};

/// The longest refusal of a kubelet that is passed on.
const REFUSAL_MAX_BYTES: usize = 16 * 1024;

/// What a request wants to be connected to; the caller has authorised it.
#[derive(Debug, Clone, Copy)]
pub struct Connect<'a> {
    /// `pods`, `services` or `nodes`.
    pub resource: &'a str,
    /// `log`, `exec`, `attach`, `portforward` or `proxy`.
    pub subresource: &'a str,
    /// Namespace; empty for nodes.
    pub namespace: &'a str,
    /// Name; for proxies also `name:port` and `scheme:name:port`.
    pub name: &'a str,
    /// For proxies, the path behind `/proxy`, with its leading slash; may be empty.
    pub rest: &'a str,
}

/// Connects clients with what runs on nodes.
pub struct Streaming {
    objects: Arc<dyn Objects>,
    kubelets: Arc<Kubelets>,
}

impl Streaming {
    /// Over these objects and kubelets.
    pub fn new(objects: Arc<dyn Objects>, kubelets: Arc<Kubelets>) -> Self {
        Self { objects, kubelets }
    }

    /// Answers a request; failures become a `Status`.
    pub async fn serve(&self, connect: Connect<'_>, request: Request) -> Response {
        let answered = match (connect.resource, connect.subresource) {
            ("pods", "log") => self.log(connect, request).await,
            ("pods", "exec" | "attach") => self.exec(connect, request).await,
            ("pods", "portforward") => self.port_forward(connect, request).await,
            ("pods" | "services" | "nodes", "proxy") => self.proxy(connect, request).await,
            _ => Err(ApiError::no_such_path()),
        };
        answered.unwrap_or_else(|error| error.response())
    }
}

/// The 500 with which upstream tells that a kubelet cannot be reached.
fn unreachable(node: &str, error: &KubeletError) -> ApiError {
    let error = ApiError::internal(format!("error dialing backend: node {node}: {}", kit::Chain(error)));
    ApiError { details: None, ..error }
}

/// A kubelet's refusal as a `Status`: its text is upstream's message.
async fn refusal(answer: Response) -> ApiError {
    let code = answer.status().as_u16();
    let body = kit::http::read(answer.into_body(), REFUSAL_MAX_BYTES).await.unwrap_or_default();
    let said = String::from_utf8_lossy(&body).trim().to_owned();
    let reason = match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        500 => "InternalError",
        _ => "",
    };
    let said =
        if said.is_empty() { "the server rejected our request for an unknown reason".into() } else { said };
    ApiError::new(code, reason, said)
}

#[cfg(test)]
mod tests;
