//! Spawn and drain: every task has a name, an owner and an end.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// A group of tasks that is stopped together. Cheap to clone; clones are the same group.
///
/// A task is told to stop through [`Tasks::stopped`] and is expected to end soon after.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// A new, empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// A group that stops when this one does, and can also be stopped by itself. [`drain`](Self::drain)
    /// of the parent tells the child to stop but waits only for the parent's own tasks.
    pub fn child(&self) -> Self {
        Self { tracker: TaskTracker::new(), stop: self.stop.child_token() }
    }

    /// Starts a task. When the group is told to stop, the future is dropped at its next await.
    pub fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        let span = tracing::debug_span!("task", name);
        self.tracker.spawn(
            async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = future => {}
                }
            }
            .instrument(span),
        );
    }

    /// Starts a task that is not dropped on stop: it must watch [`stopped`](Self::stopped) itself and
    /// finish what must not be left half done.
    pub fn spawn_careful<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(future.instrument(tracing::debug_span!("task", name)));
    }

    /// Ends when the group is told to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the group was told to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells every task to stop, without waiting.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Tells every task to stop and waits for them, at most `limit`. Returns whether all have ended.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(limit, self.tracker.wait()).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn drain_ends_what_waits_forever() {
        let tasks = Tasks::new();
        tasks.spawn("forever", std::future::pending());
        assert!(tasks.drain(Duration::from_secs(1)).await);
    }

    #[tokio::test]
    async fn a_child_stops_alone_or_with_its_parent() {
        let parent = Tasks::new();
        let child = parent.child();
        child.stop();
        assert!(!parent.is_stopped());
        let child = parent.child();
        parent.stop();
        assert!(child.is_stopped());
    }
}
