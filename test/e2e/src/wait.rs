//! Waiting for conditions, never for times.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const PAUSE: Duration = Duration::from_millis(100);

/// Asks until the answer is `Some`; on time-out says what was waited for and the last reason.
pub fn wait_for<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    let mut last = String::from("not yet");
    loop {
        match ask() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last = format!("{error:#}"),
        }
        if begun.elapsed() > limit {
            bail!("{what} did not happen within {} s: {last}", limit.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Asks until it does not fail.
pub fn wait_for_ok<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<T>) -> Result<T> {
    wait_for(what, limit, || ask().map(Some))
}
