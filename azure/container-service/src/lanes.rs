//! One lane per cluster: its sagas run one after another, and a deletion cuts a running one short.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use arm::ResourceId;
use parking_lot::Mutex;
use tokio::sync::watch;

/// A cluster's lane.
pub struct Lane {
    /// Held while a saga of the cluster runs.
    pub turn: tokio::sync::Mutex<()>,
    preempt: watch::Sender<u64>,
}

impl Lane {
    /// Changes when a deletion cuts in after this call.
    pub fn preempted(&self) -> watch::Receiver<u64> {
        self.preempt.subscribe()
    }

    /// Cuts running and waiting sagas short.
    pub fn preempt(&self) {
        self.preempt.send_modify(|count| *count += 1);
    }
}

/// All lanes; one that nobody uses costs nothing.
#[derive(Default)]
pub struct Lanes(Mutex<HashMap<String, Weak<Lane>>>);

impl Lanes {
    /// The lane of a cluster.
    pub fn of(&self, cluster: &ResourceId) -> Arc<Lane> {
        let mut lanes = self.0.lock();
        if let Some(lane) = lanes.get(cluster.key()).and_then(Weak::upgrade) {
            return lane;
        }
        lanes.retain(|_, lane| lane.strong_count() > 0);
        let lane = Arc::new(Lane { turn: tokio::sync::Mutex::new(()), preempt: watch::Sender::new(0) });
        lanes.insert(cluster.key().to_owned(), Arc::downgrade(&lane));
        lane
    }
}
