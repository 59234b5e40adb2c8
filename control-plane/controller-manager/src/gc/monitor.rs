//! Watches of every deletable kind, feeding the graph; more when more kinds appear.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use informers::Queue;
use kube::api::{Api, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::graph::{Graph, Node, Work};
use crate::discover::{self, Served};

/// Kinds that own nothing, are owned by nothing that matters, and change all the time.
const IGNORED: [(&str, &str); 2] = [("", "events"), ("events.k8s.io", "events")];

/// How long after a change of the kinds the API is asked again, so that a batch of CRDs is one question.
const SETTLE: Duration = Duration::from_millis(500);

/// A watch's own tasks, and whether its first list is complete.
type Running = (kit::Tasks, watch::Receiver<bool>);

/// What the loop and its watches share.
pub(super) struct Shared {
    pub client: kube::Client,
    pub graph: Mutex<Graph>,
    pub delete: Queue<String>,
    pub orphan: Queue<String>,
    pub kinds: Mutex<HashMap<(String, String), Served>>,
    pub kinds_changed: Notify,
    tasks: kit::Tasks,
    running: Mutex<HashMap<(String, String), Running>>,
}

impl Shared {
    pub fn new(client: kube::Client, tasks: kit::Tasks) -> Self {
        Self {
            client,
            graph: Mutex::default(),
            delete: Queue::new(),
            orphan: Queue::new(),
            kinds: Mutex::default(),
            kinds_changed: Notify::new(),
            tasks,
            running: Mutex::default(),
        }
    }

    /// Passes work on to the queues.
    pub fn assign(&self, work: Work) {
        work.delete.into_iter().for_each(|uid| self.delete.add(uid));
        work.orphan.into_iter().for_each(|uid| self.orphan.add(uid));
    }

    /// The served kind that a reference's `apiVersion` and `kind` mean.
    pub fn kind(&self, api_version: &str, kind: &str) -> Option<Served> {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        self.kinds.lock().get(&(group.to_owned(), kind.to_owned())).cloned()
    }

    /// Ends when all watches that run now have shown their first list, or after a while: a kind whose
    /// watch does not work must not stop the rest.
    pub async fn synced(&self) {
        let waiting: Vec<_> = self.running.lock().values().map(|(_, synced)| synced.clone()).collect();
        let all = async {
            for mut synced in waiting {
                let _gone = synced.wait_for(|done| *done).await;
            }
        };
        let _late = tokio::time::timeout(Duration::from_secs(30), all).await;
    }

    fn follow(self: &Arc<Self>, served: &[Served]) {
        let mut running = self.running.lock();
        let mut wanted = HashSet::new();
        for kind in served.iter().filter(|s| s.can(&["delete", "list", "watch"])) {
            let name = (kind.resource.group.clone(), kind.resource.plural.clone());
            if IGNORED.iter().any(|(group, plural)| *group == name.0 && *plural == name.1) {
                continue;
            }
            wanted.insert(name.clone());
            running.entry(name).or_insert_with(|| {
                let (tell, synced) = watch::channel(false);
                let tasks = self.tasks.child();
                tasks.spawn("gc-watch", self.clone().watch(kind.clone(), tell));
                (tasks, synced)
            });
        }
        running.retain(|name, (tasks, _)| {
            let keep = wanted.contains(name);
            if !keep {
                tasks.stop();
            }
            keep
        });
    }

    async fn watch(self: Arc<Self>, kind: Served, synced: watch::Sender<bool>) {
        let r = &kind.resource;
        let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(self.client.clone(), r);
        let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
        let mut present = HashSet::new();
        let is_crd = r.plural == "customresourcedefinitions" || r.plural == "apiservices";
        loop {
            let event = match events.try_next().await {
                Ok(Some(event)) => event,
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(kind = r.kind, error = %kit::Chain(&error), "watch broke, trying again");
                    continue;
                }
            };
            if is_crd && matches!(event, watcher::Event::Apply(_) | watcher::Event::Delete(_)) {
                self.kinds_changed.notify_one();
            }
            let work = match event {
                watcher::Event::Init => {
                    present.clear();
                    Work::default()
                }
                watcher::Event::InitApply(object) => {
                    present.extend(object.metadata.uid.clone());
                    self.upsert(&kind, &object)
                }
                watcher::Event::Apply(object) => self.upsert(&kind, &object),
                watcher::Event::Delete(object) => {
                    self.graph.lock().remove(object.metadata.uid.as_deref().unwrap_or_default())
                }
                watcher::Event::InitDone => {
                    let work = self.graph.lock().relisted(&r.api_version, &r.kind, &present);
                    present = HashSet::new();
                    synced.send_replace(true);
                    work
                }
            };
            self.assign(work);
        }
    }

    fn upsert(&self, kind: &Served, object: &PartialObjectMeta<DynamicObject>) -> Work {
        let Some(uid) = &object.metadata.uid else { return Work::default() };
        let node = Node::of(&kind.resource.api_version, &kind.resource.kind, &object.metadata);
        self.graph.lock().upsert(uid, node)
    }
}

/// Asks which kinds there are, now and after each change of them, and watches them.
pub(super) async fn keep_watching(shared: Arc<Shared>, first: watch::Sender<bool>) {
    let mut wait = Duration::from_millis(100);
    loop {
        match discover::preferred(&shared.client).await {
            Ok((served, _)) => {
                *shared.kinds.lock() = served
                    .iter()
                    .map(|s| ((s.resource.group.clone(), s.resource.kind.clone()), s.clone()))
                    .collect();
                shared.follow(&served);
                first.send_replace(true);
                wait = Duration::from_millis(100);
                shared.kinds_changed.notified().await;
                tokio::time::sleep(SETTLE).await;
            }
            Err(error) => {
                tracing::debug!(error = %kit::Chain(&error), "the API does not say which kinds it serves");
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(30));
            }
        }
    }
}
