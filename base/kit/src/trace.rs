//! Logging: one line per event to standard error or a file, filtered by `LAZURITE_LOG`.

use tracing_subscriber::EnvFilter;

/// The environment variable that filters the log, in `tracing`'s syntax. Default: `info`.
pub const LOG_VARIABLE: &str = "LAZURITE_LOG";

/// Starts logging to standard error. A second call changes nothing.
pub fn start() {
    let filter = EnvFilter::try_from_env(LOG_VARIABLE).unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(true)
        .try_init();
}
