//! Is there a way out, a name, an API server? In AKS's order, with AKS's exit codes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use kit::names::Names;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::api::Endpoint;
use crate::error::{BootError, Cause};

/// Outside of the network: what every node must reach.
const OUTBOUND: (&str, u16) = ("management.azure.com", 443);
const ATTEMPT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(300);
/// How long each check tries. AKS tries for minutes; here the first answer is a millisecond away.
const PATIENCE: Duration = Duration::from_secs(12);

/// Tries until it works, or patience ends: then the last failure.
async fn persist<T, F: Future<Output = Result<T, Cause>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<T, Cause> {
    let end = Instant::now() + PATIENCE;
    loop {
        let failure: Cause = match timeout(ATTEMPT, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(failure)) => failure,
            Err(_) => "timed out".into(),
        };
        if Instant::now() >= end {
            return Err(failure);
        }
        sleep(PAUSE).await;
    }
}

async fn first_address(names: &Names, name: &str) -> Result<IpAddr, Cause> {
    names.lookup(name).await?.first().copied().ok_or_else(|| "the name has no address".into())
}

pub(crate) async fn outbound(names: &Names) -> Result<(), BootError> {
    let (host, port) = OUTBOUND;
    let connected = persist(|| async {
        let address = first_address(names, host).await?;
        TcpStream::connect(SocketAddr::new(address, port)).await?;
        Ok(())
    });
    let endpoint = format!("{host}:{port}");
    connected.await.map_err(|source| BootError::Outbound { endpoint, source })
}

pub(crate) async fn name(endpoint: &Endpoint) -> Result<IpAddr, BootError> {
    let found = persist(|| first_address(&endpoint.names, &endpoint.fqdn)).await;
    found.map_err(|source| BootError::ApiServerName { fqdn: endpoint.fqdn.clone(), source })
}

/// TCP and TLS; any answer will do.
pub(crate) async fn api_server(endpoint: &Endpoint) -> Result<(), BootError> {
    let failed = |source| BootError::ApiServer { fqdn: endpoint.fqdn.clone(), source };
    let client = kit::client::Client::new(&endpoint.ca_pem, None, endpoint.names.clone(), None);
    let client = client.map_err(|e| failed(e.into()))?;
    let answered = persist(|| async {
        let request = http::Request::get(endpoint.uri("/healthz")?).body(kit::http::empty())?;
        client.send(request).await?;
        Ok(())
    });
    answered.await.map_err(failed)
}
