//! Who may reach a cluster's API server, and pools that are turned off and on.

use serde_json::{Value, json};

use crate::world::{AKS, World, az_body, cluster};

#[tokio::test]
async fn authorized_ranges_reach_the_control_plane_with_the_nodes_own_address() {
    let world = World::new().await;
    let mut body = az_body("c1", 1);
    body["properties"]["apiServerAccessProfile"] =
        json!({ "authorizedIPRanges": ["52.1.2.3", "53.0.0.0/8"] });
    let mut shown = world.create("c1", body).await.unwrap();
    let ranges = &shown["properties"]["apiServerAccessProfile"]["authorizedIPRanges"];
    assert_eq!(ranges, &json!(["52.1.2.3/32", "53.0.0.0/8"]));
    let outbound = shown.pointer("/properties/networkProfile/loadBalancerProfile/effectiveOutboundIPs/0/id");
    let outbound = world.owner().get(outbound.unwrap().as_str().unwrap(), "2025-07-01").await.unwrap();
    let address: std::net::Ipv4Addr = outbound["properties"]["ipAddress"].as_str().unwrap().parse().unwrap();
    let told = world.planes.spec(&cluster("c1"));
    assert_eq!(told.authorized_ranges, ["52.1.2.3/32".parse().unwrap(), "53.0.0.0/8".parse().unwrap()]);
    assert_eq!(told.outbound_addresses, [address]);

    shown["properties"]["apiServerAccessProfile"] = json!({ "authorizedIPRanges": [] });
    let shown = world.create("c1", shown).await.unwrap();
    assert_eq!(shown["properties"]["apiServerAccessProfile"]["authorizedIPRanges"], json!([]));
    let open = world.planes.spec(&cluster("c1"));
    assert!(open.authorized_ranges.is_empty());
    assert!(told.serves_as(&open), "a change of the ranges needs no restart");
    assert!(!told.serves_as(&container_service::ControlPlaneSpec { tier: "Premium".into(), ..open }));
}

async fn put_pool(world: &World, name: &str, properties: Value) -> Result<Value, arm::ArmError> {
    let pool = format!("{}/agentPools/{name}", cluster("c1"));
    world.owner().put(pool, AKS, json!({ "properties": properties })).await?.done().await
}

#[tokio::test]
async fn a_pool_is_turned_off_and_on_by_its_power_state() {
    let world = World::new().await;
    world.create("c1", az_body("c1", 1)).await.unwrap();
    let mut pool =
        put_pool(&world, "more", json!({ "count": 2, "mode": "User" })).await.unwrap()["properties"].clone();
    let nodes = || world.planes.made.lock()[&cluster("c1").to_ascii_lowercase()].len();
    assert_eq!(nodes(), 3);

    pool["powerState"] = json!({ "code": "Stopped" });
    let stopped = put_pool(&world, "more", pool.clone()).await.unwrap();
    assert_eq!(stopped["properties"]["powerState"]["code"], "Stopped");
    assert_eq!(stopped["properties"]["provisioningState"], "Succeeded");
    assert_eq!((nodes(), world.planes.drained.lock().len()), (1, 2));
    let sets = world.everything().into_iter().filter(|id| id.contains("aks-more-"));
    let set = sets.min_by_key(String::len).unwrap();
    let (prefix, _) =
        cluster("c1").split_once("resourceGroups/").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let view = format!("{prefix}{set}/virtualMachines/0/instanceView");
    let view = world.owner().get(view, "2024-11-01").await.unwrap();
    assert_eq!(view["statuses"][1]["code"], "PowerState/deallocated");

    // It stays off when the cluster is written, and is not written itself.
    let mut shown = world.show("c1").await;
    shown["tags"] = json!({ "a": "b" });
    world.create("c1", shown).await.unwrap();
    assert_eq!(nodes(), 1);
    pool["nodeLabels"] = json!({ "a": "b" });
    let refused = put_pool(&world, "more", pool.clone()).await.unwrap_err();
    assert_eq!((refused.status.as_u16(), refused.code.as_str()), (409, "OperationNotAllowed"));

    pool["powerState"] = json!({ "code": "Running" });
    let started = put_pool(&world, "more", pool.clone()).await.unwrap();
    assert_eq!(started["properties"]["powerState"]["code"], "Running");
    assert_eq!(nodes(), 3);

    for (name, properties, code) in [
        (
            "nodepool1",
            json!({ "mode": "System", "powerState": { "code": "Stopped" } }),
            "OperationNotAllowed",
        ),
        ("more", json!({ "mode": "User", "powerState": { "code": "Asleep" } }), "InvalidParameter"),
        ("other", json!({ "mode": "User", "powerState": { "code": "Stopped" } }), "InvalidParameter"),
    ] {
        let refused = put_pool(&world, name, properties).await.unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.code.as_str()), (400, code), "{name}: {refused}");
    }
}

#[tokio::test]
async fn a_pool_is_not_said_to_be_of_a_version_that_its_nodes_are_not() {
    let world = World::new().await;
    let mut body = az_body("c1", 1);
    body["properties"]["kubernetesVersion"] = json!("1.34");
    body["properties"]["agentPoolProfiles"][0]["orchestratorVersion"] = json!("1.34");
    let mut shown = world.create("c1", body).await.unwrap();
    shown["properties"]["kubernetesVersion"] = json!("1.35");
    // What `az aks upgrade --control-plane-only` sends.
    let shown = world.create("c1", shown).await.unwrap();
    assert_eq!(shown["properties"]["currentKubernetesVersion"], "1.35.6");
    assert_eq!(shown["properties"]["agentPoolProfiles"][0]["currentOrchestratorVersion"], "1.34.9");
}
