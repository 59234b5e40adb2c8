//! One pod against the nodes: which fit, which is best.

use std::collections::{BTreeMap, HashMap};

use crate::core::Cluster;
use crate::node::NodeInfo;
use crate::plugins::{Plugin, Refusal, fit, inter_pod, node_affinity, ports, spread, taints};
use crate::pod::PodInfo;
use crate::volumes;

/// Below so many nodes all are looked at.
const NODES_ALL: usize = 100;
const ZONE: &str = "topology.kubernetes.io/zone";
const IMAGE_MIN: i64 = 23 << 20;
const IMAGE_MAX: i64 = 1000 << 20;

/// Why no node fits.
#[derive(Debug, Default)]
pub struct Failure {
    /// Per node looked at: where it is and why not.
    pub(crate) nodes: Vec<(usize, Vec<Refusal>)>,
    /// A reason that has nothing to do with nodes.
    pub(crate) general: Option<Refusal>,
}

impl Failure {
    pub(crate) fn of_all(refusal: Refusal) -> Self {
        Self { nodes: Vec::new(), general: Some(refusal) }
    }

    /// The rules that turned nodes down.
    pub(crate) fn plugins(&self) -> Vec<Plugin> {
        let mut plugins: Vec<Plugin> =
            self.nodes.iter().flat_map(|(_, r)| r).chain(&self.general).map(|r| r.plugin).collect();
        plugins.sort_unstable();
        plugins.dedup();
        plugins
    }

    /// How often each reason was given.
    pub(crate) fn reasons(&self) -> BTreeMap<&str, usize> {
        let mut reasons = BTreeMap::new();
        for refusal in self.nodes.iter().flat_map(|(_, r)| r) {
            *reasons.entry(refusal.text.as_str()).or_default() += 1;
        }
        reasons
    }
}

/// How many fitting nodes are enough to choose among.
fn enough(nodes: usize) -> usize {
    if nodes < NODES_ALL {
        return nodes;
    }
    let percent = 50_usize.saturating_sub(nodes / 125).max(5);
    (nodes * percent / 100).max(NODES_ALL)
}

/// What the rules have worked out for one pod.
pub(crate) struct Prepared<'a> {
    spread: Vec<spread::Prepared<'a>>,
    near: inter_pod::Prepared,
}

/// Works out what does not depend on a node.
pub(crate) fn prepare<'a>(pod: &'a PodInfo, cluster: &mut Cluster) -> Prepared<'a> {
    Prepared { spread: spread::prepare(pod, cluster), near: inter_pod::prepare(pod, cluster) }
}

/// Whether the pod may run on the node, with the reasons of the first rule that says no.
pub(crate) fn filter(
    pod: &PodInfo,
    node: &NodeInfo,
    prepared: &Prepared<'_>,
    cluster: &Cluster,
) -> Result<(), Vec<Refusal>> {
    let one = |result: Result<(), Refusal>| result.map_err(|r| vec![r]);
    one(taints::filter(pod, node))?;
    one(node_affinity::filter(pod, node))?;
    one(ports::filter(pod, node))?;
    let mut refusals = Vec::new();
    fit::filter(pod, node, &mut refusals);
    if !refusals.is_empty() {
        return Err(refusals);
    }
    one(volumes::filter(pod, node, cluster))?;
    one(spread::filter(&prepared.spread, node))?;
    one(inter_pod::filter(&prepared.near, node))
}

/// As [`filter`], also with those pods there that hope for the node and matter at least as much.
fn filter_nominated(
    pod: &PodInfo,
    node: &NodeInfo,
    prepared: &Prepared<'_>,
    cluster: &Cluster,
) -> Result<(), Vec<Refusal>> {
    filter(pod, node, prepared, cluster)?;
    if cluster.nominated.is_empty() {
        return Ok(());
    }
    let rivals: Vec<_> = cluster
        .nominated
        .values()
        .filter(|(at, rival)| *at == node.name && rival.priority >= pod.priority && rival.uid != pod.uid)
        .collect();
    if rivals.is_empty() {
        return Ok(());
    }
    let mut crowded = node.clone();
    rivals.into_iter().for_each(|(_, rival)| crowded.add(rival.clone()));
    filter(pod, &crowded, prepared, cluster)
}

/// Chooses a node: its position among the cluster's.
///
/// # Errors
/// If none fits, with the reason for each.
pub fn schedule(
    pod: &PodInfo,
    cluster: &mut Cluster,
    start: &mut usize,
    chance: &mut u64,
) -> Result<usize, Failure> {
    let prepared = prepare(pod, cluster);
    let cluster = &*cluster;
    let total = cluster.nodes.len();
    if total == 0 {
        return Err(Failure::default());
    }
    if let Some(at) = pod.nominated.as_deref().and_then(|n| cluster.position(n))
        && cluster.nodes[at].known
        && filter_nominated(pod, &cluster.nodes[at], &prepared, cluster).is_ok()
    {
        return Ok(at);
    }
    let wanted = enough(total);
    let mut fitting = Vec::with_capacity(wanted);
    let mut failure = Failure::default();
    let mut looked = 0;
    for offset in 0..total {
        let at = (*start + offset) % total;
        let node = &cluster.nodes[at];
        looked = offset + 1;
        if !node.known {
            continue;
        }
        match filter_nominated(pod, node, &prepared, cluster) {
            Ok(()) => fitting.push(at),
            Err(refusals) => failure.nodes.push((at, refusals)),
        }
        if fitting.len() >= wanted {
            break;
        }
    }
    *start = (*start + looked) % total;
    match fitting.as_slice() {
        [] => Err(failure),
        [only] => Ok(*only),
        _ => Ok(best(pod, &fitting, &prepared, cluster, chance)),
    }
}

fn best(
    pod: &PodInfo,
    fitting: &[usize],
    prepared: &Prepared<'_>,
    cluster: &Cluster,
    chance: &mut u64,
) -> usize {
    let nodes: Vec<&NodeInfo> = fitting.iter().map(|at| &cluster.nodes[*at]).collect();
    let mut scores: Vec<i64> = nodes
        .iter()
        .map(|n| fit::least_allocated(pod, n) + fit::balanced(pod, n) + image_score(pod, n))
        .collect();
    let mut weigh = |weight: i64, raw: Vec<i64>, normal: fn(i64, i64, i64) -> i64| {
        let (min, max) = (raw.iter().min().copied().unwrap_or(0), raw.iter().max().copied().unwrap_or(0));
        for (score, value) in scores.iter_mut().zip(raw) {
            *score += weight * normal(value, min, max);
        }
    };
    let less = |value: i64, _min: i64, max: i64| if max == 0 { 100 } else { 100 - 100 * value / max };
    let more = |value: i64, _min: i64, max: i64| if max == 0 { 0 } else { 100 * value / max };
    let between =
        |value: i64, min: i64, max: i64| if max == min { 0 } else { 100 * (value - min) / (max - min) };
    if nodes.iter().any(|n| !n.taints.is_empty()) {
        weigh(3, nodes.iter().map(|n| taints::dislike(pod, n)).collect(), less);
    }
    if !pod.node_preferred.is_empty() {
        weigh(2, nodes.iter().map(|n| node_affinity::liking(pod, n)).collect(), more);
    }
    if pod.spread.iter().any(|s| !s.hard) {
        weigh(2, nodes.iter().map(|n| spread::crowd(&prepared.spread, n)).collect(), less);
    } else if let Some(owner) = pod.owner.as_ref().filter(|_| pod.spread.is_empty()) {
        weigh(2, siblings(owner, &nodes), less);
    }
    if inter_pod::has_opinion(&prepared.near) {
        weigh(2, nodes.iter().map(|n| inter_pod::liking(&prepared.near, n)).collect(), between);
    }
    pick(fitting, &scores, chance)
}

/// Pods of the same owner on each node, and twice as important, in its zone.
fn siblings(owner: &str, nodes: &[&NodeInfo]) -> Vec<i64> {
    let here: Vec<i64> = nodes.iter().map(|n| n.owners.get(owner).copied().unwrap_or(0)).collect();
    if here.iter().all(|count| *count == 0) {
        return here;
    }
    let mut zones: HashMap<&str, i64> = HashMap::new();
    for (node, count) in nodes.iter().zip(&here) {
        if let Some(zone) = node.labels.get(ZONE) {
            *zones.entry(zone).or_default() += count;
        }
    }
    let in_zone = |node: &NodeInfo| node.labels.get(ZONE).and_then(|z| zones.get(z.as_str())).copied();
    let share = |value: i64, max: i64| if max == 0 { 0 } else { 300 * value / max };
    let (most_here, most_zone) =
        (here.iter().max().copied().unwrap_or(0), zones.values().max().copied().unwrap_or(0));
    let several = zones.len() > 1;
    let score = |(node, count): (&&NodeInfo, &i64)| {
        let host = share(*count, most_here);
        if several { host + 2 * share(in_zone(node).unwrap_or(0), most_zone) } else { 3 * host }
    };
    nodes.iter().zip(&here).map(score).collect()
}

fn image_score(pod: &PodInfo, node: &NodeInfo) -> i64 {
    if node.images.is_empty() {
        return 0;
    }
    let named = |image: &str| {
        let tagged = if image.rsplit('/').next().is_some_and(|last| last.contains(':')) {
            image.to_owned()
        } else {
            format!("{image}:latest")
        };
        node.images.get(&tagged).copied().unwrap_or(0)
    };
    let there: i64 = pod.images.iter().map(|i| named(i)).sum();
    let most = IMAGE_MAX * i64::try_from(pod.images.len().max(1)).unwrap_or(1);
    100 * (there.clamp(IMAGE_MIN, most) - IMAGE_MIN) / (most - IMAGE_MIN)
}

/// One of the best, by chance.
fn pick(fitting: &[usize], scores: &[i64], chance: &mut u64) -> usize {
    let best = scores.iter().max().copied().unwrap_or(0);
    let equals: Vec<usize> =
        fitting.iter().zip(scores).filter(|(_, s)| **s == best).map(|(at, _)| *at).collect();
    *chance ^= *chance << 13;
    *chance ^= *chance >> 7;
    *chance ^= *chance << 17;
    let count = u64::try_from(equals.len()).unwrap_or(1);
    equals[usize::try_from(*chance % count).unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    #[test]
    fn of_many_nodes_a_share_is_enough() {
        for (nodes, expected) in [(3, 3), (99, 99), (100, 100), (1000, 420), (5000, 500), (20_000, 1000)] {
            assert_eq!(super::enough(nodes), expected, "{nodes}");
        }
    }
}
