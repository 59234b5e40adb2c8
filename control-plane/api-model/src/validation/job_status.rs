//! What may be written to a job's status. Like upstream, a rule is asked only when the write touches what it is about.

use super::batch::parse_indexes;
use super::place::Place;
use super::report::{IMMUTABLE, Report};
use serde_json::Value;
use std::collections::BTreeSet;

/// A job at one moment.
struct Job<'a, 'o, 'p> {
    spec: &'a Place<'o, 'p>,
    status: &'a Place<'o, 'p>,
}

impl Job<'_, '_, '_> {
    fn is(&self, condition: &str) -> bool {
        self.status
            .field("conditions")
            .items()
            .any(|one| one.text("type") == condition && one.text("status") == "True")
    }

    fn finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }

    fn is_indexed(&self) -> bool {
        self.spec.text("completionMode") == "Indexed"
    }
}

pub(super) fn status(new: &Place, old: &Place, report: &mut Report) {
    let (spec, status) = (new.field("spec"), new.field("status"));
    let (old_spec, old_status) = (old.field("spec"), old.field("status"));
    let job = Job { spec: &spec, status: &status };
    let before = Job { spec: &old_spec, status: &old_status };
    counts(&status, report);
    conditions(&job, &before, report);
    times(&job, &before, report);
    ending(&job, &before, report);
    indexes(&job, &before, report);
    transitions(&job, &before, report);
}

fn counts(status: &Place, report: &mut Report) {
    for field in ["active", "succeeded", "failed", "ready", "terminating"] {
        report.not_negative(&status.field(field));
    }
    let pods = status.field("uncountedTerminatedPods");
    let mut seen = BTreeSet::new();
    for list in ["succeeded", "failed"] {
        for uid in pods.field(list).items() {
            if uid.is_empty() {
                report.invalid_text(&uid, "must not be empty");
            } else if !seen.insert(uid.as_text()) {
                report.duplicate(&uid);
            }
        }
    }
}

fn conditions(job: &Job, before: &Job, report: &mut Report) {
    let at = job.status.field("conditions");
    let changed = |name: &str| job.is(name) != before.is(name);
    let mut refuse = |wrong: bool, detail: &str| {
        if wrong {
            report.invalid_unshown(&at, detail);
        }
    };
    let (complete, failed, target, met) =
        (job.is("Complete"), job.is("Failed"), job.is("FailureTarget"), job.is("SuccessCriteriaMet"));
    if changed("Complete") || changed("Failed") {
        refuse(complete && failed, "cannot set Complete=True and Failed=true conditions");
    }
    if changed("Complete") || changed("FailureTarget") {
        refuse(complete && target, "cannot set Complete=True and FailureTarget=true conditions");
    }
    if changed("Failed") || changed("FailureTarget") {
        refuse(
            failed && !target,
            "cannot set Failed=True condition without the FailureTarget=true condition",
        );
    }
    if changed("Complete") || changed("SuccessCriteriaMet") {
        refuse(
            complete && !met,
            "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
        );
    }
    refuse(met && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    refuse(met && target, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
}

fn times(job: &Job, before: &Job, report: &mut Report) {
    let (started, completed) = (job.status.field("startTime"), job.status.field("completionTime"));
    let differs = |field: &str| job.status.value().get(field) != before.status.value().get(field);
    let complete = job.is("Complete");
    if complete != before.is("Complete") || differs("completionTime") {
        if completed.is_set() && !complete {
            report.invalid(&completed, "cannot set completionTime when there is no Complete=True condition");
        }
        if !completed.is_set() && complete {
            report.required(&completed, "completionTime is required for Complete jobs");
        }
    }
    if differs("startTime") || differs("completionTime") {
        let time = |at: &Place| at.as_text().parse::<jiff::Timestamp>().ok();
        if let (Some(started), Some(ended)) = (time(&started), time(&completed))
            && ended < started
        {
            report.invalid(&completed, "must be equal to or after `startTime`");
        }
    }
    if (job.finished() != before.finished() || differs("startTime")) && job.finished() && !started.is_set() {
        report.required(&started, "startTime is required for finished job");
    }
}

/// What a job that has ended does not have any more.
fn ending(job: &Job, before: &Job, report: &mut Report) {
    let ends = job.finished() != before.finished();
    let differs = |field: &str| job.status.value().get(field) != before.status.value().get(field);
    if !job.finished() {
        let ready = job.status.field("ready");
        if (differs("ready") || differs("active"))
            && ready.as_number().unwrap_or(0) > job.status.number("active")
        {
            report.invalid(&ready, "cannot set more ready pods than active");
        }
        return;
    }
    for field in ["active", "terminating"] {
        if (ends || differs(field)) && job.status.number(field) > 0 {
            report.invalid(&job.status.field(field), &format!("{field}>0 is invalid for finished job"));
        }
    }
    let pods = job.status.field("uncountedTerminatedPods");
    let uncounted = !pods.field("failed").is_empty() || !pods.field("succeeded").is_empty();
    if (ends || differs("uncountedTerminatedPods")) && uncounted {
        report.invalid(&pods, "must be empty for finished job");
    }
}

fn indexes(job: &Job, before: &Job, report: &mut Report) {
    let differs = |field: &str| job.status.value().get(field) != before.status.value().get(field);
    let (done, failed) = (job.status.field("completedIndexes"), job.status.field("failedIndexes"));
    let (done_changed, failed_changed) = (differs("completedIndexes"), differs("failedIndexes"));
    let completions = job.spec.some_number("completions");
    let limit = completions.unwrap_or(i64::MAX);
    if done_changed
        && completions.is_some()
        && let Err(problem) = parse_indexes(done.as_text(), limit)
    {
        report.invalid_text(&done, &format!("error parsing completedIndexes: {problem}"));
    }
    if failed_changed
        && completions.is_some()
        && job.spec.has("backoffLimitPerIndex")
        && let Err(problem) = parse_indexes(failed.as_text(), limit)
    {
        report.invalid_text(&failed, &format!("error parsing failedIndexes: {problem}"));
    }
    if done_changed && !done.is_empty() && !job.is_indexed() {
        report.invalid(&done, "cannot set non-empty completedIndexes when non-indexed completion mode");
    }
    if failed_changed && failed.is_set() && !job.spec.has("backoffLimitPerIndex") {
        report.invalid(&failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    }
    if (done_changed || failed_changed) && completions.is_some() && failed.is_set() {
        let (Ok(done), Ok(bad)) =
            (parse_indexes(done.as_text(), limit), parse_indexes(failed.as_text(), limit))
        else {
            return;
        };
        let overlap = done.iter().any(|a| bad.iter().any(|b| a.0 <= b.1 && b.0 <= a.1));
        if overlap {
            let both =
                done.iter().find_map(|a| bad.iter().find(|b| a.0 <= b.1 && b.0 <= a.1).map(|b| a.0.max(b.0)));
            let detail =
                format!("failedIndexes and completedIndexes overlap at index: {}", both.unwrap_or_default());
            report.invalid(&failed, &detail);
        }
    }
}

/// What, once written, stays.
fn transitions(job: &Job, before: &Job, report: &mut Report) {
    let at = job.status.field("conditions");
    for condition in ["Failed", "Complete", "FailureTarget", "SuccessCriteriaMet"] {
        if before.is(condition) && !job.is(condition) {
            let what = if condition == "SuccessCriteriaMet" { "the" } else { "the terminal" };
            report.invalid_unshown(&at, &format!("cannot disable {what} {condition}=True condition"));
        }
    }
    let resized = job.spec.value().get("completions") != before.spec.value().get("completions");
    for (field, asked) in [("failed", true), ("succeeded", !job.is_indexed() || !resized)] {
        if asked && job.status.number(field) < before.status.number(field) {
            report.invalid_number(&job.status.field(field), &format!("cannot decrease the {field} counter"));
        }
    }
    let (ended, started) = (job.status.field("completionTime"), job.status.field("startTime"));
    let had = |field: &str| before.status.value().get(field).unwrap_or(&Value::Null).clone();
    if ended.is_set() && !had("completionTime").is_null() && ended.value() != &had("completionTime") {
        report.invalid(&ended, IMMUTABLE);
    }
    if !had("startTime").is_null() && started.value() != &had("startTime") && !job.spec.flag("suspend") {
        report.required(&started, "startTime cannot be removed for unsuspended job");
    }
    if before.is("Complete") && !before.is("SuccessCriteriaMet") && job.is("SuccessCriteriaMet") {
        let detail = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
        report.invalid_unshown(&at, detail);
    }
}
