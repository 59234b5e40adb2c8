//! Rules of probes and lifecycle hooks.

use crate::validation::names;
use crate::validation::place::Place;
use crate::validation::report::Report;
use serde_json::Value;

/// The three probes of a container.
pub(super) fn probes(container: &Place, grace_s: Option<i64>, report: &mut Report) {
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let at = container.field(field);
        if !at.is_set() {
            continue;
        }
        probe(&at, grace_s, report);
        if field == "readinessProbe" {
            if at.has("terminationGracePeriodSeconds") {
                report.invalid(
                    &at.field("terminationGracePeriodSeconds"),
                    "must not be set for readinessProbes",
                );
            }
        } else if at.number("successThreshold") != 1 {
            report.invalid_number(&at.field("successThreshold"), "must be 1");
        }
    }
}

fn probe(at: &Place, grace_s: Option<i64>, report: &mut Report) {
    handler(at, &["exec", "httpGet", "tcpSocket", "grpc"], grace_s, report);
    for field in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        report.not_negative(&at.field(field));
    }
    if at.some_number("terminationGracePeriodSeconds").is_some_and(|seconds| seconds <= 0) {
        report.invalid(&at.field("terminationGracePeriodSeconds"), "must be greater than 0");
    }
}

/// What is done after a container starts and before it ends.
pub(super) fn lifecycle(at: &Place, grace_s: Option<i64>, report: &mut Report) {
    for field in ["postStart", "preStop"] {
        if at.has(field) {
            handler(&at.field(field), &["exec", "httpGet", "tcpSocket", "sleep"], grace_s, report);
        }
    }
}

fn handler(at: &Place, kinds: &[&'static str], grace_s: Option<i64>, report: &mut Report) {
    let mut found = 0;
    for kind in kinds {
        let action = at.field(kind);
        if !action.is_set() {
            continue;
        }
        found += 1;
        if found > 1 {
            report.forbidden(&action, "may not specify more than 1 handler type");
            continue;
        }
        match *kind {
            "exec" => {
                if action.field("command").is_empty() {
                    report.required(&action.field("command"), "");
                }
            }
            "httpGet" => http_get(&action, report),
            "sleep" => sleep(&action, grace_s, report),
            _ => port(&action.field("port"), report),
        }
    }
    if found == 0 {
        report.required(at, "must specify a handler type");
    }
}

fn http_get(at: &Place, report: &mut Report) {
    report.present(&at.field("path"));
    port(&at.field("port"), report);
    let schemes = ["HTTP", "HTTPS"];
    if !schemes.contains(&at.text("scheme")) {
        report.unsupported(&at.field("scheme"), &schemes);
    }
    let headers = at.field("httpHeaders");
    for header in headers.items() {
        report.problems_of(&headers, header.text("name"), names::http_header_name(header.text("name")));
    }
}

fn sleep(at: &Place, grace_s: Option<i64>, report: &mut Report) {
    let seconds = at.number("seconds");
    if let Some(grace_s) = grace_s.filter(|grace_s| seconds < 0 || seconds > *grace_s) {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace_s})");
        report.invalid_as(at, seconds, &detail);
    }
}

/// A port by number or by name.
pub(in crate::validation) fn port(at: &Place, report: &mut Report) {
    match at.value() {
        Value::String(name) => report.problems(at, names::port_name(name)),
        _ => report.port_number(at),
    }
}
