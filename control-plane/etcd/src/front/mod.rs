//! etcd's interface over the embedded store: KV, Watch, Lease, Maintenance and the list of the one member.
//!
//! Answers are linearizable: what is read was acknowledged as durable, and an acknowledged write is seen by every later read and
//! watcher. Errors have etcd's codes and words. A watch's progress is exact: what was not sent before is newer.
//!
//! Keys of etcd are bytes, those of the store are text. Each byte becomes the character of its number, which keeps the order and
//! changes nothing in ASCII; see [`keys`]. Of etcd's interface it has no users and roles, elections, locks, or changes of members:
//! these answer `UNIMPLEMENTED`.

mod cluster;
mod errors;
mod keys;
mod lease;
mod maintenance;
mod range;
mod txn;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use kit::Tasks;
use kit::http::{BoxService, Request, Response, Service};
use store::{Embedded, Revision};
use tonic::body::Body;
use tonic::service::Routes;

use crate::proto::ResponseHeader;
use crate::proto::cluster_server::ClusterServer;
use crate::proto::kv_server::KvServer;
use crate::proto::lease_server::LeaseServer;
use crate::proto::maintenance_server::MaintenanceServer;
use crate::proto::watch_server::WatchServer;

/// The largest request, in bytes: etcd's default.
const REQUEST_MAX_BYTES: usize = 1_572_864;
/// What the transport may add to it: etcd's number.
const TRANSPORT_MAX_BYTES: usize = 512 * 1024;
/// Operations in one branch of a transaction: etcd's default.
const TXN_OPS_MAX: usize = 128;
/// The version of the interface that is spoken, as status tells it.
const INTERFACE_VERSION: &str = "3.5.30";

/// How a front behaves.
#[derive(Debug, Clone)]
pub struct FrontOptions {
    /// The member's name.
    pub name: String,
    /// Where clients reach it, for the list of members.
    pub client_urls: Vec<String>,
    /// How often a watcher without events that asked for it is told how far it is: etcd's ten minutes.
    pub progress_every: Duration,
    /// A watch response larger than this is split for who asked for it: etcd's limit of a request and what the transport adds.
    pub fragment_bytes: usize,
}

impl Default for FrontOptions {
    fn default() -> Self {
        Self {
            name: "default".into(),
            client_urls: Vec::new(),
            progress_every: Duration::from_secs(600),
            fragment_bytes: REQUEST_MAX_BYTES + TRANSPORT_MAX_BYTES,
        }
    }
}

/// etcd's interface over a store. Cheap to clone.
#[derive(Clone)]
pub struct Front {
    store: Arc<Embedded>,
    options: Arc<FrontOptions>,
    member_id: u64,
    tasks: Tasks,
}

impl Front {
    /// A front over `store`; its streams end when `tasks` are told to stop.
    pub fn new(store: Arc<Embedded>, options: FrontOptions, tasks: &Tasks) -> Self {
        use sha2::Digest;
        let digest = sha2::Sha256::digest(options.name.as_bytes());
        let member_id = digest.iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte));
        Self { store, options: Arc::new(options), member_id: member_id.max(1), tasks: tasks.clone() }
    }

    /// The front as a service for HTTP/2, to serve with [`kit::serve`].
    pub fn service(&self) -> BoxService {
        let limit = REQUEST_MAX_BYTES + TRANSPORT_MAX_BYTES;
        let routes = Routes::new(
            KvServer::new(self.clone())
                .max_decoding_message_size(limit)
                .max_encoding_message_size(usize::MAX),
        )
        .add_service(
            WatchServer::new(self.clone())
                .max_decoding_message_size(limit)
                .max_encoding_message_size(usize::MAX),
        )
        .add_service(LeaseServer::new(self.clone()))
        .add_service(MaintenanceServer::new(self.clone()))
        .add_service(ClusterServer::new(self.clone()));
        Arc::new(Grpc(routes))
    }

    fn header(&self, revision: Revision) -> Option<ResponseHeader> {
        Some(ResponseHeader {
            cluster_id: self.member_id.rotate_left(32),
            member_id: self.member_id,
            revision: signed(revision),
            raft_term: 1,
        })
    }

    fn header_now(&self) -> Option<ResponseHeader> {
        self.header(self.store.revisions().0)
    }
}

/// TLS for a front that answers only clients with a certificate of `client_roots_pem`.
///
/// # Errors
/// When a text is not PEM of what it should be.
pub fn mutual_tls(
    chain_pem: &str,
    key_pem: &str,
    client_roots_pem: &str,
) -> Result<Arc<rustls::ServerConfig>, kit::tls::TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in kit::tls::certificates(client_roots_pem)? {
        roots.add(certificate)?;
    }
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(kit::tls::certificates(chain_pem)?, kit::tls::key(key_pem)?)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The routes as the project's kind of service.
struct Grpc(Routes);

#[async_trait]
impl Service for Grpc {
    async fn call(&self, request: Request) -> Response {
        let mut routes = self.0.clone();
        let request = request.map(Body::new);
        match tower::Service::call(&mut routes, request).await {
            Ok(response) => response.map(kit::http::boxed),
            Err(never) => match never {},
        }
    }
}
