//! The pod row: ready containers, the reason of its state, restarts.

use super::cells::{Cells, Row, list, text};
use crate::duration;
use serde_json::{Value, json};

pub(super) fn cells(row: &Row<'_>) -> Cells {
    let summary = summarise(row);
    let restarts = match &summary.last_restart {
        Some(time) if summary.restarts > 0 => {
            format!("{} ({} ago)", summary.restarts, duration::since(Some(time), row.now))
        }
        _ => summary.restarts.to_string(),
    };
    let ip = match list(row.at("/status/podIPs")).first() {
        Some(first) => text(first, "/ip"),
        None => row.text("/status/podIP"),
    };
    let or_none = |text: &str| -> Value { if text.is_empty() { "<none>".into() } else { text.into() } };
    vec![
        row.name(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        row.age(),
        or_none(ip),
        or_none(row.text("/spec/nodeName")),
        or_none(row.text("/status/nominatedNodeName")),
        gates(row),
    ]
}

struct Summary {
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<String>,
    reason: String,
}

fn count(status: &Value) -> i64 {
    status.get("restartCount").and_then(Value::as_i64).unwrap_or(0)
}

/// The latest end of an earlier run, RFC 3339 texts of one form compare as times.
fn later(known: &mut Option<String>, status: &Value) {
    let finished = text(status, "/lastState/terminated/finishedAt");
    if !finished.is_empty() && known.as_deref().is_none_or(|k| k < finished) {
        *known = Some(finished.to_owned());
    }
}

fn is_sidecar(row: &Row<'_>, name: &str) -> bool {
    let containers = row.list("/spec/initContainers");
    containers.iter().any(|c| text(c, "/name") == name && text(c, "/restartPolicy") == "Always")
}

fn exit_reason(terminated: &Value, prefix: &str) -> String {
    let number = |key: &str| terminated.get(key).and_then(Value::as_i64).unwrap_or(0);
    match (text(terminated, "/reason"), number("signal")) {
        ("", 0) => format!("{prefix}ExitCode:{}", number("exitCode")),
        ("", signal) => format!("{prefix}Signal:{signal}"),
        (reason, _) => format!("{prefix}{reason}"),
    }
}

fn summarise(row: &Row<'_>) -> Summary {
    let mut reason = match row.text("/status/reason") {
        "" => row.text("/status/phase").to_owned(),
        reason => reason.to_owned(),
    };
    if gated(row) {
        reason = "SchedulingGated".to_owned();
    }
    let inits = row.list("/spec/initContainers");
    let sidecars = inits.iter().filter(|c| text(c, "/restartPolicy") == "Always").count();
    let mut s = Summary {
        ready: 0,
        total: row.list("/spec/containers").len() + sidecars,
        restarts: 0,
        last_restart: None,
        reason,
    };
    let (mut sidecar_restarts, mut sidecar_last) = (0, None);
    let mut initialising = false;
    for (index, status) in row.list("/status/initContainerStatuses").iter().enumerate() {
        s.restarts += count(status);
        later(&mut s.last_restart, status);
        let sidecar = is_sidecar(row, text(status, "/name"));
        if sidecar {
            sidecar_restarts += count(status);
            later(&mut sidecar_last, status);
        }
        let terminated = status.pointer("/state/terminated");
        if terminated.is_some_and(|t| t.get("exitCode").and_then(Value::as_i64).unwrap_or(0) == 0) {
            continue;
        }
        if sidecar && status.get("started") == Some(&json!(true)) {
            if status.get("ready") == Some(&json!(true)) {
                s.ready += 1;
            }
            continue;
        }
        s.reason = match (terminated, text(status, "/state/waiting/reason")) {
            (Some(terminated), _) => exit_reason(terminated, "Init:"),
            (None, "" | "PodInitializing") => format!("Init:{index}/{}", inits.len()),
            (None, waiting) => format!("Init:{waiting}"),
        };
        initialising = true;
        break;
    }
    if !initialising || condition_true(row, "Initialized") {
        (s.restarts, s.last_restart) = (sidecar_restarts, sidecar_last);
        containers(row, &mut s);
    }
    if row.at("/metadata/deletionTimestamp").is_some() {
        let lost = row.text("/status/reason") == "NodeLost";
        let ended = matches!(row.text("/status/phase"), "Failed" | "Succeeded");
        if lost {
            s.reason = "Unknown".to_owned();
        } else if !ended {
            s.reason = "Terminating".to_owned();
        }
    }
    s
}

fn containers(row: &Row<'_>, s: &mut Summary) {
    let mut running = false;
    for status in row.list("/status/containerStatuses").iter().rev() {
        s.restarts += count(status);
        later(&mut s.last_restart, status);
        let ready = status.get("ready") == Some(&json!(true));
        let waiting = text(status, "/state/waiting/reason");
        if !waiting.is_empty() {
            s.reason = waiting.to_owned();
        } else if let Some(terminated) = status.pointer("/state/terminated") {
            s.reason = exit_reason(terminated, "");
        } else if ready && status.pointer("/state/running").is_some() {
            running = true;
            s.ready += 1;
        }
    }
    // Some container ran to its end while another still runs.
    if s.reason == "Completed" && running {
        s.reason = if condition_true(row, "Ready") { "Running" } else { "NotReady" }.to_owned();
    }
}

fn condition_true(row: &Row<'_>, kind: &str) -> bool {
    row.list("/status/conditions").iter().any(|c| text(c, "/type") == kind && text(c, "/status") == "True")
}

fn gated(row: &Row<'_>) -> bool {
    let conditions = row.list("/status/conditions");
    conditions.iter().any(|c| text(c, "/type") == "PodScheduled" && text(c, "/reason") == "SchedulingGated")
}

fn gates(row: &Row<'_>) -> Value {
    let gates = row.list("/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".into();
    }
    let passed = gates.iter().filter(|g| condition_true(row, text(g, "/conditionType"))).count();
    format!("{passed}/{}", gates.len()).into()
}
