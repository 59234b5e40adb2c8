//! The directory's objects: in memory for reading, in one redb file for good.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::entra::EntraError;
use crate::model::{
    Application, Group, PermissionGrant, Refresh, RoleAssignment, ServicePrincipal, Tenant, User,
};

const OBJECTS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("objects");
/// What of the file is kept in memory: little, since it is read once and then only written. The library's own measure is 1 GiB.
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Everything, by id.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub tenant: Option<Tenant>,
    pub applications: BTreeMap<String, Application>,
    pub principals: BTreeMap<String, ServicePrincipal>,
    pub users: BTreeMap<String, User>,
    pub groups: BTreeMap<String, Group>,
    pub refresh: BTreeMap<String, Refresh>,
    pub roles: BTreeMap<String, RoleAssignment>,
    pub grants: BTreeMap<String, PermissionGrant>,
}

/// One object to write or forget.
pub(crate) enum Change {
    Put(String, Vec<u8>),
    Remove(String),
}

pub(crate) struct Store {
    database: Arc<redb::Database>,
    pub state: RwLock<State>,
    turn: tokio::sync::Mutex<()>,
}

fn failed<E: Into<redb::Error>>(source: E) -> EntraError {
    EntraError::Database(Box::new(source.into()))
}

fn decode<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, EntraError> {
    serde_json::from_slice(bytes).map_err(|source| EntraError::Decode { key: key.to_owned(), source })
}

/// An object's record. `kind` is `tenant`, `app`, `sp`, `user`, `group`, `refresh`, `role` or `grant`.
pub(crate) fn put<T: Serialize>(kind: &str, id: &str, value: &T) -> Result<Change, EntraError> {
    let key = format!("{kind}/{id}");
    let bytes =
        serde_json::to_vec(value).map_err(|source| EntraError::Decode { key: key.clone(), source })?;
    Ok(Change::Put(key, bytes))
}

pub(crate) fn remove(kind: &str, id: &str) -> Change {
    Change::Remove(format!("{kind}/{id}"))
}

impl State {
    fn load(&mut self, key: &str, bytes: &[u8]) -> Result<(), EntraError> {
        let Some((kind, id)) = key.split_once('/') else { return Ok(()) };
        let id = id.to_owned();
        match kind {
            "tenant" => self.tenant = Some(decode(key, bytes)?),
            "app" => drop(self.applications.insert(id, decode(key, bytes)?)),
            "sp" => drop(self.principals.insert(id, decode(key, bytes)?)),
            "user" => drop(self.users.insert(id, decode(key, bytes)?)),
            "group" => drop(self.groups.insert(id, decode(key, bytes)?)),
            "refresh" => drop(self.refresh.insert(id, decode(key, bytes)?)),
            "role" => drop(self.roles.insert(id, decode(key, bytes)?)),
            "grant" => drop(self.grants.insert(id, decode(key, bytes)?)),
            _ => {}
        }
        Ok(())
    }

    fn forget(&mut self, key: &str) {
        let Some((kind, id)) = key.split_once('/') else { return };
        match kind {
            "app" => drop(self.applications.remove(id)),
            "sp" => drop(self.principals.remove(id)),
            "user" => drop(self.users.remove(id)),
            "group" => drop(self.groups.remove(id)),
            "refresh" => drop(self.refresh.remove(id)),
            "role" => drop(self.roles.remove(id)),
            "grant" => drop(self.grants.remove(id)),
            _ => {}
        }
    }

    /// A service principal by its application id.
    pub fn principal_of(&self, app_id: &str) -> Option<&ServicePrincipal> {
        self.principals.values().find(|p| p.app_id.eq_ignore_ascii_case(app_id))
    }

    /// An application by its application id.
    pub fn application_of(&self, app_id: &str) -> Option<&Application> {
        self.applications.values().find(|a| a.app_id.eq_ignore_ascii_case(app_id))
    }

    /// A user by id or user principal name.
    pub fn user(&self, id_or_upn: &str) -> Option<&User> {
        self.users
            .get(&id_or_upn.to_ascii_lowercase())
            .or_else(|| self.users.values().find(|u| u.upn.eq_ignore_ascii_case(id_or_upn)))
    }

    /// Members of a group, those of groups in it included.
    pub fn members_of(&self, group_id: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let mut ask = vec![group_id.to_owned()];
        while let Some(group) = ask.pop().and_then(|id| self.groups.get(&id)) {
            for member in &group.members {
                if !found.contains(member) {
                    found.push(member.clone());
                    ask.push(member.clone());
                }
            }
            // A member that is no group ends the walk of its branch only.
            ask.retain(|id| self.groups.contains_key(id));
        }
        found
    }

    /// Who may change an application, principal or group.
    pub fn owners_of(&self, id: &str) -> Option<&Vec<String>> {
        let app = self.applications.get(id).map(|a| &a.owners);
        let principal = || self.principals.get(id).map(|p| &p.owners);
        let group = || self.groups.get(id).map(|g| &g.owners);
        app.or_else(principal).or_else(group)
    }

    /// The groups an object is in, directly or through other groups.
    pub fn groups_of(&self, object_id: &str) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let mut ask = vec![object_id.to_owned()];
        while let Some(member) = ask.pop() {
            for group in self.groups.values() {
                if group.members.contains(&member) && !found.contains(&group.id) {
                    found.push(group.id.clone());
                    ask.push(group.id.clone());
                }
            }
        }
        found.sort();
        found
    }
}

impl Store {
    pub(crate) fn open(path: &Path) -> Result<Self, EntraError> {
        let database = kit::files::open_whole(path, |path| {
            // Keys and hashes live here.
            owner_only(path)?;
            let database =
                redb::Database::builder().set_cache_size(CACHE_BYTES).create(path).map_err(failed)?;
            let txn = database.begin_write().map_err(failed)?;
            txn.open_table(OBJECTS).map_err(failed)?;
            txn.commit().map_err(failed)?;
            Ok::<_, EntraError>(database)
        })?;
        let mut state = State::default();
        {
            let txn = database.begin_read().map_err(failed)?;
            let table = txn.open_table(OBJECTS).map_err(failed)?;
            for row in table.iter().map_err(failed)? {
                let (key, value) = row.map_err(failed)?;
                state.load(key.value(), value.value())?;
            }
        }
        Ok(Self {
            database: Arc::new(database),
            state: RwLock::new(state),
            turn: tokio::sync::Mutex::default(),
        })
    }

    /// Decides on the state and writes what was decided; nobody else writes in between. On disk when it returns.
    pub(crate) async fn change<T, F>(&self, decide: F) -> Result<T, EntraError>
    where
        F: FnOnce(&State) -> Result<(T, Vec<Change>), EntraError>,
    {
        let _turn = self.turn.lock().await;
        let (answer, changes) = decide(&self.state.read())?;
        if changes.is_empty() {
            return Ok(answer);
        }
        let changes = Arc::new(changes);
        let (database, writing) = (self.database.clone(), changes.clone());
        tokio::task::spawn_blocking(move || write(&database, &writing))
            .await
            .map_err(|_| EntraError::Cancelled)??;
        let mut state = self.state.write();
        for change in changes.iter() {
            match change {
                Change::Put(key, bytes) => state.load(key, bytes)?,
                Change::Remove(key) => state.forget(key),
            }
        }
        Ok(answer)
    }
}

fn write(database: &redb::Database, changes: &[Change]) -> Result<(), EntraError> {
    let txn = database.begin_write().map_err(failed)?;
    {
        let mut table = txn.open_table(OBJECTS).map_err(failed)?;
        for change in changes {
            match change {
                Change::Put(key, bytes) => {
                    drop(table.insert(key.as_str(), bytes.as_slice()).map_err(failed)?)
                }
                Change::Remove(key) => drop(table.remove(key.as_str()).map_err(failed)?),
            }
        }
    }
    txn.commit().map_err(failed)
}

fn owner_only(path: &Path) -> Result<(), EntraError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(|source| {
        EntraError::Files(kit::files::FileError { deed: "protect", path: path.to_owned(), source })
    })
}
