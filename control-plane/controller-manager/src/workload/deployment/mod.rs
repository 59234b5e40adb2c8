//! Deployments: replica sets, one per template, shifted from the old to the new as the strategy says.

pub(crate) mod arith;
mod revision;
mod scale;
mod status;

use std::sync::Arc;

use informers::objects::{self, is_deleting, is_terminal, reference, uid, until};
use informers::{Change, Error, Informer, Key, Next, Queue, Recorder, selector};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};

use super::claim::Claim;
use crate::context::Context;
use arith::{desired, sum, wanted};

struct Controller {
    client: kube::Client,
    deployments: Informer<Deployment>,
    sets: Informer<ReplicaSet>,
    pods: Informer<Pod>,
    events: Recorder,
    clock: Arc<dyn kit::Clock>,
}

type Set = Arc<ReplicaSet>;

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let name = "deployment-controller";
    let controller = Arc::new(Controller {
        client: context.client(name),
        deployments: context.informer(),
        sets: context.informer(),
        pods: context.informer(),
        events: context.recorder(name),
        clock: context.clock(),
    });
    let queue = Queue::new();
    controller.deployments.enqueue_to(&queue);
    controller.sets.enqueue_owner_to("Deployment", &queue);
    let (waiting, sets) = (queue.clone(), controller.sets.clone());
    controller.pods.subscribe(move |change| {
        // Only `Recreate` waits for pods to vanish.
        let Change::Deleted(pod) = change else { return };
        let set = objects::owner_key(&pod.metadata, "ReplicaSet").and_then(|key| sets.get(&key));
        if let Some(key) = set.and_then(|set| objects::owner_key(&set.metadata, "Deployment")) {
            waiting.add(key);
        }
    });
    let c = controller.clone();
    let ready = async move {
        c.deployments.synced().await;
        c.sets.synced().await;
        c.pods.synced().await;
    };
    context.loops.run(name, 5, queue, ready, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

impl Controller {
    fn api<K>(&self, d: &Deployment) -> Api<K>
    where
        K: informers::Object + kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), d.metadata.namespace.as_deref().unwrap_or_default())
    }

    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(deployment) = self.deployments.get(&key) else { return Ok(None) };
        let Some(spec) = &deployment.spec else { return Ok(None) };
        if selector::is_empty(&spec.selector) {
            let text = "This deployment is selecting all pods. A non-empty selector is required.";
            self.events.warning(reference(deployment.as_ref()), "SelectingAll", text);
            return Ok(None);
        }
        let claim = Claim {
            client: &self.client,
            owner: deployment.as_ref(),
            selector: &spec.selector,
            objects: &self.sets,
        };
        let sets = claim.run(|_| true).await?;
        let (newest, old) = revision::split(&deployment, sets);
        if is_deleting(&deployment.metadata) {
            return self.write_counts(&deployment, newest.as_ref(), &old).await;
        }
        let all: Vec<Set> = old.iter().chain(&newest).cloned().collect();
        if spec.paused.unwrap_or(false) || scale::is_scaling(&deployment, &all) {
            return self.only_scale(&deployment, newest, old).await;
        }
        if arith::recreates(&deployment) {
            return self.recreate(&deployment, newest, old).await;
        }
        let newest = self.newest(&deployment, newest, &old).await?;
        let Some(newest) = newest else { return Ok(None) };
        let newest = self.grow(&deployment, newest, &old).await?;
        let mut shrunk = Vec::new();
        let cuts = arith::old_sizes(&deployment, &old, &newest);
        for set in old {
            let cut = cuts.iter().find(|(name, _)| Some(name) == set.metadata.name.as_ref());
            shrunk.push(match cut {
                Some((_, size)) => self.resize(&deployment, &set, *size).await?,
                None => set,
            });
        }
        self.finish(&deployment, Some(newest), shrunk).await
    }

    /// The set of the present template, made if there is none, with the right revision and annotations.
    async fn newest(&self, d: &Deployment, newest: Option<Set>, old: &[Set]) -> Result<Option<Set>, Error> {
        let number = old.iter().map(|s| revision::revision(&s.metadata)).max().unwrap_or(0) + 1;
        let set = match newest {
            Some(set) => self.annotate(d, set, number).await?,
            None => {
                let mut made = revision::make(d, number, 0);
                let replicas = arith::new_size(d, old, 0).max(0);
                made.spec.get_or_insert_default().replicas = Some(replicas);
                let Some(set) = self.create(d, &made).await? else { return Ok(None) };
                set
            }
        };
        let shown = revision::revision(&set.metadata).to_string();
        if objects::annotation(&d.metadata, revision::REVISION) != Some(shown.as_str()) {
            let mut changed = d.clone();
            let annotations = changed.metadata.annotations.get_or_insert_default();
            annotations.insert(revision::REVISION.to_owned(), shown);
            let name = d.metadata.name.as_deref().unwrap_or_default();
            let api: Api<Deployment> = self.api(d);
            self.deployments.observe(api.replace(name, &PostParams::default(), &changed).await?);
        }
        Ok(Some(set))
    }

    async fn annotate(&self, d: &Deployment, set: Set, number: i64) -> Result<Set, Error> {
        let annotations = revision::annotations(d, &set, number);
        let min_ready = d.spec.as_ref().and_then(|s| s.min_ready_seconds);
        let same_ready =
            set.spec.as_ref().and_then(|s| s.min_ready_seconds).unwrap_or(0) == min_ready.unwrap_or(0);
        if set.metadata.annotations.as_ref() == Some(&annotations) && same_ready {
            return Ok(set);
        }
        let patch = serde_json::json!({
            "metadata": {"annotations": annotations}, "spec": {"minReadySeconds": min_ready.unwrap_or(0)},
        });
        self.patch_set(d, &set, &patch).await
    }

    async fn patch_set(&self, d: &Deployment, set: &Set, patch: &serde_json::Value) -> Result<Set, Error> {
        let api: Api<ReplicaSet> = self.api(d);
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let changed = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        self.sets.observe(changed.clone());
        Ok(Arc::new(changed))
    }

    async fn create(&self, d: &Deployment, set: &ReplicaSet) -> Result<Option<Set>, Error> {
        let api: Api<ReplicaSet> = self.api(d);
        let name = set.metadata.name.clone().unwrap_or_default();
        match self.sets.create(&api, set).await {
            Ok(made) => {
                let replicas = wanted(&made);
                if replicas > 0 {
                    let text = format!("Scaled up replica set {name} from 0 to {replicas}");
                    self.events.normal(reference(d), "ScalingReplicaSet", text);
                }
                let mut status = d.status.clone().unwrap_or_default();
                let text = format!("Created new replica set \"{name}\"");
                let now = self.clock.now();
                status::set(&mut status, status::PROGRESSING, "True", "NewReplicaSetCreated", text, now);
                self.write(d, status).await?;
                Ok(Some(Arc::new(made)))
            }
            Err(kube::Error::Api(s)) if s.reason == "AlreadyExists" => {
                let there = api.get(&name).await?;
                let mine = objects::controller_of(&there.metadata).is_some_and(|o| o.uid == uid(&d.metadata));
                if mine && revision::same_template(d, &there) {
                    self.sets.observe(there.clone());
                    return Ok(Some(Arc::new(there)));
                }
                let mut status = d.status.clone().unwrap_or_default();
                status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
                self.write(d, status).await?;
                Err(Error::other(format!("the name `{name}` is taken, another is tried")))
            }
            Err(error) => {
                let message = match &error {
                    kube::Error::Api(status) => status.message.clone(),
                    other => other.to_string(),
                };
                let text = format!("Failed to create new replica set \"{name}\": {message}");
                self.events.warning(reference(d), "ReplicaSetCreateError", text.clone());
                let mut status = d.status.clone().unwrap_or_default();
                let now = self.clock.now();
                status::set(&mut status, status::PROGRESSING, "False", "ReplicaSetCreateError", text, now);
                self.write(d, status).await?;
                Err(error.into())
            }
        }
    }

    async fn grow(&self, d: &Deployment, newest: Set, old: &[Set]) -> Result<Set, Error> {
        let all: Vec<Set> = old.iter().cloned().chain([newest.clone()]).collect();
        let size = match wanted(&newest).cmp(&desired(d)) {
            std::cmp::Ordering::Equal => return Ok(newest),
            std::cmp::Ordering::Greater => desired(d),
            std::cmp::Ordering::Less => arith::new_size(d, &all, wanted(&newest)),
        };
        self.resize(d, &newest, size).await
    }

    /// Gives a set another size and tells it the totals.
    async fn resize(&self, d: &Deployment, set: &Set, size: i32) -> Result<Set, Error> {
        let from = wanted(set);
        let told: std::collections::BTreeMap<_, _> = revision::size_annotations(d).into();
        let known = set.metadata.annotations.clone().unwrap_or_default();
        if from == size && told.iter().all(|(key, value)| known.get(key) == Some(value)) {
            return Ok(set.clone());
        }
        let patch = serde_json::json!({"metadata": {"annotations": told}, "spec": {"replicas": size}});
        let changed = self.patch_set(d, set, &patch).await?;
        if from != size {
            let way = if size > from { "up" } else { "down" };
            let name = set.metadata.name.as_deref().unwrap_or_default();
            let text = format!("Scaled {way} replica set {name} from {from} to {size}");
            self.events.normal(reference(d), "ScalingReplicaSet", text);
        }
        Ok(changed)
    }

    async fn recreate(&self, d: &Deployment, newest: Option<Set>, old: Vec<Set>) -> Result<Next, Error> {
        let mut shrunk = Vec::new();
        let mut cut = false;
        for set in old {
            cut |= wanted(&set) > 0;
            shrunk.push(if wanted(&set) > 0 { self.resize(d, &set, 0).await? } else { set });
        }
        let lingering = shrunk
            .iter()
            .flat_map(|s| self.pods.controlled_by(uid(&s.metadata)))
            .any(|pod| !is_terminal(&pod));
        if cut || lingering {
            return self.finish(d, newest, shrunk).await;
        }
        let Some(newest) = self.newest(d, newest, &shrunk).await? else { return Ok(None) };
        let newest = self.grow(d, newest, &shrunk).await?;
        self.finish(d, Some(newest), shrunk).await
    }

    /// Paused, or only the size has changed: nothing rolls, but sizes follow.
    async fn only_scale(&self, d: &Deployment, newest: Option<Set>, old: Vec<Set>) -> Result<Next, Error> {
        let newest = match newest {
            Some(set) => {
                let number = old.iter().map(|s| revision::revision(&s.metadata)).max().unwrap_or(0) + 1;
                if revision::revision(&set.metadata) < number
                    && d.spec.as_ref().is_none_or(|s| s.paused != Some(true))
                {
                    Some(self.annotate(d, set, number).await?)
                } else {
                    Some(set)
                }
            }
            None => None,
        };
        let sizes = scale::sizes(d, newest.as_ref(), &old);
        let mut sized = Vec::new();
        for set in old.iter().chain(&newest) {
            let size = sizes.iter().find(|(name, _)| Some(name) == set.metadata.name.as_ref());
            sized.push(match size {
                Some((_, size)) => self.resize(d, set, *size).await?,
                None => self.resize(d, set, wanted(set)).await?,
            });
        }
        let newest = if newest.is_some() { sized.pop() } else { None };
        if d.spec.as_ref().is_some_and(|s| s.paused == Some(true)) {
            self.clean(d, &sized).await?;
        }
        self.write_counts(d, newest.as_ref(), &sized).await
    }

    async fn finish(&self, d: &Deployment, newest: Option<Set>, old: Vec<Set>) -> Result<Next, Error> {
        let all: Vec<Set> = old.iter().chain(&newest).cloned().collect();
        let now = self.clock.now();
        let mut status = status::counts(d, &all, newest.as_ref(), now);
        status::paused(d, &mut status, now);
        let current = self.deployments.get(&Key::of(d));
        if let Some(known) = current.as_ref().and_then(|c| c.status.as_ref()) {
            // What this run has written already (a new set's condition) is where progress starts from.
            let fresh = status::condition(known, status::PROGRESSING).cloned();
            if let (Some(fresh), Some(conditions)) = (fresh, status.conditions.as_mut()) {
                conditions.retain(|c| c.type_ != status::PROGRESSING);
                conditions.push(fresh);
            }
        }
        let check = status::progress(d, &mut status, newest.as_ref(), &all, now);
        if status::is_complete(d, &status) {
            self.clean(d, &old).await?;
        }
        self.write(d, status).await?;
        Ok(check.map(|at| until(at, now) + std::time::Duration::from_millis(10)))
    }

    async fn write_counts(&self, d: &Deployment, newest: Option<&Set>, old: &[Set]) -> Result<Next, Error> {
        let all: Vec<Set> = old.iter().chain(newest).cloned().collect();
        let now = self.clock.now();
        let mut status = status::counts(d, &all, newest, now);
        status::paused(d, &mut status, now);
        self.write(d, status).await?;
        Ok(None)
    }

    async fn write(&self, d: &Deployment, status: DeploymentStatus) -> Result<(), Error> {
        let key = Key::of(d);
        let mut changed = self.deployments.get(&key).map_or_else(|| d.clone(), |c| c.as_ref().clone());
        if changed.metadata.uid != d.metadata.uid || changed.status.as_ref() == Some(&status) {
            return Ok(());
        }
        changed.status = Some(status);
        let api: Api<Deployment> = self.api(d);
        self.deployments.observe(api.replace_status(&key.name, &PostParams::default(), &changed).await?);
        Ok(())
    }

    /// Removes old sets beyond the history limit, oldest revision first.
    async fn clean(&self, d: &Deployment, old: &[Set]) -> Result<(), Error> {
        let limit = d.spec.as_ref().and_then(|s| s.revision_history_limit).unwrap_or(10);
        if limit == i32::MAX {
            return Ok(());
        }
        let mut idle: Vec<&Set> = old.iter().filter(|s| !is_deleting(&s.metadata)).collect();
        let surplus = idle.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        idle.sort_by_key(|s| revision::revision(&s.metadata));
        let api: Api<ReplicaSet> = self.api(d);
        for set in idle.into_iter().take(surplus) {
            let seen = set.status.as_ref().and_then(|s| s.observed_generation) >= set.metadata.generation;
            if sum(std::slice::from_ref(set), |s| wanted(s) + arith::actual(s)) == 0 && seen {
                self.sets.delete(&api, set, DeleteParams::background()).await?;
            }
        }
        Ok(())
    }
}
