//! Scenes of the platform's services: what a service tag stops, and which way leads to a service.

use std::net::{Ipv4Addr, SocketAddrV4};

use ::fabric::plan::{Checkpoint, HopType, next_hop};
use ::fabric::{Direction, Endpoint, NextHop, Peer, Route, SecurityRule, Wanted};

use crate::exits::mirror;
use crate::network::{TIMED_OUT, apply, counter, deny, dropped, forwarded, machine, network, order, subnet};
use crate::scenes::{Outcome, all_running, open, run, same};

/// What two tags stand for, and who answers there.
const VAULTS: (&str, Ipv4Addr) = ("20.0.3.0/24", Ipv4Addr::new(20, 0, 3, 10));
const REGISTRIES: (&str, Ipv4Addr) = ("20.0.2.0/24", Ipv4Addr::new(20, 0, 2, 10));

fn route(name: &str, prefix: &str, next_hop: NextHop) -> Route {
    Route { name: name.into(), prefix: prefix.parse().unwrap(), next_hop }
}

pub fn tags() -> Outcome {
    run("u", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        for (_, address) in [VAULTS, REGISTRIES] {
            mirror(&fabric, SocketAddrV4::new(address, 443)).await?;
        }
        let mut a = machine("/v", "s", "10.0.0.4");
        a.outbound = vec![Ipv4Addr::new(20, 2, 0, 7)];
        let mut wish = Wanted {
            networks: vec![network("/v", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")])],
            machines: vec![a.clone()],
            ..Wanted::default()
        };
        let ask = async |service: (&str, Ipv4Addr), number: usize| {
            let seen = order(&fabric, &a, &format!("hold {number} {}:443", service.1)).await?;
            Ok::<_, String>(seen.split(':').next().filter(|_| seen != TIMED_OUT).unwrap_or(&seen).to_owned())
        };
        let of_subnet = Checkpoint::Subnets(vec!["s".into()]);
        let no = |name: &str, service: (&str, Ipv4Addr)| SecurityRule {
            destinations: vec![Peer::Prefix(service.0.parse().unwrap())],
            ..deny(name, Direction::Outbound, 443)
        };
        wish.networks[0].subnets[0].rules = vec![no("no-vaults", VAULTS)];
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        same(&ask(VAULTS, 1).await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "no-vaults", &of_subnet).await?;
        same(&ask(REGISTRIES, 2).await?, "20.2.0.7")?;
        wish.networks[0].subnets[0].rules = vec![no("no-registries", REGISTRIES)];
        apply(&fabric, &mut wish).await?;
        same(&ask(VAULTS, 3).await?, "20.2.0.7")?;
        same(&ask(REGISTRIES, 4).await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "no-registries", &of_subnet).await?;

        // A route takes everything away; the endpoint of one service brings that one back.
        wish.networks[0].subnets[0].rules.clear();
        wish.networks[0].subnets[0].routes = vec![route("nothing-leaves", "0.0.0.0/0", NextHop::None)];
        apply(&fabric, &mut wish).await?;
        same(&ask(VAULTS, 5).await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "route nothing-leaves", &Checkpoint::Network).await?;
        wish.networks[0].subnets[0].services = vec![VAULTS.0.parse().unwrap()];
        apply(&fabric, &mut wish).await?;
        same(&ask(VAULTS, 6).await?, "20.2.0.7")?;
        same(&ask(REGISTRIES, 7).await?, TIMED_OUT)?;
        let hop = next_hop(&wish.networks[0], &wish.networks[0].subnets[0], VAULTS.1);
        same(&format!("{:?}", hop.map(|route| route.hop)), &format!("{:?}", Some(HopType::ServiceEndpoint)))
    })
}

pub fn routed_endpoint() -> Outcome {
    run("v", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        mirror(&fabric, SocketAddrV4::new(VAULTS.1, 443)).await?;
        let a = machine("/v", "a", "10.0.1.4");
        let nva = ::fabric::Machine { ip_forwarding: true, ..machine("/v", "nva", "10.0.2.4") };
        let subnets =
            vec![subnet("a", "10.0.1.0/24"), subnet("nva", "10.0.2.0/24"), subnet("pe", "10.0.3.0/24")];
        let mut wish = Wanted {
            networks: vec![network("/v", "10.0.0.0/16", subnets)],
            machines: vec![a.clone(), nva.clone()],
            ..Wanted::default()
        };
        wish.networks[0].endpoints = vec![Endpoint {
            name: "vault".into(),
            address: Ipv4Addr::new(10, 0, 3, 9),
            target: VAULTS.1,
            guarded: false,
            routed: false,
        }];
        let through = NextHop::VirtualAppliance(nva.address);
        wish.networks[0].subnets[0].routes = vec![route("inspect", "10.0.3.0/24", through)];
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        same(&order(&fabric, &nva, "forward").await?, "ok")?;
        let ask = async |number: usize| {
            let seen = order(&fabric, &a, &format!("hold {number} 10.0.3.9:443")).await?;
            Ok::<_, String>(seen.split('.').next().filter(|_| seen != TIMED_OUT).unwrap_or(&seen).to_owned())
        };
        // Without the policy the endpoint's own route is the longest.
        same(&ask(1).await?, "100")?;
        same(&forwarded(&fabric, &nva).await?.to_string(), "0")?;
        wish.networks[0].endpoints[0].routed = true;
        apply(&fabric, &mut wish).await?;
        same(&ask(2).await?, "100")?;
        if forwarded(&fabric, &nva).await? == 0 {
            return Err("packets to the endpoint went past the appliance".into());
        }
        same(&order(&fabric, &a, "say 2").await?.split('.').next().unwrap_or_default().to_owned(), "100")?;
        if counter(&fabric, "/v", "endpoint vault").await?.packets == 0 {
            return Err("the endpoint counted nothing".into());
        }
        wish.networks[0].subnets[0].routes = vec![route("nowhere", "10.0.3.0/24", NextHop::None)];
        apply(&fabric, &mut wish).await?;
        same(&ask(3).await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "route nowhere", &Checkpoint::Network).await?;
        // A route for more than the network's space is not meant.
        wish.networks[0].subnets[0].routes = vec![route("nowhere", "10.0.0.0/8", NextHop::None)];
        apply(&fabric, &mut wish).await?;
        same(&ask(4).await?, "100")
    })
}
