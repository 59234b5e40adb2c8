//! Which objects a quota counts.

use serde_json::Value;

use crate::admission::containers;
use crate::admission::resources::quantity;
use crate::attributes::{Part, items, text};

/// Whether a quota counts an object, by its scopes; one without scopes counts all.
pub(super) fn counts(quota: &Value, group: &str, plural: &str, object: &Value) -> bool {
    let plain =
        items(quota, "/spec/scopes").iter().filter_map(Value::as_str).map(|scope| (scope, "Exists", &[][..]));
    let selected = items(quota, "/spec/scopeSelector/matchExpressions")
        .iter()
        .map(|one| (text(one, "/scopeName"), text(one, "/operator"), items(one, "/values")));
    plain.chain(selected).all(|(scope, operator, values)| match (group, plural) {
        ("", "pods") => pod(scope, operator, values, object),
        ("", "persistentvolumeclaims") if scope == "VolumeAttributesClass" => claim(operator, values, object),
        _ => false,
    })
}

fn pod(scope: &str, operator: &str, values: &[Value], pod: &Value) -> bool {
    let ends = || {
        pod.part("/spec/activeDeadlineSeconds").and_then(Value::as_i64).is_some_and(|seconds| seconds >= 0)
    };
    match scope {
        "Terminating" => ends(),
        "NotTerminating" => !ends(),
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => selects(operator, values, text(pod, "/spec/priorityClassName")),
        "CrossNamespacePodAffinity" => crosses_namespaces(pod),
        _ => false,
    }
}

fn selects(operator: &str, values: &[Value], class: &str) -> bool {
    let listed = !class.is_empty() && values.iter().any(|value| value == class);
    match operator {
        "In" => listed,
        "NotIn" => !listed,
        "DoesNotExist" => class.is_empty(),
        _ => !class.is_empty(),
    }
}

fn claim(operator: &str, values: &[Value], claim: &Value) -> bool {
    let names = [
        text(claim, "/spec/volumeAttributesClassName"),
        text(claim, "/status/currentVolumeAttributesClassName"),
        text(claim, "/status/modifyVolumeStatus/targetVolumeAttributesClassName"),
    ];
    let stated: Vec<&str> = names.into_iter().filter(|name| !name.is_empty()).collect();
    match operator {
        "NotIn" | "DoesNotExist" if stated.is_empty() => true,
        "NotIn" | "DoesNotExist" => stated.iter().all(|name| selects(operator, values, name)),
        _ => stated.iter().any(|name| selects(operator, values, name)),
    }
}

/// Whether a pod asks for neither processor nor memory.
fn is_best_effort(pod: &Value) -> bool {
    let asks = |value: &Value| {
        ["requests", "limits"].iter().any(|field| {
            let list = value.part("/resources").and_then(|all| all.get(field));
            let of = |name| list.and_then(|list| list.get(name)).and_then(quantity);
            ["cpu", "memory"].into_iter().filter_map(of).any(|amount| !amount.is_zero())
        })
    };
    !asks(&pod["spec"]) && !containers(pod).any(asks)
}

fn crosses_namespaces(pod: &Value) -> bool {
    let crosses = |term: &Value| {
        !items(term, "/namespaces").is_empty()
            || term.get("namespaceSelector").is_some_and(|one| !one.is_null())
    };
    ["podAffinity", "podAntiAffinity"].iter().filter_map(|kind| pod.part("/spec/affinity")?.get(kind)).any(
        |affinity| {
            let preferred = items(affinity, "/preferredDuringSchedulingIgnoredDuringExecution");
            items(affinity, "/requiredDuringSchedulingIgnoredDuringExecution").iter().any(crosses)
                || preferred.iter().filter_map(|one| one.get("podAffinityTerm")).any(crosses)
        },
    )
}
