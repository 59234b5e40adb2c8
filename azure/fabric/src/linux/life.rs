//! Starting, stopping, deleting and following machines.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::linux::machine::{DIRECTORY_VARIABLE, EXIT, Exit, PROCESSES, Processes, SERIAL_LOG};
use nix::sys::signal::Signal;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::config::LinuxConfig;
use super::{Cause, host};
use crate::fabric::FabricError;
use crate::ids::MachineId;
use crate::plan::{Life, SeenMachine};
use crate::state::{MachineState, Machines};
use crate::wanted::Power;

const STOP_LIMIT: Duration = Duration::from_secs(10);
const KILL_LIMIT: Duration = Duration::from_secs(20);
const LAST_LINES: usize = 20;
const LOG_READ_MAX_BYTES: u64 = 1 << 20;
/// The exit code of a machine whose supervisor was killed with it.
const LOST: i32 = 137;

/// What was done to a machine's disk; `record.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub generation: u64,
    pub power: Power,
}

const RECORD: &str = "record.json";

fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), Cause> {
    kit::files::write_atomic(path, &serde_json::to_vec(value)?, kit::files::Readers::Owner)?;
    Ok(())
}

/// The states of machines and the tasks that follow them.
pub(super) struct Lives {
    config: Arc<LinuxConfig>,
    tasks: kit::Tasks,
    states: watch::Sender<Arc<Machines>>,
    following: Mutex<HashMap<MachineId, kit::Tasks>>,
}

impl Lives {
    pub fn new(config: Arc<LinuxConfig>, tasks: kit::Tasks) -> Self {
        Self { config, tasks, states: watch::Sender::new(Arc::default()), following: Mutex::default() }
    }

    pub fn subscribe(&self) -> watch::Receiver<Arc<Machines>> {
        self.states.subscribe()
    }

    pub fn put(&self, id: &MachineId, state: Option<MachineState>) {
        self.states.send_if_modified(|states| {
            if states.get(id) == state.as_ref() {
                return false;
            }
            let states = Arc::make_mut(states);
            match state {
                Some(state) => states.insert(id.clone(), state),
                None => states.remove(id),
            };
            true
        });
    }

    fn processes(&self, id: &MachineId) -> Option<Processes> {
        read_json(&self.config.machine_dir(id).join(PROCESSES))
    }

    /// A machine's first process, if it was ever started.
    pub fn init(&self, id: &MachineId) -> Option<::linux::Process> {
        Some(self.processes(id)?.init)
    }

    /// A machine's control group.
    pub fn group(&self, id: &MachineId) -> String {
        self.config.cgroup(id)
    }

    /// What the host says about a machine.
    pub fn see(&self, id: &MachineId) -> SeenMachine {
        let dir = self.config.machine_dir(id);
        let record: Option<Record> = read_json(&dir.join(RECORD));
        let life = match self.processes(id) {
            Some(processes) if processes.init.is_alive() => Life::Alive,
            Some(processes) => {
                let this_boot = ::linux::process::boot_id().is_ok_and(|boot| boot == processes.init.boot_id);
                let meant_to_run = record.as_ref().is_some_and(|r| r.power == Power::On);
                if this_boot && meant_to_run { Life::Ended } else { Life::Down }
            }
            None => Life::Down,
        };
        let namespace = self.config.machine(id).exists();
        SeenMachine { generation: record.map(|r| r.generation), namespace, life }
    }

    /// Says what a machine found at start is doing and follows it.
    pub fn adopt(self: &Arc<Self>, id: &MachineId) {
        match self.see(id).life {
            Life::Alive => self.follow(id),
            Life::Ended => self.put(id, Some(self.failed(id))),
            Life::Down => self.put(id, Some(MachineState::Stopped)),
        }
    }

    pub fn imaged(&self, id: &MachineId, generation: u64) -> Result<(), Cause> {
        write_json(&self.config.machine_dir(id).join(RECORD), &Record { generation, power: Power::Off })
    }

    fn record_power(&self, id: &MachineId, power: Power) -> Result<(), Cause> {
        let path = self.config.machine_dir(id).join(RECORD);
        let record: Record = read_json(&path).ok_or("the machine has no record")?;
        write_json(&path, &Record { power, ..record })
    }

    /// Starts a machine whose disk is ready.
    pub async fn start(self: &Arc<Self>, id: &MachineId) -> Result<(), FabricError> {
        let (lives, machine) = (self.clone(), id.clone());
        let started = tokio::task::spawn_blocking(move || lives.start_blocking(&machine)).await;
        let deed = || format!("start machine {id}");
        started.map_err(host(deed())).and_then(|done| done.map_err(host(deed())))?;
        self.follow(id);
        Ok(())
    }

    fn start_blocking(&self, id: &MachineId) -> Result<(), Cause> {
        let dir = self.config.machine_dir(id);
        for old in [dir.join(PROCESSES), dir.join(EXIT), dir.join("run/booted")] {
            kit::files::remove(&old)?;
        }
        let binary = self.config.binary.display().to_string();
        let directory = dir.display().to_string();
        ::linux::Command::new([&binary, "node", "boot"]).env(DIRECTORY_VARIABLE, &directory).run()?;
        self.record_power(id, Power::On)
    }

    /// Follows a running machine to its end.
    fn follow(self: &Arc<Self>, id: &MachineId) {
        let Some(processes) = self.processes(id) else { return };
        let tasks = self.tasks.child();
        if let Some(old) = self.following.lock().insert(id.clone(), tasks.clone()) {
            old.stop();
        }
        let run = self.config.machine_dir(id).join("run");
        let up = run.join("booted").exists();
        self.put(id, Some(if up { MachineState::Running } else { MachineState::Booting }));
        let (lives, id) = (self.clone(), id.clone());
        tasks.spawn("machine", async move {
            if !up {
                tokio::select! {
                    appeared = ::linux::watch::file_appears(&run, "booted") => match appeared {
                        Ok(()) => lives.put(&id, Some(MachineState::Running)),
                        Err(error) => tracing::warn!(machine = %id, %error, "failed to watch a machine's boot"),
                    },
                    _ = processes.init.ended() => {}
                }
            }
            if let Err(error) = processes.init.ended().await {
                tracing::error!(machine = %id, %error, "failed to follow a machine");
                return;
            }
            // The supervisor writes the exit code down and ends.
            let _ = tokio::time::timeout(KILL_LIMIT, processes.supervisor.ended()).await;
            lives.put(&id, Some(lives.failed(&id)));
        });
    }

    fn failed(&self, id: &MachineId) -> MachineState {
        let exit: Option<Exit> = read_json(&self.config.machine_dir(id).join(EXIT));
        let log = self.serial_log(id).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_LINES)..];
        MachineState::Failed {
            exit_code: exit.map_or(LOST, |e| e.code),
            last_lines: last.iter().map(|l| (*l).to_owned()).collect(),
        }
    }

    pub fn serial_log(&self, id: &MachineId) -> std::io::Result<String> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = fs::File::open(self.config.machine_dir(id).join(SERIAL_LOG))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_READ_MAX_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn unfollow(&self, id: &MachineId) {
        if let Some(tasks) = self.following.lock().remove(id) {
            tasks.stop();
        }
    }

    /// Asks a machine to stop and kills it when it does not.
    pub async fn stop(&self, id: &MachineId) -> Result<(), FabricError> {
        self.unfollow(id);
        self.end(id, STOP_LIMIT).await.map_err(host(format!("stop machine {id}")))?;
        self.record_power(id, Power::Off).map_err(host(format!("stop machine {id}")))?;
        self.put(id, Some(MachineState::Stopped));
        Ok(())
    }

    async fn end(&self, id: &MachineId, patience: Duration) -> Result<(), Cause> {
        let group = ::linux::cgroup::Group::new(&self.config.cgroup(id))?;
        if let Some(processes) = self.processes(id) {
            if patience > Duration::ZERO && processes.init.signal(Signal::SIGTERM)? {
                let _ = tokio::time::timeout(patience, processes.init.ended()).await;
            }
            processes.init.signal(Signal::SIGKILL)?;
            tokio::time::timeout(KILL_LIMIT, processes.init.ended()).await??;
            tokio::time::timeout(KILL_LIMIT, processes.supervisor.ended()).await??;
        }
        // A starter that died between fork and `process.json` leaves processes only the group knows.
        for pid in group.processes() {
            ::linux::Process::of(pid).and_then(|p| p.signal(Signal::SIGKILL)).unwrap_or_default();
        }
        group.remove()?;
        Ok(())
    }

    /// Removes everything a machine has on this host.
    pub async fn delete(&self, id: &MachineId) -> Result<(), FabricError> {
        self.unfollow(id);
        let deed = || format!("delete machine {id}");
        self.end(id, Duration::ZERO).await.map_err(host(deed()))?;
        self.config.machine(id).delete().map_err(host(deed()))?;
        let dir = self.config.machine_dir(id);
        tokio::task::spawn_blocking(move || match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
        .map_err(host(deed()))?
        .map_err(host(deed()))?;
        self.put(id, None);
        Ok(())
    }

    /// Machines that have a directory or a namespace.
    pub fn found(&self) -> Vec<MachineId> {
        let mut ids: Vec<MachineId> = fs::read_dir(self.config.machines_dir())
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|e| MachineId::parse(e.file_name().to_str()?))
            .collect();
        let prefix = format!("{}-m-", self.config.prefix);
        ids.extend(
            ::linux::Netns::list(&prefix).iter().filter_map(|n| MachineId::parse(n.strip_prefix(&prefix)?)),
        );
        ids.sort();
        ids.dedup();
        ids
    }
}
