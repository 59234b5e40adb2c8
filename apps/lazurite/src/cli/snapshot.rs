//! `lazurite snapshot`: what clusters' stores were at some times, and how to go back there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::output::say;
use crate::place::State;
use crate::service::hosting::storage;

/// What to do with snapshots.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Snapshot {
    /// List the snapshots of all clusters, newest first
    List,
    /// Check that a snapshot is whole
    Verify {
        /// The snapshot.
        file: PathBuf,
    },
    /// Make a cluster's store what it was in a snapshot; the service must be down
    Restore {
        /// The cluster: its name or resource id.
        #[arg(short, long)]
        name: String,
        /// The snapshot, if not the newest one.
        #[arg(long)]
        from: Option<PathBuf>,
    },
}

/// A cluster's directory, with its resource id.
struct Found {
    dir: PathBuf,
    cluster: String,
}

fn clusters(state: &State) -> Vec<Found> {
    let entries = std::fs::read_dir(state.join("clusters")).into_iter().flatten().flatten();
    let mut found: Vec<Found> = entries
        .filter_map(|entry| {
            let spec = kit::files::read(&entry.path().join("spec.json")).ok()?;
            let spec: Value = serde_json::from_slice(&spec).ok()?;
            Some(Found { dir: entry.path(), cluster: spec["cluster"].as_str()?.to_owned() })
        })
        .collect();
    found.sort_by(|left, right| left.cluster.cmp(&right.cluster));
    found
}

fn named<'a>(all: &'a [Found], name: &str) -> Result<&'a Found> {
    let is = |found: &&Found| {
        let last = found.cluster.rsplit('/').next().unwrap_or_default();
        found.cluster.eq_ignore_ascii_case(name) || last.eq_ignore_ascii_case(name)
    };
    let mut matching = all.iter().filter(is);
    match (matching.next(), matching.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => bail!("several clusters are named `{name}`; give the resource id"),
        (None, _) => bail!("no cluster is named `{name}`"),
    }
}

impl Snapshot {
    pub(crate) fn run(self) -> Result<()> {
        let state = State::locate();
        match self {
            Self::List => {
                for found in clusters(&state) {
                    for (file, revision) in store::upkeep::all(&storage::snapshots_folder(&found.dir)) {
                        say(format_args!("{}  revision {revision}  {}", found.cluster, file.display()))?;
                    }
                }
                Ok(())
            }
            Self::Verify { file } => {
                let whole =
                    store::verify(&file).with_context(|| format!("`{}` is not whole", file.display()))?;
                say(format_args!("{} keys at revision {}, {} bytes", whole.keys, whole.revision, whole.bytes))
            }
            Self::Restore { name, from } => {
                if state.running().is_some() {
                    bail!("the service runs; stop it first: lazurite down");
                }
                let all = clusters(&state);
                restore(&named(&all, &name)?.dir, from)
            }
        }
    }
}

/// The store that was there is kept beside the new one.
fn restore(dir: &Path, from: Option<PathBuf>) -> Result<()> {
    let from = match from {
        Some(from) => from,
        None => {
            let newest = store::upkeep::newest(&storage::snapshots_folder(dir));
            newest.context("the cluster has no snapshot yet")?.0
        }
    };
    store::verify(&from).with_context(|| format!("`{}` is not whole", from.display()))?;
    let file = storage::store_file(dir);
    let aside = file.with_extension("replaced.redb");
    if file.exists() {
        std::fs::rename(&file, &aside).context("failed to put the store aside")?;
    }
    let restored =
        store::restore(&from, &file).with_context(|| format!("failed to restore `{}`", from.display()))?;
    say(format_args!("{} keys restored; revisions go on from {}", restored.keys, restored.revision))?;
    if aside.exists() {
        eprintln!("The store that was there is `{}`.", aside.display());
    }
    eprintln!("Start the service again: lazurite up");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::{Embedded, Store, Txn};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_store_goes_back_and_what_it_replaces_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        assert!(restore(dir, None).is_err());
        let tasks = kit::Tasks::new();
        let store = Embedded::open(&storage::store_file(dir), store::Options::default(), &tasks).unwrap();
        store.commit(Txn::create("/registry/core/configmaps/default/a", "{}")).await.unwrap();
        let schedule = store::upkeep::Schedule {
            folder: storage::snapshots_folder(dir),
            every: std::time::Duration::from_secs(3600),
            keep: 2,
        };
        store::upkeep::take(&store, &schedule, &kit::SystemClock).unwrap();
        store.commit(Txn::create("/registry/core/configmaps/default/b", "{}")).await.unwrap();
        store.close().await;
        restore(dir, None).unwrap();
        let store = Embedded::open(&storage::store_file(dir), store::Options::default(), &tasks).unwrap();
        let found = store.range(store::Range::default()).await.unwrap();
        assert_eq!((found.items.len(), found.revision), (1, 2 + store::RESTORE_BUMP));
        assert!(dir.join("store.replaced.redb").exists());
    }
}
