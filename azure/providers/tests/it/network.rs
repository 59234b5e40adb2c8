//! What network resources show, refuse and keep.

use providers::fabric_driver::wanted::wanted;
use serde_json::{Value, json};

use crate::world::{World, id, network, scale_set};

const VNET: &str = "Microsoft.Network/virtualNetworks";
const NSG: &str = "Microsoft.Network/networkSecurityGroups";
const PIP: &str = "Microsoft.Network/publicIPAddresses";
const LB: &str = "Microsoft.Network/loadBalancers";
const TABLE: &str = "Microsoft.Network/routeTables";
const SET: &str = "Microsoft.Compute/virtualMachineScaleSets";

fn balancer(address: &str) -> Value {
    let lb = id(LB, "kubernetes");
    json!({ "location": "eastus", "properties": {
        "frontendIPConfigurations": [{ "name": "f", "properties": { "publicIPAddress": { "id": address } } }],
        "backendAddressPools": [{ "name": "p" }],
        "probes": [{ "name": "h", "properties": { "protocol": "Tcp", "port": 30080 } }],
        "loadBalancingRules": [{ "name": "r", "properties": {
            "protocol": "Tcp", "frontendPort": 80, "backendPort": 80, "enableFloatingIP": true,
            "frontendIPConfiguration": { "id": format!("{lb}/frontendIPConfigurations/f") },
            "backendAddressPool": { "id": format!("{lb}/backendAddressPools/p") },
            "probe": { "id": format!("{lb}/probes/h") },
        }}],
        "outboundRules": [{ "name": "o", "properties": {
            "protocol": "All", "backendAddressPool": { "id": format!("{lb}/backendAddressPools/p") },
            "frontendIPConfigurations": [{ "id": format!("{lb}/frontendIPConfigurations/f") }],
        }}],
    }})
}

#[tokio::test]
async fn what_is_put_comes_back_and_may_be_put_again() {
    let world = World::new().await;
    let (nsg, pip, lb, vnet) = (id(NSG, "g"), id(PIP, "a"), id(LB, "kubernetes"), id(VNET, "v"));
    let rule = json!({ "name": "web", "properties": {
        "priority": 500, "direction": "Inbound", "access": "Allow", "protocol": "Tcp", "sourceAddressPrefix": "Internet",
        "sourcePortRange": "*", "destinationAddressPrefix": "*", "destinationPortRange": "80",
    }});
    world
        .put(&nsg, json!({ "location": "eastus", "properties": { "securityRules": [rule] } }))
        .await
        .unwrap();
    world
        .put(&pip, json!({ "location": "eastus", "sku": { "name": "Standard" }, "properties": {} }))
        .await
        .unwrap();
    world.put(&lb, balancer(&pip)).await.unwrap();
    world.put(&vnet, network("10.1.0.0/16", json!({ "networkSecurityGroup": { "id": nsg } }))).await.unwrap();
    for one in [&nsg, &pip, &lb, &vnet] {
        let first = world.get(one).await;
        assert_eq!(first["properties"]["provisioningState"], "Succeeded");
        let second = world.put(one, first.clone()).await.unwrap();
        assert_eq!(first, second, "{one}: the same again changes nothing, not even the ETag");
    }
    let shown = world.get(&nsg).await;
    assert_eq!(shown["properties"]["defaultSecurityRules"].as_array().unwrap().len(), 6);
    assert_eq!(shown["properties"]["subnets"][0]["id"], format!("{vnet}/subnets/s"));
    assert_eq!(world.get(&pip).await["properties"]["ipAddress"], "20.2.0.1");
    let pool = world.get(&format!("{lb}/backendAddressPools/p")).await;
    assert_eq!(pool["properties"]["loadBalancingRules"][0]["id"], format!("{lb}/loadBalancingRules/r"));
}

#[tokio::test]
async fn what_is_in_use_stays() {
    let world = World::new().await;
    let (nsg, pip, lb, vnet, table) =
        (id(NSG, "g"), id(PIP, "a"), id(LB, "kubernetes"), id(VNET, "v"), id(TABLE, "t"));
    for (one, body) in [
        (&nsg, json!({ "location": "eastus", "properties": {} })),
        (&table, json!({ "location": "eastus", "properties": {} })),
        (&pip, json!({ "location": "eastus", "properties": {} })),
        (&lb, balancer(&pip)),
        (
            &vnet,
            network(
                "10.1.0.0/16",
                json!({ "networkSecurityGroup": { "id": nsg }, "routeTable": { "id": table } }),
            ),
        ),
    ] {
        world.put(one, body).await.unwrap();
    }
    let set = id(SET, "vmss");
    world.put(&set, scale_set(1, &[format!("{lb}/backendAddressPools/p")])).await.unwrap();
    for (one, code) in [
        (&nsg, "InUseNetworkSecurityGroupCannotBeDeleted"),
        (&table, "InUseRouteTableCannotBeDeleted"),
        (&pip, "PublicIPAddressCannotBeDeleted"),
        (&lb, "LoadBalancerInUseByVirtualMachineScaleSet"),
        (&vnet, "InUseSubnetCannotBeDeleted"),
        (&format!("{vnet}/subnets/s"), "InUseSubnetCannotBeDeleted"),
    ] {
        assert_eq!(world.delete(one).await.unwrap_err().code, code, "{one}");
    }
    let wish = wanted(world.front.resources(), &[]);
    assert_eq!(wish.machines[0].outbound, ["20.2.0.1".parse::<std::net::Ipv4Addr>().unwrap()]);
    assert_eq!(wish.networks[0].subnets[0].rules.len(), 6);
    assert_eq!(wish.balancers[0].rules[0].backends, [wish.machines[0].id.clone()]);
    assert!(wish.balancers[0].rules[0].floating_ip && wish.balancers[0].rules[0].probe.is_some());
    world
        .owner()
        .delete(format!("/subscriptions/{}/resourceGroups/rg", providers::fake::SUBSCRIPTION), "2024-11-01")
        .await
        .unwrap()
        .done()
        .await
        .unwrap();
    let wish = wanted(world.front.resources(), &[]);
    assert!(wish.networks.is_empty() && wish.machines.is_empty() && wish.balancers.is_empty());
}

#[tokio::test]
async fn refusals_leave_what_was_there() {
    let world = World::new().await;
    let vnet = id(VNET, "v");
    world.put(&vnet, network("10.1.0.0/16", json!({}))).await.unwrap();
    for (one, body, code) in [
        (vnet.clone(), network("11.0.0.0/16", json!({})), "NetcfgInvalidSubnet"),
        (
            format!("{vnet}/subnets/x"),
            json!({ "properties": { "addressPrefix": "10.1.9.0/24" } }),
            "NetcfgSubnetRangesOverlap",
        ),
        (
            format!("{vnet}/subnets/x"),
            json!({ "properties": { "addressPrefix": "10.2.0.0/24", "routeTable": { "id": id(TABLE, "no") } } }),
            "InvalidResourceReference",
        ),
        (id(LB, "kubernetes"), balancer(&id(PIP, "no")), "InvalidResourceReference"),
    ] {
        assert_eq!(world.put(&one, body).await.unwrap_err().code, code, "{one}");
    }
    assert_eq!(world.get(&vnet).await["properties"]["subnets"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn public_addresses_are_never_given_twice() {
    let world = World::new().await;
    let bodies = (0..8).map(|n| {
        let one = id(PIP, &format!("a{n}"));
        let world = &world;
        async move { world.put(&one, json!({ "location": "eastus", "properties": {} })).await.unwrap() }
    });
    let made = futures::future::join_all(bodies).await;
    let given: std::collections::BTreeSet<_> =
        made.iter().map(|a| a["properties"]["ipAddress"].to_string()).collect();
    assert_eq!(given.len(), 8);
}

#[tokio::test]
async fn pools_are_also_written_by_themselves() {
    let world = World::new().await;
    let (pip, lb) = (id(PIP, "a"), id(LB, "kubernetes"));
    world.put(&pip, json!({ "location": "eastus", "properties": {} })).await.unwrap();
    world.put(&lb, balancer(&pip)).await.unwrap();
    let pool = format!("{lb}/backendAddressPools/q");
    let made = world.put(&pool, json!({ "properties": {} })).await.unwrap();
    assert_eq!(made["id"], pool);
    assert_eq!(world.get(&pool).await, made);
    assert_eq!(world.get(&lb).await["properties"]["backendAddressPools"].as_array().unwrap().len(), 2);
    let before = world.get(&lb).await;
    world.put(&pool, json!({ "properties": {} })).await.unwrap();
    assert_eq!(world.get(&lb).await, before, "the same again changes nothing");
    let used = format!("{lb}/backendAddressPools/p");
    assert_eq!(world.delete(&used).await.unwrap_err().code, "InvalidResourceReference", "a rule names it");
    world.delete(&pool).await.unwrap();
    assert_eq!(world.get(&lb).await["properties"]["backendAddressPools"].as_array().unwrap().len(), 1);
    let rule = format!("{lb}/inboundNatRules/web");
    let taken = json!({ "properties": {
        "protocol": "Tcp", "frontendPort": 80, "backendPort": 22,
        "frontendIPConfiguration": { "id": format!("{lb}/frontendIPConfigurations/f") },
    }});
    let refused = world.put(&rule, taken).await.unwrap_err();
    assert_eq!(refused.code, "RulesUseSameFrontendPortProtocolAndIPConfig");
}

#[tokio::test]
async fn a_rule_names_its_pool_twice_and_either_may_be_changed() {
    let world = World::new().await;
    let (pip, lb) = (id(PIP, "a"), id(LB, "kubernetes"));
    world.put(&pip, json!({ "location": "eastus", "properties": {} })).await.unwrap();
    world.put(&lb, balancer(&pip)).await.unwrap();
    let (p, q) = (format!("{lb}/backendAddressPools/p"), format!("{lb}/backendAddressPools/q"));
    world.put(&q, json!({ "properties": {} })).await.unwrap();
    let pools = |shown: &Value| {
        let rule = &shown["properties"]["loadBalancingRules"][0]["properties"];
        (rule["backendAddressPool"]["id"].clone(), rule["backendAddressPools"][0]["id"].clone())
    };
    let mut shown = world.get(&lb).await;
    assert_eq!(pools(&shown), (json!(p), json!(p)));
    shown["properties"]["loadBalancingRules"][0]["properties"]["backendAddressPools"] = json!([{ "id": q }]);
    let mut shown = world.put(&lb, shown).await.unwrap();
    assert_eq!(pools(&shown), (json!(q), json!(q)), "the list was changed");
    shown["properties"]["loadBalancingRules"][0]["properties"]["backendAddressPool"] = json!({ "id": p });
    let shown = world.put(&lb, shown).await.unwrap();
    assert_eq!(pools(&shown), (json!(p), json!(p)), "the single one was changed");
}

#[tokio::test]
async fn what_is_taken_by_another_is_refused() {
    let world = World::new().await;
    let route = |name: &str| json!({ "name": name, "properties": { "addressPrefix": "10.0.0.0/8", "nextHopType": "None" } });
    let table = json!({ "location": "eastus", "properties": { "routes": [route("a"), route("b")] } });
    assert_eq!(world.put(&id(TABLE, "t"), table).await.unwrap_err().code, "RouteConflict");
    let named =
        json!({ "location": "eastus", "properties": { "dnsSettings": { "domainNameLabel": "web" } } });
    world.put(&id(PIP, "a"), named.clone()).await.unwrap();
    world.put(&id(PIP, "a"), named.clone()).await.unwrap();
    assert_eq!(world.put(&id(PIP, "b"), named).await.unwrap_err().code, "DnsRecordInUse");
}

#[tokio::test]
async fn inbound_nat_probes_and_ports_reach_the_fabric() {
    let world = World::new().await;
    let (pip, lb, vnet, set) = (id(PIP, "a"), id(LB, "lb"), id(VNET, "v"), id(SET, "vmss"));
    let own = |member: &str, name: &str| json!({ "id": format!("{lb}/{member}/{name}") });
    let address = json!({ "location": "eastus", "properties": {} });
    world.put(&pip, address).await.unwrap();
    world.put(&vnet, network("10.1.0.0/16", json!({}))).await.unwrap();
    let (f, pool) = (own("frontendIPConfigurations", "f"), own("backendAddressPools", "p"));
    let body = json!({ "location": "eastus", "properties": {
        "frontendIPConfigurations": [{ "name": "f", "properties": { "publicIPAddress": { "id": pip } } }],
        "backendAddressPools": [{ "name": "p" }],
        "probes": [{ "name": "https", "properties": {
            "protocol": "Https", "port": 443, "requestPath": "/z", "intervalInSeconds": 5, "numberOfProbes": 7,
            "probeThreshold": 3, "noHealthyBackendsBehavior": "AllProbedUp",
        } }],
        "loadBalancingRules": [{ "name": "r", "properties": {
            "frontendIPConfiguration": f, "backendAddressPool": pool, "probe": own("probes", "https"),
            "protocol": "Tcp", "frontendPort": 80, "backendPort": 8080, "loadDistribution": "SourceIPProtocol",
            "idleTimeoutInMinutes": 15, "enableTcpReset": true, "disableOutboundSnat": true,
        } }],
        "outboundRules": [{ "name": "o", "properties": {
            "frontendIPConfigurations": [f], "backendAddressPool": pool, "protocol": "All",
            "allocatedOutboundPorts": 8000, "idleTimeoutInMinutes": 30, "enableTcpReset": true,
        } }],
        "inboundNatRules": [{ "name": "range", "properties": {
            "frontendIPConfiguration": f, "backendAddressPool": pool, "protocol": "Tcp",
            "frontendPortRangeStart": 2200, "frontendPortRangeEnd": 2299, "backendPort": 22,
        } }],
        "inboundNatPools": [{ "name": "ssh", "properties": {
            "frontendIPConfiguration": f, "protocol": "Tcp", "frontendPortRangeStart": 50000,
            "frontendPortRangeEnd": 50001, "backendPort": 22,
        } }],
    } });
    world.put(&lb, body).await.unwrap();
    let mut members = scale_set(3, &[format!("{lb}/backendAddressPools/p")]);
    let configuration = "/properties/virtualMachineProfile/networkProfile/networkInterfaceConfigurations/0\
                         /properties/ipConfigurations/0/properties/loadBalancerInboundNatPools";
    let (parent, member) = configuration.rsplit_once('/').unwrap();
    members.pointer_mut(parent).unwrap()[member] = json!([own("inboundNatPools", "ssh")]);
    world.put(&set, members).await.unwrap();
    let ports = || {
        let wish = wanted(world.front.resources(), &[]);
        let number = |id: &fabric::MachineId| wish.machines.iter().position(|m| m.id == *id).unwrap();
        let rules = wish.balancers[0].rules.iter().filter(|rule| rule.backend_port == 22);
        let lines = rules.map(|rule| format!("{}>{}", rule.frontend_port, number(&rule.backends[0])));
        lines.collect::<Vec<_>>().join(" ")
    };
    // Two ports for three machines: the third has none.
    assert_eq!(ports(), "2200>0 2201>1 2202>2 50000>0 50001>1");
    let wish = wanted(world.front.resources(), &[]);
    let rule = wish.balancers[0].rules.iter().find(|rule| rule.name == "r").unwrap();
    let idle = |after_s, reset| fabric::Idle { after_s, reset };
    assert_eq!((rule.idle, rule.all_when_none), (idle(900, true), true));
    assert_eq!(rule.distribution, fabric::Distribution::ClientAndProtocol);
    let probe = rule.probe.as_ref().unwrap();
    assert_eq!((probe.interval_s, probe.threshold), (5, 3));
    assert_eq!(probe.protocol, fabric::ProbeProtocol::Https { path: "/z".into() });
    let second = &wish.machines[1];
    assert_eq!(second.translation.ports, Some(fabric::PortRange { first: 9024, last: 17_023 }));
    assert_eq!(second.translation.idle, idle(1800, true));
    // A machine that goes leaves the others' ports alone; who had none gets one that is free.
    world.delete(&format!("{set}/virtualMachines/0")).await.unwrap();
    assert_eq!(ports(), "2201>0 2202>1 50001>0 50000>1");
}

#[tokio::test]
async fn a_balancer_that_goes_leaves_no_interface_behind_in_its_pools() {
    let world = World::new().await;
    let (vnet, nic) = (id(VNET, "v"), id("Microsoft.Network/networkInterfaces", "nic"));
    world.put(&vnet, network("10.1.0.0/16", json!({}))).await.unwrap();
    let pool = |lb: &str| json!({ "id": format!("{}/backendAddressPools/p", id(LB, lb)) });
    for lb in ["goes", "stays"] {
        let body =
            json!({ "location": "eastus", "properties": { "backendAddressPools": [{ "name": "p" }] } });
        world.put(&id(LB, lb), body).await.unwrap();
    }
    let interface = |pools: Value| {
        json!({ "location": "eastus", "properties": { "ipConfigurations": [{ "name": "ipconfig1", "properties": {
            "subnet": { "id": format!("{vnet}/subnets/s") }, "loadBalancerBackendAddressPools": pools,
        } }] } })
    };
    let before = world.put(&nic, interface(json!([pool("goes"), pool("stays")]))).await.unwrap();
    world.delete(&id(LB, "goes")).await.unwrap();
    let after = world.get(&nic).await;
    let named = "/properties/ipConfigurations/0/properties/loadBalancerBackendAddressPools";
    assert_eq!(after.pointer(named).unwrap(), &json!([pool("stays")]));
    assert_ne!(after["etag"], before["etag"]);
    // What the client reads it may write again.
    world.put(&nic, after.clone()).await.unwrap();
    world.delete(&id(LB, "stays")).await.unwrap();
    let after = world.get(&nic).await;
    assert_eq!(after.pointer(named), None);
    world.put(&nic, after).await.unwrap();
}
