//! Sagas' journals as files: one per running operation, replaced in one step, readable by the owner only.

use std::path::PathBuf;

use kit::files::{self, FileError, Readers};
use reconcile::saga::{Entry, Journal, JournalError};

/// A directory of journals.
#[derive(Debug, Clone)]
pub struct FileJournal(pub PathBuf);

fn failed<E: std::error::Error + Send + Sync + 'static>(
    deed: &'static str,
    id: &str,
) -> impl FnOnce(E) -> JournalError {
    let id = id.to_owned();
    move |source| JournalError { deed, id, source: Box::new(source) }
}

impl FileJournal {
    /// Removes what an earlier run of the service left of operations that are over: their journals, and writes cut short.
    pub(crate) fn sweep(&self, is_running: impl Fn(&str) -> bool) -> Result<(), FileError> {
        for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            // `<id>.json`, or `.<id>.json.<chance>` while it is written; a running operation may be writing it now.
            let id = name.trim_start_matches('.').split(".json").next().unwrap_or_default();
            if !is_running(id) {
                files::remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.json"))
    }
}

impl Journal for FileJournal {
    fn write(&self, id: &str, entry: &Entry) -> Result<(), JournalError> {
        let bytes = serde_json::to_vec(entry).map_err(failed("write", id))?;
        files::write_atomic(&self.path(id), &bytes, Readers::Owner).map_err(failed("write", id))
    }

    fn read(&self, id: &str) -> Result<Option<Entry>, JournalError> {
        match files::read(&self.path(id)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(failed("read", id)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(failed("read", id)(error)),
        }
    }

    fn forget(&self, id: &str) -> Result<(), JournalError> {
        files::remove(&self.path(id)).map_err(failed("write", id))?;
        // An earlier run of the service may have ended in the middle of a write.
        let cut_short = format!(".{id}.json.");
        for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&cut_short) {
                files::remove(&entry.path()).map_err(failed("write", id))?;
            }
        }
        Ok(())
    }

    fn unfinished(&self) -> Result<Vec<(String, Entry)>, JournalError> {
        let Ok(listing) = std::fs::read_dir(&self.0) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in listing.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(id) = name.strip_suffix(".json").filter(|id| !id.starts_with('.')) else { continue };
            if let Some(entry) = self.read(id)? {
                found.push((id.to_owned(), entry));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_journals_of_running_operations_survive_a_start() {
        let dir = tempfile::tempdir().unwrap();
        let journal = FileJournal(dir.path().to_owned());
        for name in ["runs.json", ".runs.json.1f", "over.json", ".cut-short.json.2e"] {
            std::fs::write(dir.path().join(name), b"{}").unwrap();
        }
        journal.sweep(|id| id == "runs").unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".runs.json.1f", "runs.json"]);
        journal.forget("runs").unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "what was cut short goes with the end");
        FileJournal(dir.path().join("not-made-yet")).sweep(|_| false).unwrap();
    }
}
