//! Rules of jobs and cron jobs.

use super::pod;
use super::report::{Report, at, spec, text};
use crate::cause::Cause;
use crate::path::FieldPath;
use serde_json::Value;

pub(super) fn job(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    job_spec(spec, &path, report);
}

fn job_spec(spec: &Value, path: &FieldPath, report: &mut Report) {
    for field in [
        "parallelism",
        "completions",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        report.not_negative(&path.child(field), spec.get(field));
    }
    report.positive(&path.child("activeDeadlineSeconds"), spec.get("activeDeadlineSeconds"));
    report.one_of(
        &path.child("completionMode"),
        spec.get("completionMode"),
        &["Indexed", "NonIndexed"],
        false,
    );
    if text(spec, "completionMode") == "Indexed" && spec.get("completions").is_none_or(Value::is_null) {
        report.required(&path.child("completions"), "when completion mode is Indexed");
    }
    let at_template = path.child("template");
    let template = spec.get("template").unwrap_or(&Value::Null);
    pod::template(template, &at_template, report);
    let policy = at(template, "/spec/restartPolicy");
    match policy.as_str() {
        Some("OnFailure" | "Never") => {}
        Some("Always") => {
            let at = at_template.child("spec").child("restartPolicy");
            report.push(Cause::unsupported(&at, policy, &["OnFailure", "Never"]));
        }
        _ => {}
    }
}

pub(super) fn job_changes(new: &Value, old: &Value, report: &mut Report) {
    report.immutable(new, old, &["spec", "selector"]);
    report.immutable(new, old, &["spec", "completionMode"]);
    let indexed = at(new, "/spec/completionMode") == "Indexed";
    if !indexed {
        report.immutable(new, old, &["spec", "completions"]);
    }
    // A job that is still suspended may be told where its pods run.
    let suspended = at(old, "/spec/suspend") == &Value::Bool(true) && at(old, "/status/startTime").is_null();
    if !suspended {
        report.immutable(new, old, &["spec", "template"]);
    }
}

pub(super) fn cron_job(o: &Value, report: &mut Report) {
    let (path, spec) = spec(o);
    let schedule = text(spec, "schedule");
    if schedule.is_empty() {
        report.required(&path.child("schedule"), "");
    } else if let Some(problem) = schedule_problem(schedule) {
        report.push(Cause::invalid_str(&path.child("schedule"), schedule, &problem));
    }
    report.one_of(
        &path.child("concurrencyPolicy"),
        spec.get("concurrencyPolicy"),
        &["Allow", "Forbid", "Replace"],
        true,
    );
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        report.not_negative(&path.child(field), spec.get(field));
    }
    if let Some(zone) = spec.get("timeZone").filter(|z| z.as_str() == Some("")) {
        report.invalid(&path.child("timeZone"), zone, "timeZone must be nil or non-empty string");
    }
    let at = path.child("jobTemplate").child("spec");
    job_spec(spec.pointer("/jobTemplate/spec").unwrap_or(&Value::Null), &at, report);
}

/// Five fields or a word such as `@daily`.
fn schedule_problem(schedule: &str) -> Option<String> {
    let mut text = schedule;
    if let Some(rest) = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
        text = rest.split_once(' ').map_or("", |(_, fields)| fields);
    }
    if let Some(word) = text.strip_prefix('@') {
        let known = ["yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"];
        return (!known.contains(&word) && !word.starts_with("every "))
            .then(|| format!("unrecognized descriptor: {text}"));
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != 5 {
        return Some(format!("expected exactly 5 fields, found {}: {fields:?}", fields.len()));
    }
    let limits = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];
    fields
        .iter()
        .zip(limits)
        .find_map(|(field, limits)| field.split(',').find_map(|part| part_problem(part, limits)))
}

fn part_problem(part: &str, (low, high): (u32, u32)) -> Option<String> {
    const NAMES: [&str; 19] = [
        "sun", "mon", "tue", "wed", "thu", "fri", "sat", "jan", "feb", "mar", "apr", "may", "jun", "jul",
        "aug", "sep", "oct", "nov", "dec",
    ];
    let (range, step) = part.split_once('/').map_or((part, None), |(r, s)| (r, Some(s)));
    if step.is_some_and(|s| s.parse::<u32>().is_ok_and(|s| s == 0) || s.parse::<u32>().is_err()) {
        return Some(format!("step of range should be a positive number: {part}"));
    }
    if matches!(range, "*" | "?") {
        return None;
    }
    for end in range.splitn(2, '-') {
        match end.parse::<u32>() {
            Ok(number) if number < low => {
                return Some(format!("beginning of range ({number}) below minimum ({low}): {part}"));
            }
            Ok(number) if number > high => {
                return Some(format!("end of range ({number}) above maximum ({high}): {part}"));
            }
            Ok(_) => {}
            Err(_) if NAMES.contains(&end.to_lowercase().as_str()) => {}
            Err(_) => return Some(format!("failed to parse int from {end}")),
        }
    }
    None
}
