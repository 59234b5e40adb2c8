//! Why packets passed or stopped: the kernel's counters under the names of what was wanted.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::rules;
use crate::wanted::{Access, Direction, Network, Wanted};

/// Where a packet was judged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Checkpoint {
    /// The group of these subnets.
    Subnets(Vec<String>),
    /// The group of the interfaces of these machines (ARM ids).
    Interfaces(Vec<String>),
    /// The network itself: routes, peerings, sources, load balancers.
    Network,
}

/// Packets that one rule has judged since the rules were last changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counter {
    /// Where.
    pub checkpoint: Checkpoint,
    /// In which direction, for groups.
    pub direction: Option<Direction>,
    /// The rule's name, or the reason.
    pub rule: String,
    /// What it did.
    pub access: Access,
    /// New connections for groups and translations, packets elsewhere.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Reads what `nft` lists as JSON. Rules of one name at one place count together.
pub fn counters(wanted: &Wanted, network: &Network, listed: &[Value]) -> Vec<Counter> {
    let groups = rules::groups(wanted, network);
    let mut sums: BTreeMap<(String, String, bool), (u64, u64)> = BTreeMap::new();
    let mut order = Vec::new();
    for rule in listed.iter().filter_map(|entry| entry.get("rule")) {
        let Some(comment) = rule.get("comment").and_then(Value::as_str) else { continue };
        let chain = rule.get("chain").and_then(Value::as_str).unwrap_or_default();
        let expressions = rule.get("expr").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let Some(counter) = expressions.iter().find_map(|e| e.get("counter")) else { continue };
        let number = |name: &str| counter.get(name).and_then(Value::as_u64).unwrap_or(0);
        let dropped = expressions.iter().any(|e| e.get("drop").is_some());
        let key = (chain.to_owned(), comment.to_owned(), dropped);
        if !sums.contains_key(&key) {
            order.push(key.clone());
        }
        let sum = sums.entry(key).or_default();
        *sum = (sum.0 + number("packets"), sum.1 + number("bytes"));
    }
    order
        .into_iter()
        .map(|key| {
            let (packets, bytes) = sums.get(&key).copied().unwrap_or_default();
            let (chain, rule, dropped) = key;
            let group = groups.get(&chain);
            Counter {
                checkpoint: group.map_or(Checkpoint::Network, |(_, checkpoint)| checkpoint.clone()),
                direction: group.map(|_| match chain.contains("_in_") {
                    true => Direction::Inbound,
                    false => Direction::Outbound,
                }),
                rule,
                access: if dropped { Access::Deny } else { Access::Allow },
                packets,
                bytes,
            }
        })
        .collect()
}
