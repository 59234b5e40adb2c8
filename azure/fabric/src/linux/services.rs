//! The services every virtual network has, served from sockets inside its router.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::sync::Arc;

use parking_lot::Mutex;

use super::config::LinuxConfig;
use super::directory::Directory;
use super::host;
use super::metadata::{Metadata, WireServer};
use crate::dns;
use crate::fabric::FabricError;
use crate::ids::NetworkId;
use crate::plan::{METADATA, WIRE_SERVER};
use crate::wanted::Wanted;

pub(super) struct Services {
    config: Arc<LinuxConfig>,
    directory: Arc<Directory>,
    tasks: kit::Tasks,
    running: Mutex<HashMap<NetworkId, kit::Tasks>>,
}

impl Services {
    pub fn new(config: Arc<LinuxConfig>, directory: Arc<Directory>, tasks: kit::Tasks) -> Self {
        Self { config, directory, tasks, running: Mutex::default() }
    }

    /// Stops the services of one network, because its router goes or is made anew.
    pub fn stop(&self, network: &NetworkId) {
        if let Some(tasks) = self.running.lock().remove(network) {
            tasks.stop();
        }
    }

    /// Serves every wanted network.
    pub async fn follow(&self, wanted: &Wanted) -> Result<(), FabricError> {
        self.directory.learn(wanted);
        let gone: Vec<NetworkId> = {
            let running = self.running.lock();
            running.keys().filter(|id| !wanted.networks.iter().any(|n| n.id == **id)).cloned().collect()
        };
        gone.iter().for_each(|id| self.stop(id));
        for network in &wanted.networks {
            if self.running.lock().contains_key(&network.id) {
                continue;
            }
            let tasks = self.tasks.child();
            let deed = format!("serve names and metadata in network {}", network.id);
            self.serve(&network.id, &tasks).await.map_err(host(deed))?;
            self.running.lock().insert(network.id.clone(), tasks);
        }
        Ok(())
    }

    async fn serve(&self, id: &NetworkId, tasks: &kit::Tasks) -> std::io::Result<()> {
        let router = self.config.router(id);
        let known = || {
            let (directory, id) = (self.directory.clone(), id.clone());
            move || directory.names(&id)
        };
        let names = SocketAddrV4::new(WIRE_SERVER, 53);
        let udp = router.bind_udp(names).await?;
        let tcp = router.listen_tcp(names).await?;
        let wire = router.listen_tcp(SocketAddrV4::new(WIRE_SERVER, 80)).await?;
        let metadata = router.listen_tcp(SocketAddrV4::new(METADATA, 80)).await?;
        tasks.spawn("names over UDP", dns::serve_udp(udp, known()));
        tasks.spawn("names over TCP", dns::serve_tcp(tcp, known()));
        kit::serve::plain(wire, Arc::new(WireServer), tasks);
        let service = Metadata { network: id.clone(), directory: self.directory.clone() };
        kit::serve::plain(metadata, Arc::new(service), tasks);
        Ok(())
    }
}
