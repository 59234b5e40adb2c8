//! The three kinds of object, and the rights on them.

use serde::{Deserialize, Serialize};

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Kind {
    Secret,
    Key,
    Certificate,
}

impl Kind {
    /// `secrets`: in paths, actions and policies.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Kind::Secret => "secrets",
            Kind::Key => "keys",
            Kind::Certificate => "certificates",
        }
    }

    /// `secret`.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Kind::Secret => "secret",
            Kind::Key => "key",
            Kind::Certificate => "certificate",
        }
    }

    /// `Secret`.
    pub(super) fn title(self) -> &'static str {
        match self {
            Kind::Secret => "Secret",
            Kind::Key => "Key",
            Kind::Certificate => "Certificate",
        }
    }

    /// The code of 404.
    pub(super) fn not_found(self) -> &'static str {
        match self {
            Kind::Secret => "SecretNotFound",
            Kind::Key => "KeyNotFound",
            Kind::Certificate => "CertificateNotFound",
        }
    }

    /// The inner code of a refusal because the object is switched off.
    pub(super) fn disabled(self) -> &'static str {
        match self {
            Kind::Secret => "SecretDisabled",
            Kind::Key => "KeyDisabled",
            Kind::Certificate => "CertificateDisabled",
        }
    }

    /// The member that carries the id.
    pub(super) fn id_member(self) -> &'static str {
        match self {
            Kind::Key => "kid",
            Kind::Secret | Kind::Certificate => "id",
        }
    }

    /// What goes with an object of this kind: a certificate has a key and a secret of the same name.
    pub(super) fn with_twins(self) -> &'static [Kind] {
        match self {
            Kind::Secret => &[Kind::Secret],
            Kind::Key => &[Kind::Key],
            Kind::Certificate => &[Kind::Certificate, Kind::Key, Kind::Secret],
        }
    }
}

/// What one needs for a deed: a data action below `Microsoft.KeyVault/vaults/`, or a permission of an access policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Right {
    pub(super) kind: Kind,
    pub(super) action: &'static str,
    pub(super) permission: &'static str,
}

/// Deeds that all kinds have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    Get,
    List,
    GetDeleted,
    Update,
    Delete,
    Recover,
    Purge,
    Backup,
    Restore,
}

impl Kind {
    /// The right for a deed that all kinds have.
    pub(super) fn right(self, deed: Deed) -> Right {
        use Deed::{Backup, Delete, Get, GetDeleted, List, Purge, Recover, Restore, Update};
        let (action, permission) = match (self, deed) {
            (Kind::Secret, Get) => ("secrets/getSecret/action", "get"),
            (Kind::Secret, GetDeleted) => ("secrets/readMetadata/action", "get"),
            (Kind::Secret, List) => ("secrets/readMetadata/action", "list"),
            (Kind::Secret, Update) => ("secrets/update/action", "set"),
            (Kind::Secret, Delete) => ("secrets/delete", "delete"),
            (Kind::Secret, Recover) => ("secrets/recover/action", "recover"),
            (Kind::Secret, Purge) => ("secrets/purge/action", "purge"),
            (Kind::Secret, Backup) => ("secrets/backup/action", "backup"),
            (Kind::Secret, Restore) => ("secrets/restore/action", "restore"),
            (Kind::Key, Get | GetDeleted) => ("keys/read", "get"),
            (Kind::Key, List) => ("keys/read", "list"),
            (Kind::Key, Update) => ("keys/update/action", "update"),
            (Kind::Key, Delete) => ("keys/delete", "delete"),
            (Kind::Key, Recover) => ("keys/recover/action", "recover"),
            (Kind::Key, Purge) => ("keys/purge/action", "purge"),
            (Kind::Key, Backup) => ("keys/backup/action", "backup"),
            (Kind::Key, Restore) => ("keys/restore/action", "restore"),
            (Kind::Certificate, Get | GetDeleted) => ("certificates/read", "get"),
            (Kind::Certificate, List) => ("certificates/read", "list"),
            (Kind::Certificate, Update) => ("certificates/update/action", "update"),
            (Kind::Certificate, Delete) => ("certificates/delete", "delete"),
            (Kind::Certificate, Recover) => ("certificates/recover/action", "recover"),
            (Kind::Certificate, Purge) => ("certificates/purge/action", "purge"),
            (Kind::Certificate, Backup) => ("certificates/backup/action", "backup"),
            (Kind::Certificate, Restore) => ("certificates/restore/action", "restore"),
        };
        Right { kind: self, action, permission }
    }
}

pub(super) const SET_SECRET: Right =
    Right { kind: Kind::Secret, action: "secrets/setSecret/action", permission: "set" };
pub(super) const CREATE_KEY: Right =
    Right { kind: Kind::Key, action: "keys/create/action", permission: "create" };
pub(super) const IMPORT_KEY: Right =
    Right { kind: Kind::Key, action: "keys/import/action", permission: "import" };
pub(super) const ROTATE_KEY: Right =
    Right { kind: Kind::Key, action: "keys/rotate/action", permission: "rotate" };
pub(super) const GET_ROTATION: Right =
    Right { kind: Kind::Key, action: "keyrotationpolicies/read", permission: "getrotationpolicy" };
pub(super) const SET_ROTATION: Right =
    Right { kind: Kind::Key, action: "keyrotationpolicies/write", permission: "setrotationpolicy" };
pub(super) const CREATE_CERTIFICATE: Right =
    Right { kind: Kind::Certificate, action: "certificates/create/action", permission: "create" };
pub(super) const IMPORT_CERTIFICATE: Right =
    Right { kind: Kind::Certificate, action: "certificates/import/action", permission: "import" };

/// The right to use a key, and the name of the deed as keys' `key_ops` spell it.
pub(super) fn cryptography(operation: &str) -> Option<(Right, &'static str)> {
    let (action, permission) = match operation.to_ascii_lowercase().as_str() {
        "encrypt" => ("keys/encrypt/action", "encrypt"),
        "decrypt" => ("keys/decrypt/action", "decrypt"),
        "wrapkey" => ("keys/wrap/action", "wrapKey"),
        "unwrapkey" => ("keys/unwrap/action", "unwrapKey"),
        "sign" => ("keys/sign/action", "sign"),
        "verify" => ("keys/verify/action", "verify"),
        _ => return None,
    };
    Some((Right { kind: Kind::Key, action, permission }, permission))
}
