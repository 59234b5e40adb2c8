//! Rules of where pods want to run.

use super::spread;
use crate::validation::names;
use crate::validation::place::Place;
use crate::validation::report::Report;
use crate::validation::selectors;
use std::collections::BTreeSet;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

pub(super) fn affinity(at: &Place, report: &mut Report) {
    let node = at.field("nodeAffinity");
    if node.has(REQUIRED) {
        selectors::node_selector(&node.field(REQUIRED), true, report);
    }
    for term in node.field(PREFERRED).items() {
        weight(&term, report);
        selectors::node_selector_term(&term.field("preference"), false, report);
    }
    for field in ["podAffinity", "podAntiAffinity"] {
        let pods = at.field(field);
        for term in pods.field(REQUIRED).items() {
            pod_term(&term, report);
        }
        for term in pods.field(PREFERRED).items() {
            weight(&term, report);
            pod_term(&term.field("podAffinityTerm"), report);
        }
    }
}

fn weight(term: &Place, report: &mut Report) {
    if !(1..=100).contains(&term.number("weight")) {
        report.invalid_number(&term.field("weight"), "must be in the range 1-100");
    }
}

fn pod_term(at: &Place, report: &mut Report) {
    let selector = at.field("labelSelector");
    selectors::label_selector(&selector, report);
    selectors::label_selector(&at.field("namespaceSelector"), report);
    for namespace in at.field("namespaces").items() {
        let name = namespace.as_text();
        report.problems_of(&at.field("namespace"), name, names::dns1123_label(name));
    }
    let (matching, mismatching) = (at.field("matchLabelKeys"), at.field("mismatchLabelKeys"));
    for keys in [matching, mismatching] {
        if !keys.is_empty() && !selector.is_set() {
            report.forbidden(&keys, "must not be specified when labelSelector is not set");
        } else {
            spread::label_keys(&keys, report);
        }
    }
    let mut selected: BTreeSet<&str> = selector.field("matchLabels").entries().map(|(key, _)| key).collect();
    for expression in selector.field("matchExpressions").items() {
        let key = expression.text("key");
        let position = matching.list().iter().rposition(|k| k == key);
        if let Some(position) = position.filter(|_| selected.contains(key)) {
            report.invalid_as(&at.index(position), key, "exists in both matchLabelKeys and labelSelector");
        }
        selected.insert(key);
    }
    for key in matching.items() {
        if mismatching.list().contains(key.value()) {
            report.invalid(&key, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
    let topology = at.field("topologyKey");
    if topology.is_empty() {
        report.required(&topology, "can not be empty");
    }
    report.problems(&topology, names::qualified_name(topology.as_text()));
}
