//! `fsGroup`: a volume's files belong to the pod's group, which may read and write them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;

/// Gives a tree to a group: group-writable files, directories that hand the group on.
pub fn give(root: &Path, group: Option<i64>) -> Result<(), String> {
    let Some(group) = group else { return Ok(()) };
    let group = u32::try_from(group).map_err(|_| format!("invalid fsGroup {group}"))?;
    give_one(root, group).map_err(|error| format!("failed to apply fsGroup to {}: {error}", root.display()))
}

fn give_one(path: &Path, group: u32) -> std::io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    lchown(path, None, Some(group))?;
    if meta.is_symlink() {
        return Ok(());
    }
    let mode = meta.permissions().mode() & 0o7777;
    let added = if meta.is_dir() { 0o2770 } else { 0o660 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode | added))?;
    if meta.is_dir() {
        for entry in fs::read_dir(path)? {
            give_one(&entry?.path(), group)?;
        }
    }
    Ok(())
}
