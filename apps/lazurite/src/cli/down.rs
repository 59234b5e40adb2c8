//! `lazurite down`: the service and its machines stop; the host is as it was.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::remote::block_on;
use crate::place::{Home, State};

const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How to stop.
#[derive(Debug, clap::Args)]
pub(crate) struct Down {
    /// Also delete every cluster, resource, image and key.
    #[arg(long)]
    purge: bool,
}

impl Down {
    pub(crate) fn run(self) -> Result<()> {
        let state = State::locate();
        match state.running() {
            None => eprintln!("Lazurite does not run."),
            Some(running) => {
                kill(Pid::from_raw(running.pid), Signal::SIGTERM).context("failed to stop the service")?;
                let begun = Instant::now();
                while running.is_alive() {
                    if begun.elapsed() > STOP_LIMIT {
                        bail!("pid {} does not stop after {} s", running.pid, STOP_LIMIT.as_secs());
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                eprintln!("The service has stopped.");
            }
        }
        if nix::unistd::geteuid().is_root() {
            let removed = block_on(crate::service::remove_machines(state.path(), self.purge))?;
            if !removed.is_empty() {
                eprintln!("Removed from the host: {} machines and networks.", removed.len());
            }
        }
        if self.purge {
            remove_dir(state.path())?;
            remove_dir(Home::locate().path())?;
            eprintln!("All state is deleted.");
        }
        Ok(())
    }
}

fn remove_dir(path: &std::path::Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to delete `{}`", path.display()))
        }
        _ => Ok(()),
    }
}
