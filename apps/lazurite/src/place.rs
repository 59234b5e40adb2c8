//! Where Lazurite keeps things: the service's state, and what a user's shell needs to speak to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Overrides the state directory.
pub const STATE_VARIABLE: &str = "LAZURITE_STATE";
/// Overrides the directory of a user's client files.
pub const HOME_VARIABLE: &str = "LAZURITE_HOME";

/// The service's directory: databases, machines, keys, log, pid.
#[derive(Debug, Clone)]
pub struct State(PathBuf);

impl State {
    /// The directory for whoever runs this: `/var/lib/lazurite` for root, else under the user's own.
    pub fn locate() -> Self {
        if let Some(path) = std::env::var_os(STATE_VARIABLE).filter(|path| !path.is_empty()) {
            return Self(PathBuf::from(path));
        }
        if nix::unistd::geteuid().is_root() {
            return Self(PathBuf::from("/var/lib/lazurite"));
        }
        let base = std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .unwrap_or_else(|| home().join(".local/state"));
        Self(base.join("lazurite"))
    }

    /// This directory.
    #[cfg(test)]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file or directory in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What the running service wrote about itself.
    pub fn running_file(&self) -> PathBuf {
        self.join("service.json")
    }

    /// The service's log.
    pub fn log_file(&self) -> PathBuf {
        self.join("lazurite.log")
    }

    /// What the service last wrote about itself, whether or not it still runs.
    pub fn last_service(&self) -> Option<ServiceFile> {
        let bytes = kit::files::read(&self.running_file()).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The service, if it runs now.
    pub fn running(&self) -> Option<ServiceFile> {
        self.last_service().filter(ServiceFile::is_alive)
    }
}

/// What a running service writes about itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceFile {
    /// Its process.
    pub pid: i32,
    /// The process's start, in clock ticks since boot: a reused pid is not the service.
    pub started_ticks: u64,
    /// The front door.
    pub front: SocketAddr,
    /// All clusters' API servers.
    pub api: SocketAddr,
    /// The proxy for programs that cannot be told where the cloud is.
    #[serde(default)]
    pub proxy: Option<SocketAddr>,
    /// The name service for programs that can be told whom to ask.
    #[serde(default)]
    pub dns: Option<SocketAddr>,
    /// `linux` or `simulated`.
    pub fabric: String,
    /// The version of the program.
    pub version: String,
}

impl ServiceFile {
    /// Whether that very process still runs.
    pub fn is_alive(&self) -> bool {
        start_ticks(self.pid) == Some(self.started_ticks)
    }
}

/// When a process started, in clock ticks since boot; `None` if it does not run (a zombie does not).
pub fn start_ticks(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; what follows is split by spaces.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// A user's files: CA, credentials, az's and kubectl's configuration.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// `$LAZURITE_HOME`, else `~/.lazurite` of the user who called (also through sudo).
    pub fn locate() -> Self {
        if let Some(path) = std::env::var_os(HOME_VARIABLE).filter(|path| !path.is_empty()) {
            return Self(PathBuf::from(path));
        }
        Self(caller().map(|caller| caller.dir).unwrap_or_else(home).join(".lazurite"))
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file or directory in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The credentials of the command line, if the service has been up once.
    pub fn credentials(&self) -> Result<Credentials> {
        let path = self.join("credentials.json");
        let bytes = kit::files::read(&path)
            .with_context(|| "no credentials yet; start Lazurite first: `make up` or `lazurite up`")?;
        serde_json::from_slice(&bytes).with_context(|| format!("`{}` is damaged", path.display()))
    }

    /// Gives the directory to the user who called through sudo, so that their shell can use it.
    pub fn hand_over(&self) -> Result<()> {
        let Some(caller) = caller() else { return Ok(()) };
        let (uid, gid) = (Some(caller.uid), Some(caller.gid));
        for path in [self.0.clone()].into_iter().chain(
            std::fs::read_dir(&self.0)
                .with_context(|| format!("failed to list `{}`", self.0.display()))?
                .flatten()
                .map(|entry| entry.path()),
        ) {
            nix::unistd::chown(&path, uid, gid)
                .with_context(|| format!("failed to give `{}` to its user", path.display()))?;
        }
        Ok(())
    }
}

/// What a client needs to sign in.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// The front door's URL, without a trailing slash.
    pub endpoint: String,
    /// The tenant.
    pub tenant_id: String,
    /// The subscription.
    pub subscription_id: String,
    /// The command line's application.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
}

fn home() -> PathBuf {
    std::env::var_os("HOME").map(PathBuf::from).unwrap_or_else(|| PathBuf::from("/"))
}

fn caller() -> Option<nix::unistd::User> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let uid = std::env::var("SUDO_UID").ok()?.parse().ok()?;
    nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten()
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_a_start_and_an_absent_one_has_none() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(super::start_ticks(own).is_some());
        assert_eq!(super::start_ticks(i32::MAX), None);
    }
}
