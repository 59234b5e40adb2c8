//! A pod's volumes on disk, under `<root>/pods/<uid>/volumes/kubernetes.io~<kind>/<name>`.
//!
//! Guarantees: a reader of a config map, secret, projected or downward volume sees one version of all its
//! files, never a mixture; what holds secrets lies in memory (tmpfs). Setting up is idempotent and is also
//! how changes arrive. Does not: claims, CSI, cloud disks; those fail with a clear message.

pub mod atomic;
mod content;
mod host_path;
mod mount;
mod ownership;
pub mod tokens;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Volume;

use crate::objects::Objects;
use crate::pod::env::Facts;
use crate::pod::quantity;
use crate::pod::spec::Spec;

/// A volume that could not be set up, with the text of its `FailedMount` event.
#[derive(Debug, Clone, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {volume:?} : {message}")]
pub struct VolumeError {
    /// The volume's name.
    pub volume: String,
    /// What went wrong.
    pub message: String,
}

/// Volumes ready to be mounted into containers.
#[derive(Debug, Default)]
pub struct Ready {
    /// Where each is on the node.
    pub paths: HashMap<String, PathBuf>,
    /// When a token in one of them must be renewed.
    pub refresh_in: Option<Duration>,
}

/// Sets volumes up and takes them away.
pub struct Volumes {
    root: PathBuf,
    objects: Arc<Objects>,
    tokens: tokens::Tokens,
    simulated: bool,
}

impl Volumes {
    /// Volumes under `root` (`/var/lib/kubelet`). A simulated node writes none.
    pub fn new(root: PathBuf, objects: Arc<Objects>, tokens: tokens::Tokens, simulated: bool) -> Self {
        Self { root, objects, tokens, simulated }
    }

    /// The directory of everything of a pod.
    pub fn pod_directory(&self, uid: &str) -> PathBuf {
        self.root.join("pods").join(uid)
    }

    /// Sets all volumes of a pod up, or brings them up to date.
    pub async fn set_up(&self, spec: &Spec, facts: &Facts) -> Result<Ready, VolumeError> {
        let mut ready = Ready::default();
        for volume in spec.spec().and_then(|pod| pod.volumes.as_ref()).into_iter().flatten() {
            let failed = |message| VolumeError { volume: volume.name.clone(), message };
            let path = self.one(spec, volume, facts, &mut ready.refresh_in).await.map_err(failed)?;
            ready.paths.insert(volume.name.clone(), path);
        }
        Ok(ready)
    }

    async fn one(
        &self,
        spec: &Spec,
        volume: &Volume,
        facts: &Facts,
        refresh_in: &mut Option<Duration>,
    ) -> Result<PathBuf, String> {
        if let Some(host_path) = &volume.host_path {
            if !self.simulated {
                host_path::check(&host_path.path, host_path.type_.as_deref().unwrap_or_default())?;
            }
            return Ok(PathBuf::from(&host_path.path));
        }
        let directory = |kind: &str| {
            self.pod_directory(spec.uid())
                .join("volumes")
                .join(format!("kubernetes.io~{kind}"))
                .join(&volume.name)
        };
        let group =
            spec.spec().and_then(|pod| pod.security_context.as_ref()).and_then(|context| context.fs_group);
        if let Some(empty) = &volume.empty_dir {
            let directory = directory("empty-dir");
            let memory = empty.medium.as_deref() == Some("Memory");
            let size = empty.size_limit.as_ref().map(quantity::value);
            if self.simulated {
                return Ok(directory);
            }
            return blocking(move || empty_dir(&directory, memory, size, group)).await;
        }
        let Some((kind, files)) = content::of(self, spec, volume, facts, refresh_in).await? else {
            return Err(format!(
                "volumes of this kind ({}) are not built yet: emptyDir, configMap, secret, projected, downwardAPI and hostPath are",
                kind_of(volume)
            ));
        };
        let directory = directory(kind);
        if self.simulated {
            return Ok(directory);
        }
        let in_memory = matches!(kind, "secret" | "projected");
        blocking(move || write(&directory, in_memory, &files, group)).await
    }

    /// Takes a pod's volumes and its directory away. What is not there is fine.
    pub async fn tear_down(&self, uid: &str) -> Result<(), String> {
        self.tokens.forget(uid);
        self.objects.config_maps.forget(uid);
        self.objects.secrets.forget(uid);
        let directory = self.pod_directory(uid);
        blocking(move || {
            mount::unmount_below(&directory)?;
            match std::fs::remove_dir_all(&directory) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(format!("failed to remove {}: {error}", directory.display()))
                }
                _ => Ok(()),
            }
        })
        .await
    }

    /// The UIDs of pods that have a directory.
    pub fn pods_on_disk(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.root.join("pods")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.to_string()))
}

fn empty_dir(
    directory: &Path,
    memory: bool,
    size: Option<i64>,
    group: Option<i64>,
) -> Result<PathBuf, String> {
    let fresh = !directory.exists();
    mount::make_dir(directory)?;
    if memory && !mount::is_mounted(directory) {
        mount::tmpfs(directory, size)?;
    }
    if fresh || memory {
        mount::set_mode(directory, 0o777)?;
        ownership::give(directory, group)?;
    }
    Ok(directory.to_owned())
}

fn write(
    directory: &Path,
    in_memory: bool,
    files: &atomic::Files,
    group: Option<i64>,
) -> Result<PathBuf, String> {
    mount::make_dir(directory)?;
    if in_memory && !mount::is_mounted(directory) {
        mount::tmpfs(directory, None)?;
    }
    // Whoever the containers run as may look in, whatever the kubelet's umask is.
    mount::set_mode(directory, if in_memory { 0o777 } else { 0o755 })?;
    let changed = atomic::write(directory, files, |fresh| ownership::give(fresh, group))?;
    if changed {
        tracing::debug!(path = %directory.display(), "volume written");
    }
    Ok(directory.to_owned())
}

fn kind_of(volume: &Volume) -> String {
    let value = serde_json::to_value(volume).unwrap_or_default();
    let keys = value.as_object().into_iter().flat_map(|map| map.keys());
    keys.filter(|key| *key != "name").cloned().collect::<Vec<_>>().join(", ")
}
