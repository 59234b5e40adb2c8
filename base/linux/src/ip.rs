//! Links, addresses, routes, rules and neighbours, through `ip -batch`.
//!
//! One program start per batch instead of netlink by hand: the less code that runs with privilege. Not measured
//! against netlink.

use std::io;

use crate::command::{Command, CommandError};
use crate::netns::Netns;

/// Why links or routes could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum IpError {
    /// The namespace could not be entered.
    #[error("failed to enter namespace `{path}`")]
    Enter {
        /// The namespace's path.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `ip` refused a line.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// Which refusals are no failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Every refusal is a failure.
    Strict,
    /// What exists already, or is gone already, is fine: the lines may have been run before.
    Tolerant,
}

const REPEATED: [&str; 6] = [
    "File exists",
    "Cannot find device",
    "No such process",
    "Cannot assign requested address",
    "No such file or directory",
    "already assigned",
];

/// Runs lines of `ip` (without the leading `ip`) inside a namespace.
pub fn batch(netns: &Netns, lines: &[String], repeat: Repeat) -> Result<(), IpError> {
    netns
        .run(|| batch_here(lines, repeat))
        .map_err(|source| IpError::Enter { path: netns.path().display().to_string(), source })?
}

/// Runs lines of `ip` in this thread's namespace.
pub fn batch_here(lines: &[String], repeat: Repeat) -> Result<(), IpError> {
    if lines.is_empty() {
        return Ok(());
    }
    let force: &[&str] = if repeat == Repeat::Tolerant { &["-force"] } else { &[] };
    let argv = ["ip"].iter().chain(force).chain(&["-batch", "-"]);
    let command = Command::new(argv).input(lines.join("\n") + "\n");
    let (_, stderr, status) = command.output()?;
    if status.success() {
        return Ok(());
    }
    let mut refused = stderr.lines().filter(|line| {
        let repeated = repeat == Repeat::Tolerant && REPEATED.iter().any(|known| line.contains(known));
        !line.starts_with("Command failed") && !repeated
    });
    match refused.next() {
        None if repeat == Repeat::Tolerant => Ok(()),
        _ => Err(CommandError::Failed {
            argv: format!("ip -batch - <<< {}", lines.join("; ")),
            status: status.to_string(),
            stderr,
        }
        .into()),
    }
}
