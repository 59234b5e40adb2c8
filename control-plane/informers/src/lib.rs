//! What every Kubernetes loop leans on: one informer per kind, a keyed work queue, events.
//!
//! Reading order: [`Informer`] (a cache that follows the API), [`Queue`] (which key next, and when),
//! [`Loops`] (workers that take keys and call a reconcile function), [`Recorder`] (events for people).
//!
//! It is a client of the Kubernetes API only. Nothing here polls: every wait ends by a watch event or by a
//! time that somebody asked for. Where several control planes share one API, [`leader`] elects which one's loops work.

mod cache;
mod error;
mod event;
mod informer;
pub mod leader;
mod loops;
pub mod objects;
pub mod quantity;
mod queue;
pub mod selector;

pub use cache::{Change, Key};
pub use error::Error;
pub use event::Recorder;
pub use informer::{Informer, Informers, Object};
pub use loops::{LoopStatus, Loops, Next};
pub use queue::Queue;
