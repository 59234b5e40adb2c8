//! On which nodes a daemon set wants a pod. Pure.

use informers::selector::has_all;
use k8s_openapi::api::core::v1::{
    Affinity, Node, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec,
    Taint, Toleration,
};

/// Taints that daemon pods tolerate without asking: key, effect, only with the host's network.
const TOLERATED: [(&str, &str, bool); 7] = [
    ("node.kubernetes.io/not-ready", "NoExecute", false),
    ("node.kubernetes.io/unreachable", "NoExecute", false),
    ("node.kubernetes.io/disk-pressure", "NoSchedule", false),
    ("node.kubernetes.io/memory-pressure", "NoSchedule", false),
    ("node.kubernetes.io/pid-pressure", "NoSchedule", false),
    ("node.kubernetes.io/unschedulable", "NoSchedule", false),
    ("node.kubernetes.io/network-unavailable", "NoSchedule", true),
];
const FIELD: &str = "metadata.name";

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    (effect.is_empty() || effect == taint.effect)
        && (key.is_empty() || key == taint.key)
        && match toleration.operator.as_deref().unwrap_or("Equal") {
            "Exists" => true,
            _ => !key.is_empty() && text(&toleration.value) == text(&taint.value),
        }
}

/// Adds what every daemon pod tolerates.
pub(super) fn tolerations(spec: &mut PodSpec) {
    let host = spec.host_network.unwrap_or(false);
    let list = spec.tolerations.get_or_insert_default();
    for (key, effect, only_host) in TOLERATED {
        let toleration = Toleration {
            key: Some(key.into()),
            operator: Some("Exists".into()),
            effect: Some(effect.into()),
            ..Default::default()
        };
        if (host || !only_host) && !list.contains(&toleration) {
            list.push(toleration);
        }
    }
}

/// Ties a pod to a node through its affinity, so that the scheduler binds it there and nowhere else.
pub(super) fn tie(spec: &mut PodSpec, node: &str) {
    let field = NodeSelectorRequirement {
        key: FIELD.into(),
        operator: "In".into(),
        values: Some(vec![node.to_owned()]),
    };
    let affinity: &mut Affinity = spec.affinity.get_or_insert_default();
    let affinity: &mut NodeAffinity = affinity.node_affinity.get_or_insert_default();
    let required: &mut NodeSelector =
        affinity.required_during_scheduling_ignored_during_execution.get_or_insert_default();
    if required.node_selector_terms.is_empty() {
        required.node_selector_terms.push(NodeSelectorTerm::default());
    }
    for term in &mut required.node_selector_terms {
        term.match_fields = Some(vec![field.clone()]);
    }
}

/// The node a pod runs on or is tied to.
pub(super) fn node_of(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    if let Some(node) = spec.node_name.as_ref().filter(|n| !n.is_empty()) {
        return Some(node.clone());
    }
    let required = spec
        .affinity
        .as_ref()?
        .node_affinity
        .as_ref()?
        .required_during_scheduling_ignored_during_execution
        .as_ref()?;
    let fields = required.node_selector_terms.iter().flat_map(|t| t.match_fields.iter().flatten());
    fields.filter(|f| f.key == FIELD).find_map(|f| f.values.as_ref()?.first().cloned())
}

fn requirement(r: &NodeSelectorRequirement, value: Option<&String>) -> bool {
    let values = r.values.as_deref().unwrap_or_default();
    let number = |text: &String| text.parse::<i64>().ok();
    let pair = value.and_then(number).zip(values.first().and_then(number));
    match r.operator.as_str() {
        "In" => value.is_some_and(|v| values.contains(v)),
        "NotIn" => value.is_none_or(|v| !values.contains(v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => pair.is_some_and(|(v, bound)| v > bound),
        "Lt" => pair.is_some_and(|(v, bound)| v < bound),
        _ => false,
    }
}

fn accepts(spec: &PodSpec, node: &Node) -> bool {
    let labels = node.metadata.labels.clone().unwrap_or_default();
    if spec.node_selector.as_ref().is_some_and(|s| !has_all(s, &labels)) {
        return false;
    }
    let required = spec
        .affinity
        .as_ref()
        .and_then(|a| a.node_affinity.as_ref())
        .and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    required.is_none_or(|r| {
        r.node_selector_terms.iter().any(|term| {
            let by_label = term.match_expressions.as_deref().unwrap_or_default();
            let by_field = term.match_fields.as_deref().unwrap_or_default();
            !(by_label.is_empty() && by_field.is_empty())
                && by_label.iter().all(|r| requirement(r, labels.get(&r.key)))
                && by_field.iter().all(|r| requirement(r, node.metadata.name.as_ref()))
        })
    })
}

/// Whether the set wants a pod on the node, and whether one that is there may stay. `spec` is the template's
/// with its daemon's tolerations.
pub(super) fn wants(spec: &PodSpec, node: &Node) -> (bool, bool) {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    if spec.node_name.as_deref().is_some_and(|n| !n.is_empty() && n != name) || !accepts(spec, node) {
        return (false, false);
    }
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    let taints = node.spec.as_ref().and_then(|s| s.taints.as_deref()).unwrap_or_default();
    let hostile = |effects: &[&str]| {
        taints
            .iter()
            .filter(|t| effects.contains(&t.effect.as_str()))
            .any(|taint| !tolerations.iter().any(|t| tolerates(t, taint)))
    };
    (!hostile(&["NoSchedule", "NoExecute"]), !hostile(&["NoExecute"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(taints: serde_json::Value, labels: serde_json::Value) -> Node {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "n1", "labels": labels}, "spec": {"taints": taints},
        }))
        .unwrap()
    }

    #[test]
    fn daemons_run_on_sick_nodes_but_not_on_foreign_ones() {
        let mut spec = PodSpec::default();
        tolerations(&mut spec);
        let taint = |key: &str, effect: &str| serde_json::json!([{"key": key, "effect": effect}]);
        let none = serde_json::json!({});
        assert_eq!(wants(&spec, &node(serde_json::json!([]), none.clone())), (true, true));
        assert_eq!(
            wants(&spec, &node(taint("node.kubernetes.io/unreachable", "NoExecute"), none.clone())),
            (true, true)
        );
        assert_eq!(wants(&spec, &node(taint("mine", "NoSchedule"), none.clone())), (false, true));
        assert_eq!(wants(&spec, &node(taint("mine", "NoExecute"), none.clone())), (false, false));
        spec.node_selector = Some([("os".to_owned(), "linux".to_owned())].into());
        assert_eq!(wants(&spec, &node(serde_json::json!([]), none)), (false, false));
        assert_eq!(
            wants(&spec, &node(serde_json::json!([]), serde_json::json!({"os": "linux"}))),
            (true, true)
        );
    }

    #[test]
    fn a_tied_pod_remembers_its_node() {
        let mut spec = PodSpec::default();
        tie(&mut spec, "n1");
        assert!(accepts(&spec, &node(serde_json::json!([]), serde_json::json!({}))));
        assert_eq!(node_of(&Pod { spec: Some(spec), ..Default::default() }).as_deref(), Some("n1"));
    }
}
