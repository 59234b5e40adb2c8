//! A control plane for one test: API server, controller manager, scheduler, and a kubelet that only reports.

use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, UserInfo};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};

pub struct Plane {
    pub api: Arc<ApiServer>,
    pub client: kube::Client,
    tasks: kit::Tasks,
    manager: controller_manager::ControllerManager,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

/// A whole control plane whose nodes fall silent after `grace`.
pub async fn start(grace: Duration) -> Plane {
    kit::tls::install_provider();
    let tasks = kit::Tasks::new();
    let authority = kit::pki::Authority::new("test", Duration::from_secs(3600)).unwrap();
    let config = apiserver::Config {
        name: "test".to_owned(),
        model: api_model::Model::load("1.35").unwrap(),
        store: store::Embedded::memory(store::Options::default(), &tasks),
        authority: authority.clone(),
        service_account_key_pem: kit::pki::rsa_key_pem().unwrap(),
        issuer: "https://issuer.test".to_owned(),
        service_cidr: "10.0.0.0/16".parse().unwrap(),
        dns_service_ip: "10.0.0.10".parse().unwrap(),
        advertise: "20.1.0.4:443".parse().unwrap(),
        version: "1.35.6".to_owned(),
        clock: Arc::new(kit::SystemClock),
        token_reviewers: Vec::new(),
        access: apiserver::Access::default(),
    };
    let api = ApiServer::start(config, &tasks).await.unwrap();
    let component = |name: &str| api.client(UserInfo::new(name, &["system:authenticated"]));
    let mut config = controller_manager::Config::new(authority);
    config.node_grace = grace;
    config.client_for = Some(as_service_accounts(&api));
    let manager = controller_manager::start(component("system:kube-controller-manager"), config, &tasks);
    scheduler::start(component("system:kube-scheduler"), scheduler::Config::default(), &tasks);
    let client = api.client(UserInfo::new("admin", &["system:masters"]));
    tasks.spawn("kubelet", kubelet(client.clone()));
    Plane { api, client, tasks, manager }
}

/// Each loop as a user of its own. One that nobody has given rights would be refused everything.
pub fn as_service_accounts(api: &Arc<ApiServer>) -> controller_manager::ClientFor {
    let api = api.clone();
    Arc::new(move |name| {
        assert!(controller_manager::SERVICE_ACCOUNTS.contains(&name), "`{name}` is not in the list");
        let user = format!("system:serviceaccount:kube-system:{name}");
        let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
        api.client(UserInfo::new(&user, &groups))
    })
}

/// Says of each bound pod that it runs, and lets go of those that are being deleted.
async fn kubelet(client: kube::Client) {
    let all: Api<Pod> = Api::all(client.clone());
    let mut changes = watcher(all, watcher::Config::default()).default_backoff().applied_objects().boxed();
    let mut number = 0;
    while let Some(change) = changes.next().await {
        let Ok(pod) = change else { continue };
        let name = pod.metadata.name.clone().unwrap();
        let api: Api<Pod> = Api::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap());
        if pod.spec.as_ref().is_none_or(|s| s.node_name.is_none()) {
            continue;
        }
        if pod.metadata.deletion_timestamp.is_some() {
            let _ = api.delete(&name, &DeleteParams::default().grace_period(0)).await;
        } else if pod.status.as_ref().is_none_or(|s| s.pod_ip.is_none()) {
            number += 1;
            let ip = format!("10.244.0.{number}");
            let ends = pod.metadata.labels.as_ref().is_some_and(|l| l.contains_key("ends"));
            let now = jiff::Timestamp::now().to_string();
            let conditions = json!([{"type": "Ready", "status": if ends {"False"} else {"True"}, "lastTransitionTime": now}]);
            let phase = if ends { "Succeeded" } else { "Running" };
            let status = json!({"status": {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}], "conditions": conditions}});
            let _ = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await;
        }
    }
}

impl Plane {
    fn objects(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (version, kind, plural) = match kind {
            "pods" => ("v1", "Pod", "pods"),
            "nodes" => ("v1", "Node", "nodes"),
            "services" => ("v1", "Service", "services"),
            "endpoints" => ("v1", "Endpoints", "endpoints"),
            "namespaces" => ("v1", "Namespace", "namespaces"),
            "configmaps" => ("v1", "ConfigMap", "configmaps"),
            "serviceaccounts" => ("v1", "ServiceAccount", "serviceaccounts"),
            "deployments" => ("apps/v1", "Deployment", "deployments"),
            "replicasets" => ("apps/v1", "ReplicaSet", "replicasets"),
            "daemonsets" => ("apps/v1", "DaemonSet", "daemonsets"),
            "statefulsets" => ("apps/v1", "StatefulSet", "statefulsets"),
            "jobs" => ("batch/v1", "Job", "jobs"),
            "cronjobs" => ("batch/v1", "CronJob", "cronjobs"),
            "poddisruptionbudgets" => ("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            "endpointslices" => ("discovery.k8s.io/v1", "EndpointSlice", "endpointslices"),
            "clusterrolebindings" => {
                ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings")
            }
            "clusterroles" => ("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles"),
            other => panic!("which version has {other}?"),
        };
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = kube::discovery::ApiResource {
            group: group.into(),
            version: version.into(),
            api_version: if group.is_empty() { version.into() } else { format!("{group}/{version}") },
            kind: kind.into(),
            plural: plural.into(),
        };
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }

    pub async fn create(&self, kind: &str, namespace: &str, object: Value) {
        let api = self.objects(kind, namespace);
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    pub async fn list(&self, kind: &str, namespace: &str) -> Vec<Value> {
        let found = self.objects(kind, namespace).list(&Default::default()).await.unwrap();
        found.items.into_iter().map(|o| serde_json::to_value(o).unwrap()).collect()
    }

    pub async fn patch(&self, kind: &str, namespace: &str, name: &str, patch: Value) {
        let api = self.objects(kind, namespace);
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    pub async fn delete(&self, kind: &str, namespace: &str, name: &str, params: DeleteParams) {
        self.objects(kind, namespace).delete(name, &params).await.unwrap();
    }

    /// Waits until `check` holds for what is listed.
    #[track_caller]
    pub fn until<'a>(
        &'a self,
        what: &'a str,
        kind: &'a str,
        namespace: &'a str,
        check: impl Fn(&[Value]) -> bool + 'a,
    ) -> impl Future<Output = Vec<Value>> + 'a {
        let place = std::panic::Location::caller();
        async move {
            let end = tokio::time::Instant::now() + Duration::from_secs(20);
            loop {
                let found = self.list(kind, namespace).await;
                if check(&found) {
                    return found;
                }
                if tokio::time::Instant::now() > end {
                    let loops: Vec<_> =
                        self.manager.status().into_iter().filter(|s| s.last_error.is_some()).collect();
                    panic!(
                        "{place}: {what} never happened: {}\n{loops:#?}",
                        serde_json::to_string_pretty(&found).unwrap()
                    );
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// A node that can take pods.
    pub async fn node(&self, name: &str) {
        let now = jiff::Timestamp::now().to_string();
        self.create("nodes", "", json!({"metadata": {"name": name}})).await;
        let status = json!({"status": {
            "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}, "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now}],
        }});
        let api = self.objects("nodes", "");
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
        self.until("the node is open", "nodes", "", |nodes| {
            nodes.iter().any(|n| {
                n["metadata"]["name"] == name && n["spec"]["taints"].as_array().is_none_or(Vec::is_empty)
            })
        })
        .await;
    }
}

/// A pod template with this image.
pub fn template(app: &str, image: &str) -> Value {
    json!({"metadata": {"labels": {"app": app}}, "spec": {"containers": [{"name": "c", "image": image}]}})
}
