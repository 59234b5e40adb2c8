//! Amounts of resources: thousandths of CPUs, bytes, pieces.

use std::collections::BTreeMap;

use informers::quantity;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// What a pod without a request counts as when nodes are compared.
const DEFAULT_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 << 20;

/// Amounts; `other` holds extended resources, sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub cpu: i64,
    pub memory: i64,
    pub storage: i64,
    pub other: Vec<(String, i64)>,
}

impl Amounts {
    pub fn of(list: Option<&BTreeMap<String, Quantity>>) -> Self {
        let mut amounts = Self::default();
        for (name, value) in quantity::map(list) {
            match name.as_str() {
                "cpu" => amounts.cpu = value,
                "memory" => amounts.memory = value,
                "ephemeral-storage" => amounts.storage = value,
                "pods" => {}
                _ => amounts.other.push((name, value)),
            }
        }
        amounts
    }

    /// The amount of an extended resource.
    pub fn other(&self, name: &str) -> i64 {
        self.other.iter().find(|(n, _)| n == name).map_or(0, |(_, v)| *v)
    }

    fn each(&mut self, with: &Self, combine: impl Fn(i64, i64) -> i64) {
        self.cpu = combine(self.cpu, with.cpu);
        self.memory = combine(self.memory, with.memory);
        self.storage = combine(self.storage, with.storage);
        for (name, value) in &with.other {
            match self.other.iter_mut().find(|(n, _)| n == name) {
                Some((_, own)) => *own = combine(*own, *value),
                None => self.other.push((name.clone(), combine(0, *value))),
            }
        }
    }

    pub fn add(&mut self, with: &Self) {
        self.each(with, i64::saturating_add);
    }

    pub fn sub(&mut self, with: &Self) {
        self.each(with, i64::saturating_sub);
    }

    pub fn max(&mut self, with: &Self) {
        self.each(with, i64::max);
    }
}

fn requests(container: &Container, fill: bool) -> Amounts {
    let list = container.resources.as_ref().and_then(|r| r.requests.as_ref());
    let mut amounts = Amounts::of(list);
    if fill {
        let has = |name: &str| list.is_some_and(|l| l.contains_key(name));
        if !has("cpu") {
            amounts.cpu = DEFAULT_CPU;
        }
        if !has("memory") {
            amounts.memory = DEFAULT_MEMORY;
        }
    }
    amounts
}

/// What a pod needs: the sum of its containers and sidecars or, if that is more, its hungriest moment of
/// initialisation, plus its overhead. `fill` counts missing requests as small ones.
pub(crate) fn of_pod(spec: &PodSpec, fill: bool) -> Amounts {
    let mut running = Amounts::default();
    for container in &spec.containers {
        running.add(&requests(container, fill));
    }
    let mut sidecars = Amounts::default();
    let mut peak = Amounts::default();
    for container in spec.init_containers.iter().flatten() {
        let mut moment = requests(container, fill);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars.add(&moment);
            moment = sidecars.clone();
        } else {
            moment.add(&sidecars);
        }
        peak.max(&moment);
    }
    running.add(&sidecars);
    running.max(&peak);
    if let Some(whole) = spec.resources.as_ref().and_then(|r| r.requests.as_ref()) {
        // Pod-level requests stand for the containers' own.
        let level = Amounts::of(Some(whole));
        if whole.contains_key("cpu") {
            running.cpu = level.cpu;
        }
        if whole.contains_key("memory") {
            running.memory = level.memory;
        }
    }
    running.add(&Amounts::of(spec.overhead.as_ref()));
    running
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_containers_count_by_their_peak() {
        let spec: PodSpec = serde_json::from_value(serde_json::json!({
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}],
            "initContainers": [
                {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
                {"name": "init", "resources": {"requests": {"cpu": "1", "nvidia.com/gpu": "1"}}},
            ],
            "overhead": {"memory": "1Mi"},
        }))
        .unwrap();
        let amounts = of_pod(&spec, false);
        assert_eq!((amounts.cpu, amounts.memory, amounts.other("nvidia.com/gpu")), (1050, 65 << 20, 1));
    }
}
