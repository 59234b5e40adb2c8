//! The programs this binary is inside machines. Those of containers are the add-ons', which this binary is too.

use std::process::ExitCode;

use clap::Subcommand;

/// Programs of a node.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Node {
    /// A machine's first program: boot, join, run pods
    Boot,
}

impl Node {
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Node::Boot => node_agent::main(),
        }
    }
}

/// The program this process is by the name it was called with, if it is one of a node's.
pub(crate) fn by_name() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    let name = std::path::Path::new(&name).file_name()?.to_str()?;
    match name {
        cni::PLUGIN => Some(cni::main()),
        cni::LOOPBACK => Some(cni::loopback()),
        "pause" => Some(addons::pause::main()),
        _ => None,
    }
}
