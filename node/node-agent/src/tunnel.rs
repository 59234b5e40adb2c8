//! The node's one connection to its control plane, over which the control plane reaches kubelet, pods and services.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, header};
use hyper_util::client::legacy::Client as Legacy;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ipnet::Ipv4Net;
use kit::tls::ClientIdentity;
use kit::tunnel::{Target, carry};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::api::Endpoint;
use crate::error::Cause;

const PATH: &str = "/lazurite/v1/tunnel";
const PROTOCOL: &str = "lazurite-tunnel";
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_LAST: Duration = Duration::from_secs(5);
/// A connection that lasted this long was a good one: the next attempt comes at once.
const GOOD: Duration = Duration::from_secs(10);
const DIAL_LIMIT: Duration = Duration::from_secs(10);
const KUBELET_PORT: u16 = 10250;

/// Where streams may go.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    /// Names and addresses of the node itself.
    pub node: Vec<String>,
    /// The kubelet's real address.
    pub kubelet: SocketAddr,
    /// Addresses of pods and services.
    pub inside: Vec<Ipv4Net>,
}

impl Reach {
    /// The address behind a target; an error says that streams may not go there.
    fn resolve(&self, target: &Target) -> io::Result<SocketAddr> {
        let host = target.host.trim_matches(['[', ']']);
        let loopback = host.eq_ignore_ascii_case("localhost") || host == "127.0.0.1";
        if loopback || self.node.iter().any(|name| name.eq_ignore_ascii_case(host)) {
            if target.port != KUBELET_PORT && target.port != self.kubelet.port() {
                return Err(io::Error::new(
                    io::ErrorKind::PermissionDenied,
                    "only the kubelet is reached here",
                ));
            }
            let local = if self.kubelet.ip().is_unspecified() {
                IpAddr::V4(Ipv4Addr::LOCALHOST)
            } else {
                self.kubelet.ip()
            };
            return Ok(SocketAddr::new(local, self.kubelet.port()));
        }
        match host.parse::<Ipv4Addr>() {
            Ok(address) if self.inside.iter().any(|net| net.contains(&address)) => {
                Ok(SocketAddr::from((address, target.port)))
            }
            _ => {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, "neither this node nor a pod or service"))
            }
        }
    }

    async fn dial(&self, target: &Target) -> io::Result<TcpStream> {
        let address = self.resolve(target)?;
        let stream = tokio::time::timeout(DIAL_LIMIT, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Keeps the tunnel up, for ever.
pub(crate) async fn keep(
    endpoint: Endpoint,
    mut identity: watch::Receiver<Arc<ClientIdentity>>,
    reach: Reach,
) {
    let reach = Arc::new(reach);
    let mut pause = RETRY_FIRST;
    loop {
        let began = Instant::now();
        let current = identity.borrow_and_update().clone();
        if let Err(error) = once(&endpoint, &current, reach.clone()).await {
            tracing::info!(error = %kit::Chain(error.as_ref()), "the tunnel ended");
        }
        pause = if began.elapsed() > GOOD { RETRY_FIRST } else { (pause * 2).min(RETRY_LAST) };
        sleep(pause).await;
    }
}

async fn once(endpoint: &Endpoint, identity: &ClientIdentity, reach: Arc<Reach>) -> Result<(), Cause> {
    let connector = endpoint.connector(Some(identity))?.only_http1();
    let client: Legacy<_, kit::http::Body> = Legacy::builder(TokioExecutor::new()).build(connector);
    let request = Request::get(endpoint.uri(PATH)?)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, PROTOCOL)
        .body(kit::http::empty())?;
    let response = client.request(request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(format!("the API server answered {}", response.status()).into());
    }
    let upgraded = hyper::upgrade::on(response).await?;
    tracing::info!("the tunnel is up");
    let dial = move |target: Target| {
        let reach = reach.clone();
        async move { reach.dial(&target).await }
    };
    Ok(carry(TokioIo::new(upgraded), dial).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_go_to_the_kubelet_pods_and_services_only() {
        let reach = Reach {
            node: vec!["node-a".into(), "10.224.0.4".into()],
            kubelet: "0.0.0.0:10250".parse().unwrap(),
            inside: vec!["10.244.0.0/16".parse().unwrap(), "10.0.0.0/16".parse().unwrap()],
        };
        let resolve = |host: &str, port| reach.resolve(&Target { host: host.into(), port }).ok();
        assert_eq!(resolve("127.0.0.1", 10250), Some("127.0.0.1:10250".parse().unwrap()));
        assert_eq!(resolve("NODE-a", 10250), Some("127.0.0.1:10250".parse().unwrap()));
        assert_eq!(resolve("10.244.3.4", 8443), Some("10.244.3.4:8443".parse().unwrap()));
        assert_eq!(resolve("127.0.0.1", 22), None);
        assert_eq!(resolve("169.254.169.254", 80), None);
        assert_eq!(resolve("10.224.0.5", 10250), None);
    }
}
