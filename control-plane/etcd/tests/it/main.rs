//! Both sides of etcd's protocol in their world: a real etcd, its own tools, and each other.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails here says so")]

mod conformance;
mod etcdctl;
mod front;
mod world;
