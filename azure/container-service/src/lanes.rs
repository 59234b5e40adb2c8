//! One lane per cluster: its sagas run one after another; a deletion cuts all that are there short, an abort one of them.

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
    /// Sagas that run or wait, by operation.
    runs: Mutex<HashMap<String, watch::Sender<u64>>>,
}

impl Lane {
    /// Changes when a deletion cuts in after this call.
    pub fn preempted(&self) -> watch::Receiver<u64> {
        self.preempt.subscribe()
    }

    /// Cuts running and waiting sagas short.
    pub fn preempt(&self) {
        self.preempt.send_modify(|count| *count += 1);
        for run in self.runs.lock().values() {
            run.send_modify(|count| *count += 1);
        }
    }

    /// From now on an operation's saga is here; what it gets changes when it is cut short.
    pub fn enter(&self, operation: &str) -> watch::Receiver<u64> {
        let mut runs = self.runs.lock();
        runs.entry(operation.to_owned()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// An operation's saga is over.
    pub fn leave(&self, operation: &str) {
        self.runs.lock().remove(operation);
    }

    /// Cuts one saga short.
    pub fn abort(&self, operation: &str) {
        if let Some(run) = self.runs.lock().get(operation) {
            run.send_modify(|count| *count += 1);
        }
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
        let lane = Arc::new(Lane {
            turn: tokio::sync::Mutex::new(()),
            preempt: watch::Sender::new(0),
            runs: Mutex::default(),
        });
        lanes.insert(cluster.key().to_owned(), Arc::downgrade(&lane));
        lane
    }
}
