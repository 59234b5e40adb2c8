//! Scenes of load balancers: which machine gets a packet, with which address on it, and when nobody does.

use std::net::{Ipv4Addr, SocketAddrV4};

use ::fabric::plan::Checkpoint;
use ::fabric::{
    Balancer, BalancerRule, Distribution, Idle, Machine, NetworkId, NextHop, Probe, ProbeProtocol, Protocol,
    Route, Wanted,
};

use crate::network::{
    TIMED_OUT, apply, counter, dropped, forwarded, machine, network, order, peering, subnet, until,
};
use crate::scenes::{Outcome, all_running, ask_until, open, run, same, text};

fn rule(name: &str, frontend_port: u16, backend_port: u16, backends: &[&Machine]) -> BalancerRule {
    BalancerRule {
        name: name.into(),
        protocol: Protocol::Tcp,
        frontend_port,
        backend_port,
        distribution: Distribution::default(),
        floating_ip: false,
        backends: backends.iter().map(|m| m.id.clone()).collect(),
        probe: None,
        all_when_none: false,
        idle: Idle::default(),
    }
}

fn private(frontend: &str, rules: Vec<BalancerRule>) -> Balancer {
    let network = Some(NetworkId::of("/v"));
    Balancer { frontend: frontend.parse().unwrap(), network, source: None, rules }
}

pub fn frontends() -> Outcome {
    run("l", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let (a, b, client) =
            (machine("/v", "s", "10.0.0.4"), machine("/v", "s", "10.0.0.5"), machine("/v", "s", "10.0.0.6"));
        let far = machine("/w", "s", "10.1.0.4");
        let public: Ipv4Addr = "20.2.0.9".parse().unwrap();
        let mut v = network("/v", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")]);
        v.peerings = vec![peering("/w", "10.1.0.0/16")];
        let mut w = network("/w", "10.1.0.0/16", vec![subnet("s", "10.1.0.0/24")]);
        w.peerings = vec![peering("/v", "10.0.0.0/16")];
        let mut wish = Wanted {
            networks: vec![v, w],
            machines: vec![a.clone(), b.clone(), client.clone(), far.clone()],
            balancers: vec![Balancer {
                frontend: public,
                network: None,
                source: None,
                rules: vec![rule("ssh-5001", 5001, 7000, &[&a]), rule("ssh-5002", 5002, 7000, &[&b])],
            }],
            ..Wanted::default()
        };
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        // One port of the frontend for each machine.
        same(&ask_until(&fabric, SocketAddrV4::new(public, 5001), "at-").await?, "at-10-0-0-4")?;
        same(&ask_until(&fabric, SocketAddrV4::new(public, 5002), "at-").await?, "at-10-0-0-5")?;
        same(&counter(&fabric, "/v", "ssh-5002").await?.packets.to_string(), "1")?;
        wish.balancers[0].rules = vec![rule("ssh-5001", 5001, 7000, &[&b])];
        apply(&fabric, &mut wish).await?;
        same(&ask_until(&fabric, SocketAddrV4::new(public, 5001), "at-").await?, "at-10-0-0-5")?;
        let closed = ask_until(&fabric, SocketAddrV4::new(public, 5002), "at-");
        if tokio::time::timeout(std::time::Duration::from_millis(700), closed).await.is_ok() {
            return Err("a port without a rule leads somewhere".into());
        }
        dropped(&fabric, "/v", "no-rule-of-a-load-balancer", &Checkpoint::Network).await?;

        // A private frontend, translated: the machine sees its own address.
        for backend in [&a, &b] {
            same(&order(&fabric, backend, "echo 8000").await?, "ok")?;
            same(&order(&fabric, backend, "address 10.0.0.100").await?, "ok")?;
        }
        wish.balancers[0] = private("10.0.0.100", vec![rule("app", 80, 8000, &[&a])]);
        apply(&fabric, &mut wish).await?;
        let seen = order(&fabric, &client, "hold one 10.0.0.100:80").await?;
        same(&seen, "at-10-0-0-4 at 10.0.0.4:8000 from 10.0.0.6")?;
        // With a floating address it sees the frontend's, also when a peered network asks.
        wish.balancers[0].rules =
            vec![BalancerRule { floating_ip: true, ..rule("floating", 8000, 8000, &[&a]) }];
        apply(&fabric, &mut wish).await?;
        let seen = order(&fabric, &client, "hold two 10.0.0.100:8000").await?;
        same(&seen, "at-10-0-0-4 at 10.0.0.100:8000 from 10.0.0.6")?;
        let seen = order(&fabric, &far, "hold one 10.0.0.100:8000").await?;
        same(&seen, "at-10-0-0-4 at 10.0.0.100:8000 from 10.1.0.4")?;
        same(&counter(&fabric, "/v", "floating").await?.packets.to_string(), "2")?;
        // What was held over the rule that is gone still speaks.
        same(&order(&fabric, &client, "say one").await?, "at-10-0-0-4 at 10.0.0.4:8000 from 10.0.0.6")?;
        same(&order(&fabric, &client, "ask 10.0.0.100:80").await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "no-rule-of-a-load-balancer", &Checkpoint::Network).await
    })
}

fn probe(protocol: ProbeProtocol) -> Option<Probe> {
    Some(Probe { protocol, port: 8443, interval_s: 1, threshold: 1 })
}

pub fn distribution() -> Outcome {
    run("m", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let (a, b, client) =
            (machine("/v", "s", "10.0.0.4"), machine("/v", "s", "10.0.0.5"), machine("/v", "s", "10.0.0.6"));
        let https = probe(ProbeProtocol::Https { path: "/healthz".into() });
        let rules = |distribution, all_when_none| {
            let name = |mut one: BalancerRule| {
                one.probe = https.clone();
                one.all_when_none = all_when_none;
                one.distribution = distribution;
                one
            };
            vec![name(rule("app", 80, 7000, &[&a, &b])), name(rule("echo", 81, 8000, &[&a, &b]))]
        };
        let mut wish = Wanted {
            networks: vec![network("/v", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")])],
            machines: vec![a.clone(), b.clone(), client.clone()],
            balancers: vec![private("10.0.0.100", rules(Distribution::Connection, false))],
            ..Wanted::default()
        };
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        // Plain HTTP is no answer to a probe over TLS.
        for backend in [&a, &b] {
            same(&order(&fabric, backend, "echo 8000").await?, "ok")?;
            same(&order(&fabric, backend, "http-serve 8443 200").await?, "ok")?;
        }
        let ask = async || order(&fabric, &client, "ask 10.0.0.100:80").await;
        let stopped =
            async || dropped(&fabric, "/v", "no-healthy-backend of app", &Checkpoint::Network).await;
        until(stopped, async || ask().await.map(drop)).await?;
        wish.machines.iter_mut().take(2).for_each(|m| m.generation += 1);
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        for backend in [&a, &b] {
            same(&order(&fabric, backend, "echo 8000").await?, "ok")?;
            same(&order(&fabric, backend, "health https 8443 200").await?, "ok")?;
        }
        let many = async || order(&fabric, &client, "many 24 10.0.0.100:80").await;
        let both = |answer: &str| answer.contains("at-10-0-0-4=") && answer.contains("at-10-0-0-5=");
        let spread = async || match many().await? {
            answer if both(&answer) => Ok(()),
            answer => Err(format!("not both were asked: {answer}")),
        };
        until(spread, async || Ok(())).await?;
        for distribution in [Distribution::Client, Distribution::ClientAndProtocol] {
            wish.balancers[0].rules = rules(distribution, false);
            apply(&fabric, &mut wish).await?;
            let answer = many().await?;
            same(&answer.ends_with("=24").to_string(), "true").map_err(|_| answer)?;
        }
        // The one that serves a connection turns unhealthy: new ones go to the other, this one lives.
        let held = order(&fabric, &client, "hold c 10.0.0.100:81").await?;
        let (gone, other) = if held.starts_with("at-10-0-0-4") { (&a, &b) } else { (&b, &a) };
        same(&order(&fabric, gone, "health is 503").await?, "ok")?;
        until(async || same(&ask().await?, &other.hostname), async || Ok(())).await?;
        same(&order(&fabric, &client, "say c").await?, &held)?;
        same(&order(&fabric, other, "health is 503").await?, "ok")?;
        until(async || same(&ask().await?, TIMED_OUT), async || Ok(())).await?;
        stopped().await?;
        same(&order(&fabric, &client, "say c").await?, &held)?;
        wish.balancers[0].rules = rules(Distribution::Connection, true);
        apply(&fabric, &mut wish).await?;
        until(spread, async || Ok(())).await
    })
}

pub fn next_hop() -> Outcome {
    run("o", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let mut appliances = [machine("/v", "nva", "10.0.2.4"), machine("/v", "nva", "10.0.2.5")];
        appliances.iter_mut().for_each(|m| m.ip_forwarding = true);
        let [one, two] = &appliances;
        let (a, b) = (machine("/v", "a", "10.0.1.4"), machine("/v", "b", "10.0.3.4"));
        let far = machine("/w", "s", "10.1.0.4");
        let through = |name: &str, prefix: &str| Route {
            name: name.into(),
            prefix: prefix.parse().unwrap(),
            next_hop: NextHop::VirtualAppliance("10.0.2.100".parse().unwrap()),
        };
        let mut v = network(
            "/v",
            "10.0.0.0/16",
            vec![subnet("a", "10.0.1.0/24"), subnet("nva", "10.0.2.0/24"), subnet("b", "10.0.3.0/24")],
        );
        v.subnets[0].routes = vec![through("to-b", "10.0.3.0/24")];
        v.subnets[2].routes = vec![through("to-a", "10.0.1.0/24"), through("to-w", "10.1.0.0/16")];
        v.peerings = vec![::fabric::Peering { forwarded: true, ..peering("/w", "10.1.0.0/16") }];
        let mut w = network("/w", "10.1.0.0/16", vec![subnet("s", "10.1.0.0/24")]);
        w.subnets[0].routes = vec![through("all-of-v", "10.0.0.0/16")];
        w.peerings = vec![::fabric::Peering { forwarded: true, ..peering("/v", "10.0.0.0/16") }];
        let every_port = BalancerRule {
            protocol: Protocol::Any,
            probe: probe(ProbeProtocol::Http { path: "/".into() }),
            ..rule("ha-ports", 0, 0, &[one, two])
        };
        let mut wish = Wanted {
            networks: vec![v, w],
            machines: vec![a.clone(), b.clone(), one.clone(), two.clone(), far.clone()],
            balancers: vec![private("10.0.2.100", vec![every_port])],
            ..Wanted::default()
        };
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        for appliance in [one, two] {
            same(&order(&fabric, appliance, "forward").await?, "ok")?;
            same(&order(&fabric, appliance, "health http 8443 200").await?, "ok")?;
        }
        let passed =
            async || Ok::<_, String>((forwarded(&fabric, one).await?, forwarded(&fabric, two).await?));
        let both = async || {
            let before = passed().await?;
            same(&order(&fabric, &a, "many 16 10.0.3.4:7000").await?, "at-10-0-3-4=16")?;
            let after = passed().await?;
            match after.0 > before.0 && after.1 > before.1 {
                true => Ok(()),
                false => Err(format!("not both were used: {before:?} {after:?}")),
            }
        };
        until(both, async || Ok(())).await?;
        same(&order(&fabric, &far, "many 4 10.0.3.4:7000").await?, "at-10-0-3-4=4")?;
        // The first rules that know of both appliances began to count anew, perhaps amid the connections above.
        let counted = async || match counter(&fabric, "/v", "ha-ports").await?.packets {
            20.. => Ok(()),
            packets => Err(format!("the balancer counted {packets}")),
        };
        until(counted, async || order(&fabric, &far, "many 4 10.0.3.4:7000").await.map(drop)).await?;
        // One goes: its connections go on as long as they last, new ones take the other.
        same(&order(&fabric, one, "health is 503").await?, "ok")?;
        let other = async || {
            let before = passed().await?;
            same(&order(&fabric, &a, "many 16 10.0.3.4:7000").await?, "at-10-0-3-4=16")?;
            let after = passed().await?;
            same(&(after.0 - before.0).to_string(), "0")
        };
        until(other, async || Ok(())).await?;
        // Without the right to forward nothing passes.
        wish.machines[3].ip_forwarding = false;
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, "ask 10.0.3.4:7000").await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "ip-forwarding-is-off", &Checkpoint::Network).await?;
        same(&order(&fabric, two, "health is 503").await?, "ok")?;
        let refused =
            async || dropped(&fabric, "/v", "no-healthy-backend of ha-ports", &Checkpoint::Network).await;
        until(refused, async || order(&fabric, &a, "ask 10.0.3.4:7000").await.map(drop)).await?;
        let hop = ::fabric::plan::next_hop(&wish.networks[0], &wish.networks[0].subnets[0], b.address);
        same(&format!("{:?}", hop.ok_or("no route")?.hop), "VirtualAppliance(10.0.2.100)")?;
        fabric.rules(&NetworkId::of("/v")).map(drop).map_err(text)
    })
}
