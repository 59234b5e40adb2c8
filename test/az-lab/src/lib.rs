//! The cloud without clusters and machines, for tests with the real `az`.
//!
//! [`Lab::start`] has the real directory, front door, providers and data planes in this process, behind one TLS port. A
//! proxy in front of it answers `CONNECT` for every public name, so an unmodified `az` needs nothing but `HTTPS_PROXY` and
//! a certificate to trust; [`Lab::az`] runs it so, in a configuration folder of its own, and [`Lab::play`] plays transcripts.
//! Machines are simulated and do nothing but be on.
//!
//! Does not: run clusters (`testkit` does), listen or connect anywhere but on loopback.

mod accounts;
mod az;
mod machines;
mod proxy;
mod router;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use accounts::Applications;
use anyhow::{Context, Result};
use arm::{Front, FrontConfig};
use entra::{Bootstrap, Entra};
use fabric::SimulatedFabric;
use kit::Tasks;
use kit::pki::{Authority, Leaf, Usage};
use providers::registry::{Registry, RoleGate};
use tenant::Tenant;
use tokio::net::TcpListener;

pub use az::az_program;

const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// The names the front door answers for.
const NAMES: [&str; 6] = [
    "localhost",
    "management.azure.com",
    "login.microsoftonline.com",
    "graph.microsoft.com",
    "*.vault.azure.net",
    "*.azurecr.io",
];

/// A cloud of its own; ends when it is dropped.
pub struct Lab {
    /// The directory.
    pub entra: Arc<Entra>,
    /// The resource manager.
    pub front: Arc<Front>,
    /// The subscription's owner: an application with a secret.
    pub owner: Bootstrap,
    /// Where `az` keeps its files, and tests theirs.
    pub dir: tempfile::TempDir,
    program: std::path::PathBuf,
    proxy: std::net::SocketAddr,
    door: std::net::SocketAddr,
    tasks: Tasks,
}

impl Lab {
    /// Starts it, with `az` signed in as the owner. `None`, and a line that says so, where there is no `az`.
    pub async fn start() -> Result<Option<Self>> {
        let Some(program) = az_program() else {
            anyhow::ensure!(
                std::env::var_os("CI").is_none(),
                "there is no az on PATH nor in LAZURITE_TEST_AZ"
            );
            eprintln!("SKIPPED: no az on PATH nor in LAZURITE_TEST_AZ");
            return Ok(None);
        };
        kit::tls::install_provider();
        let (dir, tasks) = (tempfile::tempdir()?, Tasks::new());
        let config = entra::Config {
            state_dir: dir.path().join("state"),
            hosts: FrontConfig::usual_hosts(),
            clock: Arc::new(kit::SystemClock),
            issuers: Arc::new(entra::NoIssuers),
        };
        let entra = Entra::open(config, &tasks).await?;
        let owner = entra.bootstrap("owner").await?.context("the directory is not new")?;
        let state = dir.path().join("state");
        let front = open_front(&state, &entra, &tasks).await?;
        let router = Arc::new(router::Router {
            entra: entra.clone(),
            arm: front.service(),
            vault: key_vault::DataPlane::open(&state, &front)?,
            registry: open_registry(&state, &front, &entra)?,
        });
        let authority = Authority::new("Lab CA", YEAR)?;
        std::fs::write(dir.path().join("ca.crt"), authority.certificate_pem())?;
        let leaf = authority.issue(&Leaf {
            common_name: "localhost".to_owned(),
            organizations: Vec::new(),
            dns_names: NAMES.map(str::to_owned).to_vec(),
            addresses: vec![std::net::Ipv4Addr::LOCALHOST.into()],
            usage: Usage::Server,
            valid: YEAR,
        })?;
        let certificates = kit::tls::Certificates::new();
        let chain = format!("{}{}", leaf.certificate_pem, authority.certificate_pem());
        certificates.set_default(&chain, &leaf.key_pem)?;
        let door = TcpListener::bind("127.0.0.1:0").await?;
        let behind = door.local_addr()?;
        kit::serve::tls(door, kit::tls::server(certificates)?, router, &tasks);
        let proxy = proxy::start(behind, &tasks).await?;
        let lab = Self { entra, front, owner, dir, program, proxy, door: behind, tasks };
        lab.sign_in(&lab.owner.app_id, &lab.owner.secret).await?;
        Ok(Some(lab))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

/// The data plane of the container registries.
fn open_registry(state: &Path, front: &Arc<Front>, entra: &Arc<Entra>) -> Result<Arc<Registry>> {
    let gate = Arc::new(RoleGate::new(front.clone(), Applications(entra.clone())));
    Ok(Registry::open(&state.join("registry"), gate, Arc::new(kit::SystemClock))?)
}

async fn open_front(state: &Path, entra: &Arc<Entra>, tasks: &Tasks) -> Result<Arc<Front>> {
    let adapter = Arc::new(Tenant(entra.clone()));
    let config = FrontConfig {
        state_dir: state.to_owned(),
        tenant_id: entra.tenant_id(),
        tenant_domain: entra.domain(),
        subscription_id: entra.subscription_id(),
        subscription_name: "Lab".to_owned(),
        owners: entra.bootstrap_principal().into_iter().collect(),
        hosts: FrontConfig::usual_hosts(),
        cloud: arm::front::Cloud::default(),
        verifier: adapter.clone(),
        directory: adapter,
        clock: Arc::new(kit::SystemClock),
        tasks: tasks.clone(),
    };
    let fabric = Arc::new(SimulatedFabric::new(Arc::new(machines::Idle), tasks.clone()));
    let [insights, workspaces, solutions] = providers::monitor::providers();
    let front = Front::builder(config)
        .provider(providers::network::provider())
        .provider(providers::compute::provider(fabric.clone()))
        .provider(providers::registry::provider(state.join("registry")))
        .provider(providers::managed_identity::provider())
        .provider(providers::storage::provider())
        .provider(insights)
        .provider(workspaces)
        .provider(solutions)
        .provider(key_vault::provider())
        .build()
        .await?;
    let (_, names) = tokio::sync::watch::channel(Vec::new());
    providers::fabric_driver::start(front.resources().clone(), fabric, names, tasks);
    Ok(front)
}
