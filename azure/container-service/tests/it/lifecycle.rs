//! Clusters and pools from create to delete, with faults on the way.

use expect_test::expect;
use serde_json::{Value, json};

use crate::world::{AKS, World, az_body, cluster, wait_for};

const STEPS: [&str; 14] = [
    "reserve",
    "control-plane",
    "node-group",
    "role",
    "kubelet-identity",
    "security-group",
    "route-table",
    "virtual-network",
    "outbound-address",
    "load-balancer",
    "scale-down",
    "scale-sets",
    "roll",
    "nodes-ready",
];

/// Ids with what is drawn by chance replaced.
fn plain(id: &str) -> String {
    let words = id.split('/').map(|word| {
        let digits = |text: &str| text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit());
        if word.len() == 36 && word.matches('-').count() == 4 {
            return "<guid>".to_owned();
        }
        word.split('-').map(|part| if digits(part) { "<8>" } else { part }).collect::<Vec<_>>().join("-")
    });
    words.collect::<Vec<_>>().join("/")
}

fn node_names(world: &World, name: &str) -> Vec<String> {
    let made = world.planes.made.lock();
    made.get(&cluster(name).to_ascii_lowercase()).map(|n| n.keys().cloned().collect()).unwrap_or_default()
}

#[tokio::test]
async fn a_cluster_is_made_shown_and_taken_away() {
    let world = World::new().await;
    let shown = world.create("dev-cluster", az_body("dev-cluster", 3)).await.unwrap();
    let properties = &shown["properties"];
    assert_eq!(properties["provisioningState"], "Succeeded");
    assert_eq!(properties["powerState"]["code"], "Running");
    assert_eq!(properties["currentKubernetesVersion"], "1.35.6");
    assert_eq!(properties["nodeResourceGroup"], "MC_rg-dev_dev-cluster_eastus");
    assert!(shown["identity"]["principalId"].is_string());
    assert!(shown["eTag"].is_string());
    assert!(properties["identityProfile"]["kubeletidentity"]["objectId"].is_string());
    assert_eq!(properties["agentPoolProfiles"][0]["provisioningState"], "Succeeded");
    assert_eq!(properties["agentPoolProfiles"][0]["vmSize"], "Standard_DS2_v2");
    assert!(properties.get("$private").is_none());
    assert!(!shown.to_string().contains("abcdef.0123456789abcdef"));
    assert_eq!(node_names(&world, "dev-cluster").len(), 3);
    let ids: Vec<String> = world.everything().iter().map(|id| plain(id)).collect();
    expect![[r#"
        resourceGroups/MC_rg-dev_dev-cluster_eastus
        resourceGroups/MC_rg-dev_dev-cluster_eastus/providers/Microsoft.Authorization/roleAssignments/<guid>
        resourceGroups/MC_rg-dev_dev-cluster_eastus/providers/Microsoft.Compute/virtualMachineScaleSets/aks-nodepool1-<8>-vmss
        resourceGroups/MC_rg-dev_dev-cluster_eastus/providers/Microsoft.Compute/virtualMachineScaleSets/aks-nodepool1-<8>-vmss/virtualMachines/0
        resourceGroups/MC_rg-dev_dev-cluster_eastus/providers/Microsoft.Compute/virtualMachineScaleSets/aks-nodepool1-<8>-vmss/virtualMachines/1
        resourceGroups/MC_rg-dev_dev-cluster_eastus/providers/Microsoft.Compute/virtualMachineScaleSets/aks-nodepool1-<8>-vmss/virtualMachines/2
        resourceGroups/MC_rg-dev_dev-cluster_eastus/providers/Microsoft.ManagedIdentity/userAssignedIdentities/dev-cluster-agentpool
        resourceGroups/MC_rg-dev_dev-cluster_eastus/providers/Microsoft.Network/loadBalancers/kubernetes
        resourceGroups/MC_rg-dev_dev-cluster_eastus/providers/Microsoft.Network/networkSecurityGroups/aks-agentpool-<8>-nsg
        resourceGroups/MC_rg-dev_dev-cluster_eastus/providers/Microsoft.Network/publicIPAddresses/<guid>
        resourceGroups/MC_rg-dev_dev-cluster_eastus/providers/Microsoft.Network/virtualNetworks/aks-vnet-<8>
        resourceGroups/MC_rg-dev_dev-cluster_eastus/providers/Microsoft.Network/virtualNetworks/aks-vnet-<8>/subnets/aks-subnet
        resourceGroups/rg-dev
        resourceGroups/rg-dev/providers/Microsoft.ContainerService/managedClusters/dev-cluster
        resourceGroups/rg-dev/providers/Microsoft.ContainerService/managedClusters/dev-cluster/agentPools/nodepool1"#]]
    .assert_eq(&ids.join("\n"));
    let again = world.create("dev-cluster", shown.clone()).await.unwrap();
    let strip = |mut value: Value| {
        value.as_object_mut().unwrap().remove("eTag");
        value.as_object_mut().unwrap().remove("systemData");
        value["properties"]["agentPoolProfiles"][0].as_object_mut().unwrap().remove("eTag");
        value
    };
    assert_eq!(strip(shown), strip(again));
    assert!(world.planes.drained.lock().is_empty());
    world.delete("dev-cluster").await.unwrap();
    world.assert_clean().await;
}

#[tokio::test]
async fn a_fault_in_any_step_is_told_repaired_and_leaves_nothing() {
    for (step, after) in STEPS.iter().flat_map(|step| [(*step, false), (*step, true)]) {
        let world = World::new().await;
        *world.faults.at.lock() = Some((step.to_owned(), after));
        let error = world.create("c1", az_body("c1", 1)).await.unwrap_err();
        assert_eq!(
            (error.code.as_str(), error.target.as_deref()),
            ("Injected", Some(&*format!("step '{step}'")))
        );
        assert_eq!(world.show("c1").await["properties"]["provisioningState"], "Failed");
        let repaired = world.create("c1", az_body("c1", 1)).await.unwrap();
        assert_eq!(repaired["properties"]["provisioningState"], "Succeeded", "{step}");
        // The deletion fails in the same step once, and a repeat ends it.
        *world.faults.at.lock() = Some((step.to_owned(), after));
        world.delete("c1").await.unwrap_err();
        assert_eq!(world.show("c1").await["properties"]["provisioningState"], "Failed");
        world.delete("c1").await.unwrap();
        world.assert_clean().await;
    }
}

#[tokio::test]
async fn a_crash_in_any_step_is_survived() {
    for step in STEPS {
        let world = World::new().await;
        let seen = world.faults.clone();
        // The crash comes as soon as the step has begun; the operation is in flight.
        let reply = world.owner().put(cluster("c1"), AKS, az_body("c1", 1)).await.unwrap();
        drop(reply);
        wait_for(|| seen.seen.lock().contains(&step)).await;
        let world = world.crash().await;
        let mut changed = world.front.resources().watch();
        loop {
            changed.mark_unchanged();
            let state = world.show("c1").await["properties"]["provisioningState"].clone();
            if state == "Succeeded" {
                break;
            }
            if state == "Failed" {
                let why =
                    world.owner().get(format!("{}/operations/latest", cluster("c1")), AKS).await.unwrap();
                panic!("after a crash in {step}: {why}");
            }
            let waited = tokio::time::timeout(std::time::Duration::from_secs(8), changed.changed()).await;
            if waited.is_err() {
                let running: Vec<String> = world
                    .front
                    .operations()
                    .running()
                    .iter()
                    .map(|o| format!("{} {}", o.resource, o.name))
                    .collect();
                let seen = world.faults.seen.lock().clone();
                panic!(
                    "stuck after a crash in {step}: {running:?}, steps {seen:?}, {:?}",
                    world.everything()
                );
            }
        }
        assert_eq!(node_names(&world, "c1").len(), 1, "{step}");
        world.delete("c1").await.unwrap();
        world.assert_clean().await;
    }
}

#[tokio::test]
async fn a_boot_that_fails_is_explained_and_mended() {
    let world = World::new().await;
    *world.machines.exit_code.lock() = Some(50);
    let error = world.create("c1", az_body("c1", 2)).await.unwrap_err();
    assert_eq!(error.code, "VMExtensionProvisioningError");
    assert!(error.message.contains("exit status=50"), "{error}");
    *world.machines.exit_code.lock() = None;
    world.create("c1", az_body("c1", 2)).await.unwrap();
    assert_eq!(node_names(&world, "c1").len(), 2);
}

#[tokio::test]
async fn a_second_write_is_refused_and_a_deletion_cuts_in() {
    let world = World::new().await;
    let first = world.owner().put(cluster("c1"), AKS, az_body("c1", 3)).await.unwrap();
    assert_eq!(first.status.as_u16(), 201);
    assert!(first.body["identity"]["principalId"].is_string());
    let second = world.owner().put(cluster("c1"), AKS, az_body("c1", 3)).await.unwrap_err();
    assert_eq!((second.status.as_u16(), second.code.as_str()), (409, "OperationNotAllowed"));
    assert!(
        second.message.starts_with("Operation is not allowed: Another operation (Creating) is in progress")
    );
    let deletion = world.owner().delete(cluster("c1"), AKS).await.unwrap();
    let repeated = world.owner().delete(cluster("c1"), AKS).await.unwrap();
    assert_eq!(repeated.operation, deletion.operation);
    assert_eq!(first.done().await.unwrap_err().code, "AKSOperationPreemptedByDelete");
    deletion.done().await.unwrap();
    world.assert_clean().await;
}

/// A deletion at every moment of a create ends with nothing left.
#[tokio::test]
async fn a_deletion_may_come_in_any_step() {
    for step in STEPS {
        let world = World::new().await;
        let first = world.owner().put(cluster("c1"), AKS, az_body("c1", 2)).await.unwrap();
        wait_for(|| world.faults.seen.lock().contains(&step)).await;
        world.delete("c1").await.unwrap();
        let _ = first.done().await;
        world.assert_clean().await;
    }
}

#[tokio::test]
async fn pools_are_added_scaled_and_deleted() {
    let world = World::new().await;
    world.create("c1", az_body("c1", 1)).await.unwrap();
    let pool = format!("{}/agentPools/user1", cluster("c1"));
    let put = |count: u32| {
        let (owner, pool) = (world.owner(), pool.clone());
        async move {
            owner
                .put(pool, AKS, json!({ "properties": { "count": count, "mode": "User" } }))
                .await?
                .done()
                .await
        }
    };
    let made = put(3).await.unwrap();
    assert_eq!(made["properties"]["provisioningState"], "Succeeded");
    assert_eq!(node_names(&world, "c1").len(), 4);
    put(1).await.unwrap();
    assert_eq!(node_names(&world, "c1").len(), 2);
    let drained: Vec<String> =
        world.planes.drained.lock().iter().map(|n| n[n.len() - 6..].to_owned()).collect();
    assert_eq!(drained, ["000002", "000001"]);
    put(2).await.unwrap();
    let listed = world.owner().list(format!("{}/agentPools", cluster("c1")), AKS).await.unwrap();
    assert_eq!(listed.len(), 2);
    let machines = world.owner().list(format!("{pool}/machines"), AKS).await.unwrap();
    assert_eq!(machines.len(), 2);
    assert!(
        machines[0]["properties"]["network"]["ipAddresses"][0]["ip"]
            .as_str()
            .unwrap()
            .starts_with("10.224.0.")
    );
    assert_eq!(world.show("c1").await["properties"]["agentPoolProfiles"][1]["count"], 2);
    let last =
        world.owner().delete(format!("{}/agentPools/nodepool1", cluster("c1")), AKS).await.unwrap_err();
    assert_eq!(last.code, "OperationNotAllowed");
    world.owner().delete(&pool, AKS).await.unwrap().done().await.unwrap();
    assert_eq!(node_names(&world, "c1").len(), 1);
    world.delete("c1").await.unwrap();
    world.assert_clean().await;
}

#[tokio::test]
async fn a_deleted_instance_comes_back() {
    let world = World::new().await;
    let shown = world.create("c1", az_body("c1", 2)).await.unwrap();
    let before = node_names(&world, "c1");
    let group = shown["properties"]["nodeResourceGroup"].as_str().unwrap().to_owned();
    let sets = format!(
        "/subscriptions/{}/resourceGroups/{group}/providers/Microsoft.Compute/virtualMachineScaleSets",
        providers::fake::SUBSCRIPTION
    );
    let set = world.owner().list(&sets, "2024-11-01").await.unwrap()[0]["id"].as_str().unwrap().to_owned();
    let body = json!({ "instanceIds": ["0"] });
    world.owner().post(format!("{set}/delete"), "2024-11-01", body).await.unwrap().done().await.unwrap();
    wait_for(|| {
        let now = node_names(&world, "c1");
        now.len() == 2 && now != before
    })
    .await;
    let set = world.owner().get(&set, "2024-11-01").await.unwrap();
    assert_eq!(set["sku"]["capacity"], 2);
    assert!(set["properties"]["virtualMachineProfile"]["osProfile"].get("customData").is_none());
}

#[tokio::test]
async fn a_cluster_stops_and_starts() {
    let world = World::new().await;
    world.create("c1", az_body("c1", 1)).await.unwrap();
    let post = |action: &'static str| {
        let owner = world.owner();
        async move { owner.post(format!("{}/{action}", cluster("c1")), AKS, json!({})).await?.done().await }
    };
    post("stop").await.unwrap();
    let shown = world.show("c1").await;
    assert_eq!(shown["properties"]["powerState"]["code"], "Stopped");
    assert_eq!(shown["properties"]["provisioningState"], "Succeeded");
    assert_eq!(world.planes.stopped.lock().len(), 1);
    assert_eq!(post("stop").await.unwrap_err().code, "OperationNotAllowed");
    post("start").await.unwrap();
    assert_eq!(world.show("c1").await["properties"]["powerState"]["code"], "Running");
    assert!(world.planes.stopped.lock().is_empty());
    let reply =
        world.owner().post(format!("{}/listClusterUserCredential", cluster("c1")), AKS, json!({})).await;
    assert_eq!(reply.unwrap().body["kubeconfigs"][0]["name"], "clusterUser");
    world.delete("c1").await.unwrap();
    world.assert_clean().await;
}
