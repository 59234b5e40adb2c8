//! Feeds the core from informers and carries its decisions out.

use std::sync::Arc;
use std::time::Duration;

use informers::objects::reference;
use informers::{Change, Informer, Informers, Recorder};
use k8s_openapi::api::core::v1::{
    Binding, Namespace, Node, ObjectReference, PersistentVolume, PersistentVolumeClaim, Pod, PodCondition,
};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::Config;
use crate::core::{Core, Decision};
use crate::pod::PodInfo;
use crate::preempt::Preemption;
use crate::volumes::SELECTED_NODE;

/// Requests to the API under way at once.
const WRITES_MAX: usize = 64;

pub(crate) struct Driver {
    client: kube::Client,
    core: Mutex<Core>,
    changed: Notify,
    started: Instant,
    events: Recorder,
    writes: Arc<Semaphore>,
    tasks: kit::Tasks,
    name: String,
}

/// Starts the informers and the loop.
pub(crate) fn start(client: kube::Client, config: Config, tasks: &kit::Tasks) -> Arc<Driver> {
    let driver = Arc::new(Driver {
        core: Mutex::new(Core::new(&config.name, config.seed)),
        changed: Notify::new(),
        started: Instant::now(),
        events: Recorder::new(client.clone(), "default-scheduler", tasks),
        writes: Arc::new(Semaphore::new(WRITES_MAX)),
        tasks: tasks.clone(),
        name: config.name,
        client: client.clone(),
    });
    let informers = Informers::new(client, tasks.clone());
    let (nodes, pods) = (informers.of::<Node>(), informers.of::<Pod>());
    driver.follow_nodes(&nodes);
    driver.follow_others(&informers);
    let d = driver.clone();
    tasks.spawn("scheduler", async move {
        nodes.synced().await;
        // Pods come last: a pod seen before its node would be told that there is none.
        d.follow_pods(&pods);
        pods.synced().await;
        d.run().await;
    });
    driver
}

impl Driver {
    pub(crate) fn waiting(&self) -> (usize, usize, usize) {
        self.core.lock().waiting()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn follow_nodes(self: &Arc<Self>, nodes: &Informer<Node>) {
        let driver = self.clone();
        nodes.subscribe(move |change| {
            let now = driver.now_ms();
            match change {
                Change::Deleted(node) => {
                    driver.core.lock().node_gone(node.metadata.name.as_deref().unwrap_or_default(), now);
                }
                other => driver.core.lock().node(other.object(), now),
            }
            driver.changed.notify_one();
        });
    }

    fn follow_pods(self: &Arc<Self>, pods: &Informer<Pod>) {
        let driver = self.clone();
        pods.subscribe(move |change| {
            let now = driver.now_ms();
            let decision = match change {
                Change::Deleted(pod) => {
                    driver.core.lock().pod_gone(pod.metadata.uid.as_deref().unwrap_or_default(), now);
                    None
                }
                other => driver.core.lock().pod(other.object().clone(), now),
            };
            if let Some(decision) = decision {
                driver.carry_out(decision);
            }
            driver.changed.notify_one();
        });
    }

    fn follow_others(self: &Arc<Self>, informers: &Informers) {
        let driver = self.clone();
        informers.of::<Namespace>().subscribe(move |change| {
            let object = change.object();
            let gone = matches!(change, Change::Deleted(_));
            let labels = (!gone).then(|| object.metadata.labels.clone().unwrap_or_default());
            driver.core.lock().cluster.namespace(object.metadata.name.as_deref().unwrap_or_default(), labels);
        });
        let driver = self.clone();
        informers.of::<PersistentVolumeClaim>().subscribe(move |change| {
            let object = change.object();
            let key = (
                object.metadata.namespace.clone().unwrap_or_default(),
                object.metadata.name.clone().unwrap_or_default(),
            );
            let gone = matches!(change, Change::Deleted(_)).then_some(());
            driver.storage(|c| match gone {
                Some(()) => drop(c.volumes.claims.remove(&key)),
                None => drop(c.volumes.claims.insert(key, object.clone())),
            });
        });
        let driver = self.clone();
        informers.of::<PersistentVolume>().subscribe(move |change| {
            let object = change.object();
            let key = object.metadata.name.clone().unwrap_or_default();
            let gone = matches!(change, Change::Deleted(_));
            driver.storage(|c| {
                if gone {
                    c.volumes.volumes.remove(&key);
                } else {
                    c.volumes.volumes.insert(key, object.clone());
                }
            });
        });
        let driver = self.clone();
        informers.of::<StorageClass>().subscribe(move |change| {
            let object = change.object();
            let key = object.metadata.name.clone().unwrap_or_default();
            let gone = matches!(change, Change::Deleted(_));
            driver.storage(|c| {
                if gone {
                    c.volumes.classes.remove(&key);
                } else {
                    c.volumes.classes.insert(key, object.clone());
                }
            });
        });
        let budgets = informers.of::<PodDisruptionBudget>();
        let (driver, all) = (self.clone(), budgets.clone());
        budgets.subscribe(move |_| {
            let budgets = all.list();
            let known = budgets.iter().filter_map(|b| {
                let selector = b.spec.as_ref()?.selector.clone()?;
                let allowed = i64::from(b.status.as_ref().map_or(0, |s| s.disruptions_allowed));
                Some((b.metadata.namespace.clone().unwrap_or_default(), selector, allowed))
            });
            driver.core.lock().cluster.budgets = known.collect();
        });
    }

    fn storage(&self, change: impl FnOnce(&mut crate::core::Cluster)) {
        let now = self.now_ms();
        let mut core = self.core.lock();
        change(&mut core.cluster);
        core.volumes_changed(now);
        drop(core);
        self.changed.notify_one();
    }

    async fn run(self: Arc<Self>) {
        loop {
            let notified = self.changed.notified();
            let (decision, due) = {
                let mut core = self.core.lock();
                (core.next(self.now_ms()), core.due())
            };
            if let Some(decision) = decision {
                self.carry_out(decision);
                tokio::task::yield_now().await;
                continue;
            }
            match due {
                Some(due) => {
                    let at = self.started + Duration::from_millis(due);
                    tokio::select! {
                        () = notified => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => notified.await,
            }
        }
    }

    fn carry_out(self: &Arc<Self>, decision: Decision) {
        let driver = self.clone();
        self.tasks.spawn("scheduler-write", async move {
            let Ok(_permit) = driver.writes.clone().acquire_owned().await else { return };
            match decision {
                Decision::Bind { pod, node } => driver.bind(&pod, &node).await,
                Decision::Provision { pod, node, claims } => driver.provision(&pod, &node, &claims).await,
                Decision::Fail { pod, message, preemption } => driver.fail(&pod, message, preemption).await,
                Decision::Gated { pod } => {
                    let text = "Scheduling is blocked due to non-empty scheduling gates";
                    driver.tell(&pod, "SchedulingGated", text, None).await;
                }
            }
        });
    }

    fn pods(&self, pod: &PodInfo) -> Api<Pod> {
        Api::namespaced(self.client.clone(), pod.pod.metadata.namespace.as_deref().unwrap_or_default())
    }

    async fn bind(&self, pod: &Arc<PodInfo>, node: &str) {
        let meta = &pod.pod.metadata;
        let name = meta.name.clone().unwrap_or_default();
        let binding = Binding {
            metadata: ObjectMeta {
                name: meta.name.clone(),
                namespace: meta.namespace.clone(),
                uid: meta.uid.clone(),
                ..Default::default()
            },
            target: ObjectReference {
                kind: Some("Node".into()),
                name: Some(node.to_owned()),
                ..Default::default()
            },
        };
        let api = self.pods(pod);
        let result: Result<serde_json::Value, _> =
            api.create_subresource("binding", &name, &PostParams::default(), &binding).await;
        match result {
            Ok(_) => {
                let text = format!("Successfully assigned {} to {node}", pod.name());
                self.events.note(reference(pod.pod.as_ref()), "Normal", "Scheduled", text, Some("Binding"));
            }
            Err(kube::Error::Api(status)) if status.code == 404 => {
                let now = self.now_ms();
                self.core.lock().pod_gone(&pod.uid, now);
            }
            Err(error) => {
                let text = format!("binding rejected: {}", kit::Chain(&error));
                tracing::warn!(pod = pod.name(), node, error = text, "failed to bind a pod");
                let about = reference(pod.pod.as_ref());
                self.events.note(about, "Warning", "FailedScheduling", text, Some("Scheduling"));
                let now = self.now_ms();
                self.core.lock().bind_failed(pod, now);
            }
        }
        self.changed.notify_one();
    }

    async fn provision(&self, pod: &Arc<PodInfo>, node: &str, claims: &[String]) {
        let namespace = pod.pod.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), namespace);
        let patch = serde_json::json!({"metadata": {"annotations": {SELECTED_NODE: node}}});
        for claim in claims {
            if let Err(error) = api.patch(claim, &PatchParams::default(), &Patch::Merge(&patch)).await {
                tracing::warn!(claim, error = %kit::Chain(&error), "failed to choose a claim's node");
            }
        }
    }

    async fn fail(&self, pod: &Arc<PodInfo>, message: String, preemption: Option<Preemption>) {
        let about = reference(pod.pod.as_ref());
        self.events.note(about, "Warning", "FailedScheduling", message.clone(), Some("Scheduling"));
        let node = preemption.as_ref().map(|p| p.node.clone());
        if let Some(preemption) = &preemption {
            for victim in &preemption.victims {
                self.evict(pod, victim, &preemption.node).await;
            }
        }
        self.tell(pod, "Unschedulable", &message, node).await;
    }

    async fn evict(&self, pod: &PodInfo, victim: &PodInfo, node: &str) {
        let api = self.pods(victim);
        let name = victim.pod.metadata.name.as_deref().unwrap_or_default();
        let text = format!("{}: preempting to accommodate a higher priority pod", self.name);
        let condition = condition("DisruptionTarget", "True", "PreemptionByScheduler", &text);
        self.patch_condition(victim, &condition, None).await;
        let uid = Some(victim.uid.clone());
        let params =
            DeleteParams::default().preconditions(kube::api::Preconditions { uid, resource_version: None });
        match api.delete(name, &params).await {
            Ok(_) => {
                let text = format!("Preempted by pod {} on node {node}", pod.uid);
                self.events.note(
                    reference(victim.pod.as_ref()),
                    "Normal",
                    "Preempted",
                    text,
                    Some("Preempting"),
                );
            }
            Err(error) => {
                tracing::warn!(victim = victim.name(), error = %kit::Chain(&error), "failed to preempt")
            }
        }
    }

    async fn tell(&self, pod: &PodInfo, reason: &str, message: &str, nominated: Option<String>) {
        let condition = condition("PodScheduled", "False", reason, message);
        self.patch_condition(pod, &condition, nominated).await;
    }

    async fn patch_condition(&self, pod: &PodInfo, condition: &PodCondition, nominated: Option<String>) {
        let status = pod.pod.status.clone().unwrap_or_default();
        let mut conditions = status.conditions.unwrap_or_default();
        let mut condition = condition.clone();
        if let Some(known) = conditions.iter().find(|c| c.type_ == condition.type_) {
            let same = known.status == condition.status;
            if same
                && known.reason == condition.reason
                && known.message == condition.message
                && nominated.is_none()
            {
                return;
            }
            if same {
                condition.last_transition_time = known.last_transition_time.clone();
            }
        }
        conditions.retain(|c| c.type_ != condition.type_);
        conditions.push(condition);
        let mut status = serde_json::json!({"conditions": conditions});
        if let Some(node) = nominated {
            status["nominatedNodeName"] = node.into();
        }
        let patch = serde_json::json!({"metadata": {"uid": pod.uid}, "status": status});
        let name = pod.pod.metadata.name.as_deref().unwrap_or_default();
        match self.pods(pod).patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => {
                tracing::warn!(pod = pod.name(), error = %kit::Chain(&error), "failed to write a pod's condition");
            }
        }
    }
}

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> PodCondition {
    PodCondition {
        type_: kind.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        last_transition_time: Some(Time(jiff::Timestamp::now())),
        ..Default::default()
    }
}
