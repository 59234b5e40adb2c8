//! Pod disruption budgets: how many pods may be evicted now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use informers::objects::{controller_of, is_active, is_deleting, is_ready, since, until};
use informers::{Error, Informer, Key, Next, Queue, selector};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{Api, PostParams};

use crate::context::Context;
use crate::workload::count;
use crate::workload::deployment::arith::share;

/// How long an eviction that the API has granted may take to show.
const GRANTED: Duration = Duration::from_secs(120);

struct Controller {
    client: kube::Client,
    budgets: Informer<PodDisruptionBudget>,
    pods: Informer<Pod>,
    sets: Informer<ReplicaSet>,
    deployments: Informer<Deployment>,
    stateful: Informer<StatefulSet>,
    clock: Arc<dyn kit::Clock>,
}

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let controller = Arc::new(Controller {
        client: context.client("disruption-controller"),
        budgets: context.informer(),
        pods: context.informer(),
        sets: context.informer(),
        deployments: context.informer(),
        stateful: context.informer(),
        clock: context.clock(),
    });
    let queue = Queue::new();
    controller.budgets.enqueue_to(&queue);
    let (budgets, waiting) = (controller.budgets.clone(), queue.clone());
    controller.pods.subscribe(move |change| {
        let pod = change.object();
        for budget in budgets.list_in(pod.metadata.namespace.as_deref().unwrap_or_default()) {
            let selector = budget.spec.as_ref().and_then(|s| s.selector.as_ref());
            let hit =
                |p: &Pod| selector.is_some_and(|s| selector::matches_opt(s, p.metadata.labels.as_ref()));
            if hit(pod) || change.old().is_some_and(|old| hit(old)) {
                waiting.add(Key::of(budget.as_ref()));
            }
        }
    });
    let c = controller.clone();
    let ready = async move {
        c.budgets.synced().await;
        c.pods.synced().await;
        c.sets.synced().await;
        c.deployments.synced().await;
        c.stateful.synced().await;
    };
    context.loops.run("disruption-controller", 2, queue, ready, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

/// How many pods there should be, and how many of them must be healthy.
fn needed(spec: &PodDisruptionBudgetSpec, pods: i32, wanted: impl Fn() -> i32) -> (i32, i32) {
    match (&spec.max_unavailable, &spec.min_available) {
        (Some(most), _) => {
            let expected = wanted();
            (expected, (expected - share(Some(most), expected, true)).max(0))
        }
        (None, Some(IntOrString::Int(least))) => (pods, *least),
        (None, Some(least)) => {
            let expected = wanted();
            (expected, share(Some(least), expected, true))
        }
        (None, None) => (pods, 0),
    }
}

impl Controller {
    /// The sizes that the pods' owners want, added up; bare pods count one each.
    fn wanted(&self, pods: &[Arc<Pod>]) -> i32 {
        let mut owners: BTreeMap<String, i32> = BTreeMap::new();
        for pod in pods {
            let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
            let Some(owner) = controller_of(&pod.metadata) else {
                owners.insert(pod.metadata.uid.clone().unwrap_or_default(), 1);
                continue;
            };
            let (uid, size) = match owner.kind.as_str() {
                "ReplicaSet" => {
                    let set = self.sets.find(namespace, &owner.name);
                    let above = set.as_ref().and_then(|s| controller_of(&s.metadata));
                    let deployment = above.and_then(|o| self.deployments.find(namespace, &o.name));
                    match (deployment, set) {
                        (Some(d), _) => (d.metadata.uid.clone(), d.spec.as_ref().and_then(|s| s.replicas)),
                        (None, Some(s)) => (s.metadata.uid.clone(), s.spec.as_ref().and_then(|s| s.replicas)),
                        (None, None) => (None, None),
                    }
                }
                "StatefulSet" => {
                    let set = self.stateful.find(namespace, &owner.name);
                    let set = set.as_ref();
                    (set.and_then(|s| s.metadata.uid.clone()), set.and_then(|s| s.spec.as_ref()?.replicas))
                }
                _ => (Some(pod.metadata.uid.clone().unwrap_or_default()), Some(1)),
            };
            owners.insert(uid.unwrap_or_else(|| owner.uid.clone()), size.unwrap_or(1));
        }
        owners.values().sum()
    }

    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(budget) = self.budgets.get(&key).filter(|b| !is_deleting(&b.metadata)) else {
            return Ok(None);
        };
        let Some(spec) = budget.spec.clone() else { return Ok(None) };
        let matches = |p: &Pod| {
            spec.selector.as_ref().is_some_and(|s| selector::matches_opt(s, p.metadata.labels.as_ref()))
        };
        let pods: Vec<Arc<Pod>> =
            self.pods.list_in(&key.namespace).into_iter().filter(|p| matches(p) && is_active(p)).collect();
        let now = self.clock.now();
        let old = budget.status.clone().unwrap_or_default();
        let (granted, recheck) = still_granted(&old, &pods, now);
        let healthy = pods
            .iter()
            .filter(|p| is_ready(p))
            .filter(|p| !granted.contains_key(p.metadata.name.as_deref().unwrap_or_default()))
            .count();
        let healthy = count(healthy);
        let (expected, desired) = needed(&spec, count(pods.len()), || self.wanted(&pods));
        let allowed = if expected <= 0 { 0 } else { (healthy - desired).max(0) };
        let status = PodDisruptionBudgetStatus {
            current_healthy: healthy,
            desired_healthy: desired,
            disruptions_allowed: allowed,
            expected_pods: expected,
            observed_generation: budget.metadata.generation,
            disrupted_pods: Some(granted).filter(|g| !g.is_empty()),
            conditions: Some(conditions(&old, allowed, budget.metadata.generation, now)),
        };
        if budget.status.as_ref() != Some(&status) {
            let mut changed = budget.as_ref().clone();
            changed.status = Some(status);
            let api: Api<PodDisruptionBudget> = Api::namespaced(self.client.clone(), &key.namespace);
            self.budgets.observe(api.replace_status(&key.name, &PostParams::default(), &changed).await?);
        }
        Ok(recheck.map(|at| until(at, now)))
    }
}

/// Evictions that were granted and whose pods are still there, and when the first of these is given up.
fn still_granted(
    old: &PodDisruptionBudgetStatus,
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> (BTreeMap<String, Time>, Option<Timestamp>) {
    let mut granted = BTreeMap::new();
    let mut recheck: Option<Timestamp> = None;
    for (name, at) in old.disrupted_pods.iter().flatten() {
        let is_there = pods.iter().any(|p| p.metadata.name.as_ref() == Some(name));
        if is_there && since(at.0, now) < GRANTED {
            granted.insert(name.clone(), at.clone());
            let end =
                at.0.saturating_add(SignedDuration::try_from(GRANTED).unwrap_or_default()).unwrap_or(now);
            recheck = Some(recheck.map_or(end, |r| r.min(end)));
        }
    }
    (granted, recheck)
}

fn conditions(
    old: &PodDisruptionBudgetStatus,
    allowed: i32,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let (status, reason) =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let mut all = old.conditions.clone().unwrap_or_default();
    let known = all.iter().find(|c| c.type_ == "DisruptionAllowed" && c.status == status);
    let since = known.map_or(Time(now), |k| k.last_transition_time.clone());
    all.retain(|c| c.type_ != "DisruptionAllowed");
    all.push(Condition {
        type_: "DisruptionAllowed".into(),
        status: status.into(),
        reason: reason.into(),
        message: String::new(),
        observed_generation: generation,
        last_transition_time: since,
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_budget_needs() {
        let spec = |max: Option<&str>, min: Option<&str>| {
            let value = |t: Option<&str>| {
                t.map(|t| t.parse().map_or_else(|_| IntOrString::String(t.into()), IntOrString::Int))
            };
            PodDisruptionBudgetSpec {
                max_unavailable: value(max),
                min_available: value(min),
                ..Default::default()
            }
        };
        for (max, min, expected) in [
            (Some("1"), None, (4, 3)),
            (Some("30%"), None, (4, 2)),
            (None, Some("2"), (3, 2)),
            (None, Some("50%"), (4, 2)),
            (Some("9"), None, (4, 0)),
        ] {
            assert_eq!(needed(&spec(max, min), 3, || 4), expected, "{max:?} {min:?}");
        }
    }
}
