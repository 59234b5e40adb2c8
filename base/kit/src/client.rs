//! An HTTP client that trusts whom it is told to trust and resolves names without libc.

use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::http::{Body, Request, Response, boxed};
use crate::names::Names;
use crate::tls::{ClientIdentity, TlsError};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered, or not with HTTP.
    #[error("failed to reach `{to}`")]
    Unreachable {
        /// Scheme, host and port that were tried.
        to: String,
        /// What the connection said.
        #[source]
        source: hyper_util::client::legacy::Error,
    },
}

/// The connector below: TCP through [`Names`], then TLS by rustls.
pub type Connector = crate::connector::TlsConnector;

/// A client with a pool of connections. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Legacy<Connector, Body>,
}

/// A connector that trusts `roots_pem` and shows `identity`; also the transport of a `kube::Client`.
///
/// `server_name` overrides the name that is asked for and checked in TLS (SNI routing on a shared port).
pub fn connector(
    roots_pem: &str,
    identity: Option<&ClientIdentity>,
    names: Names,
    server_name: Option<&str>,
) -> Result<Connector, TlsError> {
    let mut http = HttpConnector::new_with_resolver(names);
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_LIMIT));
    let config = crate::tls::client(roots_pem, identity)?;
    Connector::new(http, config, server_name)
}

impl Client {
    /// A client over [`connector`].
    pub fn new(
        roots_pem: &str,
        identity: Option<&ClientIdentity>,
        names: Names,
        server_name: Option<&str>,
    ) -> Result<Self, TlsError> {
        Ok(Self::over(connector(roots_pem, identity, names, server_name)?))
    }

    /// A client over a connector of the caller's.
    pub fn over(connector: Connector) -> Self {
        let inner = Legacy::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .build(connector);
        Self { inner }
    }

    /// Sends one request; its URI is absolute.
    pub async fn send(&self, request: Request) -> Result<Response, ClientError> {
        let to = origin(request.uri());
        match self.inner.request(request).await {
            Ok(response) => Ok(response.map(boxed)),
            Err(source) => Err(ClientError::Unreachable { to, source }),
        }
    }
}

fn origin(uri: &Uri) -> String {
    format!(
        "{}://{}",
        uri.scheme_str().unwrap_or("http"),
        uri.authority().map(http::uri::Authority::as_str).unwrap_or_default()
    )
}
