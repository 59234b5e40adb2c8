//! Clients that speak WebSocket, kubelets that speak SPDY.
//!
//! `v5.channel.k8s.io`: each message begins with the number of its channel; a message of channel 255 says which
//! channel has ended, so standard input can end while output goes on. Its streams become SPDY streams.
//! `SPDY/3.1+portforward.k8s.io`: messages carry the bytes of a SPDY connection as they are.

use std::io;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::spdy::{self, Reader, Session, Writer};
use super::websocket::Socket;
use crate::attributes::ApiError;

/// The protocol of streams with an end of their own.
pub(super) const CHANNELS: &str = "v5.channel.k8s.io";
/// The protocol of a SPDY connection inside a WebSocket.
pub(super) const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";
/// What the kubelet is asked to speak over SPDY: the exit code comes as a `Status`.
pub(super) const KUBELET: &str = "v4.channel.k8s.io";

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Says that another channel has ended.
const CLOSE: u8 = 255;
/// How long a client may take to close its side.
const GOODBYE_LIMIT: Duration = Duration::from_secs(10);
/// Messages that wait for a slow client.
const MESSAGES_MAX: usize = 16;
/// Bytes of a tunnelled connection in one message.
const TUNNEL_PIECE_BYTES: usize = 32 * 1024;
/// The longest `Status` that a kubelet ends with.
const STATUS_BYTES_MAX: usize = 256 * 1024;

/// Which streams a command has.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Streams {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

/// The kubelet's streams of one command.
struct Far {
    error: Reader,
    stdin: Option<Writer>,
    stdout: Option<Reader>,
    stderr: Option<Reader>,
    resize: Option<Writer>,
}

async fn open(session: &mut Session, wanted: Streams) -> io::Result<Far> {
    let mut stream = async |kind: &str| session.open(&[("streamtype", kind)]).await;
    let error = stream("error").await?;
    // This side of the error stream says nothing.
    error.writer.end().await?;
    let mut far = Far { error: error.reader, stdin: None, stdout: None, stderr: None, resize: None };
    if wanted.stdin {
        far.stdin = Some(stream("stdin").await?.writer);
    }
    if wanted.stdout {
        far.stdout = Some(stream("stdout").await?.reader);
    }
    // A terminal has one output.
    if wanted.stderr && !wanted.tty {
        far.stderr = Some(stream("stderr").await?.reader);
    }
    if wanted.tty {
        far.resize = Some(stream("resize").await?.writer);
    }
    Ok(far)
}

/// Joins a client with a command on a kubelet until the command has ended or the client is gone.
pub(super) async fn command<T>(socket: Socket, kubelet: T, wanted: Streams)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (mut session, driver) = spdy::session(kubelet);
    let (mut to_client, mut from_client) = socket.split();
    let work = async {
        let status = match open(&mut session, wanted).await {
            // The client is gone: nobody hears the end.
            Ok(far) => match carry(&mut to_client, &mut from_client, far).await {
                Some(status) => status,
                None => return,
            },
            Err(error) => failure(&error),
        };
        let _ = to_client.send(message(ERROR, &status)).await;
        let _ = to_client.send(goodbye()).await;
        // The client answers the close; then nothing is lost when the connection is.
        let closed = async { while let Some(Ok(_)) = from_client.next().await {} };
        let _ = tokio::time::timeout(GOODBYE_LIMIT, closed).await;
    };
    let mut work = std::pin::pin!(work);
    tokio::select! {
        () = &mut work => {}
        ended = driver => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a kubelet's connection broke");
            }
            // What has arrived is still passed on, and the end is said.
            work.await;
        }
    }
}

/// Carries bytes both ways; gives the `Status` the command ended with, or none when the client is gone.
async fn carry(
    to_client: &mut SplitSink<Socket, Message>,
    from_client: &mut SplitStream<Socket>,
    far: Far,
) -> Option<Bytes> {
    let Far { error, stdin, stdout, stderr, resize } = far;
    let (messages, mut queue) = mpsc::channel(MESSAGES_MAX);
    let output = {
        let messages = messages.clone();
        async move {
            let copies = tokio::join!(
                copy(stdout, STDOUT, &messages),
                copy(stderr, STDERR, &messages),
                collect(error)
            );
            match copies {
                (Ok(()), Ok(()), Ok(status)) => status,
                // The status is the last thing said, so all output came before it, however the connection ended.
                (out, err, Ok(status)) if is_whole(&out) && is_whole(&err) => status,
                (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => failure(&error),
            }
        }
    };
    drop(messages);
    let send = async {
        while let Some(message) = queue.recv().await {
            if to_client.send(message).await.is_err() {
                return false;
            }
        }
        true
    };
    let both = async {
        let (status, sent) = tokio::join!(output, send);
        sent.then_some(status)
    };
    tokio::select! {
        status = both => status,
        () = input(from_client, stdin, resize) => None,
    }
}

/// Passes on what the client sends until it is gone.
async fn input(from_client: &mut SplitStream<Socket>, mut stdin: Option<Writer>, resize: Option<Writer>) {
    while let Some(Ok(message)) = from_client.next().await {
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
            Message::Close(_) => return,
            _ => continue,
        };
        // A kubelet that takes no more input may still have output: that is not the end.
        match (bytes.first(), bytes.get(1..).unwrap_or_default()) {
            (Some(&STDIN), rest) => {
                if let Some(stdin) = &stdin {
                    let _ = stdin.write(rest).await;
                }
            }
            (Some(&RESIZE), rest) => {
                if let Some(resize) = &resize {
                    let _ = resize.write(rest).await;
                }
            }
            (Some(&CLOSE), [STDIN, ..]) => {
                if let Some(stdin) = stdin.take() {
                    let _ = stdin.end().await;
                }
            }
            _ => {}
        }
    }
}

async fn copy(from: Option<Reader>, channel: u8, to: &mpsc::Sender<Message>) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    while let Some(bytes) = from.next().await? {
        to.send(message(channel, &bytes)).await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
    }
    Ok(())
}

/// Whether an output was passed on up to the end of its connection.
fn is_whole(copied: &io::Result<()>) -> bool {
    copied.as_ref().err().is_none_or(|error| error.kind() == io::ErrorKind::UnexpectedEof)
}

/// The `Status` on the error stream; nothing said means that all went well.
async fn collect(mut from: Reader) -> io::Result<Bytes> {
    let mut all = BytesMut::new();
    loop {
        match from.next().await {
            Ok(Some(bytes)) if all.len() + bytes.len() <= STATUS_BYTES_MAX => all.put_slice(&bytes),
            Ok(Some(_)) => {}
            Ok(None) => break,
            // Kubelets may close the connection right behind the status.
            Err(_) if serde_json::from_slice::<serde::de::IgnoredAny>(&all).is_ok() => break,
            Err(error) => return Err(error),
        }
    }
    if all.is_empty() {
        all.put_slice(json!({"metadata": {}, "status": "Success"}).to_string().as_bytes());
    }
    Ok(all.freeze())
}

/// That all is said.
pub(super) fn goodbye() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

fn failure(error: &io::Error) -> Bytes {
    ApiError::internal(format!("error executing command in container: {error}")).status().to_string().into()
}

fn message(channel: u8, bytes: &[u8]) -> Message {
    let mut out = BytesMut::with_capacity(bytes.len() + 1);
    out.put_u8(channel);
    out.put_slice(bytes);
    Message::Binary(out.freeze())
}

/// Joins a client whose messages are a SPDY connection with a kubelet, byte for byte, until either side ends.
pub(super) async fn tunnel<T>(socket: Socket, kubelet: T)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (mut to_client, mut from_client) = socket.split();
    let (mut from_kubelet, mut to_kubelet) = tokio::io::split(kubelet);
    let inward = async {
        while let Some(Ok(message)) = from_client.next().await {
            let bytes = match message {
                Message::Binary(bytes) => bytes,
                Message::Close(_) => break,
                _ => continue,
            };
            if to_kubelet.write_all(&bytes).await.is_err() || to_kubelet.flush().await.is_err() {
                break;
            }
        }
        let _ = to_kubelet.shutdown().await;
    };
    let outward = async {
        let mut piece = vec![0; TUNNEL_PIECE_BYTES];
        while let Ok(read @ 1..) = from_kubelet.read(&mut piece).await {
            let bytes = Bytes::copy_from_slice(piece.get(..read).unwrap_or_default());
            if to_client.send(Message::Binary(bytes)).await.is_err() {
                return;
            }
        }
        let _ = to_client.send(goodbye()).await;
    };
    tokio::select! {
        () = inward => {}
        () = outward => {}
    }
}
