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
use tokio_rustls::TlsAcceptor;

use crate::Tasks;
use crate::http::{BoxService, Connection, Response, boxed, empty};

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 25 * 1024 * 1024;
const STREAMS_MAX: u32 = 1_000;
const HEADERS_MAX_BYTES: u32 = 64 * 1024;
const HEAD_READ_LIMIT: Duration = Duration::from_secs(30);

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
            let (_, session) = stream.get_ref();
            let connection = Connection {
                peer,
                local,
                server_name: session.server_name().map(str::to_owned),
                client_certificates: Arc::new(
                    session
                        .peer_certificates()
                        .unwrap_or_default()
                        .iter()
                        .map(|certificate| certificate.clone().into_owned())
                        .collect(),
                ),
            };
            one(TokioIo::new(stream), connection, service).await;
        }
    });
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
    use super::*;

    #[test]
    fn the_answer_to_a_head_says_its_length_and_has_no_content() {
        let answer = without_content(Response::new(crate::http::full("four")));
        assert_eq!(answer.headers()[header::CONTENT_LENGTH], "4");
        assert_eq!(answer.body().size_hint().exact(), Some(0));
        let nothing = without_content(Response::new(empty()));
        assert!(nothing.headers().get(header::CONTENT_LENGTH).is_none());
    }
}
