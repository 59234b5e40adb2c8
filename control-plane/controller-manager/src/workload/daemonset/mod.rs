//! Daemon sets: one pod on every node that will have it.
//!
//! `maxSurge` is not built: updates replace pods within `maxUnavailable`.

mod place;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use informers::objects::{self, available_at, is_deleting, is_ready, label, phase, uid, until};
use informers::{Change, Error, Informer, Key, Next, Queue, selector};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet, DaemonSetSpec, DaemonSetStatus};
use k8s_openapi::api::core::v1::{Node, Pod, PodTemplateSpec};
use kube::api::{Api, PostParams};

use super::claim::Claim;
use super::deployment::arith::share;
use super::pods::{Pods, of_template};
use super::{count, nonzero, revisions};
use crate::context::Context;

const GENERATION: &str = "deprecated.daemonset.template.generation";
/// How long a failed daemon pod's place stays empty at least.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

struct Controller {
    client: kube::Client,
    sets: Informer<DaemonSet>,
    nodes: Informer<Node>,
    revisions: Informer<ControllerRevision>,
    pods: Pods,
    clock: Arc<dyn kit::Clock>,
}

type ByNode = BTreeMap<String, Vec<Arc<Pod>>>;

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let name = "daemon-set-controller";
    let controller = Arc::new(Controller {
        client: context.client(name),
        sets: context.informer(),
        nodes: context.informer(),
        revisions: context.informer(),
        pods: Pods {
            client: context.client(name),
            cache: context.informer(),
            events: context.recorder_called(name, "daemonset-controller"),
        },
        clock: context.clock(),
    });
    let queue = Queue::new();
    controller.sets.enqueue_to(&queue);
    controller.pods.cache.enqueue_owner_to("DaemonSet", &queue);
    let (sets, waiting) = (controller.sets.clone(), queue.clone());
    controller.nodes.subscribe(move |change| {
        if let Change::Updated(old, new) = change {
            let taints = |n: &Node| n.spec.as_ref().and_then(|s| s.taints.clone());
            if old.metadata.labels == new.metadata.labels && taints(old) == taints(new) {
                return;
            }
        }
        sets.list().iter().for_each(|set| waiting.add(Key::of(set.as_ref())));
    });
    let c = controller.clone();
    let ready = async move {
        c.sets.synced().await;
        c.nodes.synced().await;
        c.revisions.synced().await;
        c.pods.cache.synced().await;
    };
    context.loops.run("daemonset-controller", 2, queue, ready, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(set) = self.sets.get(&key).filter(|s| !is_deleting(&s.metadata)) else { return Ok(None) };
        let Some(spec) = set.spec.clone() else { return Ok(None) };
        if selector::is_empty(&spec.selector) {
            return Ok(None);
        }
        let labels = set.metadata.labels.clone().unwrap_or_default();
        let collisions = set.status.as_ref().and_then(|s| s.collision_count);
        let (revision, old) = revisions::current(
            &self.client,
            &self.revisions,
            set.as_ref(),
            &spec.template,
            &labels,
            collisions,
        )
        .await?;
        let hash = revisions::hash_of(&revision);
        let claim = Claim {
            client: &self.client,
            owner: set.as_ref(),
            selector: &spec.selector,
            objects: &self.pods.cache,
        };
        claim.run(|pod| !is_deleting(&pod.metadata)).await?;
        let mut template_spec = spec.template.spec.clone().unwrap_or_default();
        place::tolerations(&mut template_spec);
        let failed = self.place(&set, &spec, &template_spec, &hash).await?;
        if spec.update_strategy.as_ref().and_then(|u| u.type_.as_deref()) != Some("OnDelete") {
            self.roll(&set, &spec, &template_spec, &hash).await?;
        }
        let pods = self.pods.cache.controlled_by(uid(&set.metadata));
        let is_used = |hash: &str| pods.iter().any(|p| label(&p.metadata, revisions::HASH) == Some(hash));
        revisions::clean(&self.client, &self.revisions, &old, spec.revision_history_limit, is_used).await?;
        let next = self.write_status(&key, &set, &spec, &template_spec, &hash).await?;
        Ok(if failed { Some(AFTER_FAILURE.min(next.unwrap_or(AFTER_FAILURE))) } else { next })
    }

    fn by_node(&self, set: &DaemonSet) -> ByNode {
        let mut by_node = ByNode::new();
        for pod in self.pods.cache.controlled_by(uid(&set.metadata)) {
            if let Some(node) = place::node_of(&pod) {
                by_node.entry(node).or_default().push(pod);
            }
        }
        for pods in by_node.values_mut() {
            // The one that is bound and oldest is the one to keep.
            pods.sort_by_key(|p| {
                (objects::node_name(p).is_empty(), p.metadata.creation_timestamp.as_ref().map(|t| t.0))
            });
        }
        by_node
    }

    /// One pod where one is wanted, none elsewhere. Returns whether a failed pod was removed.
    async fn place(
        &self,
        set: &DaemonSet,
        spec: &DaemonSetSpec,
        template: &k8s_openapi::api::core::v1::PodSpec,
        hash: &str,
    ) -> Result<bool, Error> {
        let by_node = self.by_node(set);
        let (mut create, mut delete, mut failed) = (Vec::new(), Vec::new(), false);
        for node in self.nodes.list() {
            let name = node.metadata.name.clone().unwrap_or_default();
            let (run, stay) = place::wants(template, &node);
            let pods = by_node.get(&name).map(Vec::as_slice).unwrap_or_default();
            let mut alive = Vec::new();
            for pod in pods.iter().filter(|p| !is_deleting(&p.metadata)) {
                match phase(pod) {
                    "Failed" | "Succeeded" => {
                        let what = phase(pod).to_lowercase();
                        let pod_name = pod.metadata.name.clone().unwrap_or_default();
                        let text = format!(
                            "Found {what} daemon pod {}/{pod_name} on node {name}, will try to kill it",
                            set.metadata.namespace.as_deref().unwrap_or_default()
                        );
                        self.pods.events.warning(objects::reference(set), "FailedDaemonPod", text);
                        failed = true;
                        delete.push(pod.clone());
                    }
                    _ => alive.push(pod.clone()),
                }
            }
            if run && pods.is_empty() {
                create.push(self.pod(set, spec, &name, hash));
            } else if !stay {
                delete.extend(alive);
            } else if alive.len() > 1 {
                delete.extend(alive.into_iter().skip(1));
            }
        }
        self.pods.delete_many(set, &delete).await?;
        let (_, error) = self.pods.create_many(set, &create).await;
        error.map_or(Ok(failed), Err)
    }

    fn pod(&self, set: &DaemonSet, spec: &DaemonSetSpec, node: &str, hash: &str) -> Pod {
        let mut template: PodTemplateSpec = spec.template.clone();
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(revisions::HASH.into(), hash.to_owned());
        if let Some(generation) = objects::annotation(&set.metadata, GENERATION) {
            labels.insert("pod-template-generation".into(), generation.to_owned());
        }
        let mut pod = of_template(set, &template);
        let spec = pod.spec.get_or_insert_default();
        place::tie(spec, node);
        place::tolerations(spec);
        pod
    }

    /// Removes pods of old templates, as many as may be missing.
    async fn roll(
        &self,
        set: &DaemonSet,
        spec: &DaemonSetSpec,
        template: &k8s_openapi::api::core::v1::PodSpec,
        hash: &str,
    ) -> Result<(), Error> {
        let by_node = self.by_node(set);
        let now = self.clock.now();
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        let wanted: Vec<String> = self
            .nodes
            .list()
            .iter()
            .filter(|n| place::wants(template, n).0)
            .filter_map(|n| n.metadata.name.clone())
            .collect();
        let rolling = spec.update_strategy.as_ref().and_then(|u| u.rolling_update.as_ref());
        let allowed = rolling.and_then(|r| r.max_unavailable.as_ref());
        let allowed = allowed.map_or(1, |a| share(Some(a), count(wanted.len()), true)).max(1);
        let (mut unavailable, mut idle, mut serving) = (0, Vec::new(), Vec::new());
        for node in &wanted {
            let pod = by_node.get(node).and_then(|p| p.iter().find(|p| !is_deleting(&p.metadata)));
            let Some(pod) = pod else {
                unavailable += 1;
                continue;
            };
            let is_available = available_at(pod, min_ready).is_some_and(|at| at <= now);
            let is_old = label(&pod.metadata, revisions::HASH) != Some(hash);
            unavailable += i32::from(!is_available);
            match (is_old, is_available) {
                (true, false) => idle.push(pod.clone()),
                (true, true) => serving.push(pod.clone()),
                _ => {}
            }
        }
        let room = usize::try_from(allowed - unavailable).unwrap_or(0);
        idle.extend(serving.into_iter().take(room));
        self.pods.delete_many(set, &idle).await
    }

    async fn write_status(
        &self,
        key: &Key,
        set: &DaemonSet,
        spec: &DaemonSetSpec,
        template: &k8s_openapi::api::core::v1::PodSpec,
        hash: &str,
    ) -> Result<Next, Error> {
        let now = self.clock.now();
        let (status, next) = self.status(set, spec, template, hash, now);
        if set.status.as_ref() != Some(&status) {
            let mut changed = set.clone();
            changed.status = Some(status);
            let api: Api<DaemonSet> = Api::namespaced(self.client.clone(), &key.namespace);
            self.sets.observe(api.replace_status(&key.name, &PostParams::default(), &changed).await?);
        }
        Ok(next.map(|at| until(at, now)))
    }

    fn status(
        &self,
        set: &DaemonSet,
        spec: &DaemonSetSpec,
        template: &k8s_openapi::api::core::v1::PodSpec,
        hash: &str,
        now: Timestamp,
    ) -> (DaemonSetStatus, Option<Timestamp>) {
        let by_node = self.by_node(set);
        let min_ready = spec.min_ready_seconds.unwrap_or(0);
        let old = set.status.clone().unwrap_or_default();
        let mut status = DaemonSetStatus {
            observed_generation: set.metadata.generation,
            collision_count: old.collision_count,
            conditions: old.conditions,
            ..Default::default()
        };
        let (mut updated, mut available, mut next) = (0, 0, None::<Timestamp>);
        for node in self.nodes.list() {
            let name = node.metadata.name.clone().unwrap_or_default();
            let pod = by_node.get(&name).and_then(|p| p.iter().find(|p| !is_deleting(&p.metadata)));
            if !place::wants(template, &node).0 {
                status.number_misscheduled += i32::from(pod.is_some());
                continue;
            }
            status.desired_number_scheduled += 1;
            let Some(pod) = pod else { continue };
            status.current_number_scheduled += 1;
            status.number_ready += i32::from(is_ready(pod));
            updated += i32::from(label(&pod.metadata, revisions::HASH) == Some(hash));
            match available_at(pod, min_ready) {
                Some(at) if at <= now => available += 1,
                Some(at) => next = Some(next.map_or(at, |n| n.min(at))),
                None => {}
            }
        }
        status.updated_number_scheduled = nonzero(updated);
        status.number_available = nonzero(available);
        status.number_unavailable = nonzero(status.desired_number_scheduled - available);
        (status, next)
    }
}
