//! What a cluster holds from its first moment: the nodes' bootstrap token, and kube-system's add-ons.

use std::time::Duration;

use container_service::ControlPlaneSpec;
use kit::Tasks;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// Applies the objects, again and again until all are there.
pub(super) fn keep(client: kube::Client, spec: &ControlPlaneSpec, bootstrap_token: &str, tasks: &Tasks) {
    let mut objects = vec![token_secret(bootstrap_token)];
    let cluster = addons::manifests::Cluster {
        dns_service_ip: spec.dns_service_ip,
        cluster_domain: "cluster.local".to_owned(),
        image: crate::service::image::system_image(),
    };
    match addons::manifests::all(&cluster) {
        Ok(manifests) => objects.extend(manifests),
        Err(error) => tracing::error!(error = %kit::Chain(&error), "add-ons cannot be installed"),
    }
    let cluster = spec.cluster.clone();
    tasks.spawn("add-ons", async move {
        let mut pause = RETRY_FIRST;
        while let Err(error) = apply_all(&client, &objects).await {
            tracing::warn!(%cluster, error = %kit::Chain(&error), "add-ons are not complete yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_LAST);
        }
    });
}

async fn apply_all(client: &kube::Client, objects: &[Value]) -> Result<(), kube::Error> {
    for object in objects {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, kind) = (text("/apiVersion"), text("/kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
        let namespace = text("/metadata/namespace");
        let api: Api<DynamicObject> = if namespace.is_empty() {
            Api::all_with(client.clone(), &resource)
        } else {
            Api::namespaced_with(client.clone(), &namespace, &resource)
        };
        api.patch(&text("/metadata/name"), &PatchParams::apply("aks").force(), &Patch::Apply(object)).await?;
    }
    Ok(())
}

/// The Secret behind a bootstrap token.
fn token_secret(token: &str) -> Value {
    let (id, secret) = token.split_once('.').unwrap_or((token, ""));
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"},
        "stringData": {
            "token-id": id, "token-secret": secret,
            "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
            "auth-extra-groups": "system:bootstrappers:nodes"}})
}
