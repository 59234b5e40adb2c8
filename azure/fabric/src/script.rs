//! A script that is run in a machine from outside, as Azure's machine agent does for `runCommand`.

use std::time::Duration;

/// What is run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// Text for `/bin/sh`.
    pub text: String,
    /// Positional arguments.
    pub arguments: Vec<String>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptEnd {
    /// Its exit code; 124 when it took longer than [`SCRIPT_LIMIT`].
    pub exit_code: i32,
    /// The last [`SCRIPT_OUTPUT_MAX_BYTES`] of standard output.
    pub stdout: String,
    /// The same of standard error.
    pub stderr: String,
}

/// How long a script may take: Azure's 90 minutes.
pub const SCRIPT_LIMIT: Duration = Duration::from_secs(90 * 60);
/// What is kept of each output: Azure's 4 KiB.
pub const SCRIPT_OUTPUT_MAX_BYTES: usize = 4096;
