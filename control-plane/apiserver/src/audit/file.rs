//! Events as lines of JSON in a file, which is put aside when it has grown.
//!
//! Writing happens on a task of its own; a request never waits for the disk. When events come faster than the disk takes them, what does
//! not fit the queue is lost and counted.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::{AuditSink, Category, Recorded};

/// Events that wait to be written at most.
const QUEUE_MAX: usize = 10_000;

/// Where and how much.
#[derive(Debug, Clone)]
pub struct FileSettings {
    /// The file; others stand beside it under its name with the time.
    pub path: PathBuf,
    /// When it has grown to this, it is put aside.
    pub size_bytes_max: u64,
    /// How many are kept aside.
    pub kept_max: usize,
    /// Which events.
    pub category: Category,
}

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to open the audit log `{}`", path.display())]
pub struct FileError {
    path: PathBuf,
    #[source]
    source: std::io::Error,
}

/// The sink.
pub struct FileSink {
    category: Category,
    queue: mpsc::Sender<Arc<Recorded>>,
    lost: AtomicU64,
}

impl FileSink {
    /// Opens the file, readable for its owner only, and writes until `tasks` stop.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(
        settings: FileSettings,
        clock: Arc<dyn kit::Clock>,
        tasks: &kit::Tasks,
    ) -> Result<Arc<Self>, FileError> {
        let (queue, mut waiting) = mpsc::channel::<Arc<Recorded>>(QUEUE_MAX);
        let category = settings.category;
        let mut log = Log::open(settings, clock)?;
        let stopping = tasks.clone();
        tasks.spawn_careful("audit-log", async move {
            loop {
                let mut events = Vec::new();
                let count = tokio::select! {
                    count = waiting.recv_many(&mut events, 512) => count,
                    () = stopping.stopped() => {
                        waiting.close();
                        waiting.recv_many(&mut events, QUEUE_MAX).await
                    }
                };
                if count == 0 {
                    return;
                }
                let written = tokio::task::spawn_blocking(move || {
                    log.write(&events);
                    log
                });
                match written.await {
                    Ok(back) => log = back,
                    Err(error) => {
                        tracing::error!(%error, "the audit log broke");
                        return;
                    }
                }
            }
        });
        Ok(Arc::new(Self { category, queue, lost: AtomicU64::new(0) }))
    }
}

impl AuditSink for FileSink {
    fn accept(&self, event: &Arc<Recorded>) {
        if self.category == Category::Admin && !event.admin {
            return;
        }
        if self.queue.try_send(event.clone()).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

struct Log {
    settings: FileSettings,
    clock: Arc<dyn kit::Clock>,
    file: File,
    size_bytes: u64,
}

fn open(path: &Path) -> Result<(File, u64), FileError> {
    let failed = |source| FileError { path: path.to_owned(), source };
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    Ok((file, size))
}

impl Log {
    fn open(settings: FileSettings, clock: Arc<dyn kit::Clock>) -> Result<Self, FileError> {
        let (file, size_bytes) = open(&settings.path)?;
        Ok(Self { settings, clock, file, size_bytes })
    }

    fn write(&mut self, events: &[Arc<Recorded>]) {
        let mut buffer = Vec::new();
        for event in events {
            let full =
                self.size_bytes + (buffer.len() + event.line.len()) as u64 > self.settings.size_bytes_max;
            if full && self.size_bytes + buffer.len() as u64 > 0 {
                self.flush(&mut buffer);
                self.put_aside();
            }
            buffer.extend_from_slice(&event.line);
            buffer.push(b'\n');
        }
        self.flush(&mut buffer);
    }

    fn flush(&mut self, buffer: &mut Vec<u8>) {
        if let Err(error) = self.file.write_all(buffer) {
            tracing::error!(%error, "failed to write the audit log");
        }
        self.size_bytes += buffer.len() as u64;
        buffer.clear();
    }

    /// `audit.log` becomes `audit-2026-11-29T15-04-05.123456.log`; the oldest go.
    fn put_aside(&mut self) {
        let path = &self.settings.path;
        let time = self.clock.now().strftime("%Y-%m-%dT%H-%M-%S%.6f").to_string();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("audit").to_owned();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("log").to_owned();
        let named = |suffix: &str| path.with_file_name(format!("{stem}-{time}{suffix}.{extension}"));
        let free = std::iter::once(String::new()).chain((1..).map(|number| format!("-{number:03}")));
        let aside = free.map(|suffix| named(&suffix)).find(|path| !path.exists());
        let renamed = aside.map_or(Ok(()), |aside| std::fs::rename(path, aside));
        if let Err(error) = renamed {
            tracing::error!(%error, "failed to put the audit log aside");
        }
        match open(path) {
            Ok((file, size_bytes)) => (self.file, self.size_bytes) = (file, size_bytes),
            Err(error) => tracing::error!(error = %kit::Chain(&error), "failed to begin a new audit log"),
        }
        self.forget_oldest(&format!("{stem}-"), &extension);
    }

    fn forget_oldest(&self, prefix: &str, extension: &str) {
        let Some(directory) = self.settings.path.parent() else { return };
        let Ok(entries) = std::fs::read_dir(directory) else { return };
        let is_ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // The time begins with a digit: `audit-admin.log` is another log.
            name.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
                && path.extension().is_some_and(|have| have == extension)
        };
        let mut aside: Vec<PathBuf> =
            entries.filter_map(Result::ok).map(|entry| entry.path()).filter(is_ours).collect();
        aside.sort();
        let surplus = aside.len().saturating_sub(self.settings.kept_max);
        for path in aside.into_iter().take(surplus) {
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "failed to remove an old audit log");
            }
        }
    }
}
