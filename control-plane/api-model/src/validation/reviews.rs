//! Rules of objects that are questions: who may do what.

use super::metadata;
use super::place::Place;
use super::report::Report;
use super::selectors;

/// May a subject do something?
pub(super) fn access(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    question(&spec, report);
    if spec.field("user").is_empty() && spec.field("groups").is_empty() {
        report.invalid_text(&spec.field("user"), "at least one of user or group must be specified");
    }
    metadata::none(object, report);
}

/// May I?
pub(super) fn self_access(object: &Place, report: &mut Report) {
    question(&object.field("spec"), report);
    metadata::none(object, report);
}

/// May a subject do something in this namespace?
pub(super) fn local_access(object: &Place, report: &mut Report) {
    let spec = object.field("spec");
    question(&spec, report);
    if spec.field("user").is_empty() && spec.field("groups").is_empty() {
        report.invalid_text(&spec.field("user"), "at least one of user or group must be specified");
    }
    let resource = spec.field("resourceAttributes");
    let namespace = object.field("metadata").text("namespace");
    if resource.is_set() && resource.text("namespace") != namespace {
        report.invalid_text(&resource.field("namespace"), "must match metadata.namespace");
    }
    if spec.has("nonResourceAttributes") {
        report.invalid(&spec.field("nonResourceAttributes"), "disallowed on this kind of request");
    }
    metadata::none(object, report);
}

fn question(spec: &Place, report: &mut Report) {
    let (resource, other) = (spec.field("resourceAttributes"), spec.field("nonResourceAttributes"));
    const ONE: &str = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
    match (resource.is_set(), other.is_set()) {
        (true, true) => report.invalid(&other, "cannot be specified in combination with resourceAttributes"),
        (false, false) => report.invalid(&resource, ONE),
        _ => {}
    }
    for field in ["fieldSelector", "labelSelector"] {
        let selector = resource.field(field);
        if !selector.is_set() {
            continue;
        }
        let (raw, requirements) = (selector.field("rawSelector"), selector.field("requirements"));
        if !raw.is_empty() && !requirements.is_empty() {
            report.invalid(&raw, "may not specified at the same time as requirements");
        } else if raw.is_empty() && requirements.is_empty() {
            report.required(
                &requirements,
                "when `selector` is specified, requirements or rawSelector is required",
            );
        }
        for requirement in requirements.items() {
            if field == "labelSelector" {
                selectors::label_name(&requirement.field("key"), report);
            } else {
                report.present(&requirement.field("key"));
            }
        }
    }
}
