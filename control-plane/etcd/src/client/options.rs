//! Where a cluster of etcd is, how both sides know each other, and why a store there may not open.

use std::time::Duration;

use store::StoreError;

/// How to reach an etcd cluster.
#[derive(Clone)]
pub struct Options {
    /// `http://` or `https://` with host and port, one for each member.
    pub endpoints: Vec<String>,
    /// What all keys of this store begin with; each cluster has its own.
    pub prefix: String,
    /// For `https://`.
    pub tls: Option<Tls>,
    /// How long a request may take; a read is tried again within it.
    pub request_limit: Duration,
}

/// How to trust etcd, and how to be trusted by it.
#[derive(Clone)]
pub struct Tls {
    /// The authority of etcd's server certificates.
    pub roots_pem: String,
    /// The client's own certificate.
    pub identity: Option<kit::tls::ClientIdentity>,
    /// The name to look for in the server's certificate, if not the endpoint's host.
    pub server_name: Option<String>,
}

impl Options {
    /// Plain endpoints with the usual limit of a request.
    pub fn new(endpoints: impl IntoIterator<Item = impl Into<String>>, prefix: impl Into<String>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            prefix: prefix.into(),
            tls: None,
            request_limit: Duration::from_secs(5),
        }
    }
}

/// Why a store in etcd could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No endpoint was given.
    #[error("no endpoint of etcd is given")]
    NoEndpoint,
    /// It is no address.
    #[error("`{endpoint}` is no endpoint of etcd; give http://host:port or https://host:port")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// The certificates are not what they should be.
    #[error("failed to set up TLS to etcd")]
    Tls(#[from] kit::tls::TlsError),
    /// It does not answer as it should.
    #[error("failed to read from etcd")]
    Store(#[from] StoreError),
}
