//! Ending containers: hook, signal, grace period, kill; the main ones first, sidecars after them.

use std::time::Duration;

use futures::future::join_all;

use super::lifecycle;
use super::spec::{Kind, Spec, is_sidecar};
use super::view::{Seen, View};
use crate::events::Level;
use crate::shared::Shared;

/// Even who is in a hurry gets so long after the signal.
pub const GRACE_MIN_S: i64 = 2;

/// Ends one container.
pub async fn container(shared: &Shared, spec: &Spec, seen: &Seen, message: &str, grace_s: i64, host: &str) {
    let runtime = &*shared.config.runtime;
    let name = seen.name();
    let found = spec.find(name);
    let field = field(found.map_or(Kind::Main, |(kind, _)| kind), name);
    shared.events.pod(&spec.pod, Some(field.clone()), Level::Normal, "Killing", message);
    let begun = tokio::time::Instant::now();
    let hook =
        found.and_then(|(_, container)| Some((container, container.lifecycle.as_ref()?.pre_stop.as_ref()?)));
    if let Some((definition, hook)) = hook.filter(|_| grace_s > 0) {
        let limit = Duration::from_secs(grace_s.unsigned_abs());
        let run = lifecycle::run(runtime, definition, hook, &seen.status.id, host);
        let failed = match tokio::time::timeout(limit, run).await {
            Ok(result) => result.err(),
            Err(_) => Some(format!("the hook did not end within the grace period of {grace_s} seconds")),
        };
        if let Some(error) = failed {
            let message = format!("PreStopHook failed: {error}");
            shared.events.pod(&spec.pod, Some(field), Level::Warning, "FailedPreStopHook", message);
        }
    }
    let spent = i64::try_from(begun.elapsed().as_secs()).unwrap_or(i64::MAX);
    let left = (grace_s - spent).max(GRACE_MIN_S);
    if let Err(error) = runtime.stop_container(&seen.status.id, left).await {
        tracing::warn!(pod = spec.full_name(), container = name, %error, "failed to stop a container");
    }
}

/// Ends all containers of a pod: the main ones at once, then the sidecars, the last started first.
pub async fn all(shared: &Shared, spec: &Spec, view: &View, grace_s: i64, host: &str) {
    let stop = |seen| async move {
        let message = format!("Stopping container {}", Seen::name(seen));
        container(shared, spec, seen, &message, grace_s, host).await;
    };
    let sidecar = |seen: &&Seen| matches!(spec.find(seen.name()), Some((Kind::Init, container)) if is_sidecar(container));
    join_all(view.running().filter(|seen| !sidecar(seen)).map(stop)).await;
    let mut sidecars: Vec<&Seen> = view.running().filter(sidecar).collect();
    sidecars.sort_by_key(|seen| {
        std::cmp::Reverse(spec.init.iter().position(|container| container.name == seen.name()))
    });
    for seen in sidecars {
        stop(seen).await;
    }
}

/// The field path events name a container by.
pub fn field(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Init => format!("spec.initContainers{{{name}}}"),
        Kind::Main => format!("spec.containers{{{name}}}"),
        Kind::Ephemeral => format!("spec.ephemeralContainers{{{name}}}"),
    }
}
