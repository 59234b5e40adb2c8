//! The front door of the cloud, and the framework a resource provider is written in.
//!
//! Owns resource ids, the resource store, api-version checks, authentication (through a [`TokenVerifier`]),
//! authorisation, locks, ETags, long-running operations, the activity log, subscriptions, resource groups,
//! the generic resource list and template deployments. A provider implements [`ResourceType`] for each of its
//! types and hands them over in a [`Provider`].
//!
//! Guarantees: every request, also one made in the process by an [`ArmClient`], is authenticated and passes the
//! one function [`Access::authorize`]; every write is on disk before it is answered; two writes to one top-level
//! resource never overlap. It does not know any resource type of its own beyond `Microsoft.Resources`,
//! `Microsoft.Authorization` and the activity log, and it never issues tokens.
//!
//! Reading order: [`id`], [`resource`], [`types`], [`ctx`], then [`front`].

pub mod access;
pub mod activity;
pub mod caller;
pub mod client;
pub mod ctx;
pub mod deployments;
pub mod error;
pub mod front;
pub mod id;
pub mod identity;
pub mod json;
pub mod locations;
pub mod operations;
pub mod resource;
pub mod store;
pub mod types;

pub use access::Access;
pub use caller::{
    Caller, CallerKind, Directory, DirectoryError, FederatedCredential, ManagedIdentity, PrincipalInfo,
    Token, TokenError, TokenVerifier,
};
pub use client::{ArmClient, Reply};
pub use ctx::Ctx;
pub use error::ArmError;
pub use front::{Front, FrontConfig};
pub use id::ResourceId;
pub use operations::{Operation, OperationRecord, OperationStatus, Operations};
pub use resource::Resource;
pub use store::{Resources, StoreError, Table};
pub use types::{
    Acted, Call, DeleteStatus, Deleted, Patch, Provider, ProviderCalls, Put, ResourceType, TypeDescriptor,
    Written,
};
