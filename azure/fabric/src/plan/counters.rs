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

/// Packets that one rule has judged since it is there.
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

/// Reads what `nft` lists as JSON. Rules of one name and verdict at one place count together, in one object of the table.
pub fn counters(wanted: &Wanted, network: &Network, listed: &[Value]) -> Vec<Counter> {
    let groups = rules::groups(wanted, network);
    let mut sums: BTreeMap<(String, String, bool), (u64, u64)> = BTreeMap::new();
    let mut order = Vec::new();
    let objects: BTreeMap<(&str, &str), &Value> = listed
        .iter()
        .filter_map(|entry| entry.get("counter"))
        .filter_map(|object| Some(((object.get("table")?.as_str()?, object.get("name")?.as_str()?), object)))
        .collect();
    for rule in listed.iter().filter_map(|entry| entry.get("rule")) {
        let Some(comment) = rule.get("comment").and_then(Value::as_str) else { continue };
        let word = |name: &str| rule.get(name).and_then(Value::as_str).unwrap_or_default();
        let expressions = rule.get("expr").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let name = expressions.iter().find_map(|e| e.get("counter")?.as_str());
        let Some(counter) = name.and_then(|name| objects.get(&(word("table"), name))) else { continue };
        let number = |name: &str| counter.get(name).and_then(Value::as_u64).unwrap_or(0);
        let stops = expressions.iter().any(|e| e.get("drop").is_some() || e.get("reject").is_some());
        let key = (word("chain").to_owned(), comment.to_owned(), stops);
        if sums.insert(key.clone(), (number("packets"), number("bytes"))).is_none() {
            order.push(key);
        }
    }
    order
        .into_iter()
        .map(|key| {
            let (packets, bytes) = sums.get(&key).copied().unwrap_or_default();
            let (chain, rule, stops) = key;
            let group = groups.get(&chain);
            Counter {
                checkpoint: group.map_or(Checkpoint::Network, |(_, checkpoint)| checkpoint.clone()),
                direction: group.map(|_| match chain.contains("_in_") {
                    true => Direction::Inbound,
                    false => Direction::Outbound,
                }),
                rule,
                access: if stops { Access::Deny } else { Access::Allow },
                packets,
                bytes,
            }
        })
        .collect()
}
