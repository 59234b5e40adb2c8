//! What the kernel says of processes: processor time and memory.

use std::time::Duration;

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// Resident memory in bytes, of all of them together.
pub fn rss_bytes(pids: &[i32]) -> Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("process {pid} does not run"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is not a number")?;
        sum += kibibytes * 1024;
    }
    Ok(sum)
}

/// Processor time spent so far, in user and kernel mode, of all of them together.
pub fn cpu(pids: &[i32]) -> Result<Duration> {
    let per_second = sysconf(SysconfVar::CLK_TCK)?.and_then(|ticks| u32::try_from(ticks).ok()).unwrap_or(100);
    let mut ticks = 0;
    for pid in pids {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("process {pid} does not run"))?;
        // The name, in parentheses, may hold anything; utime and stime are fields 14 and 15.
        let (_, rest) = stat.rsplit_once(") ").context("/proc/<pid>/stat is not as it should be")?;
        let mut fields = rest.split(' ').skip(11).map(str::parse::<u32>);
        for _ in 0..2 {
            ticks += fields.next().context("/proc/<pid>/stat is too short")??;
        }
    }
    Ok(Duration::from_secs(1) * ticks / per_second)
}

/// This program's own id.
pub fn own() -> i32 {
    i32::try_from(std::process::id()).unwrap_or_default()
}

/// Waits until memory hardly changes any more, for half a minute at most, and returns it in MiB.
pub async fn settled_rss_mib(pid: i32) -> Result<f64> {
    const PAUSE: Duration = Duration::from_millis(500);
    const QUIET: usize = 6;
    let mut last = rss_bytes(&[pid])?;
    let mut quiet = 0;
    for _ in 0..60 {
        tokio::time::sleep(PAUSE).await;
        let now = rss_bytes(&[pid])?;
        quiet = if now.abs_diff(last) * 400 < last { quiet + 1 } else { 0 };
        last = now;
        if quiet == QUIET {
            break;
        }
    }
    Ok(mebibytes(last))
}

/// Bytes as MiB.
#[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
