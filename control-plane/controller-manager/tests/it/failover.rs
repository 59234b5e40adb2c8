//! Two control planes over one etcd: one's loops work, and when it dies the other's go on. SKIPPED without etcd.

use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, UserInfo};
use etcd::Etcd;
use informers::leader::{Election, Timing, lead};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

#[path = "../../../etcd/tests/it/world.rs"]
#[allow(dead_code, reason = "shared with the tests of etcd")]
mod world;

struct Keys {
    authority: kit::pki::Authority,
    service_account_key_pem: String,
}

/// A control plane whose loops, in a group of their own, work while it leads.
async fn plane(
    name: &'static str,
    url: &str,
    keys: &Keys,
    tasks: &kit::Tasks,
    loops: &kit::Tasks,
) -> kube::Client {
    let store = Etcd::open(etcd::Options::new([url], "/clusters/test"), tasks).await.unwrap();
    let config = apiserver::Config {
        name: "test".to_owned(),
        model: api_model::Model::load("1.35").unwrap(),
        store,
        authority: keys.authority.clone(),
        service_account_key_pem: keys.service_account_key_pem.clone(),
        issuer: "https://issuer.test".to_owned(),
        service_cidr: "10.0.0.0/16".parse().unwrap(),
        dns_service_ip: "10.0.0.10".parse().unwrap(),
        advertise: "20.1.0.4:443".parse().unwrap(),
        version: "1.35.6".to_owned(),
        clock: Arc::new(kit::SystemClock),
        token_reviewers: Vec::new(),
        access: apiserver::Access::default(),
    };
    let api = ApiServer::start(config, tasks).await.unwrap();
    let election = |component: &str| Election {
        client: api.client(UserInfo::new(&format!("system:{component}"), &["system:authenticated"])),
        namespace: "kube-system".into(),
        name: component.into(),
        identity: name.into(),
        timing: Timing {
            valid: Duration::from_secs(3),
            renew_limit: Duration::from_secs(2),
            retry: Duration::from_millis(200),
            ..Timing::default()
        },
        clock: Arc::new(kit::SystemClock),
    };
    let scheduling = election("kube-scheduler");
    let client = scheduling.client.clone();
    lead(scheduling, loops, move |group| {
        scheduler::start(client.clone(), scheduler::Config::default(), group);
    });
    let controlling = election("kube-controller-manager");
    let mut config = controller_manager::Config::new(keys.authority.clone());
    config.client_for = Some(crate::harness::as_service_accounts(&api));
    let client = controlling.client.clone();
    lead(controlling, loops, move |group| {
        controller_manager::start(client.clone(), config.clone(), group);
    });
    api.client(UserInfo::new("admin", &["system:masters"]))
}

fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    for _ in 0..1_200 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came: {what}");
}

async fn bound(client: &kube::Client) -> usize {
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let found = pods.list(&ListParams::default()).await;
    let bound = |pod: &Pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
    found.map_or(0, |found| found.items.iter().filter(|pod| bound(pod)).count())
}

async fn holder(client: &kube::Client, name: &str) -> (String, i32) {
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-system");
    let spec = leases.get_opt(name).await.ok().flatten().and_then(|lease| lease.spec).unwrap_or_default();
    (spec.holder_identity.unwrap_or_default(), spec.lease_transitions.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loops_go_on_when_the_leader_dies() {
    kit::tls::install_provider();
    let folder = tempfile::tempdir().unwrap();
    let Some(real) = world::RealEtcd::start(folder.path()).await else { return };
    let keys = Arc::new(Keys {
        authority: kit::pki::Authority::new("test", Duration::from_secs(3600)).unwrap(),
        service_account_key_pem: kit::pki::rsa_key_pem().unwrap(),
    });
    // The first has threads of its own, so that it can die between two steps, without saying anything.
    let first = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (url, its_keys) = (real.url(), keys.clone());
    first
        .spawn(async move { plane("first", &url, &its_keys, &kit::Tasks::new(), &kit::Tasks::new()).await })
        .await
        .unwrap();
    let (tasks, loops) = (kit::Tasks::new(), kit::Tasks::new());
    let client = plane("second", &real.url(), &keys, &tasks, &loops).await;
    until("the first leads", async || holder(&client, "kube-scheduler").await.0 == "first").await;
    until("the first leads", async || holder(&client, "kube-controller-manager").await.0 == "first").await;

    let nodes: Api<Node> = Api::all(client.clone());
    let node = json!({"metadata": {"name": "n1"}, "status": {
        "allocatable": {"cpu": "8", "memory": "16Gi", "pods": "50"}, "capacity": {"cpu": "8", "memory": "16Gi", "pods": "50"},
        "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": jiff::Timestamp::now().to_string()}]}});
    nodes.create(&PostParams::default(), &of(node.clone())).await.unwrap();
    let status = json!({"status": node["status"]});
    nodes.patch_status("n1", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "default");
    let deployment = json!({"metadata": {"name": "web"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    deployments.create(&PostParams::default(), &of(deployment)).await.unwrap();
    until("two pods are placed", async || bound(&client).await == 2).await;

    first.shutdown_background();
    let scale = json!({"spec": {"replicas": 5}});
    deployments.patch("web", &PatchParams::default(), &Patch::Merge(&scale)).await.unwrap();
    until("five pods are placed", async || bound(&client).await == 5).await;
    assert_eq!(holder(&client, "kube-scheduler").await, ("second".to_owned(), 1));
    assert_eq!(holder(&client, "kube-controller-manager").await, ("second".to_owned(), 1));

    // Who leaves in an orderly way lets go of the lease.
    assert!(loops.drain(Duration::from_secs(20)).await);
    assert_eq!(holder(&client, "kube-scheduler").await, (String::new(), 1));
    tasks.stop();
}
