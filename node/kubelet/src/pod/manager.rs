//! Watches the node's pods and keeps a worker for each; takes away what belongs to no pod.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::{Notify, watch};

use super::cgroup;
use super::worker::Worker;
use crate::labels;
use crate::runtime::ContainerState;
use crate::shared::{Desired, Handle, Shared};

/// How long to wait before connecting to the runtime's events again.
const EVENTS_RETRY: Duration = Duration::from_secs(1);
/// How long a worker that failed waits before it begins anew.
const WORKER_PAUSE: Duration = Duration::from_secs(5);
/// How often to look for what belongs to no pod; what is seen twice is removed.
const TIDY: Duration = Duration::from_secs(60);
/// How long CRI may need to notice what the event already said.
const SETTLE_MS: [u64; 8] = [5, 10, 20, 50, 100, 200, 500, 2000];
const SANDBOX_SETTLE_MS: u64 = 100;

/// Starts the watches of pods and of the runtime.
pub fn start(shared: &Arc<Shared>) {
    let pods = shared.clone();
    shared.tasks.spawn("pods", async move { watch_pods(pods).await });
    let events = shared.clone();
    shared.tasks.spawn("runtime events", async move { watch_runtime(events).await });
}

async fn watch_pods(shared: Arc<Shared>) {
    let api: Api<Pod> = Api::all(shared.config.client.clone());
    let fields = format!("spec.nodeName={}", shared.config.node_name);
    let mut events =
        watcher(api, watcher::Config::default().fields(&fields)).backoff(crate::client::watches()).boxed();
    let mut listed: Option<Vec<Pod>> = None;
    let mut first = true;
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed = Some(Vec::new()),
            Ok(watcher::Event::InitApply(pod)) => listed.get_or_insert_default().push(pod),
            Ok(watcher::Event::InitDone) => {
                let list = listed.take().unwrap_or_default();
                let known: BTreeSet<String> =
                    list.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
                list.into_iter().for_each(|pod| apply(&shared, pod));
                let lost: Vec<Handle> = {
                    let pods = shared.pods.read();
                    pods.iter()
                        .filter(|(uid, _)| !known.contains(*uid))
                        .map(|(_, handle)| handle.clone())
                        .collect()
                };
                lost.iter().for_each(|handle| handle.desired.send_modify(|desired| desired.gone = true));
                if first {
                    first = false;
                    let shared = shared.clone();
                    shared.tasks.clone().spawn("orphans", async move { keep_tidy(&shared).await });
                }
            }
            Ok(watcher::Event::Apply(pod)) => apply(&shared, pod),
            Ok(watcher::Event::Delete(pod)) => remove(&shared, &pod),
            Err(error) => tracing::warn!(error = %kit::Chain(&error), "the watch of pods broke"),
        }
    }
}

fn apply(shared: &Arc<Shared>, pod: Pod) {
    let Some(uid) = pod.metadata.uid.clone() else { return };
    let pod = Arc::new(pod);
    if let Some(handle) = shared.pods.read().get(&uid) {
        handle.desired.send_modify(|desired| desired.pod = pod);
        return;
    }
    let (desired, changes) = watch::channel(Desired { pod, gone: false });
    let wake = Arc::new(Notify::new());
    shared.pods.write().insert(uid.clone(), Handle { desired, wake: wake.clone() });
    let own = shared.clone();
    shared.tasks.spawn("pod", async move {
        loop {
            let worker = Worker::new(own.clone(), changes.clone(), wake.clone());
            // A bug met by one pod is no reason for others to suffer, nor for this one to be forgotten.
            if AssertUnwindSafe(worker.run()).catch_unwind().await.is_ok() {
                break;
            }
            tracing::error!(uid, "the worker of a pod failed; another takes its place");
            tokio::time::sleep(WORKER_PAUSE).await;
        }
        own.pods.write().remove(&uid);
    });
}

fn remove(shared: &Shared, pod: &Pod) {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    if let Some(handle) = shared.pods.read().get(uid) {
        handle.desired.send_modify(|desired| desired.gone = true);
    }
}

async fn watch_runtime(shared: Arc<Shared>) {
    loop {
        match shared.config.runtime.events().await {
            Ok(mut events) => {
                shared.told.store(true, Ordering::Relaxed);
                // What ended while nobody listened.
                shared.wake_all();
                while let Some(event) = events.next().await {
                    let told = shared.clone();
                    shared.tasks.spawn("container end", async move { tell(&told, &event.id).await });
                }
                tracing::warn!("the runtime's events ended");
            }
            Err(error) => tracing::debug!(%error, "cannot listen to the runtime's events"),
        }
        shared.told.store(false, Ordering::Relaxed);
        shared.wake_all();
        tokio::time::sleep(EVENTS_RETRY).await;
    }
}

/// Wakes the pod whose container or sandbox ended, once CRI shows it: containerd's events overtake its own CRI
/// service, which learns of the same end by the same event.
async fn tell(shared: &Shared, id: &str) {
    for wait_ms in SETTLE_MS {
        let status = shared.config.runtime.container_status(id).await;
        match status {
            Ok(status) if status.state() == ContainerState::ContainerExited => break,
            // Even one that still counts as not started: it ended before its start was done.
            Ok(_) => {}
            // A sandbox shows no such state; its pod looks again when there was time to notice.
            Err(_) if wait_ms >= SANDBOX_SETTLE_MS => break,
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
    }
    let owner = shared.owners.lock().get(id).cloned();
    match owner.and_then(|uid| shared.pods.read().get(&uid).cloned()) {
        Some(handle) => handle.wake.notify_one(),
        None => shared.wake_all(),
    }
}

/// Removes what belongs to no pod: at first what an earlier kubelet left, later what the runtime finished after
/// the kubelet had given up on it.
async fn keep_tidy(shared: &Shared) {
    let mut suspects = None;
    loop {
        suspects = Some(remove_orphans(shared, suspects.as_ref()).await);
        tokio::time::sleep(TIDY).await;
    }
}

/// Removes the `suspects` that still belong to no pod (`None`: all there are); answers who is suspect next time.
async fn remove_orphans(shared: &Shared, suspects: Option<&BTreeSet<String>>) -> BTreeSet<String> {
    let runtime = &*shared.config.runtime;
    let uid_of = |labels: &std::collections::HashMap<String, String>| labels.get(labels::POD_UID).cloned();
    let Ok(sandboxes) = runtime.list_sandboxes(None).await else { return BTreeSet::new() };
    let containers = runtime.list_containers(None).await.unwrap_or_default();
    let mut gone: BTreeSet<String> = shared.volumes.pods_on_disk().into_iter().collect();
    gone.extend(sandboxes.iter().filter_map(|sandbox| uid_of(&sandbox.labels)));
    gone.retain(|uid| !shared.pods.read().contains_key(uid));
    for uid in gone.iter().filter(|uid| suspects.is_none_or(|suspects| suspects.contains(*uid))) {
        tracing::info!(uid, "removing what is left of a pod that is gone");
        let own = containers.iter().filter(|one| uid_of(&one.labels).as_ref() == Some(uid));
        for container in own.filter(|one| one.state() == ContainerState::ContainerRunning) {
            let grace = container.annotations.get(labels::GRACE_PERIOD).and_then(|text| text.parse().ok());
            let _ = runtime.stop_container(&container.id, grace.unwrap_or(30)).await;
        }
        for sandbox in sandboxes.iter().filter(|one| uid_of(&one.labels).as_ref() == Some(uid)) {
            let stopped = runtime.stop_sandbox(&sandbox.id).await;
            let removed = runtime.remove_sandbox(&sandbox.id).await;
            if let Err(error) = stopped.and(removed) {
                tracing::warn!(uid, %error, "cannot remove a sandbox of a pod that is gone");
            }
        }
        if let Err(message) = shared.volumes.tear_down(uid).await {
            tracing::warn!(uid, message, "cannot remove the volumes of a pod that is gone");
        }
        if let Some(root) = &shared.config.cgroup_root {
            cgroup::remove(root, uid);
        }
    }
    gone
}
