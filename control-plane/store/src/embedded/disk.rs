//! The redb file: the newest value of every key, the leases, and the revision they belong to.
//!
//! One write transaction per group commit, so the file always holds a whole prefix of the history.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use super::lease::Lease;
use crate::types::{KeyValue, LeaseId, Revision, StoreError};

const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
const LEASES: TableDefinition<u64, (u64, i64)> = TableDefinition::new("leases");
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");
const REVISION: &str = "revision";
const FORMAT: &str = "format";
const FORMAT_NOW: u64 = 1;
/// create, mod, version, lease: 8 bytes each, little endian, before the value.
const HEADER_BYTES: usize = 32;
/// All reads are served from memory, so the engine needs pages only while it writes.
const CACHE_BYTES: usize = 128 * 1024;

/// What one group commit changes.
#[derive(Default)]
pub(super) struct Change {
    pub objects: HashMap<Arc<str>, Option<KeyValue>>,
    pub leases: HashMap<LeaseId, Option<Lease>>,
    pub revision: Revision,
}

impl Change {
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.leases.is_empty()
    }
}

/// What a file held when it was opened.
pub(super) struct Loaded {
    pub index: BTreeMap<Arc<str>, KeyValue>,
    pub leases: BTreeMap<LeaseId, Lease>,
    pub revision: Revision,
}

/// An open file.
pub(super) struct Disk(Database);

/// What a key costs in the file, without the engine's own.
pub(super) fn size_of(kv: &KeyValue) -> u64 {
    (kv.key.len() + HEADER_BYTES + kv.value.len()) as u64
}

/// Opens or makes the file, which only its owner can read, for it holds secrets. A file whose making was cut short is not there.
pub(super) fn open(path: &Path) -> Result<(Disk, Loaded), StoreError> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(StoreError::engine("make the folder of"))?;
    }
    kit::files::open_whole(path, |path| {
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map_err(StoreError::engine("open"))?;
        open_on(FileBackend::new(file).map_err(StoreError::engine("open"))?)
    })
}

/// Opens what `storage` holds, or makes a new store in it.
pub(super) fn open_on(storage: impl StorageBackend) -> Result<(Disk, Loaded), StoreError> {
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create_with_backend(storage)
        .map_err(StoreError::engine("open"))?;
    let disk = Disk(database);
    disk.prepare()?;
    let loaded = disk.load()?;
    Ok((disk, loaded))
}

impl Disk {
    /// Makes the tables of a new file.
    fn prepare(&self) -> Result<(), StoreError> {
        let read = self.0.begin_read().map_err(StoreError::engine("read"))?;
        if let Ok(numbers) = read.open_table(NUMBERS) {
            let format = numbers.get(FORMAT).map_err(StoreError::engine("read"))?;
            return match format.map(|found| found.value()) {
                Some(FORMAT_NOW) => Ok(()),
                other => Err(StoreError::engine("understand")(std::io::Error::other(format!(
                    "format {other:?} is not {FORMAT_NOW}"
                )))),
            };
        }
        drop(read);
        let write = self.0.begin_write().map_err(StoreError::engine("write"))?;
        write.open_table(OBJECTS).map_err(StoreError::engine("write"))?;
        write.open_table(LEASES).map_err(StoreError::engine("write"))?;
        {
            let mut numbers = write.open_table(NUMBERS).map_err(StoreError::engine("write"))?;
            numbers.insert(FORMAT, FORMAT_NOW).map_err(StoreError::engine("write"))?;
            numbers.insert(REVISION, 1).map_err(StoreError::engine("write"))?;
        }
        write.commit().map_err(StoreError::engine("write"))
    }

    fn load(&self) -> Result<Loaded, StoreError> {
        let failed = "read";
        let read = self.0.begin_read().map_err(StoreError::engine(failed))?;
        let mut index = BTreeMap::new();
        let objects = read.open_table(OBJECTS).map_err(StoreError::engine(failed))?;
        for entry in objects.iter().map_err(StoreError::engine(failed))? {
            let (key, value) = entry.map_err(StoreError::engine(failed))?;
            let kv = decode(key.value(), value.value())?;
            index.insert(kv.key.clone(), kv);
        }
        let mut leases = BTreeMap::new();
        let table = read.open_table(LEASES).map_err(StoreError::engine(failed))?;
        for entry in table.iter().map_err(StoreError::engine(failed))? {
            let (id, lease) = entry.map_err(StoreError::engine(failed))?;
            let (ttl_ms, ends_ms) = lease.value();
            leases.insert(id.value(), Lease { ttl_ms, ends_ms });
        }
        let numbers = read.open_table(NUMBERS).map_err(StoreError::engine(failed))?;
        let revision =
            numbers.get(REVISION).map_err(StoreError::engine(failed))?.map_or(1, |found| found.value());
        Ok(Loaded { index, leases, revision })
    }

    /// Moves what is in use together and cuts the rest of the file off.
    pub fn compact(&mut self) -> Result<(), StoreError> {
        self.0.compact().map(|_| ()).map_err(StoreError::engine("compact"))
    }

    /// Writes a change and waits until the disk has it.
    pub fn write(&self, change: &Change) -> Result<(), StoreError> {
        let failed = "write";
        let mut write = self.0.begin_write().map_err(StoreError::engine(failed))?;
        write.set_durability(Durability::Immediate).map_err(StoreError::engine(failed))?;
        {
            let mut objects = write.open_table(OBJECTS).map_err(StoreError::engine(failed))?;
            let mut buffer = Vec::new();
            for (key, kv) in &change.objects {
                match kv {
                    Some(kv) => {
                        encode(kv, &mut buffer);
                        objects.insert(&**key, buffer.as_slice()).map_err(StoreError::engine(failed))?;
                    }
                    None => {
                        objects.remove(&**key).map_err(StoreError::engine(failed))?;
                    }
                }
            }
            if !change.leases.is_empty() {
                let mut leases = write.open_table(LEASES).map_err(StoreError::engine(failed))?;
                for (id, lease) in &change.leases {
                    match lease {
                        Some(lease) => leases.insert(id, (lease.ttl_ms, lease.ends_ms)),
                        None => leases.remove(id),
                    }
                    .map_err(StoreError::engine(failed))?;
                }
            }
            let mut numbers = write.open_table(NUMBERS).map_err(StoreError::engine(failed))?;
            numbers.insert(REVISION, change.revision).map_err(StoreError::engine(failed))?;
        }
        write.commit().map_err(StoreError::engine(failed))
    }
}

fn encode(kv: &KeyValue, buffer: &mut Vec<u8>) {
    buffer.clear();
    for number in [kv.create_revision, kv.mod_revision, kv.version, kv.lease.unwrap_or(0)] {
        buffer.extend_from_slice(&number.to_le_bytes());
    }
    buffer.extend_from_slice(&kv.value);
}

fn decode(key: &str, bytes: &[u8]) -> Result<KeyValue, StoreError> {
    let Some((header, value)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(StoreError::engine("understand")(std::io::Error::other(format!(
            "key `{key}` is cut short"
        ))));
    };
    let number = |at: usize| {
        let mut raw = [0; 8];
        raw.copy_from_slice(&header[at * 8..at * 8 + 8]);
        u64::from_le_bytes(raw)
    };
    Ok(KeyValue {
        key: Arc::from(key),
        value: Bytes::copy_from_slice(value),
        create_revision: number(0),
        mod_revision: number(1),
        version: number(2),
        lease: Some(number(3)).filter(|lease| *lease != 0),
    })
}
