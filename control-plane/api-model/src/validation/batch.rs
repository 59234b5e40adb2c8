//! Rules of jobs.

use super::names;
use super::place::Place;
use super::pod;
use super::report::Report;
use super::same::same;
use super::selectors;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Pods of an indexed job at a time, and indexes that may fail.
const INDEXED_MAX: i64 = 100_000;
/// Above so many completions, fewer pods at a time and failed indexes.
const MANY_COMPLETIONS: i64 = 100_000;
const AMONG_MANY_MAX: i64 = 10_000;
const FAILURE_RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const PATTERNS_MAX: usize = 20;
const SUCCESS_RULES_MAX: usize = 20;
const INDEXES_BYTES_MAX: usize = 64 * 1024;
const MANAGED_BY_MAX: usize = 63;

/// A job.
pub(super) fn job(object: &Place, report: &mut Report) {
    own_selector(object, report);
    let spec = object.field("spec");
    job_spec(&spec, report);
    selected(&spec, report);
    let completions = spec.number("completions");
    if spec.text("completionMode") == "Indexed" && completions > 0 {
        let metadata = object.field("metadata");
        let name = metadata.field("name");
        // The last pod's host is named so.
        let host = format!("{}-{}", name.as_text(), completions - 1);
        if !names::dns1123_label(&host).is_empty() {
            report
                .invalid_text(&name, &format!("will not able to create pod with invalid DNS label: {host}"));
        }
    }
}

/// A job selects its pods by labels that the server made, unless its author chose others.
fn own_selector(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let selector = spec.field("selector");
    if spec.flag("manualSelector") || !selector.is_set() {
        return;
    }
    let metadata = object.field("metadata");
    let (uid, name) = (metadata.text("uid"), metadata.text("name"));
    if uid.is_empty() {
        report.required(&metadata.field("uid"), "");
    }
    let template = spec.field("template");
    let of_pods = template.field("metadata");
    let labels = of_pods.field("labels");
    let expected = [
        ("controller-uid", uid),
        ("job-name", name),
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
    ];
    for (key, value) in expected {
        match labels.value().get(key).and_then(Value::as_str) {
            None => report.required(&labels.key(key), &format!("must be '{value}'")),
            Some(found) if found != value => {
                report.invalid_as(&labels.key(key), labels.value().clone(), &format!("must be '{value}'"));
            }
            Some(_) => {}
        }
    }
    let made = expected.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    if selectors::selects(&selector, &Value::Object(made)) == Some(false) {
        report.invalid(&selector, "`selector` not auto-generated");
    }
}

fn selected(spec: &Place, report: &mut Report) {
    let selector = spec.field("selector");
    if selector.is_set() {
        selectors::label_selector(&selector, report);
    } else {
        report.required(&selector, "");
    }
    let template = spec.field("template");
    let metadata = template.field("metadata");
    let labels = metadata.field("labels");
    if selectors::selects(&selector, labels.value()) == Some(false) {
        report.invalid_collection(&labels, "`selector` does not match template `labels`");
    }
}

/// What jobs and the templates of cron jobs have in common.
pub(super) fn job_spec(at: &Place, report: &mut Report) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        report.not_negative(&at.field(field));
    }
    if at.has("maxFailedIndexes") && !at.has("backoffLimitPerIndex") {
        report.required(&at.field("backoffLimitPerIndex"), "when maxFailedIndexes is specified");
    }
    managed_by(&at.field("managedBy"), report);
    let mode = at.field("completionMode");
    report.optional_of(&mode, &["NonIndexed", "Indexed"]);
    if mode.as_text() == "Indexed" {
        indexed(at, report);
    } else if matches!(mode.as_text(), "" | "NonIndexed") {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if at.has(field) {
                report.invalid(&at.field(field), "requires indexed completion mode");
            }
        }
    }
    if at.has("podFailurePolicy") {
        failure_policy(at, report);
    }
    let success = at.field("successPolicy");
    if success.is_set() {
        if mode.as_text() == "Indexed" {
            success_policy(&success, at.number("completions"), report);
        } else {
            report.invalid(&success, "requires indexed completion mode");
        }
    }
    let replacement = at.field("podReplacementPolicy");
    if replacement.is_set() {
        let known: &[&str] =
            if at.has("podFailurePolicy") { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
        report.optional_of(&replacement, known);
    }
    let template = at.field("template");
    pod::template(&template, report);
    let spec = template.field("spec");
    let policy = spec.field("restartPolicy");
    match policy.as_text() {
        "" | "Always" => report.required(&policy, "valid values: \"OnFailure\", \"Never\""),
        "OnFailure" if at.has("podFailurePolicy") => {
            report.invalid(&policy, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" | "Never" => {}
        _ => report.unsupported(&policy, &["OnFailure", "Never"]),
    }
}

fn managed_by(at: &Place, report: &mut Report) {
    if !at.is_set() {
        return;
    }
    domain_path(at, report);
    if at.len() > MANAGED_BY_MAX {
        report.too_long(at, MANAGED_BY_MAX);
    }
}

/// `domain.example/path`.
pub(super) fn domain_path(at: &Place, report: &mut Report) {
    let text = at.as_text();
    if text.is_empty() {
        return report.required(at, "");
    }
    match text.split_once('/').filter(|(host, path)| !host.is_empty() && !path.is_empty()) {
        None => report.invalid(at, "must be a domain-prefixed path (such as \"acme.io/foo\")"),
        Some((host, path)) => {
            report.problems_of(at, host, names::dns1123_subdomain(host));
            report.problems_of(at, path, names::http_path(path).into_iter().collect());
        }
    }
}

fn indexed(at: &Place, report: &mut Report) {
    let number = |field: &str| at.some_number(field);
    let (completions, parallelism) = (number("completions"), number("parallelism"));
    let failed = number("maxFailedIndexes");
    if completions.is_none() {
        report.required(&at.field("completions"), "when completion mode is Indexed");
    }
    if parallelism.is_some_and(|pods| pods > INDEXED_MAX) {
        let detail = format!("must be less than or equal to {INDEXED_MAX} when completion mode is Indexed");
        report.invalid(&at.field("parallelism"), &detail);
    }
    if let (Some(completions), Some(failed)) = (completions, failed)
        && failed > completions
    {
        report.invalid(&at.field("maxFailedIndexes"), "must be less than or equal to completions");
    }
    if failed.is_some_and(|failed| failed > INDEXED_MAX) {
        report
            .invalid(&at.field("maxFailedIndexes"), &format!("must be less than or equal to {INDEXED_MAX}"));
    }
    if completions.is_none_or(|completions| completions <= MANY_COMPLETIONS)
        || !at.has("backoffLimitPerIndex")
    {
        return;
    }
    if failed.is_none() {
        let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
        report.required(&at.field("maxFailedIndexes"), &detail);
    }
    for (field, value) in [("parallelism", parallelism), ("maxFailedIndexes", failed)] {
        if value.is_some_and(|value| value > AMONG_MANY_MAX) {
            let detail = format!(
                "must be less than or equal to {AMONG_MANY_MAX} when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
            );
            report.invalid(&at.field(field), &detail);
        }
    }
}

fn failure_policy(spec: &Place, report: &mut Report) {
    let policy = spec.field("podFailurePolicy");
    let rules = policy.field("rules");
    if rules.len() > FAILURE_RULES_MAX {
        report.too_many(&rules, FAILURE_RULES_MAX);
    }
    let template = spec.field("template");
    let pod = template.field("spec");
    let mut containers: BTreeSet<&str> = BTreeSet::new();
    for list in ["containers", "initContainers"] {
        containers.extend(pod.field(list).items().map(|container| container.text("name")));
    }
    for rule in rules.items() {
        failure_rule(&rule, spec.has("backoffLimitPerIndex"), &containers, report);
    }
}

fn failure_rule(at: &Place, per_index: bool, containers: &BTreeSet<&str>, report: &mut Report) {
    let action = at.field("action");
    let actions = ["Count", "FailIndex", "FailJob", "Ignore"];
    match action.as_text() {
        "" => report.required(&action, &valid_values(&actions)),
        "FailIndex" if !per_index => report.invalid(&action, "requires the backoffLimitPerIndex to be set"),
        text if actions.contains(&text) => {}
        _ => report.unsupported(&action, &actions),
    }
    let (codes, conditions) = (at.field("onExitCodes"), at.field("onPodConditions"));
    if codes.is_set() {
        exit_codes(&codes, containers, report);
    }
    if !conditions.is_empty() {
        pod_conditions(&conditions, report);
    }
    match (codes.is_set(), !conditions.is_empty()) {
        (true, true) => {
            report.invalid_unshown(at, "specifying both OnExitCodes and OnPodConditions is not supported");
        }
        (false, false) => {
            report.invalid_unshown(at, "specifying one of OnExitCodes and OnPodConditions is required");
        }
        _ => {}
    }
}

fn valid_values(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| crate::cause::quoted(value)).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

fn exit_codes(at: &Place, containers: &BTreeSet<&str>, report: &mut Report) {
    let operator = at.field("operator");
    let operators = ["In", "NotIn"];
    match operator.as_text() {
        "" => report.required(&operator, &valid_values(&operators)),
        text if operators.contains(&text) => {}
        _ => report.unsupported(&operator, &operators),
    }
    let container = at.field("containerName");
    if container.is_set() && !containers.contains(container.as_text()) {
        let detail = "must be one of the container or initContainer names in the pod template";
        report.invalid_text(&container, detail);
    }
    let values = at.field("values");
    if values.is_empty() {
        report.invalid_collection(&values, "at least one value is required");
    } else if values.len() > EXIT_CODES_MAX {
        report.too_many(&values, EXIT_CODES_MAX);
    }
    let (mut seen, mut before, mut ordered) = (BTreeSet::new(), None, true);
    for value in values.items() {
        let code = value.as_number().unwrap_or(0);
        if operator.as_text() == "In" && code == 0 {
            report.invalid(&value, "must not be 0 for the In operator");
        }
        if !seen.insert(code) {
            report.duplicate(&value);
        }
        ordered &= before.is_none_or(|before| before <= code);
        before = Some(code);
    }
    if !ordered {
        report.invalid(&values, "must be ordered");
    }
}

fn pod_conditions(at: &Place, report: &mut Report) {
    if at.len() > PATTERNS_MAX {
        report.too_many(at, PATTERNS_MAX);
    }
    for pattern in at.items() {
        let kind = pattern.field("type");
        report.problems(&kind, names::qualified_name(kind.as_text()));
        let status = pattern.field("status");
        let known = ["False", "True", "Unknown"];
        match status.as_text() {
            "" => report.required(&status, &valid_values(&known)),
            text if known.contains(&text) => {}
            _ => report.unsupported(&status, &known),
        }
    }
}

fn success_policy(at: &Place, completions: i64, report: &mut Report) {
    let rules = at.field("rules");
    if rules.is_empty() {
        report.required(&rules, "at least one rules must be specified when the successPolicy is specified");
    }
    if rules.len() > SUCCESS_RULES_MAX {
        report.too_many(&rules, SUCCESS_RULES_MAX);
    }
    for rule in rules.items() {
        let (count, indexes) = (rule.field("succeededCount"), rule.field("succeededIndexes"));
        if !count.is_set() && !indexes.is_set() {
            report.required(&rule, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if indexes.is_set() {
            if indexes.len() > INDEXES_BYTES_MAX {
                report.too_long(&indexes, INDEXES_BYTES_MAX);
            }
            match parse_indexes(indexes.as_text(), completions) {
                Ok(intervals) => total = intervals.iter().map(|(first, last)| last - first + 1).sum(),
                Err(problem) => {
                    report.invalid(&indexes, &format!("error parsing succeededIndexes: {problem}"))
                }
            }
        }
        let Some(number) = count.as_number() else { continue };
        report.not_negative(&count);
        if number > completions {
            let detail =
                format!("must be less than or equal to {completions} (the number of specified completions)");
            report.invalid(&count, &detail);
        }
        if indexes.is_set() && number > total {
            let detail = format!(
                "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
            );
            report.invalid(&count, &detail);
        }
    }
}

/// `1,3-5,7`: intervals of indexes in order, each below the number of completions.
pub(super) fn parse_indexes(text: &str, completions: i64) -> Result<Vec<(i64, i64)>, String> {
    let mut intervals: Vec<(i64, i64)> = Vec::new();
    if text.is_empty() {
        return Ok(intervals);
    }
    let number = |text: &str| -> Result<i64, String> {
        let number: i64 = text.parse().map_err(|_| {
            format!("cannot convert string to integer for index: {}", crate::cause::quoted(text))
        })?;
        if number >= completions {
            Err(format!("too large index: {}", crate::cause::quoted(text)))
        } else {
            Ok(number)
        }
    };
    for part in text.split(',') {
        let ends: Vec<&str> = part.split('-').collect();
        let interval = match ends[..] {
            [one] => (number(one)?, number(one)?),
            [first, last] => {
                let (first, last) = (number(first)?, number(last)?);
                if first >= last {
                    return Err(format!("non-increasing order, previous: {first}, current: {last}"));
                }
                (first, last)
            }
            _ => {
                return Err(format!(
                    "the fragment {} violates the requirement that an index interval can have at most two parts separated by '-'",
                    crate::cause::quoted(part)
                ));
            }
        };
        if let Some((_, before)) = intervals.last().filter(|(_, before)| *before >= interval.0) {
            return Err(format!("non-increasing order, previous: {before}, current: {}", interval.0));
        }
        intervals.push(interval);
    }
    Ok(intervals)
}

/// A changed job.
pub(super) fn job_changes(new: &Place, old: &Place, report: &mut Report) {
    let (at, had) = (new.field("spec"), old.field("spec"));
    completions_change(&at, &had, report);
    report.immutable(&at.field("selector"), &had.field("selector"));
    template_change(&at, &had, &old.field("status"), report);
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        report.immutable(&at.field(field), &had.field(field));
    }
}

/// An indexed job may be made longer or shorter, together with its parallelism.
fn completions_change(at: &Place, had: &Place, report: &mut Report) {
    let now = at.field("completions");
    if same(now.value(), had.field("completions").value()) {
        return;
    }
    let elastic = at.text("completionMode") == "Indexed" && now.is_set();
    if !elastic || at.number("parallelism") != at.number("completions") {
        let detail = if elastic {
            "can only be modified in tandem with parallelism"
        } else {
            super::report::IMMUTABLE
        };
        let shown = if now.is_set() { now.value().clone() } else { Value::Null };
        report.invalid_as(&now, shown, detail);
    }
}

/// A suspended job that never ran may be told where its pods run.
fn template_change(at: &Place, had: &Place, status: &Place, report: &mut Report) {
    let (now, before) = (at.field("template"), had.field("template"));
    if same(now.value(), before.value()) {
        return;
    }
    let open = had.flag("suspend") && !status.has("startTime");
    let left = |template: &Place| {
        let mut left = template.value().clone();
        for (part, fields) in [
            ("metadata", &["annotations", "labels"][..]),
            ("spec", &["nodeSelector", "tolerations", "schedulingGates"]),
        ] {
            if let Some(Value::Object(map)) = left.get_mut(part) {
                fields.iter().for_each(|field| {
                    map.remove(*field);
                });
            }
        }
        if let Some(Value::Object(affinity)) = left.pointer_mut("/spec/affinity") {
            affinity.remove("nodeAffinity");
        }
        left
    };
    if !open || !same(&left(&now), &left(&before)) {
        report.invalid(&now, super::report::IMMUTABLE);
    }
}
