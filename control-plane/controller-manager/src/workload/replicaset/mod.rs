//! Replica sets: as many pods of a template as wanted, no more and no fewer.

pub(crate) mod rank;

use std::collections::HashMap;
use std::sync::Arc;

use informers::objects::{self, available_at, is_active, is_deleting, is_ready, until};
use informers::selector::{self, has_all};
use informers::{Error, Informer, Key, Next, Queue};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, PostParams};

use super::claim::Claim;
use super::pods::{Pods, of_template};
use super::{count, nonzero};
use crate::context::Context;

/// Pods made or removed in one run at most.
const BURST: usize = 500;

struct Controller {
    client: kube::Client,
    sets: Informer<ReplicaSet>,
    pods: Pods,
    clock: Arc<dyn kit::Clock>,
}

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let name = "replicaset-controller";
    let (sets, pods) = (context.informer::<ReplicaSet>(), context.informer::<Pod>());
    let queue = Queue::new();
    sets.enqueue_to(&queue);
    pods.enqueue_owner_to("ReplicaSet", &queue);
    wake_on_orphans(&sets, &pods, &queue);
    let controller = Arc::new(Controller {
        client: context.client(name),
        sets: sets.clone(),
        pods: Pods { client: context.client(name), cache: pods.clone(), events: context.recorder(name) },
        clock: context.clock(),
    });
    let ready = async move {
        sets.synced().await;
        pods.synced().await;
    };
    context.loops.run(name, 5, queue, ready, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

/// A pod without controller wakes the sets that select it.
fn wake_on_orphans(sets: &Informer<ReplicaSet>, pods: &Informer<Pod>, queue: &Queue<Key>) {
    let (sets, queue) = (sets.clone(), queue.clone());
    pods.subscribe(move |change| {
        let pod = change.object();
        if matches!(change, informers::Change::Deleted(_)) || objects::controller_of(&pod.metadata).is_some()
        {
            return;
        }
        for set in sets.list_in(pod.metadata.namespace.as_deref().unwrap_or_default()) {
            let selector = set.spec.as_ref().map(|s| &s.selector);
            if selector.is_some_and(|s| selector::matches_opt(s, pod.metadata.labels.as_ref())) {
                queue.add(Key::of(set.as_ref()));
            }
        }
    });
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(set) = self.sets.get(&key) else { return Ok(None) };
        let Some(spec) = &set.spec else { return Ok(None) };
        let claim = Claim {
            client: &self.client,
            owner: set.as_ref(),
            selector: &spec.selector,
            objects: &self.pods.cache,
        };
        let active: Vec<Arc<Pod>> =
            claim.run(is_active).await?.into_iter().filter(|pod| is_active(pod)).collect();
        let failure = if is_deleting(&set.metadata) { Ok(()) } else { self.manage(&set, &active).await };
        let now = self.clock.now();
        let active: Vec<Arc<Pod>> = self
            .pods
            .cache
            .controlled_by(objects::uid(&set.metadata))
            .into_iter()
            .filter(|pod| is_active(pod))
            .collect();
        let status = status(&set, &active, failure.as_ref().err(), now);
        if set.status.as_ref() != Some(&status) {
            let api: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &key.namespace);
            let mut changed = set.as_ref().clone();
            changed.status = Some(status);
            self.sets.observe(api.replace_status(&key.name, &PostParams::default(), &changed).await?);
        }
        failure?;
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        let next = active.iter().filter_map(|pod| available_at(pod, min_ready)).filter(|at| *at > now).min();
        Ok(next.map(|at| until(at, now)))
    }

    async fn manage(&self, set: &ReplicaSet, active: &[Arc<Pod>]) -> Result<(), Error> {
        let spec = set.spec.clone().unwrap_or_default();
        let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
        if active.len() < wanted {
            let missing = (wanted - active.len()).min(BURST);
            let pod = of_template(set, &spec.template.unwrap_or_default());
            let (_, error) = self.pods.create_many(set, &vec![pod; missing]).await;
            return error.map_or(Ok(()), Err);
        }
        if active.len() > wanted {
            let surplus = (active.len() - wanted).min(BURST);
            let mut neighbours: HashMap<String, usize> = HashMap::new();
            for pod in self.related(set) {
                *neighbours.entry(objects::node_name(&pod).to_owned()).or_default() += 1;
            }
            let ranked = rank::by_expendability(active.to_vec(), &neighbours, self.clock.now());
            self.pods.delete_many(set, &ranked[..surplus]).await?;
        }
        Ok(())
    }

    /// Active pods of all sets with the same controller: those of one deployment.
    fn related(&self, set: &ReplicaSet) -> Vec<Arc<Pod>> {
        let siblings = match objects::controller_of(&set.metadata) {
            Some(owner) => self.sets.controlled_by(&owner.uid),
            None => vec![Arc::new(set.clone())],
        };
        siblings
            .iter()
            .flat_map(|s| self.pods.cache.controlled_by(objects::uid(&s.metadata)))
            .filter(|pod| is_active(pod))
            .collect()
    }
}

fn status(
    set: &ReplicaSet,
    active: &[Arc<Pod>],
    failure: Option<&Error>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let spec = set.spec.clone().unwrap_or_default();
    let template_labels = spec.template.and_then(|t| t.metadata).and_then(|m| m.labels).unwrap_or_default();
    let empty = selector::Labels::new();
    let labelled = active
        .iter()
        .filter(|p| has_all(&template_labels, p.metadata.labels.as_ref().unwrap_or(&empty)))
        .count();
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let available = active.iter().filter(|p| available_at(p, min_ready).is_some_and(|at| at <= now)).count();
    let old = set.status.clone().unwrap_or_default();
    ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: nonzero(count(labelled)),
        ready_replicas: nonzero(count(active.iter().filter(|p| is_ready(p)).count())),
        available_replicas: nonzero(count(available)),
        observed_generation: set.metadata.generation,
        conditions: conditions(old.conditions, active.len(), spec.replicas.unwrap_or(1), failure, now),
        terminating_replicas: old.terminating_replicas,
    }
}

fn conditions(
    old: Option<Vec<ReplicaSetCondition>>,
    have: usize,
    wanted: i32,
    failure: Option<&Error>,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let Some(failure) = failure else {
        return old
            .map(|c| c.into_iter().filter(|c| c.type_ != "ReplicaFailure").collect::<Vec<_>>())
            .filter(|c| !c.is_empty());
    };
    if old.iter().flatten().any(|c| c.type_ == "ReplicaFailure") {
        return old;
    }
    let reason = if count(have) < wanted { "FailedCreate" } else { "FailedDelete" };
    let message = failure.status().map_or_else(|| failure.to_string(), |s| s.message.clone());
    let mut all = old.unwrap_or_default();
    all.push(ReplicaSetCondition {
        type_: "ReplicaFailure".into(),
        status: "True".into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_transition_time: Some(Time(now)),
    });
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_counts_what_is_ready_and_available() {
        let set: ReplicaSet = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web", "generation": 3},
            "spec": {"replicas": 2, "minReadySeconds": 10, "selector": {"matchLabels": {"a": "b"}},
                     "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": []}}},
        }))
        .unwrap();
        let pod = |ready: &str, since: &str| -> Arc<Pod> {
            Arc::new(
                serde_json::from_value(serde_json::json!({
                    "metadata": {"labels": {"a": "b"}},
                    "status": {"conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": since}]},
                }))
                .unwrap(),
            )
        };
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let pods = [
            pod("True", "2026-01-01T00:00:00Z"),
            pod("True", "2026-01-01T00:00:55Z"),
            pod("False", "2026-01-01T00:00:00Z"),
        ];
        let status = status(&set, &pods, None, now);
        assert_eq!(
            (status.replicas, status.ready_replicas, status.available_replicas),
            (3, Some(2), Some(1))
        );
        assert_eq!(status.observed_generation, Some(3));
        let failed = conditions(None, 1, 2, Some(&Error::other("quota")), now).unwrap();
        assert_eq!(failed[0].reason.as_deref(), Some("FailedCreate"));
        assert_eq!(conditions(Some(failed), 2, 2, None, now), None);
    }
}
