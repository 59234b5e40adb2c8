//! Nodes a pod asks for, by labels or by name.

use informers::selector::{Labels, has_all};
use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};

use super::{Plugin, Refusal};
use crate::node::NodeInfo;
use crate::pod::PodInfo;

fn requirement(r: &NodeSelectorRequirement, value: Option<&str>) -> bool {
    let values = r.values.as_deref().unwrap_or_default();
    let number = |text: &str| text.parse::<i64>().ok();
    let bound = values.first().and_then(|v| number(v));
    match r.operator.as_str() {
        "In" => value.is_some_and(|v| values.iter().any(|w| w == v)),
        "NotIn" => value.is_none_or(|v| !values.iter().any(|w| w == v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => value.and_then(number).zip(bound).is_some_and(|(v, b)| v > b),
        "Lt" => value.and_then(number).zip(bound).is_some_and(|(v, b)| v < b),
        _ => false,
    }
}

/// Whether a term selects a node; a term that says nothing selects nothing.
fn term(term: &NodeSelectorTerm, labels: &Labels, name: &str) -> bool {
    let by_label = term.match_expressions.as_deref().unwrap_or_default();
    let by_field = term.match_fields.as_deref().unwrap_or_default();
    !(by_label.is_empty() && by_field.is_empty())
        && by_label.iter().all(|r| requirement(r, labels.get(&r.key).map(String::as_str)))
        && by_field.iter().all(|r| r.key == "metadata.name" && requirement(r, Some(name)))
}

/// Whether any of a selector's terms selects a node.
pub(crate) fn selects(selector: &NodeSelector, labels: &Labels, name: &str) -> bool {
    selector.node_selector_terms.iter().any(|t| term(t, labels, name))
}

/// Whether the pod accepts the node by its labels.
pub(crate) fn accepts(pod: &PodInfo, node: &NodeInfo) -> bool {
    has_all(&pod.node_selector, &node.labels)
        && pod.node_required.as_ref().is_none_or(|s| selects(s, &node.labels, &node.name))
}

/// Whether the pod is particular about nodes at all.
pub(crate) fn is_particular(pod: &PodInfo) -> bool {
    !pod.node_selector.is_empty() || pod.node_required.is_some()
}

pub(crate) fn filter(pod: &PodInfo, node: &NodeInfo) -> Result<(), Refusal> {
    if accepts(pod, node) {
        return Ok(());
    }
    Err(Refusal::hard(Plugin::NodeAffinity, "node(s) didn't match Pod's node affinity/selector"))
}

/// The weights of the preferences the node meets.
pub(crate) fn liking(pod: &PodInfo, node: &NodeInfo) -> i64 {
    let met = pod.node_preferred.iter().filter(|p| term(&p.preference, &node.labels, &node.name));
    met.map(|p| i64::from(p.weight)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_compare_numbers_too() {
        let r = |operator: &str, values: &[&str]| NodeSelectorRequirement {
            key: "k".into(),
            operator: operator.into(),
            values: Some(values.iter().map(|v| (*v).to_owned()).collect()),
        };
        for (operator, values, value, expected) in [
            ("In", &["a", "b"][..], Some("b"), true),
            ("NotIn", &["a"][..], None, true),
            ("Gt", &["3"][..], Some("4"), true),
            ("Gt", &["3"][..], Some("x"), false),
            ("Lt", &["3"][..], Some("4"), false),
            ("Exists", &[][..], None, false),
            ("DoesNotExist", &[][..], None, true),
        ] {
            assert_eq!(requirement(&r(operator, values), value), expected, "{operator}");
        }
        assert!(!term(&NodeSelectorTerm::default(), &Labels::new(), "n"));
    }
}
