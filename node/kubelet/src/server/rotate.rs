//! Log files are moved away at 10 MiB; five are kept per container.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::runtime::ContainerState;
use crate::shared::Shared;

const SIZE_MAX_BYTES: u64 = 10 << 20;
const FILES_MAX: usize = 5;
const LOOK: Duration = Duration::from_secs(10);

/// Rotates for ever.
pub async fn keep(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(LOOK).await;
        for (id, path) in running(&shared).await {
            if std::fs::metadata(&path).map_or(0, |meta| meta.len()) < SIZE_MAX_BYTES {
                continue;
            }
            if let Err(error) = rotate(&path, shared.config.clock.now()) {
                tracing::warn!(path = %path.display(), %error, "failed to rotate a log");
                continue;
            }
            if let Err(error) = shared.config.runtime.reopen_log(&id).await {
                tracing::warn!(path = %path.display(), %error, "failed to reopen a log");
            }
        }
    }
}

async fn running(shared: &Shared) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for container in shared.config.runtime.list_containers(None).await.unwrap_or_default() {
        if container.state() != ContainerState::ContainerRunning {
            continue;
        }
        let labels = &container.labels;
        let label = |key: &str| labels.get(key).cloned().unwrap_or_default();
        let pod = format!(
            "{}_{}_{}",
            label(crate::labels::POD_NAMESPACE),
            label(crate::labels::POD_NAME),
            label(crate::labels::POD_UID)
        );
        let attempt = container.annotations.get(crate::labels::RESTART_COUNT).cloned().unwrap_or_default();
        let directory = shared.config.pod_log_dir.join(pod).join(label(crate::labels::CONTAINER_NAME));
        found.push((container.id, directory.join(format!("{attempt}.log"))));
    }
    found
}

fn rotate(path: &Path, now: jiff::Timestamp) -> std::io::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut old: Vec<PathBuf> = std::fs::read_dir(directory)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|one| {
            one.file_name().is_some_and(|own| own.to_string_lossy().starts_with(&format!("{name}.")))
        })
        .collect();
    old.sort();
    // The file in use and the one made now count too.
    let surplus = (old.len() + 2).saturating_sub(FILES_MAX);
    for one in old.iter().take(surplus) {
        std::fs::remove_file(one)?;
    }
    std::fs::rename(path, directory.join(format!("{name}.{}", now.strftime("%Y%m%d-%H%M%S"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_files_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        for second in 0..8 {
            std::fs::write(&path, second.to_string()).unwrap();
            rotate(&path, jiff::Timestamp::from_second(1_700_000_000 + second).unwrap()).unwrap();
        }
        std::fs::write(&path, "now").unwrap();
        let mut names: Vec<_> =
            std::fs::read_dir(directory.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names.len(), FILES_MAX);
        assert_eq!(std::fs::read_to_string(directory.path().join(&names[4])).unwrap(), "7");
    }
}
