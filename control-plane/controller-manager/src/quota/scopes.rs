//! Which pods and claims a quota counts, by its scopes.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodAffinityTerm, PodSpec, ResourceQuotaSpec};

/// One thing that a quota asks of what it counts.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    name: String,
    operator: String,
    values: Vec<String>,
}

/// All that a quota asks.
pub(super) fn of(spec: &ResourceQuotaSpec) -> Vec<Scope> {
    let plain = spec.scopes.iter().flatten().map(|name| Scope {
        name: name.clone(),
        operator: "Exists".to_owned(),
        values: Vec::new(),
    });
    let selector = spec.scope_selector.as_ref().and_then(|selector| selector.match_expressions.as_ref());
    let selected = selector.into_iter().flatten().map(|one| Scope {
        name: one.scope_name.clone(),
        operator: one.operator.clone(),
        values: one.values.clone().unwrap_or_default(),
    });
    plain.chain(selected).collect()
}

/// Whether a pod is counted.
pub(super) fn counts_pod(scopes: &[Scope], pod: &Pod) -> bool {
    let spec = pod.spec.clone().unwrap_or_default();
    scopes.iter().all(|scope| match scope.name.as_str() {
        "Terminating" => spec.active_deadline_seconds.is_some(),
        "NotTerminating" => spec.active_deadline_seconds.is_none(),
        "BestEffort" => is_best_effort(&spec),
        "NotBestEffort" => !is_best_effort(&spec),
        "PriorityClass" => scope.selects(spec.priority_class_name.as_deref().unwrap_or_default()),
        "CrossNamespacePodAffinity" => crosses_namespaces(&spec),
        _ => false,
    })
}

/// Whether a claim is counted.
pub(super) fn counts_claim(scopes: &[Scope], claim: &PersistentVolumeClaim) -> bool {
    let status = claim.status.as_ref();
    let names = [
        claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref()),
        status.and_then(|status| status.current_volume_attributes_class_name.as_deref()),
        status
            .and_then(|status| status.modify_volume_status.as_ref())
            .and_then(|modify| modify.target_volume_attributes_class_name.as_deref()),
    ];
    let stated: Vec<&str> = names.into_iter().flatten().filter(|name| !name.is_empty()).collect();
    scopes.iter().all(|scope| match (scope.name.as_str(), scope.operator.as_str()) {
        ("VolumeAttributesClass", "NotIn" | "DoesNotExist") => stated.iter().all(|name| scope.selects(name)),
        ("VolumeAttributesClass", _) => stated.iter().any(|name| scope.selects(name)),
        _ => false,
    })
}

impl Scope {
    fn selects(&self, class: &str) -> bool {
        let listed = !class.is_empty() && self.values.iter().any(|value| value == class);
        match self.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            "DoesNotExist" => class.is_empty(),
            _ => !class.is_empty(),
        }
    }
}

fn is_best_effort(spec: &PodSpec) -> bool {
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let of_containers = containers.filter_map(|container| container.resources.as_ref());
    of_containers.chain(spec.resources.as_ref()).all(|resources| {
        let lists = [resources.requests.as_ref(), resources.limits.as_ref()];
        lists.into_iter().flatten().all(|list| !list.contains_key("cpu") && !list.contains_key("memory"))
    })
}

fn crosses_namespaces(spec: &PodSpec) -> bool {
    let crosses = |term: &PodAffinityTerm| {
        term.namespace_selector.is_some() || term.namespaces.as_ref().is_some_and(|names| !names.is_empty())
    };
    let Some(affinity) = &spec.affinity else { return false };
    let near = affinity.pod_affinity.as_ref().is_some_and(|near| {
        near.required_during_scheduling_ignored_during_execution.iter().flatten().any(crosses)
            || near
                .preferred_during_scheduling_ignored_during_execution
                .iter()
                .flatten()
                .any(|one| crosses(&one.pod_affinity_term))
    });
    let apart = affinity.pod_anti_affinity.as_ref().is_some_and(|apart| {
        apart.required_during_scheduling_ignored_during_execution.iter().flatten().any(crosses)
            || apart
                .preferred_during_scheduling_ignored_during_execution
                .iter()
                .flatten()
                .any(|one| crosses(&one.pod_affinity_term))
    });
    near || apart
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn counts(spec: Value, pod: Value) -> bool {
        let spec: ResourceQuotaSpec = serde_json::from_value(spec).unwrap();
        counts_pod(&of(&spec), &serde_json::from_value(json!({"metadata": {}, "spec": pod})).unwrap())
    }

    fn class(operator: &str, values: Value) -> Value {
        json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": values}]}})
    }

    #[test]
    fn scopes_select_by_what_pods_say() {
        let plain = json!({"containers": [{"name": "c"}]});
        let high = json!({"containers": [{"name": "c"}], "priorityClassName": "high"});
        let asks = json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]});
        let term = json!({"topologyKey": "host", "namespaces": ["other"]});
        let crosses = json!({"containers": [{"name": "c"}], "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}});
        for (spec, pod, wanted) in [
            (json!({}), &plain, true),
            (json!({"scopes": ["BestEffort"]}), &plain, true),
            (json!({"scopes": ["BestEffort"]}), &asks, false),
            (json!({"scopes": ["NotBestEffort", "NotTerminating"]}), &asks, true),
            (json!({"scopes": ["CrossNamespacePodAffinity"]}), &crosses, true),
            (json!({"scopes": ["CrossNamespacePodAffinity"]}), &plain, false),
            (class("In", json!(["high"])), &high, true),
            (class("In", json!(["high"])), &plain, false),
            (class("NotIn", json!(["high"])), &plain, true),
            (class("Exists", json!([])), &high, true),
            (class("DoesNotExist", json!([])), &high, false),
            (json!({"scopes": ["VolumeAttributesClass"]}), &plain, false),
        ] {
            assert_eq!(counts(spec.clone(), pod.clone()), wanted, "{spec} {pod}");
        }
    }
}
