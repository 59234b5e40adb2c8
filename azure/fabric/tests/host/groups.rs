//! Scenes of security groups: what is said of a packet is what becomes of it; connections outlive a new rule.

use ::fabric::plan::{Checkpoint, Flow, verify};
use ::fabric::{Access, Direction, Machine, Peer, PortRange, Protocol, SecurityRule, Wanted};

use crate::network::{TIMED_OUT, apply, counter, deny, dropped, machine, network, order, subnet, until};
use crate::scenes::{Outcome, all_running, open, run, same};

const PORTS: [u16; 4] = [53, 80, 443, 5000];

/// A sequence of numbers that a seed repeats.
struct Chance(u64);

impl Chance {
    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        all[usize::try_from(self.0 >> 11).unwrap() % all.len()].clone()
    }
}

fn rules(chance: &mut Chance, kind: &str) -> Vec<SecurityRule> {
    let prefix = |text: &str| Peer::Prefix(text.parse().unwrap());
    let peers = [
        vec![Peer::Any],
        vec![Peer::VirtualNetwork],
        vec![Peer::Internet],
        vec![prefix("10.0.0.0/24"), prefix("20.0.0.0/16")],
        vec![prefix("10.0.1.0/24")],
    ];
    let ports = [(80, 80), (53, 53), (50, 500), (0, 65_535), (443, 5000)];
    (0..3)
        .map(|number: u16| SecurityRule {
            name: format!("{kind}-{number}"),
            priority: 300 - number * 50,
            direction: chance.one_of(&[Direction::Inbound, Direction::Outbound]),
            access: chance.one_of(&[Access::Allow, Access::Deny, Access::Deny]),
            protocol: chance.one_of(&[Protocol::Any, Protocol::Tcp, Protocol::Udp]),
            sources: chance.one_of(&peers),
            source_ports: Vec::new(),
            destinations: chance.one_of(&peers),
            destination_ports: (0..2)
                .map(|_| chance.one_of(&ports))
                .map(|(first, last)| PortRange { first, last })
                .collect(),
        })
        .collect()
}

/// The rule that stops a packet between two machines, as the plan says; `None`: it passes.
fn stopped(wish: &Wanted, from: &Machine, to: &Machine, protocol: Protocol, port: u16) -> Option<String> {
    let flow = |direction| match direction {
        Direction::Outbound => {
            Flow { direction, protocol, local: (from.address, 40_000), remote: (to.address, port) }
        }
        Direction::Inbound => {
            Flow { direction, protocol, local: (to.address, port), remote: (from.address, 40_000) }
        }
    };
    let sides = [(from, Direction::Outbound), (to, Direction::Inbound)];
    sides.into_iter().find_map(|(machine, direction)| {
        let machine = wish.machines.iter().find(|m| m.id == machine.id)?;
        let verdict = verify(wish, machine, &flow(direction));
        let name = verdict.rule.map(|rule| rule.name);
        name.filter(|_| verdict.access == Access::Deny)
    })
}

pub fn random() -> Outcome {
    run("r", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let (a, b) = (machine("/v", "s", "10.0.0.4"), machine("/v", "t", "10.0.1.4"));
        let subnets = vec![subnet("s", "10.0.0.0/24"), subnet("t", "10.0.1.0/24")];
        let mut wish = Wanted {
            networks: vec![network("/v", "10.0.0.0/16", subnets)],
            machines: vec![a.clone(), b.clone()],
            ..Wanted::default()
        };
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        for machine in [&a, &b] {
            same(
                &order(&fabric, machine, &format!("answer {}", PORTS.map(|p| p.to_string()).join(" ")))
                    .await?,
                "ok",
            )?;
        }
        let mut chance = Chance(20_261_129);
        let (mut passed, mut dropped) = (0, 0);
        for round in 0..5 {
            wish.networks[0].subnets[0].rules = rules(&mut chance, "s");
            wish.networks[0].subnets[1].rules = rules(&mut chance, "t");
            wish.machines[0].rules = rules(&mut chance, "a");
            wish.machines[1].rules = rules(&mut chance, "b");
            apply(&fabric, &mut wish).await?;
            for (from, to) in [(&a, &b), (&b, &a)] {
                let mut packets = Vec::new();
                for port in PORTS {
                    packets.extend([(Protocol::Tcp, "tcp", port), (Protocol::Udp, "udp", port)]);
                }
                let said: Vec<Option<String>> =
                    packets.iter().map(|(p, _, port)| stopped(&wish, from, to, *p, *port)).collect();
                let expected: String = said.iter().map(|s| if s.is_none() { '1' } else { '0' }).collect();
                let words = packets.iter().map(|(_, word, port)| format!("{word}:{}:{port}", to.address));
                let ask = format!("try {}", words.collect::<Vec<_>>().join(" "));
                // What must pass may be late on a busy host; what must not never does.
                let seen = async || {
                    let seen = order(&fabric, from, &ask).await?;
                    same(&seen, &expected)
                        .map_err(|error| format!("round {round}: {error}\n{ask}\n{wish:#?}"))
                };
                until(seen, async || Ok(())).await?;
                passed += said.iter().filter(|s| s.is_none()).count();
                for rule in said.into_iter().flatten() {
                    dropped += 1;
                    let found = counter(&fabric, "/v", &rule).await?;
                    if found.packets == 0 || found.access != Access::Deny {
                        return Err(format!("round {round}: `{rule}` did not count: {found:?}"));
                    }
                }
            }
        }
        match passed > 10 && dropped > 10 {
            true => Ok(()),
            false => Err(format!("{passed} passed and {dropped} did not: that shows little")),
        }
    })
}

pub fn stateful() -> Outcome {
    run("s", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let (a, b, c) =
            (machine("/v", "s", "10.0.0.4"), machine("/v", "s", "10.0.0.5"), machine("/v", "s", "10.0.0.6"));
        let mut wish = Wanted {
            networks: vec![network("/v", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")])],
            machines: vec![a.clone(), b.clone(), c.clone()],
            ..Wanted::default()
        };
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        same(&order(&fabric, &b, "echo 8000").await?, "ok")?;
        let held = order(&fabric, &a, "hold c 10.0.0.5:8000").await?;
        let at_b = Checkpoint::Interfaces(vec![b.resource_id.clone()]);
        // An augmented rule: lists of ports and of addresses.
        wish.machines[1].rules = vec![SecurityRule {
            sources: vec![
                Peer::Prefix("10.9.0.0/16".parse().unwrap()),
                Peer::Prefix("10.0.0.4/32".parse().unwrap()),
            ],
            destination_ports: vec![PortRange { first: 22, last: 22 }, PortRange { first: 7990, last: 8010 }],
            ..deny("no-more", Direction::Inbound, 0)
        }];
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &a, "ask 10.0.0.5:8000").await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "no-more", &at_b).await?;
        same(&order(&fabric, &a, "say c").await?, &held)?;
        same(&order(&fabric, &a, "ask 10.0.0.5:7000").await?, "at-10-0-0-5")?;

        let of = |name: &str, priority, protocol, access| SecurityRule {
            priority,
            protocol,
            access,
            destination_ports: Vec::new(),
            ..deny(name, Direction::Inbound, 0)
        };
        // Each time from another machine: what passed once is a connection, even without ports.
        for (from, ping, esp, ah) in [
            (&a, Access::Allow, Access::Allow, Access::Deny),
            (&c, Access::Deny, Access::Deny, Access::Allow),
        ] {
            wish.machines[1].rules = vec![
                of("ping", 100, Protocol::Icmp, ping),
                of("esp", 101, Protocol::Esp, esp),
                of("ah", 102, Protocol::Ah, ah),
            ];
            apply(&fabric, &mut wish).await?;
            for (number, rule, access) in [(1, "ping", ping), (50, "esp", esp), (51, "ah", ah)] {
                same(
                    &order(&fabric, from, &format!("raw {number} {} {}", from.address, b.address)).await?,
                    "ok",
                )?;
                let counted = async || {
                    let found = counter(&fabric, "/v", rule).await?;
                    same(
                        &format!("{} {:?} {:?}", found.packets, found.access, found.checkpoint),
                        &format!("1 {access:?} {at_b:?}"),
                    )
                };
                until(counted, async || Ok(())).await?;
            }
        }
        Ok(())
    })
}

pub fn members() -> Outcome {
    run("y", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let (web, db, other) =
            (machine("/v", "s", "10.0.0.4"), machine("/v", "s", "10.0.0.5"), machine("/v", "s", "10.0.0.6"));
        let mut wish = Wanted {
            networks: vec![network("/v", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")])],
            machines: vec![web.clone(), db.clone(), other.clone()],
            ..Wanted::default()
        };
        // Groups reach the fabric as the addresses of who is in them.
        let all = |machines: &[&Machine]| -> Vec<Peer> {
            machines.iter().map(|machine| Peer::Prefix(machine.address.into())).collect()
        };
        let rules = |web: &[&Machine], db: &[&Machine]| {
            let to_db = |name: &str, priority, access, sources| SecurityRule {
                priority,
                access,
                sources,
                destinations: all(db),
                ..deny(name, Direction::Inbound, 7000)
            };
            vec![
                to_db("web-to-db", 100, Access::Allow, all(web)),
                to_db("nobody-to-db", 200, Access::Deny, vec![Peer::Any]),
            ]
        };
        let at_s = Checkpoint::Subnets(vec!["s".into()]);
        wish.networks[0].subnets[0].rules = rules(&[&web], &[&db]);
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        same(&order(&fabric, &web, "ask 10.0.0.5:7000").await?, "at-10-0-0-5")?;
        same(&counter(&fabric, "/v", "web-to-db").await?.packets.to_string(), "1")?;
        same(&order(&fabric, &other, "ask 10.0.0.5:7000").await?, TIMED_OUT)?;
        dropped(&fabric, "/v", "nobody-to-db", &at_s).await?;
        same(&order(&fabric, &other, "ask 10.0.0.4:7000").await?, "at-10-0-0-4")?;
        // One joins the source group, another the destination's.
        wish.networks[0].subnets[0].rules = rules(&[&web, &other], &[&db]);
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &other, "ask 10.0.0.5:7000").await?, "at-10-0-0-5")?;
        wish.networks[0].subnets[0].rules = rules(&[&other], &[&db, &web]);
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &db, "ask 10.0.0.4:7000").await?, TIMED_OUT)?;
        same(&order(&fabric, &web, "ask 10.0.0.5:7000").await?, TIMED_OUT)?;
        same(&order(&fabric, &other, "ask 10.0.0.4:7000").await?, "at-10-0-0-4")?;
        // Nobody in the source group is nobody, not everybody.
        wish.networks[0].subnets[0].rules = rules(&[], &[&db]);
        apply(&fabric, &mut wish).await?;
        same(&order(&fabric, &other, "ask 10.0.0.5:7000").await?, TIMED_OUT)
    })
}

pub fn counts() -> Outcome {
    run("z", |scene| async move {
        let (fabric, _tasks) = open(&scene).await?;
        let (a, b) = (machine("/v", "s", "10.0.0.4"), machine("/v", "s", "10.0.0.5"));
        let mut wish = Wanted {
            networks: vec![network("/v", "10.0.0.0/16", vec![subnet("s", "10.0.0.0/24")])],
            machines: vec![a.clone(), b.clone()],
            ..Wanted::default()
        };
        wish.machines[1].rules = vec![deny("no-orders", Direction::Inbound, 7000)];
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        same(&order(&fabric, &a, "ask 10.0.0.5:7000").await?, TIMED_OUT)?;
        let counted = async || Ok::<_, String>(counter(&fabric, "/v", "no-orders").await?.packets);
        let first = counted().await?;
        if first == 0 {
            return Err("the rule counted nothing".into());
        }
        // Another rule in the same group, a route, another machine with the same group.
        wish.machines[1].rules.push(SecurityRule { priority: 101, ..deny("other", Direction::Inbound, 9) });
        apply(&fabric, &mut wish).await?;
        same(&counted().await?.to_string(), &first.to_string())?;
        let c = Machine { rules: wish.machines[1].rules.clone(), ..machine("/v", "s", "10.0.0.6") };
        wish.machines.push(c.clone());
        apply(&fabric, &mut wish).await?;
        all_running(&fabric, &wish).await?;
        same(&counted().await?.to_string(), &first.to_string())?;
        same(&order(&fabric, &a, "ask 10.0.0.6:7000").await?, TIMED_OUT)?;
        let both = counted().await?;
        if both <= first {
            return Err(format!("{first} packets before, {both} after another"));
        }
        // The rule goes and comes again: that is another one.
        let rules = std::mem::take(&mut wish.machines[1].rules);
        wish.machines[2].rules.clear();
        apply(&fabric, &mut wish).await?;
        same(&counted().await.is_err().to_string(), "true")?;
        wish.machines[1].rules = rules;
        apply(&fabric, &mut wish).await?;
        same(&counted().await?.to_string(), "0")
    })
}
