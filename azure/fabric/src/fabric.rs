//! The fabric as its users see it.

use std::net::SocketAddrV4;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::ids::{MachineId, NetworkId};
use crate::plan::Counter;
use crate::script::{Script, ScriptEnd};
use crate::state::Machines;
use crate::wanted::Wanted;

/// A place where sockets can be opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// The internet: one namespace that all networks reach.
    Internet,
    /// The router of a virtual network.
    Network(NetworkId),
}

/// Which fabric this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FabricKind {
    /// Real namespaces and processes.
    Linux,
    /// No processes; machines are tasks.
    Simulated,
}

/// What an [`apply`](Fabric::apply) did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The generation that now holds.
    pub generation: u64,
    /// The steps taken, as printed in the plan; empty when nothing had to change.
    pub steps: Vec<String>,
}

/// Why the fabric could not do something.
#[derive(Debug, thiserror::Error)]
pub enum FabricError {
    /// The wish contradicts itself; nothing was done.
    #[error("wanted state is not possible: {}", .notes.join("; "))]
    Impossible {
        /// What is wrong, one sentence each.
        notes: Vec<String>,
    },
    /// A newer wish was applied before.
    #[error("generation {asked} is older than {applied}, which is applied")]
    Stale {
        /// The refused generation.
        asked: u64,
        /// The one that holds.
        applied: u64,
    },
    /// No machine has this id.
    #[error("machine `{0}` does not exist")]
    NoMachine(MachineId),
    /// The machine does not run.
    #[error("machine `{0}` does not run")]
    Off(MachineId),
    /// The machine is simulated: there is nothing to run a process in.
    #[error("machine `{0}` has no processes")]
    NoProcesses(MachineId),
    /// No network has this id.
    #[error("network `{0}` does not exist")]
    NoNetwork(NetworkId),
    /// Nobody listens there, or the way is blocked.
    #[error("failed to {deed} `{address}`")]
    Socket {
        /// `listen on` or `connect to`.
        deed: &'static str,
        /// The address.
        address: SocketAddrV4,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The host refused a step.
    #[error("failed to {deed}")]
    Host {
        /// The step, as in the plan.
        deed: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Makes wishes true and says what is.
#[async_trait]
pub trait Fabric: Send + Sync + 'static {
    /// Plans, checks and executes. Returns when networks, rules and machine processes are as wanted; machines
    /// boot in the background ([`machines`](Self::machines) tells). Applying the same wish again does nothing.
    async fn apply(&self, wanted: Wanted) -> Result<Report, FabricError>;

    /// The state of every machine, and a notification with each change.
    fn machines(&self) -> watch::Receiver<Arc<Machines>>;

    /// What the machine printed since its (re)image, at most the last MiB.
    async fn serial_log(&self, id: &MachineId) -> Result<String, FabricError>;

    /// Runs a script in a running machine, as its root user, and waits for its end.
    async fn run_script(&self, id: &MachineId, script: Script) -> Result<ScriptEnd, FabricError>;

    /// Listens in a place. The address is added there when missing.
    async fn listen(&self, place: Place, address: SocketAddrV4) -> Result<TcpListener, FabricError>;

    /// Connects from a place.
    async fn connect(&self, place: Place, to: SocketAddrV4) -> Result<TcpStream, FabricError>;

    /// What the rules of a network have judged since they were last changed; empty where no packets flow.
    async fn counters(&self, network: &NetworkId) -> Result<Vec<Counter>, FabricError>;

    /// Which fabric this is.
    fn kind(&self) -> FabricKind;
}
