//! One control plane, hosted as the service hosts it, with real controllers and a real directory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use container_service::{ControlPlaneSpec, ControlPlanes};
use fabric::{Booted, MachineFiles, MachineStarter, SimulatedFabric};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use kit::Tasks;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use tokio::sync::{SetOnce, watch};

mod people;
mod planes;

use super::hosting::{Hosting, Shared};
use super::issuers::ClusterIssuers;
use super::{adapters, hosting};
use crate::place::State;

const SOON: Duration = Duration::from_secs(20);
const ISSUER: &str = "https://eastus.oic.prod-aks.azure.com/tenant/guid/";
const CLUSTER: &str =
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/c";

struct NoMachines;

#[async_trait]
impl MachineStarter for NoMachines {
    async fn run(&self, _: MachineFiles, _: Booted) -> i32 {
        1
    }
}

struct World {
    hosting: Arc<Hosting>,
    entra: Arc<entra::Entra>,
    plane: Arc<hosting::Plane>,
    tasks: Tasks,
    dir: tempfile::TempDir,
}

fn spec() -> ControlPlaneSpec {
    ControlPlaneSpec {
        cluster: CLUSTER.to_owned(),
        name: "c".to_owned(),
        subscription_id: "s".to_owned(),
        tenant_id: "t".to_owned(),
        resource_group: "rg".to_owned(),
        node_resource_group: "MC_rg_c_eastus".to_owned(),
        location: "eastus".to_owned(),
        version: "1.35.6".to_owned(),
        fqdn: "c-1.hcp.eastus.azmk8s.io".to_owned(),
        issuer: ISSUER.to_owned(),
        service_cidr: "10.0.0.0/16".parse().unwrap(),
        dns_service_ip: "10.0.0.10".parse().unwrap(),
        pod_cidr: None,
        principal_id: "nobody".to_owned(),
        tier: "Free".to_owned(),
        entra: false,
        admin_groups: Vec::new(),
        azure_rbac: false,
        authorized_ranges: Vec::new(),
        outbound_addresses: Vec::new(),
    }
}

async fn world() -> World {
    world_over(None).await
}

async fn world_over(etcd: Option<etcd::Options>) -> World {
    kit::tls::install_provider();
    let dir = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let state = State::at(dir.path());
    let issuers = Arc::new(ClusterIssuers::default());
    let entra =
        adapters::open_entra(&state, Arc::new(kit::SystemClock), issuers.clone(), &tasks).await.unwrap();
    let shared = Shared {
        dir: state.join("clusters"),
        fabric: Arc::new(SimulatedFabric::new(Arc::new(NoMachines), tasks.clone())),
        api: "127.0.0.1:8444".parse().unwrap(),
        cloud: SetOnce::new(),
        assignments: Arc::default(),
        directory: Arc::new(tenant::Tenant(entra.clone())),
        command_image: SetOnce::new(),
        image: watch::Sender::new(true).subscribe(),
        token_reviewers: vec![adapters::entra_tokens(&entra, Arc::new(kit::SystemClock))],
        audit: false,
        certificates: kit::tls::Certificates::new(),
        doors: watch::Sender::new(0),
        models: parking_lot::Mutex::default(),
        etcd,
    };
    let hosting = Hosting::new(shared, tasks.child());
    issuers.bind(&hosting);
    hosting.ensure(spec()).await.unwrap();
    let plane = hosting.plane(CLUSTER).unwrap();
    World { hosting, entra, plane, tasks, dir }
}

impl World {
    async fn end(self) {
        self.hosting.stop(CLUSTER).await.unwrap();
        assert!(self.tasks.drain(Duration::from_secs(10)).await);
    }
}

/// Follows one object until it is as wanted; `None` is its absence.
async fn until<K>(api: Api<K>, name: &str, wanted: impl Fn(&K) -> bool) -> K
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    use futures::StreamExt;
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut objects = std::pin::pin!(watcher(api, config).default_backoff().applied_objects());
    let found = async {
        loop {
            if let Some(Ok(object)) = objects.next().await
                && wanted(&object)
            {
                return object;
            }
        }
    };
    tokio::time::timeout(SOON, found).await.unwrap_or_else(|_| panic!("{name} did not become as wanted"))
}

fn shape(coredns: &Deployment) -> (Option<i32>, Option<String>) {
    let spec = coredns.spec.as_ref().unwrap();
    let pod = spec.template.spec.as_ref().unwrap();
    (spec.replicas, pod.containers[0].image.clone())
}

#[tokio::test]
async fn what_the_cloud_owns_in_a_cluster_is_put_back() {
    let world = world().await;
    let client = world.plane.admin();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "kube-system");
    let services: Api<Service> = Api::namespaced(client.clone(), "kube-system");
    let made = until(deployments.clone(), "coredns", |_| true).await;
    let wanted = shape(&made);
    until(services.clone(), "kube-dns", |_| true).await;

    let params = PatchParams::default();
    let image = json!({"spec": {"replicas": 7, "template": {"spec": {"containers": [{"name": "coredns", "image": "evil.example/x:1"}]}}}});
    let edited = deployments.patch("coredns", &params, &Patch::Strategic(image)).await.unwrap();
    assert_eq!(shape(&edited), (Some(7), Some("evil.example/x:1".to_owned())));
    until(deployments.clone(), "coredns", |one| shape(one) == wanted).await;

    let unlabelled = json!({"metadata": {"labels": {"kubernetes.azure.com/managedby": null}}});
    services.patch("kube-dns", &params, &Patch::Merge(unlabelled)).await.unwrap();
    let labelled = |one: &Service| {
        one.metadata.labels.as_ref().is_some_and(|all| all.contains_key("kubernetes.azure.com/managedby"))
    };
    until(services.clone(), "kube-dns", labelled).await;

    deployments.delete("coredns", &DeleteParams::background()).await.unwrap();
    let again = until(deployments.clone(), "coredns", |one| one.metadata.uid != made.metadata.uid).await;
    assert_eq!(shape(&again), wanted);

    // What is as it should be is left alone: an own write is not answered with another.
    let service = services.get("kube-dns").await.unwrap();
    let marked = json!({"metadata": {"annotations": {"mine": "1"}}});
    let marked = services.patch("kube-dns", &params, &Patch::Merge(marked)).await.unwrap();
    assert_ne!(marked.metadata.resource_version, service.metadata.resource_version);
    services.delete("kube-dns", &DeleteParams::default()).await.unwrap();
    let back = until(services.clone(), "kube-dns", |one| one.metadata.uid != service.metadata.uid).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let later = services.get("kube-dns").await.unwrap();
    assert_eq!(later.metadata.resource_version, back.metadata.resource_version);
    world.end().await;
}

#[tokio::test]
async fn a_pods_token_signs_in_to_entra_as_the_identity_that_trusts_it() {
    let world = world().await;
    let identity = world.entra.managed_identity_create("/identity").await.unwrap();
    let trust = entra::Federation {
        name: "pod".to_owned(),
        issuer: ISSUER.to_owned(),
        subject: "system:serviceaccount:default:app".to_owned(),
        audiences: vec!["api://AzureADTokenExchange".to_owned()],
    };
    world.entra.managed_identity_federate("/identity", trust).await.unwrap();

    let accounts: Api<ServiceAccount> = Api::namespaced(world.plane.admin(), "default");
    for name in ["app", "other"] {
        let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        accounts.create(&PostParams::default(), &account).await.unwrap();
    }
    let asked = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec!["api://AzureADTokenExchange".to_owned()],
            ..Default::default()
        },
        ..Default::default()
    };
    for (name, status) in [("app", 200), ("other", 401)] {
        let made = accounts.create_token_request(name, &PostParams::default(), &asked).await.unwrap();
        let (code, body) = sign_in(&world, &identity.client_id, &made.status.unwrap().token).await;
        assert_eq!(code, status, "{name}: {body}");
    }
    world.end().await;
}

async fn sign_in(world: &World, client: &str, assertion: &str) -> (u16, Value) {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", client)
        .append_pair("scope", "https://management.azure.com/.default")
        .append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        .append_pair("client_assertion", assertion)
        .finish();
    let path = format!("/{}/oauth2/v2.0/token", world.entra.tenant_id());
    let request =
        http::Request::post(path).header("host", "localhost:8443").body(kit::http::full(form)).unwrap();
    let response = world.entra.service().call(request).await;
    let code = response.status().as_u16();
    let body = kit::http::read(response.into_body(), 100_000).await.unwrap();
    (code, serde_json::from_slice(&body).unwrap())
}

/// The application that stands for the API servers of all AKS clusters.
const AKS_SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";

#[tokio::test]
async fn tokens_of_the_directory_are_known_where_the_cluster_has_its_profile() {
    let world = world().await;
    let identity = world.entra.managed_identity_create("/identity").await.unwrap();
    let token = world.entra.managed_identity_token(&identity.principal_id, AKS_SERVER).unwrap().access_token;
    for (entra, wanted) in [(false, 401), (true, 200), (false, 401)] {
        world.hosting.ensure(ControlPlaneSpec { entra, ..spec() }).await.unwrap();
        let plane = world.hosting.plane(CLUSTER).unwrap();
        let request = http::Request::get("/api").header("authorization", format!("Bearer {token}"));
        let response = plane.service().call(request.body(kit::http::empty()).unwrap()).await;
        assert_eq!(response.status(), wanted, "with the profile: {entra}");
    }
    world.end().await;
}

#[tokio::test]
async fn who_may_connect_changes_in_place_and_is_remembered() {
    use kit::serve::Gate;
    let world = world().await;
    let doors = world.hosting.by_server_name();
    let with = |ranges: &[&str], nodes: &[&str]| ControlPlaneSpec {
        authorized_ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        outbound_addresses: nodes.iter().map(|node| node.parse().unwrap()).collect(),
        ..spec()
    };
    let name = Some("c-1.hcp.eastus.azmk8s.io");
    let [host, far, node, six] =
        ["127.0.0.1:1", "52.1.2.3:1", "20.2.0.4:1", "[2001:db8::1]:1"].map(|peer| peer.parse().unwrap());
    let mut changed = doors.changed();
    for (ranges, nodes, admitted) in [
        (&[][..], &[][..], [true, true, true, true]),
        (&["52.1.0.0/16"], &[], [false, true, false, false]),
        (&["52.1.0.0/16"], &["20.2.0.4"], [false, true, true, false]),
        (&["20.0.0.1/32"], &["20.2.0.4"], [true, false, true, false]),
        (&["0.0.0.0/32"], &["20.2.0.4"], [false, false, true, false]),
        (&[], &["20.2.0.4"], [true, true, true, true]),
    ] {
        changed.mark_unchanged();
        let before = world.hosting.plane(CLUSTER).unwrap();
        world.hosting.ensure(with(ranges, nodes)).await.unwrap();
        let after = world.hosting.plane(CLUSTER).unwrap();
        assert!(Arc::ptr_eq(&before, &after), "the plane was restarted for {ranges:?}");
        assert_eq!([host, far, node, six].map(|peer| doors.admits(peer, name)), admitted, "{ranges:?}");
        assert_eq!(changed.has_changed().unwrap(), !(ranges.is_empty() && nodes.is_empty()), "{ranges:?}");
    }
    // Another cluster's ranges are its own, and a started plane has those that were stored.
    assert!(doors.admits(far, Some("other.hcp.eastus.azmk8s.io")));
    world.hosting.ensure(with(&["0.0.0.0/32"], &[])).await.unwrap();
    let stored = hosting::stored_specs(&world.dir.path().join("clusters"));
    assert_eq!(stored, [with(&["0.0.0.0/32"], &[])]);
    world.end().await;
}

#[tokio::test]
async fn no_client_has_a_certificate_of_the_authority_of_proxies() {
    let world = world().await;
    let maps = Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(world.plane.admin(), "kube-system");
    let trusted = |map: k8s_openapi::api::core::v1::ConfigMap| {
        let data = map.data.unwrap();
        ["client-ca-file", "requestheader-client-ca-file"].map(|key| data[key].clone())
    };
    let [clients, proxies] = trusted(maps.get("extension-apiserver-authentication").await.unwrap());
    assert_eq!(clients, world.plane.status().ca_pem);
    assert_ne!(clients, proxies);
    // They stay the same authorities when the plane starts again.
    world.hosting.stop(CLUSTER).await.unwrap();
    world.hosting.ensure(spec()).await.unwrap();
    let maps = Api::namespaced(world.hosting.plane(CLUSTER).unwrap().admin(), "kube-system");
    let again = trusted(maps.get("extension-apiserver-authentication").await.unwrap());
    assert_eq!(again, [clients, proxies]);
    world.end().await;
}

/// A plane over etcd (the front of an embedded store speaks its language): it answers, its loops lead, and its Secrets are sealed there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plane_keeps_its_objects_in_etcd() {
    use k8s_openapi::api::coordination::v1::Lease;
    use k8s_openapi::api::core::v1::Secret;
    let tasks = Tasks::new();
    let below = store::Embedded::memory(store::Options::default(), &tasks);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let front = etcd::Front::new(below.clone(), etcd::FrontOptions::default(), &tasks);
    kit::serve::plain(listener, front.service(), &tasks);
    let world = world_over(Some(etcd::Options::new([url], ""))).await;
    let leases = Api::<Lease>::namespaced(world.plane.admin(), "kube-system");
    for name in ["kube-scheduler", "kube-controller-manager", "cloud-controller-manager"] {
        until(leases.clone(), name, |lease: &Lease| lease.spec.is_some()).await;
    }
    let secrets = Api::<Secret>::namespaced(world.plane.admin(), "default");
    let secret = Secret {
        metadata: kube::api::ObjectMeta { name: Some("s".to_owned()), ..Default::default() },
        string_data: Some([("password".to_owned(), "hunter2".to_owned())].into()),
        ..Default::default()
    };
    secrets.create(&Default::default(), &secret).await.unwrap();
    let all = below.scan(&store::Span::Prefix("/lazurite/clusters/".to_owned()), None, 0, None).unwrap();
    let stored = all.items.iter().find(|kv| kv.key.ends_with("/registry/core/secrets/default/s")).unwrap();
    assert!(stored.value.starts_with(b"lz:enc:aesgcm:v1:"));
    let read = secrets.get("s").await.unwrap();
    assert_eq!(read.data.unwrap()["password"].0, b"hunter2");
    world.end().await;
    tasks.stop();
}
