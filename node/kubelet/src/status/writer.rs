//! Sends a pod's status when it changed, and deletes the pod when all of it is gone.
//!
//! One task per pod, beside the worker: a slow API server delays what is told, not what is done.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::{DeleteParams, Patch, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// What the API is to know.
#[derive(Clone, Default)]
struct Wanted {
    status: Option<Arc<PodStatus>>,
    /// Nothing of the pod is left here: a pod that is to go may go.
    finished: bool,
}

/// Tells the API of one pod.
pub struct Writer {
    wanted: watch::Sender<Wanted>,
}

impl Writer {
    /// Starts the task. `known` is the status the API has.
    pub fn start(client: Client, pod: &Pod, tasks: &kit::Tasks) -> Self {
        let (wanted, changes) = watch::channel(Wanted::default());
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let task = Task {
            api: Api::namespaced(client, &namespace),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            told: pod.status.as_ref().map(value).unwrap_or_default(),
        };
        tasks.spawn("pod status", task.run(changes));
        Self { wanted }
    }

    /// From now on this is the status.
    pub fn set(&self, status: Arc<PodStatus>) {
        self.wanted.send_modify(|wanted| wanted.status = Some(status));
    }

    /// All containers and volumes are gone: after the last status the object is deleted.
    pub fn finish(&self) {
        self.wanted.send_modify(|wanted| wanted.finished = true);
    }
}

fn value(status: &PodStatus) -> Value {
    serde_json::to_value(status).unwrap_or_default()
}

struct Task {
    api: Api<Pod>,
    name: String,
    uid: String,
    told: Value,
}

enum Sent {
    Done,
    Gone,
    Retry,
}

impl Task {
    async fn run(mut self, mut changes: watch::Receiver<Wanted>) {
        let mut wait = RETRY_FIRST;
        loop {
            let wanted = changes.borrow_and_update().clone();
            let mut sent = match &wanted.status {
                Some(status) => self.send(status).await,
                None => Sent::Done,
            };
            if matches!(sent, Sent::Done) && wanted.finished {
                sent = match self.delete().await {
                    Sent::Done => return,
                    other => other,
                };
            }
            match sent {
                Sent::Gone => return,
                Sent::Done => {
                    wait = RETRY_FIRST;
                    if changes.changed().await.is_err() {
                        return;
                    }
                }
                Sent::Retry => {
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        changed = changes.changed() => if changed.is_err() { return },
                    }
                    wait = (wait * 2).min(RETRY_MAX);
                }
            }
        }
    }

    async fn send(&mut self, status: &PodStatus) -> Sent {
        let new = value(status);
        let Some(change) = difference(&self.told, &new) else { return Sent::Done };
        let body = json!({"metadata": {"uid": self.uid}, "status": change});
        let answer =
            self.api.patch_status(&self.name, &crate::client::patch(), &Patch::Strategic(body)).await;
        match answer {
            Ok(_) => {
                self.told = new;
                Sent::Done
            }
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {
                // 409: the name belongs to another pod by now.
                tracing::debug!(pod = self.name, code = status.code, "the pod is gone from the API");
                if status.code == 404 { Sent::Gone } else { Sent::Retry }
            }
            Err(error) => {
                tracing::warn!(pod = self.name, error = %kit::Chain(&error), "failed to send a pod's status");
                Sent::Retry
            }
        }
    }

    async fn delete(&self) -> Sent {
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions { uid: Some(self.uid.clone()), ..Preconditions::default() }),
            ..DeleteParams::default()
        };
        match self.api.delete(&self.name, &params).await {
            Ok(_) => Sent::Done,
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Sent::Done,
            Err(error) => {
                tracing::warn!(pod = self.name, error = %kit::Chain(&error), "failed to delete a pod that ended");
                Sent::Retry
            }
        }
    }
}

/// The strategic merge patch from what was told to what is, or `None`.
fn difference(old: &Value, new: &Value) -> Option<Value> {
    let empty = serde_json::Map::new();
    let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
    let mut change = serde_json::Map::new();
    for (key, value) in new {
        let before = old.get(key);
        if before == Some(value) {
            continue;
        }
        let value = match (key.as_str(), before) {
            // Conditions of others in the old list are not ours to touch.
            ("conditions", Some(before)) => match changed_items(before, value) {
                Some(items) => items,
                None => continue,
            },
            ("podIPs" | "hostIPs", Some(before)) => with_deletions(before, value),
            _ => value.clone(),
        };
        change.insert(key.clone(), value);
    }
    for key in ["reason", "message", "podIP", "podIPs"] {
        if old.contains_key(key) && !new.contains_key(key) {
            change.insert(key.to_owned(), Value::Null);
        }
    }
    (!change.is_empty()).then_some(Value::Object(change))
}

fn changed_items(old: &Value, new: &Value) -> Option<Value> {
    let old = old.as_array().map(Vec::as_slice).unwrap_or_default();
    let items: Vec<Value> = new
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
        .filter(|item| !old.contains(item))
        .map(|item| {
            let before = old.iter().find(|one| one["type"] == item["type"]);
            let mut item = item.clone();
            for key in ["reason", "message"] {
                if before.is_some_and(|before| before.get(key).is_some()) && item.get(key).is_none() {
                    item[key] = Value::Null;
                }
            }
            item
        })
        .collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

/// Lists merged by `ip` keep what is not deleted by name.
fn with_deletions(old: &Value, new: &Value) -> Value {
    let (old, mut items) =
        (old.as_array().cloned().unwrap_or_default(), new.as_array().cloned().unwrap_or_default());
    for gone in old.iter().filter(|one| !items.contains(one)).cloned().collect::<Vec<_>>() {
        items.push(json!({"$patch": "delete", "ip": gone["ip"]}));
    }
    Value::Array(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_sent() {
        let ready = |status: &str| json!({"type": "Ready", "status": status});
        let gate = json!({"type": "example.com/gate", "status": "True"});
        let old = json!({"phase": "Pending", "message": "x", "podIPs": [{"ip": "10.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "False", "reason": "R"}, gate]});
        let new = json!({"phase": "Running", "podIPs": [{"ip": "10.0.0.2"}], "conditions": [ready("True")]});
        assert_eq!(difference(&new, &new), None);
        assert_eq!(
            difference(&old, &new),
            Some(json!({"phase": "Running", "message": null,
                "podIPs": [{"ip": "10.0.0.2"}, {"$patch": "delete", "ip": "10.0.0.1"}],
                "conditions": [{"type": "Ready", "status": "True", "reason": null}]}))
        );
        let same = json!({"phase": "Pending", "message": "x", "podIPs": [{"ip": "10.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "False", "reason": "R"}]});
        assert_eq!(difference(&old, &same), None, "conditions of others are left alone");
    }
}
