//! Requests and limits as the kernel's numbers, and the class of service that follows from them.

use std::collections::BTreeMap;

use k8s_cri::v1::LinuxContainerResources;
use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::quantity::{milli, value};

/// The scheduler's period, in microseconds.
pub const CPU_PERIOD_US: i64 = 100_000;
const CPU_QUOTA_MIN_US: i64 = 1_000;
const SHARES_MIN: i64 = 2;
const SHARES_MAX: i64 = 262_144;
const CRITICAL_PRIORITY: i32 = 2_000_000_000;

/// A pod's class of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// Every container's limits equal its requests.
    Guaranteed,
    /// Something is asked for.
    Burstable,
    /// Nothing is asked for.
    BestEffort,
}

impl Qos {
    /// As `status.qosClass` says it.
    pub fn name(self) -> &'static str {
        match self {
            Qos::Guaranteed => "Guaranteed",
            Qos::Burstable => "Burstable",
            Qos::BestEffort => "BestEffort",
        }
    }
}

type List = BTreeMap<String, Quantity>;

fn list(container: &Container, limits: bool) -> Option<&List> {
    let resources = container.resources.as_ref()?;
    if limits { resources.limits.as_ref() } else { resources.requests.as_ref() }
}

fn positive<'a>(list: Option<&'a List>, name: &str) -> Option<&'a Quantity> {
    list?.get(name).filter(|quantity| milli(quantity) > 0)
}

/// What a container may use at most.
pub fn limit<'a>(container: &'a Container, name: &str) -> Option<&'a Quantity> {
    positive(list(container, true), name)
}

/// What a container asks for; a limit without a request is one.
pub fn request<'a>(container: &'a Container, name: &str) -> Option<&'a Quantity> {
    match list(container, false).and_then(|list| list.get(name)) {
        Some(quantity) => Some(quantity),
        None => limit(container, name),
    }
}

/// The class of service of a pod.
pub fn qos(pod: &Pod) -> Qos {
    let Some(spec) = &pod.spec else { return Qos::BestEffort };
    let containers = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let asks = |container: &Container| {
        ["cpu", "memory"].iter().any(|name| {
            positive(list(container, true), name).is_some()
                || positive(list(container, false), name).is_some()
        })
    };
    if !containers().any(asks) {
        return Qos::BestEffort;
    }
    let fixed = |container: &Container| {
        ["cpu", "memory"].iter().all(|name| match (limit(container, name), request(container, name)) {
            (Some(limit), Some(request)) => milli(limit) == milli(request),
            _ => false,
        })
    };
    if containers().all(fixed) { Qos::Guaranteed } else { Qos::Burstable }
}

/// Thousandths of a processor as cgroup v1 shares.
pub fn shares(milli_cpu: i128) -> i64 {
    if milli_cpu <= 0 {
        return SHARES_MIN;
    }
    i64::try_from(milli_cpu * 1024 / 1000).unwrap_or(SHARES_MAX).clamp(SHARES_MIN, SHARES_MAX)
}

/// Thousandths of a processor as microseconds per [`CPU_PERIOD_US`].
pub fn quota(milli_cpu: i128) -> i64 {
    i64::try_from(milli_cpu * i128::from(CPU_PERIOD_US) / 1000).unwrap_or(i64::MAX).max(CPU_QUOTA_MIN_US)
}

/// How willingly the kernel kills a container when memory runs out.
pub fn oom_score(pod: &Pod, container: &Container, node_memory_bytes: u64) -> i64 {
    if pod.spec.as_ref().and_then(|spec| spec.priority).is_some_and(|priority| priority >= CRITICAL_PRIORITY)
    {
        return -997;
    }
    match qos(pod) {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let asked = request(container, "memory").map_or(0, value);
            let capacity = i64::try_from(node_memory_bytes.max(1)).unwrap_or(i64::MAX);
            (1000 - asked.saturating_mul(1000) / capacity).clamp(3, 999)
        }
    }
}

/// The numbers of a container's cgroup.
pub fn linux(pod: &Pod, container: &Container, node_memory_bytes: u64) -> LinuxContainerResources {
    LinuxContainerResources {
        cpu_period: CPU_PERIOD_US,
        cpu_quota: limit(container, "cpu").map_or(0, |quantity| quota(milli(quantity))),
        cpu_shares: shares(request(container, "cpu").map_or(0, milli)),
        memory_limit_in_bytes: limit(container, "memory").map_or(0, value),
        oom_score_adj: oom_score(pod, container, node_memory_bytes),
        ..LinuxContainerResources::default()
    }
}

/// What a whole pod asks for or may use: `None` when some container has no bound.
pub fn pod_total(pod: &Pod, name: &str, limits: bool) -> Option<i128> {
    let spec = pod.spec.as_ref()?;
    let of = |container: &Container| {
        let quantity = if limits { limit(container, name) } else { request(container, name) };
        quantity.map(milli)
    };
    let mut total = 0i128;
    for container in &spec.containers {
        match of(container) {
            Some(amount) => total += amount,
            None if limits => return None,
            None => {}
        }
    }
    // Init containers run one after the other, beside the sidecars started before them.
    let (mut sidecars, mut peak) = (0i128, 0i128);
    for container in spec.init_containers.iter().flatten() {
        let amount = match of(container) {
            Some(amount) => amount,
            None if limits => return None,
            None => 0,
        };
        if super::spec::is_sidecar(container) {
            sidecars += amount;
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars + amount);
        }
    }
    Some((total + sidecars).max(peak))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(containers: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": containers}}))
            .unwrap()
    }

    #[test]
    fn the_class_follows_from_requests_and_limits() {
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        for (resources, expected) in [
            (json!({}), Qos::BestEffort),
            (json!({"requests": {"cpu": "0"}}), Qos::BestEffort),
            (json!({"requests": {"cpu": "100m"}}), Qos::Burstable),
            (json!({"limits": {"memory": "1Gi"}}), Qos::Burstable),
            (full.clone(), Qos::Guaranteed),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}),
                Qos::Burstable,
            ),
        ] {
            let pod = pod(json!([{"name": "c", "resources": resources}]));
            assert_eq!(qos(&pod), expected, "{resources}");
        }
        let mixed = pod(json!([{"name": "a", "resources": full}, {"name": "b"}]));
        assert_eq!(qos(&mixed), Qos::Burstable);
    }

    #[test]
    fn requests_and_limits_become_cgroup_numbers() {
        let pod = pod(json!([{"name": "c", "resources": {
            "requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"cpu": "1500m", "memory": "512Mi"}}}]));
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let linux = linux(&pod, container, 1 << 30);
        assert_eq!((linux.cpu_shares, linux.cpu_quota, linux.cpu_period), (256, 150_000, 100_000));
        assert_eq!((linux.memory_limit_in_bytes, linux.oom_score_adj), (512 << 20, 750));
        assert_eq!((shares(0), shares(1), shares(1_000_000)), (2, 2, 262_144));
        assert_eq!(quota(1), 1000);
    }

    #[test]
    fn a_pod_without_a_bound_on_one_container_has_none() {
        let bounded = json!({"name": "a", "resources": {"limits": {"memory": "1Mi"}}});
        assert_eq!(pod_total(&pod(json!([bounded])), "memory", true), Some((1 << 20) * 1000));
        assert_eq!(pod_total(&pod(json!([bounded, {"name": "b"}])), "memory", true), None);
        assert_eq!(pod_total(&pod(json!([bounded, {"name": "b"}])), "memory", false), Some((1 << 20) * 1000));
    }
}
