//! Bad requests that no client library would write: bytes on a connection.
//!
//! What comes back, if anything, is a refusal; what matters is that the server goes on.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bodies::noise;
use super::requests::pick;
use crate::front::Front;

/// How long a connection is listened to that is left open.
const PATIENCE: Duration = Duration::from_millis(50);
const POST: &str = "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nhost: cluster.test\r\ncontent-type: application/json\r\n";

/// What is written, and whether the writer's half is closed behind it.
fn bytes(rng: &mut StdRng) -> (&'static str, Vec<u8>, bool) {
    let closes = rng.random();
    let text = match rng.random_range(0..20) {
        0 => {
            return (
                "h2",
                [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &noise(rng, 300)].concat(),
                closes,
            );
        }
        1 => return ("http/1.1", noise(rng, 300), closes),
        2 => format!("{POST}transfer-encoding: chunked\r\n\r\n20\r\n{{\"a\":"),
        3 => format!("{POST}transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n"),
        4 => format!("{POST}content-length: 500\r\n\r\n{{\"apiVersion\":\"v1\"}}"),
        5 => format!("{POST}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{{}}"),
        6 => format!("{POST}content-length: -1\r\n\r\n"),
        7 => format!("{POST}x: {}\r\n\r\n", "y".repeat(rng.random_range(1..600_000))),
        8 => format!("{POST}{}\r\n", "a: b\r\n".repeat(rng.random_range(1..3000))),
        9 => format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a/".repeat(rng.random_range(1..100_000))),
        10 => "GET /api/v1/pods HTTP/1.1\r\n\r\n".repeat(rng.random_range(1..40)),
        11 => format!(
            "GET {} HTTP/1.1\r\nhost: x\r\n\r\n",
            pick(rng, &["*", "http://[::1/", "//x//y", "/a b", "/%", "\u{e9}"])
        ),
        12 => format!("{POST}expect: 100-continue\r\ncontent-length: 9999999999999999999999\r\n\r\n"),
        13 => format!("{POST}content-encoding: gzip\r\ncontent-length: 4\r\n\r\n\u{1f}\u{8b}\u{8}"),
        _ => return ("http/1.1", stream(rng), closes),
    };
    ("http/1.1", text.into_bytes(), closes)
}

/// A watch, a log or a session with a container that is upgraded, and then spoken to.
fn stream(rng: &mut StdRng) -> Vec<u8> {
    let pod = "/api/v1/namespaces/default/pods";
    let paths = [
        "/api/v1/configmaps?watch=true".to_owned(),
        format!("{pod}/p/log?follow=true"),
        format!("{pod}/p/exec?command=cat&stdin=true&stdout=true"),
        format!("{pod}/p/exec?command=both&stdout=true&stderr=true"),
        format!("{pod}/p/attach?stdin=true&stdout=true"),
        format!("{pod}/p/portforward?ports=80&ports=81"),
        format!("{pod}/p:80/proxy/echo/x"),
        "/api/v1/nodes/n1/proxy/echo".to_owned(),
        format!("{pod}/a/exec?command=x"),
    ];
    let path = &paths[rng.random_range(0..paths.len())];
    let method = if path.contains("exec") && rng.random() { "POST" } else { "GET" };
    let version = pick(rng, &["13", "13", "13", "8", ""]);
    let key = pick(rng, &["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ==", ""]);
    let (upgrade, protocols) = match rng.random_range(0..4) {
        0 => ("SPDY/3.1", "x-stream-protocol-version: v4.channel.k8s.io"),
        1 => ("SPDY/3.1", "x-stream-protocol-version: portforward.k8s.io"),
        2 => ("websocket", "sec-websocket-protocol: SPDY/3.1+portforward.k8s.io"),
        _ => ("websocket", "sec-websocket-protocol: v5.channel.k8s.io, v4.channel.k8s.io"),
    };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: {upgrade}\r\n{protocols}\r\nsec-websocket-version: {version}\r\nsec-websocket-key: {key}\r\n\r\n"
    );
    // Frames: some well made but for what they carry, some not.
    let mut all = head.into_bytes();
    for _ in 0..rng.random_range(0..4) {
        let payload = noise(rng, 60);
        if rng.random() {
            let first = pick(rng, &["\u{2}", "\u{1}", "\u{8}", "\u{9}", "\u{0}"]).as_bytes()[0] | 0x80;
            let length = u8::try_from(payload.len()).unwrap_or(0);
            // The mask is zero, so that the payload is as it stands.
            all.extend([first, length | 0x80, 0, 0, 0, 0]);
        }
        all.extend(payload);
    }
    all
}

/// Says something bad; what is wrong with the answer.
pub async fn ask(front: &Front, seed: u64) -> Result<(), String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let (protocol, bytes, closes) = bytes(&mut rng);
    let mut stream = front.connect(protocol).await;
    // The server may well hang up in the middle.
    let mut heard = Vec::new();
    let talk = async {
        drop(stream.write_all(&bytes).await);
        drop(stream.flush().await);
        if closes {
            drop(stream.shutdown().await);
        }
        drop(stream.read_to_end(&mut heard).await);
    };
    drop(tokio::time::timeout(PATIENCE, talk).await);
    let text = String::from_utf8_lossy(&heard);
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse::<u16>().ok());
    // What is proxied to does not answer in the way it is asked.
    let is_proxied = bytes.windows(7).any(|part| part == b"/proxy/");
    match status {
        Some(503) if is_proxied => Ok(()),
        Some(status) if status >= 500 => Err(format!("{status} on the wire: {text}")),
        _ => Ok(()),
    }
}
