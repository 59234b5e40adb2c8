//! From a wish to steps: pure, complete, printable.
//!
//! A network is first *compiled* to a [`RouterConfig`]: a set of facts (bridges, ports, routes, …) and two rule
//! texts. The plan is then the difference of sets between what is wanted and what was seen.

mod balancing;
mod counters;
mod facts;
mod flow;
mod hops;
mod idle;
pub(crate) mod replacement;
mod routing;
mod rules;
mod security;
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use crate::ids::{MachineId, NetworkId};
use crate::wanted::{Machine, Power, Wanted};

pub use balancing::{BackendKey, Health};
pub use counters::{Checkpoint, Counter, counters};
pub use facts::{Fact, Hop, RouterConfig, bridge_name, compile, machine_mark, transit_address};
pub use flow::{Flow, Verdict, verify};
pub use routing::{EffectiveRoute, HopType, RouteSource, effective_routes, next_hop};

/// The address of name service, health probes and wire server, seen from machines.
pub const WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
/// The address of the instance metadata service.
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The internet's end of every router's uplink.
pub const INTERNET: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);

/// The mark of packets to private endpoints: no route table of a subnet steers them.
pub(crate) const ENDPOINT_MARK: u32 = 0x3000_0000;

/// A name as nftables takes it for a comment (at most 128 bytes with what stands before it).
fn comment(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c)).take(100).collect()
}

/// What is on the host.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// The internet's namespace exists.
    pub internet: bool,
    /// Routers that exist, with what was last applied in them.
    pub routers: BTreeMap<NetworkId, RouterConfig>,
    /// Routers that exist and whose making was not finished.
    pub unfinished: BTreeSet<NetworkId>,
    /// Machines that have anything on this host.
    pub machines: BTreeMap<MachineId, SeenMachine>,
}

/// What is seen of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenMachine {
    /// The generation of its disk; `None` when it was never completed.
    pub generation: Option<u64>,
    /// Its network namespace exists.
    pub namespace: bool,
    /// How it stands.
    pub life: Life,
}

/// Whether a machine's processes run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It runs.
    Alive,
    /// It was told to be on and its first process ended by itself: it stays so until power or image change.
    Ended,
    /// It does not run and may be started: powered off, never started, or the host was restarted.
    Down,
}

/// One step. The executor does exactly this.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Kill it, remove its namespace, group and disk.
    DeleteMachine(MachineId),
    /// Ask it to stop, then kill it.
    StopMachine(MachineId),
    /// Take facts out of a router.
    Unlink(NetworkId, Vec<Fact>),
    /// Remove a router.
    DeleteRouter(NetworkId),
    /// Make the internet's namespace.
    MakeInternet,
    /// Make a router's namespace and its uplink.
    MakeRouter(NetworkId),
    /// Make a machine's network namespace.
    MakeNamespace(MachineId),
    /// Add facts to a router.
    Link(NetworkId, Vec<Fact>),
    /// Replace a router's security and address translation rules.
    Rules(NetworkId, String),
    /// Replace a router's balancing rules.
    Balancing(NetworkId, String),
    /// Make a machine's disk anew, of this generation.
    Image(MachineId, u64),
    /// Start a machine.
    Start(MachineId),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, sign: char, network: &NetworkId, facts: &[Fact]| {
            for (i, fact) in facts.iter().enumerate() {
                write!(f, "{}{sign} {network}: {fact}", if i > 0 { "\n" } else { "" })?;
            }
            Ok(())
        };
        match self {
            Step::DeleteMachine(id) => write!(f, "delete machine {id}"),
            Step::StopMachine(id) => write!(f, "stop machine {id}"),
            Step::Unlink(network, facts) => list(f, '-', network, facts),
            Step::DeleteRouter(id) => write!(f, "delete router {id}"),
            Step::MakeInternet => f.write_str("make the internet"),
            Step::MakeRouter(id) => write!(f, "make router {id}"),
            Step::MakeNamespace(id) => write!(f, "make namespace of machine {id}"),
            Step::Link(network, facts) => list(f, '+', network, facts),
            Step::Rules(id, text) => write!(f, "replace rules of {id} ({} lines)", text.lines().count()),
            Step::Balancing(id, text) => {
                write!(f, "replace balancing of {id} ({} lines)", text.lines().count())
            }
            Step::Image(id, generation) => write!(f, "image machine {id} generation {generation}"),
            Step::Start(id) => write!(f, "start machine {id}"),
        }
    }
}

/// All steps, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct FabricPlan {
    /// The wish's generation.
    pub generation: u64,
    /// In the order of execution.
    pub steps: Vec<Step>,
    /// What each router holds afterwards.
    pub routers: BTreeMap<NetworkId, RouterConfig>,
}

impl fmt::Display for FabricPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "generation {}", self.generation)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

/// What has to be done. Pure.
pub fn plan(wanted: &Wanted, seen: &Seen, health: &Health) -> FabricPlan {
    let routers: BTreeMap<NetworkId, RouterConfig> =
        wanted.networks.iter().map(|n| (n.id.clone(), compile(wanted, n, health))).collect();
    let mut steps = Vec::new();
    let wanted_machines: BTreeSet<&MachineId> = wanted.machines.iter().map(|m| &m.id).collect();
    steps.extend(
        seen.machines.keys().filter(|id| !wanted_machines.contains(id)).cloned().map(Step::DeleteMachine),
    );
    for machine in &wanted.machines {
        if seen.machines.get(&machine.id).is_some_and(|m| must_stop(machine, m)) {
            steps.push(Step::StopMachine(machine.id.clone()));
        }
    }
    let nothing = RouterConfig::default();
    for (id, old) in &seen.routers {
        let gone: Vec<Fact> = match routers.get(id) {
            None => {
                steps.push(Step::DeleteRouter(id.clone()));
                continue;
            }
            Some(new) => old.facts.difference(&new.facts).cloned().collect(),
        };
        if !gone.is_empty() {
            steps.push(Step::Unlink(id.clone(), gone));
        }
    }
    let left_over = seen.unfinished.iter().filter(|id| !routers.contains_key(id));
    steps.extend(left_over.cloned().map(Step::DeleteRouter));
    if !seen.internet {
        steps.push(Step::MakeInternet);
    }
    for machine in &wanted.machines {
        if !seen.machines.get(&machine.id).is_some_and(|m| m.namespace) {
            steps.push(Step::MakeNamespace(machine.id.clone()));
        }
    }
    // A new internet has none of the old uplinks: the routers are made again on top of what they hold.
    let standing = |id: &NetworkId| seen.routers.get(id).filter(|_| seen.internet);
    // Links between routers need both ends: all routers first.
    steps.extend(routers.keys().filter(|id| standing(id).is_none()).cloned().map(Step::MakeRouter));
    for (id, new) in &routers {
        let old = standing(id).unwrap_or(&nothing);
        let missing: Vec<Fact> = new.facts.iter().filter(|f| !holds(seen, old, f)).cloned().collect();
        if !missing.is_empty() {
            steps.push(Step::Link(id.clone(), missing));
        }
        if old.rules != new.rules {
            steps.push(Step::Rules(id.clone(), new.rules.clone()));
        }
        if old.balancing != new.balancing {
            steps.push(Step::Balancing(id.clone(), new.balancing.clone()));
        }
    }
    steps.extend(wanted.machines.iter().flat_map(|machine| machine_steps(machine, seen)));
    FabricPlan { generation: wanted.generation, steps, routers }
}

/// A fact of a machine whose namespace is gone, or of a router that is, does not hold, whatever was applied once.
fn holds(seen: &Seen, old: &RouterConfig, fact: &Fact) -> bool {
    let alive = fact.machine().is_none_or(|id| seen.machines.get(id).is_some_and(|m| m.namespace));
    let linked = fact.peer().is_none_or(|id| seen.routers.contains_key(id));
    alive && linked && old.facts.contains(fact)
}

fn must_stop(machine: &Machine, seen: &SeenMachine) -> bool {
    let reimage = seen.generation != Some(machine.generation);
    match (seen.life, machine.power) {
        (Life::Alive, Power::On) => reimage || !seen.namespace,
        // One that ended by itself is told too: it may then be started again.
        (Life::Alive | Life::Ended, Power::Off) => true,
        (Life::Ended, Power::On) | (Life::Down, _) => false,
    }
}

fn machine_steps(machine: &Machine, seen: &Seen) -> Vec<Step> {
    let seen = seen.machines.get(&machine.id);
    let reimage = seen.and_then(|m| m.generation) != Some(machine.generation);
    let mut steps = Vec::new();
    if reimage {
        steps.push(Step::Image(machine.id.clone(), machine.generation));
    }
    let stands = match seen {
        Some(m) if !reimage && m.namespace => m.life,
        _ => Life::Down,
    };
    if machine.power == Power::On && stands == Life::Down {
        steps.push(Step::Start(machine.id.clone()));
    }
    steps
}

/// What is wrong with a wish: nothing is done while this is not empty.
pub fn check(wanted: &Wanted) -> Vec<String> {
    let mut notes = Vec::new();
    let mut addresses = BTreeSet::new();
    let mut ids = BTreeSet::new();
    let mut marks = BTreeSet::new();
    for network in &wanted.networks {
        let mut bridges = BTreeSet::new();
        for subnet in &network.subnets {
            if !bridges.insert(bridge_name(&subnet.name)) {
                notes.push(format!("subnet `{}` appears twice in `{}`", subnet.name, network.resource_id));
            }
            if !network.prefixes.iter().any(|p| p.contains(&subnet.prefix)) {
                notes.push(format!("subnet `{}` lies outside `{}`", subnet.name, network.resource_id));
            }
        }
    }
    for machine in &wanted.machines {
        let name = &machine.hostname;
        if !ids.insert(&machine.id) {
            notes.push(format!("machine `{}` appears twice", machine.resource_id));
        }
        if !marks.insert(machine_mark(&machine.id)) {
            notes.push(format!("machine `{name}` has the same mark as another"));
        }
        if !addresses.insert((&machine.network, machine.address)) {
            notes.push(format!("address {} of `{name}` is used twice", machine.address));
        }
        let subnet = wanted
            .networks
            .iter()
            .find(|n| n.id == machine.network)
            .and_then(|n| n.subnets.iter().find(|s| s.name == machine.subnet));
        match subnet {
            None => notes.push(format!("machine `{name}` is in no subnet that exists")),
            Some(s) if !s.prefix.contains(&machine.address) || machine.address == s.gateway() => {
                notes.push(format!("machine `{name}` cannot have {} in {}", machine.address, s.prefix));
            }
            Some(_) => {}
        }
        let hostname_is_good = !name.is_empty()
            && name.len() <= 63
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
        if !hostname_is_good {
            notes.push(format!("`{name}` is no host name"));
        }
    }
    notes
}

#[cfg(test)]
mod tests;
