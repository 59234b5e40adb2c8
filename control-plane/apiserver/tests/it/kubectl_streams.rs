//! The real kubectl's exec, attach, logs and port-forward, over WebSocket and over SPDY, with a kubelet that speaks SPDY.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::far_kubelet;
use crate::kubectl::Kubectl;

/// Both ways kubectl can speak.
const WAYS: [&[(&str, &str)]; 2] =
    [&[], &[("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false"), ("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")]];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_run_and_their_ends_are_told() {
    let Some(kubectl) = Kubectl::start().await else { return };
    far_kubelet::start(&kubectl.server).await;
    let much = "z".repeat(1_000_000);
    for way in WAYS {
        let (done, text) = kubectl.run_with(way, "exec -i p -- cat", &much).await;
        let more = text.trim_start_matches('z');
        assert!(done && text.len() == much.len(), "{way:?}: {} bytes came back: {more}", text.len());
        let (done, text) = kubectl.run_with(way, "exec p -- exit 3", "").await;
        assert!(!done && text.contains("command terminated with exit code 3"), "{way:?}: {text}");
        let (done, text) = kubectl.run_with(way, "exec p -- both", "").await;
        assert!(done && text.contains("out\n") && text.contains("err\n"), "{way:?}: {text}");
        let (done, text) = kubectl.run_with(way, "exec p -- big 8", "").await;
        assert!(done && text.len() == 8 * 1024 * 1024, "{way:?}: {} bytes", text.len());
        let (done, text) = kubectl.run_with(way, "exec p -- refused", "").await;
        assert!(!done && text.contains("container not found (\"c\")"), "{way:?}: {text}");
        let (done, text) = kubectl.run_with(way, "exec p -c x -- both", "").await;
        assert!(!done && text.contains("container x is not valid for pod p"), "{way:?}: {text}");
    }
    let (done, text) = kubectl.run_with(&[], "logs p --tail=5 --timestamps --since=1h", "").await;
    assert!(
        done && text.contains("one\n") && text.contains("tailLines=5") && text.contains("timestamps=true"),
        "{text}"
    );
    assert!(text.contains("sinceSeconds=3600"), "{text}");
    let (done, text) = kubectl
        .run_with(&[], "logs p --previous --limit-bytes=9 --insecure-skip-tls-verify-backend", "")
        .await;
    assert!(done && text.contains("previous=true") && text.contains("limitBytes=9"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_are_forwarded() {
    let Some(kubectl) = Kubectl::start().await else { return };
    far_kubelet::start(&kubectl.server).await;
    for way in WAYS {
        let mut command = kubectl.command("port-forward p :80 --address 127.0.0.1");
        command
            .envs(way.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .stdin(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first =
            tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await.unwrap().unwrap().unwrap();
        let port = first.split(" -> ").next().and_then(|text| text.rsplit(':').next()).unwrap().to_owned();
        for text in ["hello", "again"] {
            let mut stream = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            let mut back = vec![0; text.len()];
            let read = stream.read_exact(&mut back);
            tokio::time::timeout(Duration::from_secs(20), read).await.expect("the port answers").unwrap();
            assert_eq!(back, text.as_bytes(), "{way:?}");
        }
        child.kill().await.unwrap();
    }
}
