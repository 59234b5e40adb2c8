//! What is kept: resources, operations, the activity log and providers' private tables, in one redb file.
//!
//! Every write is on disk (fsync) before it returns. Resources are also held in memory, so reading never blocks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::{Resource, ResourceId};

const RESOURCES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("resources");
const ENTRIES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("entries");
/// What of the file is kept in memory: little, since it is read once and then only written. The library's own measure is 1 GiB.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// The file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// redb's own fault.
    #[error("failed to {deed} the resource store")]
    Database {
        /// `open`, `read`, `write`.
        deed: &'static str,
        /// What it said.
        #[source]
        source: Box<redb::Error>,
    },
    /// A stored value is not what it should be.
    #[error("failed to decode `{key}`")]
    Decode {
        /// Whose value.
        key: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// The directory could not be made.
    #[error("failed to prepare the store's directory")]
    Directory(#[from] kit::files::FileError),
    /// The blocking task did not come back.
    #[error("the writing task was cancelled")]
    Cancelled,
}

fn failed<E: Into<redb::Error>>(deed: &'static str) -> impl FnOnce(E) -> StoreError {
    move |source| StoreError::Database { deed, source: Box::new(source.into()) }
}

/// Closes a file that an older version left open: resources hold secrets (custom data with bootstrap tokens), so nobody
/// but the owner may ever open it.
fn owner_only(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;
    let failed = |source| kit::files::FileError { deed: "protect", path: path.to_owned(), source };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(())
}

/// The file.
#[derive(Clone)]
pub(crate) struct Database(Arc<redb::Database>);

/// One change of the file.
pub(crate) enum Change {
    Resource(String, Option<Vec<u8>>),
    Entry(String, Option<Vec<u8>>),
}

impl Database {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        kit::files::open_whole(path, |path| {
            owner_only(path)?;
            let database =
                redb::Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(failed("open"))?;
            let txn = database.begin_write().map_err(failed("open"))?;
            txn.open_table(RESOURCES).map_err(failed("open"))?;
            txn.open_table(ENTRIES).map_err(failed("open"))?;
            txn.commit().map_err(failed("open"))?;
            Ok(Self(Arc::new(database)))
        })
    }

    fn write_now(&self, changes: &[Change]) -> Result<(), StoreError> {
        let txn = self.0.begin_write().map_err(failed("write"))?;
        {
            let mut resources = txn.open_table(RESOURCES).map_err(failed("write"))?;
            let mut entries = txn.open_table(ENTRIES).map_err(failed("write"))?;
            for change in changes {
                match change {
                    Change::Resource(key, Some(value)) => {
                        resources.insert(key.as_str(), value.as_slice()).map_err(failed("write"))?;
                    }
                    Change::Resource(key, None) => {
                        resources.remove(key.as_str()).map_err(failed("write"))?;
                    }
                    Change::Entry(key, Some(value)) => {
                        entries.insert(key.as_str(), value.as_slice()).map_err(failed("write"))?;
                    }
                    Change::Entry(key, None) => {
                        entries.remove(key.as_str()).map_err(failed("write"))?;
                    }
                }
            }
        }
        txn.commit().map_err(failed("write"))
    }

    /// Writes all changes or none; on disk when it returns.
    pub(crate) async fn write(&self, changes: Vec<Change>) -> Result<(), StoreError> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.write_now(&changes))
            .await
            .map_err(|_| StoreError::Cancelled)?
    }

    fn read_resources(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let txn = self.0.begin_read().map_err(failed("read"))?;
        let table = txn.open_table(RESOURCES).map_err(failed("read"))?;
        table
            .iter()
            .map_err(failed("read"))?
            .map(|row| {
                let (key, value) = row.map_err(failed("read"))?;
                Ok((key.value().to_owned(), value.value().to_vec()))
            })
            .collect()
    }

    fn read_entries(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let txn = self.0.begin_read().map_err(failed("read"))?;
        let table = txn.open_table(ENTRIES).map_err(failed("read"))?;
        let mut found = Vec::new();
        for row in table.range(prefix..).map_err(failed("read"))? {
            let (key, value) = row.map_err(failed("read"))?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push((key.value().to_owned(), value.value().to_vec()));
        }
        Ok(found)
    }

    fn read_entry(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let txn = self.0.begin_read().map_err(failed("read"))?;
        let table = txn.open_table(ENTRIES).map_err(failed("read"))?;
        Ok(table.get(key).map_err(failed("read"))?.map(|v| v.value().to_vec()))
    }
}

/// What is held in memory: everything by key, and the keys of each type, so that asking for one type costs what that
/// type has and not what the cloud has.
#[derive(Default)]
struct Memory {
    all: BTreeMap<String, Arc<Resource>>,
    types: HashMap<String, BTreeSet<String>>,
    /// How often something of a namespace was written or removed, by the namespace in lower case.
    changes: HashMap<String, u64>,
}

impl Memory {
    fn count(&mut self, kind_type: &str) {
        let namespace = kind_type.split_once('/').map_or(kind_type, |(namespace, _)| namespace);
        *self.changes.entry(namespace.to_ascii_lowercase()).or_default() += 1;
    }

    fn insert(&mut self, key: String, resource: Resource) {
        self.count(&resource.kind_type);
        self.types.entry(resource.kind_type.to_ascii_lowercase()).or_default().insert(key.clone());
        self.all.insert(key, Arc::new(resource));
    }

    fn remove(&mut self, key: &str) {
        let Some(gone) = self.all.remove(key) else { return };
        self.count(&gone.kind_type);
        if let Some(keys) = self.types.get_mut(&gone.kind_type.to_ascii_lowercase()) {
            keys.remove(key);
        }
    }
}

/// All resources. Cheap to clone; clones are the same store.
///
/// This is the trusted side: no authorisation happens here. Providers use it for their own types and go through
/// [`ArmClient`](crate::ArmClient) for everybody else's.
#[derive(Clone)]
pub struct Resources {
    database: Database,
    memory: Arc<RwLock<Memory>>,
    writing: Arc<tokio::sync::Mutex<()>>,
    changed: watch::Sender<u64>,
    observer: Arc<OnceLock<Observer>>,
}

/// Told of each write: what was there before, and what is there now.
type Observer = Box<dyn Fn(Option<&Resource>, &Resource) + Send + Sync>;

impl Resources {
    pub(crate) fn open(database: Database) -> Result<Self, StoreError> {
        let mut memory = Memory::default();
        for (key, bytes) in database.read_resources()? {
            let resource: Resource = serde_json::from_slice(&bytes)
                .map_err(|source| StoreError::Decode { key: key.clone(), source })?;
            memory.insert(key, resource);
        }
        Ok(Self {
            database,
            memory: Arc::new(RwLock::new(memory)),
            writing: Arc::default(),
            changed: watch::Sender::new(0),
            observer: Arc::default(),
        })
    }

    /// Names who is told of each write; the first stays.
    pub(crate) fn observe(&self, observer: impl Fn(Option<&Resource>, &Resource) + Send + Sync + 'static) {
        let _ = self.observer.set(Box::new(observer));
    }

    /// Takes over in memory what is on disk.
    fn keep(&self, key: String, resource: &Resource) {
        let before = {
            let mut memory = self.memory.write();
            let before = memory.all.get(&key).cloned();
            memory.insert(key, resource.clone());
            before
        };
        self.changed.send_modify(|n| *n += 1);
        if let Some(observer) = self.observer.get() {
            observer(before.as_deref(), resource);
        }
    }

    /// The resource with this id.
    pub fn get(&self, id: &ResourceId) -> Option<Arc<Resource>> {
        self.memory.read().all.get(id.key()).cloned()
    }

    /// Whether it is there.
    pub fn exists(&self, id: &ResourceId) -> bool {
        self.memory.read().all.contains_key(id.key())
    }

    /// Everything there is, in the order of keys.
    pub(crate) fn everything(&self) -> Vec<Arc<Resource>> {
        self.memory.read().all.values().cloned().collect()
    }

    /// Everything below `scope`, without itself, in the order of keys.
    pub fn list(&self, scope: &ResourceId) -> Vec<Arc<Resource>> {
        let prefix = format!("{}/", scope.key());
        let memory = self.memory.read();
        memory
            .all
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .map(|(_, r)| r.clone())
            .collect()
    }

    /// Everything of one type below `scope`.
    pub fn list_type(&self, scope: &ResourceId, full_type: &str) -> Vec<Arc<Resource>> {
        let prefix = format!("{}/", scope.key());
        let memory = self.memory.read();
        let Some(keys) = memory.types.get(&full_type.to_ascii_lowercase()) else { return Vec::new() };
        keys.range(prefix.clone()..)
            .take_while(|key| key.starts_with(&prefix))
            .filter_map(|key| memory.all.get(key).cloned())
            .collect()
    }

    /// Writes a resource with a new ETag and answers it as stored.
    pub async fn save(&self, mut resource: Resource) -> Result<Resource, StoreError> {
        resource.etag = uuid::Uuid::new_v4().to_string();
        let key = resource.id.key().to_owned();
        let bytes = encode(&key, &resource)?;
        let _turn = self.writing.lock().await;
        self.database.write(vec![Change::Resource(key.clone(), Some(bytes))]).await?;
        self.keep(key, &resource);
        Ok(resource)
    }

    /// Writes several resources in one step, each with a new ETag.
    pub async fn save_all(&self, mut resources: Vec<Resource>) -> Result<(), StoreError> {
        let mut changes = Vec::with_capacity(resources.len());
        for resource in &mut resources {
            resource.etag = uuid::Uuid::new_v4().to_string();
            let key = resource.id.key().to_owned();
            let bytes = encode(&key, resource)?;
            changes.push(Change::Resource(key, Some(bytes)));
        }
        let _turn = self.writing.lock().await;
        self.database.write(changes).await?;
        for resource in resources {
            self.keep(resource.id.key().to_owned(), &resource);
        }
        Ok(())
    }

    /// Reads the resource, changes it and writes it, without anybody writing in between. `None`: it is not there, or
    /// `change` answered false and nothing was written.
    pub async fn modify<F>(&self, id: &ResourceId, change: F) -> Result<Option<Resource>, StoreError>
    where
        F: FnOnce(&mut Resource) -> bool + Send,
    {
        let _turn = self.writing.lock().await;
        let Some(found) = self.get(id) else { return Ok(None) };
        let mut resource = (*found).clone();
        if !change(&mut resource) {
            return Ok(None);
        }
        resource.etag = uuid::Uuid::new_v4().to_string();
        let key = resource.id.key().to_owned();
        let bytes = encode(&key, &resource)?;
        self.database.write(vec![Change::Resource(key.clone(), Some(bytes))]).await?;
        self.keep(key, &resource);
        Ok(Some(resource))
    }

    /// Forgets a resource and everything below it.
    pub async fn remove(&self, id: &ResourceId) -> Result<(), StoreError> {
        self.remove_with(id, Vec::new()).await
    }

    /// The same, and `more` in the same step: after a crash either all of it happened or nothing.
    pub(crate) async fn remove_with(&self, id: &ResourceId, more: Vec<Change>) -> Result<(), StoreError> {
        let _turn = self.writing.lock().await;
        let mut keys: Vec<String> = self.list(id).iter().map(|r| r.id.key().to_owned()).collect();
        keys.push(id.key().to_owned());
        let mut changes: Vec<Change> = keys.iter().map(|key| Change::Resource(key.clone(), None)).collect();
        changes.extend(more);
        self.database.write(changes).await?;
        {
            let mut memory = self.memory.write();
            for key in &keys {
                memory.remove(key);
            }
        }
        self.changed.send_modify(|n| *n += 1);
        Ok(())
    }

    /// Ticks at every change of any resource.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// How many changes there were in these namespaces since the store was opened: who follows them looks at nothing again
    /// while this stays the same.
    pub fn changes_of(&self, namespaces: &[&str]) -> u64 {
        let memory = self.memory.read();
        let count = |namespace: &&str| memory.changes.get(&namespace.to_ascii_lowercase()).copied();
        namespaces.iter().filter_map(count).sum()
    }

    /// A table for a provider's private state, durable like the resources. The name must not hold `/`.
    pub fn table(&self, name: &str) -> Table {
        Table { database: self.database.clone(), prefix: format!("{name}/") }
    }
}

fn encode<T: Serialize>(key: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|source| StoreError::Decode { key: key.to_owned(), source })
}

/// A named map from text to JSON, for private state: sagas' journals, keys, counters. Cheap to clone.
#[derive(Clone)]
pub struct Table {
    database: Database,
    prefix: String,
}

impl Table {
    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The value of a key.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StoreError> {
        let key = self.key(key);
        let Some(bytes) = self.database.read_entry(&key)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|source| StoreError::Decode { key, source })
    }

    /// Sets a key; on disk when it returns.
    pub async fn put<T: Serialize + Sync>(&self, key: &str, value: &T) -> Result<(), StoreError> {
        self.database.write(vec![self.change(key, value)?]).await
    }

    /// The change that sets a key, for whoever writes it together with others.
    pub(crate) fn change<T: Serialize>(&self, key: &str, value: &T) -> Result<Change, StoreError> {
        let key = self.key(key);
        let bytes = encode(&key, value)?;
        Ok(Change::Entry(key, Some(bytes)))
    }

    /// Sets several keys in one step; on disk when it returns.
    pub async fn put_all<T: Serialize + Sync>(&self, rows: &[(String, T)]) -> Result<(), StoreError> {
        let mut changes = Vec::with_capacity(rows.len());
        for (key, value) in rows {
            let key = self.key(key);
            let bytes = encode(&key, value)?;
            changes.push(Change::Entry(key, Some(bytes)));
        }
        self.database.write(changes).await
    }

    /// Sets and removes several keys in one step: after a crash either all of it happened or nothing.
    pub async fn apply<T: Serialize + Sync>(
        &self,
        changes: &[(String, Option<T>)],
    ) -> Result<(), StoreError> {
        let change = |(key, value): &(String, Option<T>)| {
            let key = self.key(key);
            let bytes = value.as_ref().map(|value| encode(&key, value)).transpose()?;
            Ok(Change::Entry(key, bytes))
        };
        let changes = changes.iter().map(change).collect::<Result<Vec<_>, StoreError>>()?;
        self.database.write(changes).await
    }

    /// Removes a key; one that is not there is fine.
    pub async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.database.write(vec![Change::Entry(self.key(key), None)]).await
    }

    /// Removes several keys in one step.
    pub async fn remove_all(&self, keys: &[String]) -> Result<(), StoreError> {
        self.database.write(keys.iter().map(|key| Change::Entry(self.key(key), None)).collect()).await
    }

    /// Every entry whose key begins with `prefix`, in the order of keys.
    pub fn list<T: DeserializeOwned>(&self, prefix: &str) -> Result<Vec<(String, T)>, StoreError> {
        self.database
            .read_entries(&self.key(prefix))?
            .into_iter()
            .map(|(key, bytes)| {
                let value = serde_json::from_slice(&bytes)
                    .map_err(|source| StoreError::Decode { key: key.clone(), source })?;
                Ok((key[self.prefix.len()..].to_owned(), value))
            })
            .collect()
    }
}
