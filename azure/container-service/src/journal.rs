//! Sagas' journals as files: one per running operation, replaced in one step, readable by the owner only.

use std::path::PathBuf;

use kit::files::{self, Readers};
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
        files::remove(&self.path(id)).map_err(failed("write", id))
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
