//! The whole API server in the process, over a store of its own, asked as its clients ask it.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

mod access;
mod addresses;
mod admission;
mod aggregation;
mod aggregation_openapi;
mod clients;
mod crud;
mod custom;
mod custom_conversion;
mod custom_definitions;
mod custom_rules;
mod deletion;
mod discovery;
mod every_verb;
mod evictions;
mod far_kubelet;
mod far_spdy;
mod field_validation;
mod front;
mod harness;
mod hostile;
mod installs;
mod kube_client;
mod kubectl;
mod kubectl_streams;
mod lists;
#[allow(dead_code, reason = "the fuzz targets use all of it")]
#[path = "../../../../fuzz/src/lib.rs"]
mod made;
mod mutations;
mod openapi;
mod ownership;
mod patches;
mod policies;
mod quota;
mod refusals;
mod stores;
mod strategy;
mod streams;
mod versions;
mod watchers;
mod watches;
mod workloads;
