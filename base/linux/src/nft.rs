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
    /// `nft` printed what is not JSON.
    #[error("failed to read what nft listed")]
    Listed(#[from] serde_json::Error),
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
    listed(netns, ["nft", "list", "table", family, name])
}

/// The same as values: the entries of `nft -j`.
pub fn list_json(
    netns: &Netns,
    family: &str,
    name: &str,
) -> Result<Option<Vec<serde_json::Value>>, NftError> {
    let Some(text) = listed(netns, ["nft", "-j", "list", "table", family, name])? else { return Ok(None) };
    let mut whole: serde_json::Value = serde_json::from_str(&text)?;
    match whole.get_mut("nftables").map(serde_json::Value::take) {
        Some(serde_json::Value::Array(entries)) => Ok(Some(entries)),
        _ => Ok(Some(Vec::new())),
    }
}

fn listed<const N: usize>(netns: &Netns, argv: [&str; N]) -> Result<Option<String>, NftError> {
    let command = Command::new(argv);
    let (stdout, stderr, status) = enter(netns, || command.output())??;
    match status.success() {
        true => Ok(Some(stdout)),
        false if stderr.contains("No such file") => Ok(None),
        false => {
            Err(CommandError::Failed { argv: argv.join(" "), status: status.to_string(), stderr }.into())
        }
    }
}
