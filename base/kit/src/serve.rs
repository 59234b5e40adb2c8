//! Serving HTTP/1.1 and HTTP/2, with or without TLS, for one [`Service`](crate::http::Service).
//!
//! Upgrades (`hyper::upgrade::on`) work. Window sizes and stream counts are those Go's HTTP/2 server
//! uses: with hyper's small defaults a client that lists and watches much stalls.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, header};
use hyper::body::{Body, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use crate::Tasks;
use crate::http::{BoxService, Connection, Response, boxed, empty};

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 25 * 1024 * 1024;
const STREAMS_MAX: u32 = 1_000;
const HEADERS_MAX_BYTES: u32 = 64 * 1024;
const HEAD_READ_LIMIT: Duration = Duration::from_secs(30);

/// Says who may connect: by the client's address and the server name it asks for, before anything is answered.
pub trait Gate: Send + Sync + 'static {
    /// Whether a connection is let in.
    fn admits(&self, peer: SocketAddr, server_name: Option<&str>) -> bool;

    /// Changes whenever an answer may have become another: open connections are then judged anew.
    fn changed(&self) -> watch::Receiver<u64>;
}

/// Serves TLS connections of `listener` until the group is told to stop.
pub fn tls(listener: TcpListener, config: Arc<rustls::ServerConfig>, service: BoxService, tasks: &Tasks) {
    let acceptor = TlsAcceptor::from(config);
    accept(listener, tasks, move |stream, peer, local| {
        let (acceptor, service) = (acceptor.clone(), service.clone());
        async move {
            let accepted = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await;
            let Ok(Ok(stream)) = accepted else {
                tracing::debug!(%peer, "TLS handshake failed");
                return;
            };
            let connection = described(&stream, peer, local);
            one(TokioIo::new(stream), connection, service).await;
        }
    });
}

/// The same behind a gate. Who is refused gets a reset in place of an answer to the TLS hello; a connection whose client
/// is refused later is closed, but for streams that were handed over to an upgraded protocol, which live to their end.
pub fn tls_behind(
    gate: Arc<dyn Gate>,
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
    service: BoxService,
    tasks: &Tasks,
) {
    accept(listener, tasks, move |stream, peer, local| {
        let (gate, config, service) = (gate.clone(), config.clone(), service.clone());
        async move {
            let changed = gate.changed();
            let greeted = greet(stream, config, gate.as_ref(), peer);
            let Ok(Some(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, greeted).await else {
                tracing::debug!(%peer, "TLS handshake failed or was refused");
                return;
            };
            let connection = described(&stream, peer, local);
            let name = connection.server_name.clone();
            tokio::select! {
                () = one(TokioIo::new(stream), connection, service) => {}
                () = refused(gate.as_ref(), changed, peer, name.as_deref()) => {
                    tracing::debug!(%peer, "a connection's client is not let in any more");
                }
            }
        }
    });
}

/// The handshake, if the gate lets it be.
async fn greet(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    gate: &dyn Gate,
    peer: SocketAddr,
) -> Option<TlsStream<TcpStream>> {
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await.ok()?;
    if gate.admits(peer, hello.client_hello().server_name()) {
        return hello.into_stream(config).await.ok();
    }
    // Dropped with what was read: the client sees a reset, no TLS alert.
    let _ = hello.io.set_zero_linger();
    None
}

/// Ends when a client is not let in any more.
async fn refused(gate: &dyn Gate, mut changed: watch::Receiver<u64>, peer: SocketAddr, name: Option<&str>) {
    while gate.admits(peer, name) {
        if changed.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn described(stream: &TlsStream<TcpStream>, peer: SocketAddr, local: SocketAddr) -> Connection {
    let (_, session) = stream.get_ref();
    let certificates = session.peer_certificates().unwrap_or_default();
    Connection {
        peer,
        local,
        server_name: session.server_name().map(str::to_owned),
        client_certificates: Arc::new(
            certificates.iter().map(|certificate| certificate.clone().into_owned()).collect(),
        ),
    }
}

/// Serves plain connections of `listener` until the group is told to stop.
pub fn plain(listener: TcpListener, service: BoxService, tasks: &Tasks) {
    accept(listener, tasks, move |stream, peer, local| {
        let service = service.clone();
        async move {
            let connection =
                Connection { peer, local, server_name: None, client_certificates: Arc::default() };
            one(TokioIo::new(stream), connection, service).await;
        }
    });
}

fn accept<F, Fut>(listener: TcpListener, tasks: &Tasks, serve: F)
where
    F: Fn(TcpStream, SocketAddr, SocketAddr) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let group = tasks.clone();
    tasks.spawn("accept", async move {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    let Ok(local) = stream.local_addr() else { continue };
                    group.spawn("connection", serve(stream, peer, local));
                }
                // Out of descriptors, mostly: going round at once would only burn the processor.
                Err(error) if is_exhaustion(&error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => tracing::debug!(%error, "a connection ended before it was accepted"),
            }
        }
    });
}

fn is_exhaustion(error: &io::Error) -> bool {
    // EMFILE, ENFILE, ENOBUFS, ENOMEM
    matches!(error.raw_os_error(), Some(24 | 23 | 105 | 12))
}

/// The answer to a HEAD: what a GET would have, without the content. HTTP/1 drops content by itself, but in HTTP/2 it would
/// go out and break the stream for who asked.
fn without_content(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact().filter(|length| *length > 0) {
        parts.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    Response::from_parts(parts, empty())
}

async fn one<T>(io: TokioIo<T>, connection: Connection, service: BoxService)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let answer = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(boxed);
        request.extensions_mut().insert(connection.clone());
        let service = service.clone();
        async move {
            let head = request.method() == Method::HEAD;
            let response = service.call(request).await;
            Ok::<_, std::convert::Infallible>(if head { without_content(response) } else { response })
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_READ_LIMIT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_MAX_BYTES)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    if let Err(error) = builder.serve_connection_with_upgrades(io, answer).await {
        tracing::debug!(%error, "connection ended");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::http::{Request, Response, Service};
    use crate::pki::{Authority, Leaf, Usage};

    const NAME: &str = "one.example.org";

    struct Hello;

    #[async_trait]
    impl Service for Hello {
        async fn call(&self, _: Request) -> Response {
            crate::http::bytes_response(http::StatusCode::OK, "text/plain", "hello")
        }
    }

    /// Lets in who asks for the name, while it is open.
    struct Door {
        open: AtomicBool,
        changes: watch::Sender<u64>,
    }

    impl Door {
        fn set(&self, open: bool) {
            self.open.store(open, Ordering::SeqCst);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    impl Gate for Door {
        fn admits(&self, peer: SocketAddr, server_name: Option<&str>) -> bool {
            peer.ip().is_loopback() && server_name == Some(NAME) && self.open.load(Ordering::SeqCst)
        }

        fn changed(&self) -> watch::Receiver<u64> {
            self.changes.subscribe()
        }
    }

    type Client = tokio_rustls::client::TlsStream<TcpStream>;

    async fn connect(address: SocketAddr, roots: &str, name: &'static str) -> io::Result<Client> {
        let config = Arc::new(crate::tls::client(roots, None).unwrap());
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name).unwrap();
        tokio_rustls::TlsConnector::from(config).connect(name, stream).await
    }

    async fn ask(client: &mut Client) -> io::Result<String> {
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await?;
        let mut answer = vec![0; 1024];
        let length = client.read(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    #[test]
    fn the_answer_to_a_head_says_its_length_and_has_no_content() {
        let answer = without_content(Response::new(crate::http::full("four")));
        assert_eq!(answer.headers()[header::CONTENT_LENGTH], "4");
        assert_eq!(answer.body().size_hint().exact(), Some(0));
        let nothing = without_content(Response::new(empty()));
        assert!(nothing.headers().get(header::CONTENT_LENGTH).is_none());
    }

    #[tokio::test]
    async fn who_is_refused_is_reset_and_an_open_connection_is_closed() {
        crate::tls::install_provider();
        let authority = Authority::new("test", Duration::from_secs(3600)).unwrap();
        let leaf = Leaf {
            common_name: NAME.into(),
            organizations: Vec::new(),
            dns_names: vec![NAME.into(), "two.example.org".into()],
            addresses: Vec::new(),
            usage: Usage::Server,
            valid: Duration::from_secs(3600),
        };
        let issued = authority.issue(&leaf).unwrap();
        let certificates = crate::tls::Certificates::new();
        certificates.set_default(&issued.certificate_pem, &issued.key_pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, tasks, roots) =
            (listener.local_addr().unwrap(), Tasks::new(), authority.certificate_pem());
        let door = Arc::new(Door { open: AtomicBool::new(true), changes: watch::Sender::new(0) });
        let tls = crate::tls::server(certificates).unwrap();
        tls_behind(door.clone(), listener, tls, Arc::new(Hello), &tasks);

        let mut client = connect(address, roots, NAME).await.unwrap();
        assert!(ask(&mut client).await.unwrap().ends_with("hello"));
        let other = connect(address, roots, "two.example.org").await.unwrap_err();
        assert_eq!(other.kind(), io::ErrorKind::ConnectionReset, "{other}");

        door.set(false);
        // Nothing was asked: the end comes by itself.
        let end = tokio::time::timeout(Duration::from_secs(10), client.read(&mut [0; 16])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
        let refused = connect(address, roots, NAME).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionReset, "{refused}");

        door.set(true);
        let mut client = connect(address, roots, NAME).await.unwrap();
        door.set(true);
        assert!(ask(&mut client).await.unwrap().ends_with("hello"), "a change that lets in closes nothing");
        tasks.drain(Duration::from_secs(5)).await;
    }
}
