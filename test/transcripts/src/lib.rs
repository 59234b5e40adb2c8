//! Transcripts: what is typed into a shell, and the shape of what is printed, in one file.
//!
//! ```text
//! # a comment
//! GROUP=$(az group list --query "[0].name" -o tsv)      a variable for what follows
//! $ az group show -n "$GROUP"                           a command, and below it the shape of its output
//! {id: text, location: text, managedBy: null, …}
//! $ az group show -n none
//! ! 3 ResourceGroupNotFound                             one that fails: its exit code and the error's code
//! ```
//!
//! [`play`] runs one; [`Coverage`] tells which commands of a list no transcript runs.
//!
//! Does not: start what the commands talk to. Each laboratory gives its shell.

mod coverage;
mod play;
mod shape;

pub use coverage::Coverage;
pub use play::play;
