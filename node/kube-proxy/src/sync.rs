//! Watching the API and writing rules.

use std::process::Stdio;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kit::Tasks;
use kube::api::Api;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Notify;

use crate::health::{Health, serve};
use crate::{Config, SETTLE, model, rules};

/// Why rules could not be written.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// `nft` could not be run.
    #[error("failed to run nft")]
    Run(#[source] std::io::Error),
    /// `nft` refused the script; the kernel has the rules it had before.
    #[error("nft refused the rules ({status}): {stderr}")]
    Refused {
        /// Its exit status.
        status: std::process::ExitStatus,
        /// What it said.
        stderr: String,
    },
}

/// Keeps this network namespace's service rules true until the group is told to stop.
pub fn start(client: kube::Client, config: Config, tasks: &Tasks) {
    let changed = Arc::new(Notify::new());
    let services = watch::<Service>(Api::all(client.clone()), &changed, tasks);
    let slices = watch::<EndpointSlice>(Api::all(client), &changed, tasks);
    let health = Arc::new(Health::default());
    if let Some(address) = config.health {
        serve(address, health.clone(), tasks);
    }
    tasks.spawn("kube-proxy", async move {
        // Rules made of half a world would cut connections: wait for both lists.
        let _ = (services.wait_until_ready().await, slices.wait_until_ready().await);
        let mut written = None;
        loop {
            sync(&services, &slices, &config, &health, &mut written).await;
            changed.notified().await;
            tokio::time::sleep(SETTLE).await;
        }
    });
}

async fn sync(
    services: &Store<Service>,
    slices: &Store<EndpointSlice>,
    config: &Config,
    health: &Health,
    written: &mut Option<String>,
) {
    let (service_objects, slice_objects) = (services.state(), slices.state());
    let portals = model::portals(
        service_objects.iter().map(Arc::as_ref),
        slice_objects.iter().map(Arc::as_ref),
        &config.node_name,
    );
    let script = rules::script(&portals, config);
    if written.as_ref() == Some(&script) {
        return;
    }
    let mut pause = std::time::Duration::from_millis(100);
    loop {
        match apply(&script).await {
            Ok(()) => {
                health.synced();
                tracing::debug!(services = portals.len(), "service rules are written");
                *written = Some(script);
                return;
            }
            Err(error) => {
                tracing::error!(error = %kit::Chain(&error), "failed to write service rules");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(std::time::Duration::from_secs(10));
            }
        }
    }
}

fn watch<K>(api: Api<K>, changed: &Arc<Notify>, tasks: &Tasks) -> Store<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
    K: for<'de> k8s_openapi::serde::Deserialize<'de>,
{
    let (store, writer) = reflector::store();
    let changed = changed.clone();
    let stream = reflector::reflector(writer, watcher(api, watcher::Config::default()).default_backoff());
    tasks.spawn("kube-proxy watch", async move {
        let mut stream = std::pin::pin!(stream);
        while let Some(event) = stream.next().await {
            match event {
                Ok(_) => changed.notify_one(),
                Err(error) => {
                    tracing::warn!(error = %kit::Chain(&error), "a watch broke; it is opened again")
                }
            }
        }
    });
    store
}

/// Hands one script to `nft`, which applies all of it or nothing.
pub async fn apply(script: &str) -> Result<(), SyncError> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(SyncError::Run)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(script.as_bytes()).await.map_err(SyncError::Run)?;
    }
    let output = child.wait_with_output().await.map_err(SyncError::Run)?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(SyncError::Refused { status: output.status, stderr })
}
