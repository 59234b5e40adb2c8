//! Which container of which pod on which node is meant.

use std::sync::Arc;

use serde_json::Value;

use super::Streaming;
use crate::attributes::{ApiError, items, text};

/// The annotation by which a pod says which of its containers is meant when none is named.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
const LISTS: [&str; 3] = ["/spec/containers", "/spec/initContainers", "/spec/ephemeralContainers"];

/// The named parameters of a query.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(query: Option<&str>) -> Self {
        Self(url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// As upstream reads booleans in queries: present, and neither `false` nor `0`.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value, "false" | "0"))
    }
}

fn names(pod: &Value, list: &str) -> Vec<String> {
    items(pod, list).iter().map(|container| text(container, "/name").to_owned()).collect()
}

/// The container that is meant, or upstream's 400.
pub(super) fn container(pod: &Value, asked: Option<&str>) -> Result<String, ApiError> {
    let pod_name = text(pod, "/metadata/name");
    if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
        if LISTS.iter().any(|list| names(pod, list).iter().any(|name| name == asked)) {
            return Ok(asked.to_owned());
        }
        return Err(ApiError::bad_request(format!("container {asked} is not valid for pod {pod_name}")));
    }
    let [containers, init, ephemeral] = LISTS.map(|list| names(pod, list));
    if let [only] = containers.as_slice()
        && init.is_empty()
        && ephemeral.is_empty()
    {
        return Ok(only.clone());
    }
    let annotated = pod.pointer("/metadata/annotations").and_then(|all| all.get(DEFAULT_CONTAINER));
    if let Some(annotated) = annotated.and_then(Value::as_str)
        && containers.iter().any(|name| name == annotated)
    {
        return Ok(annotated.to_owned());
    }
    let mut choice = format!("choose one of: [{}]", containers.join(" "));
    if !init.is_empty() {
        choice.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
    }
    if !ephemeral.is_empty() {
        choice.push_str(&format!(" or one of the ephemeral containers: [{}]", ephemeral.join(" ")));
    }
    Err(ApiError::bad_request(format!("a container name must be specified for pod {pod_name}, {choice}")))
}

impl Streaming {
    pub(super) fn pod(&self, namespace: &str, name: &str) -> Result<Arc<Value>, ApiError> {
        self.objects.get("", "pods", namespace, name).ok_or_else(|| ApiError::not_found("", "pods", name))
    }
}

/// The node a pod runs on, or upstream's 400.
pub(super) fn node(pod: &Value) -> Result<&str, ApiError> {
    match text(pod, "/spec/nodeName") {
        "" => Err(ApiError::bad_request(format!(
            "pod {} does not have a host assigned",
            text(pod, "/metadata/name")
        ))),
        node => Ok(node),
    }
}

/// Percent-encodes one path segment or query value.
pub(super) fn encoded(part: &str) -> String {
    percent_encoding::utf8_percent_encode(part, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The path of a kubelet's endpoint for a pod.
pub(super) fn kubelet_path(endpoint: &str, parts: &[&str], query: &[(&str, String)]) -> String {
    let mut path = format!("/{endpoint}");
    for part in parts {
        path.push('/');
        // Names of objects are plain; encoding dots and dashes would only make logs unreadable.
        let plain =
            part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        path.push_str(&if plain { (*part).to_owned() } else { encoded(part) });
    }
    for (index, (name, value)) in query.iter().enumerate() {
        path.push(if index == 0 { '?' } else { '&' });
        path.push_str(name);
        path.push('=');
        path.push_str(&encoded(value));
    }
    path
}
