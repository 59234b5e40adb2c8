//! Images on the node: present, pulled, or waited for.

mod auth;

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Secret};
use parking_lot::Mutex;

use crate::config::ImageCredentials;
use crate::events::{Level, Recorder};
use crate::pod::backoff::Backoff;
use crate::pod::spec::Spec;
use crate::runtime::{AuthConfig, Image, PodSandboxConfig, Runtime, RuntimeError};

/// So many images are pulled at once.
const PULLS_MAX: usize = 5;

/// Why a container waits, as `state.waiting` says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// `ErrImagePull`, `ImagePullBackOff`, …
    pub reason: &'static str,
    /// More words.
    pub message: String,
}

impl Waits {
    /// Both parts.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Pulls that failed: how long to wait, when it was, and why.
#[derive(Default)]
struct Failures {
    backoff: Backoff,
    last: HashMap<String, (jiff::Timestamp, String)>,
}

/// Pulls images.
pub struct Puller {
    runtime: Arc<dyn Runtime>,
    events: Recorder,
    clock: Arc<dyn kit::Clock>,
    credentials: Option<Arc<dyn ImageCredentials>>,
    failures: Mutex<Failures>,
    slots: tokio::sync::Semaphore,
}

/// The image with `:latest` when it names neither tag nor digest.
pub fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains(':') || last.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}

fn policy(container: &Container, image: &str) -> &'static str {
    match container.image_pull_policy.as_deref() {
        Some("Always") => "Always",
        Some("Never") => "Never",
        Some("IfNotPresent") => "IfNotPresent",
        _ if image.ends_with(":latest") => "Always",
        _ => "IfNotPresent",
    }
}

impl Puller {
    /// A puller.
    pub fn new(
        runtime: Arc<dyn Runtime>,
        events: Recorder,
        clock: Arc<dyn kit::Clock>,
        credentials: Option<Arc<dyn ImageCredentials>>,
    ) -> Self {
        let slots = tokio::sync::Semaphore::new(PULLS_MAX);
        Self { runtime, events, clock, credentials, failures: Mutex::default(), slots }
    }

    /// Makes a container's image present.
    pub async fn ensure(
        &self,
        spec: &Spec,
        container: &Container,
        field: &str,
        sandbox: &PodSandboxConfig,
        secrets: &[Arc<Secret>],
    ) -> Result<Image, Waits> {
        let given = container.image.as_deref().unwrap_or_default();
        let image = with_tag(given);
        let inspect = |error: RuntimeError| {
            let message = format!("Failed to inspect image {image:?}: {error}");
            self.warn(spec, field, "InspectFailed", &message);
            Waits::new("ImageInspectError", message)
        };
        let present = self.runtime.image(&image).await.map_err(inspect)?;
        match (policy(container, &image), present) {
            ("Never" | "IfNotPresent", Some(found)) => {
                let message = format!(
                    "Container image {given:?} already present on machine and can be accessed by the pod"
                );
                self.events.pod(&spec.pod, Some(field.to_owned()), Level::Normal, "Pulled", message);
                Ok(found)
            }
            ("Never", None) => {
                let message = format!("Container image {given:?} is not present with pull policy of Never");
                self.warn(spec, field, "ErrImageNeverPull", &message);
                Err(Waits::new("ErrImageNeverPull", message))
            }
            _ => {
                self.pull(spec, given, &image, field, sandbox, secrets).await?;
                self.runtime.image(&image).await.map_err(inspect)?.ok_or_else(|| {
                    Waits::new("ErrImagePull", format!("image {image:?} was pulled and is not there"))
                })
            }
        }
    }

    fn warn(&self, spec: &Spec, field: &str, reason: &'static str, message: &str) {
        self.events.pod(&spec.pod, Some(field.to_owned()), Level::Warning, reason, message);
    }

    async fn pull(
        &self,
        spec: &Spec,
        given: &str,
        image: &str,
        field: &str,
        sandbox: &PodSandboxConfig,
        secrets: &[Arc<Secret>],
    ) -> Result<(), Waits> {
        let key = format!("{}_{image}", spec.uid());
        if let Some(waits) = self.waiting(&key, given) {
            self.events.pod(
                &spec.pod,
                Some(field.to_owned()),
                Level::Normal,
                "BackOff",
                format!("Back-off pulling image {given:?}"),
            );
            self.warn(spec, field, "Failed", "Error: ImagePullBackOff");
            return Err(waits);
        }
        self.events.pod(
            &spec.pod,
            Some(field.to_owned()),
            Level::Normal,
            "Pulling",
            format!("Pulling image {given:?}"),
        );
        let begun = self.clock.now();
        let slot = self.slots.acquire().await;
        let working = self.clock.now();
        let result = self.try_each_user(image, sandbox, secrets).await;
        drop(slot);
        let now = self.clock.now();
        match result {
            Ok(()) => {
                self.forget(&key);
                let size = self.runtime.image(image).await.ok().flatten().map_or(0, |found| found.size);
                let took = |from: jiff::Timestamp| format!("{:.3}s", now.duration_since(from).as_secs_f64());
                let message = format!(
                    "Successfully pulled image {given:?} in {} ({} including waiting). Image size: {size} bytes.",
                    took(working),
                    took(begun)
                );
                self.events.pod(&spec.pod, Some(field.to_owned()), Level::Normal, "Pulled", message);
                Ok(())
            }
            Err(error) => {
                let message = error.to_string();
                self.warn(spec, field, "Failed", &format!("Failed to pull image {given:?}: {error}"));
                self.warn(spec, field, "Failed", "Error: ErrImagePull");
                let mut state = self.failures.lock();
                let failed = state.last.get(&key).map_or(now, |(at, _)| *at);
                state.backoff.next(&key, failed, now);
                state.last.insert(key, (now, error.to_string()));
                Err(Waits::new("ErrImagePull", message))
            }
        }
    }

    fn waiting(&self, key: &str, given: &str) -> Option<Waits> {
        let state = self.failures.lock();
        let (failed, why) = state.last.get(key)?;
        state.backoff.remaining(key, *failed, self.clock.now())?;
        Some(Waits::new("ImagePullBackOff", format!("Back-off pulling image {given:?}: ErrImagePull: {why}")))
    }

    /// How long the pod still has to wait before it may pull the image again.
    pub fn remaining(&self, uid: &str, image: &str) -> Option<jiff::SignedDuration> {
        let key = format!("{uid}_{}", with_tag(image));
        let state = self.failures.lock();
        let (failed, _) = state.last.get(&key)?;
        state.backoff.remaining(&key, *failed, self.clock.now()).map(|(left, _)| left)
    }

    fn forget(&self, key: &str) {
        let mut state = self.failures.lock();
        state.backoff.forget(key);
        state.last.remove(key);
    }

    /// Forgets a pod's failures.
    pub fn forget_pod(&self, uid: &str) {
        let prefix = format!("{uid}_");
        let mut state = self.failures.lock();
        let keys: Vec<String> = state.last.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
        for key in keys {
            state.backoff.forget(&key);
            state.last.remove(&key);
        }
    }

    async fn try_each_user(
        &self,
        image: &str,
        sandbox: &PodSandboxConfig,
        secrets: &[Arc<Secret>],
    ) -> Result<(), RuntimeError> {
        let mut users: Vec<Option<AuthConfig>> =
            auth::matching(image, secrets).into_iter().map(Some).collect();
        if users.is_empty()
            && let Some(source) = &self.credentials
            && let Some(own) = source.credentials(image).await
        {
            users.push(Some(AuthConfig {
                username: own.username,
                password: own.password,
                ..AuthConfig::default()
            }));
        }
        if users.is_empty() {
            users.push(None);
        }
        let mut last = None;
        for user in users {
            match self.runtime.pull(image, user, sandbox.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| RuntimeError::new(tonic::Code::Unknown, "no way to pull")))
    }
}
