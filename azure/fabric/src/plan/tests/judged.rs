//! Thousands of rules and packets, judged three times: by [`verify`], by the lines that the host's kernel gets, read
//! here one by one, and by a judge that knows neither.

use std::collections::BTreeMap;

use super::*;
use crate::wanted::Platform;

/// A sequence of numbers that a seed repeats.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn some_of<T: Clone>(&mut self, all: &[T]) -> Vec<T> {
        (0..self.below(4)).map(|_| self.one_of(all)).collect()
    }
}

/// Addresses that packets come from and go to; the first two are the machines'.
const PLACES: [[u8; 4]; 10] = [
    [10, 224, 0, 4],
    [10, 224, 0, 5],
    [10, 224, 9, 9],
    [10, 244, 5, 7],
    [10, 0, 3, 4],
    [10, 9, 9, 9],
    [20, 0, 0, 12],
    [8, 8, 8, 8],
    [168, 63, 129, 16],
    [169, 254, 169, 254],
];
const PORTS: [u16; 6] = [22, 53, 80, 443, 8080, 40_000];

fn prefix(text: &str) -> Peer {
    Peer::Prefix(text.parse().unwrap())
}

fn rule(chance: &mut Chance, number: u16) -> SecurityRule {
    let peers = [
        Peer::Any,
        Peer::VirtualNetwork,
        Peer::Internet,
        Peer::AzureLoadBalancer,
        prefix("10.224.0.4/32"),
        prefix("10.224.0.0/16"),
        prefix("10.0.0.0/8"),
        prefix("20.0.0.0/16"),
        prefix("8.8.0.0/16"),
        prefix("0.0.0.0/0"),
        prefix("168.63.129.16/32"),
        Peer::Service { tag: "Some".into(), prefixes: vec!["20.0.0.0/24".parse().unwrap()] },
        Peer::Platform(Platform::Names),
        Peer::Platform(Platform::Metadata),
    ];
    let ranges = [(22, 22), (50, 100), (80, 80), (90, 500), (443, 443), (0, 65_535), (8000, 9000)]
        .map(|(first, last)| PortRange { first, last });
    SecurityRule {
        name: format!("r{number}"),
        // Far from each other, in no order.
        priority: 100 + number * 37 % 3997,
        direction: chance.one_of(&[Direction::Inbound, Direction::Outbound]),
        access: chance.one_of(&[Access::Allow, Access::Deny]),
        protocol: chance.one_of(&[
            Protocol::Any,
            Protocol::Any,
            Protocol::Tcp,
            Protocol::Tcp,
            Protocol::Udp,
            Protocol::Icmp,
            Protocol::Esp,
            Protocol::Ah,
        ]),
        sources: chance.some_of(&peers),
        source_ports: if chance.below(4) == 0 { chance.some_of(&ranges) } else { Vec::new() },
        destinations: chance.some_of(&peers),
        destination_ports: chance.some_of(&ranges),
    }
}

fn group(chance: &mut Chance, from: u16) -> Vec<SecurityRule> {
    match chance.below(6) {
        0 => Vec::new(),
        _ => (from..from + 1 + u16::try_from(chance.below(9)).unwrap()).map(|n| rule(chance, n)).collect(),
    }
}

/// What Azure's documentation says, with nothing of the plan in it.
mod reference {
    use super::*;

    fn inside(address: Ipv4Addr) -> bool {
        // The network, its peer with access, the pods of its machines.
        let [a, b, c, _] = address.octets();
        address.octets() == [168, 63, 129, 16]
            || (a == 10 && (224..240).contains(&b))
            || (a == 10 && b == 0)
            || (a == 10 && b == 244 && (c == 4 || c == 5))
    }

    fn is(peers: &[Peer], address: Ipv4Addr) -> bool {
        peers.iter().any(|peer| match peer {
            Peer::Any => true,
            Peer::VirtualNetwork => inside(address),
            Peer::Internet => !inside(address),
            Peer::AzureLoadBalancer => address.octets() == [168, 63, 129, 16],
            Peer::Prefix(net) => within(*net, address),
            Peer::Service { prefixes, .. } => prefixes.iter().any(|net| within(*net, address)),
            Peer::Platform(_) => false,
        })
    }

    fn within(net: ipnet::Ipv4Net, address: Ipv4Addr) -> bool {
        let bits = 32 - u32::from(net.prefix_len());
        let high = |a: Ipv4Addr| u64::from(u32::from(a)) >> bits;
        high(net.addr()) == high(address)
    }

    /// What is behind a tag of the platform, for packets to it; `None`: this one is not to it.
    fn of_platform(flow: &Flow) -> Option<Option<Platform>> {
        match (flow.direction, flow.remote.0.octets(), flow.remote.1) {
            (Direction::Outbound, [169, 254, 169, 254], _) => Some(Some(Platform::Metadata)),
            (Direction::Outbound, [168, 63, 129, 16], 53) => Some(Some(Platform::Names)),
            (Direction::Outbound, [168, 63, 129, 16], _) => Some(None),
            _ => None,
        }
    }

    fn any(ranges: &[PortRange], port: u16) -> bool {
        ranges.is_empty() || ranges.iter().any(|range| range.first <= port && port <= range.last)
    }

    /// The name of the rule that decides, and whether it lets pass.
    fn ask(rules: &[SecurityRule], flow: &Flow) -> Option<(String, bool)> {
        let platform = of_platform(flow);
        let inbound = flow.direction == Direction::Inbound;
        let (from, to) = if inbound { (flow.remote, flow.local) } else { (flow.local, flow.remote) };
        let mut mine: Vec<&SecurityRule> = rules.iter().filter(|r| r.direction == flow.direction).collect();
        mine.sort_by_key(|rule| rule.priority);
        let decided = mine.into_iter().find(|rule| {
            (rule.protocol == Protocol::Any || rule.protocol == flow.protocol)
                && is(&rule.sources, from.0)
                && match platform {
                    Some(Some(part)) => rule.destinations.contains(&Peer::Platform(part)),
                    Some(None) => false,
                    None => is(&rule.destinations, to.0),
                }
                && any(&rule.source_ports, from.1)
                && any(&rule.destination_ports, to.1)
        });
        if let Some(rule) = decided {
            return Some((rule.name.clone(), rule.access == Access::Allow));
        }
        if platform.is_some() {
            return None;
        }
        let (name, allow) = match (inbound, inside(from.0) && inside(to.0)) {
            (true, true) => ("AllowVnetInBound", true),
            (true, false) => ("DenyAllInBound", false),
            (false, true) => ("AllowVnetOutBound", true),
            (false, false) if !inside(to.0) => ("AllowInternetOutBound", true),
            (false, false) => ("DenyAllOutBound", false),
        };
        Some((name.to_owned(), allow))
    }

    /// The deciding rule and whether the packet passes; no group, no rule.
    pub fn judge(subnet: &[SecurityRule], interface: &[SecurityRule], flow: &Flow) -> (String, bool) {
        let groups = match flow.direction {
            Direction::Inbound => [subnet, interface],
            Direction::Outbound => [interface, subnet],
        };
        let mut last = (String::new(), true);
        for rules in groups.into_iter().filter(|rules| !rules.is_empty()) {
            last = ask(rules, flow).unwrap_or(last);
            if !last.1 {
                break;
            }
        }
        last
    }
}

/// Reads the lines that the kernel gets, as it would.
struct Kernel<'a> {
    chains: BTreeMap<&'a str, Vec<&'a str>>,
    vnet: Vec<ipnet::Ipv4Net>,
}

impl<'a> Kernel<'a> {
    fn new(rules: &'a str) -> Self {
        let mut chains: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let mut current = "";
        for line in rules.lines().map(str::trim) {
            match line.strip_prefix("chain ").and_then(|rest| rest.strip_suffix(" {")) {
                Some(name) => current = name,
                None if !current.is_empty() => chains.entry(current).or_default().push(line),
                None => {}
            }
        }
        let vnet = rules.lines().find(|line| line.contains("set vnet")).unwrap();
        let (_, elements) = vnet.split_once("elements = {").unwrap();
        let vnet = elements.trim_end_matches([' ', '}']).split(',').map(|p| p.trim().parse().unwrap());
        Self { chains, vnet: vnet.collect() }
    }

    /// Goes through a chain of gates: each line leads a key to a group.
    fn pass(&self, gate: &str, keys: &[&str], flow: &Flow) -> (String, bool) {
        let mut last = (String::new(), true);
        for line in self.chains.get(gate).into_iter().flatten() {
            let Some((_, entries)) = line.split_once("vmap { ") else { continue };
            let found = entries.trim_end_matches(" }").split(", ").find_map(|entry| {
                let (key, group) = entry.split_once(" : jump ")?;
                keys.contains(&key).then_some(group)
            });
            let Some(group) = found else { continue };
            last = self.ask(group, flow).unwrap_or(last);
            if !last.1 {
                break;
            }
        }
        last
    }

    fn ask(&self, group: &str, flow: &Flow) -> Option<(String, bool)> {
        for line in &self.chains[group] {
            let Some((matches, rest)) = line.split_once("counter ") else { continue };
            if !self.matches(matches, flow) {
                continue;
            }
            let (verdict, comment) = rest.split_once(" comment ").unwrap();
            return Some((comment.trim_matches('"').to_owned(), verdict == "return"));
        }
        assert!(group.ends_with("_platform"), "a group's chain has an end: {group}");
        None
    }

    fn matches(&self, line: &str, flow: &Flow) -> bool {
        let (from, to) = match flow.direction {
            Direction::Inbound => (flow.remote, flow.local),
            Direction::Outbound => (flow.local, flow.remote),
        };
        let l4 = if flow.protocol == Protocol::Tcp { "tcp" } else { "udp" };
        let mut rest = line.trim();
        while !rest.is_empty() {
            let (what, negated, value, after) = expression(rest);
            let of = |address: Ipv4Addr| match value {
                "@vnet" => self.vnet.iter().any(|net| net.contains(&address)),
                list => list.split(',').map(str::trim).any(|one| match one.parse::<ipnet::Ipv4Net>() {
                    Ok(net) => net.contains(&address),
                    Err(_) => one == address.to_string(),
                }),
            };
            let port = |port: u16| {
                value.split(',').map(str::trim).any(|range| {
                    let (first, last) = range.split_once('-').unwrap_or((range, range));
                    (first.parse::<u16>().unwrap()..=last.parse().unwrap()).contains(&port)
                })
            };
            let holds = match what {
                "ip saddr" => of(from.0),
                "ip daddr" => of(to.0),
                "meta l4proto" => value.split(',').any(|one| one.trim() == l4),
                "th sport" => port(from.1),
                "th dport" => port(to.1),
                other => panic!("what is `{other}` in `{line}`?"),
            };
            if holds == negated {
                return false;
            }
            rest = after.trim();
        }
        true
    }
}

/// The first expression: what is looked at, whether it must differ, from what; and what follows.
fn expression(text: &str) -> (&str, bool, &str, &str) {
    let space = text.match_indices(' ').nth(1).unwrap().0;
    let (what, rest) = (&text[..space], text[space..].trim());
    let (negated, rest) = match rest.strip_prefix("!= ") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
        Some((list, after)) => (what, negated, list.trim(), after),
        None => {
            let (value, after) = rest.split_once(' ').unwrap_or((rest, ""));
            (what, negated, value, after)
        }
    }
}

#[test]
fn what_is_said_of_a_packet_is_what_the_kernel_is_told() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut seen: BTreeMap<(String, bool), usize> = BTreeMap::new();
    for round in 0..400 {
        let mut wanted = peered();
        wanted.networks[0].subnets[0].routes.clear();
        wanted.networks[0].subnets[0].rules = group(&mut chance, 0);
        wanted.machines[0].rules = group(&mut chance, 50);
        let machine = &wanted.machines[0];
        let rules = compile(&wanted, &wanted.networks[0], &Health::new()).rules;
        let kernel = Kernel::new(&rules);
        let bridge = format!("\"{}\"", bridge_name("aks-subnet"));
        let (mac, address) = (machine.id.mac(), machine.address.to_string());
        for _ in 0..25 {
            let direction = chance.one_of(&[Direction::Inbound, Direction::Outbound]);
            let flow = Flow {
                direction,
                protocol: chance.one_of(&[Protocol::Tcp, Protocol::Udp]),
                local: (machine.address, chance.one_of(&PORTS)),
                remote: (Ipv4Addr::from(chance.one_of(&PLACES[1..])), chance.one_of(&PORTS)),
            };
            let said = verify(&wanted, machine, &flow);
            let name = said.rule.as_ref().map(|rule| rule.name.clone()).unwrap_or_default();
            let said = (name, said.access == Access::Allow);
            let told = match direction {
                Direction::Outbound if [WIRE_SERVER, METADATA].contains(&flow.remote.0) => {
                    kernel.pass("platform", &[&mac, &bridge], &flow)
                }
                Direction::Outbound => kernel.pass("outbound", &[&mac, &bridge], &flow),
                Direction::Inbound => kernel.pass("inbound", &[&bridge, &address], &flow),
            };
            let judged = reference::judge(&wanted.networks[0].subnets[0].rules, &machine.rules, &flow);
            assert_eq!(said, judged, "round {round}: {flow:?}\n{:#?}", wanted.networks[0].subnets[0].rules);
            assert_eq!(told, judged, "round {round}: {flow:?}\n{rules}");
            *seen
                .entry((if judged.0.starts_with('r') { "own".into() } else { judged.0 }, judged.1))
                .or_default() += 1;
        }
    }
    // Every way to be judged was seen: no group, own rules and defaults, passing and not. (What a machine sends is for
    // the network or the internet, so `DenyAllOutBound` decides nothing; nor does `AllowAzureLoadBalancerInBound`, whose address is
    // one of the network's.)
    assert_eq!(seen.len(), 7, "{seen:#?}");
}
