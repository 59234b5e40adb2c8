//! Nodes: whether they are alive, what their state forbids, and which pods must leave.

pub(crate) mod eviction;
mod health;
pub(crate) mod lifecycle;
pub(crate) mod pod_gc;
mod taints;
