//! A machine's root: the host's programs read-only, everything else its own.
//!
//! Guarantees: of the host only `/usr` (with what `/bin`, `/sbin`, `/lib*` point to) and a few device files are
//! visible; `/etc`, `/var`, `/root`, `/home`, `/opt` are the machine's; `/proc` shows its own pid namespace.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::MsFlags;
use serde::{Deserialize, Serialize};

use crate::cgroup::Group;
use crate::mount::{self, MountError};

/// A path of the host shown in a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// On the host.
    pub source: PathBuf,
    /// In the machine, absolute.
    pub target: PathBuf,
    /// Whether the machine cannot write to it.
    pub read_only: bool,
}

const DEVICES: [&str; 7] = ["null", "zero", "full", "random", "urandom", "tty", "fuse"];
const PROGRAMS: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

fn file_error(deed: &'static str, target: &Path) -> impl FnOnce(io::Error) -> MountError {
    let target = target.to_owned();
    move |source| MountError { deed, target, source }
}

/// Composes the root at `root` and makes it this process's root. The calling process is alone in new mount, pid
/// and cgroup namespaces. `usr` is a directory laid over the host's `/usr` (mount points for [`Shown`] files).
pub fn compose(root: &Path, usr: &Path, shown: &[Shown], group: &Group) -> Result<(), MountError> {
    mount::make_all_private()?;
    mount::bind(root, root, false)?;
    mount::overlay_read_only(&[usr, Path::new("/usr")], &root.join("usr"))?;
    programs(root)?;
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount::filesystem("proc", &root.join("proc"), quiet, "")?;
    mount::filesystem("sysfs", &root.join("sys"), quiet | MsFlags::MS_RDONLY, "")?;
    group.mount(&root.join("sys/fs/cgroup"))?;
    mount::filesystem("tmpfs", &root.join("run"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=755")?;
    mount::filesystem("tmpfs", &root.join("tmp"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=1777")?;
    devices(&root.join("dev"))?;
    for hidden in ["kcore", "sysrq-trigger"] {
        let path = root.join("proc").join(hidden);
        if path.exists() {
            mount::bind(Path::new("/dev/null"), &path, false)?;
        }
    }
    for one in shown {
        let target = root.join(one.target.strip_prefix("/").unwrap_or(&one.target));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(file_error("create directory", parent))?;
        }
        mount::bind(&one.source, &target, one.read_only)?;
    }
    mount::pivot(root)?;
    // Containers and volumes share mounts with the machine (mount propagation), never with the host.
    let flags = MsFlags::MS_REC | MsFlags::MS_SHARED;
    let (none, at) = (None::<&str>, Path::new("/"));
    nix::mount::mount(none, at, none, flags, none).map_err(|e| file_error("share", at)(e.into()))
}

/// `/bin` and its like: links where the host has links, else read-only views.
fn programs(root: &Path) -> Result<(), MountError> {
    for name in PROGRAMS {
        let (host, here) = (Path::new("/").join(name), root.join(name));
        let Ok(meta) = fs::symlink_metadata(&host) else { continue };
        if !meta.is_symlink() {
            mount::bind(&host, &here, true)?;
        } else if fs::symlink_metadata(&here).is_err() {
            let to = fs::read_link(&host).map_err(file_error("read", &host))?;
            symlink(to, &here).map_err(file_error("link", &here))?;
        }
    }
    Ok(())
}

fn devices(dev: &Path) -> Result<(), MountError> {
    mount::filesystem("tmpfs", dev, MsFlags::MS_NOSUID, "mode=755")?;
    for name in DEVICES {
        let host = Path::new("/dev").join(name);
        if host.exists() {
            mount::bind(&host, &dev.join(name), false)?;
        }
    }
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount::filesystem("devpts", &dev.join("pts"), quiet, "newinstance,ptmxmode=0666,mode=0620")?;
    mount::filesystem("tmpfs", &dev.join("shm"), quiet | MsFlags::MS_NODEV, "mode=1777")?;
    mount::filesystem("mqueue", &dev.join("mqueue"), quiet | MsFlags::MS_NODEV, "")?;
    let links = [
        ("pts/ptmx", "ptmx"),
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
        ("/proc/self/fd/2", "stderr"),
    ];
    for (to, name) in links {
        symlink(to, dev.join(name)).map_err(file_error("link", &dev.join(name)))?;
    }
    Ok(())
}
