//! A kubelet for one test: it speaks the kubelet's protocols and runs commands of its own.
//!
//! `cat` gives back its input, `exit N` fails, `both` writes to both outputs, `size` tells the terminal's first size, `big N` writes N
//! megabytes, `refused` does not start. `reset`, `cut` and `gone` write a line and then end their streams by a reset, end nothing but the
//! connection, or do that without a status. `tar` packs a file, or says what was packed that it was given. Who attaches is
//! answered as by `cat` or, without input, by `both`. A port gives back what is sent to it; port 1 refuses.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kit::http::{Request, Response, ServiceFn};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::far_spdy::{Event, Events, Writer, serve};
use crate::harness::Server;

/// Opens the tunnel of `n1` with such a kubelet at its end, and makes the node and a pod `p` that runs there.
pub async fn start(server: &Server) {
    let serving = server
        .authority
        .issue(&kit::pki::Leaf {
            common_name: "system:node:n1".into(),
            organizations: vec!["system:nodes".into()],
            dns_names: vec!["n1".into()],
            addresses: vec![],
            usage: kit::pki::Usage::Server,
            valid: Duration::from_secs(3600),
        })
        .unwrap();
    let certificates = kit::tls::Certificates::new();
    certificates.set_default(&serving.certificate_pem, &serving.key_pem).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    kit::serve::tls(
        listener,
        kit::tls::server(certificates).unwrap(),
        Arc::new(ServiceFn(answer)),
        &server.tasks,
    );
    let (near, far) = tokio::io::duplex(64 * 1024);
    let tunnels = server.api.tunnels().clone();
    let runs = tunnels.clone();
    server.tasks.spawn("tunnel", async move { runs.run("n1", near).await });
    server.tasks.spawn("carry", async move {
        let dial = move |_| async move { TcpStream::connect(("127.0.0.1", port)).await };
        drop(kit::tunnel::carry(far, dial).await);
    });
    tunnels.changed().wait_for(|_| !tunnels.nodes().is_empty()).await.unwrap();
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
    server.post("/api/v1/nodes", node).await.ok();
    run_pod(server).await;
}

/// Makes the pod `p`, which runs there.
pub async fn run_pod(server: &Server) {
    let mut pod = crate::harness::pod("p");
    pod["spec"]["nodeName"] = json!("n1");
    let mut pod = server.post(crate::harness::PODS, pod).await.ok();
    pod["status"]["phase"] = json!("Running");
    pod["status"]["podIP"] = json!("10.244.0.9");
    pod["status"]["containerStatuses"] = json!([{"name": "c", "image": "nginx", "imageID": "", "ready": true, "restartCount": 0,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]);
    server.put(&format!("{}/p/status", crate::harness::PODS), pod).await.ok();
}

async fn answer(mut request: Request) -> Response {
    let uri = request.uri().clone();
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let flag = |name: &str| query.iter().any(|(key, value)| key == name && value == "1");
    let command: Vec<String> =
        query.iter().filter(|(key, _)| key == "command").map(|(_, value)| value.clone()).collect();
    if uri.path().starts_with("/containerLogs/") {
        return kit::http::bytes_response(
            StatusCode::OK,
            "text/plain",
            format!("one\ntwo {}\n", uri.query().unwrap_or_default()),
        );
    }
    if uri.path().starts_with("/echo") {
        return kit::http::bytes_response(
            StatusCode::OK,
            "text/plain",
            format!("{} {}", request.method(), uri.path()),
        );
    }
    let attached = if flag("input") { "cat" } else { "both" };
    let command = if uri.path().starts_with("/attach/") { vec![attached.to_owned()] } else { command };
    if command.first().is_some_and(|first| first == "refused") {
        return kit::http::bytes_response(StatusCode::NOT_FOUND, "text/plain", "container not found (\"c\")");
    }
    let protocols =
        request.headers().get_all("x-stream-protocol-version").iter().filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = protocols.flat_map(|value| value.split(',')).map(str::trim).collect();
    let forwards = uri.path().starts_with("/portForward/");
    let spoken = if forwards { "portforward.k8s.io" } else { "v4.channel.k8s.io" };
    let is_spdy = request.headers().get("upgrade").is_some_and(|value| value == "SPDY/3.1");
    if !is_spdy || !offered.contains(&spoken) {
        return kit::http::bytes_response(
            StatusCode::BAD_REQUEST,
            "text/plain",
            format!("unable to upgrade: {offered:?}"),
        );
    }
    let tty = flag("tty");
    let streams =
        1 + [flag("input"), flag("output"), flag("error") && !tty, tty].into_iter().filter(|is| *is).count();
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        // Who asked may have gone.
        let Ok(upgraded) = upgraded.await else { return };
        let events = serve(TokioIo::new(upgraded));
        if forwards { forward(events).await } else { run(events, &command, streams).await }
    });
    let mut response = kit::http::status(StatusCode::SWITCHING_PROTOCOLS);
    for (name, value) in
        [("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", spoken)]
    {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

type Connection = Events<TokioIo<Upgraded>>;

async fn run(mut events: Connection, command: &[String], wanted: usize) {
    let mut streams: HashMap<String, u32> = HashMap::new();
    let mut early = Vec::new();
    while streams.len() < wanted {
        match events.next().await {
            // What has no type is not of a session.
            Some(Event::Opened { id, headers }) => {
                if let Some(kind) = headers.get("streamtype") {
                    streams.insert(kind.clone(), id);
                }
            }
            Some(event) => early.push(event),
            None => return,
        }
    }
    let writer = events.writer.clone();
    let out = streams.get("stdout").copied();
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let code = match words.as_slice() {
        ["cat"] => {
            cat(&mut events, early, &writer, streams["stdin"], out.unwrap()).await;
            0
        }
        ["exit", code] => code.parse().unwrap(),
        ["both"] => {
            writer.send(out.unwrap(), b"out\n", false).await;
            writer.send(streams["stderr"], b"err\n", false).await;
            0
        }
        ["big", megabytes] => {
            let piece = vec![b'x'; 32 * 1024];
            for _ in 0..megabytes.parse::<usize>().unwrap() * 32 {
                writer.send(out.unwrap(), &piece, false).await;
            }
            0
        }
        ["tar", "cf", ..] => {
            writer.send(out.unwrap(), &packed("told", b"told from afar\n"), false).await;
            0
        }
        ["tar", ..] => {
            let bytes = all(&mut events, early, streams["stdin"]).await;
            let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
            let said = format!("unpacked {} of {} bytes\n", String::from_utf8_lossy(name), bytes.len());
            writer.send(out.unwrap(), said.as_bytes(), false).await;
            0
        }
        ["reset" | "cut" | "gone"] => {
            writer.send(out.unwrap(), b"out\n", false).await;
            0
        }
        ["size"] => {
            let size = size(&mut events, early, streams["resize"]).await;
            writer.send(out.unwrap(), &size, false).await;
            0
        }
        _ => 127,
    };
    finish(&words, code, &streams, &writer).await;
    if !matches!(words.as_slice(), ["cut" | "gone"]) {
        while events.next().await.is_some() {}
    }
}

/// Ends the streams of a command, and says how it ended.
async fn finish(words: &[&str], code: i32, streams: &HashMap<String, u32>, writer: &Writer) {
    let (is_reset, ends) = (words == ["reset"], !matches!(words, ["reset" | "cut" | "gone"]));
    for id in ["stdout", "stderr"].iter().filter_map(|name| streams.get(*name)).filter(|_| ends) {
        writer.send(*id, &[], true).await;
    }
    let status = match code {
        0 => json!({"metadata": {}, "status": "Success"}),
        code => json!({"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}}),
    };
    if words != ["gone"] {
        writer.send(streams["error"], status.to_string().as_bytes(), ends).await;
    }
    for id in streams.values().filter(|_| is_reset) {
        writer.reset(*id).await;
    }
}

async fn cat(events: &mut Connection, early: Vec<Event>, writer: &Writer, from: u32, to: u32) {
    let mut early = early.into_iter();
    loop {
        let event = match early.next() {
            Some(event) => Some(event),
            None => events.next().await,
        };
        match event {
            Some(Event::Data { id, bytes }) if id == from => writer.send(to, &bytes, false).await,
            Some(Event::Ended { id }) if id == from => return,
            None => return,
            _ => {}
        }
    }
}

/// All that is sent on a stream.
async fn all(events: &mut Connection, early: Vec<Event>, from: u32) -> Vec<u8> {
    let (mut early, mut sent) = (early.into_iter(), Vec::new());
    loop {
        let event = match early.next() {
            Some(event) => Some(event),
            None => events.next().await,
        };
        match event {
            Some(Event::Data { id, bytes }) if id == from => sent.extend(bytes),
            Some(Event::Ended { id }) if id == from => return sent,
            None => return sent,
            _ => {}
        }
    }
}

/// A tar archive of one file.
fn packed(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", content.len()));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = header.to_vec();
    archive.extend_from_slice(content);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}

async fn size(events: &mut Connection, early: Vec<Event>, from: u32) -> Vec<u8> {
    let mut early = early.into_iter();
    loop {
        let event = match early.next() {
            Some(event) => Some(event),
            None => events.next().await,
        };
        match event {
            Some(Event::Data { id, bytes }) if id == from => return bytes,
            None => return Vec::new(),
            _ => {}
        }
    }
}

async fn forward(mut events: Connection) {
    let writer = events.writer.clone();
    let mut kinds: HashMap<u32, (String, String, String)> = HashMap::new();
    while let Some(event) = events.next().await {
        match event {
            Event::Opened { id, headers } => {
                let of = |name: &str| headers.get(name).cloned().unwrap_or_default();
                kinds.insert(id, (of("streamtype"), of("port"), of("requestid")));
            }
            Event::Data { id, bytes } if kinds[&id].0 == "data" => writer.send(id, &bytes, false).await,
            Event::Ended { id } if kinds[&id].0 == "data" => {
                writer.send(id, &[], true).await;
                let error = kinds.iter().find(|(_, kind)| kind.0 == "error" && kind.2 == kinds[&id].2);
                if let Some((error, _)) = error {
                    writer.send(*error, &[], true).await;
                }
            }
            _ => {}
        }
    }
}
