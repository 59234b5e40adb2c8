//! Where things are: names of namespaces, files of the state directory.

use std::path::PathBuf;

use ::linux::Netns;

use crate::ids::{MachineId, NetworkId};

/// How a Linux fabric is set up.
#[derive(Debug, Clone)]
pub struct LinuxConfig {
    /// Where state lives; machines' disks in `machines/<id>/root`.
    pub state_dir: PathBuf,
    /// The binary: shown in machines as `/usr/bin/lazurite`. `<binary> node boot` must first call
    /// `linux::machine::start_if_asked`, before any thread is started (the node agent's `main` does).
    pub binary: PathBuf,
    /// Shown in machines as `/var/lib/lazurite/images`.
    pub images_dir: PathBuf,
    /// First part of all names on the host, `lz` for the one service of a host; tests take others.
    pub prefix: String,
}

impl LinuxConfig {
    /// A set-up with the usual names.
    pub fn new(
        state_dir: impl Into<PathBuf>,
        binary: impl Into<PathBuf>,
        images_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            state_dir: state_dir.into(),
            binary: binary.into(),
            images_dir: images_dir.into(),
            prefix: "lz".into(),
        }
    }

    pub(super) fn internet_name(&self) -> String {
        format!("{}-internet", self.prefix)
    }

    pub(super) fn internet(&self) -> Netns {
        Netns::named(&self.internet_name())
    }

    pub(super) fn router(&self, id: &NetworkId) -> Netns {
        Netns::named(&self.router_name(id))
    }

    pub(super) fn router_name(&self, id: &NetworkId) -> String {
        format!("{}-n-{id}", self.prefix)
    }

    pub(super) fn machine_name(&self, id: &MachineId) -> String {
        format!("{}-m-{id}", self.prefix)
    }

    pub(super) fn machine(&self, id: &MachineId) -> Netns {
        Netns::named(&self.machine_name(id))
    }

    pub(super) fn machines_dir(&self) -> PathBuf {
        self.state_dir.join("machines")
    }

    pub(super) fn machine_dir(&self, id: &MachineId) -> PathBuf {
        self.machines_dir().join(id.as_str())
    }

    pub(super) fn networks_dir(&self) -> PathBuf {
        self.state_dir.join("networks")
    }

    pub(super) fn network_file(&self, id: &NetworkId) -> PathBuf {
        self.networks_dir().join(format!("{id}.json"))
    }

    pub(super) fn wanted_file(&self) -> PathBuf {
        self.state_dir.join("wanted.json")
    }

    pub(super) fn owner_file(&self) -> PathBuf {
        self.state_dir.join("fabric.json")
    }

    /// The control group of all machines.
    pub(super) fn cgroup_parent(&self) -> String {
        if self.prefix == "lz" { "lazurite".into() } else { format!("lazurite-{}", self.prefix) }
    }

    pub(super) fn cgroup(&self, id: &MachineId) -> String {
        format!("{}/{id}", self.cgroup_parent())
    }
}
