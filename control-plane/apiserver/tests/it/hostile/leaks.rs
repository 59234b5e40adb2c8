//! What the process holds: whether it is back to where it was.

use std::time::Duration;

use crate::harness::Server;

/// How long what ends may take to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// Connections and tasks that come and go by themselves.
const SLACK: usize = 8;

#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub descriptors: usize,
    pub tasks: usize,
    /// Watches that are served.
    pub watches: u64,
}

/// Memory of this process that is in use, in MiB.
pub fn resident_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096 / (1 << 20)
}

/// Time the processor worked for this process, in its own code and the kernel's.
pub fn worked() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit(')').next().unwrap_or_default();
    // In hundredths of a second.
    let ticks = |at: usize| after_name.split_whitespace().nth(at).and_then(|n| n.parse::<u64>().ok());
    Duration::from_millis((ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)) * 10)
}

async fn held(server: &Server) -> Held {
    let metrics = server.get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.bytes).into_owned();
    let watches = metrics.lines().filter(|line| line.starts_with("apiserver_longrunning_requests{"));
    Held {
        descriptors: std::fs::read_dir("/proc/self/fd").map(Iterator::count).unwrap_or(0),
        tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        watches: watches.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64,
    }
}

/// What is held once nothing moves any more.
pub async fn settled(server: &Server) -> Held {
    let mut last = held(server).await;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = held(server).await;
        if (now.tasks, now.descriptors, now.watches) == (last.tasks, last.descriptors, last.watches) {
            return now;
        }
        last = now;
    }
    last
}

/// Waits until no more is held than before.
pub async fn returned(server: &Server, before: Held) -> Result<Held, String> {
    let begun = std::time::Instant::now();
    loop {
        let now = held(server).await;
        let back = now.tasks <= before.tasks + SLACK
            && now.descriptors <= before.descriptors + SLACK
            && now.watches <= before.watches;
        if back {
            return Ok(now);
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("before {before:?}, now {now:?}"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
