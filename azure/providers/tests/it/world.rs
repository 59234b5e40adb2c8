//! The front door with the providers, and machines that do as they are told.

use std::sync::Arc;

use arm::{ArmClient, ArmError, Front, FrontConfig};
use async_trait::async_trait;
use fabric::{Booted, MachineFiles, MachineStarter, SimulatedFabric};
use parking_lot::Mutex;
use providers::fake::{FakeDirectory, OWNER, SUBSCRIPTION, TENANT, caller};
use serde_json::{Value, json};
use tokio::sync::watch;

pub const API: &str = "2024-11-01";

/// Machines that boot, or end with a code.
#[derive(Default)]
pub struct Machines {
    pub exit_code: Mutex<Option<i32>>,
    /// Host names in the order of their boots.
    pub booted: Mutex<Vec<String>>,
}

#[async_trait]
impl MachineStarter for Machines {
    async fn run(&self, files: MachineFiles, report: Booted) -> i32 {
        let exit_code = *self.exit_code.lock();
        if let Some(exit_code) = exit_code {
            return exit_code;
        }
        self.booted.lock().push(files.machine_json["hostname"].as_str().unwrap_or_default().to_owned());
        report.booted();
        std::future::pending().await
    }
}

pub struct World {
    pub front: Arc<Front>,
    pub machines: Arc<Machines>,
    pub dir: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        let tasks = kit::Tasks::new();
        let dir = tempfile::tempdir().unwrap();
        let machines = Arc::new(Machines::default());
        let fabric = Arc::new(SimulatedFabric::new(machines.clone(), tasks.clone()));
        let directory = Arc::new(FakeDirectory::default());
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
            directory,
            clock: Arc::new(kit::SystemClock),
            tasks: tasks.clone(),
        };
        let [insights, workspaces, solutions] = providers::monitor::providers();
        let front = Front::builder(config)
            .provider(insights)
            .provider(workspaces)
            .provider(solutions)
            .provider(providers::storage::provider())
            .provider(providers::network::provider())
            .provider(providers::compute::provider(fabric.clone()))
            .provider(providers::managed_identity::provider())
            .provider(providers::registry::provider(dir.path().join("registry")))
            .build()
            .await
            .unwrap();
        let (_, names) = watch::channel(Vec::new());
        providers::fabric_driver::start(front.resources().clone(), fabric.clone(), names, &tasks);
        let world = Self { front, machines, dir };
        let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg");
        world.owner().put(group, API, json!({ "location": "eastus" })).await.unwrap();
        world
    }

    pub fn owner(&self) -> ArmClient {
        self.front.ctx("Lazurite").arm.as_caller(caller(OWNER))
    }

    pub async fn put(&self, id: &str, body: Value) -> Result<Value, ArmError> {
        self.owner().put(id, API, body).await?.done().await
    }

    pub async fn get(&self, id: &str) -> Value {
        self.owner().get(id, API).await.unwrap()
    }

    pub async fn delete(&self, id: &str) -> Result<(), ArmError> {
        self.owner().delete(id, API).await?.done().await.map(|_| ())
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value, ArmError> {
        self.owner().post(path, API, body).await?.done().await
    }
}

pub fn id(kind: &str, name: &str) -> String {
    arm::ResourceId::of_resource(SUBSCRIPTION, "rg", kind, name).to_string()
}

pub fn network(subnet: &str, extra: Value) -> Value {
    let mut properties = json!({ "addressPrefix": subnet });
    properties.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    json!({ "location": "eastus", "properties": {
        "addressSpace": { "addressPrefixes": ["10.0.0.0/8"] },
        "subnets": [{ "name": "s", "properties": properties }],
    }})
}

pub fn scale_set(capacity: u32, pools: &[String]) -> Value {
    let pools: Vec<Value> = pools.iter().map(|id| json!({ "id": id })).collect();
    json!({ "location": "eastus", "sku": { "name": "Standard_D2s_v3", "capacity": capacity }, "properties": {
        "virtualMachineProfile": {
            "osProfile": { "computerNamePrefix": "vm-", "customData": "aGVsbG8=" },
            "networkProfile": {
                "podCidr": "10.244.0.0/16",
                "networkInterfaceConfigurations": [{ "name": "nic", "properties": { "primary": true, "ipConfigurations": [{
                    "name": "ipconfig1", "properties": {
                        "subnet": { "id": format!("{}/subnets/s", id("Microsoft.Network/virtualNetworks", "v")) },
                        "loadBalancerBackendAddressPools": pools,
                    },
                }]}}],
            },
        },
    }})
}
