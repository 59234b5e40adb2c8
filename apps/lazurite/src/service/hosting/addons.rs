//! What a cluster holds from its first moment: the nodes' bootstrap token, and kube-system's add-ons.

mod guard;

use std::collections::HashMap;
use std::time::Duration;

use container_service::ControlPlaneSpec;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kit::Tasks;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
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
    let admins = Owned::new(admin_groups(&spec.admin_groups));
    let no_admins = spec.admin_groups.is_empty().then(|| admins.key.1.clone());
    if no_admins.is_none() {
        objects.push(admins);
    }
    let (cluster, group) = (spec.cluster.clone(), tasks.clone());
    tasks.spawn("add-ons", async move {
        let mut pause = RETRY_FIRST;
        let marks = loop {
            let applied = async {
                if let Some(name) = &no_admins {
                    remove_binding(&client, name).await?;
                }
                apply_all(&client, &objects).await
            };
            match applied.await {
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

/// Members of these groups of the directory are cluster administrators.
fn admin_groups(groups: &[String]) -> Value {
    let subjects: Vec<Value> = groups
        .iter()
        .map(|id| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": id}))
        .collect();
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "aks-cluster-admin-binding-aad", "labels": {
            "addonmanager.kubernetes.io/mode": "Reconcile",
            "kubernetes.azure.com/managedby": "aks",
            "kubernetes.io/cluster-service": "true"}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": subjects})
}

/// Takes the binding of administrators away once no group is named.
async fn remove_binding(client: &kube::Client, name: &str) -> Result<(), kube::Error> {
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    match bindings.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
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
