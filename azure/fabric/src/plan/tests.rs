use expect_test::{Expect, expect};
use serde_json::json;

mod judged;

use super::*;
use crate::wanted::{
    Access, Direction, Network, NextHop, Peer, Peering, PortRange, Protocol, Route, SecurityRule, Subnet,
    Translation,
};

fn network() -> Network {
    Network {
        id: NetworkId::parse("aaaaaaaa").unwrap(),
        resource_id: "/vnet".into(),
        prefixes: vec!["10.224.0.0/12".parse().unwrap()],
        subnets: vec![Subnet {
            name: "aks-subnet".into(),
            prefix: "10.224.0.0/16".parse().unwrap(),
            rules: Vec::new(),
            routes: Vec::new(),
            nat: Vec::new(),
            translation: Translation::default(),
            private: false,
            services: Vec::new(),
        }],
        outbound: Some(Ipv4Addr::new(20, 2, 0, 4)),
        peerings: Vec::new(),
        endpoints: Vec::new(),
        dns_servers: Vec::new(),
    }
}

fn machine(id: &str, last: u8) -> Machine {
    Machine {
        id: MachineId::parse(id).unwrap(),
        resource_id: format!("/vm/{id}"),
        hostname: format!("aks-{id}"),
        network: NetworkId::parse("aaaaaaaa").unwrap(),
        subnet: "aks-subnet".into(),
        address: Ipv4Addr::new(10, 224, 0, last),
        routed_prefixes: vec![format!("10.244.{last}.0/24").parse().unwrap()],
        rules: Vec::new(),
        ip_forwarding: false,
        outbound: Vec::new(),
        translation: Translation::default(),
        cpus: 2,
        memory_bytes: 1 << 30,
        vm_size: "Standard_D2s_v3".into(),
        zone: String::new(),
        location: "eastus".into(),
        custom_data: Vec::new(),
        imds: json!(null),
        generation: 1,
        power: Power::On,
    }
}

fn wanted() -> Wanted {
    Wanted {
        generation: 7,
        networks: vec![network()],
        machines: vec![machine("00000001", 4), machine("00000002", 5)],
        ..Wanted::default()
    }
}

/// The host after a plan was executed.
fn after(wanted: &Wanted, life: Life) -> Seen {
    let plan = plan(wanted, &Seen::default(), &Health::new());
    let seen = |m: &Machine| SeenMachine { generation: Some(m.generation), namespace: true, life };
    Seen {
        internet: true,
        routers: plan.routers,
        unfinished: BTreeSet::new(),
        machines: wanted.machines.iter().map(|m| (m.id.clone(), seen(m))).collect(),
    }
}

#[track_caller]
fn check_plan(wanted: &Wanted, seen: &Seen, steps: Expect) {
    steps.assert_eq(&plan(wanted, seen, &Health::new()).to_string());
}

#[test]
fn from_nothing_everything_is_made() {
    check_plan(
        &wanted(),
        &Seen::default(),
        expect![[r#"
            generation 7
            make the internet
            make namespace of machine 00000001
            make namespace of machine 00000002
            make router aaaaaaaa
            + aaaaaaaa: ground
            + aaaaaaaa: bridge br-7a660e24 10.224.0.1/16
            + aaaaaaaa: port 00000001 on br-7a660e24 10.224.0.4/16 gateway 10.224.0.1
            + aaaaaaaa: port 00000002 on br-7a660e24 10.224.0.5/16 gateway 10.224.0.1
            + aaaaaaaa: no route 10.0.0.0/8
            + aaaaaaaa: no route 172.16.0.0/12
            + aaaaaaaa: no route 192.168.0.0/16
            + aaaaaaaa: route 10.244.4.0/24 via 10.224.0.4
            + aaaaaaaa: route 10.244.5.0/24 via 10.224.0.5
            + aaaaaaaa: mark 0x10000001 via 10.224.0.4
            + aaaaaaaa: mark 0x10000002 via 10.224.0.5
            + aaaaaaaa: public 20.2.0.4
            replace rules of aaaaaaaa (46 lines)
            image machine 00000001 generation 1
            start machine 00000001
            image machine 00000002 generation 1
            start machine 00000002
        "#]],
    );
}

#[test]
fn the_same_again_is_nothing() {
    let wanted = wanted();
    check_plan(
        &wanted,
        &after(&wanted, Life::Alive),
        expect![[r#"
        generation 7
    "#]],
    );
    check_plan(
        &wanted,
        &after(&wanted, Life::Ended),
        expect![[r#"
        generation 7
    "#]],
    );
}

#[test]
fn one_machine_goes_another_is_reimaged() {
    let old = wanted();
    let mut new = wanted();
    new.machines.remove(0);
    new.machines[0].generation = 2;
    check_plan(
        &new,
        &after(&old, Life::Alive),
        expect![[r#"
            generation 7
            delete machine 00000001
            stop machine 00000002
            - aaaaaaaa: port 00000001 on br-7a660e24 10.224.0.4/16 gateway 10.224.0.1
            - aaaaaaaa: route 10.244.4.0/24 via 10.224.0.4
            - aaaaaaaa: mark 0x10000001 via 10.224.0.4
            replace rules of aaaaaaaa (46 lines)
            image machine 00000002 generation 2
            start machine 00000002
        "#]],
    );
}

#[test]
fn after_a_restart_of_the_host_machines_start_from_their_disks() {
    let wanted = wanted();
    let mut seen = after(&wanted, Life::Down);
    seen.internet = false;
    seen.routers.clear();
    seen.machines.values_mut().for_each(|m| m.namespace = false);
    let steps = plan(&wanted, &seen, &Health::new()).steps;
    assert!(!steps.iter().any(|s| matches!(s, Step::Image(..))));
    assert_eq!(steps.iter().filter(|s| matches!(s, Step::Start(_))).count(), 2);
}

#[test]
fn power_off_stops_and_power_on_starts() {
    let mut off = wanted();
    off.machines[0].power = Power::Off;
    check_plan(
        &off,
        &after(&off, Life::Alive),
        expect![[r#"
        generation 7
        stop machine 00000001
    "#]],
    );
    let on = wanted();
    check_plan(
        &on,
        &after(&on, Life::Down),
        expect![[r#"
        generation 7
        start machine 00000001
        start machine 00000002
    "#]],
    );
}

#[test]
fn security_rules_compile_by_priority_with_azure_defaults() {
    let mut wanted = wanted();
    wanted.networks[0].subnets[0].rules = vec![SecurityRule {
        name: "deny \"https\"".into(),
        priority: 200,
        direction: Direction::Outbound,
        access: Access::Deny,
        protocol: Protocol::Tcp,
        sources: vec![Peer::Any],
        source_ports: Vec::new(),
        destinations: vec![Peer::Prefix("20.1.0.0/16".parse().unwrap()), Peer::Internet],
        destination_ports: vec![PortRange { first: 443, last: 443 }, PortRange { first: 440, last: 450 }],
    }];
    let rules = compile(&wanted, &wanted.networks[0], &Health::new()).rules;
    let chain = rules.split("\tchain ").find(|c| c.starts_with("subnet_out_")).unwrap();
    let lines: Vec<&str> = chain.lines().skip(1).map(str::trim).collect();
    expect![[r#"
        ip daddr != @vnet meta l4proto tcp th dport { 440-450 } counter drop comment "denyhttps"
        ip daddr { 20.1.0.0/16 } meta l4proto tcp th dport { 440-450 } counter drop comment "denyhttps"
        ip saddr @vnet ip daddr @vnet counter return comment "AllowVnetOutBound"
        ip daddr != @vnet counter return comment "AllowInternetOutBound"
        counter drop comment "DenyAllOutBound"
        }
    "#]]
    .assert_eq(&(lines.join("\n") + "\n"));
}

#[test]
fn contradictions_are_told() {
    let mut wanted = wanted();
    wanted.machines[1].address = Ipv4Addr::new(10, 224, 0, 4);
    wanted.machines.push(machine("00000003", 1));
    wanted.machines[2].hostname = "a b".into();
    expect![[r#"
        address 10.224.0.4 of `aks-00000002` is used twice
        machine `a b` cannot have 10.224.0.1 in 10.224.0.0/16
        `a b` is no host name"#]]
    .assert_eq(&check(&wanted).join("\n"));
}

fn peered() -> Wanted {
    let mut wanted = wanted();
    let mut hub = network();
    hub.id = NetworkId::parse("bbbbbbbb").unwrap();
    hub.resource_id = "/hub".into();
    hub.prefixes = vec!["10.0.0.0/16".parse().unwrap()];
    hub.subnets[0].prefix = "10.0.1.0/24".parse().unwrap();
    hub.subnets[0].name = "fw".into();
    hub.outbound = None;
    let peering = |name: &str, network: &NetworkId, prefix: &str| Peering {
        name: name.into(),
        network: network.clone(),
        prefixes: vec![prefix.parse().unwrap()],
        access: true,
        forwarded: false,
    };
    hub.peerings = vec![peering("spoke", &wanted.networks[0].id, "10.224.0.0/12")];
    wanted.networks[0].peerings = vec![peering("hub", &hub.id, "10.0.0.0/16")];
    wanted.networks[0].subnets[0].routes = vec![Route {
        name: "all".into(),
        prefix: "0.0.0.0/0".parse().unwrap(),
        next_hop: NextHop::VirtualAppliance(Ipv4Addr::new(10, 0, 1, 4)),
    }];
    wanted.networks.push(hub);
    wanted
}

#[test]
fn a_peering_and_an_appliance_behind_it_are_links_of_both_routers() {
    let wanted = peered();
    let facts = |at: usize| {
        let config = compile(&wanted, &wanted.networks[at], &Health::new());
        let lines = config.facts.iter().map(ToString::to_string);
        let wanted = |line: &String| line.contains("link") || line.contains(" to ") || line.contains("table");
        lines.filter(wanted).collect::<Vec<_>>().join("\n")
    };
    let own = facts(0);
    assert!(own.contains("link to bbbbbbbb") && own.contains("route 10.0.0.0/16 to bbbbbbbb"), "{own}");
    assert!(own.contains("route 10.244.4.0/24 Network in table"), "pods go their own way: {own}");
    assert!(own.contains("route 0.0.0.0/0 Link"), "{own}");
    let hub = facts(1);
    assert!(hub.contains("link to aaaaaaaa") && hub.contains("from aaaaaaaa to 10.0.1.4"), "{hub}");
}

#[test]
fn a_router_that_is_made_anew_gets_its_links_back_at_both_ends() {
    let wanted = peered();
    let mut seen = after(&wanted, Life::Alive);
    assert_eq!(plan(&wanted, &seen, &Health::new()).steps, []);
    seen.routers.remove(&NetworkId::parse("bbbbbbbb").unwrap());
    let steps = plan(&wanted, &seen, &Health::new()).to_string();
    assert!(steps.contains("+ aaaaaaaa: link to bbbbbbbb"), "{steps}");
    assert!(steps.contains("+ bbbbbbbb: link to aaaaaaaa"), "{steps}");
    assert!(!steps.contains("+ aaaaaaaa: bridge"), "{steps}");
}

#[test]
fn the_effective_routes_are_the_system_s_and_the_user_s() {
    let wanted = peered();
    let network = &wanted.networks[0];
    let lines: Vec<String> = effective_routes(network, &network.subnets[0])
        .iter()
        .map(|r| format!("{:?} {} {:?} {}", r.source, r.prefix, r.hop, if r.active { "on" } else { "off" }))
        .collect();
    expect![[r#"
        Default 10.224.0.0/12 VnetLocal on
        Default 10.0.0.0/16 VnetPeering(NetworkId("bbbbbbbb")) on
        Default 0.0.0.0/0 Internet off
        Default 10.0.0.0/8 None on
        Default 172.16.0.0/12 None on
        Default 192.168.0.0/16 None on
        User 0.0.0.0/0 VirtualAppliance(10.0.1.4) on"#]]
    .assert_eq(&lines.join("\n"));
    for (to, expected) in [
        ("10.224.9.9", HopType::VnetLocal),
        ("10.0.7.7", HopType::VnetPeering(NetworkId::parse("bbbbbbbb").unwrap())),
        ("10.9.9.9", HopType::None),
        ("8.8.8.8", HopType::VirtualAppliance(Ipv4Addr::new(10, 0, 1, 4))),
    ] {
        assert_eq!(
            next_hop(network, &network.subnets[0], to.parse().unwrap()).unwrap().hop,
            expected,
            "{to}"
        );
    }
}

#[test]
fn a_flow_meets_the_groups_in_azure_s_order() {
    let rule = |name: &str, direction, access, port| SecurityRule {
        name: name.into(),
        priority: 100,
        direction,
        access,
        protocol: Protocol::Tcp,
        sources: vec![Peer::Any],
        source_ports: Vec::new(),
        destinations: vec![Peer::Any],
        destination_ports: vec![PortRange { first: port, last: port }],
    };
    let mut wanted = wanted();
    wanted.networks[0].subnets[0].rules = vec![rule("web", Direction::Inbound, Access::Allow, 80)];
    wanted.machines[0].rules = vec![rule("not-here", Direction::Inbound, Access::Deny, 80)];
    let ask = |direction, remote: &str, port| {
        let local = (wanted.machines[0].address, if direction == Direction::Inbound { port } else { 40_000 });
        let remote = (remote.parse().unwrap(), if direction == Direction::Inbound { 40_000 } else { port });
        let verdict =
            verify(&wanted, &wanted.machines[0], &Flow { direction, protocol: Protocol::Tcp, local, remote });
        let rule = verdict.rule.map(|r| r.name).unwrap_or_default();
        format!("{:?} {rule} {}", verdict.access, if verdict.subnet { "subnet" } else { "interface" })
    };
    for (direction, remote, port, expected) in [
        (Direction::Inbound, "8.8.8.8", 80, "Deny not-here interface"),
        (Direction::Inbound, "8.8.8.8", 81, "Deny DenyAllInBound subnet"),
        (Direction::Inbound, "10.224.0.5", 81, "Allow AllowVnetInBound interface"),
        (Direction::Inbound, "168.63.129.16", 81, "Allow AllowVnetInBound interface"),
        (Direction::Outbound, "8.8.8.8", 443, "Allow AllowInternetOutBound subnet"),
        // Pods of the overlay are in the network.
        (Direction::Outbound, "10.244.5.7", 443, "Allow AllowVnetOutBound subnet"),
    ] {
        assert_eq!(ask(direction, remote, port), expected, "{direction:?} {remote} {port}");
    }
}
