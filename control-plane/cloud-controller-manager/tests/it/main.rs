//! The loops between the real API server in the process and a small cloud that remembers what it is told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cloud;

use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, UserInfo};
use cloud::{GROUP, Memory, Token};
use k8s_openapi::api::core::v1::{Event, Node, Service};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

struct Plane {
    client: kube::Client,
    cloud: Arc<Memory>,
    tasks: kit::Tasks,
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

async fn start() -> Plane {
    kit::tls::install_provider();
    let tasks = kit::Tasks::new();
    let config = apiserver::Config {
        name: "test".to_owned(),
        model: api_model::Model::load("1.35").unwrap(),
        store: store::Embedded::memory(store::Options::default(), &tasks),
        authority: kit::pki::Authority::new("test", Duration::from_secs(3600)).unwrap(),
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
    let cloud = Arc::new(Memory::default());
    let config = cloud_controller_manager::Config {
        cloud: cloud.clone(),
        token: Arc::new(Token),
        subscription_id: "s".into(),
        resource_group: "MC_rg_c_eastus".into(),
        location: "eastus".into(),
        cluster_name: "c".into(),
    };
    let user = UserInfo::new("system:cloud-controller-manager", &["system:authenticated"]);
    cloud_controller_manager::start(api.client(user), config, &tasks);
    Plane { client: api.client(UserInfo::new("admin", &["system:masters"])), cloud, tasks }
}

async fn until<T, F>(what: &str, check: impl Fn() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < end, "{what} never happened");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_introduced_and_goes_with_its_instance() {
    let plane = start().await;
    let nodes: Api<Node> = Api::all(plane.client.clone());
    let node = serde_json::from_value(json!({
        "metadata": {"name": "aks-nodepool1-1-vmss000000"},
        "spec": {"taints": [{"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}]},
    }))
    .unwrap();
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let name = "aks-nodepool1-1-vmss000000";
    let known = until("introduction", || async {
        let node = nodes.get(name).await.unwrap();
        node.spec.as_ref().and_then(|s| s.provider_id.clone())?;
        Some(node)
    })
    .await;
    let spec = known.spec.unwrap();
    assert_eq!(
        spec.provider_id.as_deref(),
        Some(
            "azure:///subscriptions/s/resourceGroups/mc_rg_c_eastus/providers/Microsoft.Compute/virtualMachineScaleSets/aks-nodepool1-1-vmss/virtualMachines/0"
        )
    );
    assert!(!spec.taints.unwrap_or_default().iter().any(|t| t.key.contains("uninitialized")));
    let labels = known.metadata.labels.unwrap();
    assert_eq!(labels["topology.kubernetes.io/zone"], "eastus-1");
    assert_eq!(labels["node.kubernetes.io/instance-type"], "Standard_DS2_v2");
    let addresses = known.status.unwrap().addresses.unwrap();
    assert_eq!(addresses[0].address, "10.224.0.4");

    plane.cloud.remove("virtualMachines/0");
    let silent = json!({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}});
    nodes.patch_status(name, &PatchParams::default(), &Patch::Merge(&silent)).await.unwrap();
    until("removal", || async { nodes.get_opt(name).await.unwrap().is_none().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_gets_an_address_and_gives_it_back() {
    let plane = start().await;
    let services: Api<Service> = Api::namespaced(plane.client.clone(), "default");
    let service = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}]},
    }))
    .unwrap();
    services.create(&PostParams::default(), &service).await.unwrap();
    let address = until("an address", || async {
        let status = services.get("web").await.unwrap().status?;
        status.load_balancer?.ingress?.first()?.ip.clone()
    })
    .await;
    assert_eq!(address, "20.2.0.7");
    services.delete("web", &DeleteParams::default()).await.unwrap();
    until("removal", || async { services.get_opt("web").await.unwrap().is_none().then_some(()) }).await;
    assert!(!plane.cloud.all().keys().any(|id| id.contains("publicIPAddresses")));
    let balancer = &plane.cloud.all()[&format!("{GROUP}/Microsoft.Network/loadBalancers/kubernetes")];
    assert_eq!(balancer["properties"]["loadBalancingRules"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_told_in_the_clouds_words() {
    let plane = start().await;
    plane.cloud.refuse(true);
    let services: Api<Service> = Api::namespaced(plane.client.clone(), "default");
    let service = serde_json::from_value(json!({
        "metadata": {"name": "web"}, "spec": {"type": "LoadBalancer", "ports": [{"port": 80}]},
    }))
    .unwrap();
    services.create(&PostParams::default(), &service).await.unwrap();
    let events: Api<Event> = Api::namespaced(plane.client.clone(), "default");
    let message = until("the event", || async {
        let all = events.list(&Default::default()).await.unwrap().items;
        all.into_iter().find(|e| e.reason.as_deref() == Some("SyncLoadBalancerFailed"))?.message
    })
    .await;
    assert!(
        message.starts_with("Error syncing load balancer: failed to ensure load balancer: "),
        "{message}"
    );
    assert!(message.contains("AuthorizationFailed"), "{message}");
    plane.cloud.refuse(false);
    until("an address", || async { services.get("web").await.unwrap().status?.load_balancer?.ingress }).await;
}
