//! Connections to the members of a cluster: one in use, another when it fails.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kit::names::Names;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::options::{OpenError, Options, Tls};

/// A member that does not answer pings for so long is left. etcd allows one ping in 5 s.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_LIMIT: Duration = Duration::from_secs(5);
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// As wide as the API server's own: lists and watches of large objects do not stall.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 25 * 1024 * 1024;

/// The members, by number.
pub(super) struct Endpoints {
    channels: Vec<Channel>,
    current: AtomicUsize,
}

impl Endpoints {
    /// Connects when first used.
    pub fn new(options: &Options) -> Result<Self, OpenError> {
        if options.endpoints.is_empty() {
            return Err(OpenError::NoEndpoint);
        }
        let channels = options
            .endpoints
            .iter()
            .map(|endpoint| channel(endpoint, options.tls.as_ref(), options.request_limit))
            .collect::<Result<_, _>>()?;
        Ok(Self { channels, current: AtomicUsize::new(0) })
    }

    /// The member in use.
    pub fn current(&self) -> (usize, Channel) {
        let number = self.current.load(Ordering::Relaxed) % self.channels.len();
        (number, self.channels[number].clone())
    }

    /// This member failed: the next one is in use, unless somebody changed it already.
    pub fn avoid(&self, number: usize) {
        let next = (number + 1) % self.channels.len();
        let _ = self.current.compare_exchange(number, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

fn channel(text: &str, tls: Option<&Tls>, request_limit: Duration) -> Result<Channel, OpenError> {
    let wrong = || OpenError::Endpoint { endpoint: text.to_owned() };
    let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err(wrong()),
    };
    let rest = rest.trim_end_matches('/');
    // The connector makes the connection secure; the library would insist on doing that itself.
    let endpoint = Endpoint::from_shared(format!("http://{rest}"))
        .map_err(|_| wrong())?
        .connect_timeout(CONNECT_LIMIT)
        .timeout(request_limit)
        .http2_keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_LIMIT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .tcp_nodelay(true);
    if !secure {
        return Ok(endpoint.connect_lazy());
    }
    let tls =
        tls.ok_or_else(|| kit::tls::TlsError::Tls(rustls::Error::General("no authority is given".into())))?;
    let connector = kit::client::connector(
        &tls.roots_pem,
        tls.identity.as_ref(),
        Names::new(),
        tls.server_name.as_deref(),
    )?;
    let secured = tower::service_fn(move |uri: http::Uri| {
        let mut connector = connector.clone();
        async move {
            let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
            let uri = http::Uri::try_from(format!("https://{authority}/"))?;
            std::future::poll_fn(|context| tower::Service::poll_ready(&mut connector, context)).await?;
            tower::Service::call(&mut connector, uri).await
        }
    });
    Ok(endpoint.connect_with_connector_lazy(secured))
}

/// Whether an answer was lost, or the member cannot answer now.
pub(super) fn is_lost(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::Unknown)
}
