//! What pods ask for, added up as scheduling, limits and quota count it.

use std::collections::BTreeMap;

use api_model::quantity::Quantity;
use serde_json::Value;

use crate::attributes::{Part, items, text};

/// Amounts by the resource's name.
pub(super) type Amounts = BTreeMap<String, Quantity>;

/// A quantity as JSON holds it.
pub(super) fn quantity(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// A `ResourceList`.
pub(super) fn amounts(list: Option<&Value>) -> Amounts {
    let all = list.and_then(Value::as_object).into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.clone(), quantity(value)?))).collect()
}

/// Adds one list to another.
pub(super) fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let before = sum.get(name).copied().unwrap_or(Quantity::ZERO);
        sum.insert(name.clone(), before.add(amount));
    }
}

fn raise(most: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        if most.get(name).is_none_or(|have| have < amount) {
            most.insert(name.clone(), *amount);
        }
    }
}

/// Whether an init container goes on beside the pod's containers.
fn is_sidecar(container: &Value) -> bool {
    text(container, "/restartPolicy") == "Always"
}

/// The pod's `requests` or `limits`: its containers and sidecars together, or the most that starting needs, whichever is
/// more; what the pod states for itself as a whole comes first. Without overhead.
pub(super) fn of_pod(pod: &Value, field: &str) -> Amounts {
    let of = |container: &Value| amounts(container.part("/resources").and_then(|all| all.get(field)));
    let mut sum = Amounts::new();
    for container in items(pod, "/spec/containers") {
        add(&mut sum, &of(container));
    }
    let (mut sidecars, mut starting) = (Amounts::new(), Amounts::new());
    for container in items(pod, "/spec/initContainers") {
        let own = of(container);
        if is_sidecar(container) {
            add(&mut sum, &own);
            add(&mut sidecars, &own);
            raise(&mut starting, &sidecars);
        } else {
            let mut needs = own;
            add(&mut needs, &sidecars);
            raise(&mut starting, &needs);
        }
    }
    raise(&mut sum, &starting);
    sum.extend(amounts(pod.part("/spec/resources").and_then(|all| all.get(field))));
    sum
}

/// The same with the overhead of the pod's runtime class: to requests all of it, to limits where there is one.
pub(super) fn of_pod_with_overhead(pod: &Value, field: &str) -> Amounts {
    let mut sum = of_pod(pod, field);
    let mut overhead = amounts(pod.part("/spec/overhead"));
    if field == "limits" {
        overhead.retain(|name, _| sum.contains_key(name));
    }
    add(&mut sum, &overhead);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn starting_and_running_are_counted_as_upstream_counts_them() {
        let with = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let mut sidecar = with("2");
        sidecar["restartPolicy"] = json!("Always");
        let pod = json!({"spec": {
            "containers": [with("1"), with("500m")],
            "initContainers": [sidecar, with("3")],
            "overhead": {"cpu": "100m", "memory": "1Mi"},
        }});
        // Running: 1 + 0.5 + 2; starting: 3 beside the sidecar's 2.
        assert_eq!(of_pod(&pod, "requests")["cpu"].canonical(), "5");
        let all = of_pod_with_overhead(&pod, "requests");
        assert_eq!(
            (all["cpu"].canonical(), all["memory"].canonical()),
            ("5100m".to_owned(), "1Mi".to_owned())
        );
        assert!(of_pod_with_overhead(&pod, "limits").is_empty());
        let mut whole = pod.clone();
        whole["spec"]["resources"] = json!({"requests": {"cpu": "8"}});
        assert_eq!(of_pod(&whole, "requests")["cpu"].canonical(), "8");
    }
}
