//! The autoscaler row: what is measured, what is wanted.

use super::cells::{Cells, Row, shown, text};
use serde_json::Value;

/// How many metrics are shown; the others are counted.
const SHOWN_MAX: usize = 2;

pub(super) fn cells(row: &Row<'_>) -> Cells {
    if row.text("/apiVersion") == "autoscaling/v1" {
        // The older version says the same in annotations.
        let mut newer = row.object.clone();
        if crate::convert::convert(&mut newer, "autoscaling/v2").is_ok() {
            return cells(&Row { object: &newer, now: row.now });
        }
    }
    let target =
        format!("{}/{}", row.text("/spec/scaleTargetRef/kind"), row.text("/spec/scaleTargetRef/name"));
    vec![
        row.name(),
        target.into(),
        targets(row),
        row.shown_or("/spec/minReplicas", "<unset>"),
        row.number("/spec/maxReplicas").into(),
        row.number("/status/currentReplicas").into(),
        row.age(),
    ]
}

/// `cpu: 10%/80%` for each metric.
fn targets(row: &Row<'_>) -> Value {
    let current = row.list("/status/currentMetrics");
    let metrics = row.list("/spec/metrics").iter().enumerate();
    let all: Vec<String> = metrics.map(|(i, spec)| metric(spec, current.get(i))).collect();
    match all.len() {
        0 => "<none>".into(),
        more if more > SHOWN_MAX => {
            format!("{} + {} more...", all[..SHOWN_MAX].join(", "), more - SHOWN_MAX).into()
        }
        _ => all.join(", ").into(),
    }
}

fn metric(spec: &Value, status: Option<&Value>) -> String {
    let part = match text(spec, "/type") {
        "Resource" => "/resource",
        "ContainerResource" => "/containerResource",
        "Pods" => "/pods",
        "Object" => "/object",
        "External" => "/external",
        _ => return "<unknown type>".to_owned(),
    };
    let status = status.and_then(|status| status.pointer(part)).filter(|status| !status.is_null());
    let want = |field: &str| spec.pointer(&format!("{part}/target/{field}")).filter(|v| !v.is_null());
    let now =
        |field: &str| status.and_then(|s| s.pointer(&format!("/current/{field}"))).filter(|v| !v.is_null());
    let unknown = || "<unknown>".to_owned();
    // Where there is a status without the value, Go prints the pointer that is not there.
    let value =
        |field: &str| status.map_or_else(unknown, |_| now(field).map_or_else(|| "<nil>".to_owned(), shown));
    let wanted = |field: &str| want(field).map_or_else(|| "<nil>".to_owned(), shown);
    let average = want("averageValue").is_some();
    match part {
        "/resource" | "/containerResource" => {
            let name = text(spec, &format!("{part}/name"));
            if average {
                return format!("{name}: {}/{}", value("averageValue"), wanted("averageValue"));
            }
            let percent = |found: Option<&Value>, otherwise: &str| {
                found.map_or(otherwise.to_owned(), |v| format!("{v}%"))
            };
            let now = percent(now("averageUtilization"), "<unknown>");
            format!("{name}: {now}/{}", percent(want("averageUtilization"), "<auto>"))
        }
        "/pods" => format!("{}/{}", value("averageValue"), wanted("averageValue")),
        _ if average => {
            let now = now("averageValue").map_or_else(unknown, shown);
            format!("{now}/{} (avg)", wanted("averageValue"))
        }
        _ => format!("{}/{}", value("value"), wanted("value")),
    }
}
