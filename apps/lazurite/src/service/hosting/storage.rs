//! Where one control plane keeps its objects, and what is done for them: encryption, compaction, snapshots.
//!
//! ```text
//! <state>/clusters/<id>/   store.redb  encryption.keys (0600)  snapshots/<time>-<revision>.snapshot
//! ```
//!
//! With an etcd the objects are there, below `/lazurite/clusters/<id>`, and its own tools take the snapshots.
//!
//! Secrets are encrypted at rest with the cluster's own key; what an older service stored plainly is encrypted after the start. A snapshot
//! does not hold the key: keep `encryption.keys` with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use container_service::ControlPlaneError;
use kit::Tasks;
use store::encrypted::{Configuration, Encrypted, FileKeys, KeySource, Keyring};
use store::upkeep::{self, Schedule};
use store::{Embedded, Store};

use super::failed;

const STORE: &str = "store.redb";
const KEYS: &str = "encryption.keys";
const SNAPSHOTS: &str = "snapshots";
const SNAPSHOT_EVERY: Duration = Duration::from_secs(6 * 3600);
const SNAPSHOTS_KEPT: usize = 4;
/// What is encrypted at rest, as upstream's documentation asks for at least.
const ENCRYPTED: [&str; 1] = ["secrets"];

/// An open store.
pub(crate) struct Storage {
    /// None when the objects are in etcd.
    embedded: Option<Arc<Embedded>>,
    store: Arc<dyn Store>,
}

impl Storage {
    /// Opens or makes the store in a cluster's directory; its upkeep ends with `tasks`.
    pub(crate) async fn open(
        dir: &Path,
        etcd: Option<&etcd::Options>,
        tasks: &Tasks,
    ) -> Result<Self, ControlPlaneError> {
        let (embedded, below): (_, Arc<dyn Store>) = match etcd {
            Some(options) => {
                let id = dir.file_name().unwrap_or_default().to_string_lossy();
                let options = etcd::Options { prefix: format!("/lazurite/clusters/{id}"), ..options.clone() };
                let store = etcd::Etcd::open(options, tasks)
                    .await
                    .map_err(failed("open the cluster's store in etcd"))?;
                (None, store)
            }
            None => {
                let embedded = Embedded::open(&store_file(dir), store::Options::default(), tasks)
                    .map_err(failed("open the cluster's store"))?;
                keep(&embedded, dir, tasks);
                (Some(embedded.clone()), embedded)
            }
        };
        let keyring = keyring(&dir.join(KEYS), below.as_ref()).await?;
        let encrypted = Encrypted::new(below, Configuration::seal(ENCRYPTED), &keyring);
        let resealed = encrypted.clone();
        tasks.spawn("store encryption", async move {
            match resealed.reseal().await {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "values that were stored plainly are encrypted"),
                Err(error) => {
                    tracing::error!(error = %kit::Chain(&error), "failed to encrypt what is stored plainly")
                }
            }
        });
        upkeep::compact(encrypted.clone(), upkeep::COMPACT_EVERY, tasks);
        Ok(Self { embedded, store: encrypted })
    }

    /// The store, as the API server uses it.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// Writes what waits and gives the file back.
    pub(crate) async fn close(&self) {
        if let Some(embedded) = &self.embedded {
            embedded.close().await;
        }
    }
}

/// The cluster's keys. New ones are made for a store in which nothing is sealed; where something is, the file has to be there.
async fn keyring(path: &Path, store: &dyn Store) -> Result<Keyring, ControlPlaneError> {
    let sealed =
        async || store::encrypted::holds_sealed(store).await.map_err(failed("read the cluster's store"));
    if !path.exists() && sealed().await? {
        return Err(failed("load the cluster's encryption keys")(format!(
            "`{}` is missing and the cluster's Secrets are sealed with the keys in it; put it back from a backup, then restart",
            path.display()
        )));
    }
    FileKeys::new(path).load().await.map_err(failed("load the cluster's encryption keys"))
}

/// What a file needs and etcd does itself.
fn keep(embedded: &Arc<Embedded>, dir: &Path, tasks: &Tasks) {
    upkeep::reclaim(embedded, upkeep::COMPACT_EVERY, tasks);
    let schedule = Schedule { folder: snapshots_folder(dir), every: SNAPSHOT_EVERY, keep: SNAPSHOTS_KEPT };
    upkeep::snapshots(embedded, schedule, Arc::new(kit::SystemClock), tasks);
}

/// The store's file in a cluster's directory.
pub(crate) fn store_file(dir: &Path) -> PathBuf {
    dir.join(STORE)
}

/// The folder of a cluster's snapshots.
pub(crate) fn snapshots_folder(dir: &Path) -> PathBuf {
    dir.join(SNAPSHOTS)
}
