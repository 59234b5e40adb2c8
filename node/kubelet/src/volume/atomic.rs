//! Replaces all files of a volume at once.
//!
//! ```text
//! volume/..2026_11_23_04_00_00.123/{a,sub/b}   the files
//! volume/..data  ─▶ ..2026_11_23_04_00_00.123  swapped by one rename
//! volume/a ─▶ ..data/a    volume/sub ─▶ ..data/sub
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path};

/// A file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its mode.
    pub mode: u32,
    /// Its owner, when not root.
    pub user: Option<i64>,
}

/// Files by path inside the volume.
pub type Files = BTreeMap<String, File>;

const DATA: &str = "..data";

fn failed(deed: &str, path: &Path) -> impl FnOnce(std::io::Error) -> String {
    let path = path.display().to_string();
    let deed = deed.to_owned();
    move |error| format!("failed to {deed} {path}: {error}")
}

/// Makes `files` the content of `volume`; `own` gives the new files their owner before anyone sees them.
/// Answers whether anything changed.
pub fn write(
    volume: &Path,
    files: &Files,
    own: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<bool, String> {
    for path in files.keys() {
        check(path)?;
    }
    let data = volume.join(DATA);
    let before = fs::read_link(&data).ok();
    if before.is_some() && is_same(&data, files) {
        return Ok(false);
    }
    let name = jiff::Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S.%9f").to_string();
    let fresh = volume.join(&name);
    fs::create_dir(&fresh).map_err(failed("create", &fresh))?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))
        .map_err(failed("set the mode of", &fresh))?;
    for (path, file) in files {
        write_file(&fresh, path, file)?;
    }
    own(&fresh)?;
    let temporary = volume.join("..data_tmp");
    let _ = fs::remove_file(&temporary);
    symlink(&name, &temporary).map_err(failed("link", &temporary))?;
    fs::rename(&temporary, &data).map_err(failed("replace", &data))?;
    link(volume, files)?;
    if let Some(old) = before {
        let _ = fs::remove_dir_all(volume.join(old));
    }
    Ok(true)
}

fn check(path: &str) -> Result<(), String> {
    let fine = !path.is_empty()
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
        && !path.starts_with("..");
    if fine { Ok(()) } else { Err(format!("invalid path {path:?}: must be relative and without '..'")) }
}

fn write_file(root: &Path, path: &str, file: &File) -> Result<(), String> {
    use std::io::Write;
    let full = root.join(path);
    if let Some(parent) = full.parent() {
        fs::create_dir_all(parent).map_err(failed("create", parent))?;
        if parent != root {
            fs::set_permissions(parent, fs::Permissions::from_mode(0o755))
                .map_err(failed("set the mode of", parent))?;
        }
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(file.mode);
    let mut opened = options.open(&full).map_err(failed("create", &full))?;
    opened.write_all(&file.bytes).map_err(failed("write", &full))?;
    // The mode given at creation is cut by the umask.
    fs::set_permissions(&full, fs::Permissions::from_mode(file.mode))
        .map_err(failed("set the mode of", &full))?;
    if let Some(user) = file.user {
        let user = u32::try_from(user).map_err(|_| format!("invalid user {user}"))?;
        std::os::unix::fs::chown(&full, Some(user), None).map_err(failed("change the owner of", &full))?;
    }
    Ok(())
}

fn is_same(data: &Path, files: &Files) -> bool {
    let mut seen = 0;
    let mut open = vec![data.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { return false };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let Some(name) = path.strip_prefix(data).ok().and_then(Path::to_str) else { return false };
            let Some(file) = files.get(name) else { return false };
            if fs::read(&path).ok().as_ref() != Some(&file.bytes) {
                return false;
            }
            seen += 1;
        }
    }
    seen == files.len()
}

fn link(volume: &Path, files: &Files) -> Result<(), String> {
    let wanted: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &wanted {
        let path = volume.join(name);
        if fs::symlink_metadata(&path).is_err() {
            symlink(Path::new(DATA).join(name), &path).map_err(failed("link", &path))?;
        }
    }
    for entry in fs::read_dir(volume).map_err(failed("read", volume))?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("..") && !wanted.contains(name.as_ref()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        let file = |text: &str| File { bytes: text.as_bytes().to_vec(), mode: 0o640, user: None };
        list.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect()
    }

    #[test]
    fn content_is_swapped_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let volume = directory.path();
        let put = |list: &[(&str, &str)]| write(volume, &files(list), |_| Ok(())).unwrap();
        assert!(put(&[("a", "1"), ("sub/b", "2")]));
        let first = fs::read_link(volume.join("..data")).unwrap();
        assert!(!put(&[("a", "1"), ("sub/b", "2")]), "the same content is not written again");
        assert_eq!(fs::read_link(volume.join("..data")).unwrap(), first);
        assert_eq!(fs::read_link(volume.join("sub")).unwrap(), Path::new("..data/sub"));
        assert_eq!(fs::metadata(volume.join("a")).unwrap().permissions().mode() & 0o777, 0o640);

        assert!(put(&[("a", "new"), ("c", "3")]));
        assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "new");
        let mut names: Vec<_> = fs::read_dir(volume).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names.len(), 4, "one generation, ..data and two links: {names:?}");
        assert!(!volume.join("sub").exists());
    }

    #[test]
    fn a_path_cannot_leave_the_volume() {
        let directory = tempfile::tempdir().unwrap();
        for path in ["../a", "/a", "", "a/../../b", "..data"] {
            assert!(write(directory.path(), &files(&[(path, "x")]), |_| Ok(())).is_err(), "{path}");
        }
    }
}
