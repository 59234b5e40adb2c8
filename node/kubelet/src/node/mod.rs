//! The Node object: registered, kept alive, kept true; each by a task of its own.

pub mod capacity;
mod lease;
mod register;
mod status;

use std::sync::Arc;
use std::time::Duration;

use crate::runtime::Readiness;
use crate::shared::Shared;

/// How often the runtime is asked while it is not ready: containerd tells nobody when its network plugin is.
const NOT_READY_INTERVAL: Duration = Duration::from_millis(250);
const FIRST_ANSWER: Duration = Duration::from_secs(1);
const READY_INTERVAL: Duration = Duration::from_secs(5);

/// Starts the node's tasks.
pub fn start(shared: &Arc<Shared>) {
    let asked = shared.clone();
    shared.tasks.spawn("runtime readiness", async move { ask(asked).await });
    let leased = shared.clone();
    shared.tasks.spawn("node lease", async move { lease::keep(leased).await });
    let told = shared.clone();
    let mut asked = shared.readiness.subscribe();
    shared.tasks.spawn("node status", async move {
        // A node whose runtime is ready should not begin its life as one that is not.
        let _ = tokio::time::timeout(FIRST_ANSWER, asked.changed()).await;
        register::register(&told).await;
        status::keep(told).await;
    });
}

async fn ask(shared: Arc<Shared>) {
    loop {
        let seen = match shared.config.runtime.readiness().await {
            Ok(readiness) => readiness,
            Err(error) => {
                Readiness { runtime: Some(format!("container runtime is down: {error}")), network: None }
            }
        };
        let ready = seen == Readiness::default();
        shared.readiness.send_if_modified(|known| {
            let news = *known != seen;
            *known = seen;
            news
        });
        tokio::time::sleep(if ready { READY_INTERVAL } else { NOT_READY_INTERVAL }).await;
    }
}
