//! The pods this kubelet knows, and those that run.

use http::StatusCode;
use k8s_openapi::api::core::v1::Pod;
use kit::http::{Response, json};
use serde_json::json as value;

use super::text;
use crate::labels;
use crate::runtime::PodSandboxState;
use crate::shared::Shared;

/// `/pods`.
pub fn pods(shared: &Shared) -> Response {
    let pods: Vec<Pod> = {
        let known = shared.pods.read();
        known.values().map(|handle| Pod::clone(&handle.desired.borrow().pod)).collect()
    };
    json(StatusCode::OK, &value!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}))
}

/// `/runningpods`: what the runtime says, known to the API or not.
pub async fn running(shared: &Shared) -> Response {
    let runtime = &*shared.config.runtime;
    let listed = async {
        Ok::<_, crate::runtime::RuntimeError>((
            runtime.list_sandboxes(None).await?,
            runtime.list_containers(None).await?,
        ))
    };
    let (sandboxes, containers) = match listed.await {
        Ok(listed) => listed,
        Err(error) => return text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let ready = sandboxes.iter().filter(|sandbox| sandbox.state() == PodSandboxState::SandboxReady);
    let items: Vec<_> = ready
        .map(|sandbox| {
            let label = |key: &str| sandbox.labels.get(key).cloned().unwrap_or_default();
            let own: Vec<_> = containers
                .iter()
                .filter(|one| one.pod_sandbox_id == sandbox.id)
                .map(|one| {
                    let image = one.image.as_ref().map(|image| image.image.clone()).unwrap_or_default();
                    value!({"name": one.labels.get(labels::CONTAINER_NAME), "image": image, "resources": {}})
                })
                .collect();
            value!({
                "metadata": {"name": label(labels::POD_NAME), "namespace": label(labels::POD_NAMESPACE), "uid": label(labels::POD_UID)},
                "spec": {"containers": own},
                "status": {}
            })
        })
        .collect();
    json(StatusCode::OK, &value!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}))
}
