//! exec, attach and port-forward, as WebSocket and SPDY clients see them, with a kubelet that speaks SPDY.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::far_kubelet;
use crate::front::Front;
use crate::harness::{MAPS, PODS, map};

const V5: &str = "v5.channel.k8s.io";

type Socket = WebSocketStream<TlsStream<TcpStream>>;

async fn world() -> Front {
    let front = Front::start().await;
    far_kubelet::start(&front.server).await;
    front
}

/// A WebSocket to a path, and the protocol that was chosen; the status and message of a refusal.
async fn open(front: &Front, path: &str, protocols: &str) -> Result<(Socket, String), (u16, String)> {
    let stream = front.connect("http/1.1").await;
    let mut request = http::Request::get(format!("wss://cluster.test{path}"))
        .header("host", "cluster.test")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", tungstenite::handshake::client::generate_key());
    if !protocols.is_empty() {
        request = request.header("sec-websocket-protocol", protocols);
    }
    match tokio_tungstenite::client_async(request.body(()).unwrap(), stream).await {
        Ok((socket, response)) => {
            let chosen = response.headers().get("sec-websocket-protocol");
            Ok((socket, chosen.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()))
        }
        Err(tungstenite::Error::Http(response)) => {
            let body =
                response.body().as_deref().and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
            let message = body.unwrap_or_default()["message"].as_str().unwrap_or_default().to_owned();
            Err((response.status().as_u16(), message))
        }
        Err(error) => panic!("{error}"),
    }
}

/// What a command wrote, and the status it ended with.
#[derive(Debug, Default)]
struct Ran {
    out: Vec<u8>,
    err: Vec<u8>,
    status: Value,
}

async fn to_end(socket: &mut Socket) -> Ran {
    let mut ran = Ran::default();
    let all = async {
        while let Some(message) = socket.next().await {
            match message.unwrap() {
                Message::Binary(bytes) => match bytes[0] {
                    1 => ran.out.extend(&bytes[1..]),
                    2 => ran.err.extend(&bytes[1..]),
                    3 => ran.status = serde_json::from_slice(&bytes[1..]).unwrap(),
                    other => panic!("channel {other}"),
                },
                Message::Close(_) => return,
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.expect("the command ends");
    ran
}

fn on(channel: u8, bytes: &[u8]) -> Message {
    let mut message = vec![channel];
    message.extend(bytes);
    Message::Binary(message.into())
}

fn exec(query: &str) -> String {
    format!("{PODS}/p/exec?{query}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_ends_while_output_goes_on() {
    let front = world().await;
    let path = exec("command=cat&stdin=true&stdout=true");
    let (mut socket, chosen) = open(&front, &path, "v5.channel.k8s.io, v4.channel.k8s.io").await.unwrap();
    assert_eq!(chosen, V5);
    socket.send(on(0, b"hello ")).await.unwrap();
    socket.send(on(0, &vec![b'y'; 300_000])).await.unwrap();
    socket.send(on(255, &[0])).await.unwrap();
    let ran = to_end(&mut socket).await;
    assert_eq!((ran.out.len(), &ran.out[..6], ran.err.len()), (300_006, &b"hello "[..], 0));
    assert_eq!(ran.status["status"], "Success");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exit_codes_and_both_outputs_arrive() {
    let front = world().await;
    let (mut socket, _) =
        open(&front, &exec("command=exit&command=3&stdout=true&stderr=true"), V5).await.unwrap();
    let ran = to_end(&mut socket).await;
    assert_eq!(ran.status["reason"], "NonZeroExitCode");
    assert_eq!(ran.status["details"]["causes"][0]["message"], "3");
    let (mut socket, _) = open(&front, &exec("command=both&stdout=true&stderr=true"), V5).await.unwrap();
    let ran = to_end(&mut socket).await;
    assert_eq!((&*ran.out, &*ran.err), (&b"out\n"[..], &b"err\n"[..]));
    // A terminal has one output and a size.
    let (mut socket, _) =
        open(&front, &exec("command=size&stdin=true&stdout=true&stderr=true&tty=true"), V5).await.unwrap();
    socket.send(on(4, br#"{"Width":80,"Height":24}"#)).await.unwrap();
    assert_eq!(to_end(&mut socket).await.out, br#"{"Width":80,"Height":24}"#);
}

/// containerd closes the connection as soon as it has said the status: streams end by a reset, or only by that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_ends_well_however_its_connection_is_closed() {
    let front = world().await;
    for command in ["reset", "cut"] {
        let path = exec(&format!("command={command}&stdout=true&stderr=true"));
        let (mut socket, _) = open(&front, &path, V5).await.unwrap();
        let ran = to_end(&mut socket).await;
        assert_eq!((&*ran.out, &ran.status["status"]), (&b"out\n"[..], &Value::from("Success")), "{command}");
    }
    let (mut socket, _) = open(&front, &exec("command=gone&stdout=true"), V5).await.unwrap();
    let ran = to_end(&mut socket).await;
    assert_eq!(
        (&*ran.out, &ran.status["status"]),
        (&b"out\n"[..], &Value::from("Failure")),
        "nobody said how it ended"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_output_is_not_lost_on_a_slow_reader() {
    let front = world().await;
    let (mut socket, _) = open(&front, &exec("command=big&command=16&stdout=true"), V5).await.unwrap();
    // The command fills every buffer on the way before the first byte is read.
    tokio::task::yield_now().await;
    let ran = to_end(&mut socket).await;
    assert_eq!((ran.out.len(), &ran.status["status"]), (16 * 1024 * 1024, &Value::from("Success")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_kubelet_refuses_is_refused_before_the_upgrade() {
    let front = world().await;
    let refused = open(&front, &exec("command=refused&stdout=true"), V5).await.unwrap_err();
    assert_eq!(refused, (404, "container not found (\"c\")".to_owned()));
    let refused = open(&front, &exec("command=cat"), V5).await.unwrap_err();
    assert_eq!(
        refused,
        (400, "PodExecOptions: you must specify at least 1 of stdin, stdout, stderr".to_owned())
    );
    let refused = open(&front, &exec("command=cat&stdout=true&container=x"), V5).await.unwrap_err();
    assert_eq!(refused, (400, "container x is not valid for pod p".to_owned()));
    let refused = open(&front, &exec("command=cat&stdout=true"), "v9.channel.k8s.io").await.unwrap_err();
    assert_eq!(refused.0, 400, "kubectl falls back to SPDY");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spdy_connection_goes_through_a_socket() {
    let front = world().await;
    let path = format!("{PODS}/p/portforward?ports=80");
    let (mut socket, chosen) = open(&front, &path, "SPDY/3.1+portforward.k8s.io").await.unwrap();
    assert_eq!(chosen, "SPDY/3.1+portforward.k8s.io");
    // A ping of the client's is odd; this kubelet leaves it unanswered. What counts is that frames arrive whole.
    let mut block = Vec::with_capacity(256);
    let mut plain = 2_u32.to_be_bytes().to_vec();
    for text in ["streamtype", "data", "requestid", "0"] {
        plain.extend((text.len() as u32).to_be_bytes());
        plain.extend(text.as_bytes());
    }
    let mut deflate = flate2::Compress::new(flate2::Compression::fast(), true);
    deflate.compress_vec(&plain, &mut block, flate2::FlushCompress::Sync).unwrap();
    let mut frames = vec![0x80, 3, 0, 1];
    frames.extend((block.len() as u32 + 10).to_be_bytes());
    frames.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    frames.extend(block);
    frames.extend([0, 0, 0, 1, 0, 0, 0, 4]);
    frames.extend(b"ping");
    // In pieces that respect no frame.
    for piece in frames.chunks(7) {
        socket.send(Message::Binary(Bytes::copy_from_slice(piece))).await.unwrap();
    }
    let mut back = Vec::new();
    while !back.ends_with(b"ping") {
        match tokio::time::timeout(Duration::from_secs(10), socket.next()).await.unwrap() {
            Some(Ok(Message::Binary(bytes))) => back.extend(bytes),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_can_be_watched_over_a_socket() {
    let front = world().await;
    front.server.post(MAPS, map("x")).await.ok();
    let (mut socket, _) = open(&front, &format!("{MAPS}?watch=true"), "").await.unwrap();
    let mut next = async || loop {
        match tokio::time::timeout(Duration::from_secs(10), socket.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => return serde_json::from_str::<Value>(&text).unwrap(),
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(next().await["object"]["metadata"]["name"], "x");
    front.server.post(MAPS, map("y")).await.ok();
    let event = next().await;
    assert_eq!(
        (&event["type"], &event["object"]["metadata"]["name"]),
        (&Value::from("ADDED"), &Value::from("y"))
    );
}
