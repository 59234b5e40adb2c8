//! Hosts control planes: one value per cluster, kept in a directory of its own, started again with the
//! service.
//!
//! ```text
//! <state>/clusters/<id>/   spec.json  keys.json (0600)  store.redb  encryption.keys (0600)  snapshots/
//!                          kube-audit.log  kube-audit-admin.log (both 0600)
//! ```
//!
//! Guarantees: keys, address and bootstrap token of a cluster are made once; a plane that was running is
//! running again after a restart; one that is to run and did not start is tried again until it does; deleting one that was never there succeeds. Does not: know what a
//! managed cluster is, or make nodes.

mod access;
mod addons;
mod azure_rbac;
mod command;
mod drain;
pub(crate) mod gate;
mod keys;
mod kubeconfig;
mod plane;
mod revival;
pub(crate) mod storage;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use container_service::{
    Command, CommandResult, ControlPlaneError, ControlPlaneSpec, ControlPlaneStatus, ControlPlanes,
    Credential, NodeStatus,
};
use fabric::Fabric;
use kit::Tasks;
use kit::http::{BoxService, Connection, Request, Response, Service};
use kit::serve::Gate;
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};
use tokio::sync::{SetOnce, watch};

#[cfg(test)]
pub(crate) use keys::stored_specs;
pub(crate) use plane::Plane;

/// Makes an image, and names it. Blocks.
pub(crate) type ImageMaker = Arc<dyn Fn() -> Result<String, ControlPlaneError> + Send + Sync>;

/// What all planes share.
pub(crate) struct Shared {
    /// `<state>/clusters`
    pub(crate) dir: PathBuf,
    /// Where public addresses are listened on.
    pub(crate) fabric: Arc<dyn Fabric>,
    /// The host's own listener for all API servers, for kubeconfigs.
    pub(crate) api: SocketAddr,
    /// ARM, for cloud controller managers.
    pub(crate) cloud: SetOnce<BoxService>,
    /// Tokens of cluster identities.
    pub(crate) directory: Arc<dyn arm::Directory>,
    /// Makes the image in which commands run, and names it. Set when the registry is there.
    pub(crate) command_image: SetOnce<ImageMaker>,
    /// Ends when Lazurite's own image is made; nodes cannot start before.
    pub(crate) image: watch::Receiver<bool>,
    /// Who else says whose a bearer token is (Entra).
    pub(crate) token_reviewers: Vec<Arc<dyn apiserver::TokenAuthenticator>>,
    /// Role assignments, for clusters that ask for them. Set when Resource Manager is there; until then nobody has one.
    pub(crate) assignments: Arc<SetOnce<arm::access::Access>>,
    /// Whether what is asked of API servers is recorded.
    pub(crate) audit: bool,
    /// Certificates of the shared listener by server name.
    pub(crate) certificates: kit::tls::Certificates,
    /// Where clusters' objects are, if not in their directories. Other services may host the same clusters over it: then the loops of
    /// one work.
    pub(crate) etcd: Option<etcd::Options>,
    /// Counts changes of who may connect to which API server.
    pub(crate) doors: gate::Changes,
    /// Object models by minor version: all clusters of a version share one.
    pub(crate) models: Mutex<HashMap<String, Arc<api_model::Model>>>,
}

impl Shared {
    /// The object model of a version (`1.35.6`).
    pub(crate) fn model(&self, version: &str) -> Result<Arc<api_model::Model>, ControlPlaneError> {
        let minor = version.rsplitn(2, '.').last().unwrap_or(version);
        let mut models = self.models.lock();
        if let Some(model) = models.get(minor) {
            return Ok(model.clone());
        }
        let model = api_model::Model::load(minor)
            .map_err(|_| ControlPlaneError::Version { version: version.to_owned() })?;
        models.insert(minor.to_owned(), model.clone());
        Ok(model)
    }
}

/// The host of control planes.
pub(crate) struct Hosting {
    shared: Arc<Shared>,
    /// By lower-case ARM id.
    planes: RwLock<HashMap<String, Arc<Plane>>>,
    /// One deed at a time per cluster.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Names and addresses of API servers, for the resolvers of machines.
    names: watch::Sender<Vec<(String, Ipv4Addr)>>,
    /// Planes that are to run and may not.
    down: revival::Queue,
    tasks: Tasks,
}

impl Hosting {
    /// A host with no plane running.
    pub(crate) fn new(shared: Shared, tasks: Tasks) -> Arc<Self> {
        let hosting = Arc::new(Self {
            shared: Arc::new(shared),
            planes: RwLock::default(),
            turns: Mutex::default(),
            names: watch::Sender::new(Vec::new()),
            down: revival::queue(),
            tasks,
        });
        revival::start(&hosting);
        hosting
    }

    /// From now on cloud controller managers speak to this ARM.
    pub(crate) fn set_cloud(&self, cloud: BoxService) {
        let _ = self.shared.cloud.set(cloud);
    }

    /// From now on commands run in this image.
    pub(crate) fn set_command_image(&self, image: ImageMaker) {
        let _ = self.shared.command_image.set(image);
    }

    /// From now on role assignments are these.
    pub(crate) fn set_assignments(&self, access: arm::access::Access) {
        let _ = self.shared.assignments.set(access);
    }

    /// Names and addresses of all API servers, and each change of them.
    pub(crate) fn names(&self) -> watch::Receiver<Vec<(String, Ipv4Addr)>> {
        self.names.subscribe()
    }

    /// Starts every plane that was running when the service ended. One that fails is logged and tried again later.
    pub(crate) async fn resume(self: &Arc<Self>) {
        let specs = keys::stored_specs(&self.shared.dir);
        let mut starts = tokio::task::JoinSet::new();
        for spec in specs {
            let hosting = self.clone();
            starts.spawn(async move {
                let cluster = spec.cluster.clone();
                if let Err(error) = hosting.ensure(spec).await {
                    tracing::error!(%cluster, error = %kit::Chain(&error), "failed to start a control plane");
                }
            });
        }
        starts.join_all().await;
    }

    /// What answers on the shared listener, and lets in there: the plane whose name the client asked for.
    pub(crate) fn by_server_name(self: &Arc<Self>) -> Arc<ByServerName> {
        Arc::new(ByServerName(self.clone()))
    }

    /// The running plane of a cluster.
    pub(crate) fn plane(&self, cluster: &str) -> Option<Arc<Plane>> {
        self.planes.read().get(&key(cluster)).cloned()
    }

    /// The running plane whose published issuer this is.
    pub(crate) fn by_issuer(&self, issuer: &str) -> Option<Arc<Plane>> {
        let planes = self.planes.read();
        planes.values().find(|plane| plane.is_issuer(issuer)).cloned()
    }

    fn running(&self, cluster: &str) -> Result<Arc<Plane>, ControlPlaneError> {
        self.plane(cluster).ok_or_else(|| ControlPlaneError::NotFound { cluster: cluster.to_owned() })
    }

    fn turn(&self, cluster: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.turns.lock().entry(key(cluster)).or_default().clone()
    }

    fn dir(&self, cluster: &str) -> PathBuf {
        self.shared.dir.join(&hex::encode(Sha256::digest(key(cluster)))[..16])
    }

    fn publish_names(&self) {
        let mut names: Vec<_> =
            self.planes.read().values().map(|plane| (plane.spec.fqdn.clone(), plane.keys.address)).collect();
        names.sort();
        self.names.send_replace(names);
    }

    /// The lowest address that no cluster has, stored or running.
    fn free_address(&self) -> Ipv4Addr {
        let taken = keys::stored_addresses(&self.shared.dir);
        let first = u32::from(Ipv4Addr::new(20, 1, 0, 4));
        (first..)
            .map(Ipv4Addr::from)
            .find(|address| !taken.contains(address))
            .unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    /// Makes a plane run as a spec says. For whoever has the cluster's turn.
    async fn ensure_in_turn(&self, spec: ControlPlaneSpec) -> Result<ControlPlaneStatus, ControlPlaneError> {
        if let Some(plane) = self.plane(&spec.cluster) {
            if plane.spec.serves_as(&spec) {
                if !plane.door.is_as(&spec) {
                    keys::write_spec(&self.dir(&spec.cluster), &spec)
                        .map_err(failed("store a control plane's settings"))?;
                    plane.door.admit(&spec);
                }
                return Ok(plane.status());
            }
            self.halt(&spec.cluster).await;
        }
        let dir = self.dir(&spec.cluster);
        let keys = self.keys(&dir).await?;
        keys::write_spec(&dir, &spec).map_err(failed("store a control plane's settings"))?;
        self.start(spec, keys, &dir).await
    }

    /// The keys in a cluster's directory; of a new cluster, new ones with an address.
    async fn keys(&self, dir: &Path) -> Result<keys::Keys, ControlPlaneError> {
        match keys::Keys::read_complete(dir).map_err(failed("read a control plane's keys"))? {
            Some(keys) => Ok(keys),
            // New ones would cut off its nodes and make its tokens worthless, and nobody would know why.
            None if storage::store_file(dir).exists() => Err(failed("read a control plane's keys")(format!(
                "`{}` is missing though the cluster's store is there; put it back from a backup, then restart",
                dir.join(keys::KEYS).display()
            ))),
            None => {
                // An RSA key takes its time: not on a thread that others wait for, and not in a turn.
                let made = tokio::task::spawn_blocking(keys::Keys::make).await;
                let mut keys = made.map_err(failed("make keys"))?.map_err(failed("make keys"))?;
                // The address is chosen and stored in one turn of all clusters: no two get the same.
                let all = self.turn("");
                let _all = all.lock().await;
                keys.address = self.free_address();
                keys.write(dir).map_err(failed("store a control plane's keys"))?;
                Ok(keys)
            }
        }
    }

    async fn start(
        &self,
        spec: ControlPlaneSpec,
        keys: keys::Keys,
        dir: &Path,
    ) -> Result<ControlPlaneStatus, ControlPlaneError> {
        let plane = Plane::start(spec, keys, dir, &self.shared, &self.tasks).await?;
        let status = plane.status();
        self.planes.write().insert(key(&plane.spec.cluster), plane);
        self.publish_names();
        Ok(status)
    }

    /// Starts the plane anew with other keys, made of those that are stored.
    async fn rekey(
        &self,
        cluster: &str,
        change: impl FnOnce(&keys::Keys) -> anyhow::Result<keys::Keys> + Send + 'static,
    ) -> Result<(), ControlPlaneError> {
        let turn = self.turn(cluster);
        let _turn = turn.lock().await;
        let missing = || ControlPlaneError::NotFound { cluster: cluster.to_owned() };
        let dir = self.dir(cluster);
        let spec = keys::stored_spec(&dir).ok_or_else(missing)?;
        let old = keys::Keys::read_complete(&dir).map_err(failed("read a control plane's keys"))?;
        let old = old.ok_or_else(missing)?;
        let renewed = tokio::task::spawn_blocking(move || change(&old)).await;
        let keys = renewed.map_err(failed("make keys"))?.map_err(failed("make keys"))?;
        self.halt(cluster).await;
        let started = match keys.write(&dir).map_err(failed("store a control plane's keys")) {
            Ok(()) => self.start(spec, keys, &dir).await.map(|_| ()),
            Err(error) => Err(error),
        };
        self.revive_later(cluster, started)
    }

    async fn halt(&self, cluster: &str) {
        let Some(plane) = self.planes.write().remove(&key(cluster)) else { return };
        self.shared.certificates.remove(&plane.spec.fqdn);
        self.publish_names();
        plane.stop().await;
    }
}

fn key(cluster: &str) -> String {
    cluster.to_ascii_lowercase()
}

pub(crate) fn failed<E>(deed: &'static str) -> impl FnOnce(E) -> ControlPlaneError
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    move |source| ControlPlaneError::Failed { deed, source: source.into() }
}

#[async_trait]
impl ControlPlanes for Hosting {
    async fn ensure(&self, spec: ControlPlaneSpec) -> Result<ControlPlaneStatus, ControlPlaneError> {
        let turn = self.turn(&spec.cluster);
        let _turn = turn.lock().await;
        let cluster = spec.cluster.clone();
        let ensured = self.ensure_in_turn(spec).await;
        let status = self.revive_later(&cluster, ensured)?;
        // Machines come after this, and find the image on their disk at the first boot.
        let mut image = self.shared.image.clone();
        let _ = image.wait_for(|made| *made).await;
        Ok(status)
    }

    async fn kubeconfig(
        &self,
        cluster: &str,
        who: Credential,
        namespace: Option<&str>,
    ) -> Result<String, ControlPlaneError> {
        let plane = self.running(cluster)?;
        let rendered = kubeconfig::render(&plane, who, namespace, self.shared.api);
        rendered.map_err(failed("issue a client certificate"))
    }

    async fn administrator(&self, cluster: &str) -> Result<kube::Client, ControlPlaneError> {
        Ok(self.running(cluster)?.admin())
    }

    async fn nodes(&self, cluster: &str) -> Result<Vec<NodeStatus>, ControlPlaneError> {
        Ok(self.running(cluster)?.nodes())
    }

    fn watch_nodes(&self, cluster: &str) -> watch::Receiver<u64> {
        match self.plane(cluster) {
            Some(plane) => plane.watch_nodes(),
            None => watch::Sender::new(0).subscribe(),
        }
    }

    async fn drain(&self, cluster: &str, node: &str) -> Result<(), ControlPlaneError> {
        drain::drain(self.running(cluster)?.admin(), node).await
    }

    async fn delete_node(&self, cluster: &str, node: &str) -> Result<(), ControlPlaneError> {
        drain::delete_node(self.running(cluster)?.admin(), node).await
    }

    async fn rotate_certificates(&self, cluster: &str) -> Result<(), ControlPlaneError> {
        self.rekey(cluster, keys::Keys::renewed).await
    }

    async fn rotate_signing_keys(&self, cluster: &str, rotation: &str) -> Result<(), ControlPlaneError> {
        if self.plane(cluster).is_some_and(|plane| plane.keys.signing_rotation == rotation) {
            return Ok(());
        }
        let rotation = rotation.to_owned();
        self.rekey(cluster, move |keys| keys.with_new_signer(&rotation)).await
    }

    async fn run_command(&self, cluster: &str, command: Command) -> Result<String, ControlPlaneError> {
        let plane = self.running(cluster)?;
        let image = self.shared.command_image.wait().await.clone();
        let image = tokio::task::spawn_blocking(move || image()).await;
        let image = image.map_err(failed("make the image of commands"))??;
        let id = command::run(&plane, &command, &image).await?;
        let (plane, of) = (Arc::downgrade(&plane), id.clone());
        // A pod without a node ends in time also when nobody asks for its result.
        self.tasks.spawn("command without a node", async move {
            tokio::time::sleep(command::SCHEDULE_LIMIT).await;
            let Some(plane) = plane.upgrade() else { return };
            if let Err(error) = command::result(&plane, &of).await {
                tracing::debug!(error = %kit::Chain(&error), "failed to look at a command");
            }
        });
        Ok(id)
    }

    async fn command_result(
        &self,
        cluster: &str,
        id: &str,
    ) -> Result<Option<CommandResult>, ControlPlaneError> {
        command::result(self.running(cluster)?.as_ref(), id).await
    }

    async fn stop(&self, cluster: &str) -> Result<(), ControlPlaneError> {
        let turn = self.turn(cluster);
        let _turn = turn.lock().await;
        self.halt(cluster).await;
        keys::forget_spec(&self.dir(cluster)).map_err(failed("store that a control plane is stopped"))
    }

    async fn delete(&self, cluster: &str) -> Result<(), ControlPlaneError> {
        let turn = self.turn(cluster);
        let _turn = turn.lock().await;
        self.halt(cluster).await;
        // First, so that what a crash leaves of the rest is never started again.
        keys::forget_spec(&self.dir(cluster)).map_err(failed("delete a control plane's settings"))?;
        match tokio::fs::remove_dir_all(self.dir(cluster)).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("delete a control plane's state")(error))
            }
            _ => Ok(()),
        }
    }
}

/// Routes by the server name of the TLS hello.
pub(crate) struct ByServerName(Arc<Hosting>);

impl ByServerName {
    fn plane(&self, name: Option<&str>) -> Option<Arc<Plane>> {
        let name = name?;
        let planes = self.0.planes.read();
        planes.values().find(|plane| plane.spec.fqdn.eq_ignore_ascii_case(name)).cloned()
    }
}

impl Gate for ByServerName {
    fn admits(&self, peer: SocketAddr, server_name: Option<&str>) -> bool {
        self.plane(server_name).is_none_or(|plane| plane.door.admits(peer))
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.0.shared.doors.subscribe()
    }
}

#[async_trait]
impl Service for ByServerName {
    async fn call(&self, request: Request) -> Response {
        let name =
            request.extensions().get::<Connection>().and_then(|connection| connection.server_name.clone());
        match self.plane(name.as_deref()) {
            Some(plane) => plane.service().call(request).await,
            None => kit::http::bytes_response(
                http::StatusCode::MISDIRECTED_REQUEST,
                "text/plain",
                "no cluster has this server name; set `tls-server-name` to the cluster's FQDN\n",
            ),
        }
    }
}
