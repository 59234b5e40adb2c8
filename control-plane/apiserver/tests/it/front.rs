//! The server behind TLS, as clients outside the process reach it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::{Server, start};

/// A server that listens, and a client certificate for it.
pub struct Front {
    pub server: Server,
    address: SocketAddr,
    config: rustls::ClientConfig,
}

impl Front {
    pub async fn start() -> Self {
        Self::over(start().await)
    }

    /// Before a server.
    pub fn over(server: Server) -> Self {
        let leaf = |name: &str, groups: &[&str], usage| kit::pki::Leaf {
            common_name: name.to_owned(),
            organizations: groups.iter().map(|one| (*one).to_owned()).collect(),
            dns_names: vec!["cluster.test".to_owned()],
            addresses: Vec::new(),
            usage,
            valid: Duration::from_secs(3600),
        };
        let own = server.authority.issue(&leaf("cluster.test", &[], kit::pki::Usage::Server)).unwrap();
        let certificates = kit::tls::Certificates::new();
        certificates.set_default(&own.certificate_pem, &own.key_pem).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        kit::serve::tls(
            TcpListener::from_std(listener).unwrap(),
            kit::tls::server(certificates).unwrap(),
            server.api.service(),
            &server.tasks,
        );
        let admin =
            server.authority.issue(&leaf("admin", &["system:masters"], kit::pki::Usage::Client)).unwrap();
        let identity = kit::tls::ClientIdentity { chain_pem: admin.certificate_pem, key_pem: admin.key_pem };
        let config = kit::tls::client(server.authority.certificate_pem(), Some(&identity)).unwrap();
        Self { server, address, config }
    }

    /// A connection that speaks this protocol: `http/1.1` or `h2`.
    pub async fn connect(&self, protocol: &str) -> TlsStream<TcpStream> {
        let mut config = self.config.clone();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.address).await.unwrap();
        TlsConnector::from(Arc::new(config))
            .connect("cluster.test".try_into().unwrap(), stream)
            .await
            .unwrap()
    }
}
