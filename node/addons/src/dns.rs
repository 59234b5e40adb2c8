//! Cluster DNS: names of services and pods, as the DNS-based service discovery specification 1.1 has them.
//!
//! ```text
//! query ─▶ zone (from watched Services and EndpointSlices) ─▶ answer
//!      └─▶ not ours: forwarded to the resolvers of /etc/resolv.conf, answers kept for their time
//! ```
//!
//! Guarantees: answers nothing before both lists are complete (it is not ready until then). Does not:
//! transfer zones, sign answers, or read a Corefile.

mod answer;
mod forward;
mod server;
pub mod zone;

pub use server::{Options, run};
