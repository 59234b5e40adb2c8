//! What a cluster holds from its first moment: the nodes' bootstrap token, and kube-system's add-ons.

mod guard;

use std::collections::HashMap;
use std::time::Duration;

use container_service::ControlPlaneSpec;
use kit::Tasks;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use guard::Mark;

const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LAST: Duration = Duration::from_secs(30);
/// The field manager of what the cloud owns in a cluster.
const MANAGER: &str = "aks";

/// Applies the objects until all are there, and from then on puts back those that belong to the cloud.
pub(super) fn keep(client: kube::Client, spec: &ControlPlaneSpec, bootstrap_token: &str, tasks: &Tasks) {
    let mut objects = vec![Owned::new(token_secret(bootstrap_token))];
    objects.extend(controller_manager::SERVICE_ACCOUNTS.map(service_account).map(Owned::new));
    let cluster = addons::manifests::Cluster {
        dns_service_ip: spec.dns_service_ip,
        cluster_domain: "cluster.local".to_owned(),
        image: crate::service::image::system_image(),
    };
    match addons::manifests::all(&cluster) {
        Ok(manifests) => objects.extend(manifests.into_iter().map(Owned::new)),
        Err(error) => tracing::error!(error = %kit::Chain(&error), "add-ons cannot be installed"),
    }
    let (cluster, group) = (spec.cluster.clone(), tasks.clone());
    tasks.spawn("add-ons", async move {
        let mut pause = RETRY_FIRST;
        let marks = loop {
            match apply_all(&client, &objects).await {
                Ok(marks) => break marks,
                Err(error) => {
                    tracing::warn!(%cluster, error = %kit::Chain(&error), "add-ons are not complete yet");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RETRY_LAST);
        };
        guard::start(&client, &cluster, objects, &marks, &group);
    });
}

/// Namespace (empty for cluster-wide objects) and name.
type Key = (String, String);

/// An object as the cloud wants it.
struct Owned {
    resource: ApiResource,
    key: Key,
    object: Value,
}

impl Owned {
    fn new(object: Value) -> Self {
        let text = |path: &str| object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, kind) = (text("/apiVersion"), text("/kind"));
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
        let key = (text("/metadata/namespace"), text("/metadata/name"));
        Self { resource, key, object }
    }

    /// Makes the object what it should be; changes nothing when it is.
    async fn apply(&self, client: &kube::Client) -> Result<Mark, kube::Error> {
        let (namespace, name) = &self.key;
        let api: Api<DynamicObject> = if namespace.is_empty() {
            Api::all_with(client.clone(), &self.resource)
        } else {
            Api::namespaced_with(client.clone(), namespace, &self.resource)
        };
        let applied =
            api.patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&self.object)).await?;
        Ok(Mark::of(&applied.metadata))
    }
}

async fn apply_all(
    client: &kube::Client,
    objects: &[Owned],
) -> Result<HashMap<(ApiResource, Key), Mark>, kube::Error> {
    let mut marks = HashMap::new();
    for one in objects {
        marks.insert((one.resource.clone(), one.key.clone()), one.apply(client).await?);
    }
    Ok(marks)
}

/// The account of one of the controller manager's loops.
fn service_account(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "kube-system"}})
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
