//! `Microsoft.KeyVault`: vaults as resources, and what is in them.
//!
//! [`provider`] is the resource manager's side: vaults with their defaults, access policies, soft delete, recovery and
//! purge. [`DataPlane`] answers for `https://<vault>.vault.azure.net`: secrets, keys (with their cryptography) and
//! certificates, each with versions, soft delete, backup and restore.
//!
//! Guarantees: every request to the data plane carries a token for it and is allowed by a role's data action or an access
//! policy, whichever the vault uses; whatever is in a vault is sealed before it touches the disk, with a key only the
//! owner of the state directory can read; a certificate and its key and secret are written and removed in one step.
//!
//! Does not: hardware modules (managed HSMs; `RSA-HSM` and `EC-HSM` keys of premium vaults are kept as the others),
//! certificate authorities beyond self-signed and externally merged certificates, rotation and renewal by themselves,
//! firewalls (network rules are kept and shown, not enforced).
//!
//! Reading order: [`vaults`], `data` (routes, access, store), `crypto`, `certificates`.

mod certificates;
mod crypto;
mod data;
pub mod vaults;

pub use data::{DataPlane, OpenError};
pub use vaults::{VAULTS, provider};
