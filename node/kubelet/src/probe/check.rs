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
    u16::try_from(number).ok().filter(|port| *port > 0).ok_or_else(|| format!("invalid port number: {number}"))
}

/// Tries once.
pub async fn check(runtime: &dyn Runtime, container: &Container, probe: &Probe, id: &str, host: &str) -> Outcome {
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
            Ok((status, _)) => Outcome::Failed(format!("HTTP probe failed with statuscode: {}", status.as_u16())),
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
        return match super::grpc::check(host, port, action.service.as_deref().unwrap_or_default(), limit).await {
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
