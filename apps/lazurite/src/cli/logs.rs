//! `lazurite logs`: the service's log file.

use std::io::{Read, Seek, SeekFrom, Write};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::place::State;

const TAIL_MAX_BYTES: u64 = 4 * 1024 * 1024;

pub(crate) fn run(follow: bool, tail: usize) -> Result<()> {
    let state = State::locate();
    let mut at = print(&state, tail, &mut std::io::stdout())?;
    if !follow {
        return Ok(());
    }
    loop {
        std::thread::sleep(Duration::from_millis(200));
        let mut file = std::fs::File::open(state.log_file()).context("the log is gone")?;
        file.seek(SeekFrom::Start(at))?;
        at += std::io::copy(&mut file, &mut std::io::stdout())?;
    }
}

/// Prints the last lines of the log to standard error, for a failed start.
pub(crate) fn print_tail(state: &State, lines: usize) -> Result<()> {
    print(state, lines, &mut std::io::stderr()).map(|_| ())
}

fn print(state: &State, lines: usize, to: &mut dyn Write) -> Result<u64> {
    let path = state.log_file();
    let mut file = std::fs::File::open(&path)
        .with_context(|| format!("there is no log at `{}`; has Lazurite been up?", path.display()))?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_MAX_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    for line in &all[all.len().saturating_sub(lines)..] {
        writeln!(to, "{line}")?;
    }
    Ok(length)
}
