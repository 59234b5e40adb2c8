//! Events: what happened to a pod or the node, for people to read. Told again and again, one counts up.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::Patch;
use kube::{Api, Client};
use tokio::sync::mpsc;

/// Events that wait to be sent; more are dropped, events are no ledger.
const QUEUE_MAX: usize = 1024;
/// Events remembered so that a repetition counts up.
const REMEMBERED_MAX: usize = 2048;

/// How bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// As it should be.
    Normal,
    /// Not as it should be.
    Warning,
}

struct Told {
    about: ObjectReference,
    level: Level,
    reason: &'static str,
    message: String,
}

/// Sends events. Never waits.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Told>,
    node_name: Arc<str>,
}

impl Recorder {
    /// Starts the task that sends.
    pub fn start(client: Client, node_name: &str, clock: Arc<dyn kit::Clock>, tasks: &kit::Tasks) -> Self {
        let (queue, mut waiting) = mpsc::channel::<Told>(QUEUE_MAX);
        let host = node_name.to_owned();
        tasks.spawn("events", async move {
            let mut sender = Sender { client, host, clock, known: HashMap::new(), order: VecDeque::new() };
            while let Some(told) = waiting.recv().await {
                sender.send(told).await;
            }
        });
        Self { queue, node_name: node_name.into() }
    }

    fn tell(&self, about: ObjectReference, level: Level, reason: &'static str, message: String) {
        tracing::debug!(name = about.name.as_deref(), reason, message, "event");
        let _ = self.queue.try_send(Told { about, level, reason, message });
    }

    /// Something happened to a pod; `field` is `spec.containers{name}` when to one container.
    pub fn pod(
        &self,
        pod: &Pod,
        field: Option<String>,
        level: Level,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        let about = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            field_path: field,
        };
        self.tell(about, level, reason, message.into());
    }

    /// Something happened to the node.
    pub fn node(&self, level: Level, reason: &'static str, message: impl Into<String>) {
        let name = self.node_name.to_string();
        let about = ObjectReference {
            kind: Some("Node".into()),
            api_version: Some("v1".into()),
            uid: Some(name.clone()),
            name: Some(name),
            ..ObjectReference::default()
        };
        self.tell(about, level, reason, message.into());
    }
}

type Key = (Option<String>, Option<String>, Level, &'static str, String);

struct Sender {
    client: Client,
    host: String,
    clock: Arc<dyn kit::Clock>,
    known: HashMap<Key, (String, i32)>,
    order: VecDeque<Key>,
}

impl Sender {
    async fn send(&mut self, told: Told) {
        let namespace = told.about.namespace.clone().unwrap_or_else(|| "default".into());
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let now = Time(self.clock.now());
        let key = (
            told.about.uid.clone(),
            told.about.field_path.clone(),
            told.level,
            told.reason,
            told.message.clone(),
        );
        if let Some((name, count)) = self.known.get_mut(&key) {
            *count += 1;
            let patch = serde_json::json!({"count": *count, "lastTimestamp": now});
            if api.patch(name, &crate::client::patch(), &Patch::Merge(patch)).await.is_ok() {
                return;
            }
            self.known.remove(&key);
        }
        let name = format!(
            "{}.{:x}",
            told.about.name.as_deref().unwrap_or_default(),
            self.clock.now().as_nanosecond()
        );
        let event = Event {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace),
                ..ObjectMeta::default()
            },
            involved_object: told.about,
            reason: Some(told.reason.into()),
            message: Some(told.message),
            type_: Some(if told.level == Level::Normal { "Normal" } else { "Warning" }.into()),
            count: Some(1),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            source: Some(EventSource { component: Some("kubelet".into()), host: Some(self.host.clone()) }),
            reporting_component: Some("kubelet".into()),
            reporting_instance: Some(self.host.clone()),
            ..Event::default()
        };
        match api.create(&crate::client::post(), &event).await {
            Ok(_) => {
                self.known.insert(key.clone(), (name, 1));
                self.order.push_back(key);
                if self.order.len() > REMEMBERED_MAX
                    && let Some(oldest) = self.order.pop_front()
                {
                    self.known.remove(&oldest);
                }
            }
            Err(error) => tracing::debug!(error = %kit::Chain(&error), "failed to send an event"),
        }
    }
}
