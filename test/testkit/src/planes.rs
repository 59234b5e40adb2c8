//! Control planes that are an API server in memory each: objects are real, nobody works on them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use apiserver::{ApiServer, UserInfo};
use async_trait::async_trait;
use container_service::{
    Command, CommandResult, ControlPlaneError, ControlPlaneSpec, ControlPlaneStatus, ControlPlanes,
    Credential, NodeStatus,
};
use k8s_openapi::api::core::v1::Node;
use kit::Tasks;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

const AUTHORITY_VALID: Duration = Duration::from_secs(86_400);
const DRAIN_LIMIT: Duration = Duration::from_secs(5);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(20, 1, 0, 4);
const POOL: &str = "kubernetes.azure.com/agentpool";

struct Plane {
    spec: ControlPlaneSpec,
    server: Arc<ApiServer>,
    ca_pem: String,
    /// A stopped plane keeps its objects, and nobody reaches it.
    stopped: bool,
    tasks: Tasks,
}

/// The control planes of a stack.
pub struct Planes {
    /// By lower-case ARM id.
    planes: Mutex<BTreeMap<String, Plane>>,
    changed: watch::Sender<u64>,
    clock: Arc<dyn kit::Clock>,
    tasks: Tasks,
}

fn failed<E>(deed: &'static str) -> impl FnOnce(E) -> ControlPlaneError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |source| ControlPlaneError::Failed { deed, source: source.into() }
}

fn absent(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

impl Planes {
    pub(crate) fn new(clock: Arc<dyn kit::Clock>, tasks: Tasks) -> Self {
        Self { planes: Mutex::default(), changed: watch::Sender::new(0), clock, tasks }
    }

    /// A client of a running cluster that may do everything.
    pub fn admin(&self, cluster: &str) -> Option<kube::Client> {
        let planes = self.planes.lock();
        let plane = planes.get(&cluster.to_ascii_lowercase()).filter(|plane| !plane.stopped)?;
        Some(plane.server.client(UserInfo::new("admin", &["system:masters", "system:authenticated"])))
    }

    fn running(&self, cluster: &str) -> Result<kube::Client, ControlPlaneError> {
        self.admin(cluster).ok_or_else(|| ControlPlaneError::NotFound { cluster: cluster.to_owned() })
    }

    /// What a machine does at its boot: the node is there, and ready.
    pub(crate) async fn register(&self, fqdn: &str, name: &str, labels: &Value) -> Result<()> {
        let cluster = {
            let planes = self.planes.lock();
            planes.values().find(|plane| plane.spec.fqdn == fqdn).map(|plane| plane.spec.cluster.clone())
        };
        let cluster = cluster.with_context(|| format!("no API server is called `{fqdn}`"))?;
        let nodes: Api<Node> = Api::all(self.running(&cluster)?);
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}});
        let ready = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}});
        let params = PatchParams::apply("machine").force();
        nodes.patch(name, &params, &Patch::Apply(&node)).await.context("failed to register a node")?;
        nodes
            .patch_status(name, &params, &Patch::Apply(&ready))
            .await
            .context("failed to make a node ready")?;
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn start(&self, spec: ControlPlaneSpec) -> Result<Plane, ControlPlaneError> {
        let tasks = self.tasks.child();
        let authority =
            kit::pki::Authority::new("ca", AUTHORITY_VALID).map_err(failed("make an authority"))?;
        let minor = spec.version.rsplitn(2, '.').last().unwrap_or(&spec.version);
        let config = apiserver::Config {
            name: spec.name.clone(),
            model: api_model::Model::load(minor).map_err(failed("load the object model"))?,
            store: store::Embedded::memory(store::Options::default(), &tasks),
            authority: authority.clone(),
            service_account_key_pem: kit::pki::rsa_key_pem().map_err(failed("make a key"))?,
            issuer: spec.issuer.clone(),
            service_cidr: spec.service_cidr,
            dns_service_ip: spec.dns_service_ip,
            advertise: SocketAddrV4::new(ADDRESS, 443),
            version: spec.version.clone(),
            clock: self.clock.clone(),
            token_reviewers: Vec::new(),
            access: apiserver::Access::default(),
        };
        let server = ApiServer::start(config, &tasks).await.map_err(failed("start an API server"))?;
        Ok(Plane { spec, server, ca_pem: authority.certificate_pem().to_owned(), stopped: false, tasks })
    }
}

#[async_trait]
impl ControlPlanes for Planes {
    async fn ensure(&self, spec: ControlPlaneSpec) -> Result<ControlPlaneStatus, ControlPlaneError> {
        let key = spec.cluster.to_ascii_lowercase();
        if !self.planes.lock().contains_key(&key) {
            let plane = self.start(spec.clone()).await?;
            self.planes.lock().insert(key.clone(), plane);
        }
        let mut planes = self.planes.lock();
        let lost = || ControlPlaneError::NotFound { cluster: spec.cluster.clone() };
        let plane = planes.get_mut(&key).ok_or_else(lost)?;
        plane.stopped = false;
        plane.spec = spec.clone();
        Ok(ControlPlaneStatus {
            fqdn: spec.fqdn.clone(),
            address: ADDRESS,
            port: 443,
            ca_pem: plane.ca_pem.clone(),
            bootstrap_token: "abcdef.0123456789abcdef".to_owned(),
        })
    }

    async fn kubeconfig(&self, _: &str, _: Credential, _: Option<&str>) -> Result<String, ControlPlaneError> {
        Err(failed("write a kubeconfig")("a test stack's API servers listen nowhere; ask Planes::admin"))
    }

    async fn administrator(&self, cluster: &str) -> Result<kube::Client, ControlPlaneError> {
        self.running(cluster)
    }

    async fn nodes(&self, cluster: &str) -> Result<Vec<NodeStatus>, ControlPlaneError> {
        let nodes: Api<Node> = Api::all(self.running(cluster)?);
        let listed = nodes.list(&ListParams::default()).await.map_err(failed("list nodes"))?;
        let status = |node: Node| NodeStatus {
            ready: node
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten())
                .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
            pool: node.metadata.labels.and_then(|mut labels| labels.remove(POOL)).unwrap_or_default(),
            name: node.metadata.name.unwrap_or_default(),
        };
        Ok(listed.items.into_iter().map(status).collect())
    }

    fn watch_nodes(&self, _: &str) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    async fn drain(&self, cluster: &str, node: &str) -> Result<(), ControlPlaneError> {
        // Nothing runs on these nodes: to cordon is all there is to do.
        let nodes: Api<Node> = Api::all(self.running(cluster)?);
        let cordon = json!({"spec": {"unschedulable": true}});
        match nodes.patch(node, &PatchParams::default(), &Patch::Merge(&cordon)).await {
            Err(error) if !absent(&error) => Err(failed("cordon a node")(error)),
            _ => Ok(()),
        }
    }

    async fn delete_node(&self, cluster: &str, node: &str) -> Result<(), ControlPlaneError> {
        let nodes: Api<Node> = Api::all(self.running(cluster)?);
        let deleted = nodes.delete(node, &DeleteParams::default()).await;
        self.changed.send_modify(|count| *count += 1);
        match deleted {
            Err(error) if !absent(&error) => Err(failed("delete a node")(error)),
            _ => Ok(()),
        }
    }

    async fn rotate_certificates(&self, cluster: &str) -> Result<(), ControlPlaneError> {
        // Nodes here sign in with nothing: all that changes is what new ones are told.
        let authority =
            kit::pki::Authority::new("ca", AUTHORITY_VALID).map_err(failed("make an authority"))?;
        let mut planes = self.planes.lock();
        let lost = || ControlPlaneError::NotFound { cluster: cluster.to_owned() };
        let plane = planes.get_mut(&cluster.to_ascii_lowercase()).ok_or_else(lost)?;
        plane.ca_pem = authority.certificate_pem().to_owned();
        Ok(())
    }

    async fn rotate_signing_keys(&self, _: &str, _: &str) -> Result<(), ControlPlaneError> {
        Err(failed("rotate signing keys")("a test stack's API servers keep no keys"))
    }

    async fn run_command(&self, _: &str, _: Command) -> Result<String, ControlPlaneError> {
        Err(failed("run a command")("a test stack's nodes run nothing"))
    }

    async fn command_result(&self, _: &str, _: &str) -> Result<Option<CommandResult>, ControlPlaneError> {
        Ok(None)
    }

    async fn stop(&self, cluster: &str) -> Result<(), ControlPlaneError> {
        if let Some(plane) = self.planes.lock().get_mut(&cluster.to_ascii_lowercase()) {
            plane.stopped = true;
        }
        Ok(())
    }

    async fn delete(&self, cluster: &str) -> Result<(), ControlPlaneError> {
        let plane = self.planes.lock().remove(&cluster.to_ascii_lowercase());
        if let Some(plane) = plane {
            plane.tasks.drain(DRAIN_LIMIT).await;
        }
        Ok(())
    }
}
