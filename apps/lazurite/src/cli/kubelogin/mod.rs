//! kubelogin without a download: what kubectl runs for a cluster that knows the directory, and what az runs after it wrote a kubeconfig.
//!
//! This program is kubelogin when it is called by that name; `lazurite env` puts such a name at the end of the shell's PATH, so a real kubelogin
//! comes first. It understands kubelogin's flags, and its ways to sign in that need nobody at a browser: `azurecli`, `spn`, `msi` and
//! `workloadidentity`. The others are refused by name. It keeps no tokens.

mod convert;
mod get_token;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};

/// The name by which this program is kubelogin.
pub(crate) const NAME: &str = "kubelogin";
/// The application that stands for the API servers of all AKS clusters.
const SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";

/// `kubelogin`, as its own command line has it.
#[derive(Debug, clap::Parser)]
#[command(name = NAME, about = "Sign in to clusters that know the directory")]
pub(crate) struct Program {
    #[command(subcommand)]
    command: Kubelogin,
}

impl Program {
    pub(crate) fn run(self) -> Result<()> {
        self.command.run()
    }
}

/// What kubelogin does.
#[derive(Debug, Subcommand)]
pub(crate) enum Kubelogin {
    /// Print a token as an ExecCredential, for kubectl
    GetToken(GetToken),
    /// Let the users of a kubeconfig sign in another way
    ConvertKubeconfig(convert::ConvertKubeconfig),
}

impl Kubelogin {
    pub(crate) fn run(self) -> Result<()> {
        match self {
            Self::GetToken(options) => get_token::run(options),
            Self::ConvertKubeconfig(options) => options.run(),
        }
    }
}

/// Ways to sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum Login {
    Devicecode,
    Interactive,
    Spn,
    Ropc,
    Msi,
    Azurecli,
    Azd,
    Workloadidentity,
    Azurepipelines,
}

impl Login {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// kubelogin's flags of `get-token`. Those of ways that are not offered are read and not used, for kubeconfigs carry them.
#[derive(Debug, Default, Args)]
pub(crate) struct GetToken {
    /// How to sign in; `AAD_LOGIN_METHOD` wins.
    #[arg(short, long, value_enum)]
    login: Option<Login>,
    /// The application that tokens are for.
    #[arg(long, default_value = SERVER)]
    server_id: String,
    /// The application, or the managed identity, that signs in.
    #[arg(long)]
    client_id: Option<String>,
    /// Its secret. Better in `AZURE_CLIENT_SECRET`: arguments are seen by everybody.
    #[arg(long, hide = true)]
    client_secret: Option<String>,
    /// The tenant.
    #[arg(short, long)]
    tenant_id: Option<String>,
    /// A managed identity, by its resource.
    #[arg(long)]
    identity_resource_id: Option<String>,
    /// The file that holds a workload's token.
    #[arg(long)]
    federated_token_file: Option<String>,
    /// Where to sign in.
    #[arg(long)]
    authority_host: Option<String>,
    /// Not used: this cloud has one environment.
    #[arg(short, long)]
    environment: Option<String>,
    /// Not used: there is no cloud but the one asked.
    #[arg(long)]
    disable_instance_discovery: bool,
    /// Not used.
    #[arg(long, hide = true)]
    legacy: bool,
    /// Not used: no token is kept.
    #[arg(long, hide = true)]
    token_cache_dir: Option<String>,
    /// Not used: no token is kept.
    #[arg(long, hide = true)]
    cache_dir: Option<String>,
    /// Leave the environment's variables alone.
    #[arg(long)]
    disable_environment_override: bool,
}
