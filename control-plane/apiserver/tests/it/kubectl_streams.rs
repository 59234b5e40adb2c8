//! The real kubectl's exec, attach, cp, logs, proxy and port-forward, of every minor that is installed, over WebSocket and over SPDY, with
//! a kubelet that speaks SPDY.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::clients;
use crate::far_kubelet;
use crate::kubectl::{self, Kubectl};

/// Both ways kubectl can speak.
const WAYS: [&[(&str, &str)]; 2] =
    [&[], &[("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false"), ("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")]];

/// Every kubectl there is: the installed minors, or the one on the path.
fn programs() -> Vec<(String, PathBuf)> {
    let minors = clients::kubectls();
    if minors.is_empty() {
        return kubectl::find().map(|program| ("kubectl".to_owned(), program)).into_iter().collect();
    }
    minors.into_iter().map(|(minor, program)| (format!("kubectl {minor}"), program)).collect()
}

/// A server with a far kubelet for each kubectl, one after another.
async fn with_each<F: Future<Output = ()>>(act: impl Fn(String, Kubectl) -> F) {
    let programs = programs();
    if programs.is_empty() {
        eprintln!("SKIPPED: no kubectl found");
    }
    for (minor, program) in programs {
        let cluster = Kubectl::start_with(program).await.unwrap();
        far_kubelet::start(&cluster.server).await;
        act(minor, cluster).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_run_and_their_ends_are_told() {
    with_each(async |minor, kubectl| {
        let much = "z".repeat(1_000_000);
        for way in WAYS {
            let what = format!("{minor} {way:?}");
            let (done, text) = kubectl.run_with(way, "exec -i p -- cat", &much).await;
            let more = text.trim_start_matches('z');
            assert!(done && text.len() == much.len(), "{what}: {} bytes came back: {more}", text.len());
            let (done, text) = kubectl.run_with(way, "exec p -- exit 3", "").await;
            assert!(!done && text.contains("command terminated with exit code 3"), "{what}: {text}");
            let (done, text) = kubectl.run_with(way, "exec p -- both", "").await;
            assert!(done && text.contains("out\n") && text.contains("err\n"), "{what}: {text}");
            let (done, text) = kubectl.run_with(way, "exec p -- big 4", "").await;
            assert!(done && text.len() == 4 * 1024 * 1024, "{what}: {} bytes", text.len());
            let (done, text) = kubectl.run_with(way, "exec p -- refused", "").await;
            assert!(!done && text.contains("container not found (\"c\")"), "{what}: {text}");
            let (done, text) = kubectl.run_with(way, "exec p -c x -- both", "").await;
            assert!(!done && text.contains("container x is not valid for pod p"), "{what}: {text}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_are_attached_to_and_files_copied() {
    with_each(async |minor, kubectl| {
        std::fs::write(kubectl.home().join("sent"), "from here\n").unwrap();
        for way in WAYS {
            let what = format!("{minor} {way:?}");
            let (done, text) = kubectl.run_with(way, "attach -i p", "hello\n").await;
            assert!(done && text.contains("hello\n"), "{what}: {text}");
            let (done, text) = kubectl.run_with(way, "attach p", "").await;
            assert!(done && text.contains("out\n") && text.contains("err\n"), "{what}: {text}");
            let (done, text) = kubectl.run_with(way, "cp sent p:/tmp/sent", "").await;
            // A header, a block and the two empty blocks at the end; tar may pad more.
            assert!(done && text.contains("unpacked sent of "), "{what}: {text}");
            let (done, text) = kubectl.run_with(way, "cp p:told got", "").await;
            assert!(done, "{what}: {text}");
            let got = kubectl.home().join("got");
            assert_eq!(std::fs::read_to_string(&got).unwrap(), "told from afar\n", "{what}");
            std::fs::remove_file(got).unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_read() {
    with_each(async |minor, kubectl| {
        for (arguments, wanted) in [
            (
                "logs p --tail=5 --timestamps --since=1h",
                &["one\n", "tailLines=5", "timestamps=true", "sinceSeconds=3600"][..],
            ),
            (
                "logs p --previous --limit-bytes=9 --insecure-skip-tls-verify-backend",
                &["previous=true", "limitBytes=9"],
            ),
            ("logs -f p -c c", &["one\n", "follow=true"]),
            ("logs p --all-containers --prefix", &["[pod/p/c] one\n"]),
        ] {
            let (done, text) = kubectl.run_with(&[], arguments, "").await;
            let all = wanted.iter().all(|wanted| text.contains(wanted));
            assert!(done && all, "{minor} {arguments}: wanted {wanted:?}: {text}");
        }
    })
    .await;
}

/// The port in the first line that a command prints, and the command.
async fn started(
    kubectl: &Kubectl,
    way: &[(&str, &str)],
    arguments: &str,
) -> (String, tokio::process::Child) {
    let mut command = kubectl.command(arguments);
    command.envs(way.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::inherit()).stdin(Stdio::null());
    let mut child = command.kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first =
        tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await.unwrap().unwrap().unwrap();
    let port = first.split(" -> ").next().and_then(|text| text.rsplit(':').next()).unwrap().to_owned();
    // It may go on writing.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (port, child)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_are_forwarded() {
    with_each(async |minor, kubectl| {
        for way in WAYS {
            let (port, mut child) = started(&kubectl, way, "port-forward p :80 --address 127.0.0.1").await;
            for text in ["hello", "again"] {
                let mut stream = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
                stream.write_all(text.as_bytes()).await.unwrap();
                let mut back = vec![0; text.len()];
                let read = stream.read_exact(&mut back);
                tokio::time::timeout(Duration::from_secs(60), read).await.expect("the port answers").unwrap();
                assert_eq!(back, text.as_bytes(), "{minor} {way:?}");
            }
            child.kill().await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_is_reached_through_a_proxy() {
    with_each(async |minor, kubectl| {
        let (port, mut child) = started(&kubectl, &[], "proxy --port=0").await;
        for (path, wanted) in [
            ("/version", "v1.35.6"),
            ("/api/v1/namespaces/default/pods/p/log", "one\n"),
            ("/api/v1/namespaces/default/pods/https:p:443/proxy/echo", "GET /echo"),
            ("/api/v1/namespaces/default/pods?watch=1&timeoutSeconds=1", "\"type\":\"ADDED\""),
        ] {
            let mut stream = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
            let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer);
            tokio::time::timeout(Duration::from_secs(60), read).await.expect("the proxy answers").unwrap();
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(
                answer.starts_with("HTTP/1.1 200") && answer.contains(wanted),
                "{minor} {path}: {answer}"
            );
        }
        child.kill().await.unwrap();
    })
    .await;
}
