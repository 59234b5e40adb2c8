//! Speaking to the API server: names without libc, an identity that can be renewed while in use.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kit::client::Connector;
use kit::names::Names;
use kit::tls::{ClientIdentity, TlsError};
use parking_lot::RwLock;

use crate::document::Bootstrap;

const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 25 * 1024 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// Where the API server is.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub fqdn: String,
    pub port: u16,
    pub ca_pem: String,
    pub names: Names,
}

impl Endpoint {
    pub fn new(bootstrap: &Bootstrap, names: Names) -> Self {
        Self {
            fqdn: bootstrap.fqdn.clone(),
            port: bootstrap.api_server_port,
            ca_pem: bootstrap.ca_pem.clone(),
            names,
        }
    }

    pub fn uri(&self, path_and_query: &str) -> Result<Uri, http::Error> {
        let authority = format!("{}:{}", self.fqdn, self.port);
        Uri::builder().scheme("https").authority(authority).path_and_query(path_and_query).build()
    }

    pub fn connector(&self, identity: Option<&ClientIdentity>) -> Result<Connector, TlsError> {
        kit::client::connector(&self.ca_pem, identity, self.names.clone(), None)
    }
}

type Inner = Legacy<Connector, kube::client::Body>;

/// The transport of a `kube::Client`.
#[derive(Clone)]
pub(crate) struct Transport {
    endpoint: Endpoint,
    bearer: Option<HeaderValue>,
    current: Arc<RwLock<Inner>>,
}

fn inner(connector: Connector) -> Inner {
    Legacy::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(60))
        .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .http2_keep_alive_while_idle(true)
        .build(connector)
}

impl Transport {
    /// Speaks with a certificate, a bearer token, or neither.
    pub fn new(
        endpoint: &Endpoint,
        identity: Option<&ClientIdentity>,
        bearer: Option<&str>,
    ) -> Result<Self, TlsError> {
        let bearer = bearer.and_then(|token| HeaderValue::try_from(format!("Bearer {token}")).ok());
        let bearer = bearer.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        let current = inner(endpoint.connector(identity)?);
        Ok(Self { endpoint: endpoint.clone(), bearer, current: Arc::new(RwLock::new(current)) })
    }

    /// From now on new requests speak with this certificate.
    pub fn renew(&self, identity: &ClientIdentity) -> Result<(), TlsError> {
        *self.current.write() = inner(self.endpoint.connector(Some(identity))?);
        Ok(())
    }

    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "default")
    }
}

impl tower::Service<Request<kube::client::Body>> for Transport {
    type Response = Response<Incoming>;
    type Error = kit::http::BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<kube::client::Body>) -> Self::Future {
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        let uri = self.endpoint.uri(path);
        if let Some(bearer) = &self.bearer {
            request.headers_mut().insert(header::AUTHORIZATION, bearer.clone());
        }
        let current = self.current.read().clone();
        Box::pin(async move {
            *request.uri_mut() = uri?;
            Ok(current.request(request).await?)
        })
    }
}
