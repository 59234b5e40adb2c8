//! Mounts, with the target in every error.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A mount operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("failed to {deed} `{}`", target.display())]
pub struct MountError {
    /// What was tried.
    pub deed: &'static str,
    /// Where.
    pub target: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

fn failed<E: Into<io::Error>>(deed: &'static str, target: &Path) -> impl FnOnce(E) -> MountError {
    let target = target.to_owned();
    move |source| MountError { deed, target, source: source.into() }
}

const NONE: Option<&str> = None;

/// Makes every mount of this namespace private: nothing done from here on is seen outside.
pub fn make_all_private() -> Result<(), MountError> {
    let root = Path::new("/");
    mount(NONE, root, NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).map_err(failed("make private", root))
}

/// Mounts a file system of `kind`; the directory is made when missing.
pub fn filesystem(kind: &str, target: &Path, flags: MsFlags, options: &str) -> Result<(), MountError> {
    fs::create_dir_all(target).map_err(failed("create directory", target))?;
    mount(Some(kind), target, Some(kind), flags, Some(options))
        .map_err(failed("mount a file system on", target))
}

/// Shows `source` also at `target`, which is made (file or directory) when missing.
pub fn bind(source: &Path, target: &Path, read_only: bool) -> Result<(), MountError> {
    let meta = fs::metadata(source).map_err(failed("read", source))?;
    if meta.is_dir() {
        fs::create_dir_all(target).map_err(failed("create directory", target))?;
    } else if !target.exists() {
        fs::write(target, "").map_err(failed("create", target))?;
    }
    mount(Some(source), target, NONE, MsFlags::MS_BIND | MsFlags::MS_REC, NONE)
        .map_err(failed("bind", target))?;
    if read_only {
        let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(NONE, target, NONE, flags, NONE).map_err(failed("make read-only", target))?;
    }
    Ok(())
}

/// An overlay that only reads: the first of `layers` wins.
pub fn overlay_read_only(layers: &[&Path], target: &Path) -> Result<(), MountError> {
    let lower: Vec<String> = layers.iter().map(|l| l.display().to_string()).collect();
    filesystem("overlay", target, MsFlags::MS_RDONLY, &format!("lowerdir={}", lower.join(":")))
}

/// Makes `root` (a mount point) the root of this mount namespace and forgets the old one.
pub fn pivot(root: &Path) -> Result<(), MountError> {
    std::env::set_current_dir(root).map_err(failed("enter", root))?;
    // Both arguments the same: the old root comes to lie over the new one and is then taken away.
    nix::unistd::pivot_root(".", ".").map_err(failed("pivot to", root))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(failed("detach the old root from", root))?;
    std::env::set_current_dir("/").map_err(failed("enter", Path::new("/")))
}

/// Whether overlayfs can have its upper layer in `directory`.
pub fn supports_overlay_upper(directory: &Path) -> bool {
    let probe = directory.join(".overlay-probe");
    let layer = |name: &str| probe.join(name);
    let tried = (|| {
        for name in ["lower", "upper", "work", "merged"] {
            fs::create_dir_all(layer(name)).map_err(failed("create directory", &probe))?;
        }
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            layer("lower").display(),
            layer("upper").display(),
            layer("work").display()
        );
        filesystem("overlay", &layer("merged"), MsFlags::empty(), &options)?;
        umount2(&layer("merged"), MntFlags::MNT_DETACH).map_err(failed("unmount", &probe))
    })();
    let _ = fs::remove_dir_all(&probe);
    tried.is_ok()
}
