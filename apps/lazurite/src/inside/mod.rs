//! The programs this binary is inside machines and containers.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

mod pause;

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

/// Programs of kube-system, and the sample workload.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Addon {
    /// Answer names of services and pods
    Dns(addons::dns::Options),
    /// Serve a page that says which pod answered
    Sample(addons::sample::Options),
    /// Ask one HTTP question
    Fetch(addons::fetch::Options),
    /// Hold a pod's namespaces
    Pause,
}

impl Addon {
    pub(crate) fn run(self) -> Result<ExitCode> {
        if let Addon::Pause = self {
            return Ok(pause::main());
        }
        kit::tls::install_provider();
        kit::trace::start();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let tasks = kit::Tasks::new();
            stop_on_signal(&tasks)?;
            match self {
                Addon::Dns(options) => {
                    let client = kube::Client::try_default().await?;
                    addons::dns::run(options, client, &tasks).await?;
                }
                Addon::Sample(options) => addons::sample::run(options, &tasks).await?,
                Addon::Fetch(options) => addons::fetch::run(options).await?,
                Addon::Pause => {}
            }
            anyhow::Ok(())
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A container's first process gets SIGTERM when its pod ends; without a handler it would be ignored.
fn stop_on_signal(tasks: &kit::Tasks) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let group = tasks.clone();
    tasks.spawn_careful("signals", async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        group.stop();
    });
    Ok(())
}

/// The program this process is by the name it was called with, if it is one of a node's.
pub(crate) fn by_name() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    let name = std::path::Path::new(&name).file_name()?.to_str()?;
    match name {
        cni::PLUGIN => Some(cni::main()),
        cni::LOOPBACK => Some(cni::loopback()),
        "pause" => Some(pause::main()),
        _ => None,
    }
}
