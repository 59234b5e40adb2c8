//! The Kubernetes API server: one generic registry, authentication, authorisation, admission, watch cache.

pub mod admission;
pub mod attributes;
pub mod authn;
pub mod authz;
pub mod bootstrap;
pub mod streaming;
pub mod tokens;
pub mod tunnel;
