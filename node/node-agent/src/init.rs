//! The machine's pid 1: reaps orphans, hands on signals, keeps the agent running once the machine is up.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const BOOTED: &str = "/run/lazurite/booted";
const RESTART_PAUSE: Duration = Duration::from_secs(1);
const FAREWELL: Duration = Duration::from_millis(500);
/// A panic's exit code; 128 and above are signals.
const PANICKED: i32 = 101;

/// The whole program of `lazurite node boot`: on the host the starter of a machine, in the machine its first
/// process, and below that the agent. Call it before any thread is started.
pub fn main() -> ExitCode {
    if let Some(code) = linux::machine::start_if_asked() {
        return code;
    }
    if std::process::id() == 1 { init() } else { agent() }
}

fn agent() -> ExitCode {
    if let Err(error) = linux::process::unblock_signals() {
        eprintln!("failed to unblock signals: {error}");
    }
    kit::tls::install_provider();
    kit::trace::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(crate::boot());
            runtime.shutdown_timeout(Duration::from_secs(1));
            code
        }
        Err(error) => {
            eprintln!("failed to start the runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

fn init() -> ExitCode {
    loop {
        let arguments = std::env::args_os().skip(1);
        let child = match Command::new("/proc/self/exe").args(arguments).spawn() {
            Ok(child) => child,
            Err(error) => {
                eprintln!("failed to start the node agent: {error}");
                return ExitCode::FAILURE;
            }
        };
        let code = match linux::process::reap_until_ends(i32::try_from(child.id()).unwrap_or_default()) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("failed to wait for the node agent: {error}");
                return ExitCode::FAILURE;
            }
        };
        // Containers run on beside a new agent; a boot that never came up has failed for good.
        if (code == PANICKED || code >= 128) && Path::new(BOOTED).exists() {
            eprintln!("the node agent ended with {code}; it is started again");
            std::thread::sleep(RESTART_PAUSE);
            continue;
        }
        let _ = kill(Pid::from_raw(-1), Signal::SIGTERM);
        std::thread::sleep(FAREWELL);
        return ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX));
    }
}
