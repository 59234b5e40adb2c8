//! Puts the parts together and starts them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use tokio::sync::watch;

use crate::config::{Config, StartError};
use crate::events::Recorder;
use crate::image::Puller;
use crate::objects::Objects;
use crate::runtime::Readiness;
use crate::server::{Server, rotate};
use crate::shared::Shared;
use crate::volume::{Volumes, tokens::Tokens};
use crate::{node, pod};

/// A running kubelet. It stops with the [`Tasks`](kit::Tasks) it was started in; containers go on.
pub struct Kubelet {
    address: SocketAddr,
    readiness: watch::Receiver<Readiness>,
}

impl Kubelet {
    /// Where the HTTPS server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether pods can run on the node, and else why not; changes as the runtime does.
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.clone()
    }
}

/// Starts a kubelet: registers the Node, adopts what runs, serves the HTTPS port.
pub async fn start(config: Config, tasks: &kit::Tasks) -> Result<Kubelet, StartError> {
    kit::files::make_dir(&config.root_dir.join("pods"))?;
    if !config.runtime.is_simulated() {
        kit::files::make_dir(&config.pod_log_dir)?;
    }
    let version = first_version(config.runtime.as_ref()).await?;
    let address = config.listen;
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })?;
    let bound = listener.local_addr().map_err(|source| StartError::Listen { address, source })?;
    let serving = kit::tls::server(config.serving.clone())?;
    let mut config = config;
    config.listen = bound;

    let shared = Arc::new(assemble(config, &version, tasks));
    let server = Server::new(shared.clone()).map_err(StartError::ClientAuthority)?;
    // HTTP/1.1 only: exec, attach and port-forward upgrade their connection.
    let mut serving = rustls::ServerConfig::clone(&serving);
    serving.alpn_protocols = vec![b"http/1.1".to_vec()];
    kit::serve::tls(listener, Arc::new(serving), Arc::new(server), tasks);
    node::start(&shared);
    pod::manager::start(&shared);
    if !shared.config.runtime.is_simulated() {
        let rotated = shared.clone();
        tasks.spawn("log rotation", async move { rotate::keep(rotated).await });
    }
    Ok(Kubelet { address: bound, readiness: shared.readiness.subscribe() })
}

/// How long a container runtime may take from its first connection to its first answer.
const RUNTIME_START_LIMIT: std::time::Duration = std::time::Duration::from_secs(30);
const RUNTIME_ASK_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// The runtime's version, as soon as it tells. containerd accepts connections before its CRI service is there
/// ("server is not initialized yet"), longest when it finds containers of an earlier run, and says nothing when
/// that ends.
async fn first_version(
    runtime: &dyn crate::runtime::Runtime,
) -> Result<crate::runtime::VersionResponse, StartError> {
    let begun = tokio::time::Instant::now();
    loop {
        match runtime.version().await {
            Ok(version) => return Ok(version),
            Err(error) if begun.elapsed() > RUNTIME_START_LIMIT => return Err(StartError::Runtime(error)),
            Err(_) => tokio::time::sleep(RUNTIME_ASK_PAUSE).await,
        }
    }
}

fn assemble(config: Config, version: &crate::runtime::VersionResponse, tasks: &kit::Tasks) -> Shared {
    let client = config.client.clone();
    let events = Recorder::start(client.clone(), &config.node_name, config.clock.clone(), tasks);
    let objects = Arc::new(Objects::new(&client, tasks));
    let images =
        Puller::new(config.runtime.clone(), events.clone(), config.clock.clone(), config.credentials.clone());
    let tokens = Tokens::new(client.clone(), config.clock.clone());
    let simulated = config.runtime.is_simulated();
    let volumes = Volumes::new(config.root_dir.clone(), objects.clone(), tokens, simulated);
    let (services, writer) = reflector::store::<Service>();
    let api: Api<Service> = Api::all(client);
    tasks.spawn("services", async move {
        let watched = watcher(api, watcher::Config::default()).backoff(crate::client::watches());
        reflector(writer, watched).for_each(|_| std::future::ready(())).await;
    });
    let unknown = Readiness { runtime: Some("the runtime has not been asked yet".into()), network: None };
    Shared {
        events,
        objects,
        services,
        images,
        volumes,
        runtime_name: version.runtime_name.clone(),
        runtime_version: format!("{}://{}", version.runtime_name, version.runtime_version),
        readiness: watch::Sender::new(unknown),
        told: AtomicBool::new(false),
        owners: Default::default(),
        pods: Default::default(),
        tasks: tasks.clone(),
        config,
    }
}
