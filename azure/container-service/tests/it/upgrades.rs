//! Nodes made anew: by an upgrade; machines that are deleted by name; operations that are aborted.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::world::{AKS, World, az_body, cluster, wait_for};

fn pool(name: &str) -> String {
    format!("{}/agentPools/{name}", cluster("c1"))
}

async fn action(world: &World, of: String, name: &str, body: Value) -> Result<Value, arm::ArmError> {
    world.owner().post(format!("{of}/{name}"), AKS, body).await?.done().await
}

fn nodes(world: &World) -> BTreeSet<String> {
    world.planes.made.lock()[&cluster("c1").to_ascii_lowercase()].keys().cloned().collect()
}

/// What each node was told at its last boot.
fn told(world: &World, member: &str) -> Vec<(String, String)> {
    let boots = world.machines.boots.lock();
    let last = |name: &String| boots.iter().rfind(|(booted, _)| booted == name);
    let text = |document: &Value| document[member].as_str().unwrap_or_default().to_owned();
    nodes(world).iter().filter_map(last).map(|(name, document)| (name.clone(), text(document))).collect()
}

#[tokio::test]
async fn an_upgrade_makes_every_node_anew_behind_a_surge() {
    let world = World::new().await;
    let shown = world.create("c1", az_body("c1", 3)).await.unwrap();
    let before = nodes(&world);
    // As az sends it without `--control-plane-only`.
    let mut body = shown;
    body["properties"]["kubernetesVersion"] = json!("1.36");
    body["properties"]["agentPoolProfiles"][0]["orchestratorVersion"] = json!("1.36");
    let accepted = world.owner().put(cluster("c1"), AKS, body).await.unwrap();
    assert_eq!(accepted.body["properties"]["provisioningState"], "Upgrading");
    let upgraded = accepted.done().await.unwrap();
    let pool = &upgraded["properties"]["agentPoolProfiles"][0];
    assert_eq!(upgraded["properties"]["currentKubernetesVersion"], "1.36.3");
    assert_eq!(pool["currentOrchestratorVersion"], "1.36.3");
    assert_eq!((pool["count"].clone(), pool["provisioningState"].clone()), (json!(3), json!("Succeeded")));
    assert_eq!(nodes(&world), before);
    assert!(told(&world, "kubernetesVersion").iter().all(|(_, version)| version == "1.36.3"));
    // One machine more for the time of it, and every old one drained before it went; then the one more.
    let booted: BTreeSet<String> = world.machines.boots.lock().iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(booted.len(), 4);
    assert_eq!(world.planes.drained.lock().iter().cloned().collect::<BTreeSet<_>>(), booted);
    // The same again does nothing.
    let boots = world.machines.boots.lock().len();
    world.create("c1", world.show("c1").await).await.unwrap();
    assert_eq!(world.machines.boots.lock().len(), boots);
}

#[tokio::test]
async fn a_pool_goes_up_one_minor_version_after_its_control_plane() {
    let world = World::new().await;
    let mut body = az_body("c1", 1);
    body["properties"]["kubernetesVersion"] = json!("1.34");
    world.create("c1", body).await.unwrap();
    for (version, code) in
        [("1.35", "NodePoolMcVersionIncompatible"), ("1.20", "AgentPoolK8sVersionNotSupported")]
    {
        let mut wish = world.owner().get(pool("nodepool1"), AKS).await.unwrap();
        wish["properties"]["orchestratorVersion"] = json!(version);
        let error = world.owner().put(pool("nodepool1"), AKS, wish).await.unwrap_err();
        assert_eq!(error.code, code, "{error}");
    }
    for version in ["1.35", "1.36"] {
        let mut shown = world.show("c1").await;
        shown["properties"]["kubernetesVersion"] = json!(version);
        world.create("c1", shown).await.unwrap();
    }
    let mut wish = world.owner().get(pool("nodepool1"), AKS).await.unwrap();
    wish["properties"]["orchestratorVersion"] = json!("1.36");
    let error = world.owner().put(pool("nodepool1"), AKS, wish.clone()).await.unwrap_err();
    assert!(error.to_string().contains("Available upgrades: [1.35.6]"), "{error}");
    wish["properties"]["orchestratorVersion"] = json!("1.35.6");
    let upgraded = world.owner().put(pool("nodepool1"), AKS, wish).await.unwrap().done().await.unwrap();
    assert_eq!(upgraded["properties"]["currentOrchestratorVersion"], "1.35.6");
    assert_eq!(told(&world, "kubernetesVersion")[0].1, "1.35.6");
    // Nodes of the newest image are left alone.
    let boots = world.machines.boots.lock().len();
    action(&world, pool("nodepool1"), "upgradeNodeImageVersion", Value::Null).await.unwrap();
    assert_eq!(world.machines.boots.lock().len(), boots);
}

#[tokio::test]
async fn an_interrupted_upgrade_goes_on_with_the_rest() {
    let world = World::new().await;
    let mut body = world.create("c1", az_body("c1", 2)).await.unwrap();
    body["properties"]["kubernetesVersion"] = json!("1.36");
    body["properties"]["agentPoolProfiles"][0]["orchestratorVersion"] = json!("1.36");
    *world.faults.at.lock() = Some(("roll".to_owned(), false));
    assert_eq!(world.create("c1", body.clone()).await.unwrap_err().code, "Injected");
    assert!(told(&world, "kubernetesVersion").iter().all(|(_, version)| version == "1.35.6"));
    world.create("c1", world.show("c1").await).await.unwrap();
    assert!(told(&world, "kubernetesVersion").iter().all(|(_, version)| version == "1.36.3"));
}

#[tokio::test]
async fn machines_go_by_name() {
    let world = World::new().await;
    world.create("c1", az_body("c1", 3)).await.unwrap();
    let all: Vec<String> = nodes(&world).into_iter().collect();
    for (names, says) in [
        (json!([]), "no machine is named"),
        (json!(["nobody"]), "has no machine 'nobody'"),
        (json!(all), "must keep a node"),
    ] {
        let body = json!({ "machineNames": names });
        let error = action(&world, pool("nodepool1"), "deleteMachines", body).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    // The first one, which a lower count would have left.
    let body = json!({ "machineNames": [all[0].to_uppercase()] });
    action(&world, pool("nodepool1"), "deleteMachines", body).await.unwrap();
    assert_eq!(nodes(&world).into_iter().collect::<Vec<_>>(), all[1..]);
    assert_eq!(*world.planes.drained.lock(), all[..1]);
    let shown = world.owner().get(pool("nodepool1"), AKS).await.unwrap();
    assert_eq!(
        (&shown["properties"]["count"], &shown["properties"]["provisioningState"]),
        (&json!(2), &json!("Succeeded"))
    );
}

#[tokio::test]
async fn an_operation_that_waits_is_aborted_and_its_write_can_be_repeated() {
    let world = World::new().await;
    world.create("c1", az_body("c1", 1)).await.unwrap();
    for of in [cluster("c1"), pool("nodepool1")] {
        let error = action(&world, of, "abort", Value::Null).await.unwrap_err();
        assert_eq!(error.code, "OperationNotAllowed", "{error}");
    }
    *world.machines.silent.lock() = true;
    let mut wish = world.owner().get(pool("nodepool1"), AKS).await.unwrap();
    wish["properties"]["count"] = json!(2);
    let scaling = world.owner().put(pool("nodepool1"), AKS, wish.clone()).await.unwrap();
    wait_for(|| world.machines.boots.lock().len() == 2).await;
    action(&world, pool("nodepool1"), "abort", Value::Null).await.unwrap();
    let error = scaling.done().await.unwrap_err();
    assert_eq!(error.code, "OperationAborted", "{error}");
    let state = || async {
        world.owner().get(pool("nodepool1"), AKS).await.unwrap()["properties"]["provisioningState"].clone()
    };
    assert_eq!(state().await, "Canceled");
    *world.machines.silent.lock() = false;
    wish["properties"]["count"] = json!(1);
    world.owner().put(pool("nodepool1"), AKS, wish).await.unwrap().done().await.unwrap();
    assert_eq!(state().await, "Succeeded");
    assert_eq!(nodes(&world).len(), 1);
}

#[tokio::test]
async fn a_pool_is_made_from_a_snapshot_of_another() {
    let world = World::new().await;
    let mut body = az_body("c1", 1);
    body["properties"]["kubernetesVersion"] = json!("1.34");
    let shown = world.create("c1", body).await.unwrap();
    let snapshot = cluster("c1").replace("managedClusters/c1", "snapshots/s1");
    let of = |source: String| json!({ "location": "eastus", "properties": { "creationData": { "sourceResourceId": source } } });
    for (source, code) in [(cluster("c1"), "InvalidParameter"), (pool("none"), "ResourceNotFound")] {
        let error = world.owner().put(snapshot.as_str(), AKS, of(source)).await.unwrap_err();
        assert_eq!(error.code, code, "{error}");
    }
    world.owner().put(snapshot.as_str(), AKS, of(pool("nodepool1"))).await.unwrap();
    let found = world.owner().get(snapshot.as_str(), AKS).await.unwrap();
    assert_eq!(found["properties"]["kubernetesVersion"], "1.34.9");
    assert_eq!(found["properties"]["snapshotType"], "NodePool");
    // The cluster goes on; a pool from the snapshot is of the version of then.
    let mut body = shown;
    body["properties"]["kubernetesVersion"] = json!("1.35");
    world.create("c1", body).await.unwrap();
    let wish = json!({ "properties": { "count": 1, "mode": "User", "orchestratorVersion": "",
        "creationData": { "sourceResourceId": snapshot } } });
    let made = world.owner().put(pool("two"), AKS, wish).await.unwrap().done().await.unwrap();
    assert_eq!(made["properties"]["currentOrchestratorVersion"], "1.34.9");
    // So is one of a new cluster, and a write of that cluster again changes nothing.
    let mut body = az_body("c2", 1);
    body["properties"]["kubernetesVersion"] = json!("1.35");
    body["properties"]["agentPoolProfiles"][0]["creationData"] = json!({ "sourceResourceId": snapshot });
    for (property, value, target) in [
        ("vmSize", "Standard_B2s", "agentPoolProfile.vmSize"),
        ("osSKU", "AzureLinux", "agentPoolProfile.osSKU"),
    ] {
        let mut other = body.clone();
        other["properties"]["agentPoolProfiles"][0][property] = json!(value);
        let error = world.create("c2", other).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.target.as_deref()), ("InvalidParameter", Some(target)));
    }
    let mut far = body.clone();
    far["location"] = json!("westus");
    let error = world.create("c2", far).await.unwrap_err();
    assert!(error.message.contains("not in the cluster's location 'westus'"), "{error}");
    let made = world.create("c2", body).await.unwrap();
    let first = &made["properties"]["agentPoolProfiles"][0];
    assert_eq!(first["currentOrchestratorVersion"], "1.34.9");
    assert_eq!(first["creationData"]["sourceResourceId"], json!(snapshot));
    assert_eq!(world.create("c2", world.show("c2").await).await.unwrap(), made);
    // Once there, it is its own: the snapshot may go.
    world.owner().delete(snapshot.as_str(), AKS).await.unwrap();
    world.create("c2", world.show("c2").await).await.unwrap();
    let mut missing = az_body("c3", 1);
    missing["properties"]["agentPoolProfiles"][0]["creationData"] = json!({ "sourceResourceId": snapshot });
    assert_eq!(world.create("c3", missing).await.unwrap_err().code, "ResourceNotFound");
}

#[tokio::test]
async fn a_pool_goes_back_once_to_what_it_was_of_before() {
    let world = World::new().await;
    let mut body = az_body("c1", 1);
    body["properties"]["kubernetesVersion"] = json!("1.34");
    let mut shown = world.create("c1", body).await.unwrap();
    let profile = format!("{}/upgradeProfiles/default", pool("nodepool1"));
    let used = async || {
        let found = world.owner().get(profile.as_str(), AKS).await.unwrap();
        found["properties"]["recentlyUsedVersions"].clone()
    };
    assert_eq!(used().await, Value::Null);
    shown["properties"]["kubernetesVersion"] = json!("1.35");
    shown["properties"]["agentPoolProfiles"][0]["orchestratorVersion"] = json!("1.35");
    let shown = world.create("c1", shown).await.unwrap();
    let recent = used().await;
    assert_eq!(recent[0]["orchestratorVersion"], "1.34.9");
    // As az sends it.
    let back = async || {
        let mut wish = world.owner().get(pool("nodepool1"), AKS).await.unwrap();
        wish["properties"]["orchestratorVersion"] = recent[0]["orchestratorVersion"].clone();
        wish["properties"]["nodeImageVersion"] = recent[0]["nodeImageVersion"].clone();
        world.owner().put(pool("nodepool1"), AKS, wish).await?.done().await
    };
    // A channel would take the pool up again, so it is turned off first.
    let channel = async |name: &str| {
        let mut body = shown.clone();
        body["properties"]["autoUpgradeProfile"]["upgradeChannel"] = json!(name);
        world.create("c1", body).await.unwrap();
    };
    channel("stable").await;
    let error = back().await.unwrap_err();
    assert_eq!(error.target.as_deref(), Some("autoUpgradeProfile.upgradeChannel"), "{error}");
    channel("none").await;
    // A change of something else is no change of versions.
    let mut wish = world.owner().get(pool("nodepool1"), AKS).await.unwrap();
    wish["properties"]["count"] = json!(2);
    world.owner().put(pool("nodepool1"), AKS, wish).await.unwrap().done().await.unwrap();
    assert_eq!(used().await, recent);
    let rolled = back().await.unwrap();
    assert_eq!(rolled["properties"]["currentOrchestratorVersion"], "1.34.9");
    assert!(told(&world, "kubernetesVersion").iter().all(|(_, version)| version == "1.34.9"));
    assert_eq!(used().await, Value::Null);
    // Up again by an upgrade; a version that was not used is no way back.
    let mut wish = world.owner().get(pool("nodepool1"), AKS).await.unwrap();
    wish["properties"]["orchestratorVersion"] = json!("1.35.6");
    world.owner().put(pool("nodepool1"), AKS, wish).await.unwrap().done().await.unwrap();
    assert_eq!(used().await[0]["orchestratorVersion"], "1.34.9");
}

#[tokio::test]
async fn signing_keys_are_rotated_where_there_is_an_issuer() {
    let world = World::new().await;
    let mut body = az_body("c1", 1);
    body["properties"]["oidcIssuerProfile"] = json!({ "enabled": false });
    world.create("c1", body).await.unwrap();
    let rotate = async || action(&world, cluster("c1"), "rotateServiceAccountSigningKeys", Value::Null).await;
    let error = rotate().await.unwrap_err();
    assert_eq!((error.status.as_u16(), error.target.as_deref()), (400, Some("oidcIssuerProfile.enabled")));
    let mut shown = world.show("c1").await;
    shown["properties"]["oidcIssuerProfile"] = json!({ "enabled": true });
    world.create("c1", shown).await.unwrap();
    let boots = world.machines.boots.lock().len();
    // Only the control plane is touched; each time is a rotation of its own, by the operation's name.
    rotate().await.unwrap();
    rotate().await.unwrap();
    assert_eq!(world.planes.signing.lock().len(), 2);
    assert_eq!(world.machines.boots.lock().len(), boots);
    assert_eq!(world.show("c1").await["properties"]["provisioningState"], "Succeeded");
    // Also one whose end was not told has a name, by which the control plane knows it again.
    *world.faults.at.lock() = Some(("rotate-signing-keys".to_owned(), true));
    rotate().await.unwrap_err();
    assert_eq!(world.planes.signing.lock().len(), 3);
    assert!(world.planes.signing.lock().iter().all(|rotation| !rotation.is_empty()));
}
