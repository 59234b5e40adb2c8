//! Health probes of load balancers, sent from 168.63.129.16 in the network's router.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use ::linux::Netns;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio_rustls::rustls::pki_types::ServerName;

use super::config::LinuxConfig;
use crate::ids::NetworkId;
use crate::plan::{BackendKey, Health, WIRE_SERVER};
use crate::wanted::{Probe, ProbeProtocol, Wanted};

const PROBE_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_MAX_BYTES: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    network: NetworkId,
    address: Ipv4Addr,
    probe: Probe,
}

/// All probes of the fabric.
pub(super) struct Probes {
    config: Arc<LinuxConfig>,
    tasks: kit::Tasks,
    running: Mutex<BTreeMap<BackendKey, (Target, kit::Tasks)>>,
    health: Arc<Mutex<Health>>,
    /// Told when a backend's health has changed.
    pub changed: Arc<Notify>,
}

impl Probes {
    pub fn new(config: Arc<LinuxConfig>, tasks: kit::Tasks) -> Self {
        Self {
            config,
            tasks,
            running: Mutex::default(),
            health: Arc::default(),
            changed: Arc::new(Notify::new()),
        }
    }

    pub fn health(&self) -> Health {
        self.health.lock().clone()
    }

    /// Probes what a wish asks for, and nothing else.
    pub fn follow(&self, wanted: &Wanted) {
        let targets = targets(wanted);
        let mut running = self.running.lock();
        running.retain(|key, (target, tasks)| {
            let keep = targets.get(key) == Some(target);
            if !keep {
                tasks.stop();
                self.health.lock().remove(key);
            }
            keep
        });
        for (key, target) in targets {
            if running.contains_key(&key) {
                continue;
            }
            let tasks = self.tasks.child();
            let router = self.config.router(&target.network);
            let (health, changed) = (self.health.clone(), self.changed.clone());
            tasks.spawn("probe", probe(router, key.clone(), target.clone(), health, changed));
            running.insert(key, (target, tasks));
        }
    }
}

fn targets(wanted: &Wanted) -> BTreeMap<BackendKey, Target> {
    let mut targets = BTreeMap::new();
    for rule in wanted.balancers.iter().flat_map(|b| &b.rules) {
        let Some(probe) = &rule.probe else { continue };
        for machine in wanted.machines.iter().filter(|m| rule.backends.contains(&m.id)) {
            let key = BackendKey { machine: machine.id.clone(), probe: probe.clone() };
            let target =
                Target { network: machine.network.clone(), address: machine.address, probe: probe.clone() };
            targets.insert(key, target);
        }
    }
    targets
}

async fn probe(
    router: Netns,
    key: BackendKey,
    target: Target,
    health: Arc<Mutex<Health>>,
    changed: Arc<Notify>,
) {
    let threshold = target.probe.threshold.max(1);
    let mut in_a_row = 0;
    loop {
        let asked = tokio::time::timeout(PROBE_LIMIT, ask(&router, &target)).await;
        let well = matches!(asked, Ok(Ok(true)));
        let known = health.lock().get(&key).copied();
        in_a_row = if known == Some(well) { 0 } else { in_a_row + 1 };
        if known.is_none() || in_a_row >= threshold {
            health.lock().insert(key.clone(), well);
            in_a_row = 0;
            if known != Some(well) {
                changed.notify_one();
            }
        }
        tokio::time::sleep(Duration::from_secs(u64::from(target.probe.interval_s.max(1)))).await;
    }
}

async fn ask(router: &Netns, target: &Target) -> std::io::Result<bool> {
    let from = SocketAddrV4::new(WIRE_SERVER, 0);
    let to = SocketAddrV4::new(target.address, target.probe.port);
    let stream = router.connect_tcp(Some(from), to).await?;
    match &target.probe.protocol {
        ProbeProtocol::Tcp => Ok(true),
        ProbeProtocol::Http { path } => get(stream, to, path).await,
        ProbeProtocol::Https { path } => {
            let config = kit::anybody::client(None).map_err(std::io::Error::other)?;
            let name = ServerName::IpAddress(IpAddr::V4(*to.ip()).into());
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            get(connector.connect(name, stream).await?, to, path).await
        }
    }
}

/// Whether the answer to a question is 200.
async fn get(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    to: SocketAddrV4,
    path: &str,
) -> std::io::Result<bool> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: Load Balancer Agent\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    // The first line is enough: many servers end TLS without saying so.
    while answer.len() < ANSWER_MAX_BYTES && !answer.contains(&b'\n') {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    let line = String::from_utf8_lossy(&answer);
    Ok(line.split(' ').nth(1) == Some("200"))
}
