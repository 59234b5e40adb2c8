//! The one request type, response type and service of the project.
//!
//! A [`Service`] answers every request: a failure is an answer too, in the native form of the API it
//! speaks, so there is no error type here.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full};
use rustls_pki_types::CertificateDer;

/// Any error, boxed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A body: bytes that may still be on their way.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;
/// A request with such a body.
pub type Request = http::Request<Body>;
/// A response with such a body.
pub type Response = http::Response<Body>;

/// Something that answers requests.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Answers one request. Never fails: an error is a response.
    async fn call(&self, request: Request) -> Response;
}

/// A shared service.
pub type BoxService = Arc<dyn Service>;

/// What is known of the connection a request came over; an extension of every request that
/// [`serve`](crate::serve) hands on.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Who connected.
    pub peer: SocketAddr,
    /// The address they connected to.
    pub local: SocketAddr,
    /// The server name the client asked for in its TLS hello.
    pub server_name: Option<String>,
    /// The client's certificate chain, leaf first; empty when it showed none. The client has proved to
    /// hold the leaf's key; whether the chain is trusted is for the service to judge.
    pub client_certificates: Arc<Vec<CertificateDer<'static>>>,
}

/// A body with these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body without bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// Makes any body this project's body.
pub fn boxed<B>(body: B) -> Body
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// A response with a JSON body.
pub fn json<T: serde::Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes_response(status, "application/json", bytes),
        Err(error) => {
            tracing::error!(%error, "failed to encode a response");
            bytes_response(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "failed to encode the response")
        }
    }
}

/// A response with these bytes and content type.
pub fn bytes_response(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Response {
    let mut response = http::Response::new(full(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A response without a body.
pub fn status(status: StatusCode) -> Response {
    let mut response = http::Response::new(empty());
    *response.status_mut() = status;
    response
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It was longer than the reader allows; answer 413.
    #[error("body is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// The connection broke.
    #[error("failed to read the body")]
    Broken(#[source] BoxError),
}

/// Reads a whole body of at most `limit_bytes`.
///
/// Written out instead of `http_body_util::Limited`: the compiler cannot prove futures that hold a
/// `Limited` over boxed errors `Send`.
pub async fn read(mut body: Body, limit_bytes: usize) -> Result<Bytes, BodyError> {
    let mut first: Option<Bytes> = None;
    let mut rest: Option<BytesMut> = None;
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else { continue };
        length += data.len();
        if length > limit_bytes {
            return Err(BodyError::TooLarge { limit_bytes });
        }
        match (&first, &mut rest) {
            // Most bodies come in one piece, which is handed on without a copy.
            (None, None) => first = Some(data),
            (_, Some(rest)) => rest.extend_from_slice(&data),
            (Some(begun), None) => {
                let mut all = BytesMut::with_capacity(length);
                all.extend_from_slice(begun);
                all.extend_from_slice(&data);
                rest = Some(all);
            }
        }
    }
    Ok(rest.map(BytesMut::freeze).or(first).unwrap_or_default())
}

/// A service made of a function.
pub struct ServiceFn<F>(pub F);

#[async_trait]
impl<F, Fut> Service for ServiceFn<F>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send + 'static,
{
    async fn call(&self, request: Request) -> Response {
        (self.0)(request).await
    }
}
