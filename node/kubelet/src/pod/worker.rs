//! One pod's worker: looks, plans, acts, tells; then waits for a change, an end, or a time.
//!
//! It alone touches its pod. Whatever it does for a running pod is dropped at once when the pod is to go;
//! what was half done is seen at the next look, because nothing is remembered that the runtime knows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, watch};

use super::backoff::Backoff;
use super::spec::Spec;
use super::view::View;
use super::{cgroup, kill, sandbox};
use crate::events::Level;
use crate::image::Waits;
use crate::labels;
use crate::probe::Prober;
use crate::runtime::RuntimeError;
use crate::shared::{Desired, Shared};
use crate::status::writer::Writer;
use crate::status::{self, Ended};

/// A look without a reason, in case something was missed.
const RESYNC: Duration = Duration::from_secs(60);
/// The same while the runtime does not tell of ends.
const RESYNC_UNTOLD: Duration = Duration::from_secs(1);
/// After a failure of the runtime or the disk.
pub(super) const RETRY: Duration = Duration::from_secs(2);

/// When to look again.
pub(super) enum Next {
    /// At once: something was done.
    Again,
    /// After this time, or when woken; `None`: no reason of its own.
    After(Option<Duration>),
    /// Never: the pod is gone.
    End,
}

/// The worker's memory.
pub(super) struct Worker {
    pub shared: Arc<Shared>,
    pub desired: watch::Receiver<Desired>,
    pub wake: Arc<Notify>,
    pub writer: Writer,
    pub prober: Prober,
    pub view: View,
    pub waits: HashMap<String, Waits>,
    pub crashes: Backoff,
    pub messages: HashMap<String, String>,
    pub addresses: Vec<String>,
    pub first_seen: Timestamp,
    /// Failures in a row of what comes before any container: volumes, sandbox.
    pub failures: u32,
    pub ended: Option<Ended>,
    pub over: bool,
    pub cleaned: bool,
}

impl Worker {
    /// A worker that has done nothing yet.
    pub fn new(shared: Arc<Shared>, desired: watch::Receiver<Desired>, wake: Arc<Notify>) -> Self {
        let pod = desired.borrow().pod.clone();
        let config = &shared.config;
        let prober =
            Prober::new(config.runtime.clone(), shared.events.clone(), config.clock.clone(), wake.clone());
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
        let old = pod.status.as_ref().and_then(|status| status.pod_ips.clone()).unwrap_or_default();
        Self {
            writer: Writer::start(config.client.clone(), &pod, &shared.tasks),
            prober,
            view: View::default(),
            waits: HashMap::new(),
            crashes: Backoff::default(),
            messages: HashMap::new(),
            addresses: old.into_iter().map(|ip| ip.ip).collect(),
            first_seen: config.clock.now(),
            failures: 0,
            ended: None,
            over: matches!(phase.as_deref(), Some("Succeeded" | "Failed")),
            cleaned: false,
            shared,
            desired,
            wake,
        }
    }

    /// Works until the pod is gone.
    pub async fn run(mut self) {
        loop {
            let desired = self.desired.borrow_and_update().clone();
            let spec = Spec::new(desired.pod.clone());
            let next = match self.look(&spec).await {
                Ok(()) if desired.gone || spec.deleting() => self.terminate(&spec, desired.gone).await,
                Ok(()) => {
                    let mut changes = self.desired.clone();
                    tokio::select! {
                        biased;
                        next = self.sync(&spec) => next,
                        () = must_go(&mut changes) => Next::Again,
                    }
                }
                Err(error) => {
                    tracing::warn!(pod = spec.full_name(), %error, "cannot look at a pod");
                    Next::After(Some(RETRY))
                }
            };
            match next {
                Next::Again => {}
                Next::End => return,
                Next::After(wait) => self.pause(wait).await,
            }
        }
    }

    async fn pause(&mut self, wait: Option<Duration>) {
        let told = self.shared.told.load(std::sync::atomic::Ordering::Relaxed);
        let resync = if told || self.over { RESYNC } else { RESYNC_UNTOLD };
        let wait = wait.map_or(resync, |wait| wait.min(resync));
        tokio::select! {
            changed = self.desired.changed() => if changed.is_err() { std::future::pending::<()>().await },
            () = self.wake.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    /// Reads what the runtime has and what follows directly from it.
    async fn look(&mut self, spec: &Spec) -> Result<(), RuntimeError> {
        let view = View::read(&*self.shared.config.runtime, spec.uid(), &self.view).await?;
        let mut owners = self.shared.owners.lock();
        owners.retain(|_, uid| uid != spec.uid());
        for sandbox in &view.sandboxes {
            owners.insert(sandbox.id.clone(), spec.uid().to_owned());
        }
        for seen in &view.containers {
            owners.insert(seen.status.id.clone(), spec.uid().to_owned());
        }
        drop(owners);
        for seen in view.containers.iter().filter(|seen| seen.exited()) {
            if !self.messages.contains_key(&seen.status.id) {
                let log = sandbox::log_directory(spec, &self.shared.config.pod_log_dir);
                let words = last_words(seen, &log);
                self.messages.insert(seen.status.id.clone(), words);
            }
        }
        self.messages.retain(|id, _| view.containers.iter().any(|seen| seen.status.id == *id));
        let addresses = match spec.host_network() {
            true if view.ready_sandbox().is_some() => vec![self.shared.host_ip()],
            true => Vec::new(),
            false => view.addresses(),
        };
        if !addresses.is_empty() {
            self.addresses = addresses;
        }
        self.view = view;
        Ok(())
    }

    /// Tells the API what is.
    pub(super) fn tell(&self, spec: &Spec) {
        let verdicts = self.prober.verdicts();
        let status = status::compute(&status::Input {
            spec,
            view: &self.view,
            verdicts: &verdicts,
            waits: &self.waits,
            messages: &self.messages,
            addresses: &self.addresses,
            host_ip: &self.shared.host_ip(),
            first_seen: Timestamp::from_second(self.first_seen.as_second()).unwrap_or(self.first_seen),
            now: self.shared.config.clock.now(),
            ended: self.ended.as_ref(),
            over: self.over,
            runtime_name: &self.shared.runtime_name,
        });
        self.writer.set(Arc::new(status));
    }

    /// The address probes and hooks go to.
    pub(super) fn host(&self) -> String {
        self.addresses.first().cloned().unwrap_or_else(|| self.shared.host_ip())
    }

    async fn terminate(&mut self, spec: &Spec, gone: bool) -> Next {
        let host = self.host();
        let grace_s = spec.grace_s();
        if self.view.running().next().is_some() {
            if !gone {
                self.tell(spec);
            }
            let mut changes = self.desired.clone();
            let shared = self.shared.clone();
            tokio::select! {
                biased;
                () = kill::all(&shared, spec, &self.view, grace_s, &host) => {}
                () = in_more_hurry(&mut changes, grace_s, gone) => {}
            }
            return Next::Again;
        }
        if let Err(error) = self.stop_sandboxes().await {
            self.shared.events.pod(
                &spec.pod,
                None,
                Level::Warning,
                "FailedKillPod",
                format!("error killing pod: {error}"),
            );
            return Next::After(Some(RETRY));
        }
        self.over = true;
        if !gone {
            self.tell(spec);
        }
        if let Err(message) = self.clean(spec).await {
            tracing::warn!(pod = spec.full_name(), message, "cannot clean up after a pod");
            return Next::After(Some(RETRY));
        }
        for sandbox in &self.view.sandboxes {
            if let Err(error) = self.shared.config.runtime.remove_sandbox(&sandbox.id).await {
                tracing::warn!(pod = spec.full_name(), %error, "cannot remove a sandbox");
                return Next::After(Some(RETRY));
            }
        }
        let logs = sandbox::log_directory(spec, &self.shared.config.pod_log_dir);
        let _ = tokio::fs::remove_dir_all(logs).await;
        self.shared.images.forget_pod(spec.uid());
        self.shared.owners.lock().retain(|_, uid| uid != spec.uid());
        if gone {
            return Next::End;
        }
        self.writer.finish();
        // The watch tells when the object is gone; then `gone` comes and ends the worker.
        Next::After(None)
    }

    /// Stops every sandbox that may still hold something.
    pub(super) async fn stop_sandboxes(&self) -> Result<(), RuntimeError> {
        for sandbox in &self.view.sandboxes {
            self.shared.config.runtime.stop_sandbox(&sandbox.id).await?;
        }
        Ok(())
    }

    /// Takes volumes and cgroups of a pod away that runs no more.
    pub(super) async fn clean(&mut self, spec: &Spec) -> Result<(), String> {
        if !self.cleaned {
            self.shared.volumes.tear_down(spec.uid()).await?;
            if let Some(root) = &self.shared.config.cgroup_root {
                cgroup::remove(root, spec.uid());
            }
            self.cleaned = true;
        }
        Ok(())
    }

    /// Whether the pod has run longer than it may, and how long it still has.
    pub(super) fn deadline(&self, spec: &Spec) -> Option<SignedDuration> {
        let seconds = spec.spec()?.active_deadline_seconds?;
        let begun = spec.pod.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
        let age = self.shared.config.clock.now().duration_since(begun.unwrap_or(self.first_seen));
        Some(SignedDuration::from_secs(seconds) - age)
    }
}

async fn must_go(changes: &mut watch::Receiver<Desired>) {
    let goes = |desired: &Desired| desired.gone || desired.pod.metadata.deletion_timestamp.is_some();
    if changes.wait_for(goes).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn in_more_hurry(changes: &mut watch::Receiver<Desired>, grace_s: i64, gone: bool) {
    let hurries = |desired: &Desired| {
        let shorter = desired.pod.metadata.deletion_grace_period_seconds.is_some_and(|grace| grace < grace_s);
        shorter || (desired.gone && !gone)
    };
    if changes.wait_for(hurries).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// So much of a container's last words is kept.
const WORDS_MAX: usize = 4096;
const LOG_WORDS_MAX: usize = 2048;

fn last_words(seen: &super::view::Seen, logs: &std::path::Path) -> String {
    let status = &seen.status;
    let annotation = |key: &str| status.annotations.get(key).map(String::as_str).unwrap_or_default();
    let path = annotation(labels::TERMINATION_PATH);
    let mount = status.mounts.iter().find(|mount| mount.container_path == path && !path.is_empty());
    let written = mount.and_then(|mount| std::fs::read(&mount.host_path).ok()).unwrap_or_default();
    if !written.is_empty() {
        let from = written.len().saturating_sub(WORDS_MAX);
        return String::from_utf8_lossy(&written[from..]).into_owned();
    }
    if annotation(labels::TERMINATION_POLICY) != "FallbackToLogsOnError" || status.exit_code == 0 {
        return String::new();
    }
    let log = logs.join(seen.name()).join(format!("{}.log", seen.restarts()));
    let text = crate::server::logs::tail_text(&log, 80);
    let from = text.len().saturating_sub(LOG_WORDS_MAX);
    String::from_utf8_lossy(&text.as_bytes()[from..]).into_owned()
}
