//! HTTP to kubelets, and to whatever else is behind a tunnel, over one stream per request.

use std::sync::Arc;
use std::time::Duration;

use http::header;
use hyper_util::rt::TokioIo;
use kit::http::{Body, Request, Response, boxed};
use kit::pki::{Authority, Leaf, Usage};
use kit::tls::ClientIdentity;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::{DialError, Tunnels};

/// The kubelet's port.
const PORT: u16 = 10250;
const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Why a kubelet, pod or service gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum KubeletError {
    /// The client certificate could not be made.
    #[error("failed to make the client certificate for kubelets")]
    Identity(#[from] kit::pki::PkiError),
    /// TLS could not be set up.
    #[error("failed to set up TLS to kubelets")]
    Tls(#[from] kit::tls::TlsError),
    /// It cannot be reached.
    #[error("failed to reach it")]
    Dial(#[from] DialError),
    /// The node's name cannot be one in a certificate.
    #[error("`{0}` is no server name")]
    Name(String),
    /// The handshake failed.
    #[error("failed to speak TLS with it")]
    Handshake(#[source] std::io::Error),
    /// It does not speak HTTP, or the connection broke.
    #[error("failed to speak HTTP with it")]
    Http(#[from] hyper::Error),
}

/// The API server as a client of kubelets.
pub struct Kubelets {
    tunnels: Arc<Tunnels>,
    tls: TlsConnector,
    /// Shows the certificate, but checks none.
    trusting: TlsConnector,
}

impl Kubelets {
    /// Trusts kubelets that the cluster's authority vouches for, and shows a certificate of it.
    pub fn new(authority: &Authority, tunnels: Arc<Tunnels>) -> Result<Self, KubeletError> {
        let issued = authority.issue(&Leaf {
            common_name: "kube-apiserver-kubelet-client".into(),
            organizations: vec!["system:masters".into()],
            dns_names: Vec::new(),
            addresses: Vec::new(),
            usage: Usage::Client,
            valid: TEN_YEARS,
        })?;
        let identity = ClientIdentity { chain_pem: issued.certificate_pem, key_pem: issued.key_pem };
        let mut config = kit::tls::client(authority.certificate_pem(), Some(&identity))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut trusting = config.clone();
        trusting.dangerous().set_certificate_verifier(kit::anybody::verifier());
        let connector = |config| TlsConnector::from(Arc::new(config));
        Ok(Self { tunnels, tls: connector(config), trusting: connector(trusting) })
    }

    /// The tunnels below.
    pub fn tunnels(&self) -> &Arc<Tunnels> {
        &self.tunnels
    }

    /// Sends a request, whose URI is a path, to the kubelet of a node. Upgrades work through `hyper::upgrade::on` the response.
    pub async fn send(&self, node: &str, request: Request) -> Result<Response, KubeletError> {
        self.send_by(&self.tls, node, request).await
    }

    /// The same without a check of the kubelet's certificate, for a caller who says so.
    pub async fn send_trusting(&self, node: &str, request: Request) -> Result<Response, KubeletError> {
        self.send_by(&self.trusting, node, request).await
    }

    async fn send_by(
        &self,
        tls: &TlsConnector,
        node: &str,
        request: Request,
    ) -> Result<Response, KubeletError> {
        let stream = self.tunnels.dial(node, "127.0.0.1", PORT).await?;
        let name = ServerName::try_from(node.to_owned()).map_err(|_| KubeletError::Name(node.to_owned()))?;
        let handshake = tokio::time::timeout(HANDSHAKE_LIMIT, tls.connect(name, stream));
        let stream = match handshake.await {
            Ok(connected) => connected.map_err(KubeletError::Handshake)?,
            Err(_) => return Err(KubeletError::Handshake(std::io::ErrorKind::TimedOut.into())),
        };
        exchange(stream, node, request).await
    }

    /// Sends a plain HTTP request to an address in the cluster.
    pub async fn send_plain(
        &self,
        preferred_node: &str,
        host: &str,
        port: u16,
        request: Request,
    ) -> Result<Response, KubeletError> {
        let stream = self.tunnels.dial_any(preferred_node, host, port).await?;
        exchange(stream, &format!("{host}:{port}"), request).await
    }

    /// Sends an HTTPS request to an address in the cluster, trusting `config`, which names whom it trusts.
    pub async fn send_tls(
        &self,
        preferred_node: &str,
        (host, port): (&str, u16),
        (config, name): (Arc<rustls::ClientConfig>, &str),
        request: Request,
    ) -> Result<Response, KubeletError> {
        let stream = self.tunnels.dial_any(preferred_node, host, port).await?;
        let server =
            ServerName::try_from(name.to_owned()).map_err(|_| KubeletError::Name(name.to_owned()))?;
        let stream =
            tokio::time::timeout(HANDSHAKE_LIMIT, TlsConnector::from(config).connect(server, stream))
                .await
                .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
                .map_err(KubeletError::Handshake)?;
        exchange(stream, name, request).await
    }
}

/// One request on a fresh connection, which ends when the response's body (or upgrade) does.
async fn exchange<S>(stream: S, host: &str, mut request: Request) -> Result<Response, KubeletError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Body>(TokioIo::new(stream)).await?;
    // The connection lives as long as somebody reads its response; dropping the body ends it.
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection through a tunnel ended");
        }
    });
    if !request.headers().contains_key(header::HOST)
        && let Ok(host) = host.parse()
    {
        request.headers_mut().insert(header::HOST, host);
    }
    let response = sender.send_request(request).await?;
    Ok(response.map(boxed))
}
