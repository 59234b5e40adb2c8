//! Control groups, version 1 (a hierarchy per controller) and version 2 (one).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;

use crate::mount::{MountError, filesystem};

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where the host has it.
    pub mount_point: PathBuf,
    /// `cpu,cpuacct`, `name=systemd`; `None` for version 2.
    pub controllers: Option<String>,
}

impl Hierarchy {
    fn has(&self, controller: &str) -> bool {
        self.controllers.as_deref().is_some_and(|all| all.split(',').any(|one| one == controller))
    }
}

/// Limits of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Memory, bytes.
    pub memory_bytes: Option<u64>,
    /// Whole processors.
    pub cpus: Option<u32>,
}

/// The hierarchies of this host: all of version 1, or version 2 alone when there is no version 1.
pub fn hierarchies() -> io::Result<Vec<Hierarchy>> {
    Ok(parse(&fs::read_to_string("/proc/self/mountinfo")?))
}

fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let mut v1 = Vec::new();
    let mut v2 = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(mount_point) = left.split(' ').nth(4).map(PathBuf::from) else { continue };
        let mut right = right.split(' ');
        match (right.next(), right.nth(1)) {
            (Some("cgroup2"), _) => v2.push(Hierarchy { mount_point, controllers: None }),
            (Some("cgroup"), Some(options)) => {
                let keep = |o: &&str| {
                    !matches!(*o, "rw" | "ro" | "xattr" | "clone_children" | "noprefix")
                        && !o.starts_with("release_agent")
                };
                let controllers: Vec<&str> = options.split(',').filter(keep).collect();
                v1.push(Hierarchy { mount_point, controllers: Some(controllers.join(",")) });
            }
            _ => {}
        }
    }
    if v1.is_empty() {
        v2.truncate(1);
        v2
    } else {
        v1
    }
}

/// A group, by its path below every hierarchy's mount point (`lazurite/0a1b2c3d`).
#[derive(Debug, Clone)]
pub struct Group {
    path: String,
    hierarchies: Vec<Hierarchy>,
}

impl Group {
    /// The group of this path; it need not exist yet.
    pub fn new(path: &str) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), hierarchies: hierarchies()? })
    }

    fn directory(&self, hierarchy: &Hierarchy) -> PathBuf {
        hierarchy.mount_point.join(&self.path)
    }

    /// Makes it everywhere and sets its limits. A limit that the host does not offer is left out.
    pub fn create(&self, limits: Limits) -> io::Result<()> {
        for hierarchy in &self.hierarchies {
            let mut at = hierarchy.mount_point.clone();
            for part in Path::new(&self.path).iter() {
                if hierarchy.controllers.is_none() {
                    enable_controllers(&at);
                }
                let parent = at.clone();
                at.push(part);
                match fs::create_dir(&at) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                }
                if hierarchy.has("cpuset") {
                    inherit_cpuset(&parent, &at)?;
                }
            }
            self.limit(hierarchy, limits);
        }
        Ok(())
    }

    fn limit(&self, hierarchy: &Hierarchy, limits: Limits) {
        let dir = self.directory(hierarchy);
        let set = |file: &str, value: String| {
            if let Err(error) = fs::write(dir.join(file), &value) {
                tracing::debug!(file, value, %error, "a cgroup limit was not set");
            }
        };
        let v2 = hierarchy.controllers.is_none();
        if let Some(bytes) = limits.memory_bytes {
            match v2 {
                true => set("memory.max", bytes.to_string()),
                false if hierarchy.has("memory") => set("memory.limit_in_bytes", bytes.to_string()),
                false => {}
            }
        }
        if let Some(cpus) = limits.cpus {
            match v2 {
                true => set("cpu.max", format!("{} 100000", u64::from(cpus) * 100_000)),
                false if hierarchy.has("cpu") => {
                    set("cpu.cfs_quota_us", (u64::from(cpus) * 100_000).to_string())
                }
                false => {}
            }
        }
    }

    /// Moves the calling process into it.
    pub fn join(&self) -> io::Result<()> {
        for hierarchy in &self.hierarchies {
            fs::write(self.directory(hierarchy).join("cgroup.procs"), "0")?;
        }
        Ok(())
    }

    /// Moves another process into it, beside the processes that are there.
    pub fn add(&self, pid: i32) -> io::Result<()> {
        for hierarchy in &self.hierarchies {
            let dir = self.directory(hierarchy);
            // See `mount`: where there are groups below, processes are in a group of their own.
            let own = dir.join("init.scope");
            let dir = if own.is_dir() { own } else { dir };
            fs::write(dir.join("cgroup.procs"), pid.to_string())?;
        }
        Ok(())
    }

    /// Mounts what a process in this group's cgroup namespace shall see below `target` (`/sys/fs/cgroup`).
    pub fn mount(&self, target: &Path) -> Result<(), MountError> {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        if self.hierarchies.iter().any(|h| h.controllers.is_none()) {
            filesystem("cgroup2", target, flags, "")?;
            // Groups with children must not have processes of their own; best effort, as old kernels differ.
            let own = target.join("init.scope");
            let _ = fs::create_dir(&own);
            let _ = fs::write(own.join("cgroup.procs"), "0");
            enable_controllers(target);
            return Ok(());
        }
        filesystem("tmpfs", target, flags, "mode=755")?;
        for hierarchy in &self.hierarchies {
            let Some(controllers) = &hierarchy.controllers else { continue };
            let name = controllers.trim_start_matches("name=");
            let options = match controllers.starts_with("name=") {
                true => format!("none,{controllers}"),
                false => controllers.clone(),
            };
            filesystem("cgroup", &target.join(name), flags, &options)?;
            for one in controllers.split(',').filter(|one| *one != name && !one.starts_with("name=")) {
                let _ = std::os::unix::fs::symlink(name, target.join(one));
            }
        }
        Ok(())
    }

    /// Pids of all processes in it and below it.
    pub fn processes(&self) -> Vec<i32> {
        let mut found = Vec::new();
        for hierarchy in &self.hierarchies {
            walk(&self.directory(hierarchy), &mut |dir| {
                let procs = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
                found.extend(procs.lines().filter_map(|l| l.parse::<i32>().ok()));
            });
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Removes it and everything below it. Fails while processes are in it; absent is fine.
    pub fn remove(&self) -> io::Result<()> {
        let mut last = Ok(());
        for hierarchy in &self.hierarchies {
            walk(&self.directory(hierarchy), &mut |dir| match fs::remove_dir(dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => last = Err(error),
                _ => {}
            });
        }
        last
    }
}

/// Children first.
fn walk(dir: &Path, visit: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), visit);
        }
    }
    visit(dir);
}

fn enable_controllers(group: &Path) {
    let available = fs::read_to_string(group.join("cgroup.controllers")).unwrap_or_default();
    for controller in available.split_whitespace() {
        let _ = fs::write(group.join("cgroup.subtree_control"), format!("+{controller}"));
    }
}

/// A new version 1 cpuset is empty and takes no process until it is filled.
fn inherit_cpuset(parent: &Path, child: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if fs::read_to_string(child.join(file))?.trim().is_empty() {
            fs::write(child.join(file), fs::read_to_string(parent.join(file))?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found() {
        let v1 = "36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                  40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
                  41 31 0:38 / /sys/fs/cgroup/unified rw shared:1 - cgroup2 cgroup2 rw\n";
        let found: Vec<_> = parse(v1).into_iter().filter_map(|h| h.controllers).collect();
        assert_eq!(found, ["cpu,cpuacct", "name=systemd"]);
        let v2 = "41 31 0:38 / /sys/fs/cgroup rw shared:1 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(parse(v2).len(), 1);
    }
}
