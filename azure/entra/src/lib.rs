//! The directory: applications, service principals, users, groups, managed identities; OAuth 2 and OpenID Connect in
//! front of it, and the part of Microsoft Graph that Azure's tools use.
//!
//! Guarantees: one tenant whose ids are fixed at the first start; secrets are kept only as hashes; signing keys never
//! leave the process; every change is on disk before it is answered. It knows nothing of resources or roles: who may do
//! what in the cloud is decided elsewhere, by the object ids in its tokens.
//!
//! Reading order: [`model`], [`entra`], `claims`, `token`, `graph`.

mod assertion;
mod bootstrap;
mod claims;
mod discovery;
pub mod entra;
mod errors;
mod graph;
mod identities;
mod keys;
mod live;
pub mod model;
mod pages;
mod resources;
mod secrets;
mod service;
mod store;
mod token;
mod verify;

pub use bootstrap::Bootstrap;
pub use entra::{Config, Entra, EntraError, IssuerKeys, NoIssuers};
pub use graph::Filter;
pub use identities::{Federation, Identity, IssuedToken, PrincipalInfo};
pub use jsonwebtoken::jwk::JwkSet;
pub use verify::{Claims, VerifyError};
