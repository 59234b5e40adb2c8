//! Puts back what belongs to the cloud when somebody edits or deletes it, as AKS does with objects labelled
//! `kubernetes.azure.com/managedby: aks`.
//!
//! One watch per kind, of the metadata of labelled objects only. Guarantees: a change is answered at once; an
//! own write, and a change of nothing but the status, is answered with silence, so nothing runs in circles.
//! Does not: remove what others add to an object in fields that the cloud does not set.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kit::Tasks;
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, PartialObjectMeta};
use kube::runtime::{WatchStreamExt, watcher};

use super::{Key, Owned, RETRY_FIRST, RETRY_LAST};

const LABEL: (&str, &str) = ("kubernetes.azure.com/managedby", "aks");
/// Between two answers of one kind: who edits in a loop does not keep the service busy.
const PAUSE: Duration = Duration::from_millis(100);

/// By what a change is told from an own write: everything but the status where the kind counts generations,
/// else the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    uid: Option<String>,
    generation: Option<i64>,
    version: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl Mark {
    pub(super) fn of(metadata: &ObjectMeta) -> Self {
        Self {
            uid: metadata.uid.clone(),
            generation: metadata.generation,
            version: metadata.resource_version.clone().filter(|_| metadata.generation.is_none()),
            labels: metadata.labels.clone(),
            annotations: metadata.annotations.clone(),
        }
    }
}

/// Watches over the labelled ones of `objects`; `marks` says how each was left.
pub(super) fn start(
    client: &kube::Client,
    cluster: &str,
    objects: Vec<Owned>,
    marks: &HashMap<(ApiResource, Key), Mark>,
    tasks: &Tasks,
) {
    let mut kinds: HashMap<ApiResource, Guard> = HashMap::new();
    for one in objects.into_iter().filter(is_labelled) {
        let guard = kinds.entry(one.resource.clone()).or_insert_with(|| Guard {
            client: client.clone(),
            cluster: cluster.to_owned(),
            owned: BTreeMap::new(),
            marks: HashMap::new(),
        });
        if let Some(mark) = marks.get(&(one.resource.clone(), one.key.clone())) {
            guard.marks.insert(one.key.clone(), mark.clone());
        }
        guard.owned.insert(one.key.clone(), one);
    }
    for (resource, guard) in kinds {
        tasks.spawn("add-ons' guard", guard.run(resource));
    }
}

fn is_labelled(one: &Owned) -> bool {
    one.object["metadata"]["labels"][LABEL.0] == LABEL.1
}

/// The objects of one kind.
struct Guard {
    client: kube::Client,
    cluster: String,
    owned: BTreeMap<Key, Owned>,
    marks: HashMap<Key, Mark>,
}

type Metadata = PartialObjectMeta<DynamicObject>;

fn key(object: &Metadata) -> Key {
    let metadata = &object.metadata;
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

impl Guard {
    async fn run(mut self, resource: ApiResource) {
        let api: Api<Metadata> = Api::all_with(self.client.clone(), &resource);
        let config = watcher::Config::default().labels(&format!("{}={}", LABEL.0, LABEL.1));
        let mut events = pin!(watcher(api, config).default_backoff());
        let mut missing = BTreeSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(watcher::Event::Init) => missing = self.owned.keys().cloned().collect(),
                Ok(watcher::Event::InitApply(object)) => {
                    missing.remove(&key(&object));
                    self.look(&object).await;
                }
                Ok(watcher::Event::Apply(object)) => self.look(&object).await,
                // Gone, or without its label.
                Ok(watcher::Event::Delete(object)) => self.put_back(&key(&object), None).await,
                Ok(watcher::Event::InitDone) => {
                    for key in std::mem::take(&mut missing) {
                        self.put_back(&key, None).await;
                    }
                }
                Err(error) => tracing::debug!(error = %kit::Chain(&error), "a watch of add-ons broke"),
            }
        }
    }

    async fn look(&mut self, object: &Metadata) {
        let (key, mark) = (key(object), Mark::of(&object.metadata));
        if self.marks.get(&key) != Some(&mark) {
            self.put_back(&key, Some(&mark)).await;
        }
    }

    /// Applies until it succeeds. `found` is how the object looked.
    async fn put_back(&mut self, key: &Key, found: Option<&Mark>) {
        let Some(one) = self.owned.get(key) else { return };
        let mut pause = RETRY_FIRST;
        let mark = loop {
            match one.apply(&self.client).await {
                Ok(mark) => break mark,
                Err(error) => {
                    let error = kit::Chain(&error);
                    tracing::warn!(cluster = %self.cluster, name = %key.1, %error, "an add-on cannot be put back yet");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_LAST);
        };
        let changed = found != Some(&mark);
        self.marks.insert(key.clone(), mark);
        if changed {
            let kind = &one.resource.kind;
            tracing::info!(cluster = %self.cluster, %kind, name = %key.1, "an add-on was changed and is put back");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
