//! What every part leans on: ids, clock, error chain, HTTP, TLS, keys, tunnel, spawn and drain.
//!
//! Knows neither the cloud nor Kubernetes. Nothing here opens a socket or reads a clock by itself: the
//! caller says when.
//!
//! Reading order: [`tasks`] (how work starts and ends), [`http`] (the one request and response type),
//! [`serve`] (TLS in front of it), [`client`] (the other side), [`tunnel`] (many streams over one).

pub mod anybody;
pub mod chain;
pub mod client;
pub mod clock;
pub mod connector;
pub mod files;
pub mod http;
pub mod names;
pub mod pki;
pub mod serve;
pub mod tasks;
pub mod tls;
pub mod trace;
pub mod tunnel;

pub use chain::Chain;
pub use clock::{Clock, SystemClock};
pub use tasks::Tasks;
