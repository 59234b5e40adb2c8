//! The program that containers of Lazurite's own image run: add-ons, pause and the sample workload by their names.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{canipull, dns, fetch, pause, sample};

/// As the image's command names them: `addon dns …`.
#[derive(Debug, Parser)]
#[command(name = "lazurite-addons", version, about = "What runs in containers of Lazurite's own image")]
enum Arguments {
    /// What runs in containers of Lazurite's own image
    #[command(subcommand)]
    Addon(Addon),
}

/// Programs of kube-system, and the sample workload.
#[derive(Debug, Clone, Subcommand)]
pub enum Addon {
    /// Answer names of services and pods
    Dns(dns::Options),
    /// Serve a page that says which pod answered
    Sample(sample::Options),
    /// Say whether this node may pull images from a container registry
    Canipull(canipull::Options),
    /// Ask one HTTP question
    Fetch(fetch::Options),
    /// Hold a pod's namespaces
    Pause,
}

/// The whole of a program that is nothing else.
#[must_use]
pub fn main() -> ExitCode {
    let Arguments::Addon(addon) = Arguments::parse();
    addon.run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

impl Addon {
    /// Runs it until it is done or told to end.
    ///
    /// # Errors
    /// What keeps it from its work.
    pub fn run(self) -> anyhow::Result<ExitCode> {
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
                    dns::run(options, client, &tasks).await?;
                }
                Addon::Sample(options) => sample::run(options, &tasks).await?,
                Addon::Canipull(options) => canipull::run(options).await?,
                Addon::Fetch(options) => fetch::run(options).await?,
                Addon::Pause => {}
            }
            anyhow::Ok(())
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// A container's first process gets SIGTERM when its pod ends; without a handler it would be ignored.
fn stop_on_signal(tasks: &kit::Tasks) -> anyhow::Result<()> {
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
