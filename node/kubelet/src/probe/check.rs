//! One try of a probe.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::runtime::Runtime;

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed, with the text of the event.
    Failed(String),
    /// It could not be tried; nothing follows from that.
    Errored(String),
}

/// The port a probe or hook means.
pub fn port(container: &Container, port: &IntOrString) -> Result<u16, String> {
    let number = match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => container
            .ports
            .iter()
            .flatten()
            .find(|one| one.name.as_deref() == Some(name))
            .map(|one| one.container_port)
            .or_else(|| name.parse().ok()),
    };
    let number = number.ok_or_else(|| format!("couldn't find port: {port:?}"))?;
    u16::try_from(number)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("invalid port number: {number}"))
}

/// Tries once.
pub async fn check(
    runtime: &dyn Runtime,
    container: &Container,
    probe: &Probe,
    id: &str,
    host: &str,
) -> Outcome {
    let limit_s = probe.timeout_seconds.unwrap_or(1).max(1);
    let limit = Duration::from_secs(u64::from(limit_s.unsigned_abs()));
    let target = |own: &Option<String>| match own.as_deref() {
        Some(own) if !own.is_empty() => own.to_owned(),
        _ => host.to_owned(),
    };
    if let Some(exec) = &probe.exec {
        return run(runtime, id, exec.command.as_deref().unwrap_or_default(), limit_s).await;
    }
    if let Some(action) = &probe.http_get {
        let port = match port(container, &action.port) {
            Ok(port) => port,
            Err(message) => return Outcome::Errored(message),
        };
        return match super::http_get(action, &target(&action.host), port, limit).await {
            Ok((status, _)) if (200..400).contains(&status.as_u16()) => Outcome::Passed,
            Ok((status, _)) => {
                Outcome::Failed(format!("HTTP probe failed with statuscode: {}", status.as_u16()))
            }
            Err(message) => Outcome::Failed(message),
        };
    }
    if let Some(action) = &probe.tcp_socket {
        let (host, port) = match port(container, &action.port) {
            Ok(port) => (target(&action.host), port),
            Err(message) => return Outcome::Errored(message),
        };
        let connect = tokio::net::TcpStream::connect((host.as_str(), port));
        return match tokio::time::timeout(limit, connect).await {
            Ok(Ok(_)) => Outcome::Passed,
            Ok(Err(error)) => Outcome::Failed(format!("dial tcp {host}:{port}: connect: {error}")),
            Err(_) => Outcome::Failed(format!("dial tcp {host}:{port}: i/o timeout")),
        };
    }
    if let Some(action) = &probe.grpc {
        let Ok(port) = u16::try_from(action.port) else {
            return Outcome::Errored(format!("invalid port number: {}", action.port));
        };
        return match super::grpc::check(host, port, action.service.as_deref().unwrap_or_default(), limit)
            .await
        {
            Ok(()) => Outcome::Passed,
            Err(message) => Outcome::Failed(message),
        };
    }
    Outcome::Errored("missing probe handler".into())
}

async fn run(runtime: &dyn Runtime, id: &str, command: &[String], limit_s: i32) -> Outcome {
    match runtime.exec_sync(id, command, i64::from(limit_s)).await {
        Ok(answer) if answer.exit_code == 0 => Outcome::Passed,
        Ok(answer) => {
            let mut text = answer.stdout;
            text.extend(answer.stderr);
            text.truncate(10 << 10);
            Outcome::Failed(String::from_utf8_lossy(&text).into_owned())
        }
        Err(error) if error.code == tonic::Code::DeadlineExceeded => {
            Outcome::Failed(format!("command timed out: {error}"))
        }
        Err(error) => Outcome::Errored(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::simulated::Simulated;
    use serde_json::{Value, json};
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn tried(probe: Value, port: u16) -> Outcome {
        let runtime = Simulated::new("10.0.0.0/24".parse().unwrap(), Arc::new(kit::SystemClock));
        let container = json!({"name": "c", "ports": [{"name": "http", "containerPort": port}]});
        let container: Container = serde_json::from_value(container).unwrap();
        check(&runtime, &container, &serde_json::from_value(probe).unwrap(), "id", "127.0.0.1").await
    }

    /// A server that answers each connection with this and tells what it was asked.
    async fn server(answer: &'static str) -> (u16, tokio::sync::mpsc::Receiver<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, seen) = tokio::sync::mpsc::channel(8);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut block = [0u8; 2048];
                let read = stream.read(&mut block).await.unwrap_or(0);
                let _ = asked.send(String::from_utf8_lossy(&block[..read]).to_ascii_lowercase()).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (port, seen)
    }

    #[tokio::test]
    async fn http_and_tcp_probes_judge_what_answers() {
        let (good, mut asked) = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        let probe = json!({"httpGet": {"path": "/live", "port": "http", "httpHeaders": [{"name": "X-A", "value": "b"}]}});
        assert_eq!(tried(probe, good).await, Outcome::Passed);
        let request = asked.recv().await.unwrap();
        assert!(request.starts_with("get /live http/1.1\r\n"), "{request}");
        for line in [&format!("host: 127.0.0.1:{good}"), "user-agent: kube-probe/1.35", "x-a: b"] {
            assert!(request.contains(line), "{line} in {request}");
        }
        let (bad, _asked) = server("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").await;
        let failed = Outcome::Failed("HTTP probe failed with statuscode: 503".into());
        assert_eq!(tried(json!({"httpGet": {"port": bad}}), 0).await, failed);
        assert_eq!(tried(json!({"tcpSocket": {"port": bad}}), 0).await, Outcome::Passed);
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        assert!(matches!(tried(json!({"tcpSocket": {"port": closed}}), 0).await, Outcome::Failed(_)));
        assert!(matches!(tried(json!({"httpGet": {"port": closed}}), 0).await, Outcome::Failed(_)));
        assert!(matches!(tried(json!({"httpGet": {"port": "nobody"}}), 0).await, Outcome::Errored(_)));
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_times_out() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let Outcome::Failed(text) = tried(json!({"httpGet": {"port": port}, "timeoutSeconds": 1}), 0).await
        else {
            panic!("the probe fails")
        };
        assert!(text.contains("context deadline exceeded"), "{text}");
    }
}
