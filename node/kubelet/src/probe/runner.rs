//! Keeps a task per probe while its container runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, Probe};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::check::{Outcome, check};
use super::{Verdicts, Which};
use crate::events::{Level, Recorder};
use crate::pod::spec::{Kind, Spec};
use crate::pod::view::View;
use crate::runtime::Runtime;

/// The probes of one pod.
pub struct Prober {
    runtime: Arc<dyn Runtime>,
    events: Recorder,
    clock: Arc<dyn kit::Clock>,
    wake: Arc<Notify>,
    verdicts: Arc<Mutex<Verdicts>>,
    running: HashMap<(String, Which), AbortHandle>,
}

impl Prober {
    /// Probes nothing yet; `wake` is notified of every new verdict.
    pub fn new(
        runtime: Arc<dyn Runtime>,
        events: Recorder,
        clock: Arc<dyn kit::Clock>,
        wake: Arc<Notify>,
    ) -> Self {
        Self { runtime, events, clock, wake, verdicts: Arc::default(), running: HashMap::new() }
    }

    /// What is known now.
    pub fn verdicts(&self) -> Verdicts {
        self.verdicts.lock().clone()
    }

    /// Starts probes of containers that run and ends those of containers that do not.
    pub fn sync(&mut self, spec: &Spec, view: &View, host: &str) {
        let alive = |id: &str| view.running().any(|seen| seen.status.id == id);
        self.running.retain(|(id, _), task| {
            let kept = alive(id);
            if !kept {
                task.abort();
            }
            kept
        });
        self.verdicts.lock().keep(alive);
        for (kind, container) in spec.all().filter(|(kind, _)| *kind != Kind::Ephemeral) {
            let Some(seen) = view.latest(&container.name).filter(|seen| seen.running()) else { continue };
            let id = seen.status.id.clone();
            let started_ns = seen.status.started_at;
            for (which, probe) in [
                (Which::Startup, &container.startup_probe),
                (Which::Readiness, &container.readiness_probe),
                (Which::Liveness, &container.liveness_probe),
            ] {
                let Some(probe) = probe else { continue };
                if self.running.contains_key(&(id.clone(), which)) {
                    continue;
                }
                self.adopt(spec, &container.name, &id, which);
                let task = self.task(spec, kind, container, probe, which, &id, host, started_ns);
                self.running.insert((id.clone(), which), task);
            }
        }
    }

    /// What the API says of this very container still holds after a restart of the kubelet.
    fn adopt(&self, spec: &Spec, name: &str, id: &str, which: Which) {
        let Some(status) = &spec.pod.status else { return };
        let lists = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
        let told = lists.filter(|one| one.name == name).find(|one| {
            one.container_id
                .as_deref()
                .and_then(|text| text.split_once("://"))
                .is_some_and(|(_, own)| own == id)
        });
        let good = match (told, which) {
            (Some(told), Which::Readiness) => told.ready,
            (Some(told), Which::Startup) => told.started == Some(true),
            _ => false,
        };
        if good || self.runtime.is_simulated() {
            self.verdicts.lock().set(id, which, true);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the facts of one probe, used once")]
    fn task(
        &self,
        spec: &Spec,
        kind: Kind,
        container: &Container,
        probe: &Probe,
        which: Which,
        id: &str,
        host: &str,
        started_ns: i64,
    ) -> AbortHandle {
        if self.runtime.is_simulated() {
            return tokio::spawn(std::future::ready(())).abort_handle();
        }
        let field = match kind {
            Kind::Init => format!("spec.initContainers{{{}}}", container.name),
            _ => format!("spec.containers{{{}}}", container.name),
        };
        let run = Run {
            runtime: self.runtime.clone(),
            events: self.events.clone(),
            wake: self.wake.clone(),
            verdicts: self.verdicts.clone(),
            pod: spec.pod.clone(),
            container: container.clone(),
            field,
            probe: probe.clone(),
            which,
            id: id.to_owned(),
            host: host.to_owned(),
        };
        let age = Timestamp::from_nanosecond(i128::from(started_ns))
            .map(|started| self.clock.now().duration_since(started))
            .ok()
            .and_then(|age| Duration::try_from(age).ok())
            .unwrap_or_default();
        tokio::spawn(run.run(age)).abort_handle()
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.running.values().for_each(AbortHandle::abort);
    }
}

struct Run {
    runtime: Arc<dyn Runtime>,
    events: Recorder,
    wake: Arc<Notify>,
    verdicts: Arc<Mutex<Verdicts>>,
    pod: Arc<Pod>,
    container: Container,
    field: String,
    probe: Probe,
    which: Which,
    id: String,
    host: String,
}

impl Run {
    async fn run(self, age: Duration) {
        let seconds = |value: Option<i32>, default: i32| {
            Duration::from_secs(u64::from(value.unwrap_or(default).max(0).unsigned_abs()))
        };
        let period = seconds(self.probe.period_seconds, 10).max(Duration::from_secs(1));
        tokio::time::sleep(seconds(self.probe.initial_delay_seconds, 0).saturating_sub(age)).await;
        let (mut last, mut streak) = (None, 0);
        loop {
            let started = self.verdicts.lock().started(&self.id, &self.container);
            if self.which == Which::Startup && started {
                return;
            }
            if self.which != Which::Startup && !started {
                // Looked at often, because the first try after the start is what a rollout waits for.
                tokio::time::sleep(Duration::from_millis(250)).await;
                continue;
            }
            match check(&*self.runtime, &self.container, &self.probe, &self.id, &self.host).await {
                Outcome::Passed => self.count(true, &mut last, &mut streak),
                Outcome::Failed(text) => {
                    let message = format!("{} probe failed: {text}", self.which.name());
                    self.events.pod(
                        &self.pod,
                        Some(self.field.clone()),
                        Level::Warning,
                        "Unhealthy",
                        message,
                    );
                    self.count(false, &mut last, &mut streak);
                }
                Outcome::Errored(text) => {
                    let message =
                        format!("{} probe errored and resulted in unknown state: {text}", self.which.name());
                    self.events.pod(
                        &self.pod,
                        Some(self.field.clone()),
                        Level::Warning,
                        "Unhealthy",
                        message,
                    );
                }
            }
            tokio::time::sleep(period).await;
        }
    }

    fn count(&self, good: bool, last: &mut Option<bool>, streak: &mut i32) {
        *streak = if *last == Some(good) { *streak + 1 } else { 1 };
        *last = Some(good);
        let threshold = match good {
            true => self.probe.success_threshold.unwrap_or(1),
            false => self.probe.failure_threshold.unwrap_or(3),
        };
        if *streak >= threshold && self.verdicts.lock().set(&self.id, self.which, good) {
            self.wake.notify_one();
        }
    }
}
