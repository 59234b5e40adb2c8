//! The real fabric: routers and machines as namespaces of this host.
//!
//! Guarantees: everything on the host carries one prefix (`lz-…`), lives in namespaces and control groups of its
//! own and is removed by [`LinuxFabric::purge`]; machines outlive this process and are adopted by
//! [`LinuxFabric::open`]. Does not: touch the host's own network namespace, `/etc`, or mounts others see.

mod config;
mod directory;
mod execute;
mod image;
mod life;
mod links;
mod metadata;
mod probes;
mod purge;
mod script;
mod services;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;

use ::linux::Netns;
use ::linux::ip::{Repeat, batch};
use async_trait::async_trait;
use kit::files::{Readers, read, write_atomic};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};

use crate::fabric::{Fabric, FabricError, FabricKind, Place, Report};
use crate::ids::{MachineId, NetworkId};
use crate::imds::ImdsTokens;
use crate::plan::{self, Counter, INTERNET, METADATA, RouterConfig, Seen, WIRE_SERVER};
use crate::script::{Script, ScriptEnd};
use crate::state::Machines;
use crate::wanted::Wanted;

pub use config::LinuxConfig;

type Cause = Box<dyn std::error::Error + Send + Sync>;

fn host<E: Into<Cause>>(deed: String) -> impl FnOnce(E) -> FabricError {
    move |source| FabricError::Host { deed, source: source.into() }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FabricError> + Send + 'static,
) -> Result<T, FabricError> {
    tokio::task::spawn_blocking(work).await.map_err(host("run a step".into()))?
}

/// The Linux fabric.
pub struct LinuxFabric {
    config: Arc<LinuxConfig>,
    directory: Arc<directory::Directory>,
    services: services::Services,
    lives: Arc<life::Lives>,
    probes: probes::Probes,
    /// The wish that holds; also the lock of everything that changes the host.
    applied: Mutex<Option<Wanted>>,
}

impl LinuxFabric {
    /// Opens the fabric of a state directory: finds what is on the host, follows it and serves it.
    pub async fn open(config: LinuxConfig, tasks: kit::Tasks) -> Result<Arc<Self>, FabricError> {
        let config = Arc::new(config);
        purge::claim(&config)?;
        let directory = Arc::new(directory::Directory::default());
        let fabric = Arc::new(Self {
            services: services::Services::new(config.clone(), directory.clone(), tasks.clone()),
            lives: Arc::new(life::Lives::new(config.clone(), tasks.clone())),
            probes: probes::Probes::new(config.clone(), tasks.clone()),
            applied: Mutex::new(None),
            directory,
            config,
        });
        for id in fabric.lives.found() {
            fabric.lives.adopt(&id);
        }
        fabric.resume().await?;
        let weak = Arc::downgrade(&fabric);
        let changed = fabric.probes.changed.clone();
        tasks.spawn("balancer health", async move {
            loop {
                changed.notified().await;
                let Some(fabric) = weak.upgrade() else { return };
                if let Err(error) = fabric.rebalance().await {
                    tracing::error!(error = %kit::Chain(&error), "failed to follow the health of backends");
                }
            }
        });
        Ok(fabric)
    }

    /// Takes up the last wish, as far as the host still holds it.
    async fn resume(&self) -> Result<(), FabricError> {
        let path = self.config.wanted_file();
        let text = match read(&path) {
            Err(error) if error.is_missing() => return Ok(()),
            read => read.map_err(host("read the last wish".into()))?,
        };
        let wanted: Wanted = serde_json::from_slice(&text).map_err(host("read the last wish".into()))?;
        let seen = self.see();
        let mut present = wanted.clone();
        present.networks.retain(|network| seen.routers.contains_key(&network.id));
        self.services.follow(&present).await?;
        self.probes.follow(&present);
        *self.applied.lock().await = Some(wanted);
        Ok(())
    }

    /// Who makes tokens for machines.
    pub fn set_tokens(&self, tokens: Arc<dyn ImdsTokens>) {
        self.directory.set_tokens(tokens);
    }

    /// Stops the machines of a state directory's fabric and takes its namespaces and control groups off the host; disks
    /// and the last wish stay, so that the next [`open`](Self::open) and `apply` bring everything back. What was removed.
    pub async fn halt(state_dir: &Path) -> Result<Vec<String>, FabricError> {
        purge::halt(state_dir).await
    }

    /// Removes everything of a state directory's fabric from the host, and the state itself; what was removed.
    pub async fn purge(state_dir: &Path) -> Result<Vec<String>, FabricError> {
        purge::purge(state_dir).await
    }

    /// The security rules of a network as the kernel has them, with counters.
    pub fn rules(&self, network: &NetworkId) -> Result<String, FabricError> {
        ::linux::nft::list(&self.config.router(network), "ip", "lazurite")
            .map(Option::unwrap_or_default)
            .map_err(host(format!("read the rules of {network}")))
    }

    fn see(&self) -> Seen {
        let mut routers = BTreeMap::new();
        let mut unfinished = BTreeSet::new();
        let entries = std::fs::read_dir(self.config.networks_dir()).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|n| NetworkId::parse(n.strip_suffix(".json")?)) else {
                continue;
            };
            let stored = execute::recorded(&self.config, &id);
            if let (true, Some(stored)) = (self.config.router(&id).exists(), stored) {
                routers.insert(id, stored);
            }
        }
        // A router that was being made when the service died holds nothing for certain.
        let prefix = format!("{}-n-", self.config.prefix);
        for name in Netns::list(&prefix) {
            let id = name.strip_prefix(&prefix).and_then(NetworkId::parse);
            unfinished.extend(id.filter(|id| !routers.contains_key(id)));
        }
        let machines = self.lives.found().into_iter().map(|id| {
            let seen = self.lives.see(&id);
            (id, seen)
        });
        Seen { internet: self.config.internet().exists(), routers, unfinished, machines: machines.collect() }
    }

    async fn rebalance(&self) -> Result<(), FabricError> {
        let applied = self.applied.lock().await;
        let Some(wanted) = applied.as_ref() else { return Ok(()) };
        let seen = self.see();
        let health = self.probes.health();
        let mut changed = BTreeMap::new();
        for network in &wanted.networks {
            let Some(old) = seen.routers.get(&network.id) else { continue };
            let balancing = plan::compile(wanted, network, &health).balancing;
            if balancing != old.balancing {
                changed.insert(network.id.clone(), RouterConfig { balancing, ..old.clone() });
            }
        }
        execute::rebalance(self, changed).await
    }

    fn place(&self, place: &Place) -> Result<Netns, FabricError> {
        let netns = match place {
            Place::Internet => self.config.internet(),
            Place::Network(id) => self.config.router(id),
        };
        match (netns.exists(), place) {
            (true, _) => Ok(netns),
            (false, Place::Network(id)) => Err(FabricError::NoNetwork(id.clone())),
            (false, Place::Internet) => {
                links::make_internet(&self.config)?;
                Ok(netns)
            }
        }
    }
}

#[async_trait]
impl Fabric for LinuxFabric {
    async fn apply(&self, wanted: Wanted) -> Result<Report, FabricError> {
        let mut applied = self.applied.lock().await;
        let current = applied.as_ref().map_or(0, |w| w.generation);
        if wanted.generation < current {
            return Err(FabricError::Stale { asked: wanted.generation, applied: current });
        }
        let notes = plan::check(&wanted);
        if !notes.is_empty() {
            return Err(FabricError::Impossible { notes });
        }
        let plan = plan::plan(&wanted, &self.see(), &self.probes.health());
        if applied.as_ref() != Some(&wanted) {
            let text = serde_json::to_vec(&wanted).map_err(host("write the wish down".into()))?;
            // Holds custom data, and so bootstrap tokens: for root only.
            write_atomic(&self.config.wanted_file(), &text, Readers::Owner)
                .map_err(host("write the wish down".into()))?;
        }
        *applied = Some(wanted.clone());
        // Names and metadata must be there before the first machine asks: serve as soon as the routers are.
        let (networks, machines): (Vec<_>, Vec<_>) = plan
            .steps
            .iter()
            .cloned()
            .partition(|s| !matches!(s, plan::Step::Image(..) | plan::Step::Start(_)));
        let part = |steps| plan::FabricPlan { steps, ..plan.clone() };
        execute::execute(self, &wanted, &part(networks)).await?;
        self.services.follow(&wanted).await?;
        execute::execute(self, &wanted, &part(machines)).await?;
        self.probes.follow(&wanted);
        tracing::info!(generation = wanted.generation, steps = plan.steps.len(), "fabric is as wanted");
        Ok(Report {
            generation: wanted.generation,
            steps: plan.steps.iter().map(ToString::to_string).collect(),
        })
    }

    fn machines(&self) -> watch::Receiver<Arc<Machines>> {
        self.lives.subscribe()
    }

    async fn serial_log(&self, id: &MachineId) -> Result<String, FabricError> {
        if !self.config.machine_dir(id).exists() {
            return Err(FabricError::NoMachine(id.clone()));
        }
        let (lives, id) = (self.lives.clone(), id.clone());
        blocking(move || match lives.serial_log(&id) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            read => read.map_err(host(format!("read the serial log of {id}"))),
        })
        .await
    }

    async fn run_script(&self, id: &MachineId, script: Script) -> Result<ScriptEnd, FabricError> {
        script::run(&self.lives, id, script).await
    }

    async fn listen(&self, place: Place, address: SocketAddrV4) -> Result<TcpListener, FabricError> {
        let netns = self.place(&place)?;
        let own = [WIRE_SERVER, METADATA, INTERNET, Ipv4Addr::UNSPECIFIED];
        if !own.contains(address.ip()) && !address.ip().is_loopback() {
            let (netns, line) = (netns.clone(), format!("addr replace {}/32 dev lo", address.ip()));
            blocking(move || {
                batch(&netns, std::slice::from_ref(&line), Repeat::Tolerant).map_err(host(line))
            })
            .await?;
        }
        netns.listen_tcp(address).await.map_err(|source| FabricError::Socket {
            deed: "listen on",
            address,
            source,
        })
    }

    async fn connect(&self, place: Place, to: SocketAddrV4) -> Result<TcpStream, FabricError> {
        let netns = self.place(&place)?;
        let connected = netns.connect_tcp(None, to).await;
        connected.map_err(|source| FabricError::Socket { deed: "connect to", address: to, source })
    }

    async fn counters(&self, network: &NetworkId) -> Result<Vec<Counter>, FabricError> {
        let applied = self.applied.lock().await;
        let missing = || FabricError::NoNetwork(network.clone());
        let wanted = applied.as_ref().ok_or_else(missing)?;
        let known = wanted.networks.iter().find(|n| n.id == *network).ok_or_else(missing)?;
        let netns = self.place(&Place::Network(network.clone()))?;
        let deed = format!("read the counters of {network}");
        let listed = blocking(move || {
            let mut listed = Vec::new();
            for table in execute::TABLES {
                let rules = ::linux::nft::list_json(&netns, "ip", table);
                listed.extend(rules.map_err(host(deed.clone()))?.unwrap_or_default());
            }
            Ok(listed)
        });
        Ok(plan::counters(wanted, known, &listed.await?))
    }

    fn kind(&self) -> FabricKind {
        FabricKind::Linux
    }
}
