//! Planes that are to run and did not start are tried again, each after a pause that doubles.
//!
//! Guarantees: only what [`keys::stored_spec`] says is to run is started, read in the cluster's turn: a cluster that was
//! stopped or deleted since stays so. Does not: look after planes that run.

use std::sync::Arc;
use std::time::Duration;

use container_service::ControlPlaneError;
use reconcile::queue::Backoff;
use reconcile::{KeyedQueue, Next};

use super::{Hosting, key, keys};

/// By lower-case ARM id.
pub(super) type Queue = KeyedQueue<String>;

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), last: Duration::from_secs(60) };
/// So many are tried at once.
const WORKERS: usize = 2;

/// The queue, empty.
pub(super) fn queue() -> Queue {
    Queue::new(BACKOFF)
}

/// Starts to try what is added, as long as the host is there and its tasks run.
pub(super) fn start(hosting: &Arc<Hosting>) {
    let host = Arc::downgrade(hosting);
    hosting.down.drive("control planes that are down", WORKERS, &hosting.tasks, move |cluster| {
        let host = host.upgrade();
        async move {
            match host {
                Some(host) => host.revive(&cluster).await,
                None => Next::Rest,
            }
        }
    });
}

impl Hosting {
    /// Notes a plane that may be down now for later; hands on what became of it.
    pub(super) fn revive_later<T>(
        &self,
        cluster: &str,
        outcome: Result<T, ControlPlaneError>,
    ) -> Result<T, ControlPlaneError> {
        if outcome.is_err() && self.plane(cluster).is_none() {
            self.down.add_after(key(cluster), BACKOFF.first);
        }
        outcome
    }

    /// Starts the plane that is to run and does not; says when to look again.
    pub(crate) async fn revive(&self, cluster: &str) -> Next {
        let turn = self.turn(cluster);
        let _turn = turn.lock().await;
        if self.plane(cluster).is_some() {
            return Next::Rest;
        }
        let Some(spec) = keys::stored_spec(&self.dir(cluster)) else { return Next::Rest };
        match self.ensure_in_turn(spec).await {
            Ok(_) => {
                tracing::info!(cluster, "a control plane that was down runs again");
                Next::Rest
            }
            Err(error) => {
                tracing::warn!(cluster, error = %kit::Chain(&error), "a control plane is still down");
                Next::Retry
            }
        }
    }
}
