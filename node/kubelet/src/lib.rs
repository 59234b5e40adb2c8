//! Runs pods over CRI: sandboxes, containers, volumes, probes, status, logs, exec, port-forward.
//!
//! ```text
//!   API server ──watch──▶ manager ──one worker per pod──▶ runtime (CRI)
//!       ▲                   │  plan (pure): what the pod says, what the runtime has ─▶ what to do
//!       └──status, events───┘  volume · image · probe · status
//!   API server ──tunnel──▶ server :10250  logs, exec, attach, port-forward, stats
//! ```
//!
//! Guarantees: what runs is adopted after a restart, never started twice; the Node's lease and status are
//! tasks of their own, so a stuck pod never makes the node NotReady; a pod's object is deleted only after
//! its containers and volumes are gone.
//!
//! Does not: evict by resource pressure, run static pods, attach disks, speak to any cloud.
//!
//! Reading order: [`Config`], [`runtime`], then the private modules `pod`, `volume`, `status`, `probe`,
//! `image`, `node`, `server`.

mod client;
mod config;
mod events;
mod image;
mod kubelet;
pub mod labels;
mod node;
mod objects;
mod pod;
mod probe;
pub mod runtime;
mod server;
mod shared;
mod status;
mod volume;

pub use config::{Config, Credentials, ImageCredentials, StartError};
pub use kubelet::{Kubelet, start};
