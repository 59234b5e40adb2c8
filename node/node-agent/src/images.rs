//! Images from archives: what lies in `/var/lib/lazurite/images` is in containerd, also what comes later.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kit::files::{Readers, read, write_atomic};
use serde::{Deserialize, Serialize};

use crate::containerd::SOCKET;
use crate::error::{BootError, Cause};

/// Where archives lie.
pub(crate) const DIRECTORY: &str = "/var/lib/lazurite/images";
const IMPORTED: &str = "/var/lib/lazurite/imported.json";

/// Archives already imported, by path, as they were then.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Imported(BTreeMap<PathBuf, (u64, i64)>);

fn archives() -> Vec<(PathBuf, (u64, i64))> {
    let mut found: Vec<_> = fs::read_dir(DIRECTORY)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "tar"))
        .filter_map(|path| {
            let meta = fs::metadata(&path).ok()?;
            Some((path, (meta.size(), meta.mtime())))
        })
        .collect();
    found.sort();
    found
}

/// Imports what is new; how many archives that were.
pub(crate) async fn import() -> Result<usize, BootError> {
    let record = Path::new(IMPORTED);
    let mut imported: Imported =
        read(record).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
    let mut count = 0;
    for (path, version) in archives() {
        if imported.0.get(&path) == Some(&version) {
            continue;
        }
        let failed = |source: Cause| BootError::Image { path: path.clone(), source };
        import_one(&path).await.map_err(failed)?;
        imported.0.insert(path.clone(), version);
        let bytes = serde_json::to_vec(&imported).map_err(|e| failed(e.into()))?;
        write_atomic(record, &bytes, Readers::Everyone).map_err(|e| failed(e.into()))?;
        count += 1;
    }
    Ok(count)
}

async fn import_one(path: &Path) -> Result<(), Cause> {
    let path = path.display().to_string();
    let argv = ["ctr", "--address", SOCKET, "--namespace", "k8s.io", "images", "import", path.as_str()]
        .map(String::from);
    tokio::task::spawn_blocking(move || linux::Command::new(argv).run()).await??;
    Ok(())
}

/// Imports archives that come while the node runs, for ever.
pub(crate) async fn keep() {
    let mut changes = match linux::watch::Directory::new(Path::new(DIRECTORY)) {
        Ok(changes) => changes,
        Err(error) => {
            tracing::error!(%error, "failed to watch for images");
            return;
        }
    };
    loop {
        match import().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "images were imported"),
            Err(error) => tracing::error!(error = %kit::Chain(&error), "an image was not imported"),
        }
        if let Err(error) = changes.changed().await {
            tracing::error!(%error, "failed to watch for images");
            return;
        }
    }
}
