//! A machine's life as processes: a starter, a supervisor and the machine's first process.
//!
//! ```text
//!   service ─exec─▶ starter ─fork─▶ supervisor (own session) ─fork─▶ pid 1 (own namespaces and root)
//!              waits for "started"      writes exit.json when pid 1 ends, also when the service is away
//! ```
//!
//! Guarantees: when the starter has succeeded, `process.json` names the first process and survives the service;
//! the exit code is on disk before the supervisor ends; every mount is in the machine's own namespace and goes
//! with it. Does not: choose anything, restart anything.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, pipe2, sethostname, setsid};
use serde::{Deserialize, Serialize};

use crate::cgroup::{Group, Limits};
use crate::mount::MountError;
use crate::process::{Forked, Process, drop_from_bounding_set, fork};
use crate::root::{self, Shown};

/// Everything needed to start a machine; `spec.json` in its directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Host name.
    pub hostname: String,
    /// Its network namespace.
    pub netns: PathBuf,
    /// Its disk: the root directory.
    pub root: PathBuf,
    /// Laid over the host's `/usr`.
    pub usr: PathBuf,
    /// What else of the host it sees.
    pub shown: Vec<Shown>,
    /// Its control group.
    pub cgroup: String,
    /// Limits of that group.
    pub limits: Limits,
    /// Its first program and arguments.
    pub boot: Vec<String>,
    /// Its environment, and nothing else.
    pub environment: Vec<(String, String)>,
}

/// The variable that makes `<binary> node boot` the starter of the machine in this directory. Inside a machine it is
/// never set.
pub const DIRECTORY_VARIABLE: &str = "LAZURITE_MACHINE_DIRECTORY";
/// Name of the specification in the machine's directory.
pub const SPEC: &str = "spec.json";
/// Name of the file that names the processes.
pub const PROCESSES: &str = "process.json";
/// Name of the file with the exit code.
pub const EXIT: &str = "exit.json";
/// Name of the serial log.
pub const SERIAL_LOG: &str = "serial.log";

/// A machine's processes; `process.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Processes {
    /// Waits for the first process.
    pub supervisor: Process,
    /// The machine's pid 1, seen from the host.
    pub init: Process,
}

/// How a machine ended; `exit.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// Exit code of the first process; 128 + signal when it was killed.
    pub code: i32,
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("failed to {0}")]
    Step(&'static str, #[source] io::Error),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("the supervisor said: {0}")]
    Supervisor(String),
}

fn step<E: Into<io::Error>>(name: &'static str) -> impl FnOnce(E) -> StartError {
    move |source| StartError::Step(name, source.into())
}

/// Linux capabilities no machine has: kernel modules, raw I/O, reboot, the clock, kernel policy.
const FORBIDDEN_CAPABILITIES: [i32; 6] = [16, 17, 22, 25, 32, 33];

/// The starter's whole program, when this process was called to be one.
pub fn start_if_asked() -> Option<ExitCode> {
    std::env::var_os(DIRECTORY_VARIABLE).map(|directory| start(Path::new(&directory)))
}

/// The starter's whole program: `directory` holds `spec.json`. Ends when the machine's first process runs.
///
/// Must be called before any thread is started.
pub fn start(directory: &Path) -> ExitCode {
    match try_start(directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    text
}

fn try_start(directory: &Path) -> Result<(), StartError> {
    let text = fs::read(directory.join(SPEC)).map_err(step("read the specification"))?;
    let spec: Spec =
        serde_json::from_slice(&text).map_err(io::Error::from).map_err(step("read the specification"))?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(step("make a pipe"))?;
    match fork().map_err(step("fork"))? {
        Forked::Parent(_) => {
            drop(writer);
            let mut said = String::new();
            File::from(reader).read_to_string(&mut said).map_err(step("hear from the supervisor"))?;
            if said == "started" { Ok(()) } else { Err(StartError::Supervisor(said)) }
        }
        Forked::Child => {
            drop(reader);
            let mut writer = File::from(writer);
            match supervise(directory, &spec, &mut writer) {
                Ok(()) => std::process::exit(0),
                Err(error) => {
                    let _ = writer.write_all(chain(&error).as_bytes());
                    std::process::exit(1)
                }
            }
        }
    }
}

/// In the supervisor: starts the first process, says so, waits for it, writes down how it ended.
fn supervise(directory: &Path, spec: &Spec, starter: &mut File) -> Result<(), StartError> {
    setsid().map_err(step("leave the service's session"))?;
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join(SERIAL_LOG))
        .map_err(step("open the serial log"))?;
    let null = File::open("/dev/null").map_err(step("open /dev/null"))?;
    dup2_stdin(&null)
        .and_then(|()| dup2_stdout(&log))
        .and_then(|()| dup2_stderr(&log))
        .map_err(step("redirect"))?;
    std::env::set_current_dir("/").map_err(step("enter `/`"))?;
    let group = Group::new(&spec.cgroup).map_err(step("find the control groups"))?;
    group.create(spec.limits).map_err(step("make the control group"))?;
    let _ = fs::remove_file(directory.join(EXIT));
    let (go, wait) = {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).map_err(step("make a pipe"))?;
        (File::from(writer), File::from(reader))
    };
    unshare(CloneFlags::CLONE_NEWPID).map_err(step("make a pid namespace"))?;
    let init = match fork().map_err(step("fork"))? {
        Forked::Child => {
            drop(go);
            first_process(spec, &group, wait);
        }
        Forked::Parent(pid) => pid,
    };
    drop(wait);
    let me = i32::try_from(std::process::id()).unwrap_or_default();
    let processes = Processes {
        supervisor: Process::of(me).map_err(step("identify the supervisor"))?,
        init: Process::of(init).map_err(step("identify the first process"))?,
    };
    write(directory, PROCESSES, &processes).map_err(step("write the processes down"))?;
    drop(go);
    starter.write_all(b"started").map_err(step("speak to the starter"))?;
    // The starter reads to the end: give up the pipe (a copy of which is this process's only other one).
    *starter = File::open("/dev/null").map_err(step("open /dev/null"))?;
    let code = wait_for(init);
    write(directory, EXIT, &Exit { code }).map_err(step("write the exit code down"))?;
    let _ = group.remove();
    Ok(())
}

fn wait_for(init: i32) -> i32 {
    loop {
        match waitpid(Pid::from_raw(init), None) {
            Ok(WaitStatus::Exited(_, code)) => return code,
            Ok(WaitStatus::Signaled(_, signal, _)) => return 128 + signal as i32,
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return 255,
        }
    }
}

fn write<T: Serialize>(directory: &Path, name: &str, value: &T) -> io::Result<()> {
    let temporary = directory.join(format!(".{name}"));
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    fs::rename(temporary, directory.join(name))
}

/// In pid 1 of the new pid namespace: enters or makes the other namespaces, composes the root and becomes
/// the boot program. A failure is on the serial log, exit code 126.
fn first_process(spec: &Spec, group: &Group, mut wait: File) -> ! {
    // Ends when the supervisor has written us down.
    let _ = wait.read_to_end(&mut Vec::new());
    let error = match enter(spec, group) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    eprintln!("machine did not start: {}", chain(&error));
    std::process::exit(126)
}

fn enter(spec: &Spec, group: &Group) -> Result<std::convert::Infallible, StartError> {
    setsid().map_err(step("make a session"))?;
    group.join().map_err(step("join the control group"))?;
    let netns = File::open(&spec.netns).map_err(step("open the network namespace"))?;
    setns(netns, CloneFlags::CLONE_NEWNET).map_err(step("enter the network namespace"))?;
    let new = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWCGROUP;
    unshare(new).map_err(step("make namespaces"))?;
    sethostname(&spec.hostname).map_err(step("set the host name"))?;
    root::compose(&spec.root, &spec.usr, &spec.shown, group)?;
    drop_from_bounding_set(&FORBIDDEN_CAPABILITIES).map_err(step("drop capabilities"))?;
    let (program, arguments) =
        spec.boot.split_first().map_or(("/bin/false", &[][..]), |(p, a)| (p.as_str(), a));
    let failed = std::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(spec.environment.iter().cloned())
        .exec();
    Err(step("start the boot program")(failed))
}
