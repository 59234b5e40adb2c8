//! The service: every part, put together.
//!
//! ```text
//!            front door :8443 ── router ─┬─ arm ── providers ── fabric driver ── fabric
//!                                        ├─ entra (sign-in, Graph)
//!                                        ├─ registry
//!                                        └─ portal, images
//!      proxy :8445 (CONNECT) ──── either of them            names :8446 (DNS) ── where either of them is
//! API servers :8444 (by server name) ──── hosting ── one plane per cluster
//! ```
//!
//! This is the only place that knows all parts; the adapters between them are in [`adapters`].

mod adapters;
mod client_files;
pub(crate) mod command_image;
mod dns;
pub(crate) mod hosting;
pub(crate) mod image;
mod issuers;
mod machines;
mod own;
mod proxy;
mod router;
#[cfg(test)]
mod tests;
mod whole;

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use fabric::linux::LinuxFabric;
use fabric::{Fabric, FabricKind, Place};
use kit::Tasks;
use kit::files::{Readers, write_atomic};
use kit::http::BoxService;
use providers::network::platform;
use tokio::net::TcpListener;
use tokio::sync::{SetOnce, watch};

use crate::cli::Serve;
use crate::place::{ServiceFile, State, start_ticks};

const DRAIN_LIMIT: Duration = Duration::from_secs(10);
const WORKERS_MAX: usize = 4;

/// Runs the service until it is told to stop.
pub(crate) fn run(serve: &Serve) -> Result<()> {
    kit::trace::start();
    kit::tls::install_provider();
    let state = State::locate();
    kit::files::make_dir(state.path())?;
    restrict(state.path())?;
    let _lock = lock(&state)?;
    let workers = std::thread::available_parallelism().map_or(2, |count| count.get().clamp(2, WORKERS_MAX));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(async {
        let tasks = Tasks::new();
        let running = start(serve, &state, &tasks).await?;
        wait_for_signal().await?;
        tracing::info!("stopping");
        kit::files::remove(&state.running_file())?;
        drop(running);
        if !tasks.drain(DRAIN_LIMIT).await {
            tracing::warn!("some tasks did not end in time");
        }
        anyhow::Ok(())
    })?;
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

/// Takes every machine and network of this state off the host; their disks stay unless `purge`. Returns
/// what was removed.
pub(crate) async fn remove_machines(state: &Path, purge: bool) -> Result<Vec<String>> {
    let removed = if purge { LinuxFabric::purge(state).await } else { LinuxFabric::halt(state).await };
    removed.context("failed to take the machines off the host")
}

/// Keeps parts alive that own what must not end.
struct Running {
    _hosting: Arc<hosting::Hosting>,
    _front: Arc<arm::Front>,
}

async fn start(serve: &Serve, state: &State, tasks: &Tasks) -> Result<Running> {
    let begun = std::time::Instant::now();
    let clock: Arc<dyn kit::Clock> = Arc::new(kit::SystemClock);
    // Ports first: a second service, or another program on them, ends here with nothing done.
    let sockets = Sockets::bind(serve).await?;
    let (ends, api_address) = (sockets.ends()?, sockets.api.local_addr()?);
    let front_address = ends.front;

    whole::check(state)?;
    let authority = client_files::authority(state)?;
    let issuers = Arc::new(issuers::ClusterIssuers::default());
    let entra = adapters::open_entra(state, clock.clone(), issuers.clone(), tasks).await?;
    client_files::write(state, &authority, &entra, front_address).await?;
    let directory: Arc<dyn arm::Directory> = Arc::new(tenant::Tenant(entra.clone()));

    let machines = machines::open(serve.fabric, sockets.nodes.local_addr()?, state, tasks).await?;
    let fabric = machines.fabric.clone();
    let image = make_image(fabric.kind(), state, tasks)?;
    let certificates = kit::tls::Certificates::new();
    let shared = hosting::Shared {
        dir: state.join("clusters"),
        fabric: fabric.clone(),
        api: api_address,
        cloud: SetOnce::new(),
        assignments: Arc::default(),
        directory: directory.clone(),
        image,
        command_image: SetOnce::new(),
        token_reviewers: vec![adapters::entra_tokens(&entra, clock.clone())],
        audit: serve.audit,
        certificates: certificates.clone(),
        doors: watch::Sender::new(0),
        models: parking_lot::Mutex::default(),
        etcd: serve.etcd.options()?,
    };
    let hosting = hosting::Hosting::new(shared, tasks.child());
    issuers.bind(&hosting);
    let front =
        build_front(state, &entra, directory, &machines, &hosting, &authority, clock.clone(), tasks).await?;
    hosting.set_cloud(front.service());
    hosting.set_assignments(front.access().clone());
    machines.set_tokens(Arc::new(adapters::MachineTokens { entra: entra.clone(), front: front.clone() }));

    let registry = open_registry(state, &entra, &front, clock)?;
    let commands = command_image::CommandImage::new(registry.clone(), serve.commands.programs());
    hosting.set_command_image(Arc::new(move || commands.ensure()));
    let router: BoxService = Arc::new(router::Router {
        arm: front.service(),
        entra: entra.service(),
        registry: registry.clone(),
        vault: key_vault::DataPlane::open(state.path(), &front).context("failed to open the vaults")?,
        portal: portal::service(),
        own: Arc::new(own::Own { entra: entra.clone(), front: front.clone(), registry }),
    });

    hosting.resume().await;
    providers::fabric_driver::start(
        front.resources().clone(),
        fabric.clone(),
        machine_names(&hosting, tasks),
        tasks,
    );
    listen_inside(&fabric, &authority, router.clone(), tasks).await?;
    let (proxy, dns) = (sockets.proxy.local_addr()?, sockets.dns.address()?);
    sockets.serve(ends, (&hosting, certificates), (router, &authority), fabric.kind(), tasks)?;
    write_running(state, ends, (proxy, dns), fabric.kind())?;
    tracing::info!(after_ms = begun.elapsed().as_millis(), %front_address, %api_address, "Lazurite answers");
    Ok(Running { _hosting: hosting, _front: front })
}

fn open_registry(
    state: &State,
    entra: &Arc<entra::Entra>,
    front: &Arc<arm::Front>,
    clock: Arc<dyn kit::Clock>,
) -> Result<Arc<providers::registry::Registry>> {
    let accounts = adapters::RegistryAccounts(entra.clone());
    let gate = Arc::new(providers::registry::RoleGate::new(front.clone(), accounts));
    providers::registry::Registry::open(&state.join("registry"), gate, clock)
        .context("failed to open the registry")
}

/// Where the service listens on the host.
struct Sockets {
    front: TcpListener,
    api: TcpListener,
    /// Simulated machines have a door of their own: they come from their cluster's outbound address, not from this host's.
    nodes: TcpListener,
    proxy: TcpListener,
    dns: dns::Sockets,
}

impl Sockets {
    async fn bind(serve: &Serve) -> Result<Self> {
        let front = bind(serve.listen).await?;
        let api = bind(serve.api_listen).await?;
        let nodes = bind((Ipv4Addr::LOCALHOST, 0).into()).await?;
        let proxy = proxy::listen(serve.proxy_listen, api.local_addr()?).await?;
        let dns = dns::listen(proxy.local_addr()?).await?;
        Ok(Self { front, api, nodes, proxy, dns })
    }

    fn ends(&self) -> std::io::Result<proxy::Ends> {
        Ok(proxy::Ends { front: self.front.local_addr()?, api: self.api.local_addr()? })
    }

    fn serve(
        self,
        ends: proxy::Ends,
        (hosting, certificates): (&Arc<hosting::Hosting>, kit::tls::Certificates),
        (router, authority): (BoxService, &kit::pki::Authority),
        kind: FabricKind,
        tasks: &Tasks,
    ) -> Result<()> {
        let (planes, planes_tls) = (hosting.by_server_name(), kit::tls::server(certificates)?);
        if kind == FabricKind::Simulated {
            kit::serve::tls(self.nodes, planes_tls.clone(), planes.clone(), tasks);
        }
        kit::serve::tls_behind(planes.clone(), self.api, planes_tls, planes, tasks);
        kit::serve::tls(self.front, client_files::front_tls(authority)?, router, tasks);
        proxy::start(self.proxy, ends, tasks);
        dns::start(self.dns, ends, hosting.names(), tasks);
        Ok(())
    }
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; is another program there?"))
}

#[expect(clippy::too_many_arguments, reason = "the one place where the parts of ARM meet")]
async fn build_front(
    state: &State,
    entra: &Arc<entra::Entra>,
    directory: Arc<dyn arm::Directory>,
    machines: &machines::Machines,
    hosting: &Arc<hosting::Hosting>,
    authority: &kit::pki::Authority,
    clock: Arc<dyn kit::Clock>,
    tasks: &Tasks,
) -> Result<Arc<arm::Front>> {
    let config = arm::FrontConfig {
        state_dir: state.path().to_owned(),
        tenant_id: entra.tenant_id(),
        tenant_domain: entra.domain(),
        subscription_id: entra.subscription_id(),
        subscription_name: "Lazurite".to_owned(),
        owners: entra.bootstrap_principal().into_iter().collect(),
        hosts: arm::FrontConfig::usual_hosts(),
        cloud: arm::front::Cloud::default(),
        verifier: Arc::new(tenant::Tenant(entra.clone())),
        directory,
        clock,
        tasks: tasks.clone(),
    };
    let clusters = machines.container_service(hosting.clone(), authority, state);
    let [insights, workspaces, solutions] = providers::monitor::providers();
    let front = arm::Front::builder(config)
        .provider(providers::network::provider())
        .provider(providers::compute::provider(machines.fabric.clone()))
        .provider(providers::managed_identity::provider())
        .provider(providers::storage::provider())
        .provider(insights)
        .provider(workspaces)
        .provider(solutions)
        .provider(providers::registry::provider(state.join("registry")))
        .provider(key_vault::provider())
        .provider(clusters.provider())
        .build()
        .await
        .context("failed to open Resource Manager")?;
    clusters.start(&front.ctx("Microsoft.ContainerService"));
    Ok(front)
}

/// The names machines resolve: this cloud's own, and each cluster's.
fn machine_names(hosting: &Arc<hosting::Hosting>, tasks: &Tasks) -> watch::Receiver<Vec<(String, Ipv4Addr)>> {
    let mut clusters = hosting.names();
    let all = move |clusters: &[(String, Ipv4Addr)]| {
        let own = platform::names().map(|(name, address)| (name.to_owned(), address));
        own.chain(clusters.iter().cloned()).collect::<Vec<_>>()
    };
    let names = watch::Sender::new(all(&clusters.borrow_and_update()));
    let receiver = names.subscribe();
    tasks.spawn("machine names", async move {
        while clusters.changed().await.is_ok() {
            names.send_replace(all(&clusters.borrow_and_update()));
        }
    });
    receiver
}

/// The platform's services on the machines' internet, each at its address and for its own names only.
async fn listen_inside(
    fabric: &Arc<dyn Fabric>,
    authority: &kit::pki::Authority,
    router: BoxService,
    tasks: &Tasks,
) -> Result<()> {
    let tls = client_files::front_tls(authority)?;
    for service in platform::answering() {
        let listener = fabric
            .listen(Place::Internet, SocketAddrV4::new(service.address(), 443))
            .await
            .with_context(|| format!("failed to listen where machines find {}", service.tag))?;
        let only = Arc::new(router::Only { service, router: router.clone() });
        kit::serve::tls(listener, tls.clone(), only, tasks);
    }
    Ok(())
}

/// Makes Lazurite's own image in the background; the receiver turns true when it is there. Simulated machines have no
/// disk that it would be on.
fn make_image(kind: FabricKind, state: &State, tasks: &Tasks) -> Result<watch::Receiver<bool>> {
    if kind == FabricKind::Simulated {
        return Ok(watch::Sender::new(true).subscribe());
    }
    let program = image::program(&std::env::current_exe().context("failed to find this program")?);
    let images = state.join("images");
    let made = watch::Sender::new(false);
    let receiver = made.subscribe();
    tasks.spawn("system image", async move {
        let result = tokio::task::spawn_blocking(move || image::ensure(&program, &images)).await;
        match result {
            Ok(Ok(path)) => tracing::debug!(path = %path.display(), "the system image is made"),
            Ok(Err(error)) => {
                tracing::error!(error = %format!("{error:#}"), "failed to make the system image")
            }
            Err(error) => tracing::error!(%error, "failed to make the system image"),
        }
        made.send_replace(true);
    });
    Ok(receiver)
}

fn write_running(
    state: &State,
    ends: proxy::Ends,
    (proxy, dns): (std::net::SocketAddr, std::net::SocketAddr),
    kind: FabricKind,
) -> Result<()> {
    let pid = i32::try_from(std::process::id()).context("the process id is out of range")?;
    let file = ServiceFile {
        pid,
        started_ticks: start_ticks(pid).context("failed to read this process's start")?,
        front: ends.front,
        api: ends.api,
        proxy: Some(proxy),
        dns: Some(dns),
        fabric: match kind {
            FabricKind::Linux => "linux".to_owned(),
            FabricKind::Simulated => "simulated".to_owned(),
        },
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    write_atomic(&state.running_file(), &serde_json::to_vec_pretty(&file)?, Readers::Everyone)?;
    Ok(())
}

/// Only the owner looks into the state: it holds keys.
fn restrict(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // Machines' first processes walk through it on their way to their roots, so others may pass, not list.
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o711))
        .with_context(|| format!("failed to protect `{}`", dir.display()))
}

/// How long the kernel may take to clear away a service that was killed.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// One service per state directory. A service that was just killed may hold the lock for a moment longer:
/// its last thread, or a child between fork and exec, has not ended yet.
fn lock(state: &State) -> Result<nix::fcntl::Flock<File>> {
    let path = state.join("lock");
    let begun = std::time::Instant::now();
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("failed to open `{}`", path.display()))?;
    loop {
        match nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((_, error)) if state.running().is_some() || begun.elapsed() > LOCK_LIMIT => {
                return Err(error)
                    .with_context(|| format!("another service uses `{}`", state.path().display()));
            }
            Err((same, _)) => file = same,
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn wait_for_signal() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
