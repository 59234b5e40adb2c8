//! Snapshots: the whole store of one revision in a file that proves to be whole, and a store made of it again.
//!
//! A snapshot is a file of the store as it would be had it just been made, and the SHA-256 of that behind it: 32 bytes, as etcd's
//! tools expect. Its values are what the store was given: encrypted ones stay so, and need their key.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Embedded;
use super::disk::{self, Change};
use crate::types::{Revision, StoreError};

/// Added to the revision of a restored store, as etcd advises: no client has seen a number so high of the store that was lost.
pub const RESTORE_BUMP: Revision = 1_000_000_000;
const CHECKSUM_BYTES: u64 = 32;

/// A snapshot that was taken or checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The file.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// The revision it holds.
    pub revision: Revision,
    /// How many keys.
    pub keys: u64,
}

/// How large a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Its file; 0 of a store in memory.
    pub file_bytes: u64,
    /// Keys, values and what is stored with them.
    pub used_bytes: u64,
}

fn failed<E>(doing: &'static str) -> impl FnOnce(E) -> StoreError
where
    E: std::error::Error + Send + Sync + 'static,
{
    StoreError::engine(doing)
}

fn damaged(why: &str) -> StoreError {
    StoreError::engine("trust a snapshot of")(std::io::Error::other(why.to_owned()))
}

/// `name` beside a file.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(suffix);
    path.with_file_name(name)
}

/// The file has its name for good.
fn settle(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::rename(from, to)?;
    match to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The SHA-256 of the first `bytes` of a file.
fn digest(file: &mut File, bytes: u64) -> std::io::Result<[u8; 32]> {
    file.seek(SeekFrom::Start(0))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut content = file.take(bytes);
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}

impl Embedded {
    /// Writes all that readers see now to a file at `path`, which appears when it is whole. Blocks; nobody waits for it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn snapshot(&self, path: &Path) -> Result<Snapshot, StoreError> {
        let (change, keys) = self.everything();
        let partial = beside(path, ".partial");
        remove(&partial).map_err(failed("replace a snapshot of"))?;
        {
            let (mut disk, _) = disk::open(&partial)?;
            disk.write(&change)?;
            disk.compact()?;
        }
        let written = || -> std::io::Result<u64> {
            let mut file = File::options().read(true).write(true).open(&partial)?;
            let content = file.metadata()?.len();
            let checksum = digest(&mut file, content)?;
            file.seek(SeekFrom::Start(content))?;
            file.write_all(&checksum)?;
            file.sync_all()?;
            settle(&partial, path)?;
            Ok(content + CHECKSUM_BYTES)
        };
        let bytes = written().map_err(failed("write a snapshot of"))?;
        Ok(Snapshot { path: path.to_owned(), bytes, revision: change.revision, keys })
    }

    fn everything(&self) -> (Change, u64) {
        let core = self.core.lock();
        let visible = self.visible.read();
        let mut change = Change { revision: visible.revision(), ..Change::default() };
        change.objects.extend(visible.keys().map(|kv| (kv.key.clone(), Some(kv.clone()))));
        change.leases.extend(core.leases.all.iter().map(|(id, lease)| (*id, Some(*lease))));
        let keys = change.objects.len() as u64;
        (change, keys)
    }

    /// The folder of its file; none of a store in memory.
    pub fn folder(&self) -> Option<PathBuf> {
        self.path.as_ref().and_then(|path| path.parent()).map(Path::to_owned)
    }

    /// How large it is.
    pub fn size(&self) -> Size {
        let file = self.path.as_ref().and_then(|path| std::fs::metadata(path).ok());
        Size {
            file_bytes: file.map_or(0, |file| file.len()),
            used_bytes: self.visible.read().keys().map(disk::size_of).sum(),
        }
    }

    /// Gives what the file does not need back to the file system. Blocks, and writers wait for it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn reclaim(&self) -> Result<(), StoreError> {
        self.core.lock().accepts()?;
        match &mut *self.disk.lock() {
            Some(disk) => disk.compact(),
            None => Ok(()),
        }
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Whether a snapshot is whole: its checksum, and that a store can be read from it.
///
/// # Errors
/// When it is not.
pub fn verify(path: &Path) -> Result<Snapshot, StoreError> {
    let copy = beside(path, ".checked");
    let checked = unpack(path, &copy).and_then(|bytes| {
        let (_, loaded) = disk::open(&copy)?;
        let keys = loaded.index.len() as u64;
        Ok(Snapshot { path: path.to_owned(), bytes, revision: loaded.revision, keys })
    });
    remove(&copy).map_err(failed("remove a copy of"))?;
    checked
}

/// Makes the store in a new file at `to` of a snapshot. Its revision is [`RESTORE_BUMP`] higher, so that clients of the lost store list
/// again instead of missing what they had seen. A file that is there already is not touched.
///
/// # Errors
/// When the snapshot is damaged, or there is a file already.
pub fn restore(snapshot: &Path, to: &Path) -> Result<Snapshot, StoreError> {
    if to.exists() {
        let there =
            std::io::Error::new(std::io::ErrorKind::AlreadyExists, format!("`{}` exists", to.display()));
        return Err(StoreError::engine("replace")(there));
    }
    let partial = beside(to, ".partial");
    let restored = unpack(snapshot, &partial).and_then(|bytes| {
        let (disk, loaded) = disk::open(&partial)?;
        let revision = loaded.revision + RESTORE_BUMP;
        disk.write(&Change { revision, ..Change::default() })?;
        drop(disk);
        settle(&partial, to).map_err(failed("name"))?;
        Ok(Snapshot { path: to.to_owned(), bytes, revision, keys: loaded.index.len() as u64 })
    });
    remove(&partial).map_err(failed("remove a copy of"))?;
    restored
}

/// Copies a snapshot's content, if its checksum is right. Gives the snapshot's length.
fn unpack(snapshot: &Path, to: &Path) -> Result<u64, StoreError> {
    let mut file = File::open(snapshot).map_err(failed("read a snapshot of"))?;
    let bytes = file.metadata().map_err(failed("read a snapshot of"))?.len();
    let content = bytes.checked_sub(CHECKSUM_BYTES).ok_or_else(|| damaged("it is too short"))?;
    let mut checksum = [0; 32];
    let read = |file: &mut File, checksum: &mut [u8; 32]| -> std::io::Result<[u8; 32]> {
        file.seek(SeekFrom::Start(content))?;
        file.read_exact(checksum)?;
        digest(file, content)
    };
    let is = read(&mut file, &mut checksum).map_err(failed("read a snapshot of"))?;
    if is != checksum {
        return Err(damaged("its checksum is wrong"));
    }
    let copied = |file: &mut File| -> std::io::Result<()> {
        file.seek(SeekFrom::Start(0))?;
        let mut copy = File::options().write(true).create(true).truncate(true).mode(0o600).open(to)?;
        std::io::copy(&mut file.take(content), &mut copy)?;
        copy.sync_all()
    };
    copied(&mut file).map_err(failed("copy a snapshot of"))?;
    Ok(bytes)
}
