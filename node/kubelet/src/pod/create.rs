//! Starting one container: image, environment, definition, start, `postStart`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Container;

use super::env::{self, Sources};
use super::kill::{self, field};
use super::spec::{Kind, Spec};
use super::view::View;
use super::{container as definition, lifecycle, sandbox, security, service_env};
use crate::events::Level;
use crate::image::Waits;
use crate::runtime::PodSandboxConfig;
use crate::shared::Shared;

/// What starting containers of one pod have in common.
pub struct Starting<'a> {
    /// The parts.
    pub shared: &'a Shared,
    /// The pod.
    pub spec: &'a Spec,
    /// What runs.
    pub view: &'a View,
    /// The sandbox.
    pub sandbox: &'a str,
    /// Its definition.
    pub sandbox_config: &'a PodSandboxConfig,
    /// Where volumes are.
    pub volumes: &'a std::collections::HashMap<String, PathBuf>,
    /// The pod's addresses.
    pub addresses: &'a [String],
}

impl Starting<'_> {
    /// Starts it, or says why it waits.
    pub async fn start(&self, kind: Kind, container: &Container) -> Result<(), Waits> {
        let field = field(kind, &container.name);
        let result = self.create(kind, container, &field).await;
        if let Err(waits) = &result
            && !matches!(
                waits.reason,
                "ErrImagePull" | "ImagePullBackOff" | "ImageInspectError" | "PostStartHookError"
            )
        {
            self.tell(&field, Level::Warning, "Failed", format!("Error: {}", waits.message));
        }
        result
    }

    fn tell(&self, field: &str, level: Level, reason: &'static str, message: impl Into<String>) {
        self.shared.events.pod(&self.spec.pod, Some(field.to_owned()), level, reason, message);
    }

    async fn create(&self, kind: Kind, container: &Container, field: &str) -> Result<(), Waits> {
        let config_error = |message: String| Waits::new("CreateContainerConfigError", message);
        let runtime = &*self.shared.config.runtime;
        let secrets = self.pull_secrets().await;
        let image =
            self.shared.images.ensure(self.spec, container, field, self.sandbox_config, &secrets).await?;
        security::verify_non_root(self.spec, container, &image).map_err(config_error)?;
        let env = self.environment(container).await.map_err(config_error)?;
        let pod_directory = self.shared.volumes.pod_directory(self.spec.uid());
        let attempt = self.view.latest(&container.name).map_or(0, |seen| seen.restarts() + 1);
        let attempt = attempt.max(0).unsigned_abs();
        let target = self.spec.target_of(&container.name).and_then(|name| self.view.latest(name));
        let site = definition::Site {
            image: &image.id,
            attempt,
            env: &env,
            volumes: self.volumes,
            pod_directory: &pod_directory,
            node_memory_bytes: self.shared.config.memory_bytes,
            target: target.map(|seen| seen.status.id.as_str()),
        };
        let mut config = definition::config(self.spec, kind, container, &site).map_err(config_error)?;
        if let Some(image) = &mut config.image {
            // The runtime starts the image by id; the status shows what the pod asked for.
            image.user_specified_image = container.image.clone().unwrap_or_default();
        }
        if !runtime.is_simulated() {
            self.prepare(container, &pod_directory, attempt).map_err(config_error)?;
        }
        let id = runtime
            .create_container(self.sandbox, config, self.sandbox_config.clone())
            .await
            .map_err(|error| Waits::new("CreateContainerError", error.to_string()))?;
        self.tell(field, Level::Normal, "Created", format!("Created container: {}", container.name));
        if let Err(error) = runtime.start_container(&id).await {
            return Err(Waits::new("RunContainerError", error.to_string()));
        }
        self.tell(field, Level::Normal, "Started", format!("Started container {}", container.name));
        self.after_start(container, field, &id).await
    }

    async fn after_start(&self, container: &Container, field: &str, id: &str) -> Result<(), Waits> {
        let hook = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.post_start.as_ref());
        let Some(hook) = hook else { return Ok(()) };
        let runtime = &*self.shared.config.runtime;
        let host = self.addresses.first().map_or("", String::as_str);
        let Err(error) = lifecycle::run(runtime, container, hook, id, host).await else { return Ok(()) };
        self.tell(field, Level::Warning, "FailedPostStartHook", format!("PostStartHook failed: {error}"));
        self.tell(field, Level::Normal, "Killing", "FailedPostStartHook".to_owned());
        if let Err(error) = runtime.stop_container(id, kill::GRACE_MIN_S).await {
            tracing::warn!(%error, "failed to stop a container whose hook failed");
        }
        Err(Waits::new("PostStartHookError", error))
    }

    async fn pull_secrets(&self) -> Vec<std::sync::Arc<k8s_openapi::api::core::v1::Secret>> {
        let names = self.spec.spec().and_then(|pod| pod.image_pull_secrets.clone()).unwrap_or_default();
        let mut found = Vec::new();
        for reference in names {
            match self.shared.objects.secrets.get(self.spec.namespace(), &reference.name).await {
                Ok(Some(secret)) => found.push(secret),
                Ok(None) => self.shared.events.pod(
                    &self.spec.pod,
                    None,
                    Level::Warning,
                    "FailedToRetrieveImagePullSecret",
                    format!(
                        "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                        reference.name
                    ),
                ),
                Err(error) => tracing::debug!(error, "no image pull secret"),
            }
        }
        found
    }

    async fn environment(&self, container: &Container) -> Result<Vec<(String, String)>, String> {
        let (maps, secrets) = env::references(container);
        let namespace = self.spec.namespace();
        let mut sources = Sources::default();
        for name in maps {
            let found = self.shared.objects.config_maps.get(namespace, &name).await?;
            sources.config_maps.insert(name, found);
        }
        for name in secrets {
            let found = self.shared.objects.secrets.get(namespace, &name).await?;
            sources.secrets.insert(name, found);
        }
        let links = self.spec.spec().and_then(|pod| pod.enable_service_links).unwrap_or(true);
        let services: BTreeMap<String, String> =
            service_env::variables(&self.shared.services.state(), namespace, links);
        let facts = self.shared.facts(self.addresses);
        env::build(&self.spec.pod, container, &sources, &services, &facts)
    }

    /// The log directory and the file for last words, which must be there before they are mounted.
    fn prepare(&self, container: &Container, pod_directory: &Path, attempt: u32) -> Result<(), String> {
        let logs = sandbox::log_directory(self.spec, &self.shared.config.pod_log_dir).join(&container.name);
        let last_words = definition::termination_log(pod_directory, &container.name, attempt);
        let made = std::fs::create_dir_all(&logs)
            .and_then(|()| last_words.parent().map_or(Ok(()), std::fs::create_dir_all))
            .and_then(|()| std::fs::write(&last_words, b""))
            .and_then(|()| {
                // Whoever the container runs as may write there.
                let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o666);
                std::fs::set_permissions(&last_words, everyone)
            });
        made.map_err(|error| format!("failed to prepare the container's files: {error}"))
    }
}
