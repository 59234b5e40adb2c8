use expect_test::{Expect, expect};
use serde_json::json;

use super::*;
use crate::wanted::{Access, Direction, Network, Peer, PortRange, Protocol, SecurityRule, Subnet};

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
        }],
        outbound: Some(Ipv4Addr::new(20, 2, 0, 4)),
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
        + aaaaaaaa: bridge br-7a660e24 10.224.0.1/16
        + aaaaaaaa: port 00000001 on br-7a660e24 10.224.0.4/16 gateway 10.224.0.1
        + aaaaaaaa: port 00000002 on br-7a660e24 10.224.0.5/16 gateway 10.224.0.1
        + aaaaaaaa: route 10.244.4.0/24 via 10.224.0.4
        + aaaaaaaa: route 10.244.5.0/24 via 10.224.0.5
        + aaaaaaaa: mark 0x10000001 via 10.224.0.4
        + aaaaaaaa: mark 0x10000002 via 10.224.0.5
        + aaaaaaaa: public 20.2.0.4
        replace rules of aaaaaaaa (29 lines)
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
        replace rules of aaaaaaaa (29 lines)
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
    let chain = rules.split("\tchain ").find(|c| c.starts_with("subnet_out_0")).unwrap();
    expect![[r#"
        subnet_out_0 {
        		ip daddr != @vnet meta l4proto tcp th dport { 440-450 } counter drop comment "denyhttps"
        		ip daddr { 20.1.0.0/16 } meta l4proto tcp th dport { 440-450 } counter drop comment "denyhttps"
        		ip saddr @vnet ip daddr @vnet counter return comment "AllowVnetOutBound"
        		ip daddr != @vnet counter return comment "AllowInternetOutBound"
        		counter drop comment "DenyAllOutBound"
        	}
    "#]]
    .assert_eq(chain);
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
