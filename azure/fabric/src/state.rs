//! What machines are doing.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::ids::MachineId;

/// The state of every machine that is wanted or still being removed.
pub type Machines = BTreeMap<MachineId, MachineState>;

/// The state of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum MachineState {
    /// Its root and namespaces are being made. Ends in `Booting` or `Failed`.
    Creating,
    /// Its first process runs but has not said that it is up. Ends in `Running` or `Failed`.
    Booting,
    /// The boot wrote `/run/lazurite/booted`. Ends with power off, delete or death.
    Running,
    /// Its first process ended. A reimage, or power off and on, starts it again.
    Failed {
        /// The exit code of the boot; 128 + signal when it was killed.
        exit_code: i32,
        /// The end of the serial log.
        last_lines: Vec<String>,
    },
    /// Powered off.
    Stopped,
}
