//! Rows of workloads: apps, batch, replication controllers, autoscalers, disruption budgets.

use super::autoscaler;
use super::cells::{Cells, Row, containers, label_list, selector, shown, text};
use crate::duration;
use serde_json::Value;

pub(super) fn cells(kind: (&str, &str), row: &Row<'_>) -> Option<Cells> {
    Some(match kind {
        ("apps", "Deployment") => deployment(row),
        ("apps", "ReplicaSet") => replicas(row, selector(row.at("/spec/selector"))),
        ("", "ReplicationController") => replicas(row, label_list(row.at("/spec/selector"))),
        ("apps", "StatefulSet") => stateful_set(row),
        ("apps", "DaemonSet") => daemon_set(row),
        ("apps", "ControllerRevision") => revision(row),
        ("batch", "Job") => job(row),
        ("batch", "CronJob") => cron_job(row),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler::cells(row),
        ("policy", "PodDisruptionBudget") => vec![
            row.name(),
            row.shown_or("/spec/minAvailable", "N/A"),
            row.shown_or("/spec/maxUnavailable", "N/A"),
            row.number("/status/disruptionsAllowed").into(),
            row.age(),
        ],
        _ => return None,
    })
}

fn wanted(row: &Row<'_>) -> i64 {
    row.at("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn deployment(row: &Row<'_>) -> Cells {
    let (names, images) = containers(row.at("/spec/template"));
    vec![
        row.name(),
        format!("{}/{}", row.number("/status/readyReplicas"), wanted(row)).into(),
        row.number("/status/updatedReplicas").into(),
        row.number("/status/availableReplicas").into(),
        row.age(),
        names,
        images,
        // Of all kinds the only one that shows an empty selector as nothing.
        match selector(row.at("/spec/selector")) {
            Value::String(text) if text == "<none>" => "".into(),
            Value::String(text) if text == "<error>" => "<invalid>".into(),
            selector => selector,
        },
    ]
}

fn replicas(row: &Row<'_>, selector: Value) -> Cells {
    let (names, images) = containers(row.at("/spec/template"));
    vec![
        row.name(),
        wanted(row).into(),
        row.number("/status/replicas").into(),
        row.number("/status/readyReplicas").into(),
        row.age(),
        names,
        images,
        selector,
    ]
}

fn stateful_set(row: &Row<'_>) -> Cells {
    let (names, images) = containers(row.at("/spec/template"));
    let ready = format!("{}/{}", row.number("/status/readyReplicas"), wanted(row));
    vec![row.name(), ready.into(), row.age(), names, images]
}

fn daemon_set(row: &Row<'_>) -> Cells {
    let (names, images) = containers(row.at("/spec/template"));
    vec![
        row.name(),
        row.number("/status/desiredNumberScheduled").into(),
        row.number("/status/currentNumberScheduled").into(),
        row.number("/status/numberReady").into(),
        row.number("/status/updatedNumberScheduled").into(),
        row.number("/status/numberAvailable").into(),
        label_list(row.at("/spec/template/spec/nodeSelector")),
        row.age(),
        names,
        images,
        selector(row.at("/spec/selector")),
    ]
}

fn revision(row: &Row<'_>) -> Cells {
    let owner = row
        .list("/metadata/ownerReferences")
        .iter()
        .find(|o| o.get("controller") == Some(&Value::Bool(true)));
    let controller = match owner {
        Some(owner) => {
            let group =
                text(owner, "/apiVersion").split_once('/').map_or(String::new(), |(g, _)| format!(".{g}"));
            format!("{}{group}/{}", text(owner, "/kind").to_lowercase(), text(owner, "/name"))
        }
        None => "<none>".to_owned(),
    };
    vec![row.name(), controller.into(), row.number("/revision").into(), row.age()]
}

fn has_condition(row: &Row<'_>, kind: &str) -> bool {
    row.list("/status/conditions").iter().any(|c| text(c, "/type") == kind && text(c, "/status") == "True")
}

fn job(row: &Row<'_>) -> Cells {
    let (names, images) = containers(row.at("/spec/template"));
    let status = if has_condition(row, "Complete") {
        "Complete"
    } else if has_condition(row, "Failed") {
        "Failed"
    } else if row.at("/metadata/deletionTimestamp").is_some() {
        "Terminating"
    } else if has_condition(row, "Suspended") {
        "Suspended"
    } else if has_condition(row, "FailureTarget") {
        "FailureTarget"
    } else if has_condition(row, "SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    let succeeded = row.number("/status/succeeded");
    let completions = match (row.at("/spec/completions"), row.at("/spec/parallelism").and_then(Value::as_i64))
    {
        (Some(wanted), _) => format!("{succeeded}/{}", shown(wanted)),
        (None, Some(parallel)) if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
        _ => format!("{succeeded}/1"),
    };
    let instant = |pointer: &str| row.text(pointer).parse::<jiff::Timestamp>().ok();
    let took = match (instant("/status/startTime"), instant("/status/completionTime")) {
        (None, _) => String::new(),
        (Some(start), Some(end)) => duration::human(end.as_second() - start.as_second()),
        (Some(start), None) => duration::human(row.now.as_second() - start.as_second()),
    };
    let selector = selector(row.at("/spec/selector"));
    vec![row.name(), status.into(), completions.into(), took.into(), row.age(), names, images, selector]
}

fn cron_job(row: &Row<'_>) -> Cells {
    let (names, images) = containers(row.at("/spec/jobTemplate/spec/template"));
    let last = match row.at("/status/lastScheduleTime") {
        Some(_) => row.since("/status/lastScheduleTime"),
        None => "<none>".to_owned(),
    };
    vec![
        row.name(),
        row.text("/spec/schedule").into(),
        row.shown_or("/spec/timeZone", "<none>"),
        match row.at("/spec/suspend") {
            None => "<unset>".into(),
            Some(_) if row.flag("/spec/suspend") => "True".into(),
            Some(_) => "False".into(),
        },
        row.list("/status/active").len().into(),
        last.into(),
        row.age(),
        names,
        images,
        selector(row.at("/spec/jobTemplate/spec/selector")),
    ]
}
