//! One running control plane: API server, scheduler, controllers, cloud controller, add-ons.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apiserver::{ApiServer, UserInfo};
use async_trait::async_trait;
use container_service::{ControlPlaneError, ControlPlaneSpec, ControlPlaneStatus, NodeStatus};
use fabric::Place;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kit::Tasks;
use kit::http::BoxService;
use kit::pki::{Authority, Leaf, Usage};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::watch;

use super::azure_rbac::AzureRbac;
use super::gate::Door;
use super::keys::Keys;
use super::storage::Storage;
use super::{Shared, access, addons, failed};

const SERVING_VALID: Duration = Duration::from_secs(2 * 365 * 86_400);
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
const MANAGEMENT: &str = "https://management.azure.com/";

/// A running plane.
pub(crate) struct Plane {
    pub(crate) spec: ControlPlaneSpec,
    pub(crate) keys: Keys,
    pub(crate) authority: Authority,
    /// Who may connect.
    pub(super) door: Door,
    server: Arc<ApiServer>,
    storage: Storage,
    nodes: Store<Node>,
    nodes_changed: watch::Sender<u64>,
    /// Scheduler and controllers: they stop first, for they let go of their leases through the API server.
    loops: Tasks,
    tasks: Tasks,
}

impl Plane {
    /// Starts everything; the API server answers when this returns.
    pub(crate) async fn start(
        spec: ControlPlaneSpec,
        keys: Keys,
        dir: &Path,
        shared: &Arc<Shared>,
        parent: &Tasks,
    ) -> Result<Arc<Self>, ControlPlaneError> {
        let tasks = parent.child();
        let authority = keys.authority().map_err(failed("load the cluster's authority"))?;
        let storage = Storage::open(dir, shared.etcd.as_ref(), &tasks).await?;
        let server = start_server(&spec, &keys, &authority, storage.store(), (dir, shared), &tasks).await?;
        let door = Door::new(&spec, &shared.doors);
        let started = Self::connect(&spec, &keys, &authority, (&server, &door), shared, &tasks).await;
        if let Err(error) = started {
            tasks.drain(DRAIN_LIMIT).await;
            storage.close().await;
            return Err(error);
        }
        let admin =
            server.client(UserInfo::new("lazurite:host", &["system:masters", "system:authenticated"]));
        let (nodes, nodes_changed) = watch_nodes(admin.clone(), &tasks);
        addons::keep(admin, &spec, &keys.bootstrap_token, &tasks);
        let loops = tasks.child();
        start_loops(&spec, &authority, &server, shared, &loops);
        Ok(Arc::new(Self {
            spec,
            keys,
            authority,
            door,
            server,
            storage,
            nodes,
            nodes_changed,
            loops,
            tasks,
        }))
    }

    async fn connect(
        spec: &ControlPlaneSpec,
        keys: &Keys,
        authority: &Authority,
        (server, door): (&Arc<ApiServer>, &Door),
        shared: &Arc<Shared>,
        tasks: &Tasks,
    ) -> Result<(), ControlPlaneError> {
        let issued =
            authority.issue(&serving(spec, keys)).map_err(failed("issue the API server's certificate"))?;
        let (chain, key) = (issued.certificate_pem.as_str(), issued.key_pem.as_str());
        let own = kit::tls::Certificates::new();
        own.set_default(chain, key).map_err(failed("use the API server's certificate"))?;
        let tls = kit::tls::server(own).map_err(failed("set up TLS"))?;
        let address = SocketAddrV4::new(keys.address, 443);
        let listener = shared
            .fabric
            .listen(Place::Internet, address)
            .await
            .map_err(failed("listen on the API server's public address"))?;
        kit::serve::tls_behind(Arc::new(door.clone()), listener, tls, server.service(), tasks);
        shared.certificates.set(&spec.fqdn, chain, key).map_err(failed("use the API server's certificate"))
    }

    /// What the managed cluster needs to know.
    pub(crate) fn status(&self) -> ControlPlaneStatus {
        ControlPlaneStatus {
            fqdn: self.spec.fqdn.clone(),
            address: self.keys.address,
            port: 443,
            ca_pem: self.keys.ca_pem.clone(),
            bootstrap_token: self.keys.bootstrap_token.clone(),
        }
    }

    /// The API server, as TLS listeners see it.
    pub(crate) fn service(&self) -> BoxService {
        self.server.service()
    }

    /// A client that may do everything, for the host's own deeds.
    pub(crate) fn admin(&self) -> kube::Client {
        self.server.client(UserInfo::new("lazurite:host", &["system:masters", "system:authenticated"]))
    }

    /// Whether this is the cluster's OIDC issuer. Without one its tokens name the API server itself, which
    /// publishes its keys to nobody outside.
    pub(crate) fn is_issuer(&self, issuer: &str) -> bool {
        self.spec.issuer == issuer && issuer != format!("https://{}", self.spec.fqdn)
    }

    /// The nodes as last seen.
    pub(crate) fn nodes(&self) -> Vec<NodeStatus> {
        self.nodes.state().iter().map(|node| status_of(node)).collect()
    }

    /// Changes with every change of a node.
    pub(crate) fn watch_nodes(&self) -> watch::Receiver<u64> {
        self.nodes_changed.subscribe()
    }

    /// Stops all loops and the API server; what is stored stays.
    pub(crate) async fn stop(&self) {
        let ended = [self.loops.drain(DRAIN_LIMIT).await, self.tasks.drain(DRAIN_LIMIT).await];
        if ended.contains(&false) {
            tracing::warn!(cluster = %self.spec.cluster, "a control plane's tasks did not end in time");
        }
        self.storage.close().await;
    }
}

async fn start_server(
    spec: &ControlPlaneSpec,
    keys: &Keys,
    authority: &Authority,
    store: Arc<dyn store::Store>,
    (dir, shared): (&Path, &Arc<Shared>),
    tasks: &Tasks,
) -> Result<Arc<ApiServer>, ControlPlaneError> {
    let model = shared.model(&spec.version)?;
    let mut access = access::settings(spec, dir, shared.audit, tasks)?;
    if spec.azure_rbac {
        let asked = AzureRbac::new(&spec.cluster, shared.assignments.clone(), model.clone());
        access.authorizer = Some(Arc::new(asked.map_err(failed("read the cluster's id"))?));
    }
    access.retired_service_account_keys_pem.clone_from(&keys.retired_service_account_keys_pem);
    access.proxy_authority = Some(keys.proxy_authority().map_err(failed("load the authority of proxies"))?);
    let config = apiserver::Config {
        name: spec.name.clone(),
        model,
        store,
        authority: authority.clone(),
        service_account_key_pem: keys.service_account_key_pem.clone(),
        issuer: spec.issuer.clone(),
        service_cidr: spec.service_cidr,
        dns_service_ip: spec.dns_service_ip,
        advertise: SocketAddrV4::new(keys.address, 443),
        version: spec.version.clone(),
        clock: Arc::new(kit::SystemClock),
        // A cluster without the profile knows nobody of the directory.
        token_reviewers: if spec.entra { shared.token_reviewers.clone() } else { Vec::new() },
        access,
    };
    ApiServer::start(config, tasks).await.map_err(failed("start the API server"))
}

/// Every name and address by which the API server is called.
fn serving(spec: &ControlPlaneSpec, keys: &Keys) -> Leaf {
    let first = Ipv4Addr::from(u32::from(spec.service_cidr.network()) + 1);
    let names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    Leaf {
        common_name: "apiserver".into(),
        organizations: Vec::new(),
        dns_names: names
            .iter()
            .map(|name| (*name).to_owned())
            .chain([spec.fqdn.clone(), "localhost".into()])
            .collect(),
        addresses: vec![IpAddr::V4(first), IpAddr::V4(keys.address), IpAddr::V4(Ipv4Addr::LOCALHOST)],
        usage: Usage::Server,
        valid: SERVING_VALID,
    }
}

fn start_loops(
    spec: &ControlPlaneSpec,
    authority: &Authority,
    server: &Arc<ApiServer>,
    shared: &Arc<Shared>,
    tasks: &Tasks,
) {
    let component = |name: &str| server.client(UserInfo::new(name, &["system:authenticated"]));
    let elect = shared.etcd.is_some();
    let client = component("system:kube-scheduler");
    work(elect, "kube-scheduler", client, tasks, |client, group| {
        scheduler::start(client, scheduler::Config::default(), group);
    });
    let mut config = controller_manager::Config::new(authority.clone());
    let accounts = server.clone();
    config.client_for = Some(Arc::new(move |account| accounts.client(service_account(account))));
    let client = component("system:kube-controller-manager");
    work(elect, "kube-controller-manager", client, tasks, move |client, group| {
        controller_manager::start(client, config.clone(), group);
    });
    let client = component("system:cloud-controller-manager");
    let token =
        ClusterIdentity { principal_id: spec.principal_id.clone(), directory: shared.directory.clone() };
    let (spec, shared, token) = (spec.clone(), shared.clone(), Arc::new(token));
    work(elect, "cloud-controller-manager", client, tasks, move |client, group| {
        let (spec, shared, token, own) = (spec.clone(), shared.clone(), token.clone(), group.clone());
        // A plane may start while Resource Manager is still being built: it is what resumes the plane's saga.
        group.spawn("cloud controller manager", async move {
            let config = cloud_controller_manager::Config {
                cloud: shared.cloud.wait().await.clone(),
                token,
                subscription_id: spec.subscription_id,
                resource_group: spec.node_resource_group,
                location: spec.location,
                cluster_name: spec.name,
            };
            cloud_controller_manager::start(client, config, &own);
        });
    });
}

/// A loop's own user, as upstream's `--use-service-account-credentials` has it.
fn service_account(name: &str) -> UserInfo {
    let groups = ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"];
    UserInfo::new(&format!("system:serviceaccount:kube-system:{name}"), &groups)
}

/// Starts a component: at once when it is the only one, else while it leads.
fn work<F>(elect: bool, name: &str, client: kube::Client, tasks: &Tasks, start: F)
where
    F: Fn(kube::Client, &Tasks) + Send + Sync + 'static,
{
    if !elect {
        return start(client, tasks);
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let election = informers::leader::Election {
        client: client.clone(),
        namespace: "kube-system".to_owned(),
        name: name.to_owned(),
        identity: format!("{}_{}", host.trim(), uuid::Uuid::new_v4()),
        timing: informers::leader::Timing::default(),
        clock: Arc::new(kit::SystemClock),
    };
    informers::leader::lead(election, tasks, move |group| start(client.clone(), group));
}

/// Tokens of the cluster's identity, from the directory.
struct ClusterIdentity {
    principal_id: String,
    directory: Arc<dyn arm::Directory>,
}

#[async_trait]
impl cloud_controller_manager::TokenSource for ClusterIdentity {
    async fn token(&self) -> Result<String, cloud_controller_manager::TokenError> {
        match self.directory.token_for(&self.principal_id, MANAGEMENT).await {
            Ok(token) => Ok(token.access_token),
            Err(error) => Err(cloud_controller_manager::TokenError(kit::Chain(&error).to_string())),
        }
    }
}

fn watch_nodes(client: kube::Client, tasks: &Tasks) -> (Store<Node>, watch::Sender<u64>) {
    let (store, writer) = reflector::store();
    let changed = watch::Sender::new(0_u64);
    let api = kube::Api::<Node>::all(client);
    let stream = reflector::reflector(writer, watcher(api, watcher::Config::default()).default_backoff());
    let sender = changed.clone();
    tasks.spawn("host's nodes", async move {
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            match event {
                Ok(_) => sender.send_modify(|count| *count += 1),
                Err(error) => tracing::debug!(error = %kit::Chain(&error), "a watch of nodes broke"),
            }
        }
    });
    (store, changed)
}

fn status_of(node: &Node) -> NodeStatus {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let label = |name: &str| node.metadata.labels.as_ref().and_then(|labels| labels.get(name).cloned());
    NodeStatus {
        name: node.metadata.name.clone().unwrap_or_default(),
        ready,
        pool: label("kubernetes.azure.com/agentpool").unwrap_or_default(),
    }
}
