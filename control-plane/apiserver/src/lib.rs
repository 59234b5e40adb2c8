//! The Kubernetes API server of one cluster, as a value: started, asked, stopped.
//!
//! One generic [`registry`] serves all kinds, which are data ([`api_model`]); a small [`strategy`] says what
//! data cannot. Objects are canonical JSON in the [`store`]; the [`watch`] cache holds them as the bytes that
//! are served. [`handlers`] turn HTTP into registry calls: who ([`authn`]), may they ([`authz`]), shall it be
//! ([`admission`]). [`loopback`] gives the control plane's own components a client without sockets.
//!
//! Guarantees: a list or get without a resource version shows every write that was acknowledged before it; a
//! write is checked against the object it replaces; every request is authenticated and authorised.
//! Does not: run controllers, listen on sockets, or know of machines.

pub mod access;
pub mod admission;
pub mod aggregation;
pub mod allocation;
pub mod attributes;
pub mod audit;
pub mod authn;
pub mod authz;
pub mod bootstrap;
pub mod discovery;
pub mod flow;
pub mod handlers;
pub mod loopback;
pub mod protobuf;
pub mod registry;
pub mod server;
pub mod strategy;
pub mod streaming;
pub mod tokens;
pub mod tunnel;
pub mod watch;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use ipnet::Ipv4Net;

pub use access::Access;
pub use attributes::{AdmissionRequest, ApiError, Attributes, Decision, Objects, Operation, UserInfo};
pub use authn::TokenAuthenticator;
pub use authz::ExternalAuthorizer;
pub use server::ApiServer;

/// What an API server is made of.
pub struct Config {
    /// The cluster's name, for logs.
    pub name: String,
    /// The object model of the cluster's minor version.
    pub model: Arc<api_model::Model>,
    /// Where the objects are.
    pub store: Arc<dyn store::Store>,
    /// The cluster's authority: client certificates are trusted when it signed them.
    pub authority: kit::pki::Authority,
    /// The key that signs service-account tokens, PEM.
    pub service_account_key_pem: String,
    /// The issuer in service-account tokens, a URL.
    pub issuer: String,
    /// Cluster addresses of services.
    pub service_cidr: Ipv4Net,
    /// The address that is kept for the cluster's DNS.
    pub dns_service_ip: Ipv4Addr,
    /// Where the cluster reaches this server: the endpoints of the `kubernetes` Service.
    pub advertise: SocketAddrV4,
    /// The version that is answered, `1.35.6`.
    pub version: String,
    /// Now.
    pub clock: Arc<dyn kit::Clock>,
    /// Others who can say whose a bearer token is.
    pub token_reviewers: Vec<Arc<dyn TokenAuthenticator>>,
    /// How those who ask are known and judged.
    pub access: Access,
}

/// Why an API server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store could not be read.
    #[error("failed to read the store")]
    Store(#[from] store::StoreError),
    /// A key or certificate is not usable.
    #[error("failed to set up {what}: {why}")]
    Keys {
        /// What they are for.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The objects that every cluster has could not be written.
    #[error("failed to write the objects every cluster starts with")]
    Bootstrap(#[source] ApiError),
}
