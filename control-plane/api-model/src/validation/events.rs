//! Rules of events, as both groups write them. Upstream's paths use the old group's names for both.

use super::names;
use super::place::Place;
use super::report::Report;
use super::same::same;
use serde_json::Value;

/// Bytes of an event's texts.
const SHORT_MAX: usize = 128;
const MESSAGE_MAX: usize = 1024;

/// What a group calls the parts of an event.
struct Words {
    subject: &'static str,
    message: &'static str,
    controller: &'static str,
    /// The controller in a path.
    controller_shown: &'static str,
}

const OLD: Words = Words {
    subject: "involvedObject",
    message: "message",
    controller: "reportingComponent",
    controller_shown: "reportingComponent",
};
const NEW: Words = Words {
    subject: "regarding",
    message: "note",
    controller: "reportingController",
    controller_shown: "reportingController",
};

/// An event of the old group.
pub(super) fn core(object: &Place, report: &mut Report) {
    common(object, &OLD, report);
}

fn common(object: &Place, words: &Words, report: &mut Report) {
    let metadata = object.field("metadata");
    let own = metadata.text("namespace");
    let subject = object.field_as(words.subject, "involvedObject");
    let theirs = subject.field("namespace");
    // What has no time of its own was written the old way, and is asked less.
    let old_way = !object.has("eventTime");
    let elsewhere = match theirs.as_text() {
        "" if old_way => !matches!(own, "" | "default"),
        "" => !matches!(own, "default" | "kube-system"),
        theirs => old_way && theirs != own,
    };
    if elsewhere {
        report.invalid_text(&theirs, "does not match event.namespace");
    }
    if !old_way {
        let controller = object.field_as(words.controller, words.controller_shown);
        report.present(&controller);
        report.problems(&controller, names::qualified_name(controller.as_text()));
        for field in ["reportingInstance", "action", "reason"] {
            let text = object.field(field);
            report.present(&text);
            at_most(&text, SHORT_MAX, report);
        }
        at_most(&object.field_as(words.message, "message"), MESSAGE_MAX, report);
    }
    report.problems_of(&object.field("namespace"), own, names::dns1123_subdomain(own));
}

fn at_most(at: &Place, max: usize, report: &mut Report) {
    if at.len() > max {
        report.invalid_as(at, "", &format!("can have at most {max} characters"));
    }
}

/// A new event of the new group.
pub(super) fn new(object: &Place, report: &mut Report) {
    common(object, &NEW, report);
    series(object, report);
    report.present(&object.field("eventTime"));
    let kind = object.text("type");
    if !matches!(kind, "Normal" | "Warning") {
        report.invalid_as(&object.field("type"), "", &format!("has invalid value: {kind}"));
    }
    for (field, shown) in [
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
        ("deprecatedSource", "source"),
    ] {
        if !same(object.field(field).value(), &Value::Null) {
            report.invalid_as(&object.field_as(field, shown), "", "needs to be unset");
        }
    }
}

fn series(object: &Place, report: &mut Report) {
    let series = object.field("series");
    if !series.is_set() {
        return;
    }
    if series.number("count") < 2 {
        report.invalid_as(&series.field("count"), "", "should be at least 2");
    }
    report.present(&series.field("lastObservedTime"));
}

/// A changed event of the new group: its story is fixed, its series grows.
pub(super) fn new_changes(new: &Place, old: &Place, report: &mut Report) {
    const FIXED: [(&str, &str); 13] = [
        ("regarding", "involvedObject"),
        ("reason", "reason"),
        ("note", "message"),
        ("deprecatedSource", "source"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        ("reportingController", "reportingController"),
        ("reportingInstance", "reportingInstance"),
        ("type", "type"),
    ];
    series(new, report);
    for (field, shown) in FIXED {
        report.immutable(&new.field_as(field, shown), &old.field(field));
    }
}
