//! Scenes of what the platform gives every machine: names and metadata, which only rules with their tags stop.

use std::net::Ipv4Addr;

use ::fabric::plan::{Checkpoint, Flow, METADATA, WIRE_SERVER, verify};
use ::fabric::{Access, Direction, LinuxFabric, Machine, Peer, Platform, Protocol, SecurityRule, Wanted};

use crate::network::{TIMED_OUT, apply, counter, deny, dropped, machine, network, order, subnet};
use crate::scenes::{Outcome, all_running, open, run, same};

const UNANSWERED: &str = "error: Resource temporarily unavailable (os error 11)";
const NAME: &str = "management.azure.com";
const ADDRESS: &str = "20.0.0.10";

fn outbound(name: &str, priority: u16, access: Access, destinations: Vec<Peer>) -> SecurityRule {
    SecurityRule {
        priority,
        access,
        protocol: Protocol::Any,
        destinations,
        destination_ports: Vec::new(),
        ..deny(name, Direction::Outbound, 1)
    }
}

/// Whether names, metadata and the wire server are answered is as expected, and as the plan says.
async fn check(fabric: &LinuxFabric, wish: &Wanted, from: &Machine, names: bool, metadata: bool) -> Outcome {
    let said = |protocol, remote: (Ipv4Addr, u16)| {
        let machine = wish.machines.iter().find(|m| m.id == from.id).unwrap();
        let flow =
            Flow { direction: Direction::Outbound, protocol, local: (machine.address, 40_000), remote };
        verify(wish, machine, &flow).access == Access::Allow
    };
    same(&said(Protocol::Udp, (WIRE_SERVER, 53)).to_string(), &names.to_string())?;
    same(&said(Protocol::Tcp, (METADATA, 80)).to_string(), &metadata.to_string())?;
    same(&said(Protocol::Tcp, (WIRE_SERVER, 80)).to_string(), "true")?;
    let expected = if names { ADDRESS } else { UNANSWERED };
    same(&order(fabric, from, &format!("name {NAME}")).await?, expected)?;
    let path = "/metadata/instance/compute/name?api-version=2021-02-01&format=text";
    let seen = order(fabric, from, &format!("http {METADATA}:80 {path}")).await?;
    let expected = if metadata { "HTTP/1.1 200 OK" } else { TIMED_OUT };
    same(seen.lines().next().unwrap_or_default(), expected)?;
    let seen = order(fabric, from, &format!("http {WIRE_SERVER}:80 /?comp=versions")).await?;
    same(seen.lines().next().unwrap_or_default(), "HTTP/1.1 200 OK")
}

pub fn tags() -> Outcome {
    run("c", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let (a, b) = (machine("/v", "s", "10.0.0.4"), machine("/v", "t", "10.0.1.4"));
        let mut wish = Wanted {
            networks: vec![network(
                "/v",
                "10.0.0.0/16",
                vec![subnet("s", "10.0.0.0/24"), subnet("t", "10.0.1.0/24")],
            )],
            machines: vec![a.clone(), b.clone()],
            names: vec![(NAME.into(), ADDRESS.parse().unwrap())],
            ..Wanted::default()
        };
        let (names, metadata) = (Peer::Platform(Platform::Names), Peer::Platform(Platform::Metadata));
        let (at_s, at_a) =
            (Checkpoint::Subnets(vec!["s".into()]), Checkpoint::Interfaces(vec![a.resource_id.clone()]));
        // Whatever a rule says of all addresses or of these, it is not about the platform.
        let own = |address: Ipv4Addr| Peer::Prefix(address.into());
        let nothing = vec![
            outbound("not-the-host", 200, Access::Deny, vec![own(WIRE_SERVER), own(METADATA)]),
            outbound("no-internet", 201, Access::Deny, vec![Peer::Internet]),
            outbound("no-network", 202, Access::Deny, vec![Peer::VirtualNetwork]),
            outbound("nothing", 203, Access::Deny, vec![Peer::Any]),
        ];
        wish.networks[0].subnets[0].rules = nothing.clone();
        wish.machines[0].rules = nothing.clone();
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        check(&fabric, &wish, &a, true, true).await?;

        // At the subnet, beside other rules: names only. Who is in another subnet is not meant.
        wish.networks[0].subnets[0]
            .rules
            .insert(0, outbound("no-names", 100, Access::Deny, vec![names.clone()]));
        apply(&fabric, &mut wish).await?;
        check(&fabric, &wish, &a, false, true).await?;
        check(&fabric, &wish, &b, true, true).await?;
        dropped(&fabric, "/v", "no-names", &at_s).await?;

        // At the interface, the only rule: metadata only.
        wish.networks[0].subnets[0].rules.clear();
        wish.machines[0].rules = vec![outbound("no-metadata", 100, Access::Deny, vec![metadata.clone()])];
        apply(&fabric, &mut wish).await?;
        check(&fabric, &wish, &a, true, false).await?;
        dropped(&fabric, "/v", "no-metadata", &at_a).await?;

        // The interface lets it pass by an earlier rule, the subnet does not; both say that they were asked.
        let both = vec![names, metadata];
        wish.machines[0].rules.push(outbound("names", 90, Access::Allow, both.clone()));
        apply(&fabric, &mut wish).await?;
        check(&fabric, &wish, &a, true, true).await?;
        let passed = counter(&fabric, "/v", "names").await?;
        same(&format!("{:?} {:?}", passed.access, passed.checkpoint), &format!("Allow {at_a:?}"))?;
        if passed.packets < 2 {
            return Err(format!("the rule that let pass counted {} packets", passed.packets));
        }
        wish.networks[0].subnets[0].rules = vec![outbound("no-platform", 100, Access::Deny, both)];
        apply(&fabric, &mut wish).await?;
        check(&fabric, &wish, &a, false, false).await?;
        dropped(&fabric, "/v", "no-platform", &at_s).await?;

        wish.networks[0].subnets[0].rules = nothing;
        wish.machines[0].rules.clear();
        apply(&fabric, &mut wish).await?;
        check(&fabric, &wish, &a, true, true).await
    })
}
