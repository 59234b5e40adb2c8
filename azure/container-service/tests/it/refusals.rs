//! What is refused, in whose words, and that it leaves nothing behind.

use serde_json::{Value, json};

use crate::world::{AKS, World, az_body, cluster};

/// The default body with members set by JSON pointer.
fn with(changes: &[(&str, Value)]) -> Value {
    let mut body = az_body("c1", 1);
    for (pointer, value) in changes {
        match body.pointer_mut(pointer) {
            Some(slot) => *slot = value.clone(),
            None => {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                body.pointer_mut(parent).unwrap()[name] = value.clone();
            }
        }
    }
    body
}

#[tokio::test]
async fn a_bad_cluster_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    let pool = "/properties/agentPoolProfiles/0";
    let long = "a".repeat(64);
    let table: Vec<(&str, Value, u16, &str)> = vec![
        ("-bad-", with(&[]), 400, "InvalidParameter"),
        ("a.b", with(&[]), 400, "InvalidParameter"),
        (&long, with(&[]), 400, "InvalidParameter"),
        ("c1", with(&[("/location", json!("atlantis"))]), 400, "LocationNotAvailableForResourceType"),
        ("c1", with(&[("/properties/dnsPrefix", json!("-x"))]), 400, "InvalidParameter"),
        ("c1", with(&[("/properties/kubernetesVersion", json!("1.20.5"))]), 400, "K8sVersionNotSupported"),
        ("c1", with(&[(&format!("{pool}/count"), json!(0))]), 400, "InvalidParameter"),
        ("c1", with(&[(&format!("{pool}/mode"), json!("User"))]), 400, "InvalidParameter"),
        ("c1", with(&[(&format!("{pool}/name"), json!("Bad-Pool"))]), 400, "InvalidParameter"),
        ("c1", with(&[(&format!("{pool}/vmSize"), json!("Standard_X"))]), 400, "BadRequest"),
        ("c1", with(&[(&format!("{pool}/maxPods"), json!(5))]), 400, "InvalidParameter"),
        ("c1", with(&[("/properties/agentPoolProfiles", json!([]))]), 400, "InvalidParameter"),
        ("c1", with(&[("/properties/nodeResourceGroup", json!("x".repeat(81)))]), 400, "InvalidParameter"),
        ("c1", with(&[("/properties/nodeResourceGroup", json!("rg-dev"))]), 400, "InvalidParameter"),
        (
            "c1",
            with(&[("/properties/networkProfile/serviceCidr", json!("10.200.0.0/16"))]),
            400,
            "DnsServiceIpOutOfServiceCidr",
        ),
        (
            "c1",
            with(&[("/properties/networkProfile/podCidr", json!("10.224.0.0/16"))]),
            400,
            "NetworkProfileCIDROverlapVNET",
        ),
        ("c1", with(&[("/identity", json!({ "type": "None" }))]), 400, "InvalidParameter"),
        (
            "c1",
            with(&[("/properties/apiServerAccessProfile", json!({ "enablePrivateCluster": true }))]),
            400,
            "NotImplemented",
        ),
    ];
    for (name, body, status, code) in table {
        let error = world.create(name, body.clone()).await.unwrap_err();
        assert_eq!((error.status.as_u16(), error.code.as_str()), (status, code), "{name}: {error} {body}");
        assert_eq!(world.everything(), ["resourceGroups/rg-dev"], "{name}");
        assert!(world.directory.identities().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn preconditions_are_akss() {
    let world = World::new().await;
    world.create("c1", az_body("c1", 1)).await.unwrap();
    let missing = world.owner().patch(cluster("c2"), AKS, json!({ "tags": {} })).await.unwrap_err();
    assert_eq!(missing.status.as_u16(), 404);
    let gone = world.owner().delete(cluster("c2"), AKS).await.unwrap();
    assert_eq!(gone.status.as_u16(), 204);
    let tagged = world.owner().patch(cluster("c1"), AKS, json!({ "tags": { "a": "b" } })).await.unwrap();
    assert_eq!(tagged.body["tags"]["a"], "b");
}

#[tokio::test]
async fn what_is_fixed_at_create_stays() {
    let world = World::new().await;
    let shown = world.create("c1", az_body("c1", 1)).await.unwrap();
    for (pointer, value) in [
        ("/properties/dnsPrefix", json!("other")),
        ("/properties/nodeResourceGroup", json!("other")),
        ("/properties/networkProfile/podCidr", json!("10.32.0.0/16")),
        ("/properties/agentPoolProfiles/0/vmSize", json!("Standard_D4s_v3")),
    ] {
        let mut body = shown.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        let error = world.create("c1", body).await.unwrap_err();
        assert_eq!(
            (error.status.as_u16(), error.code.as_str()),
            (400, "PropertyChangeNotAllowed"),
            "{pointer}: {error}"
        );
    }
    assert_eq!(world.show("c1").await["properties"]["provisioningState"], "Succeeded");
}

/// For each group of what AKS has and this service has not: the answer names it.
#[tokio::test]
async fn what_is_not_built_says_so_by_its_name() {
    let world = World::new().await;
    let shown = world.create("c1", az_body("c1", 1)).await.unwrap();
    let owner = world.owner();
    let c1 = cluster("c1");
    let body = || json!({ "location": "eastus", "properties": {} });
    for kind in ["identityBindings", "meshMemberships", "loadBalancers", "jwtAuthenticators"] {
        let put = owner.put(format!("{c1}/{kind}/x").as_str(), AKS, body()).await.unwrap_err();
        let listed = owner.get(format!("{c1}/{kind}"), AKS).await.unwrap_err();
        for error in [put, listed] {
            assert_eq!(
                (error.status.as_u16(), error.code.as_str()),
                (501, "NotImplemented"),
                "{kind}: {error}"
            );
            assert!(error.to_string().contains(kind), "{error}");
        }
    }
    for action in ["resetServicePrincipalProfile", "resetAADProfile"] {
        let error = owner.post(format!("{c1}/{action}"), AKS, json!({})).await.unwrap_err();
        assert_eq!(
            (error.status.as_u16(), error.code.as_str()),
            (501, "NotImplemented"),
            "{action}: {error}"
        );
        assert!(error.to_string().contains(action), "{error}");
    }
    let error = owner.get(format!("{c1}/meshUpgradeProfiles"), AKS).await.unwrap_err();
    assert_eq!((error.status.as_u16(), error.code.as_str()), (501, "NotImplemented"), "{error}");
    for (pointer, value, names) in [
        ("/properties/serviceMeshProfile", json!({ "mode": "Istio" }), "serviceMeshProfile.mode"),
        ("/properties/ingressProfile", json!({ "webAppRouting": { "enabled": true } }), "webAppRouting"),
        (
            "/properties/addonProfiles",
            json!({ "azurepolicy": { "enabled": true } }),
            "addonProfiles.azurepolicy",
        ),
        ("/properties/agentPoolProfiles/0/enableAutoScaling", json!(true), "enableAutoScaling"),
    ] {
        let mut body = shown.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value;
        let error = world.create("c1", body).await.unwrap_err();
        assert_eq!(error.code, "NotImplemented", "{pointer}: {error}");
        assert!(error.to_string().contains(names), "{error}");
    }
    let manual = json!({ "properties": { "type": "VirtualMachines", "count": 1 } });
    let error = owner.put(format!("{c1}/agentPools/x").as_str(), AKS, manual).await.unwrap_err();
    assert_eq!(error.code, "NotImplemented", "{error}");
}

#[tokio::test]
async fn times_of_maintenance_are_kept_and_bad_ones_refused() {
    let world = World::new().await;
    world.create("c1", az_body("c1", 1)).await.unwrap();
    let of = |name: &str| format!("{}/maintenanceConfigurations/{name}", cluster("c1"));
    let week = |day: &str| json!({ "properties": { "timeInWeek": [{ "day": day, "hourSlots": [1] }] } });
    for (name, day) in [("other", "Monday"), ("default", "Someday")] {
        let error = world.owner().put(of(name).as_str(), AKS, week(day)).await.unwrap_err();
        assert_eq!((error.status.as_u16(), error.code.as_str()), (400, "InvalidParameter"), "{error}");
    }
    world.owner().put(of("default").as_str(), AKS, week("Monday")).await.unwrap();
    world.owner().put(of("default").as_str(), AKS, week("Tuesday")).await.unwrap();
    let listed = world.owner().list(of("").trim_end_matches('/').to_owned(), AKS).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["properties"]["timeInWeek"][0]["day"], "Tuesday");
    world.owner().delete(of("default").as_str(), AKS).await.unwrap().done().await.unwrap();
    assert!(world.owner().get(of("default"), AKS).await.unwrap_err().is_not_found());
    world.delete("c1").await.unwrap();
    world.assert_clean().await;
}
