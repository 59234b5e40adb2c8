//! Stateful sets: numbered pods with names and volumes that stay theirs, one after another.

mod identity;

use std::collections::BTreeMap;
use std::sync::Arc;

use informers::objects::{self, available_at, is_deleting, is_ready, is_terminal, label, uid, until};
use informers::{Error, Informer, Key, Next, Queue, selector};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use kube::api::{Api, PostParams};

use super::claim::Claim;
use super::pods::Pods;
use super::{count, nonzero, revisions};
use crate::context::Context;

struct Controller {
    client: kube::Client,
    sets: Informer<StatefulSet>,
    revisions: Informer<ControllerRevision>,
    claims: Informer<PersistentVolumeClaim>,
    pods: Pods,
    clock: Arc<dyn kit::Clock>,
}

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let name = "statefulset-controller";
    let controller = Arc::new(Controller {
        client: context.client(name),
        sets: context.informer(),
        revisions: context.informer(),
        claims: context.informer(),
        pods: Pods {
            client: context.client(name),
            cache: context.informer(),
            events: context.recorder(name),
        },
        clock: context.clock(),
    });
    let queue = Queue::new();
    controller.sets.enqueue_to(&queue);
    controller.pods.cache.enqueue_owner_to("StatefulSet", &queue);
    let c = controller.clone();
    let ready = async move {
        c.sets.synced().await;
        c.revisions.synced().await;
        c.claims.synced().await;
        c.pods.cache.synced().await;
    };
    context.loops.run(name, 5, queue, ready, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

/// The templates a pod may be of: the one rolled out so far, and the present one.
struct Versions {
    current: (String, String, PodTemplateSpec),
    update: (String, String, PodTemplateSpec),
    partition: i32,
}

impl Versions {
    /// Which template a new pod with this number gets.
    fn of(&self, ordinal: i32, is_rolling: bool) -> (&str, &PodTemplateSpec) {
        let chosen = if is_rolling && ordinal >= self.partition { &self.update } else { &self.current };
        (&chosen.1, &chosen.2)
    }
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(set) = self.sets.get(&key).filter(|s| !is_deleting(&s.metadata)) else { return Ok(None) };
        let Some(spec) = set.spec.clone() else { return Ok(None) };
        if selector::is_empty(&spec.selector) {
            return Ok(None);
        }
        let labels = spec.template.metadata.as_ref().and_then(|m| m.labels.clone()).unwrap_or_default();
        let collisions = set.status.as_ref().and_then(|s| s.collision_count);
        let (update, old) = revisions::current(
            &self.client,
            &self.revisions,
            set.as_ref(),
            &spec.template,
            &labels,
            collisions,
        )
        .await?;
        let known = set.status.as_ref().and_then(|s| s.current_revision.clone());
        let current = old.iter().find(|r| r.metadata.name == known).unwrap_or(&update);
        let describe = |r: &ControllerRevision| {
            let template = revisions::template_of(r).unwrap_or_else(|| spec.template.clone());
            (r.metadata.name.clone().unwrap_or_default(), revisions::hash_of(r), template)
        };
        let rolling = spec.update_strategy.as_ref().and_then(|u| u.rolling_update.as_ref());
        let versions = Versions {
            current: describe(current),
            update: describe(&update),
            partition: rolling.and_then(|r| r.partition).unwrap_or(0),
        };
        let name = key.name.clone();
        let claim = Claim {
            client: &self.client,
            owner: set.as_ref(),
            selector: &spec.selector,
            objects: &self.pods.cache,
        };
        let belongs =
            |pod: &Pod| identity::ordinal(&name, pod.metadata.name.as_deref().unwrap_or_default()).is_some();
        claim.run(|pod| belongs(pod)).await?;
        let outcome = self.move_on(&set, &spec, &versions).await;
        let next = self.write_status(&key, &set, &spec, &versions).await?;
        outcome?;
        let pods = self.pods.cache.controlled_by(uid(&set.metadata));
        let current_hash = versions.current.1.clone();
        let is_used = |hash: &str| {
            hash == current_hash || pods.iter().any(|p| label(&p.metadata, revisions::HASH) == Some(hash))
        };
        revisions::clean(&self.client, &self.revisions, &old, spec.revision_history_limit, is_used).await?;
        Ok(next)
    }

    fn by_ordinal(&self, set: &StatefulSet) -> BTreeMap<i32, Arc<Pod>> {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let pods = self.pods.cache.controlled_by(uid(&set.metadata));
        let number = |p: &Pod| identity::ordinal(name, p.metadata.name.as_deref().unwrap_or_default());
        pods.into_iter().filter_map(|p| Some((number(&p)?, p))).collect()
    }

    /// One step towards what is wanted; in order unless the set is parallel.
    async fn move_on(
        &self,
        set: &StatefulSet,
        spec: &StatefulSetSpec,
        versions: &Versions,
    ) -> Result<(), Error> {
        let in_order = spec.pod_management_policy.as_deref() != Some("Parallel");
        let is_rolling = spec.update_strategy.as_ref().and_then(|u| u.type_.as_deref()) != Some("OnDelete");
        let now = self.clock.now();
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        let first = identity::first(spec);
        let end = first + spec.replicas.unwrap_or(1);
        let pods = self.by_ordinal(set);
        for ordinal in first..end {
            let pod = pods.get(&ordinal);
            match pod {
                None => {
                    self.make(set, spec, versions, ordinal, is_rolling).await?;
                    if in_order {
                        return Ok(());
                    }
                }
                Some(pod) if is_terminal(pod) && !is_deleting(&pod.metadata) => {
                    self.pods.delete(set, pod).await?;
                    if in_order {
                        return Ok(());
                    }
                }
                Some(pod) => {
                    let is_available = available_at(pod, min_ready).is_some_and(|at| at <= now);
                    if in_order && (is_deleting(&pod.metadata) || !is_available) {
                        // The last of an order that is stuck may still be replaced by a newer template below.
                        if !is_rolling || is_deleting(&pod.metadata) {
                            return Ok(());
                        }
                        break;
                    }
                }
            }
        }
        let surplus: Vec<_> = pods.range(end..).rev().chain(pods.range(..first).rev()).collect();
        for (_, pod) in surplus.iter().filter(|(_, p)| !is_deleting(&p.metadata)) {
            self.pods.delete(set, pod).await?;
            if in_order {
                return Ok(());
            }
        }
        if surplus.is_empty() && is_rolling {
            self.roll(set, &pods, first..end, versions, min_ready, now).await?;
        }
        Ok(())
    }

    async fn make(
        &self,
        set: &StatefulSet,
        spec: &StatefulSetSpec,
        versions: &Versions,
        ordinal: i32,
        is_rolling: bool,
    ) -> Result<(), Error> {
        let namespace = set.metadata.namespace.clone().unwrap_or_default();
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace);
        for claim in identity::claims(set, spec, ordinal) {
            let name = claim.metadata.name.clone().unwrap_or_default();
            if self.claims.find(&namespace, &name).is_some() {
                continue;
            }
            match self.claims.create(&api, &claim).await {
                Ok(_) => {
                    let text = format!(
                        "create Claim {name} Pod {}-{ordinal} in StatefulSet {} success",
                        set.metadata.name.as_deref().unwrap_or_default(),
                        set.metadata.name.as_deref().unwrap_or_default()
                    );
                    self.pods.events.normal(objects::reference(set), "SuccessfulCreate", text);
                }
                Err(kube::Error::Api(s)) if s.reason == "AlreadyExists" => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (hash, template) = versions.of(ordinal, is_rolling);
        self.pods.create(set, &identity::pod(set, spec, template, hash, ordinal)).await?;
        Ok(())
    }

    /// Replaces pods of the old template, from the last to the partition, one at a time.
    async fn roll(
        &self,
        set: &StatefulSet,
        pods: &BTreeMap<i32, Arc<Pod>>,
        range: std::ops::Range<i32>,
        versions: &Versions,
        min_ready: i32,
        now: Timestamp,
    ) -> Result<(), Error> {
        for ordinal in range.rev().take_while(|o| *o >= versions.partition) {
            let Some(pod) = pods.get(&ordinal) else { return Ok(()) };
            if label(&pod.metadata, revisions::HASH) != Some(&versions.update.1)
                && !is_deleting(&pod.metadata)
            {
                return self.pods.delete(set, pod).await;
            }
            if is_deleting(&pod.metadata) || available_at(pod, min_ready).is_none_or(|at| at > now) {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn write_status(
        &self,
        key: &Key,
        set: &StatefulSet,
        spec: &StatefulSetSpec,
        versions: &Versions,
    ) -> Result<Next, Error> {
        let now = self.clock.now();
        let pods: Vec<Arc<Pod>> = self.by_ordinal(set).into_values().collect();
        let status = status(set, spec, versions, &pods, now);
        if set.status.as_ref() != Some(&status) {
            let mut changed = set.clone();
            changed.status = Some(status);
            let api: Api<StatefulSet> = Api::namespaced(self.client.clone(), &key.namespace);
            self.sets.observe(api.replace_status(&key.name, &PostParams::default(), &changed).await?);
        }
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        let next = pods.iter().filter_map(|p| available_at(p, min_ready)).filter(|at| *at > now).min();
        Ok(next.map(|at| until(at, now)))
    }
}

fn status(
    set: &StatefulSet,
    spec: &StatefulSetSpec,
    versions: &Versions,
    pods: &[Arc<Pod>],
    now: Timestamp,
) -> StatefulSetStatus {
    let old = set.status.clone().unwrap_or_default();
    let min_ready = spec.min_ready_seconds.unwrap_or(0);
    let of = |hash: &str| {
        count(
            pods.iter()
                .filter(|p| label(&p.metadata, revisions::HASH) == Some(hash) && !is_deleting(&p.metadata))
                .count(),
        )
    };
    let available = pods.iter().filter(|p| available_at(p, min_ready).is_some_and(|at| at <= now)).count();
    let ready = count(pods.iter().filter(|p| is_ready(p)).count());
    let (current, updated) = (of(&versions.current.1), of(&versions.update.1));
    let replicas = count(pods.len());
    // The rollout is complete when every pod is of the new template and ready.
    let is_done = versions.partition <= identity::first(spec)
        && updated == replicas
        && ready == replicas
        && replicas == spec.replicas.unwrap_or(1);
    StatefulSetStatus {
        replicas,
        ready_replicas: nonzero(ready),
        available_replicas: Some(count(available)),
        current_replicas: nonzero(if is_done { updated } else { current }),
        updated_replicas: nonzero(updated),
        current_revision: Some(if is_done { versions.update.0.clone() } else { versions.current.0.clone() }),
        update_revision: Some(versions.update.0.clone()),
        observed_generation: set.metadata.generation,
        collision_count: Some(old.collision_count.unwrap_or(0)),
        conditions: old.conditions,
    }
}
