//! What packets would do: effective rules and routes, the network watcher, interfaces, prefixes, free addresses.

use providers::fabric_driver::wanted::wanted;
use serde_json::{Value, json};

use crate::world::{API, World, id, network, scale_set};

const VNET: &str = "Microsoft.Network/virtualNetworks";
const NSG: &str = "Microsoft.Network/networkSecurityGroups";
const ASG: &str = "Microsoft.Network/applicationSecurityGroups";
const NIC: &str = "Microsoft.Network/networkInterfaces";
const LB: &str = "Microsoft.Network/loadBalancers";
const PIP: &str = "Microsoft.Network/publicIPAddresses";
const PREFIX: &str = "Microsoft.Network/publicIPPrefixes";
const NAT: &str = "Microsoft.Network/natGateways";
const TABLE: &str = "Microsoft.Network/routeTables";
const SET: &str = "Microsoft.Compute/virtualMachineScaleSets";
const WATCHER: &str = "Microsoft.Network/networkWatchers";

fn plain() -> Value {
    json!({ "location": "eastus", "properties": {} })
}

/// A network with a group, routes and one machine whose interface is in an application security group.
async fn placed() -> (World, String) {
    let world = World::new().await;
    let (nsg, asg, table) = (id(NSG, "g"), id(ASG, "web"), id(TABLE, "t"));
    world.put(&asg, plain()).await.unwrap();
    let rule = json!({ "name": "web", "properties": {
        "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "Internet",
        "sourcePortRange": "*", "destinationApplicationSecurityGroups": [{ "id": asg }], "destinationPortRange": "80",
    }});
    world
        .put(&nsg, json!({ "location": "eastus", "properties": { "securityRules": [rule] } }))
        .await
        .unwrap();
    let route = json!({ "name": "all", "properties": {
        "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.1.0.99",
    }});
    world.put(&table, json!({ "location": "eastus", "properties": { "routes": [route] } })).await.unwrap();
    let uses = json!({ "networkSecurityGroup": { "id": nsg }, "routeTable": { "id": table } });
    world.put(&id(VNET, "v"), network("10.1.0.0/24", uses)).await.unwrap();
    let mut set = scale_set(1, &[]);
    let path = "/properties/virtualMachineProfile/networkProfile/networkInterfaceConfigurations/0/properties";
    let interface = set.pointer_mut(path).unwrap();
    interface["ipConfigurations"][0]["properties"]["applicationSecurityGroups"] = json!([{ "id": asg }]);
    world.put(&id(SET, "vmss"), set).await.unwrap();
    (world, format!("{}/virtualMachines/0", id(SET, "vmss")))
}

#[tokio::test]
async fn effective_answers_come_from_the_wish() {
    let (world, machine) = placed().await;
    let interface = format!("{machine}/networkInterfaces/nic");
    let groups =
        world.post(&format!("{interface}/effectiveNetworkSecurityGroups"), Value::Null).await.unwrap();
    let group = &groups["value"][0];
    assert_eq!(group["association"]["subnet"]["id"], format!("{}/subnets/s", id(VNET, "v")));
    let first = &group["effectiveSecurityRules"][0];
    assert_eq!(first["name"], "securityRules/web");
    assert_eq!(first["destinationAddressPrefixes"], json!(["10.1.0.4/32"]), "the group's member");
    assert_eq!(group["effectiveSecurityRules"].as_array().unwrap().len(), 7);
    let routes = world.post(&format!("{interface}/effectiveRouteTable"), Value::Null).await.unwrap();
    let user = routes["value"].as_array().unwrap().iter().find(|r| r["source"] == "User").unwrap();
    assert_eq!(user["nextHopIpAddress"], json!(["10.1.0.99"]));
    let replaced =
        routes["value"].as_array().unwrap().iter().find(|r| r["nextHopType"] == "Internet").unwrap();
    assert_eq!(replaced["state"], "Invalid");

    let watcher = id(WATCHER, "w");
    world.put(&watcher, plain()).await.unwrap();
    for (direction, local_port, remote, expected) in [
        ("Inbound", "80", "8.8.8.8", json!({ "access": "Allow", "ruleName": "securityRules/web" })),
        (
            "Inbound",
            "81",
            "8.8.8.8",
            json!({ "access": "Deny", "ruleName": "defaultSecurityRules/DenyAllInBound" }),
        ),
        (
            "Inbound",
            "81",
            "10.1.0.9",
            json!({ "access": "Allow", "ruleName": "defaultSecurityRules/AllowVnetInBound" }),
        ),
        (
            "Outbound",
            "81",
            "8.8.8.8",
            json!({ "access": "Allow", "ruleName": "defaultSecurityRules/AllowInternetOutBound" }),
        ),
    ] {
        let flow = json!({
            "targetResourceId": machine, "direction": direction, "protocol": "TCP", "localIPAddress": "10.1.0.4",
            "localPort": local_port, "remoteIPAddress": remote, "remotePort": "443",
        });
        assert_eq!(
            world.post(&format!("{watcher}/ipFlowVerify"), flow).await.unwrap(),
            expected,
            "{direction} {remote}"
        );
    }
    for (to, expected) in [("8.8.8.8", "VirtualAppliance"), ("10.1.0.7", "VnetLocal"), ("172.16.9.9", "None")]
    {
        let asked =
            json!({ "targetResourceId": machine, "sourceIPAddress": "10.1.0.4", "destinationIPAddress": to });
        let hop = world.post(&format!("{watcher}/nextHop"), asked).await.unwrap();
        assert_eq!(hop["nextHopType"], expected, "{to}");
        let table = if to == "8.8.8.8" { id(TABLE, "t") } else { "System Route".to_owned() };
        assert_eq!(hop["routeTableId"], table, "{to}");
    }
    assert_eq!(
        world.delete(&id(ASG, "web")).await.unwrap_err().code,
        "InUseApplicationSecurityGroupCannotBeDeleted"
    );
}

#[tokio::test]
async fn a_tag_is_of_one_service_and_a_subnet_s_endpoint_leads_to_it() {
    use providers::network::platform::{CONTAINER_REGISTRY, KEY_VAULT};
    let (world, machine) = placed().await;
    let (watcher, group) = (id(WATCHER, "w"), id(NSG, "g"));
    world.put(&watcher, plain()).await.unwrap();
    let no_vaults = json!({ "properties": {
        "priority": 200, "direction": "Outbound", "access": "Deny", "protocol": "*", "sourceAddressPrefix": "*",
        "sourcePortRange": "*", "destinationAddressPrefix": "AzureKeyVault.EastUS", "destinationPortRange": "*",
    }});
    world.put(&format!("{group}/securityRules/no-vaults"), no_vaults).await.unwrap();
    let judged = async |remote: std::net::Ipv4Addr| {
        let flow = json!({
            "targetResourceId": machine, "direction": "Outbound", "protocol": "TCP", "localIPAddress": "10.1.0.4",
            "localPort": "*", "remoteIPAddress": remote, "remotePort": "443",
        });
        world.post(&format!("{watcher}/ipFlowVerify"), flow).await.unwrap()["ruleName"].clone()
    };
    assert_eq!(judged(KEY_VAULT.address()).await, "securityRules/no-vaults");
    assert_eq!(judged(CONTAINER_REGISTRY.address()).await, "defaultSecurityRules/AllowInternetOutBound");
    let open = json!({
        "targetResourceId": machine, "direction": "Outbound", "protocol": "TCP", "localIPAddress": "10.1.0.4",
        "localPort": "1", "remoteIPAddress": "8.8.8.8", "remotePort": "*",
    });
    let refused = world.post(&format!("{watcher}/ipFlowVerify"), open).await.unwrap_err();
    assert_eq!(refused.code, "InvalidRequestFormat", "only the side that opens may take any port");

    let hop = async |to: std::net::Ipv4Addr| {
        let asked =
            json!({ "targetResourceId": machine, "sourceIPAddress": "10.1.0.4", "destinationIPAddress": to });
        world.post(&format!("{watcher}/nextHop"), asked).await.unwrap()["nextHopType"].clone()
    };
    assert_eq!(hop(KEY_VAULT.address()).await, "VirtualAppliance");
    let subnet = format!("{}/subnets/s", id(VNET, "v"));
    let mut shown = world.get(&subnet).await;
    shown["properties"]["serviceEndpoints"] = json!([{ "service": "Microsoft.KeyVault" }]);
    world.put(&subnet, shown).await.unwrap();
    assert_eq!(hop(KEY_VAULT.address()).await, "VirtualNetworkServiceEndpoint");
    assert_eq!(hop(CONTAINER_REGISTRY.address()).await, "VirtualAppliance");

    // A second machine of the set is in the application group too.
    let members = async || {
        let interface = format!("{machine}/networkInterfaces/nic/effectiveNetworkSecurityGroups");
        let groups = world.post(&interface, Value::Null).await.unwrap();
        groups["value"][0]["effectiveSecurityRules"][0]["destinationAddressPrefixes"].clone()
    };
    assert_eq!(members().await, json!(["10.1.0.4/32"]));
    let mut set = world.get(&id(SET, "vmss")).await;
    set["sku"]["capacity"] = json!(2);
    world.put(&id(SET, "vmss"), set).await.unwrap();
    assert_eq!(members().await, json!(["10.1.0.4/32", "10.1.0.5/32"]));
    world.delete(&machine).await.unwrap();
    let second = format!("{}/virtualMachines/1/networkInterfaces/nic", id(SET, "vmss"));
    let groups = world.post(&format!("{second}/effectiveNetworkSecurityGroups"), Value::Null).await.unwrap();
    let first = &groups["value"][0]["effectiveSecurityRules"][0];
    assert_eq!(first["destinationAddressPrefixes"], json!(["10.1.0.5/32"]));
}

#[tokio::test]
async fn interfaces_hold_addresses_until_the_subnet_is_full() {
    let world = World::new().await;
    let vnet = id(VNET, "v");
    world.put(&vnet, network("10.1.0.0/29", json!({}))).await.unwrap();
    let subnet = format!("{vnet}/subnets/s");
    let body = |address: Option<&str>| {
        let mut properties = json!({ "subnet": { "id": subnet } });
        if let Some(address) = address {
            properties["privateIPAddress"] = json!(address);
            properties["privateIPAllocationMethod"] = json!("Static");
        }
        json!({ "location": "eastus", "properties": {
            "ipConfigurations": [{ "name": "ipconfig1", "properties": properties }],
        }})
    };
    let balancer = |address: Option<&str>| {
        let mut body = body(address);
        let frontends = body["properties"]["ipConfigurations"].take();
        body["properties"] = json!({ "frontendIPConfigurations": frontends });
        body
    };
    for (name, address, code) in [
        ("x", Some("10.1.0.9"), "PrivateIPAddressNotInSubnet"),
        ("x", Some("10.1.0.1"), "PrivateIPAddressInReservedRange"),
        ("x", Some("ten"), "InvalidIPAddress"),
    ] {
        assert_eq!(world.put(&id(NIC, name), body(address)).await.unwrap_err().code, code, "{address:?}");
        let refused = world.put(&id(LB, name), balancer(address)).await.unwrap_err();
        assert_eq!(refused.code, code, "a frontend at {address:?}");
    }
    // An interface and a frontend that ask at once get two addresses.
    let (nic, frontend) = (id(NIC, "n"), id(LB, "b"));
    let (one, other) = tokio::join!(world.put(&nic, body(None)), world.put(&frontend, balancer(None)));
    let address = |resource: Value, member: &str| {
        resource["properties"][member][0]["properties"]["privateIPAddress"].to_string()
    };
    assert_ne!(
        address(one.unwrap(), "ipConfigurations"),
        address(other.unwrap(), "frontendIPConfigurations")
    );
    world.delete(&nic).await.unwrap();
    world.delete(&frontend).await.unwrap();
    // Three are left of eight, and asked for at once.
    let all = (0..3).map(|n| {
        let (world, body, at) = (&world, body(None), id(NIC, &format!("n{n}")));
        async move { world.put(&at, body).await.unwrap() }
    });
    let given: std::collections::BTreeSet<String> = futures::future::join_all(all)
        .await
        .iter()
        .map(|nic| nic["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"].to_string())
        .collect();
    assert_eq!(given.len(), 3);
    assert_eq!(world.put(&id(NIC, "n3"), body(None)).await.unwrap_err().code, "SubnetIsFull");
    let shown = world.get(&id(NIC, "n0")).await;
    assert_eq!(world.put(&id(NIC, "n0"), shown.clone()).await.unwrap(), shown);
    assert_eq!(
        world.put(&id(NIC, "n1"), body(Some("10.1.0.4"))).await.unwrap_err().code,
        "PrivateIPAddressIsAllocated"
    );
    let free = world
        .owner()
        .get(format!("{vnet}/CheckIPAddressAvailability?ipAddress=10.1.0.5"), API)
        .await
        .unwrap();
    assert_eq!(free["available"], false);
    world.delete(&id(NIC, "n1")).await.unwrap();
    let usages = world.get(&format!("{vnet}/usages")).await;
    assert_eq!((&usages["value"][0]["currentValue"], &usages["value"][0]["limit"]), (&json!(2), &json!(3)));
    assert_eq!(world.delete(&vnet).await.unwrap_err().code, "InUseSubnetCannotBeDeleted");
}

#[tokio::test]
async fn a_nat_gateway_gives_addresses_of_prefixes() {
    let (world, _) = placed().await;
    let (prefix, gateway, address) = (id(PREFIX, "p"), id(NAT, "n"), id(PIP, "a"));
    let made = world
        .put(&prefix, json!({ "location": "eastus", "properties": { "prefixLength": 30 } }))
        .await
        .unwrap();
    assert_eq!(made["properties"]["ipPrefix"], "20.3.0.0/30");
    let second = world
        .put(&id(PREFIX, "q"), json!({ "location": "eastus", "properties": { "prefixLength": 31 } }))
        .await
        .unwrap();
    assert_eq!(second["properties"]["ipPrefix"], "20.3.0.4/31");
    world
        .put(&address, json!({ "location": "eastus", "properties": { "publicIPPrefix": { "id": prefix } } }))
        .await
        .unwrap();
    assert_eq!(world.get(&address).await["properties"]["ipAddress"], "20.3.0.1");
    assert_eq!(world.delete(&prefix).await.unwrap_err().code, "InUsePublicIpPrefixCannotBeDeleted");
    let body =
        json!({ "location": "eastus", "properties": { "publicIpPrefixes": [{ "id": id(PREFIX, "q") }] } });
    world.put(&gateway, body).await.unwrap();
    let subnet = format!("{}/subnets/s", id(VNET, "v"));
    let mut shown = world.get(&subnet).await;
    shown["properties"]["natGateway"] = json!({ "id": gateway });
    shown["properties"]["defaultOutboundAccess"] = json!(false);
    world.put(&subnet, shown).await.unwrap();
    let wish = wanted(world.front.resources(), &[]);
    let of: Vec<String> = wish.networks[0].subnets[0].nat.iter().map(ToString::to_string).collect();
    assert_eq!(of, ["20.3.0.4", "20.3.0.5"]);
    assert!(wish.networks[0].subnets[0].private);
    assert_eq!(world.delete(&gateway).await.unwrap_err().code, "InUseNatGatewayCannotBeDeleted");
}
