//! The command line. Data goes to standard output, everything else to standard error.

mod aks;
mod arm;
mod doctor;
mod down;
mod env;
mod etcd;
mod group;
mod image;
mod kubelogin;
mod logs;
mod output;
mod remote;
mod shape;
mod snapshot;
mod status;
mod up;
mod wait;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::service::command_image::Programs;
pub(crate) use doctor::why_only_simulated;

/// Azure Kubernetes Service that you run yourself.
#[derive(Debug, Parser)]
#[command(name = "lazurite", version, about, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// Everything, for programs.
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FabricChoice {
    /// Real nodes if this machine can, else simulated ones.
    Auto,
    /// Real machines of namespaces, with containerd. Needs root.
    Linux,
    /// No processes; nodes and pods exist in the API only.
    Simulated,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the service in the background and wait until it answers
    Up(up::Up),
    /// Stop the service and its machines; `--purge` also deletes all state
    Down(down::Down),
    /// Show whether the service runs, and what it carries
    Status {
        /// How to print.
        #[arg(short, long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Print the service's log
    Logs {
        /// Go on printing as it grows.
        #[arg(short, long)]
        follow: bool,
        /// How many lines from the end.
        #[arg(long, default_value_t = 200)]
        tail: usize,
    },
    /// Say what is missing on this machine, and how to mend it
    Doctor {
        /// How to print.
        #[arg(short, long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Print what makes a shell's az, kubectl and terraform speak to Lazurite: eval "$(lazurite env)"
    Env(env::Env),
    /// Sign in to clusters that know the directory, as kubelogin does; called as `kubelogin`, this program is it
    #[command(subcommand)]
    Kubelogin(kubelogin::Kubelogin),
    /// Clusters and their node pools, as `az aks` has them
    Aks(aks::Aks),
    /// Resource groups, as `az group` has them
    Group(group::Group),
    /// Images that clusters can run without the internet
    #[command(subcommand)]
    Image(image::Image),
    /// What clusters' stores were, and how to go back there
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    /// Print a completion script for a shell
    Completion {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Run the service in the foreground
    Serve(Serve),
    /// Programs of a node and of kube-system
    #[command(subcommand, hide = true)]
    Node(crate::inside::Node),
    /// Programs of kube-system
    #[command(subcommand, hide = true)]
    Addon(addons::program::Addon),
}

/// How the service runs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Serve {
    /// Where the front door (ARM, Entra, registry, portal) listens.
    #[arg(long, env = "LAZURITE_LISTEN", default_value = "127.0.0.1:8443")]
    pub(crate) listen: SocketAddr,
    /// Where the clusters' API servers listen, told apart by server name.
    #[arg(long, env = "LAZURITE_API_LISTEN", default_value = "127.0.0.1:8444")]
    pub(crate) api_listen: SocketAddr,
    /// Where the proxy listens for programs that cannot be told where the cloud is; unset: the port behind the API servers'.
    #[arg(long, env = "LAZURITE_PROXY_LISTEN")]
    pub(crate) proxy_listen: Option<SocketAddr>,
    /// What machines are made of.
    #[arg(long, env = "LAZURITE_FABRIC", value_enum, default_value = "auto")]
    pub(crate) fabric: FabricChoice,
    /// Record what is asked of the clusters' API servers, as AKS's kube-audit and kube-audit-admin.
    #[arg(long, env = "LAZURITE_AUDIT")]
    pub(crate) audit: bool,
    /// What commands in clusters are run with.
    #[command(flatten)]
    pub(crate) commands: CommandPrograms,
    /// Where clusters' objects are kept, if not in files.
    #[command(flatten)]
    pub(crate) etcd: etcd::EtcdArguments,
}

/// Programs of this host that `az aks command invoke` runs in clusters.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CommandPrograms {
    /// The kubectl of `az aks command invoke`; unset: the one on the PATH.
    #[arg(long, env = "LAZURITE_COMMAND_KUBECTL")]
    command_kubectl: Option<PathBuf>,
    /// Its helm; unset: the one on the PATH.
    #[arg(long, env = "LAZURITE_COMMAND_HELM")]
    command_helm: Option<PathBuf>,
}

impl CommandPrograms {
    /// As the service takes them.
    pub(crate) fn programs(&self) -> Programs {
        Programs { kubectl: self.command_kubectl.clone(), helm: self.command_helm.clone() }
    }

    /// As `lazurite serve` is given them.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let given = [("--command-kubectl", &self.command_kubectl), ("--command-helm", &self.command_helm)];
        let given = given.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?)));
        // The service runs in `/`.
        let whole =
            |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone()).into_os_string();
        given.flat_map(|(name, path)| [name.into(), whole(path)]).collect()
    }
}

/// Does what kubelogin does when this program is called by that name; none under another.
pub(crate) fn as_kubelogin() -> Option<Result<()>> {
    let name = std::env::args_os().next()?;
    let is = std::path::Path::new(&name).file_name()? == kubelogin::NAME;
    is.then(|| <kubelogin::Program as clap::Parser>::parse().run())
}

/// Does what was asked.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Up(up) => up.run()?,
        Command::Down(down) => down.run()?,
        Command::Status { output } => return status::run(output),
        Command::Logs { follow, tail } => logs::run(follow, tail)?,
        Command::Doctor { output } => return doctor::run(output),
        Command::Env(env) => env.run()?,
        Command::Kubelogin(kubelogin) => kubelogin.run()?,
        Command::Aks(aks) => return Ok(aks.run()),
        Command::Group(group) => return Ok(group.run()),
        Command::Image(image) => image.run()?,
        Command::Snapshot(snapshot) => snapshot.run()?,
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "lazurite", &mut script);
            output::write_out(&script)?;
        }
        Command::Serve(serve) => crate::service::run(&serve)?,
        Command::Node(node) => return Ok(node.run()),
        Command::Addon(addon) => return addon.run(),
    }
    Ok(ExitCode::SUCCESS)
}
