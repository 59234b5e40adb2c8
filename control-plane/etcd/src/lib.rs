//! etcd's protocol, on both sides.
//!
//! [`Etcd`] is a [`store::Store`] in a real etcd cluster (3.4 or newer): for control planes that outgrow one machine, or several
//! API servers over one store. [`Front`] is etcd's interface over a [`store::Embedded`]: `etcdctl`, an upstream API server, or
//! another [`Etcd`] use the embedded store as if it were etcd.
//!
//! Guarantees: both sides pass `store::suite`, also one over the other. A write is sent once: when its answer is lost, that is
//! said ([`store::StoreError::Unavailable`]) and not guessed. A watch goes on over lost connections, without loss or repetition.
//!
//! It does not: form clusters, elect members, or know etcd's users and roles.

mod client;
mod front;
pub mod proto;

pub use client::{Etcd, OpenError, Options, Tls};
pub use front::{Front, FrontOptions, mutual_tls};
