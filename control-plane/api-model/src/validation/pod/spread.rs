//! Rules of how pods are spread over a topology.

use crate::validation::names;
use crate::validation::place::Place;
use crate::validation::report::{NOT_POSITIVE, Report};
use crate::validation::selectors;
use std::collections::BTreeSet;

pub(super) fn constraints(at: &Place, report: &mut Report) {
    for (index, constraint) in at.items().enumerate() {
        if constraint.number("maxSkew") <= 0 {
            report.invalid_number(&constraint.field("maxSkew"), NOT_POSITIVE);
        }
        let (key, action) = (constraint.text("topologyKey"), constraint.text("whenUnsatisfiable"));
        if key.is_empty() {
            report.required(&constraint.field("topologyKey"), "can not be empty");
        }
        let actions = ["DoNotSchedule", "ScheduleAnyway"];
        if !actions.contains(&action) {
            report.unsupported(&constraint.field("whenUnsatisfiable"), &actions);
        }
        let repeated = at
            .items()
            .skip(index + 1)
            .any(|other| other.text("topologyKey") == key && other.text("whenUnsatisfiable") == action);
        if repeated {
            let pair = constraint.field("{topologyKey, whenUnsatisfiable}");
            report.duplicate_as(&pair, format!("{{{key}, {action}}}"));
        }
        let domains = constraint.field("minDomains");
        if let Some(number) = domains.as_number() {
            if number <= 0 {
                report.invalid(&domains, NOT_POSITIVE);
            }
            if action != "DoNotSchedule" {
                let detail =
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                report.invalid(&domains, &detail);
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            report.optional_of(&constraint.field(field), &["Honor", "Ignore"]);
        }
        matching_keys(&constraint, report);
        selectors::label_selector(&constraint.field("labelSelector"), report);
    }
}

fn matching_keys(constraint: &Place, report: &mut Report) {
    let (keys, selector) = (constraint.field("matchLabelKeys"), constraint.field("labelSelector"));
    if keys.is_empty() {
        return;
    }
    if !selector.is_set() {
        report.forbidden(&keys, "must not be specified when labelSelector is not set");
    }
    let mut selected: BTreeSet<&str> = selector.field("matchLabels").entries().map(|(key, _)| key).collect();
    selected.extend(selector.field("matchExpressions").items().map(|expression| expression.text("key")));
    for key in keys.items() {
        selectors::label_name(&key, report);
        if selected.contains(key.as_text()) {
            report.invalid(&key, "exists in both matchLabelKeys and labelSelector");
        }
    }
}

/// A list of keys of labels.
pub(super) fn label_keys(at: &Place, report: &mut Report) {
    for key in at.items() {
        report.problems(&key, names::qualified_name(key.as_text()));
    }
}
