//! The serial log: a line per step, with seconds since the boot began.

use std::sync::Arc;

use tokio::time::Instant;

/// Where the lines of a boot go. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Report {
    began: Instant,
    write: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Report {
    pub fn new(write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { began: Instant::now(), write: Arc::new(write) }
    }

    pub fn line(&self, text: &str) {
        (self.write)(&format!("[{:9.3}] {text}", self.began.elapsed().as_secs_f64()));
    }

    /// Does a step and tells how it went and how long it took.
    pub async fn step<T, E: std::error::Error + 'static>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let began = Instant::now();
        let done = work.await;
        let took = began.elapsed().as_millis();
        match &done {
            Ok(_) => self.line(&format!("{name}: done in {took} ms")),
            Err(error) => self.line(&format!("{name}: FAILED after {took} ms: {}", kit::Chain(error))),
        }
        done
    }
}
