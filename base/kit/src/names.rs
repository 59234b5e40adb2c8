//! Resolving names without libc: a static binary has no NSS.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hickory_resolver::TokioResolver;
use hyper_util::client::legacy::connect::dns::Name;
use parking_lot::RwLock;

/// Resolves host names: first from a table the caller filled, then by DNS as `/etc/resolv.conf` says.
#[derive(Clone, Default)]
pub struct Names {
    fixed: Arc<RwLock<std::collections::HashMap<String, IpAddr>>>,
    dns: Arc<RwLock<Option<Arc<TokioResolver>>>>,
}

impl Names {
    /// A resolver with an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on `name` is `address`, without asking anybody.
    pub fn fix(&self, name: &str, address: IpAddr) {
        self.fixed.write().insert(name.to_ascii_lowercase(), address);
    }

    fn dns(&self) -> io::Result<Arc<TokioResolver>> {
        if let Some(dns) = self.dns.read().clone() {
            return Ok(dns);
        }
        let made =
            TokioResolver::builder_tokio().and_then(|builder| builder.build()).map_err(io::Error::other)?;
        let made = Arc::new(made);
        *self.dns.write() = Some(made.clone());
        Ok(made)
    }

    /// The addresses of `name`; a literal address is its own.
    pub async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            return Ok(vec![address]);
        }
        if let Some(address) = self.fixed.read().get(&bare.to_ascii_lowercase()) {
            return Ok(vec![*address]);
        }
        if bare.eq_ignore_ascii_case("localhost") {
            return Ok(vec![IpAddr::from([127, 0, 0, 1])]);
        }
        let found = self.dns()?.lookup_ip(bare).await.map_err(io::Error::other)?;
        Ok(found.iter().collect())
    }
}

impl tower::Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let names = self.clone();
        Box::pin(async move {
            let found = names.lookup(name.as_str()).await?;
            Ok(found.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect::<Vec<_>>().into_iter())
        })
    }
}
