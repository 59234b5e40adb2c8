//! The nodes' tunnels: who has one, and dialling through them.
//!
//! A node keeps one connection (contract 3.4) and is reached only through it. Guarantees: a tunnel belongs to the node whose certificate opened
//! it; a newer one of the same node replaces the older. Does not: authenticate (the caller has) or retry.

mod kubelet;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use kit::Tasks;
use kit::http::{Request, Response};
use kit::tunnel::{Opener, Stream, Target, TunnelError};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

pub use kubelet::{KubeletError, Kubelets};

use crate::attributes::{ApiError, UserInfo};
use crate::authz::node_name;

/// The path on which nodes open their tunnels.
pub const PATH: &str = "/lazurite/v1/tunnel";
const PROTOCOL: &str = "lazurite-tunnel";

/// Why a node cannot be dialled.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The node has no tunnel now.
    #[error("no tunnel to node \"{0}\"")]
    NoTunnel(String),
    /// No node has one.
    #[error("no node has a tunnel")]
    NoNode,
    /// The tunnel is there, the way beyond it is not.
    #[error("failed to dial through the tunnel of node \"{node}\"")]
    Beyond {
        /// The node.
        node: String,
        /// What went wrong there.
        #[source]
        source: TunnelError,
    },
}

struct Session {
    number: u64,
    opener: Opener,
}

/// All tunnels of one cluster.
pub struct Tunnels {
    sessions: Mutex<HashMap<String, Session>>,
    counter: AtomicU64,
    changed: watch::Sender<u64>,
    tasks: Tasks,
}

impl Tunnels {
    /// Without tunnels; they run in `tasks`.
    pub fn new(tasks: &Tasks) -> Arc<Self> {
        Arc::new(Self {
            sessions: Mutex::default(),
            counter: AtomicU64::new(1),
            changed: watch::Sender::new(0),
            tasks: tasks.clone(),
        })
    }

    /// Answers a node that asks for [`PATH`]: 101, and from then on the connection is its tunnel.
    pub fn accept(self: &Arc<Self>, mut request: Request, user: &UserInfo) -> Response {
        let Some(node) = node_name(user).map(str::to_owned) else {
            let why = format!("User \"{}\" is not a node and may not open a tunnel", user.name);
            return ApiError::forbidden("", "", "", &why).response();
        };
        let asked = request.headers().get(header::UPGRADE).and_then(|value| value.to_str().ok());
        if !asked.is_some_and(|asked| asked.eq_ignore_ascii_case(PROTOCOL)) {
            return ApiError::bad_request(format!("this path needs `Upgrade: {PROTOCOL}`")).response();
        }
        let upgrade = hyper::upgrade::on(&mut request);
        let tunnels = self.clone();
        self.tasks.spawn("tunnel", async move {
            match upgrade.await {
                Ok(upgraded) => tunnels.run(&node, TokioIo::new(upgraded)).await,
                Err(error) => tracing::debug!(%node, %error, "a tunnel was not upgraded"),
            }
        });
        let mut response = kit::http::status(StatusCode::SWITCHING_PROTOCOLS);
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static(PROTOCOL));
        response
    }

    /// Makes a connection the tunnel of a node until it ends.
    pub async fn run<T>(&self, node: &str, connection: T)
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (opener, driver) = kit::tunnel::opener(connection);
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let older = self.sessions.lock().insert(node.to_owned(), Session { number, opener });
        drop(older);
        self.changed.send_modify(|count| *count += 1);
        tracing::info!(node, "tunnel is open");
        driver.await;
        let mut sessions = self.sessions.lock();
        if sessions.get(node).is_some_and(|session| session.number == number) {
            sessions.remove(node);
            tracing::info!(node, "tunnel is closed");
        }
        drop(sessions);
        self.changed.send_modify(|count| *count += 1);
    }

    /// The nodes that have a tunnel.
    pub fn nodes(&self) -> Vec<String> {
        let sessions = self.sessions.lock();
        let mut nodes: Vec<String> = sessions
            .iter()
            .filter(|(_, one)| !one.opener.is_closed())
            .map(|(node, _)| node.clone())
            .collect();
        nodes.sort();
        nodes
    }

    /// Changes with every tunnel that opens or closes.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A connection to `host:port` as seen from `node`.
    pub async fn dial(&self, node: &str, host: &str, port: u16) -> Result<Stream, DialError> {
        let opener = self.sessions.lock().get(node).map(|session| session.opener.clone());
        let opener = opener.ok_or_else(|| DialError::NoTunnel(node.to_owned()))?;
        let target = Target { host: host.to_owned(), port };
        opener.open(&target).await.map_err(|source| match source {
            TunnelError::Closed => DialError::NoTunnel(node.to_owned()),
            source => DialError::Beyond { node: node.to_owned(), source },
        })
    }

    /// A connection to an address of the cluster through `preferred` if it has a tunnel, else through any node.
    pub async fn dial_any(&self, preferred: &str, host: &str, port: u16) -> Result<Stream, DialError> {
        let nodes = self.nodes();
        let first = nodes.iter().find(|node| *node == preferred).or_else(|| nodes.first());
        let node = first.ok_or(DialError::NoNode)?;
        self.dial(node, host, port).await
    }
}

#[cfg(test)]
mod tests;
