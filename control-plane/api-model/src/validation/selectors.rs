//! Rules of labels and of what selects by them.

use super::names;
use super::place::Place;
use super::report::Report;
use crate::selector::LabelSelector;
use serde_json::Value;

/// Keys and values of labels.
pub(super) fn labels(at: &Place, report: &mut Report) {
    for (key, value) in at.entries() {
        report.problems_of(at, key, names::qualified_name(key));
        report.problems_of(at, value.as_text(), names::label_value(value.as_text()));
    }
}

/// The key of a label.
pub(super) fn label_name(at: &Place, report: &mut Report) {
    report.problems(at, names::qualified_name(at.as_text()));
}

/// A `LabelSelector`; an absent one is well.
pub(super) fn label_selector(at: &Place, report: &mut Report) {
    labels(&at.field("matchLabels"), report);
    for expression in at.field("matchExpressions").items() {
        requirement(&expression, report);
    }
}

fn requirement(at: &Place, report: &mut Report) {
    let values = at.field("values");
    match at.text("operator") {
        "In" | "NotIn" if values.is_empty() => {
            report.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            report.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ => report.invalid_text(&at.field("operator"), "not a valid selector operator"),
    }
    label_name(&at.field("key"), report);
    for value in values.items() {
        report.problems(&value, names::label_value(value.as_text()));
    }
}

/// Whether a selector says nothing, and so selects everything.
pub(super) fn is_empty(at: &Place) -> bool {
    at.field("matchLabels").is_empty() && at.field("matchExpressions").is_empty()
}

/// Whether a selector that can be read selects these labels; `None` when it cannot be read. An absent one selects nothing.
pub(super) fn selects(selector: &Place, labels: &Value) -> Option<bool> {
    let parsed = LabelSelector::from_object(selector.is_set().then(|| selector.value())).ok()?;
    Some(parsed.matches(labels.as_object()))
}

/// A `NodeSelector`; `strict` judges the values of labels too.
pub(super) fn node_selector(at: &Place, strict: bool, report: &mut Report) {
    let terms = at.field("nodeSelectorTerms");
    if terms.is_empty() {
        report.required(&terms, "must have at least one node selector term");
    }
    for term in terms.items() {
        node_selector_term(&term, strict, report);
    }
}

/// One term of a `NodeSelector`.
pub(super) fn node_selector_term(at: &Place, strict: bool, report: &mut Report) {
    for expression in at.field("matchExpressions").items() {
        node_requirement(&expression, strict, report);
    }
    for expression in at.field("matchFields").items() {
        node_field_requirement(&expression, report);
    }
}

fn node_requirement(at: &Place, strict: bool, report: &mut Report) {
    let values = at.field("values");
    match at.text("operator") {
        "In" | "NotIn" if values.is_empty() => {
            report.required(&values, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            report.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if values.len() != 1 => {
            report.required(&values, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        _ => report.invalid_text(&at.field("operator"), "not a valid selector operator"),
    }
    label_name(&at.field("key"), report);
    if strict {
        for value in values.items() {
            report.problems(&value, names::label_value(value.as_text()));
        }
    }
}

fn node_field_requirement(at: &Place, report: &mut Report) {
    let values = at.field("values");
    match at.text("operator") {
        "In" | "NotIn" if values.len() == 1 => {}
        "In" | "NotIn" => {
            report.required(
                &values,
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            );
        }
        _ => report.invalid_text(&at.field("operator"), "not a valid selector operator"),
    }
    if at.text("key") == "metadata.name" {
        for value in values.items() {
            report.problems(&value, names::dns1123_subdomain(value.as_text()));
        }
    } else {
        report.invalid_text(&at.field("key"), "not a valid field selector key");
    }
}
