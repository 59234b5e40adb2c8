//! What is done while the power fails: long-running operations of each kind, in tracks that run beside each other.
//!
//! A track is a list of steps that begins and ends with nothing, so it can go round for ever.

use http::Method;
use serde_json::{Value, json};

/// What has to hold once a step is done.
#[derive(Debug, Clone)]
pub enum Want {
    /// The resource is there.
    There,
    /// It is not.
    Gone,
    /// It is there, and this place in it holds this.
    Holds(&'static str, Value),
}

/// One request and what it is for.
#[derive(Debug, Clone)]
pub struct Step {
    pub method: Method,
    /// `{instance}` stands for the first instance of the scale set in front of it.
    pub path: String,
    pub body: Value,
    /// Where to look afterwards; the same path where it is empty.
    pub look: String,
    pub want: Want,
}

impl Step {
    fn put(path: &str, body: Value) -> Self {
        Self { method: Method::PUT, path: path.to_owned(), body, look: String::new(), want: Want::There }
    }

    fn delete(path: &str) -> Self {
        Self {
            method: Method::DELETE,
            path: path.to_owned(),
            body: Value::Null,
            look: String::new(),
            want: Want::Gone,
        }
    }

    fn post(on: &str, deed: &str, body: Value) -> Self {
        let path = format!("{on}/{deed}");
        Self { method: Method::POST, path, body, look: on.to_owned(), want: Want::There }
    }

    fn holds(mut self, place: &'static str, value: Value) -> Self {
        self.want = Want::Holds(place, value);
        self
    }

    fn look(mut self, at: &str) -> Self {
        at.clone_into(&mut self.look);
        self
    }

    /// Where to look afterwards.
    pub fn looked_at(&self) -> &str {
        if self.look.is_empty() { &self.path } else { &self.look }
    }

    pub fn told(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// A list of steps and how far it is.
pub struct Track {
    pub name: &'static str,
    pub steps: Vec<Step>,
    pub at: usize,
}

impl Track {
    fn new(name: &'static str, steps: Vec<Step>) -> Self {
        Self { name, steps, at: 0 }
    }

    pub fn step(&self) -> &Step {
        &self.steps[self.at % self.steps.len()]
    }
}

fn group(subscription: &str, name: &str) -> (String, Step) {
    let path = format!("/subscriptions/{subscription}/resourceGroups/{name}");
    let made = Step::put(&path, json!({ "location": "eastus" }));
    (path, made)
}

fn space(prefix: &str) -> Value {
    json!({ "location": "eastus", "properties": {
        "addressSpace": { "addressPrefixes": [prefix] },
        "subnets": [{ "name": "s", "properties": { "addressPrefix": prefix } }],
    }})
}

fn cluster_body(version: &str, pool: &str, mark: &str) -> Value {
    json!({
        "location": "eastus", "tags": { "mark": mark }, "identity": { "type": "SystemAssigned" }, "sku": { "name": "Base", "tier": "Free" },
        "properties": {
            "kubernetesVersion": version, "dnsPrefix": "killed", "enableRBAC": true,
            "agentPoolProfiles": [{ "name": "nodepool1", "mode": "System", "type": "VirtualMachineScaleSets", "count": 1,
                                    "vmSize": "Standard_D2s_v3", "orchestratorVersion": pool, "osType": "Linux" }],
            "networkProfile": { "loadBalancerSku": "standard", "outboundType": "loadBalancer" },
        },
    })
}

fn pool(count: u32, version: &str) -> Value {
    json!({ "properties": { "count": count, "mode": "User", "vmSize": "Standard_D2s_v3", "type": "VirtualMachineScaleSets",
                            "osType": "Linux", "orchestratorVersion": version } })
}

/// A cluster and a pool through their lives, the control plane also to a newer version; every other time the group is what is
/// deleted.
fn cluster(subscription: &str) -> Track {
    let (rg, made) = group(subscription, "rg-cluster");
    let c = format!("{rg}/providers/Microsoft.ContainerService/managedClusters/killed");
    let p = format!("{c}/agentPools/second");
    let (old, new) = ("1.34.9", "1.35.6");
    let first = Step::put(&c, cluster_body(old, old, "first"))
        .holds("/properties/currentKubernetesVersion", json!(old));
    Track::new(
        "cluster",
        vec![
            made.clone(),
            first.clone(),
            Step::put(&p, pool(1, old)).holds("/properties/count", json!(1)),
            Step::put(&p, pool(3, old)).holds("/properties/count", json!(3)),
            Step::put(&c, cluster_body(new, old, "second"))
                .holds("/properties/currentKubernetesVersion", json!(new)),
            Step::put(&p, pool(2, old)).holds("/properties/count", json!(2)),
            Step::post(&c, "stop", Value::Null).holds("/properties/powerState/code", json!("Stopped")),
            Step::post(&c, "start", Value::Null).holds("/properties/powerState/code", json!("Running")),
            Step::delete(&p),
            Step::put(&c, cluster_body(new, old, "third")).holds("/tags/mark", json!("third")),
            Step::delete(&c),
            first,
            Step::put(&p, pool(1, old)),
            Step::delete(&rg),
        ],
    )
}

fn scale_set_body(network: &str, capacity: u32) -> Value {
    json!({ "location": "eastus", "sku": { "name": "Standard_D2s_v3", "capacity": capacity },
        "identity": { "type": "SystemAssigned" },
        "properties": { "virtualMachineProfile": {
            "osProfile": { "computerNamePrefix": "vm-", "customData": "aGVsbG8=" },
            "networkProfile": { "networkInterfaceConfigurations": [{ "name": "nic", "properties": { "primary": true,
                "ipConfigurations": [{ "name": "ipconfig1", "properties": { "subnet": { "id": format!("{network}/subnets/s") } } }] } }] },
        } } })
}

/// A scale set of machines that are of no cluster, and what is done to the set and to one of them.
fn scale_set(subscription: &str) -> Track {
    let (rg, made) = group(subscription, "rg-machines");
    let network = format!("{rg}/providers/Microsoft.Network/virtualNetworks/v");
    let set = format!("{rg}/providers/Microsoft.Compute/virtualMachineScaleSets/machines");
    let instance = format!("{set}/virtualMachines/{{instance}}");
    let sized = |capacity: u32| {
        Step::put(&set, scale_set_body(&network, capacity)).holds("/sku/capacity", json!(capacity))
    };
    Track::new(
        "scale set",
        vec![
            made,
            Step::put(&network, space("10.9.0.0/24")),
            sized(2),
            sized(4),
            Step::delete(&instance),
            Step::post(&instance, "reimage", Value::Null),
            Step::post(&set, "restart", json!({})),
            Step::post(&set, "deallocate", json!({})),
            Step::post(&set, "start", json!({})),
            sized(1),
            Step::delete(&set),
            Step::delete(&network),
        ],
    )
}

fn inner_template() -> Value {
    let group = "Microsoft.Network/networkSecurityGroups";
    let resource = |name: &str| json!({ "type": group, "apiVersion": "2024-05-01", "name": name, "location": "eastus", "properties": {} });
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0",
        "resources": [resource("inner-a"), resource("inner-b")],
    })
}

fn template() -> Value {
    json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "contentVersion": "1.0.0.0",
        "resources": [
            { "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2024-05-01", "name": "rules", "location": "eastus", "properties": {} },
            { "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2024-05-01", "name": "v", "location": "eastus",
              "dependsOn": ["[resourceId('Microsoft.Network/networkSecurityGroups', 'rules')]"],
              "properties": { "addressSpace": { "addressPrefixes": ["10.8.0.0/16"] }, "subnets": [{ "name": "s", "properties": {
                  "addressPrefix": "10.8.0.0/24",
                  "networkSecurityGroup": { "id": "[resourceId('Microsoft.Network/networkSecurityGroups', 'rules')]" } } }] } },
            { "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "nested",
              "properties": { "mode": "Incremental", "template": inner_template() } },
            { "type": "Microsoft.ManagedIdentity/userAssignedIdentities", "apiVersion": "2023-01-31", "name": "deployed", "location": "eastus" },
        ],
        "outputs": { "rules": { "type": "string", "value": "[reference('rules').provisioningState]" } },
    })
}

/// Deployments with a nested one, and a group that goes with all that is in it.
fn deployments(subscription: &str) -> Track {
    let (rg, made) = group(subscription, "rg-deployed");
    let deployment = format!("{rg}/providers/Microsoft.Resources/deployments/whole");
    let body = |mode: &str, template: Value| json!({ "properties": { "mode": mode, "template": template } });
    let empty = json!({ "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
                        "contentVersion": "1.0.0.0", "resources": [] });
    let network = format!("{rg}/providers/Microsoft.Network/virtualNetworks/v");
    let deployed = || {
        Step::put(&deployment, body("Incremental", template()))
            .holds("/properties/provisioningState", json!("Succeeded"))
    };
    Track::new(
        "deployments",
        vec![
            made,
            deployed().look(&network),
            Step { want: Want::Gone, ..Step::put(&deployment, body("Complete", empty)).look(&network) },
            deployed(),
            Step::delete(&rg),
        ],
    )
}

/// What a network is made of, one after the other, and away again.
fn network(subscription: &str) -> Track {
    let (rg, made) = group(subscription, "rg-network");
    let id = |kind: &str, name: &str| format!("{rg}/providers/Microsoft.Network/{kind}/{name}");
    let (v, ip, lb, nat) = (
        id("virtualNetworks", "v"),
        id("publicIPAddresses", "ip"),
        id("loadBalancers", "lb"),
        id("natGateways", "nat"),
    );
    let (ip2, service, endpoint) = (
        id("publicIPAddresses", "ip2"),
        id("privateLinkServices", "service"),
        id("privateEndpoints", "endpoint"),
    );
    let subnet = json!({ "id": format!("{v}/subnets/s") });
    let address = json!({ "location": "eastus", "sku": { "name": "Standard" }, "properties": { "publicIPAllocationMethod": "Static" } });
    let fixed = space("10.7.0.0/24");
    let mut fixed = fixed;
    fixed["properties"]["subnets"][0]["properties"]["privateLinkServiceNetworkPolicies"] = json!("Disabled");
    let balancer = json!({ "location": "eastus", "sku": { "name": "Standard" }, "properties": {
        "frontendIPConfigurations": [{ "name": "f", "properties": { "subnet": subnet } }],
        "backendAddressPools": [{ "name": "b" }] } });
    let offered = json!({ "location": "eastus", "properties": {
        "loadBalancerFrontendIpConfigurations": [{ "id": format!("{lb}/frontendIPConfigurations/f") }],
        "ipConfigurations": [{ "name": "i", "properties": { "subnet": subnet, "primary": true } }] } });
    let asked = json!({ "location": "eastus", "properties": { "subnet": subnet,
        "privateLinkServiceConnections": [{ "name": "c", "properties": { "privateLinkServiceId": service } }] } });
    Track::new(
        "network",
        vec![
            made,
            Step::put(&v, fixed),
            Step::put(&ip, address.clone()),
            Step::put(&ip2, address),
            Step::put(&lb, balancer),
            Step::put(
                &nat,
                json!({ "location": "eastus", "sku": { "name": "Standard" }, "properties": { "publicIpAddresses": [{ "id": ip }] } }),
            ),
            Step::put(&service, offered),
            Step::put(&endpoint, asked),
            Step::delete(&endpoint),
            Step::delete(&service),
            Step::delete(&nat),
            Step::delete(&lb),
            Step::delete(&ip2),
            Step::delete(&rg),
        ],
    )
}

/// A vault that is deleted, recovered and purged, and other things that end at once.
fn vault(subscription: &str, tenant: &str) -> Track {
    let (rg, made) = group(subscription, "rg-vault");
    let vault = format!("{rg}/providers/Microsoft.KeyVault/vaults/killedtoo");
    let deleted = format!(
        "/subscriptions/{subscription}/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/killedtoo"
    );
    let body = |mode: &str| {
        json!({ "location": "eastus", "properties": { "tenantId": tenant, "sku": { "family": "A", "name": "standard" },
        "enableRbacAuthorization": true, "accessPolicies": [], "createMode": mode } })
    };
    let purge = Step { want: Want::Gone, ..Step::post(&deleted, "purge", Value::Null) };
    Track::new(
        "vault",
        vec![
            made,
            Step::put(&vault, body("default")),
            Step::delete(&vault),
            Step::put(&vault, body("recover")),
            Step::delete(&vault),
            purge,
        ],
    )
}

/// Registries, an image that is imported, identities, workspaces, storage, role assignments.
fn others(subscription: &str) -> Track {
    let (rg, made) = group(subscription, "rg-others");
    let registry = format!("{rg}/providers/Microsoft.ContainerRegistry/registries/killedone");
    let identity = format!("{rg}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/who");
    let workspace = format!("{rg}/providers/Microsoft.OperationalInsights/workspaces/logs");
    let account = format!("{rg}/providers/Microsoft.Storage/storageAccounts/killedaccount");
    let zone = format!("{rg}/providers/Microsoft.Network/privateDnsZones/killed.internal");
    Track::new(
        "others",
        vec![
            made,
            Step::put(
                &registry,
                json!({ "location": "eastus", "sku": { "name": "Premium" }, "identity": { "type": "SystemAssigned" } }),
            ),
            Step::put(&identity, json!({ "location": "eastus" })),
            Step::put(
                &workspace,
                json!({ "location": "eastus", "properties": { "sku": { "name": "PerGB2018" } } }),
            ),
            Step::put(
                &account,
                json!({ "location": "eastus", "kind": "StorageV2", "sku": { "name": "Standard_LRS" } }),
            ),
            Step::put(&zone, json!({ "location": "global" })),
            Step::delete(&workspace),
            Step::delete(&registry),
            Step::delete(&identity),
            Step::delete(&rg),
        ],
    )
}

/// All of them.
pub fn all(subscription: &str, tenant: &str) -> Vec<Track> {
    vec![
        cluster(subscription),
        scale_set(subscription),
        deployments(subscription),
        network(subscription),
        vault(subscription, tenant),
        others(subscription),
    ]
}
