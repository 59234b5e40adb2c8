//! What Lazurite may leave on a host: nothing.

use std::fs;
use std::path::Path;

/// Everything of ours that is on this host now: namespaces, mounts, control groups, and processes but those of a
/// service with another state directory than `state`.
pub fn left_behind(state: &Path) -> Vec<String> {
    let mut left = Vec::new();
    for dir in ["/run/netns", "/run/lazurite/netns"] {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("lz-") {
                left.push(format!("namespace {name}"));
            }
        }
    }
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let target = line.split(' ').nth(1).unwrap_or_default();
        if target.contains("lazurite") || target.contains("/lz-") {
            left.push(format!("mount {target}"));
        }
    }
    for root in ["/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/pids"] {
        if fs::metadata(format!("{root}/lazurite")).is_ok() {
            left.push(format!("control group {root}/lazurite"));
        }
    }
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        let program = command.split('\0').next().unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or_default();
        if matches!(name, "lazurite" | "containerd-shim-runc-v2") && !is_anothers(&entry.path(), state) {
            left.push(format!(
                "process {} {}",
                entry.file_name().to_string_lossy(),
                command.replace('\0', " ")
            ));
        }
    }
    left
}

/// A service somebody else runs on this host, in another state directory, is not ours to judge.
fn is_anothers(process: &Path, state: &Path) -> bool {
    let environment = fs::read_to_string(process.join("environ")).unwrap_or_default();
    environment
        .split('\0')
        .filter_map(|line| line.strip_prefix("LAZURITE_STATE="))
        .any(|other| Path::new(other) != state)
}
