//! Events: what loops tell people about objects. Best effort, never in anybody's way.

use std::collections::{HashMap, VecDeque};

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, Time};
use kube::api::{Api, Patch, PatchParams, PostParams};
use tokio::sync::mpsc;

/// Events that wait to be written; more are dropped.
const BUFFER: usize = 4096;
/// Events remembered so that a repetition counts up instead of adding another.
const REMEMBERED: usize = 4096;

struct Note {
    about: ObjectReference,
    kind: &'static str,
    reason: String,
    message: String,
    action: Option<&'static str>,
}

/// Writes events as one component. Clones share the buffer.
#[derive(Clone)]
pub struct Recorder {
    notes: mpsc::Sender<Note>,
}

impl Recorder {
    /// A recorder for `component`, writing through `client` until `tasks` ends.
    pub fn new(client: kube::Client, component: &'static str, tasks: &kit::Tasks) -> Self {
        let (notes, rx) = mpsc::channel(BUFFER);
        tasks.spawn("events", write(client, component, rx));
        Self { notes }
    }

    /// Something went as it should.
    pub fn normal(&self, about: ObjectReference, reason: &str, message: impl Into<String>) {
        self.note(about, "Normal", reason, message.into(), None);
    }

    /// Something did not go as it should.
    pub fn warning(&self, about: ObjectReference, reason: &str, message: impl Into<String>) {
        self.note(about, "Warning", reason, message.into(), None);
    }

    /// As [`normal`](Self::normal) or [`warning`](Self::warning), with the action that was tried.
    pub fn note(
        &self,
        about: ObjectReference,
        kind: &'static str,
        reason: &str,
        message: String,
        action: Option<&'static str>,
    ) {
        let note = Note { about, kind, reason: reason.to_owned(), message, action };
        if self.notes.try_send(note).is_err() {
            tracing::debug!("too many events, one is dropped");
        }
    }
}

#[derive(Hash, PartialEq, Eq, Clone)]
struct Same(String, String, String);

async fn write(client: kube::Client, component: &'static str, mut notes: mpsc::Receiver<Note>) {
    let mut known: HashMap<Same, (String, i32)> = HashMap::new();
    let mut order: VecDeque<Same> = VecDeque::new();
    let mut serial = 0_u64;
    while let Some(note) = notes.recv().await {
        let namespace = note.about.namespace.clone().unwrap_or_else(|| "default".into());
        let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
        let subject = note.about.uid.clone().or_else(|| note.about.name.clone()).unwrap_or_default();
        let same = Same(subject, note.reason.clone(), note.message.clone());
        if let Some((name, count)) = known.get_mut(&same) {
            *count += 1;
            let patch = serde_json::json!({"count": *count, "lastTimestamp": Time(now())});
            match api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
                Ok(_) => continue,
                Err(error) => tracing::debug!(%error, "failed to count an event up"),
            }
        }
        serial += 1;
        let event = event(&note, component, &namespace, serial);
        let name = event.metadata.name.clone().unwrap_or_default();
        match api.create(&PostParams::default(), &event).await {
            Ok(_) => {
                if known.insert(same.clone(), (name, 1)).is_none() {
                    order.push_back(same);
                }
                if order.len() > REMEMBERED
                    && let Some(oldest) = order.pop_front()
                {
                    known.remove(&oldest);
                }
            }
            Err(error) => tracing::debug!(%error, "failed to write an event"),
        }
    }
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

fn event(note: &Note, component: &'static str, namespace: &str, serial: u64) -> Event {
    let at = now();
    let nanos = at.as_nanosecond() as u64;
    let subject = note.about.name.clone().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            name: Some(format!("{subject}.{:016x}", nanos.wrapping_add(serial))),
            namespace: Some(namespace.to_owned()),
            ..Default::default()
        },
        involved_object: note.about.clone(),
        type_: Some(note.kind.to_owned()),
        reason: Some(note.reason.clone()),
        message: Some(note.message.chars().take(1024).collect()),
        source: Some(EventSource { component: Some(component.to_owned()), host: None }),
        reporting_component: Some(component.to_owned()),
        // One that says what was tried is asked which of us tried it; there is one of each.
        reporting_instance: Some(note.action.map_or_else(String::new, |_| component.to_owned())),
        action: note.action.map(str::to_owned),
        event_time: note.action.map(|_| MicroTime(at)),
        first_timestamp: Some(Time(at)),
        last_timestamp: Some(Time(at)),
        count: Some(1),
        ..Default::default()
    }
}
