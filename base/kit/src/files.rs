//! Files that are either whole or absent, with the path in every error.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file operation that failed, with the path it failed on.
#[derive(Debug, thiserror::Error)]
#[error("failed to {deed} `{}`", path.display())]
pub struct FileError {
    /// What was tried: `read`, `write`, …
    pub deed: &'static str,
    /// On which path.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// True when the file was simply not there.
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// Who may read a written file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readers {
    /// Mode 0600: keys, tokens, anything that opens a door.
    Owner,
    /// Mode 0644.
    Everyone,
}

fn failed(deed: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { deed, path, source }
}

/// Reads a whole file.
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(failed("read", path))
}

/// Reads a whole file as text.
pub fn read_string(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).map_err(failed("read", path))
}

/// Makes a directory and its parents; one that is there already is fine.
pub fn make_dir(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(failed("create directory", path))
}

/// Replaces `path` in one step: a reader, or a crash, sees the old content or the new, never a part.
///
/// The content is on disk (fsync of file and directory) when this returns.
pub fn write_atomic(path: &Path, content: &[u8], readers: Readers) -> Result<(), FileError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    make_dir(dir)?;
    let mode = match readers {
        Readers::Owner => 0o600,
        Readers::Everyone => 0o644,
    };
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = dir.join(format!(".{name}.{}", uuid::Uuid::new_v4().simple()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(dir)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(failed("write", path))
}

/// Opens what is at `path`; where nothing is, `open` makes it under a name beside it, which becomes `path` when it is whole.
///
/// For files of many writes, like a database: a crash while it is made leaves nothing at `path`. What is made is for its
/// owner only. `open` may keep the file open: it stays the same.
///
/// # Errors
/// Those of `open`, what keeps the file from its name, and that nobody can say whether it is there.
pub fn open_whole<T, E: From<FileError>>(
    path: &Path,
    open: impl FnOnce(&Path) -> Result<T, E>,
) -> Result<T, E> {
    // What cannot be looked at may be there, and must not be replaced.
    if path.try_exists().map_err(failed("look for", path))? {
        return open(path);
    }
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_dir(dir)?;
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let unfinished = dir.join(format!(".{name}.unfinished"));
    remove(&unfinished)?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(failed("create", path))?;
    let made = open(&unfinished).and_then(|made| {
        fs::rename(&unfinished, path).map_err(failed("create", path))?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("create", path))?;
        Ok(made)
    });
    if made.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    made
}

/// Removes a file; one that is not there is fine.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(source)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_for_its_owner_and_nothing_is_left_beside_it() {
        let dir = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        let path = dir.join("key.pem");
        write_atomic(&path, b"one", Readers::Owner).unwrap();
        write_atomic(&path, b"two", Readers::Owner).unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn what_is_cut_short_while_it_is_made_is_not_there() {
        let dir = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        let path = dir.join("all.db");
        // As a crash leaves it.
        make_dir(&dir).unwrap();
        fs::write(dir.join(".all.db.unfinished"), b"half").unwrap();
        let fail = |_: &Path| Err::<(), _>(failed("make", &path)(io::Error::other("no")));
        open_whole(&path, fail).unwrap_err();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        let write = |at: &Path| fs::write(at, b"whole").map_err(failed("write", at));
        open_whole(&path, write).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            (read(&path).unwrap().as_slice(), fs::read_dir(&dir).unwrap().count()),
            (&b"whole"[..], 1)
        );
        // What is there is opened where it is.
        open_whole(&path, |at| if at == path { Ok(()) } else { fail(at) }).unwrap();
        fs::remove_dir_all(dir).unwrap();
    }
}
