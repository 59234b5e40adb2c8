//! A container's definition for the runtime.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, ImageSpec, KeyValue, LinuxContainerConfig, Mount, MountPropagation,
};
use k8s_openapi::api::core::v1::{Container, VolumeMount};

use super::expand::expand;
use super::spec::{Kind, Restart, Spec, hash, is_sidecar};
use super::{resources, security};
use crate::labels;
use crate::runtime::simulated;

/// The facts a definition needs beside the pod.
pub struct Site<'a> {
    /// The image's reference in the runtime.
    pub image: &'a str,
    /// How often it was started before.
    pub attempt: u32,
    /// The environment, in order.
    pub env: &'a [(String, String)],
    /// Where volumes are.
    pub volumes: &'a HashMap<String, PathBuf>,
    /// The pod's directory.
    pub pod_directory: &'a Path,
    /// The node's memory.
    pub node_memory_bytes: u64,
    /// The id of the container an ephemeral one joins.
    pub target: Option<&'a str>,
}

/// Where a container's last words go on the node.
pub fn termination_log(pod_directory: &Path, name: &str, attempt: u32) -> PathBuf {
    pod_directory.join("containers").join(name).join(attempt.to_string())
}

/// The definition. An error is the message of `CreateContainerConfigError`.
pub fn config(
    spec: &Spec,
    kind: Kind,
    container: &Container,
    site: &Site<'_>,
) -> Result<ContainerConfig, String> {
    let lookup =
        |name: &str| site.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let expanded = |list: &Option<Vec<String>>| -> Vec<String> {
        list.iter().flatten().map(|text| expand(text, lookup)).collect()
    };
    let policy = container.termination_message_policy.as_deref().unwrap_or("File");
    let path = container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
    let mut annotations = HashMap::from([
        (labels::HASH.to_owned(), hash(container)),
        (labels::RESTART_COUNT.to_owned(), site.attempt.to_string()),
        (labels::TERMINATION_PATH.to_owned(), path.to_owned()),
        (labels::TERMINATION_POLICY.to_owned(), policy.to_owned()),
        (labels::GRACE_PERIOD.to_owned(), spec.grace_s().to_string()),
    ]);
    let ends = match kind {
        Kind::Init if !is_sidecar(container) => Some(simulated::AT_ONCE),
        Kind::Main if spec.restart_of(kind, container) != Restart::Always => Some(simulated::SOON),
        _ => None,
    };
    if let Some(ends) = ends {
        annotations.insert(simulated::RUNS_TO_END.to_owned(), ends.to_owned());
    }
    Ok(ContainerConfig {
        metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: site.attempt }),
        image: Some(ImageSpec { image: site.image.to_owned(), ..ImageSpec::default() }),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: site
            .env
            .iter()
            .map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() })
            .collect(),
        mounts: mounts(spec, container, site, path)?,
        labels: HashMap::from([
            (labels::CONTAINER_NAME.to_owned(), container.name.clone()),
            (labels::POD_NAME.to_owned(), spec.name().to_owned()),
            (labels::POD_NAMESPACE.to_owned(), spec.namespace().to_owned()),
            (labels::POD_UID.to_owned(), spec.uid().to_owned()),
        ]),
        annotations,
        log_path: format!("{}/{}.log", container.name, site.attempt),
        stdin: container.stdin.unwrap_or(false),
        stdin_once: container.stdin_once.unwrap_or(false),
        tty: container.tty.unwrap_or(false),
        linux: Some(LinuxContainerConfig {
            resources: Some(resources::linux(&spec.pod, container, site.node_memory_bytes)),
            security_context: Some(security::container(spec, container, site.target)),
        }),
        ..ContainerConfig::default()
    })
}

fn mounts(
    spec: &Spec,
    container: &Container,
    site: &Site<'_>,
    last_words: &str,
) -> Result<Vec<Mount>, String> {
    let mut out = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        out.push(volume_mount(spec, container, mount, site)?);
    }
    let plain = |container_path: &str, host_path: &Path| Mount {
        container_path: container_path.to_owned(),
        host_path: host_path.to_string_lossy().into_owned(),
        ..Mount::default()
    };
    if !out.iter().any(|mount| mount.container_path == "/etc/hosts") {
        out.push(plain("/etc/hosts", &site.pod_directory.join("etc-hosts")));
    }
    out.push(plain(last_words, &termination_log(site.pod_directory, &container.name, site.attempt)));
    Ok(out)
}

fn volume_mount(
    spec: &Spec,
    container: &Container,
    mount: &VolumeMount,
    site: &Site<'_>,
) -> Result<Mount, String> {
    let root = site.volumes.get(&mount.name).ok_or_else(|| {
        format!("cannot find volume {:?} to mount into container {:?}", mount.name, container.name)
    })?;
    let lookup =
        |name: &str| site.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let sub = match (mount.sub_path.as_deref(), mount.sub_path_expr.as_deref()) {
        (Some(sub), _) if !sub.is_empty() => sub.to_owned(),
        (_, Some(expression)) if !expression.is_empty() => expand(expression, lookup),
        _ => String::new(),
    };
    let host_path = if sub.is_empty() { root.clone() } else { sub_path(root, &sub)? };
    let is_node_path = |name: &str| {
        let volumes = spec.spec().and_then(|pod| pod.volumes.as_ref()).into_iter().flatten();
        volumes.filter(|volume| volume.host_path.is_some()).any(|volume| volume.name == name)
    };
    if is_node_path(&mount.name) && !host_path.exists() && host_path != Path::new("/") {
        // As upstream: an untyped hostPath that is not there becomes a directory.
        let _ = std::fs::create_dir_all(&host_path);
    }
    let container_path = match mount.mount_path.starts_with('/') {
        true => mount.mount_path.clone(),
        false => format!("/{}", mount.mount_path),
    };
    Ok(Mount {
        container_path,
        host_path: host_path.to_string_lossy().into_owned(),
        readonly: mount.read_only.unwrap_or(false),
        propagation: match mount.mount_propagation.as_deref() {
            Some("HostToContainer") => MountPropagation::PropagationHostToContainer.into(),
            Some("Bidirectional") => MountPropagation::PropagationBidirectional.into(),
            _ => MountPropagation::PropagationPrivate.into(),
        },
        ..Mount::default()
    })
}

/// A path inside a volume, made as a directory when it is not there. What leads out of the volume, by `..` or
/// by a link, is refused.
fn sub_path(root: &Path, sub: &str) -> Result<PathBuf, String> {
    let refused = || format!("failed to prepare subPath for volumeMount: {sub:?} leads out of the volume");
    if Path::new(sub).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(refused());
    }
    let full = root.join(sub);
    if !full.exists() {
        // The part that exists must already lie inside before anything is made.
        let existing = full.ancestors().find(|path| path.exists()).unwrap_or(root);
        inside(root, existing).ok_or_else(refused)?;
        std::fs::create_dir_all(&full).map_err(|error| {
            format!("failed to create subPath directory for volumeMount {sub:?}: {error}")
        })?;
    }
    inside(root, &full).ok_or_else(refused)
}

fn inside(root: &Path, path: &Path) -> Option<PathBuf> {
    let (root, path) = (root.canonicalize().ok()?, path.canonicalize().ok()?);
    path.starts_with(root).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_path_stays_in_its_volume() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::os::unix::fs::symlink("/etc", root.join("out")).unwrap();
        assert_eq!(sub_path(root, "a/b").unwrap(), root.canonicalize().unwrap().join("a/b"));
        for bad in ["../x", "/etc", "out", "out/made", "a/../../x"] {
            assert!(sub_path(root, bad).is_err(), "{bad}");
        }
        assert!(!Path::new("/etc/made").exists());
    }
}
