//! `lazurite machine start <directory>`: the moment a machine begins, before any thread of this program.

use std::path::Path;
use std::process::ExitCode;

/// Starts the machine if this process was called for that.
pub(super) fn by_arguments() -> Option<ExitCode> {
    let arguments: Vec<_> = std::env::args_os().skip(1).take(3).collect();
    match arguments.as_slice() {
        [machine, start, directory] if machine == "machine" && start == "start" => {
            Some(fabric::linux::machine_main(Path::new(directory)))
        }
        _ => None,
    }
}
