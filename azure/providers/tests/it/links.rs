//! Peerings, private zones and private links: what they show, refuse and mean to the fabric.

use fabric::{NameData, NetworkId};
use providers::fabric_driver::wanted::wanted;
use serde_json::{Value, json};

use crate::world::{World, id, network, scale_set};

const VNET: &str = "Microsoft.Network/virtualNetworks";
const ZONE: &str = "Microsoft.Network/privateDnsZones";
const LB: &str = "Microsoft.Network/loadBalancers";
const SET: &str = "Microsoft.Compute/virtualMachineScaleSets";
const ENDPOINT: &str = "Microsoft.Network/privateEndpoints";
const SERVICE: &str = "Microsoft.Network/privateLinkServices";

fn space(prefix: &str) -> Value {
    json!({ "location": "eastus", "properties": { "addressSpace": { "addressPrefixes": [prefix] } } })
}

fn peering(to: &str) -> Value {
    json!({ "properties": { "remoteVirtualNetwork": { "id": to }, "allowForwardedTraffic": true } })
}

#[tokio::test]
async fn a_peering_goes_from_initiated_to_connected_to_disconnected() {
    let world = World::new().await;
    let (hub, spoke) = (id(VNET, "hub"), id(VNET, "spoke"));
    world.put(&hub, space("10.0.0.0/16")).await.unwrap();
    world.put(&spoke, space("10.1.0.0/16")).await.unwrap();
    let (there, back) =
        (format!("{hub}/virtualNetworkPeerings/to-spoke"), format!("{spoke}/virtualNetworkPeerings/to-hub"));
    let first = world.put(&there, peering(&spoke)).await.unwrap();
    assert_eq!(first["properties"]["peeringState"], "Initiated");
    assert_eq!(first["properties"]["allowVirtualNetworkAccess"], true);
    assert!(wanted(world.front.resources(), &[]).networks.iter().all(|n| n.peerings.is_empty()));
    world.put(&back, peering(&hub)).await.unwrap();
    for one in [&there, &back] {
        let shown = world.get(one).await;
        assert_eq!(shown["properties"]["peeringState"], "Connected", "{one}");
        assert_eq!(shown["properties"]["peeringSyncLevel"], "FullyInSync", "{one}");
        let again = world.put(one, shown.clone()).await.unwrap();
        assert_eq!(again, shown, "a second identical PUT says the same, with the same ETag");
    }
    let wish = wanted(world.front.resources(), &[]);
    let of_hub = wish.networks.iter().find(|n| n.resource_id == hub).unwrap();
    assert_eq!(of_hub.peerings[0].network, NetworkId::of(&spoke));
    assert!(of_hub.peerings[0].access && of_hub.peerings[0].forwarded);

    // The other side grows: routes follow when the peering is synchronised.
    world.put(&spoke, space("10.1.0.0/15")).await.unwrap_err();
    let mut grown = space("10.1.0.0/16");
    grown["properties"]["addressSpace"]["addressPrefixes"] = json!(["10.1.0.0/16", "10.5.0.0/16"]);
    world.put(&spoke, grown).await.unwrap();
    assert_eq!(world.get(&there).await["properties"]["peeringSyncLevel"], "RemoteNotInSync");
    assert_eq!(world.get(&back).await["properties"]["peeringSyncLevel"], "LocalNotInSync");
    assert_eq!(wanted(world.front.resources(), &[]).networks[0].peerings[0].prefixes.len(), 1);
    world.put(&format!("{there}?syncRemoteAddressSpace=true"), peering(&spoke)).await.unwrap();
    assert_eq!(world.get(&there).await["properties"]["peeringSyncLevel"], "FullyInSync");
    assert_eq!(wanted(world.front.resources(), &[]).networks[0].peerings[0].prefixes.len(), 2);

    world.delete(&there).await.unwrap();
    assert_eq!(world.get(&back).await["properties"]["peeringState"], "Disconnected");
    assert!(wanted(world.front.resources(), &[]).networks.iter().all(|n| n.peerings.is_empty()));
    assert_eq!(world.put(&there, peering(&spoke)).await.unwrap_err().code, "RemotePeeringIsDisconnected");
    world.delete(&back).await.unwrap();
    world.put(&there, peering(&spoke)).await.unwrap();
}

#[tokio::test]
async fn peerings_that_contradict_are_refused() {
    let world = World::new().await;
    for (name, prefix) in
        [("a", "10.0.0.0/16"), ("b", "10.1.0.0/16"), ("c", "10.0.128.0/17"), ("d", "10.1.0.0/24")]
    {
        world.put(&id(VNET, name), space(prefix)).await.unwrap();
    }
    let at = |from: &str, name: &str| format!("{}/virtualNetworkPeerings/{name}", id(VNET, from));
    world.put(&at("a", "b"), peering(&id(VNET, "b"))).await.unwrap();
    for (from, to, code) in [
        ("a", "a", "VnetCannotBePeeredWithItself"),
        ("a", "c", "VnetAddressSpacesOverlap"),
        ("a", "b", "AnotherPeeringAlreadyReferencesRemoteVnet"),
        ("d", "a", "VnetAddressSpaceOverlapsWithAlreadyPeeredVnet"),
        ("a", "nowhere", "InvalidResourceReference"),
    ] {
        let refused = world.put(&at(from, "x"), peering(&id(VNET, to))).await.unwrap_err();
        assert_eq!(refused.code, code, "{from} to {to}: {}", refused.message);
    }
    // There are no gateways: one side may offer its own for the day there is one, nobody can use it.
    let (there, back) = (at("b", "a"), at("a", "b"));
    let with = |to: &str, member: &str| {
        let mut body = peering(&id(VNET, to));
        body["properties"][member] = json!(true);
        body
    };
    let offered = world.put(&back, with("b", "allowGatewayTransit")).await.unwrap();
    assert_eq!(offered["properties"]["allowGatewayTransit"], true);
    let refused = world.put(&there, with("a", "useRemoteGateways")).await.unwrap_err();
    assert_eq!(refused.code, "RemoteVnetHasNoGateways");
    assert!(
        refused.message.contains(&format!("remote virtual network {}", id(VNET, "a"))),
        "{}",
        refused.message
    );
    assert!(world.owner().get(&there, crate::world::API).await.is_err(), "a refused peering is not there");
    let gateway = id("Microsoft.Network/virtualNetworkGateways", "g");
    let refused = world.put(&gateway, json!({ "location": "eastus", "properties": {} })).await.unwrap_err();
    assert_eq!(refused.code, "NotImplemented", "{}", refused.message);
}

#[tokio::test]
async fn a_private_zone_holds_records_and_machines_of_linked_networks() {
    let world = World::new().await;
    let (vnet, zone) = (id(VNET, "v"), id(ZONE, "contoso.internal"));
    world.put(&vnet, network("10.1.0.0/16", json!({}))).await.unwrap();
    world.put(&zone, json!({ "location": "global" })).await.unwrap();
    let record = |values: Value| json!({ "properties": values });
    for (kind, name, body) in [
        ("A", "web", json!({ "ttl": 60, "aRecords": [{ "ipv4Address": "10.1.0.9" }] })),
        ("AAAA", "web", json!({ "ttl": 60, "aaaaRecords": [{ "ipv6Address": "fd00::1" }] })),
        ("CNAME", "www", json!({ "ttl": 60, "cnameRecord": { "cname": "web.contoso.internal" } })),
        ("TXT", "@", json!({ "ttl": 60, "txtRecords": [{ "value": ["v=1", "x"] }] })),
        ("MX", "@", json!({ "ttl": 60, "mxRecords": [{ "preference": 10, "exchange": "mail" }] })),
        ("PTR", "4", json!({ "ttl": 60, "ptrRecords": [{ "ptrdname": "web.contoso.internal" }] })),
        (
            "SRV",
            "_sip._tcp",
            json!({ "ttl": 60, "srvRecords": [{ "priority": 1, "weight": 2, "port": 5060, "target": "web" }] }),
        ),
        ("A", "*", json!({ "aRecords": [{ "ipv4Address": "10.1.0.10" }] })),
    ] {
        let at = format!("{zone}/{kind}/{name}");
        world.put(&at, record(body.clone())).await.unwrap_or_else(|error| panic!("{at}: {error}"));
        let shown = world.get(&at).await;
        for (member, value) in body.as_object().unwrap() {
            assert_eq!(shown["properties"][member], *value, "{at}");
        }
        assert_eq!(world.put(&at, shown.clone()).await.unwrap(), shown, "{at}");
    }
    assert_eq!(world.get(&format!("{zone}/A/web")).await["properties"]["fqdn"], "web.contoso.internal.");
    for (at, body, code) in [
        ("CNAME/web", json!({ "cnameRecord": { "cname": "x" } }), "Conflict"),
        ("A/www", json!({ "aRecords": [{ "ipv4Address": "10.0.0.1" }] }), "Conflict"),
        ("A/bad", json!({ "aRecords": [{ "ipv4Address": "10.0.0.256" }] }), "BadRequest"),
        ("A/bad", json!({ "txtRecords": [{ "value": ["x"] }] }), "BadRequest"),
        ("CNAME/@", json!({ "cnameRecord": { "cname": "x" } }), "BadRequest"),
        ("A/a b", json!({ "aRecords": [] }), "InvalidResourceName"),
    ] {
        assert_eq!(world.put(&format!("{zone}/{at}"), record(body)).await.unwrap_err().code, code, "{at}");
    }
    assert_eq!(world.delete(&format!("{zone}/SOA/@")).await.unwrap_err().code, "BadRequest");

    let link = format!("{zone}/virtualNetworkLinks/l");
    let linked = json!({ "location": "global", "properties": {
        "virtualNetwork": { "id": vnet }, "registrationEnabled": true,
    }});
    let shown = world.put(&link, linked.clone()).await.unwrap();
    assert_eq!(shown["properties"]["virtualNetworkLinkState"], "Completed");
    let twin = format!("{zone}/virtualNetworkLinks/m");
    assert_eq!(world.put(&twin, linked.clone()).await.unwrap_err().code, "Conflict");
    let other = id(ZONE, "fabrikam.internal");
    world.put(&other, json!({ "location": "global" })).await.unwrap();
    let second = world.put(&format!("{other}/virtualNetworkLinks/l"), linked).await;
    assert!(second.unwrap_err().message.contains("auto-registration"));
    assert_eq!(world.delete(&zone).await.unwrap_err().code, "CannotDeleteResource");

    world.put(&id(SET, "vmss"), scale_set(1, &[])).await.unwrap();
    let auto = world.get(&format!("{zone}/A/vm-000000")).await;
    assert_eq!(auto["properties"]["isAutoRegistered"], true);
    assert_eq!(auto["properties"]["aRecords"][0]["ipv4Address"], "10.1.0.4");
    let all = world.get(&format!("{zone}/ALL")).await;
    assert_eq!(all["value"].as_array().unwrap().len(), 10, "{all}");
    assert_eq!(world.get(&zone).await["properties"]["numberOfRecordSets"], 10);
    let wish = wanted(world.front.resources(), &[]);
    let made = wish.zones.iter().find(|z| z.name == "contoso.internal").unwrap();
    assert_eq!(made.networks, [NetworkId::of(&vnet)]);
    assert!(
        made.records
            .iter()
            .any(|r| r.name == "vm-000000" && r.data == NameData::A("10.1.0.4".parse().unwrap()))
    );
    assert!(made.records.iter().any(|r| matches!(r.data, NameData::Soa { .. })));
}

fn inner_balancer(name: &str) -> Value {
    let lb = id(LB, name);
    let subnet = format!("{}/subnets/s", id(VNET, "v"));
    json!({ "location": "eastus", "properties": {
        "frontendIPConfigurations": [{ "name": "f", "properties": { "subnet": { "id": subnet } } }],
        "backendAddressPools": [{ "name": "p" }],
        "loadBalancingRules": [{ "name": "r", "properties": {
            "protocol": "Tcp", "frontendPort": 80, "backendPort": 8080, "loadDistribution": "SourceIP",
            "frontendIPConfiguration": { "id": format!("{lb}/frontendIPConfigurations/f") },
            "backendAddressPool": { "id": format!("{lb}/backendAddressPools/p") },
        }}],
    }})
}

#[tokio::test]
async fn an_endpoint_leads_to_a_private_link_service() {
    let world = World::new().await;
    let vnet = id(VNET, "v");
    world
        .put(&vnet, network("10.1.0.0/16", json!({ "privateLinkServiceNetworkPolicies": "Enabled" })))
        .await
        .unwrap();
    world.put(&id(LB, "inner"), inner_balancer("inner")).await.unwrap();
    world
        .put(&id(SET, "vmss"), scale_set(1, &[format!("{}/backendAddressPools/p", id(LB, "inner"))]))
        .await
        .unwrap();
    let subnet = format!("{vnet}/subnets/s");
    let (service, endpoint) = (id(SERVICE, "pls"), id(ENDPOINT, "pe"));
    let offered = json!({ "location": "eastus", "properties": {
        "loadBalancerFrontendIpConfigurations": [{ "id": format!("{}/frontendIPConfigurations/f", id(LB, "inner")) }],
        "ipConfigurations": [{ "name": "nat", "properties": { "subnet": { "id": subnet } } }],
    }});
    assert_eq!(
        world.put(&service, offered.clone()).await.unwrap_err().code,
        "PrivateLinkServiceCannotBeCreatedInSubnetThatHasNetworkPoliciesEnabled"
    );
    world
        .put(&subnet, json!({ "properties": { "addressPrefix": "10.1.0.0/16", "privateLinkServiceNetworkPolicies": "Disabled" } }))
        .await
        .unwrap();
    let shown = world.put(&service, offered).await.unwrap();
    assert!(shown["properties"]["alias"].as_str().unwrap().ends_with(".eastus.azure.privatelinkservice"));
    assert!(shown["properties"].get("$address").is_none());

    let asked = json!({ "location": "eastus", "properties": {
        "subnet": { "id": subnet },
        "manualPrivateLinkServiceConnections": [{ "name": "c", "properties": { "privateLinkServiceId": service } }],
    }});
    let made = world.put(&endpoint, asked).await.unwrap();
    let state = "/properties/manualPrivateLinkServiceConnections/0/properties/privateLinkServiceConnectionState/status";
    assert_eq!(made.pointer(state).unwrap(), "Pending");
    assert!(wanted(world.front.resources(), &[]).networks[0].endpoints.is_empty());
    let connections = world.get(&service).await["properties"]["privateEndpointConnections"].clone();
    let connection = connections[0]["id"].as_str().unwrap().to_owned();
    let approval = json!({ "properties": { "privateLinkServiceConnectionState": { "status": "Approved", "description": "fine" } } });
    world.put(&connection, approval).await.unwrap();
    let shown = world.get(&endpoint).await;
    assert_eq!(shown.pointer(state).unwrap(), "Approved");
    assert_eq!(world.put(&endpoint, shown.clone()).await.unwrap(), shown);

    let wish = wanted(world.front.resources(), &[]);
    let way = &wish.networks[0].endpoints[0];
    assert!(!way.guarded && !way.routed);
    for (policies, expected) in [
        ("RouteTableEnabled", (false, true)),
        ("NetworkSecurityGroupEnabled", (true, false)),
        ("Enabled", (true, true)),
        ("Disabled", (false, false)),
    ] {
        let mut shown = world.get(&subnet).await;
        shown["properties"]["privateEndpointNetworkPolicies"] = json!(policies);
        world.put(&subnet, shown).await.unwrap();
        let wish = wanted(world.front.resources(), &[]);
        let way = &wish.networks[0].endpoints[0];
        assert_eq!((way.guarded, way.routed), expected, "{policies}");
    }
    let link = wish.balancers.iter().find(|b| b.source.is_some()).unwrap();
    assert_eq!(way.target, link.frontend);
    assert_eq!(link.rules[0].backends, [wish.machines[0].id.clone()]);
    let interface = shown["properties"]["networkInterfaces"][0]["id"].as_str().unwrap();
    let address =
        world.get(interface).await["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"]
            .clone();
    assert_eq!(address, way.address.to_string());
    assert_eq!(world.delete(interface).await.unwrap_err().code, "NicInUseWithPrivateEndpoint");
    assert_eq!(
        world.delete(&service).await.unwrap_err().code,
        "PrivateLinkServiceCannotBeDeletedBecauseOfExistingPrivateEndpointConnections"
    );
    assert_eq!(world.delete(&subnet).await.unwrap_err().code, "InUseSubnetCannotBeDeleted");
    world.delete(&endpoint).await.unwrap();
    world.delete(&service).await.unwrap();
}
