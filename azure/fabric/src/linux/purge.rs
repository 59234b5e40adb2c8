//! Claiming a host's names, and giving everything back.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use ::linux::Netns;
use ::linux::cgroup::Group;
use kit::files::{Readers, write_atomic};
use serde::{Deserialize, Serialize};

use super::config::LinuxConfig;
use super::life::Lives;
use super::{blocking, host};
use crate::fabric::FabricError;
use crate::ids::NetworkId;

#[derive(Serialize, Deserialize)]
struct Owner {
    prefix: String,
}

/// Writes down that this state directory owns the names; refuses when another one has made an internet.
pub(super) fn claim(config: &LinuxConfig) -> Result<(), FabricError> {
    let deed = || "claim the host's namespaces".to_owned();
    if config.owner_file().exists() {
        return Ok(());
    }
    if config.internet().exists() {
        let text = format!(
            "namespace `{}` belongs to another state directory; stop and purge that one first",
            config.internet_name()
        );
        return Err(host(deed())(text));
    }
    let owner = serde_json::to_vec(&Owner { prefix: config.prefix.clone() }).map_err(host(deed()))?;
    write_atomic(&config.owner_file(), &owner, Readers::Owner).map_err(host(deed()))
}

/// The set-up of a state directory whose fabric has claimed the host's names.
fn claimed(state_dir: &Path) -> Result<Option<Arc<LinuxConfig>>, FabricError> {
    let mut config = LinuxConfig::new(state_dir, "/dev/null", "/dev/null");
    let Ok(text) = fs::read(config.owner_file()) else { return Ok(None) };
    let owner: Owner =
        serde_json::from_slice(&text).map_err(host("read who owns the host's names".into()))?;
    config.prefix = owner.prefix;
    Ok(Some(Arc::new(config)))
}

/// Stops machines and takes routers, the internet and control groups off the host; disks and the last wish stay.
pub(super) async fn halt(state_dir: &Path) -> Result<Vec<String>, FabricError> {
    let Some(config) = claimed(state_dir)? else { return Ok(Vec::new()) };
    let lives = Lives::new(config.clone(), kit::Tasks::new());
    let machines = lives.found();
    futures::future::try_join_all(machines.iter().map(|id| lives.stop(id))).await?;
    let mut removed: Vec<String> = machines.iter().map(|id| format!("machine {id}")).collect();
    blocking(move || {
        for id in &machines {
            config.machine(id).delete().map_err(host(format!("delete the namespace of machine {id}")))?;
        }
        networks_off(&config, &mut removed)?;
        Ok(removed)
    })
    .await
}

/// Removes machines, routers, the internet, control groups and state.
pub(super) async fn purge(state_dir: &Path) -> Result<Vec<String>, FabricError> {
    let Some(config) = claimed(state_dir)? else { return Ok(Vec::new()) };
    let mut removed = Vec::new();
    let lives = Lives::new(config.clone(), kit::Tasks::new());
    for id in lives.found() {
        lives.delete(&id).await?;
        removed.push(format!("machine {id}"));
    }
    blocking(move || {
        networks_off(&config, &mut removed)?;
        for dir in [config.machines_dir(), config.networks_dir()] {
            match fs::remove_dir_all(&dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(host(format!("remove `{}`", dir.display()))(error));
                }
                _ => {}
            }
        }
        for file in [config.wanted_file(), config.owner_file()] {
            kit::files::remove(&file).map_err(host("remove the fabric's state".into()))?;
        }
        Ok(removed)
    })
    .await
}

/// Removes routers, the internet and the control groups; each removed namespace is named in `removed`.
fn networks_off(config: &LinuxConfig, removed: &mut Vec<String>) -> Result<(), FabricError> {
    let prefix = format!("{}-n-", config.prefix);
    for name in Netns::list(&prefix) {
        if name.strip_prefix(&prefix).and_then(NetworkId::parse).is_some() {
            Netns::named(&name).delete().map_err(host(format!("delete namespace {name}")))?;
            removed.push(format!("namespace {name}"));
        }
    }
    if config.internet().exists() {
        config.internet().delete().map_err(host("delete the internet".into()))?;
        removed.push(format!("namespace {}", config.internet_name()));
    }
    // Only when empty: others may have namespaces there.
    let _ = fs::remove_dir(::linux::netns::DIRECTORY);
    let group = Group::new(&config.cgroup_parent()).and_then(|group| group.remove());
    group.map_err(host("remove the control groups".into()))
}
