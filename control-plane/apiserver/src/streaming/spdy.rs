//! SPDY/3.1 towards a kubelet: one connection, several streams, opened from this side.
//!
//! Guarantees: bytes of a stream arrive in order and none is lost; a reader that is slow slows the connection, not the
//! memory. Does not: accept streams from the far side, read header blocks (answers to opened streams carry nothing
//! that matters), or keep windows, which kubelets do not either.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, FlushCompress};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

/// What an upgrade to it is called.
pub(super) const PROTOCOL: &str = "SPDY/3.1";

/// The first half of a control frame: a bit that says so, and the version.
const CONTROL: u16 = 0x8003;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
/// The flag of the last frame of one side of a stream.
const FIN: u8 = 1;
/// Control frames are small; larger ones are refused.
const CONTROL_BYTES_MAX: usize = 64 * 1024;
/// Pieces of a stream that wait for a reader.
const PIECES_MAX: usize = 16;
/// How long the far side may take to accept a stream; as upstream.
const OPEN_LIMIT: Duration = Duration::from_secs(30);

/// What a stream brings: bytes, or its end.
enum Piece {
    Bytes(Bytes),
    End,
}

struct Incoming {
    pieces: mpsc::Sender<Piece>,
    opened: Option<oneshot::Sender<()>>,
}

type Streams = Arc<Mutex<HashMap<u32, Incoming>>>;

/// A connection. When it and all its streams are dropped, the connection is closed.
pub(super) struct Session {
    frames: mpsc::Sender<Bytes>,
    streams: Streams,
    next: u32,
    headers: Compress,
}

/// One stream of a connection.
pub(super) struct Stream {
    pub writer: Writer,
    pub reader: Reader,
}

/// The side of a stream that is written to.
pub(super) struct Writer {
    id: u32,
    frames: mpsc::Sender<Bytes>,
}

/// The side of a stream that is read from.
pub(super) struct Reader(mpsc::Receiver<Piece>);

/// A session over a connection that was upgraded, and what drives it: the session works while the future is polled.
pub(super) fn session<T>(io: T) -> (Session, impl Future<Output = io::Result<()>>)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (frames, queue) = mpsc::channel(PIECES_MAX);
    let streams = Streams::default();
    let driver = drive(io, queue, frames.downgrade(), streams.clone());
    (Session { frames, streams, next: 1, headers: Compress::new(Compression::fast(), true) }, driver)
}

impl Session {
    /// Opens a stream with these headers and waits until the far side has accepted it.
    ///
    /// # Errors
    /// When it refuses, or the connection ends.
    pub async fn open(&mut self, headers: &[(&str, &str)]) -> io::Result<Stream> {
        let id = self.next;
        self.next += 2;
        let block = self.block(headers)?;
        let mut body = BytesMut::with_capacity(block.len() + 10);
        body.put_u32(id);
        body.put_u32(0);
        // Priority and slot.
        body.put_u16(0);
        body.put_slice(&block);
        let (pieces, reader) = mpsc::channel(PIECES_MAX);
        let (opened, accepted) = oneshot::channel();
        self.streams.lock().insert(id, Incoming { pieces, opened: Some(opened) });
        send(&self.frames, control(SYN_STREAM, &body)).await?;
        match tokio::time::timeout(OPEN_LIMIT, accepted).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(io::Error::other("the far side refused a stream")),
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        }
        let writer = Writer { id, frames: self.frames.clone() };
        Ok(Stream { writer, reader: Reader(reader) })
    }

    /// A block of names and values; compressed, as one stream over all blocks of the connection.
    fn block(&mut self, headers: &[(&str, &str)]) -> io::Result<Vec<u8>> {
        let mut plain = BytesMut::new();
        plain.put_u32(length(headers.len())?);
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.put_u32(length(text.len())?);
            plain.put_slice(text.as_bytes());
        }
        let before = self.headers.total_in();
        let mut out = Vec::with_capacity(plain.len() + 128);
        loop {
            let done = usize::try_from(self.headers.total_in() - before).unwrap_or(plain.len());
            let room = out.capacity() - out.len();
            self.headers
                .compress_vec(plain.get(done..).unwrap_or_default(), &mut out, FlushCompress::Sync)
                .map_err(io::Error::other)?;
            // Room that is left means that everything was flushed.
            if out.len() < out.capacity() || room == 0 {
                return Ok(out);
            }
            out.reserve(128);
        }
    }
}

fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(io::Error::other)
}

async fn send(frames: &mpsc::Sender<Bytes>, frame: Bytes) -> io::Result<()> {
    frames.send(frame).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
}

fn control(kind: u16, body: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(body.len() + 8);
    out.put_u16(CONTROL);
    out.put_u16(kind);
    // No flags; the length has 24 bits.
    out.put_u32(body.len() as u32 & 0x00ff_ffff);
    out.put_slice(body);
    out.freeze()
}

fn data(id: u32, flags: u8, bytes: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(bytes.len() + 8);
    out.put_u32(id);
    out.put_u32(u32::from(flags) << 24 | (bytes.len() as u32 & 0x00ff_ffff));
    out.put_slice(bytes);
    out.freeze()
}

impl Writer {
    /// Sends bytes.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(64 * 1024) {
            send(&self.frames, data(self.id, 0, piece)).await?;
        }
        Ok(())
    }

    /// Ends this side of the stream.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn end(&self) -> io::Result<()> {
        send(&self.frames, data(self.id, FIN, &[])).await
    }
}

impl Reader {
    /// The next bytes; none at the end of the stream.
    ///
    /// # Errors
    /// When the connection broke before the stream ended.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        match self.0.recv().await {
            Some(Piece::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Piece::End) => Ok(None),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

async fn drive<T>(
    io: T,
    mut queue: mpsc::Receiver<Bytes>,
    frames: mpsc::WeakSender<Bytes>,
    streams: Streams,
) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from, mut to) = tokio::io::split(io);
    let write = async {
        while let Some(frame) = queue.recv().await {
            if to.write_all(&frame).await.is_err() || to.flush().await.is_err() {
                // The far side listens no more. What it has said before is still to be read, and that ends the session.
                queue.close();
                return std::future::pending().await;
            }
        }
        to.shutdown().await
    };
    let read = async {
        while let Some((first, second)) = head(&mut from).await? {
            receive(&mut from, first, second, &frames, &streams).await?;
        }
        Ok(())
    };
    let ended = tokio::select! {
        ended = write => ended,
        ended = read => ended,
    };
    // Whoever waits for more learns that nothing comes.
    streams.lock().clear();
    ended
}

/// The eight bytes that a frame begins with; none at the end of the connection.
async fn head<R: AsyncRead + Unpin>(from: &mut R) -> io::Result<Option<(u32, u32)>> {
    match from.read_u32().await {
        Ok(first) => Ok(Some((first, from.read_u32().await?))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

async fn receive<R: AsyncRead + Unpin>(
    from: &mut R,
    first: u32,
    second: u32,
    frames: &mpsc::WeakSender<Bytes>,
    streams: &Streams,
) -> io::Result<()> {
    let size = (second & 0x00ff_ffff) as usize;
    let flags = (second >> 24) as u8;
    let is_control = first & 0x8000_0000 != 0;
    if is_control && size > CONTROL_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a control frame is too large"));
    }
    let mut body = BytesMut::zeroed(size);
    from.read_exact(&mut body).await?;
    let body = body.freeze();
    if !is_control {
        deliver(first, flags, body, streams).await;
        return Ok(());
    }
    let number = body.get(..4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    match first as u16 {
        SYN_REPLY => {
            let mut streams = streams.lock();
            if let Some(opened) = streams.get_mut(&number).and_then(|stream| stream.opened.take()) {
                // Nobody waiting means that the opener gave up.
                let _ = opened.send(());
            }
        }
        // How containerd ends streams that it closes with the connection: of an open one nothing more comes. One that was
        // never accepted is refused, which its opener learns because `opened` is dropped.
        RST_STREAM => end(number, streams).await,
        // Ours would be odd; the far side's are even and want an answer.
        PING if number % 2 == 0 => {
            if let Some(frames) = frames.upgrade() {
                // A far side that does not listen gets no answer, and is still heard.
                let _ = send(&frames, control(PING, &body)).await;
            }
        }
        // No new streams, which are all open by then; those that are go on.
        GOAWAY => {}
        _ => {}
    }
    Ok(())
}

async fn deliver(id: u32, flags: u8, body: Bytes, streams: &Streams) {
    let pieces = streams.lock().get(&id).map(|stream| stream.pieces.clone());
    let Some(pieces) = pieces else { return };
    // A reader that is gone wants nothing more.
    if !body.is_empty() {
        let _ = pieces.send(Piece::Bytes(body)).await;
    }
    if flags & FIN != 0 {
        end(id, streams).await;
    }
}

/// Tells a stream's reader that it has had everything.
async fn end(id: u32, streams: &Streams) {
    let ended = streams.lock().remove(&id);
    if let Some(stream) = ended {
        let _ = stream.pieces.send(Piece::End).await;
    }
}
