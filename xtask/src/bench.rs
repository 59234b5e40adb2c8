//! `cargo xtask bench`: measures what SPEC.md promises.
//!
//! Without a subcommand it starts services of its own (fresh state, free ports), measures starts, control
//! planes, memory and clusters, loads one API server, and takes everything away again. `bench apiserver`
//! loads any API server a kubeconfig names, so that the same figures exist for another implementation.
//!
//! Guarantees: every phase is bounded in count and time; what it makes it deletes. Does not: judge noise. Client
//! and server share the machine, so compare only runs of one machine and one day.

mod apiserver;
mod azure;
mod figures;
mod hosting;
mod kubeconfig;
mod lab;
mod load;
mod nodes;
mod process;
mod watch;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
use figures::Report;
use lab::Fabric;

/// What to measure.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    only: Option<Only>,
    /// The program to measure.
    #[arg(long, default_value = "target/x86_64-unknown-linux-gnu/release/lazurite")]
    binary: PathBuf,
    /// How many hosted control planes there are when memory is read.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100")]
    planes: Vec<usize>,
    /// How many clusters a restart finds.
    #[arg(long, default_value_t = 10)]
    restart_with: usize,
    /// Also make clusters of three real nodes; needs root.
    #[arg(long)]
    real: bool,
    /// Leave out what loads an API server.
    #[arg(long)]
    no_load: bool,
    /// Leave out control planes and their memory.
    #[arg(long)]
    no_planes: bool,
    #[command(flatten)]
    load: apiserver::Size,
    /// How to print.
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

#[derive(Subcommand)]
enum Only {
    /// Load the API server that a kubeconfig names; it may be anybody's.
    Apiserver(apiserver::Args),
}

/// Measures and prints.
pub fn run(args: &Args) -> Result<()> {
    kit::tls::install_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut report = Report::of_this_machine();
    let outcome = runtime.block_on(async {
        match &args.only {
            Some(Only::Apiserver(only)) => only.run(&mut report).await,
            None => everything(args, &mut report).await,
        }
    });
    // What was measured before a failure is still worth reading.
    match args.output {
        Output::Table => print!("{}", report.table()),
        Output::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    outcome
}

async fn everything(args: &Args, report: &mut Report) -> Result<()> {
    if args.real && !nix::unistd::geteuid().is_root() {
        bail!("real nodes need root; run as root or without `--real`");
    }
    let binary = args.binary.canonicalize().with_context(|| {
        format!(
            "`{}` is not there; build it: cargo build --release --package lazurite",
            args.binary.display()
        )
    })?;
    hosting::starts(&binary, report).await?;
    if !args.no_planes {
        hosting::planes(&binary, &args.planes, args.restart_with, report).await?;
    }
    nodes::measure(&binary, Fabric::Simulated, (!args.no_load).then_some(&args.load), report).await?;
    if args.real {
        nodes::measure(&binary, Fabric::Linux, None, report).await?;
    }
    Ok(())
}
