//! Many streams over one connection, opened by the side that cannot dial the other.
//!
//! A node keeps one connection to its control plane; the control plane opens streams through it, each
//! naming where on the node's side it wants to go. Framing is yamux; every stream begins with one line
//! of JSON each way:
//!
//! ```text
//! opener  ▶ {"host":"127.0.0.1","port":10250}\n
//! carrier ▶ {"ok":true}\n      or   {"error":"connection refused"}\n
//! ```
//!
//! Guarantees: a stream is handed out only after the far side is connected. Does not: authenticate
//! (the connection below has) or decide where a stream may go (the carrier's `dial` does).

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};

/// One stream of a tunnel.
pub type Stream = Compat<yamux::Stream>;

const LINE_MAX_BYTES: usize = 4096;
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
const STREAMS_MAX: usize = 1024;

/// Where a stream wants to go, seen from the carrier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Ok(bool),
    Error(String),
}

/// Why no stream could be opened.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The connection below is gone.
    #[error("tunnel is closed")]
    Closed,
    /// The carrier could not reach the target.
    #[error("no connection to {host}:{port} beyond the tunnel: {reason}")]
    Refused {
        /// The target's host.
        host: String,
        /// The target's port.
        port: u16,
        /// What the carrier said.
        reason: String,
    },
    /// The carrier broke the protocol or the connection.
    #[error("failed to speak through the tunnel")]
    Broken(#[source] io::Error),
}

/// The side that opens streams. Cheap to clone.
#[derive(Clone)]
pub struct Opener {
    requests: mpsc::Sender<oneshot::Sender<yamux::Stream>>,
}

fn config() -> yamux::Config {
    let mut config = yamux::Config::default();
    config.set_max_num_streams(STREAMS_MAX);
    config
}

/// Makes the opening side of a tunnel. The future drives it and ends when the connection does; spawn it.
pub fn opener<T>(connection: T) -> (Opener, impl Future<Output = ()> + Send)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (requests, mut wanted) = mpsc::channel::<oneshot::Sender<yamux::Stream>>(64);
    let driver = async move {
        let mut connection = yamux::Connection::new(connection.compat(), config(), yamux::Mode::Client);
        let mut waiting: Option<oneshot::Sender<yamux::Stream>> = None;
        poll_fn(move |context| {
            loop {
                if waiting.is_none() {
                    match wanted.poll_recv(context) {
                        std::task::Poll::Ready(Some(reply)) => waiting = Some(reply),
                        std::task::Poll::Ready(None) => {
                            // Every opener is gone: close, unless streams still run.
                            return connection.poll_close(context).map(|_| ());
                        }
                        std::task::Poll::Pending => {}
                    }
                }
                if waiting.is_some() {
                    match connection.poll_new_outbound(context) {
                        std::task::Poll::Ready(Ok(stream)) => {
                            if let Some(reply) = waiting.take() {
                                let _ = reply.send(stream);
                            }
                            continue;
                        }
                        std::task::Poll::Ready(Err(error)) => {
                            tracing::debug!(%error, "tunnel ended");
                            return std::task::Poll::Ready(());
                        }
                        std::task::Poll::Pending => {}
                    }
                }
                // Also moves the bytes of all streams.
                match connection.poll_next_inbound(context) {
                    std::task::Poll::Ready(Some(Ok(stream))) => drop(stream),
                    std::task::Poll::Ready(_) => return std::task::Poll::Ready(()),
                    std::task::Poll::Pending => return std::task::Poll::Pending,
                }
            }
        })
        .await;
    };
    (Opener { requests }, driver)
}

impl Opener {
    /// Whether the connection below is gone.
    pub fn is_closed(&self) -> bool {
        self.requests.is_closed()
    }

    /// Opens a stream to `target` beyond the tunnel; returns when the far side is connected.
    pub async fn open(&self, target: &Target) -> Result<Stream, TunnelError> {
        let (reply, stream) = oneshot::channel();
        self.requests.send(reply).await.map_err(|_| TunnelError::Closed)?;
        let mut stream = stream.await.map_err(|_| TunnelError::Closed)?.compat();
        let broken = TunnelError::Broken;
        write_line(&mut stream, target).await.map_err(broken)?;
        let answer = tokio::time::timeout(ANSWER_LIMIT, read_line::<Answer, _>(&mut stream))
            .await
            .map_err(|_| broken(io::ErrorKind::TimedOut.into()))?
            .map_err(broken)?;
        match answer {
            Answer::Ok(_) => Ok(stream),
            Answer::Error(reason) => {
                Err(TunnelError::Refused { host: target.host.clone(), port: target.port, reason })
            }
        }
    }
}

/// Runs the carrying side of a tunnel until the connection ends: dials where each stream wants to go and
/// moves the bytes.
pub async fn carry<T, D, F, S>(connection: T, dial: D) -> Result<(), TunnelError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    D: Fn(Target) -> F + Send + Sync + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let dial = Arc::new(dial);
    let mut streams = tokio::task::JoinSet::new();
    let mut connection = yamux::Connection::new(connection.compat(), config(), yamux::Mode::Server);
    loop {
        match poll_fn(|context| connection.poll_next_inbound(context)).await {
            Some(Ok(stream)) => {
                let dial = dial.clone();
                streams.spawn(async move {
                    if let Err(error) = carry_one(stream.compat(), dial.as_ref()).await {
                        tracing::debug!(%error, "a tunnelled stream ended");
                    }
                });
                while streams.try_join_next().is_some() {}
            }
            Some(Err(error)) => return Err(TunnelError::Broken(io::Error::other(error))),
            None => return Ok(()),
        }
    }
}

async fn carry_one<D, F, S>(mut stream: Stream, dial: &D) -> io::Result<()>
where
    D: Fn(Target) -> F,
    F: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let target: Target = read_line(&mut stream).await?;
    match dial(target).await {
        Ok(mut far) => {
            write_line(&mut stream, &Answer::Ok(true)).await?;
            tokio::io::copy_bidirectional(&mut stream, &mut far).await?;
            Ok(())
        }
        Err(error) => {
            write_line(&mut stream, &Answer::Error(error.to_string())).await?;
            stream.shutdown().await
        }
    }
}

async fn write_line<T: Serialize, W: AsyncWrite + Unpin>(to: &mut W, value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

/// Reads up to the first newline, byte by byte: what follows belongs to the stream's user.
async fn read_line<T: for<'de> Deserialize<'de>, R: AsyncRead + Unpin>(from: &mut R) -> io::Result<T> {
    let mut line = Vec::with_capacity(128);
    loop {
        match from.read_u8().await? {
            b'\n' => return Ok(serde_json::from_slice(&line)?),
            _ if line.len() >= LINE_MAX_BYTES => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "tunnel header is too long"));
            }
            byte => line.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn streams_reach_beyond_and_refusals_are_told() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let echo = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
        });
        let (near, far) = tokio::io::duplex(64 * 1024);
        let (opener, driver) = opener(near);
        let driver = tokio::spawn(driver);
        let carrier = tokio::spawn(carry(far, |target: Target| async move {
            TcpStream::connect((target.host.as_str(), target.port)).await
        }));

        let mut stream = opener.open(&Target { host: "127.0.0.1".into(), port }).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"hello");
        stream.shutdown().await.unwrap();
        echo.await.unwrap();

        let refused = opener.open(&Target { host: "127.0.0.1".into(), port: 1 }).await;
        assert!(matches!(refused, Err(TunnelError::Refused { .. })));
        drop((stream, opener));
        driver.await.unwrap();
        carrier.await.unwrap().unwrap();
    }
}
