//! A whole cloud in one process: the real front door and providers, a simulated fabric, fake control planes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use arm::{ArmClient, ArmError, Ctx, Front, FrontConfig};
use async_trait::async_trait;
use container_service::service::Inject;
use container_service::{
    Command, CommandResult, CommandState, ContainerService, ControlPlaneError, ControlPlaneSpec,
    ControlPlaneStatus, ControlPlanes, Credential, NodeStatus, Settings, Size, Sizes,
};
use fabric::{Booted, Fabric, MachineFiles, MachineStarter, SimulatedFabric};
use parking_lot::Mutex;
use providers::fake::{FakeDirectory, OWNER, SUBSCRIPTION, TENANT, caller};
use serde_json::{Value, json};
use tokio::sync::watch;

pub const AKS: &str = "2026-06-01";
pub const GROUPS: &str = "2024-11-01";

/// Control planes that remember; nodes are what machines registered.
#[derive(Default)]
pub struct Planes {
    /// By lower-case cluster id: the spec and its nodes (name, pool).
    pub made: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
    pub stopped: Mutex<BTreeSet<String>>,
    pub drained: Mutex<Vec<String>>,
    /// How often certificates were made anew.
    pub rotations: Mutex<u32>,
    /// Rotations of signing keys that were asked for.
    pub signing: Mutex<BTreeSet<String>>,
    /// What was run, and how often its result was asked for.
    pub commands: Mutex<Vec<(Command, u32)>>,
    fqdns: Mutex<BTreeMap<String, String>>,
    specs: Mutex<BTreeMap<String, ControlPlaneSpec>>,
    changed: watch::Sender<u64>,
}

impl Planes {
    /// What a cluster's control plane was last told to be.
    pub fn spec(&self, cluster: &str) -> ControlPlaneSpec {
        self.specs.lock()[&cluster.to_ascii_lowercase()].clone()
    }
}

#[async_trait]
impl ControlPlanes for Planes {
    async fn ensure(&self, spec: ControlPlaneSpec) -> Result<ControlPlaneStatus, ControlPlaneError> {
        let key = spec.cluster.to_ascii_lowercase();
        self.made.lock().entry(key.clone()).or_default();
        self.stopped.lock().remove(&key);
        self.specs.lock().insert(key.clone(), spec.clone());
        self.fqdns.lock().insert(spec.fqdn.clone(), key);
        Ok(ControlPlaneStatus {
            fqdn: spec.fqdn,
            address: Ipv4Addr::new(20, 1, 0, 4),
            port: 443,
            ca_pem: format!("CA {}", self.rotations.lock()),
            bootstrap_token: "abcdef.0123456789abcdef".into(),
        })
    }
    async fn kubeconfig(
        &self,
        cluster: &str,
        who: Credential,
        namespace: Option<&str>,
    ) -> Result<String, ControlPlaneError> {
        let inside = namespace.map(|name| format!(" in {name}")).unwrap_or_default();
        match self.made.lock().contains_key(&cluster.to_ascii_lowercase()) {
            true => Ok(format!("kubeconfig of {who:?}{inside}")),
            false => Err(ControlPlaneError::NotFound { cluster: cluster.into() }),
        }
    }
    async fn administrator(&self, cluster: &str) -> Result<kube::Client, ControlPlaneError> {
        Err(ControlPlaneError::NotFound { cluster: cluster.into() })
    }
    async fn nodes(&self, cluster: &str) -> Result<Vec<NodeStatus>, ControlPlaneError> {
        let made = self.made.lock();
        let nodes = made.get(&cluster.to_ascii_lowercase());
        Ok(nodes
            .into_iter()
            .flatten()
            .map(|(name, pool)| NodeStatus { name: name.clone(), ready: true, pool: pool.clone() })
            .collect())
    }
    fn watch_nodes(&self, _: &str) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
    async fn drain(&self, _: &str, node: &str) -> Result<(), ControlPlaneError> {
        self.drained.lock().push(node.to_owned());
        Ok(())
    }
    async fn delete_node(&self, cluster: &str, node: &str) -> Result<(), ControlPlaneError> {
        if let Some(nodes) = self.made.lock().get_mut(&cluster.to_ascii_lowercase()) {
            nodes.remove(node);
        }
        self.changed.send_modify(|n| *n += 1);
        Ok(())
    }
    async fn rotate_certificates(&self, _: &str) -> Result<(), ControlPlaneError> {
        *self.rotations.lock() += 1;
        Ok(())
    }
    async fn rotate_signing_keys(&self, _: &str, rotation: &str) -> Result<(), ControlPlaneError> {
        self.signing.lock().insert(rotation.to_owned());
        Ok(())
    }
    async fn run_command(&self, _: &str, command: Command) -> Result<String, ControlPlaneError> {
        if command.line == "missing" {
            return Err(ControlPlaneError::Lacking { reason: "install kubectl".into() });
        }
        let mut commands = self.commands.lock();
        commands.push((command, 0));
        Ok(format!("{:032x}", commands.len() - 1))
    }
    async fn command_result(&self, _: &str, id: &str) -> Result<Option<CommandResult>, ControlPlaneError> {
        let mut commands = self.commands.lock();
        let at = usize::from_str_radix(id, 16).unwrap_or(usize::MAX);
        Ok(commands.get_mut(at).map(|(command, asked)| {
            *asked += 1;
            let ended = *asked > 1;
            CommandResult {
                state: if ended { CommandState::Succeeded } else { CommandState::Running },
                exit_code: ended.then_some(3),
                started_at: ended.then(|| "2026-11-30T00:00:00Z".to_owned()),
                finished_at: ended.then(|| "2026-11-30T00:00:01Z".to_owned()),
                logs: if ended { format!("ran {}", command.line) } else { String::new() },
                reason: None,
            }
        }))
    }
    async fn stop(&self, cluster: &str) -> Result<(), ControlPlaneError> {
        self.stopped.lock().insert(cluster.to_ascii_lowercase());
        Ok(())
    }
    async fn delete(&self, cluster: &str) -> Result<(), ControlPlaneError> {
        self.made.lock().remove(&cluster.to_ascii_lowercase());
        Ok(())
    }
}

/// A machine: registers as a node, unless it is told to fail.
pub struct Machines {
    pub planes: Arc<Planes>,
    pub exit_code: Mutex<Option<i32>>,
    /// Machines boot, and are no nodes.
    pub silent: Mutex<bool>,
    /// What each boot was told: the node's name and its bootstrap document.
    pub boots: Mutex<Vec<(String, Value)>>,
}

#[async_trait]
impl MachineStarter for Machines {
    async fn run(&self, files: MachineFiles, report: Booted) -> i32 {
        report.log("booting");
        let exit_code = *self.exit_code.lock();
        if let Some(exit_code) = exit_code {
            return exit_code;
        }
        let Ok(document) = serde_json::from_slice::<Value>(&files.custom_data) else { return 100 };
        let cluster = self.planes.fqdns.lock().get(document["fqdn"].as_str().unwrap_or_default()).cloned();
        let pool =
            document["labels"]["kubernetes.azure.com/agentpool"].as_str().unwrap_or_default().to_owned();
        let name = files.machine_json["hostname"].as_str().unwrap_or_default().to_owned();
        self.boots.lock().push((name.clone(), document.clone()));
        if *self.silent.lock() {
            report.booted();
            return std::future::pending().await;
        }
        if let Some(nodes) =
            cluster.and_then(|c| self.planes.made.lock().get_mut(&c).map(|n| n.insert(name, pool)))
        {
            drop(nodes);
        }
        report.booted();
        self.planes.changed.send_modify(|n| *n += 1);
        std::future::pending().await
    }
}

/// Fails one step once, at its beginning or its end.
#[derive(Default)]
pub struct Faults {
    pub at: Mutex<Option<(String, bool)>>,
    pub seen: Mutex<Vec<&'static str>>,
}

impl Faults {
    fn check(&self, step: &str, after: bool) -> Result<(), ArmError> {
        let mut at = self.at.lock();
        if at.as_ref().is_some_and(|(name, end)| name == step && *end == after) {
            *at = None;
            return Err(ArmError::conflict("Injected", "injected"));
        }
        Ok(())
    }
}

impl Inject for Faults {
    fn begins(&self, step: &'static str) -> Result<(), ArmError> {
        self.seen.lock().push(step);
        self.check(step, false)
    }
    fn ended(&self, step: &'static str) -> Result<(), ArmError> {
        self.check(step, true)
    }
}

pub struct World {
    pub front: Arc<Front>,
    pub planes: Arc<Planes>,
    pub machines: Arc<Machines>,
    pub directory: Arc<FakeDirectory>,
    pub fabric: Arc<SimulatedFabric>,
    pub faults: Arc<Faults>,
    pub tasks: kit::Tasks,
    pub dir: Arc<tempfile::TempDir>,
}

impl World {
    pub async fn new() -> Self {
        Self::with_nodes(true).await
    }

    /// A cloud whose service believes that its nodes have processes, or that they have none.
    pub async fn with_nodes(simulated: bool) -> Self {
        let planes = Arc::new(Planes::default());
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let world = Self::open(dir, planes, Arc::default(), simulated).await;
        let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-dev");
        world.owner().put(group, GROUPS, json!({ "location": "eastus" })).await.unwrap();
        world
    }

    /// Opens the state that is in `dir`.
    pub async fn open(
        dir: Arc<tempfile::TempDir>,
        planes: Arc<Planes>,
        directory: Arc<FakeDirectory>,
        simulated: bool,
    ) -> Self {
        let tasks = kit::Tasks::new();
        let machines = Arc::new(Machines {
            planes: planes.clone(),
            exit_code: Mutex::new(None),
            silent: Mutex::new(false),
            boots: Mutex::default(),
        });
        let fabric = Arc::new(SimulatedFabric::new(machines.clone(), tasks.clone()));
        let faults = Arc::new(Faults::default());
        let sizes = providers::compute::sizes::SIZES
            .iter()
            .map(|size| Size { name: size.name.into(), cpus: size.cpus, memory_bytes: size.memory_mib << 20 })
            .collect();
        let settings = Settings {
            sizes: Sizes(sizes),
            system_image: "lazurite.azurecr.io/lazurite:0.1.0".into(),
            registry_mirror: None,
            simulated,
            journal_dir: dir.path().join("sagas"),
            nodes_ready_deadline: Duration::from_secs(20),
        };
        let service = ContainerService::with_faults(settings, planes.clone(), faults.clone());
        let config = FrontConfig {
            state_dir: dir.path().to_owned(),
            tenant_id: TENANT.into(),
            tenant_domain: "contoso.onmicrosoft.com".into(),
            subscription_id: SUBSCRIPTION.into(),
            subscription_name: "dev".into(),
            owners: vec![OWNER.into()],
            hosts: FrontConfig::usual_hosts(),
            cloud: Default::default(),
            verifier: directory.clone(),
            directory: directory.clone(),
            clock: Arc::new(kit::SystemClock),
            tasks: tasks.clone(),
        };
        let front = loop {
            let built = Front::builder(config.clone())
                .provider(providers::network::provider())
                .provider(providers::compute::provider(fabric.clone()))
                .provider(providers::managed_identity::provider())
                .provider(service.provider())
                .build()
                .await;
            match built {
                Ok(front) => break front,
                // A write of the last run may still be on its way to the disk.
                Err(error) if kit::Chain(&error).to_string().contains("already open") => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err(error) => panic!("{}", kit::Chain(&error)),
            }
        };
        let (_, names) = watch::channel(Vec::new());
        providers::fabric_driver::start(front.resources().clone(), fabric.clone(), names, &tasks);
        service.start(&front.ctx("Microsoft.ContainerService"));
        Self { front, planes, machines, directory, fabric, faults, tasks, dir }
    }

    /// Stops everything, as a crash would, and opens the same state again.
    pub async fn crash(self) -> Self {
        let Self { front, planes, directory, tasks, dir, fabric, .. } = self;
        assert!(tasks.drain(Duration::from_secs(10)).await);
        let weak = Arc::downgrade(&front);
        drop((front, fabric));
        wait_for(|| weak.strong_count() == 0).await;
        Self::open(dir, planes, directory, true).await
    }

    pub fn ctx(&self) -> Ctx {
        self.front.ctx("Lazurite")
    }

    pub fn owner(&self) -> ArmClient {
        self.ctx().arm.as_caller(caller(OWNER))
    }

    pub async fn create(&self, name: &str, body: Value) -> Result<Value, ArmError> {
        self.owner().put(cluster(name), AKS, body).await?.done().await
    }

    pub async fn show(&self, name: &str) -> Value {
        self.owner().get(cluster(name), AKS).await.unwrap()
    }

    pub async fn delete(&self, name: &str) -> Result<(), ArmError> {
        self.owner().delete(cluster(name), AKS).await?.done().await.map(|_| ())
    }

    /// Ids of everything below the subscription but built-in things, without the subscription's part.
    pub fn everything(&self) -> Vec<String> {
        let prefix = format!("/subscriptions/{SUBSCRIPTION}/");
        let root = arm::ResourceId::of_subscription(SUBSCRIPTION);
        self.front
            .resources()
            .list(&root)
            .iter()
            .map(|r| r.id.to_string().trim_start_matches(prefix.as_str()).to_owned())
            .filter(|id| !id.starts_with("providers/Microsoft.Authorization"))
            .collect()
    }

    /// Asserts that nothing of a cluster is left anywhere.
    pub async fn assert_clean(&self) {
        assert_eq!(self.everything(), ["resourceGroups/rg-dev"]);
        assert!(self.planes.made.lock().is_empty());
        let mut machines = self.fabric.machines();
        machines.wait_for(|machines| machines.is_empty()).await.unwrap();
        let directory = self.directory.clone();
        wait_for(move || directory.identities().is_empty()).await;
        let journals = std::fs::read_dir(self.dir.path().join("sagas")).map(|d| d.count()).unwrap_or(0);
        assert_eq!(journals, 0);
    }
}

pub fn cluster(name: &str) -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-dev/providers/Microsoft.ContainerService/managedClusters/{name}"
    )
}

/// What `az aks create` sends.
pub fn az_body(name: &str, count: u32) -> Value {
    json!({
        "location": "eastus", "identity": { "type": "SystemAssigned" }, "sku": { "name": "Base", "tier": "Free" },
        "properties": {
            "kubernetesVersion": "", "dnsPrefix": format!("{name}-rg-dev-000000"), "enableRBAC": true,
            "disableLocalAccounts": false,
            "agentPoolProfiles": [{
                "name": "nodepool1", "mode": "System", "type": "VirtualMachineScaleSets", "count": count, "vmSize": "",
                "orchestratorVersion": "", "osType": "Linux", "enableAutoScaling": false, "enableNodePublicIP": false,
                "scaleSetPriority": "Regular", "nodeTaints": [], "upgradeSettings": {}, "enableEncryptionAtHost": false,
                "enableUltraSSD": false, "enableFIPS": false,
            }],
            "networkProfile": { "loadBalancerSku": "standard", "outboundType": "loadBalancer" },
            "addonProfiles": {}, "storageProfile": {}, "bootstrapProfile": { "artifactSource": "Direct" },
        },
    })
}

/// Waits for a condition of things that tell nobody.
pub async fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the condition did not come true");
}
