//! When a node was last heard of, by this process's own clock.

use std::collections::HashMap;

use jiff::Timestamp;

/// Signs of life: a node's lease or its reported heartbeat has another value than before.
///
/// The times are those at which the change was seen here, so clocks of nodes do not matter, and after a
/// restart every node has a full grace period.
#[derive(Default)]
pub(super) struct Pulse {
    nodes: HashMap<String, Beat>,
}

#[derive(Default)]
struct Beat {
    lease: Option<Timestamp>,
    status: Option<Timestamp>,
    heard: Option<Timestamp>,
}

impl Pulse {
    /// The node's lease says it was renewed at `renewed`.
    pub fn lease(&mut self, node: &str, renewed: Option<Timestamp>, now: Timestamp) {
        let beat = self.nodes.entry(node.to_owned()).or_default();
        if beat.lease != renewed || beat.heard.is_none() {
            beat.lease = renewed;
            beat.heard = Some(now);
        }
    }

    /// The node's status says its heartbeat was at `heartbeat`.
    pub fn status(&mut self, node: &str, heartbeat: Option<Timestamp>, now: Timestamp) {
        let beat = self.nodes.entry(node.to_owned()).or_default();
        if beat.status != heartbeat || beat.heard.is_none() {
            beat.status = heartbeat;
            beat.heard = Some(now);
        }
    }

    /// When the node was last heard of; now, if it is new.
    pub fn last(&mut self, node: &str, now: Timestamp) -> Timestamp {
        *self.nodes.entry(node.to_owned()).or_default().heard.get_or_insert(now)
    }

    /// The node is gone.
    pub fn forget(&mut self, node: &str) {
        self.nodes.remove(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_signs_of_life() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let (start, later) = (at("2026-01-01T00:00:00Z"), at("2026-01-01T00:00:30Z"));
        let mut pulse = Pulse::default();
        pulse.lease("n", Some(at("2020-01-01T00:00:00Z")), start);
        pulse.lease("n", Some(at("2020-01-01T00:00:00Z")), later);
        assert_eq!(pulse.last("n", later), start);
        pulse.lease("n", Some(at("2020-01-01T00:00:10Z")), later);
        assert_eq!(pulse.last("n", later), later);
        pulse.forget("n");
        assert_eq!(pulse.last("n", start), start);
    }
}
