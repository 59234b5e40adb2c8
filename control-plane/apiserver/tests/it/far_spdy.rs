//! The far side of SPDY/3.1, as a kubelet has it: accepts streams and moves their bytes; a client's side opens them. For tests only: it
//! trusts its peer.

use std::collections::HashMap;
use std::sync::Arc;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::sync::Mutex;

/// What header blocks are compressed with: words with their lengths before them, and a tail.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow authorization cache-control connection content-base content-encoding content-language content-length content-location content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status";
const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

pub fn dictionary() -> Vec<u8> {
    let more = ["200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"];
    let mut out = Vec::new();
    for word in WORDS.split(' ').chain(more) {
        out.extend((word.len() as u32).to_be_bytes());
        out.extend(word.as_bytes());
    }
    out.extend(TAIL.as_bytes());
    out
}

/// Reads header blocks: one compressed stream, with or without the dictionary.
struct Blocks {
    inflate: Option<Decompress>,
}

impl Blocks {
    fn read(&mut self, mut block: &[u8]) -> HashMap<String, String> {
        let inflate = self.inflate.get_or_insert_with(|| {
            // A dictionary is what could have come before: so it is given as bytes that did, uncompressed.
            let mut inflate = Decompress::new(false);
            if block[1] & 0x20 != 0 {
                let words = dictionary();
                let size = words.len() as u16;
                let mut stored = vec![0];
                stored.extend(size.to_le_bytes());
                stored.extend((!size).to_le_bytes());
                stored.extend(words);
                let mut before = Vec::with_capacity(4096);
                inflate.decompress_vec(&stored, &mut before, FlushDecompress::Sync).unwrap();
                block = &block[6..];
            } else {
                block = &block[2..];
            }
            inflate
        });
        let mut plain = Vec::with_capacity(16 * 1024);
        inflate.decompress_vec(block, &mut plain, FlushDecompress::Sync).unwrap();
        let mut rest = plain.as_slice();
        let count = number(&mut rest);
        (0..count).map(|_| (text(&mut rest), text(&mut rest))).collect()
    }
}

fn number(rest: &mut &[u8]) -> usize {
    let (head, tail) = rest.split_at(4);
    *rest = tail;
    u32::from_be_bytes(head.try_into().unwrap()) as usize
}

fn text(rest: &mut &[u8]) -> String {
    let size = number(rest);
    let (head, tail) = rest.split_at(size);
    *rest = tail;
    String::from_utf8(head.to_vec()).unwrap()
}

/// What the peer does.
#[derive(Debug)]
pub enum Event {
    Opened { id: u32, headers: HashMap<String, String> },
    Data { id: u32, bytes: Vec<u8> },
    Ended { id: u32 },
}

/// Writes to streams.
#[derive(Clone)]
pub struct Writer(Arc<Mutex<(Box<dyn AsyncWrite + Send + Unpin>, Compress)>>);

impl Writer {
    pub async fn send(&self, id: u32, bytes: &[u8], last: bool) {
        let mut frame = id.to_be_bytes().to_vec();
        frame.extend((bytes.len() as u32 | if last { 0x0100_0000 } else { 0 }).to_be_bytes());
        frame.extend(bytes);
        // A client that is gone is no failure of the far side.
        let mut guard = self.0.lock().await;
        let _ = guard.0.write_all(&frame).await;
        let _ = guard.0.flush().await;
    }

    /// Ends a stream in both directions at once, as "CANCEL".
    pub async fn reset(&self, id: u32) {
        let mut frame = vec![0x80, 3, 0, 3, 0, 0, 0, 8];
        frame.extend(id.to_be_bytes());
        frame.extend(5_u32.to_be_bytes());
        let _ = self.0.lock().await.0.write_all(&frame).await;
    }

    /// Opens a stream, as a client does: its number is odd.
    pub async fn open(&self, id: u32, headers: &[(&str, &str)]) {
        let mut plain = (headers.len() as u32).to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            plain.extend((text.len() as u32).to_be_bytes());
            plain.extend(text.as_bytes());
        }
        let mut guard = self.0.lock().await;
        let mut block = Vec::with_capacity(1024);
        guard.1.compress_vec(&plain, &mut block, FlushCompress::Sync).unwrap();
        let mut frame = vec![0x80, 3, 0, 1];
        frame.extend((block.len() as u32 + 10).to_be_bytes());
        frame.extend(id.to_be_bytes());
        frame.extend([0; 6]);
        frame.extend(block);
        guard.0.write_all(&frame).await.unwrap();
        guard.0.flush().await.unwrap();
    }

    async fn accept(&self, id: u32) {
        let mut guard = self.0.lock().await;
        let mut block = Vec::with_capacity(64);
        guard.1.compress_vec(&0_u32.to_be_bytes(), &mut block, FlushCompress::Sync).unwrap();
        let mut frame = vec![0x80, 3, 0, 2];
        frame.extend((block.len() as u32 + 4).to_be_bytes());
        frame.extend(id.to_be_bytes());
        frame.extend(block);
        let _ = guard.0.write_all(&frame).await;
    }
}

/// The events of a connection, one by one.
pub struct Events<T> {
    from: tokio::io::ReadHalf<T>,
    blocks: Blocks,
    pub writer: Writer,
    waiting: Vec<Event>,
}

pub fn serve<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(io: T) -> Events<T> {
    let (from, to): (_, WriteHalf<T>) = tokio::io::split(io);
    let writer = Writer(Arc::new(Mutex::new((Box::new(to), Compress::new(Compression::fast(), true)))));
    Events { from, blocks: Blocks { inflate: None }, writer, waiting: Vec::new() }
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Events<T> {
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop() {
                return Some(event);
            }
            let (first, second) = (self.from.read_u32().await.ok()?, self.from.read_u32().await.ok()?);
            let mut body = vec![0; (second & 0x00ff_ffff) as usize];
            self.from.read_exact(&mut body).await.ok()?;
            let last = second >> 24 & 1 == 1;
            match first {
                0x8003_0001 => {
                    let id = u32::from_be_bytes(body[..4].try_into().unwrap());
                    let headers = self.blocks.read(&body[10..]);
                    self.writer.accept(id).await;
                    if last {
                        self.waiting.push(Event::Ended { id });
                    }
                    return Some(Event::Opened { id, headers });
                }
                id if id & 0x8000_0000 == 0 => {
                    if last {
                        self.waiting.push(Event::Ended { id });
                    }
                    if !body.is_empty() {
                        return Some(Event::Data { id, bytes: body });
                    }
                }
                _ => {}
            }
        }
    }
}

#[test]
fn the_dictionary_is_the_protocols() {
    let mut adler = (1_u32, 0_u32);
    for byte in dictionary() {
        adler.0 = (adler.0 + u32::from(byte)) % 65521;
        adler.1 = (adler.1 + adler.0) % 65521;
    }
    assert_eq!(adler.1 << 16 | adler.0, 0xe3c6_a7c2, "as every zlib stream that was made with it says");
}
