//! Scenes of the network: packets pass or stop as wanted, before and after a change, and a counter says why.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ::fabric::plan::{Checkpoint, Counter};
use ::fabric::{
    Access, Balancer, BalancerRule, Direction, Distribution, Endpoint, Fabric, Idle, LinuxFabric, Machine,
    MachineId, NameData, NameRecord, Network, NetworkId, NextHop, Peer, Peering, Place, PortRange, Power,
    Probe, ProbeProtocol, Protocol, Route, SecurityRule, Subnet, Translation, Wanted, Zone,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::scenes::{Outcome, all_running, open, order_in, run, same, text};

pub fn subnet(name: &str, prefix: &str) -> Subnet {
    Subnet {
        name: name.into(),
        prefix: prefix.parse().unwrap(),
        rules: Vec::new(),
        routes: Vec::new(),
        nat: Vec::new(),
        translation: Translation::default(),
        private: false,
        services: Vec::new(),
    }
}

pub fn network(id: &str, prefix: &str, subnets: Vec<Subnet>) -> Network {
    Network {
        id: NetworkId::of(id),
        resource_id: id.into(),
        prefixes: vec![prefix.parse().unwrap()],
        subnets,
        outbound: None,
        peerings: Vec::new(),
        endpoints: Vec::new(),
        dns_servers: Vec::new(),
    }
}

pub fn machine(network: &str, subnet: &str, address: &str) -> Machine {
    let resource_id = format!("{network}/{address}");
    Machine {
        id: MachineId::of(&resource_id),
        resource_id,
        hostname: format!("at-{}", address.replace('.', "-")),
        network: NetworkId::of(network),
        subnet: subnet.into(),
        address: address.parse().unwrap(),
        routed_prefixes: Vec::new(),
        rules: Vec::new(),
        ip_forwarding: false,
        outbound: Vec::new(),
        translation: Translation::default(),
        cpus: 1,
        memory_bytes: 1 << 28,
        vm_size: "Standard_B1s".into(),
        zone: String::new(),
        location: "eastus".into(),
        custom_data: Vec::new(),
        imds: serde_json::Value::Null,
        generation: 1,
        power: Power::On,
    }
}

pub fn deny(name: &str, direction: Direction, port: u16) -> SecurityRule {
    SecurityRule {
        name: name.into(),
        priority: 100,
        direction,
        access: Access::Deny,
        protocol: Protocol::Tcp,
        sources: vec![Peer::Any],
        source_ports: Vec::new(),
        destinations: vec![Peer::Any],
        destination_ports: vec![PortRange { first: port, last: port }],
    }
}

pub fn peering(to: &str, prefix: &str) -> Peering {
    Peering {
        name: format!("to{}", to.replace('/', "-")),
        network: NetworkId::of(to),
        prefixes: vec![prefix.parse().unwrap()],
        access: true,
        forwarded: false,
    }
}

/// Applies the next generation of a wish.
pub async fn apply(fabric: &LinuxFabric, wish: &mut Wanted) -> Outcome {
    wish.generation += 1;
    fabric.apply(wish.clone()).await.map(drop).map_err(text)
}

pub async fn order(fabric: &LinuxFabric, machine: &Machine, order: &str) -> Result<String, String> {
    let network = machine.resource_id.rsplit_once('/').unwrap().0.to_owned();
    order_in(fabric, &network, machine.address, order).await
}

pub const TIMED_OUT: &str = "error: connection timed out";

pub async fn counter(fabric: &LinuxFabric, network: &str, rule: &str) -> Result<Counter, String> {
    let all = fabric.counters(&NetworkId::of(network)).await.map_err(text)?;
    let found = all.iter().filter(|c| c.rule == rule).max_by_key(|c| c.packets).cloned();
    found.ok_or_else(|| format!("no counter `{rule}` in {all:#?}"))
}

/// The counter of a reason to drop has counted, at this place.
pub async fn dropped(fabric: &LinuxFabric, network: &str, rule: &str, place: &Checkpoint) -> Outcome {
    let found = counter(fabric, network, rule).await?;
    match found.packets > 0 && found.access == Access::Deny && found.checkpoint == *place {
        true => Ok(()),
        false => Err(format!("`{rule}` did not stop anything at {place:?}: {found:?}")),
    }
}

/// A service on the internet that tells each client its address.
async fn mirror(fabric: &LinuxFabric, at: SocketAddrV4) -> Outcome {
    let listener = fabric.listen(Place::Internet, at).await.map_err(text)?;
    tokio::spawn(async move {
        while let Ok((mut stream, peer)) = listener.accept().await {
            let _ = stream.write_all(peer.ip().to_string().as_bytes()).await;
            // Unread bytes would end the connection before the client has read.
            let _ = stream.read_u8().await;
        }
    });
    Ok(())
}

pub fn interface_groups() -> Outcome {
    run("f", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let (a, b) = (machine("/v", "s", "10.0.0.4"), machine("/v", "s", "10.0.0.5"));
        let mut wish = Wanted {
            networks: vec![network("/v", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")])],
            machines: vec![a.clone(), b.clone()],
            ..Wanted::default()
        };
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        same(&order(&fabric, &a, "ask 10.0.0.5:7000").await?, "at-10-0-0-5")?;

        wish.machines[1].rules = vec![deny("no-orders", Direction::Inbound, 7000)];
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, "ask 10.0.0.5:7000").await?, TIMED_OUT)?;
        let at_b = Checkpoint::Interfaces(vec![b.resource_id.clone()]);
        dropped(&fabric, "/v", "no-orders", &at_b).await?;
        same(&order(&fabric, &b, "ask 10.0.0.4:7000").await?, "at-10-0-0-4")?;

        // The subnet lets it pass, the interface it leaves from does not.
        wish.machines[1].rules.clear();
        wish.machines[0].rules = vec![deny("not-out", Direction::Outbound, 7000)];
        wish.networks[0].subnets[0].rules = vec![deny("other-port", Direction::Inbound, 9)];
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, "ask 10.0.0.5:7000").await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "not-out", &Checkpoint::Interfaces(vec![a.resource_id.clone()])).await?;
        same(&order(&fabric, &b, "ask 10.0.0.4:7000").await?, "at-10-0-0-4")?;

        wish.machines[0].rules.clear();
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, "ask 10.0.0.5:7000").await?, "at-10-0-0-5")?;
        let passed = counter(&fabric, "/v", "AllowVnetInBound").await?;
        same(&format!("{:?} {:?}", passed.access, passed.checkpoint), "Allow Subnets([\"s\"])")?;
        if passed.packets == 0 {
            return Err("the rule that let it pass did not count".into());
        }
        // Nobody speaks for another.
        same(
            &order(&fabric, &a, "from 10.0.0.77 10.0.0.5:7000").await?,
            "error: Operation now in progress (os error 115)",
        )?;
        dropped(&fabric, "/v", "source-address-of-another", &Checkpoint::Network).await
    })
}

pub fn peerings() -> Outcome {
    run("g", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let (hub, spoke, other) = (
            machine("/hub", "s", "10.0.0.4"),
            machine("/spoke", "s", "10.1.0.4"),
            machine("/other", "s", "10.2.0.4"),
        );
        let mut wish = Wanted {
            networks: vec![
                network("/hub", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")]),
                network("/spoke", "10.1.0.0/16", vec![subnet("s", "10.1.0.0/24")]),
                network("/other", "10.2.0.0/16", vec![subnet("s", "10.2.0.0/24")]),
            ],
            machines: vec![hub.clone(), spoke.clone(), other.clone()],
            ..Wanted::default()
        };
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        same(&order(&fabric, &spoke, "ask 10.0.0.4:7000").await?, TIMED_OUT)?;
        dropped(&fabric, "/spoke", "route 10.0.0.0/8 None", &Checkpoint::Network).await?;

        wish.networks[0].peerings = vec![peering("/spoke", "10.1.0.0/16"), peering("/other", "10.2.0.0/16")];
        wish.networks[1].peerings = vec![peering("/hub", "10.0.0.0/16")];
        wish.networks[2].peerings = vec![peering("/hub", "10.0.0.0/16")];
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &spoke, "ask 10.0.0.4:7000").await?, "at-10-0-0-4")?;
        same(&order(&fabric, &hub, "ask 10.1.0.4:7000").await?, "at-10-1-0-4")?;
        same(&order(&fabric, &other, "ask 10.1.0.4:7000").await?, TIMED_OUT)?;
        // The tag VirtualNetwork reaches over a peering.
        wish.networks[0].subnets[0].rules = vec![deny("other-port", Direction::Inbound, 9)];
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &spoke, "ask 10.0.0.4:7000").await?, "at-10-0-0-4")?;

        wish.networks[0].peerings[0].access = false;
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &spoke, "ask 10.0.0.4:7000").await?, TIMED_OUT)?;
        dropped(&fabric, "/hub", "peering to-spoke no-access", &Checkpoint::Network).await?;

        wish.networks[0].peerings.remove(0);
        wish.networks[1].peerings.clear();
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &spoke, "ask 10.0.0.4:7000").await?, TIMED_OUT)?;
        same(&order(&fabric, &other, "ask 10.0.0.4:7000").await?, "at-10-0-0-4")
    })
}

/// How many packets a machine has passed on.
pub async fn forwarded(fabric: &LinuxFabric, machine: &Machine) -> Result<u64, String> {
    let snmp = order(fabric, machine, "read /proc/net/snmp").await?;
    let mut lines = snmp.lines().filter(|line| line.starts_with("Ip: "));
    let (names, values) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let at = names.split(' ').position(|name| name == "ForwDatagrams").ok_or("no such count")?;
    values.split(' ').nth(at).and_then(|n| n.parse().ok()).ok_or_else(|| "no number".to_owned())
}

pub fn appliance() -> Outcome {
    run("h", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let (a, nva, b) = (
            machine("/v", "a", "10.0.1.4"),
            machine("/v", "nva", "10.0.2.4"),
            machine("/v", "b", "10.0.3.4"),
        );
        let far = machine("/far", "s", "10.9.0.4");
        let mut v = network(
            "/v",
            "10.0.0.0/16",
            vec![subnet("a", "10.0.1.0/24"), subnet("nva", "10.0.2.0/24"), subnet("b", "10.0.3.0/24")],
        );
        v.peerings = vec![Peering { forwarded: true, ..peering("/far", "10.9.0.0/16") }];
        let mut other = network("/far", "10.9.0.0/16", vec![subnet("s", "10.9.0.0/24")]);
        other.peerings = vec![Peering { forwarded: true, ..peering("/v", "10.0.0.0/16") }];
        let mut wish = Wanted {
            networks: vec![v, other],
            machines: vec![a.clone(), nva.clone(), b.clone(), far.clone()],
            ..Wanted::default()
        };
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        same(&order(&fabric, &nva, "forward").await?, "ok")?;
        same(&order(&fabric, &a, "ask 10.0.3.4:7000").await?, "at-10-0-3-4")?;
        same(&forwarded(&fabric, &nva).await?.to_string(), "0")?;

        let route = |name: &str, prefix: &str, next_hop| Route {
            name: name.into(),
            prefix: prefix.parse().unwrap(),
            next_hop,
        };
        let through = NextHop::VirtualAppliance(nva.address);
        wish.networks[0].subnets[0].routes = vec![route("to-b", "10.0.3.0/24", through)];
        wish.networks[0].subnets[2].routes = vec![route("to-a", "10.0.1.0/24", through)];
        apply(&fabric, &mut wish).await?;
        // The interface may not forward: Azure drops what is not for it.
        same(&order(&fabric, &a, "ask 10.0.3.4:7000").await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "ip-forwarding-is-off", &Checkpoint::Network).await?;
        wish.machines[1].ip_forwarding = true;
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, "ask 10.0.3.4:7000").await?, "at-10-0-3-4")?;
        let passed = forwarded(&fabric, &nva).await?;
        if passed == 0 {
            return Err("the appliance passed nothing on".into());
        }
        // The appliance's own group judges what passes through it.
        wish.machines[1].rules = vec![deny("not-through", Direction::Inbound, 7000)];
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, "ask 10.0.3.4:7000").await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "not-through", &Checkpoint::Interfaces(vec![nva.resource_id.clone()])).await?;
        wish.machines[1].rules.clear();

        // From a peered network, whatever the destination.
        wish.networks[1].subnets[0].routes = vec![route("hub", "10.0.0.0/8", through)];
        let before = forwarded(&fabric, &nva).await?;
        wish.networks[0].subnets[2].routes.push(route("back", "10.9.0.0/16", through));
        wish.networks[1].subnets[0].routes.push(route("all-of-v", "10.0.0.0/16", through));
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &far, "ask 10.0.3.4:7000").await?, "at-10-0-3-4")?;
        if forwarded(&fabric, &nva).await? <= before {
            return Err("packets of a peered network went past the appliance".into());
        }
        wish.networks[0].subnets[0].routes = vec![route("nowhere", "10.0.3.0/24", NextHop::None)];
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, "ask 10.0.3.4:7000").await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "route nowhere", &Checkpoint::Network).await
    })
}

pub fn sources() -> Outcome {
    run("i", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let service = SocketAddrV4::new(Ipv4Addr::new(20, 1, 0, 4), 443);
        mirror(&fabric, service).await?;
        let (a, b) = (machine("/v", "s", "10.0.0.4"), machine("/v", "t", "10.0.1.4"));
        let mut wish = Wanted {
            networks: vec![network(
                "/v",
                "10.0.0.0/16",
                vec![subnet("s", "10.0.0.0/24"), subnet("t", "10.0.1.0/24")],
            )],
            machines: vec![a.clone(), b.clone()],
            ..Wanted::default()
        };
        wish.networks[0].subnets[0].private = true;
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        let ask = format!("ask {service}");
        same(&order(&fabric, &a, &ask).await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "no-outbound-address", &Checkpoint::Network).await?;
        let default = order(&fabric, &b, &ask).await?;
        same(default.split('.').next().unwrap_or_default(), "100")?;

        wish.machines[0].outbound = vec![Ipv4Addr::new(20, 2, 0, 7)];
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, &ask).await?, "20.2.0.7")?;
        wish.networks[0].subnets[0].nat = vec![Ipv4Addr::new(20, 2, 0, 8)];
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, &ask).await?, "20.2.0.8")?;
        let used = counter(&fabric, "/v", "nat-gateway").await?;
        same(&used.packets.to_string(), "1")?;

        // A private endpoint needs no address on the internet.
        wish.networks[0].subnets[0].nat.clear();
        wish.machines[0].outbound.clear();
        wish.networks[0].endpoints = vec![Endpoint {
            name: "vault".into(),
            address: Ipv4Addr::new(10, 0, 1, 9),
            target: *service.ip(),
            guarded: false,
            routed: false,
        }];
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, &ask).await?, TIMED_OUT)?;
        let seen = order(&fabric, &a, "ask 10.0.1.9:443").await?;
        same(seen.split('.').next().unwrap_or_default(), "100")?;
        same(&counter(&fabric, "/v", "endpoint vault").await?.packets.to_string(), "1")
    })
}

pub fn zones() -> Outcome {
    run("j", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let (a, b) = (machine("/a", "s", "10.0.0.4"), machine("/b", "s", "10.0.0.4"));
        let record = |name: &str, data| NameRecord { name: name.into(), ttl_s: 30, data };
        let mut wish = Wanted {
            networks: vec![
                network("/a", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")]),
                network("/b", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")]),
            ],
            machines: vec![a.clone(), b.clone()],
            zones: vec![Zone {
                name: "contoso.internal".into(),
                networks: vec![NetworkId::of("/a")],
                records: vec![record("db", NameData::A(Ipv4Addr::new(10, 0, 0, 77)))],
                falling_back: Vec::new(),
            }],
            ..Wanted::default()
        };
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        same(&order(&fabric, &a, "name db.contoso.internal").await?, "10.0.0.77")?;
        same(&order(&fabric, &b, "name db.contoso.internal").await?, "code 3")?;
        wish.zones[0].networks.push(NetworkId::of("/b"));
        wish.zones[0].records.push(record("www", NameData::Cname("db.contoso.internal".into())));
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &b, "name www.contoso.internal").await?, "10.0.0.77")?;
        wish.zones.clear();
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, "name db.contoso.internal").await?, "code 3")
    })
}

pub fn balancing() -> Outcome {
    run("k", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let (a, b, client) =
            (machine("/v", "s", "10.0.0.4"), machine("/v", "s", "10.0.0.5"), machine("/v", "s", "10.0.0.6"));
        let probe = Probe {
            protocol: ProbeProtocol::Http { path: "/healthz".into() },
            port: 8080,
            interval_s: 1,
            threshold: 1,
        };
        let frontend: Ipv4Addr = "10.0.0.100".parse().unwrap();
        let mut wish = Wanted {
            networks: vec![network("/v", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")])],
            machines: vec![a.clone(), b.clone(), client.clone()],
            balancers: vec![Balancer {
                frontend,
                network: Some(NetworkId::of("/v")),
                source: None,
                rules: vec![BalancerRule {
                    name: "http".into(),
                    protocol: Protocol::Tcp,
                    frontend_port: 80,
                    backend_port: 7000,
                    distribution: Distribution::Client,
                    floating_ip: false,
                    backends: vec![a.id.clone(), b.id.clone()],
                    probe: Some(probe),
                    all_when_none: false,
                    idle: Idle::default(),
                }],
            }],
            ..Wanted::default()
        };
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        // Nobody answers the probe: nobody is asked.
        until(
            async || dropped(&fabric, "/v", "no-healthy-backend of http", &Checkpoint::Network).await,
            async || order(&fabric, &client, "ask 10.0.0.100:80").await.map(drop),
        )
        .await?;
        same(&order(&fabric, &a, "http-serve 8080 503").await?, "ok")?;
        same(&order(&fabric, &b, "http-serve 8080 200").await?, "ok")?;
        until(
            async || same(&order(&fabric, &client, "ask 10.0.0.100:80").await?, "at-10-0-0-5"),
            async || Ok(()),
        )
        .await?;
        // Azure judges the probe too.
        wish.machines[1].rules = vec![
            deny("no-probes", Direction::Inbound, 8080),
            SecurityRule { access: Access::Allow, priority: 101, ..deny("rest", Direction::Inbound, 7000) },
        ];
        apply(&fabric, &mut wish).await?;
        until(
            async || same(&order(&fabric, &client, "ask 10.0.0.100:80").await?, TIMED_OUT),
            async || Ok(()),
        )
        .await?;
        dropped(&fabric, "/v", "no-probes", &Checkpoint::Interfaces(vec![b.resource_id.clone()])).await?;
        wish.machines[1].rules.clear();
        // Every port, and what another network is shown of it (a private-link service).
        let alias: Ipv4Addr = "100.127.0.9".parse().unwrap();
        let rule = BalancerRule {
            name: "all-ports".into(),
            protocol: Protocol::Any,
            frontend_port: 0,
            backend_port: 0,
            distribution: Distribution::Connection,
            floating_ip: false,
            backends: vec![a.id.clone()],
            probe: None,
            all_when_none: false,
            idle: Idle::default(),
        };
        let balancer =
            |frontend, network, source| Balancer { frontend, network, source, rules: vec![rule.clone()] };
        wish.balancers = vec![
            balancer(frontend, Some(NetworkId::of("/v")), None),
            balancer(alias, None, Some("10.0.0.200".parse().unwrap())),
        ];
        let mut consumer = network("/c", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")]);
        consumer.endpoints = vec![Endpoint {
            name: "pe".into(),
            address: "10.0.0.9".parse().unwrap(),
            target: alias,
            guarded: false,
            routed: false,
        }];
        wish.networks.push(consumer);
        let far = machine("/c", "s", "10.0.0.4");
        wish.machines.push(far.clone());
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        same(&order(&fabric, &client, "ask 10.0.0.100:7000").await?, "at-10-0-0-4")?;
        let reply = order(&fabric, &far, "http 10.0.0.9:8080 /").await?;
        same(reply.lines().next().unwrap_or_default(), "HTTP/1.1 503 x")?;
        if counter(&fabric, "/v", "private-link").await?.packets == 0 {
            return Err("the link's own address was not used".into());
        }
        Ok(())
    })
}

/// Repeats `nudge` and `good` until it is.
pub async fn until(good: impl AsyncFn() -> Outcome, nudge: impl AsyncFn() -> Outcome) -> Outcome {
    let mut last = String::new();
    let trying = async {
        loop {
            nudge().await?;
            match good().await {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(crate::scenes::LIMIT, trying).await.unwrap_or_else(|_| Err(last))
}
