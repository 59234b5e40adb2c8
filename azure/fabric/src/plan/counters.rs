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

/// Reads what `nft` lists as JSON. Rules of one name and verdict at one place count together.
pub fn counters(wanted: &Wanted, network: &Network, listed: &[Value]) -> Vec<Counter> {
    let groups = rules::groups(wanted, network);
    let mut sums: BTreeMap<(String, String, bool), BTreeMap<&str, (u64, u64)>> = BTreeMap::new();
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
        let found = name.and_then(|name| Some((name, objects.get(&(word("table"), name))?)));
        let Some((name, counter)) = found else { continue };
        let number = |name: &str| counter.get(name).and_then(Value::as_u64).unwrap_or(0);
        let stops = expressions.iter().any(|e| e.get("drop").is_some() || e.get("reject").is_some());
        let chain = word("chain");
        let chain = chain.strip_suffix(rules::PLATFORM).unwrap_or(chain);
        let key = (chain.to_owned(), comment.to_owned(), stops);
        let sum = sums.entry(key.clone()).or_default();
        if sum.is_empty() {
            order.push(key);
        }
        // Lines of one chain share an object.
        sum.insert(name, (number("packets"), number("bytes")));
    }
    order
        .into_iter()
        .map(|key| {
            let all = sums.get(&key).into_iter().flat_map(BTreeMap::values);
            let (packets, bytes) = all.fold((0, 0), |(packets, bytes), one| (packets + one.0, bytes + one.1));
            let (chain, rule, stops) = key;
            let group = groups.get(&chain);
            Counter {
                checkpoint: group.map_or(Checkpoint::Network, |group| group.checkpoint.clone()),
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
