//! The pod's own cgroup, above its containers': `/kubepods[/burstable|/besteffort]/pod<uid>`.
//!
//! The runtime makes the containers' cgroups below; the kubelet bounds the pod as a whole and removes what is
//! left when the pod is gone. Works on cgroup v1 (cpu and memory hierarchies) and v2.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use super::resources::{self, CPU_PERIOD_US, Qos, pod_total};

/// The cgroup parent of a pod's containers.
pub fn parent(pod: &Pod) -> String {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    match resources::qos(pod) {
        Qos::Guaranteed => format!("/kubepods/pod{uid}"),
        Qos::Burstable => format!("/kubepods/burstable/pod{uid}"),
        Qos::BestEffort => format!("/kubepods/besteffort/pod{uid}"),
    }
}

fn directory(root: &Path, controller: &str, parent: &str) -> PathBuf {
    root.join(controller).join(parent.trim_start_matches('/'))
}

fn is_unified(root: &Path) -> bool {
    root.join("cgroup.controllers").exists()
}

/// Makes the pod's cgroup with the pod's bounds. A controller that is not there bounds nothing; that is
/// logged and no reason not to run the pod.
pub fn prepare(root: &Path, pod: &Pod) {
    let parent = parent(pod);
    let cpu = pod_total(pod, "cpu", false).unwrap_or(0);
    let cpu_limit = pod_total(pod, "cpu", true).filter(|milli| *milli > 0);
    let memory_limit = pod_total(pod, "memory", true).map(|milli| milli / 1000).filter(|bytes| *bytes > 0);
    let mut values: Vec<(&str, &str, String)> = Vec::new();
    if is_unified(root) {
        let weight = 1 + (resources::shares(cpu) - 2) * 9999 / 262_142;
        values.push(("", "cpu.weight", weight.to_string()));
        if let Some(milli) = cpu_limit {
            values.push(("", "cpu.max", format!("{} {CPU_PERIOD_US}", resources::quota(milli))));
        }
        if let Some(bytes) = memory_limit {
            values.push(("", "memory.max", bytes.to_string()));
        }
    } else {
        values.push(("cpu", "cpu.shares", resources::shares(cpu).to_string()));
        if let Some(milli) = cpu_limit {
            values.push(("cpu", "cpu.cfs_period_us", CPU_PERIOD_US.to_string()));
            values.push(("cpu", "cpu.cfs_quota_us", resources::quota(milli).to_string()));
        }
        if let Some(bytes) = memory_limit {
            values.push(("memory", "memory.limit_in_bytes", bytes.to_string()));
        }
    }
    for (controller, file, value) in values {
        let directory = directory(root, controller, &parent);
        let written =
            std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(directory.join(file), value));
        if let Err(error) = written {
            tracing::debug!(%error, path = %directory.display(), file, "cannot bound a pod's cgroup");
        }
    }
}

/// Removes what is left of a pod's cgroups, which are empty by now, from every hierarchy.
pub fn remove(root: &Path, uid: &str) {
    let mut hierarchies = vec![root.to_owned()];
    if !is_unified(root) {
        let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
        hierarchies.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    for hierarchy in hierarchies {
        for class in ["", "burstable", "besteffort"] {
            let directory = hierarchy.join("kubepods").join(class).join(format!("pod{uid}"));
            if directory.exists() {
                remove_tree(&directory);
            }
        }
    }
}

/// cgroup directories are removed from the leaves up; their files cannot and need not be.
fn remove_tree(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    if let Err(error) = std::fs::remove_dir(directory) {
        tracing::debug!(%error, path = %directory.display(), "cannot remove a pod's cgroup");
    }
}
