//! A Kubernetes API in memory, as much as a kubelet needs: objects by path, watches, merge patches.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use kit::http::{Body, full};
use serde_json::{Value, json};
use tokio::sync::watch;

struct Change {
    revision: u64,
    kind: &'static str,
    collection: String,
    object: Value,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<(String, String, String), Value>,
    changes: Vec<Change>,
    requests: Vec<String>,
}

/// The API.
#[derive(Clone)]
pub struct Api {
    state: Arc<parking_lot::Mutex<State>>,
    revision: watch::Sender<u64>,
}

struct Path {
    collection: String,
    namespace: String,
    name: Option<String>,
    sub: Option<String>,
}

fn parse(path: &str) -> Option<Path> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => ((*namespace).to_owned(), rest),
        rest => (String::new(), rest),
    };
    let at = |index: usize| rest.get(index).map(|part| (*part).to_owned());
    Some(Path { collection: at(0)?, namespace, name: at(1), sub: at(2) })
}

fn merge(target: &mut Value, patch: &Value) {
    let Some(patch) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Some(map) = target.as_object_mut() else { return };
    for (key, value) in patch {
        match (value, map.get_mut(key)) {
            (Value::Null, _) => {
                map.remove(key);
            }
            (Value::Array(items), Some(Value::Array(old))) if key == "conditions" => {
                for item in items {
                    match old.iter_mut().find(|one| one["type"] == item["type"]) {
                        Some(one) => merge(one, item),
                        None => old.push(item.clone()),
                    }
                }
            }
            (value, Some(old)) => merge(old, value),
            (value, None) => {
                let mut fresh = Value::Null;
                merge(&mut fresh, value);
                map.insert(key.clone(), fresh);
            }
        }
    }
}

fn selected(query: &str, object: &Value) -> bool {
    let selector = url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "fieldSelector")
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    selector.split(',').filter(|one| !one.is_empty()).all(|one| {
        let (path, wanted) = one.split_once('=').unwrap_or((one, ""));
        let found = path.split('.').fold(object, |value, part| &value[part]);
        found.as_str().unwrap_or_default() == wanted
    })
}

fn answer(status: StatusCode, value: &Value) -> Response<Body> {
    kit::http::json(status, value)
}

fn refusal(code: u16, reason: &str) -> Response<Body> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
        "message": reason, "code": code});
    answer(StatusCode::from_u16(code).unwrap(), &status)
}

impl Api {
    pub fn new() -> Self {
        Self { state: Arc::default(), revision: watch::Sender::new(1) }
    }

    pub fn client(&self) -> kube::Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let api = api.clone();
            async move { Ok::<_, Infallible>(api.call(request).await) }
        });
        kube::Client::new(service, "default")
    }

    fn note(&self, state: &mut State, kind: &'static str, collection: &str, mut object: Value) -> Value {
        let revision = *self.revision.borrow() + 1;
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
        state.changes.push(Change {
            revision,
            kind,
            collection: collection.to_owned(),
            object: object.clone(),
        });
        self.revision.send_replace(revision);
        object
    }

    /// Makes or replaces an object.
    pub fn put(&self, collection: &str, mut object: Value) -> Value {
        let mut state = self.state.lock();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(uuid::Uuid::new_v4().to_string());
        }
        let key = (
            collection.to_owned(),
            text(&object["metadata"]["namespace"]),
            text(&object["metadata"]["name"]),
        );
        let kind = if state.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        let object = self.note(&mut state, kind, collection, object);
        state.objects.insert(key, object.clone());
        object
    }

    pub fn get(&self, collection: &str, namespace: &str, name: &str) -> Option<Value> {
        let key = (collection.to_owned(), namespace.to_owned(), name.to_owned());
        self.state.lock().objects.get(&key).cloned()
    }

    pub fn patch(&self, collection: &str, namespace: &str, name: &str, patch: &Value) -> Option<Value> {
        let mut object = self.get(collection, namespace, name)?;
        let before = object.clone();
        merge(&mut object, patch);
        if object == before {
            return Some(object);
        }
        Some(self.put(collection, object))
    }

    pub fn remove(&self, collection: &str, namespace: &str, name: &str) -> Option<Value> {
        let mut state = self.state.lock();
        let key = (collection.to_owned(), namespace.to_owned(), name.to_owned());
        let object = state.objects.remove(&key)?;
        Some(self.note(&mut state, "DELETED", collection, object))
    }

    /// As `kubectl delete` does for a pod: the kubelet has to finish it.
    pub fn delete_pod(&self, name: &str, grace_s: i64) {
        let patch = json!({"metadata": {"deletionTimestamp": jiff::Timestamp::now().to_string(),
            "deletionGracePeriodSeconds": grace_s}});
        self.patch("pods", "default", name, &patch).expect("the pod is there");
    }

    /// The events about an object, as `reason: message`.
    pub fn events(&self, name: &str) -> Vec<String> {
        let state = self.state.lock();
        let events = state.objects.iter().filter(|((collection, _, _), _)| collection == "events");
        let mut found: Vec<(String, String)> = events
            .filter(|(_, event)| event["involvedObject"]["name"] == name)
            .map(|(_, event)| {
                let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
                (text("firstTimestamp"), format!("{}: {}", text("reason"), text("message")))
            })
            .collect();
        found.sort();
        found.into_iter().map(|(_, text)| text).collect()
    }

    /// What was asked, as `METHOD path`.
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().requests.clone()
    }

    /// Waits until something holds; tells the last state when it does not.
    pub async fn wait<T>(&self, what: &str, limit: Duration, check: impl Fn(&Self) -> Option<T>) -> T {
        let mut changes = self.revision.subscribe();
        let work = async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = check(self) {
                    return found;
                }
                // Some conditions are about files; they change without the API.
                let _ = tokio::time::timeout(Duration::from_millis(100), changes.changed()).await;
            }
        };
        match tokio::time::timeout(limit, work).await {
            Ok(found) => found,
            Err(_) => {
                let state = self.state.lock();
                let pods: Vec<&Value> = state
                    .objects
                    .iter()
                    .filter(|((kind, _, _), _)| kind == "pods")
                    .map(|(_, pod)| &pod["status"])
                    .collect();
                let events: Vec<String> = state
                    .objects
                    .iter()
                    .filter(|((kind, _, _), _)| kind == "events")
                    .map(|(_, event)| {
                        format!(
                            "{} {}: {}",
                            event["involvedObject"]["name"], event["reason"], event["message"]
                        )
                    })
                    .collect();
                panic!("waited in vain for {what}\npods: {pods:#?}\nevents: {events:#?}");
            }
        }
    }

    async fn call(&self, request: Request<kube::client::Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        self.state.lock().requests.push(format!("{} {}", parts.method, parts.uri.path()));
        let Some(path) = parse(parts.uri.path()) else { return refusal(404, "NotFound") };
        let body = body.collect().await.map(|all| all.to_bytes()).unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        match (&parts.method, &path.name) {
            (&Method::GET, None) if query.contains("watch=") => self.watch(&path, &query),
            (&Method::GET, None) => self.list(&path, &query),
            (&Method::GET, Some(name)) => match self.get(&path.collection, &path.namespace, name) {
                Some(object) => answer(StatusCode::OK, &object),
                None => refusal(404, "NotFound"),
            },
            (&Method::POST, Some(_)) if path.sub.as_deref() == Some("token") => {
                let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
                answer(
                    StatusCode::CREATED,
                    &json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
                    "metadata": {}, "spec": body["spec"],
                    "status": {"token": "the-token", "expirationTimestamp": expires.to_string()}}),
                )
            }
            (&Method::POST, _) => {
                let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                if self.get(&path.collection, &path.namespace, &name).is_some() {
                    return refusal(409, "AlreadyExists");
                }
                answer(StatusCode::CREATED, &self.put(&path.collection, body))
            }
            (&Method::PATCH, Some(name)) => {
                match self.patch(&path.collection, &path.namespace, name, &body) {
                    Some(object) => answer(StatusCode::OK, &object),
                    None => refusal(404, "NotFound"),
                }
            }
            (&Method::DELETE, Some(name)) => match self.remove(&path.collection, &path.namespace, name) {
                Some(object) => answer(StatusCode::OK, &object),
                None => refusal(404, "NotFound"),
            },
            _ => refusal(405, "MethodNotAllowed"),
        }
    }

    fn list(&self, path: &Path, query: &str) -> Response<Body> {
        let state = self.state.lock();
        let of = |key: &(String, String, String)| {
            key.0 == path.collection && (path.namespace.is_empty() || key.1 == path.namespace)
        };
        let items: Vec<&Value> = state
            .objects
            .iter()
            .filter(|(key, object)| of(key) && selected(query, object))
            .map(|(_, object)| object)
            .collect();
        let revision = self.revision.borrow().to_string();
        answer(
            StatusCode::OK,
            &json!({"kind": "List", "apiVersion": "v1",
            "metadata": {"resourceVersion": revision}, "items": items}),
        )
    }

    fn watch(&self, path: &Path, query: &str) -> Response<Body> {
        let from: u64 = url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == "resourceVersion")
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(0);
        let (collection, namespace, query) =
            (path.collection.clone(), path.namespace.clone(), query.to_owned());
        let (api, changes) = (self.clone(), self.revision.subscribe());
        let lines = futures::stream::unfold((api, changes, from), move |(api, mut changes, seen)| {
            let (collection, namespace, query) = (collection.clone(), namespace.clone(), query.clone());
            async move {
                loop {
                    changes.borrow_and_update();
                    let (mut out, mut last) = (Vec::new(), seen);
                    for change in api.state.lock().changes.iter().filter(|change| change.revision > seen) {
                        last = change.revision;
                        let here = namespace.is_empty()
                            || change.object["metadata"]["namespace"] == namespace.as_str();
                        if change.collection == collection && here && selected(&query, &change.object) {
                            out.extend(
                                json!({"type": change.kind, "object": change.object})
                                    .to_string()
                                    .into_bytes(),
                            );
                            out.push(b'\n');
                        }
                    }
                    if last > seen && !out.is_empty() {
                        let frame = http_body::Frame::data(Bytes::from(out));
                        return Some((Ok::<_, Infallible>(frame), (api, changes, last)));
                    }
                    if changes.changed().await.is_err() {
                        return None;
                    }
                }
            }
        });
        let mut response = Response::new(kit::http::boxed(http_body_util::StreamBody::new(lines)));
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
        let _ = full("");
        response
    }
}

impl Api {
    /// Waits until an asynchronous question is answered with yes.
    pub async fn wait_for_text<F: Future<Output = bool>>(&self, what: &str, ask: impl Fn() -> F) {
        let work = async {
            while !ask().await {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), work)
            .await
            .unwrap_or_else(|_| panic!("waited in vain for {what}"));
    }
}
