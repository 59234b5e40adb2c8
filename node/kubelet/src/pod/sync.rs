//! What a worker does for a pod that is to run.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::create::Starting;
use super::plan::{Plan, plan};
use super::spec::{Kind, Spec, hash};
use super::worker::{Next, RETRY, Worker};
use super::{cgroup, hosts, kill, sandbox};
use crate::events::Level;
use crate::image::Waits;
use crate::status::Ended;
use crate::volume::Ready;

/// A container that could not be started is tried again after this time, unless something changes before.
const START_RETRY: Duration = Duration::from_secs(10);
/// After a failed pull the next look shows that the kubelet waits.
const SHOW_BACKOFF: Duration = Duration::from_secs(2);
/// Volumes and sandboxes that fail are tried again after so long, twice as long each time.
const FAILURE_FIRST: Duration = Duration::from_millis(500);
const FAILURE_MAX: Duration = Duration::from_secs(122);
/// A node that has just started is not complained about for so long; later complaints have this interval.
const NOT_READY_SILENCE: Duration = Duration::from_secs(5);
/// Pods wait for the list of Services at most so long.
const SERVICES_LIMIT: Duration = Duration::from_secs(10);

impl Worker {
    /// Brings a pod nearer to what it should be.
    pub(super) async fn sync(&mut self, spec: &Spec) -> Next {
        let host = self.host();
        let deadline = self.deadline(spec);
        if deadline.is_some_and(|left| left <= SignedDuration::ZERO) && !self.over {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            self.shared.events.pod(&spec.pod, None, Level::Normal, "DeadlineExceeded", message.clone());
            self.ended = Some(Ended { reason: "DeadlineExceeded", message });
            self.over = true;
        }
        if self.over {
            return self.finish(spec, &host).await;
        }
        self.refer(spec);
        self.prober.sync(spec, &self.view, &host);
        let verdicts = self.prober.verdicts();
        let mut plan = plan(spec, &self.view, &verdicts);
        if plan.stop_all && plan.sandbox.is_none() {
            self.over = true;
            return self.finish(spec, &host).await;
        }
        let wait = self.hold_back(spec, &mut plan);
        self.forget_waits(spec);
        self.tell(spec);
        let next = self.act(spec, plan, &host, wait).await;
        match (next, deadline.and_then(|left| Duration::try_from(left).ok())) {
            (Next::After(wait), Some(left)) => Next::After(Some(wait.map_or(left, |wait| wait.min(left)))),
            (next, _) => next,
        }
    }

    /// Ends what still runs of a pod that is over, and keeps its containers for their logs.
    async fn finish(&mut self, spec: &Spec, host: &str) -> Next {
        if self.view.running().next().is_some() {
            kill::all(&self.shared, spec, &self.view, spec.grace_s(), host).await;
            return Next::Again;
        }
        if !self.cleaned {
            if let Err(error) = self.stop_sandboxes().await {
                tracing::warn!(pod = spec.full_name(), %error, "cannot stop a sandbox");
                return Next::After(Some(RETRY));
            }
            if let Err(message) = self.clean(spec).await {
                tracing::warn!(pod = spec.full_name(), message, "cannot clean up after a pod");
                return Next::After(Some(RETRY));
            }
        }
        self.waits.clear();
        self.tell(spec);
        Next::After(None)
    }

    /// Lets the worker be woken by changes of the objects the pod refers to.
    fn refer(&self, spec: &Spec) {
        let (maps, secrets) = references(spec);
        let (uid, namespace) = (spec.uid(), spec.namespace());
        self.shared.objects.config_maps.refer(uid, namespace, &maps, &self.wake);
        self.shared.objects.secrets.refer(uid, namespace, &secrets, &self.wake);
    }

    /// Takes containers out of the plan whose back-off is not over; answers when the first one's is.
    fn hold_back(&mut self, spec: &Spec, plan: &mut Plan) -> Option<Duration> {
        let now = self.shared.config.clock.now();
        let mut soonest: Option<SignedDuration> = None;
        let mut kept = Vec::new();
        for (kind, index) in std::mem::take(&mut plan.start) {
            let Some(container) = spec.list(kind).get(index) else { continue };
            // One that is about to be killed is held back because of the end before this one.
            let ended = self.view.latest_end(&container.name);
            let failed =
                ended.and_then(|seen| Timestamp::from_nanosecond(i128::from(seen.status.finished_at)).ok());
            let key = format!("{}_{}", container.name, hash(container));
            let held = failed.and_then(|failed| self.crashes.remaining(&key, failed, now));
            let Some((left, wait)) = held else {
                kept.push((kind, index));
                continue;
            };
            soonest = Some(soonest.map_or(left, |other| other.min(left)));
            let message = format!(
                "back-off {} restarting failed container={} pod={}",
                go_duration(wait),
                container.name,
                spec.full_name()
            );
            let waits = Waits::new("CrashLoopBackOff", message);
            if self.waits.insert(container.name.clone(), waits.clone()) != Some(waits) {
                let message = format!(
                    "Back-off restarting failed container {} in pod {}",
                    container.name,
                    spec.full_name()
                );
                let field = kill::field(kind, &container.name);
                self.shared.events.pod(&spec.pod, Some(field), Level::Warning, "BackOff", message);
            }
        }
        plan.start = kept;
        soonest.map(|left| Duration::try_from(left).unwrap_or_default() + Duration::from_millis(50))
    }

    fn forget_waits(&mut self, spec: &Spec) {
        let view = &self.view;
        self.waits.retain(|name, _| {
            spec.find(name).is_some() && !view.latest(name).is_some_and(super::view::Seen::running)
        });
    }

    async fn act(&mut self, spec: &Spec, plan: Plan, host: &str, mut wait: Option<Duration>) -> Next {
        let shared = self.shared.clone();
        for kill in &plan.kill {
            if let Some(seen) = self.view.containers.iter().find(|seen| seen.status.id == kill.id) {
                let grace_s = kill.grace_s.unwrap_or_else(|| spec.grace_s());
                kill::container(&shared, spec, seen, &kill.message, grace_s, host).await;
            }
        }
        if plan.stop_all {
            kill::all(&shared, spec, &self.view, spec.grace_s(), host).await;
            if let Err(error) = self.stop_sandboxes().await {
                tracing::warn!(pod = spec.full_name(), %error, "cannot stop a dead sandbox");
                return Next::After(Some(RETRY));
            }
        }
        let idle = plan.start.is_empty() && plan.sandbox.is_none();
        if !idle && let Some(wait) = self.not_yet(spec).await {
            return Next::After(Some(wait));
        }
        // Also without anything to start: this is how changed config maps and new tokens arrive.
        let ready = match shared.volumes.set_up(spec, &shared.facts(&self.addresses)).await {
            Ok(ready) => ready,
            Err(error) => {
                shared.events.pod(&spec.pod, None, Level::Warning, "FailedMount", error.to_string());
                return Next::After(Some(self.failed()));
            }
        };
        if let Some(refresh) = ready.refresh_in {
            wait = Some(wait.map_or(refresh, |wait| wait.min(refresh)));
        }
        if idle {
            return if plan.kill.is_empty() { Next::After(wait) } else { Next::Again };
        }
        match self.bring_up(spec, &plan, &ready).await {
            Ok(None) => {
                self.failures = 0;
                Next::Again
            }
            Ok(Some(retry)) => Next::After(Some(wait.map_or(retry, |wait| wait.min(retry)))),
            Err(message) => {
                let message = format!("Failed to create pod sandbox: {message}");
                shared.events.pod(&spec.pod, None, Level::Warning, "FailedCreatePodSandBox", message);
                Next::After(Some(self.failed()))
            }
        }
    }

    /// Notes a failure; answers how long to wait after it: half a second, doubled up to two minutes.
    fn failed(&mut self) -> Duration {
        let wait = FAILURE_FIRST * (1 << self.failures.min(8));
        self.failures += 1;
        wait.min(FAILURE_MAX)
    }

    /// Why nothing can be started yet, as a time to wait.
    async fn not_yet(&self, spec: &Spec) -> Option<Duration> {
        let mut readiness = self.shared.readiness.subscribe();
        let why = |readiness: &crate::runtime::Readiness| match spec.host_network() {
            true => readiness.runtime.clone(),
            false => readiness.runtime.clone().or_else(|| readiness.network.clone()),
        };
        let fine = readiness.wait_for(|readiness| why(readiness).is_none());
        if tokio::time::timeout(NOT_READY_SILENCE, fine).await.is_err() {
            let now = why(&readiness.borrow()).unwrap_or_default();
            let message = format!("network is not ready: container runtime network not ready: {now}");
            self.shared.events.pod(&spec.pod, None, Level::Warning, "NetworkNotReady", message);
            return Some(Duration::ZERO);
        }
        let listed = self.shared.services.wait_until_ready();
        if tokio::time::timeout(SERVICES_LIMIT, listed).await.is_err() {
            tracing::warn!(pod = spec.full_name(), "services have not been listed yet");
            return Some(RETRY);
        }
        None
    }

    async fn bring_up(
        &mut self,
        spec: &Spec,
        plan: &Plan,
        ready: &Ready,
    ) -> Result<Option<Duration>, String> {
        let shared = self.shared.clone();
        let config = &shared.config;
        let runtime = &*config.runtime;
        if let Some(root) = &config.cgroup_root {
            cgroup::prepare(root, &spec.pod);
        }
        let attempt = plan.sandbox.or_else(|| Some(self.view.ready_sandbox()?.metadata.as_ref()?.attempt));
        let resolv_conf = tokio::fs::read_to_string("/etc/resolv.conf").await.unwrap_or_default();
        let site = sandbox::Site {
            cluster_dns: &config.cluster_dns,
            cluster_domain: &config.cluster_domain,
            resolv_conf: &resolv_conf,
            pod_log_dir: &config.pod_log_dir,
            now: config.clock.now().to_string(),
        };
        let sandbox_config = sandbox::config(spec, attempt.unwrap_or(0), &site);
        if plan.sandbox.is_some() {
            self.make_sandbox(spec, &sandbox_config).await?;
        }
        let Some(sandbox) = self.view.ready_sandbox().map(|sandbox| sandbox.id.clone()) else {
            return Err("the sandbox is not ready".into());
        };
        if !runtime.is_simulated() {
            self.write_hosts(spec).await?;
        }
        let mut retry: Option<Duration> = None;
        for (kind, index) in &plan.start {
            let Some(container) = spec.list(*kind).get(*index) else { continue };
            self.note_restart(container);
            let starting = Starting {
                shared: &shared,
                spec,
                view: &self.view,
                sandbox: &sandbox,
                sandbox_config: &sandbox_config,
                volumes: &ready.paths,
                addresses: &self.addresses,
            };
            match starting.start(*kind, container).await {
                Ok(()) => {
                    self.waits.remove(&container.name);
                    self.remove_old(&container.name).await;
                }
                Err(waits) => {
                    let again = self.retry_after(spec, container.image.as_deref(), &waits);
                    retry = Some(retry.map_or(again, |other| other.min(again)));
                    self.waits.insert(container.name.clone(), waits);
                    if *kind == Kind::Init {
                        break;
                    }
                }
            }
        }
        if retry.is_some() {
            self.tell(spec);
        }
        Ok(retry)
    }

    fn retry_after(&self, spec: &Spec, image: Option<&str>, waits: &Waits) -> Duration {
        let remaining = self.shared.images.remaining(spec.uid(), image.unwrap_or_default());
        match waits.reason {
            "ErrImagePull" => SHOW_BACKOFF,
            "ImagePullBackOff" => remaining
                .and_then(|left| Duration::try_from(left).ok())
                .map_or(START_RETRY, |left| left + Duration::from_millis(50)),
            _ => START_RETRY,
        }
    }

    fn note_restart(&mut self, container: &k8s_openapi::api::core::v1::Container) {
        let Some(seen) = self.view.latest_end(&container.name) else { return };
        if let Ok(failed) = Timestamp::from_nanosecond(i128::from(seen.status.finished_at)) {
            let key = format!("{}_{}", container.name, hash(container));
            self.crashes.next(&key, failed, self.shared.config.clock.now());
        }
    }

    async fn make_sandbox(
        &mut self,
        spec: &Spec,
        config: &crate::runtime::PodSandboxConfig,
    ) -> Result<(), String> {
        let runtime = &*self.shared.config.runtime;
        if let Some(class) = spec.spec().and_then(|pod| pod.runtime_class_name.as_ref()) {
            return Err(format!("runtimeClassName {class:?} is not built yet: containers run with runc"));
        }
        if !runtime.is_simulated() {
            tokio::fs::create_dir_all(&config.log_directory).await.map_err(|error| error.to_string())?;
        }
        let id = runtime.run_sandbox(config.clone(), "").await.map_err(|error| error.to_string())?;
        let old: Vec<String> = self.view.sandboxes.iter().skip(1).map(|sandbox| sandbox.id.clone()).collect();
        for id in old {
            if let Err(error) = runtime.remove_sandbox(&id).await {
                tracing::debug!(%error, "cannot remove an old sandbox");
            }
        }
        let status = runtime.sandbox_status(&id).await.map_err(|error| error.to_string())?;
        self.shared.owners.lock().insert(id, spec.uid().to_owned());
        self.view.sandboxes.insert(0, status);
        self.addresses = match spec.host_network() {
            true => vec![self.shared.host_ip()],
            false => self.view.addresses(),
        };
        self.tell(spec);
        Ok(())
    }

    async fn write_hosts(&self, spec: &Spec) -> Result<(), String> {
        let directory = self.shared.volumes.pod_directory(spec.uid());
        let path = directory.join("etc-hosts");
        let node = tokio::fs::read_to_string("/etc/hosts").await.unwrap_or_default();
        let content = hosts::content(spec, &self.addresses, &node, &self.shared.config.cluster_domain);
        if tokio::fs::read_to_string(&path).await.is_ok_and(|old| old == content) {
            return Ok(());
        }
        let written = async {
            tokio::fs::create_dir_all(&directory).await?;
            // Written in place: the file may be mounted already.
            tokio::fs::write(&path, content).await?;
            let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            tokio::fs::set_permissions(&path, readable).await
        };
        written.await.map_err(|error| format!("failed to write {}: {error}", path.display()))
    }

    /// Keeps the newest dead container of a name (for `logs --previous`) and removes those before it.
    async fn remove_old(&self, name: &str) {
        let dead = self.view.containers.iter().filter(|seen| seen.name() == name && !seen.running()).skip(1);
        for seen in dead {
            if let Err(error) = self.shared.config.runtime.remove_container(&seen.status.id).await {
                tracing::debug!(%error, "cannot remove an old container");
            }
        }
    }
}

/// The names of config maps and secrets anything in the pod refers to.
fn references(spec: &Spec) -> (Vec<String>, Vec<String>) {
    let (mut maps, mut secrets) = (Vec::new(), Vec::new());
    for (_, container) in spec.all() {
        let (more_maps, more_secrets) = super::env::references(container);
        maps.extend(more_maps);
        secrets.extend(more_secrets);
    }
    let pod = spec.spec();
    for volume in pod.and_then(|pod| pod.volumes.as_ref()).into_iter().flatten() {
        maps.extend(volume.config_map.as_ref().map(|source| source.name.clone()));
        secrets.extend(volume.secret.as_ref().and_then(|source| source.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            maps.extend(source.config_map.as_ref().map(|source| source.name.clone()));
            secrets.extend(source.secret.as_ref().map(|source| source.name.clone()));
        }
    }
    let pulls = pod.and_then(|pod| pod.image_pull_secrets.as_ref()).into_iter().flatten();
    secrets.extend(pulls.map(|reference| reference.name.clone()));
    for list in [&mut maps, &mut secrets] {
        list.sort();
        list.dedup();
    }
    (maps, secrets)
}

/// `1m20s`, as Go prints durations of whole seconds.
fn go_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}
