//! nftables, one transaction at a time.

use std::io;

use crate::command::{Command, CommandError};
use crate::netns::Netns;

/// Why rules could not be changed or read.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The namespace could not be entered.
    #[error("failed to enter namespace `{path}`")]
    Enter {
        /// The namespace's path.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// `nft` refused the transaction; nothing of it holds.
    #[error(transparent)]
    Command(#[from] CommandError),
}

fn enter<T: Send>(netns: &Netns, work: impl FnOnce() -> T + Send) -> Result<T, NftError> {
    netns.run(work).map_err(|source| NftError::Enter { path: netns.path().display().to_string(), source })
}

/// Applies a script in a namespace: all of it, or nothing.
pub fn apply(netns: &Netns, script: &str) -> Result<(), NftError> {
    enter(netns, || apply_here(script))?.map_err(Into::into)
}

/// Applies a script in this thread's namespace.
pub fn apply_here(script: &str) -> Result<(), CommandError> {
    Command::new(["nft", "-f", "-"]).input(script).run().map(drop)
}

/// A script that replaces a whole table by `body` (its chains and sets), whether it existed or not.
pub fn replace_table(family: &str, name: &str, body: &str) -> String {
    format!("table {family} {name}\ndelete table {family} {name}\ntable {family} {name} {{\n{body}}}\n")
}

/// A script that removes a table, whether it exists or not.
pub fn remove_table(family: &str, name: &str) -> String {
    format!("table {family} {name}\ndelete table {family} {name}\n")
}

/// The rules of a table as `nft` prints them, with counters; `None` when there is no such table.
pub fn list(netns: &Netns, family: &str, name: &str) -> Result<Option<String>, NftError> {
    let command = Command::new(["nft", "list", "table", family, name]);
    let (stdout, stderr, status) = enter(netns, || command.output())??;
    match status.success() {
        true => Ok(Some(stdout)),
        false if stderr.contains("No such file") => Ok(None),
        false => Err(CommandError::Failed {
            argv: format!("nft list table {family} {name}"),
            status: status.to_string(),
            stderr,
        }
        .into()),
    }
}
