//! What the directory keeps.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A client secret, as a hash.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Secret {
    /// A GUID.
    pub key_id: String,
    /// Salted hash.
    pub hash: String,
    /// The first three characters, as the portal shows them.
    pub hint: String,
    /// Display name.
    pub name: Option<String>,
    /// RFC 3339.
    pub start: String,
    /// RFC 3339.
    pub end: String,
}

/// A certificate that a client may prove itself with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Certificate {
    /// A GUID.
    pub key_id: String,
    /// DER, base64.
    pub der: String,
    /// Display name.
    pub name: Option<String>,
    /// RFC 3339.
    pub start: String,
    /// RFC 3339.
    pub end: String,
    /// SHA-1 of the certificate, hexadecimal and in capitals, as the portal shows it.
    #[serde(default)]
    pub thumbprint: String,
}

/// Trust in tokens of another issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Federated {
    /// A GUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `aud`.
    pub audiences: Vec<String>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
}

/// An application.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Application {
    /// Object id.
    pub id: String,
    /// Application (client) id.
    pub app_id: String,
    /// Display name.
    pub name: String,
    /// `api://…`.
    pub identifier_uris: Vec<String>,
    /// RFC 3339.
    pub created: String,
    /// Its secrets.
    pub secrets: Vec<Secret>,
    /// Its certificates.
    pub certificates: Vec<Certificate>,
    /// Its trusts.
    pub federated: Vec<Federated>,
    /// Object ids of those who may change it.
    #[serde(default)]
    pub owners: Vec<String>,
    /// Other members that clients set, shown as they are.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// What a service principal stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrincipalKind {
    /// An application.
    Application,
    /// A managed identity.
    ManagedIdentity,
    /// A service of the cloud itself: Graph, Resource Manager, the server of clusters. Nobody signs in as it.
    FirstParty,
}

/// A service principal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServicePrincipal {
    /// Object id: what roles are assigned to.
    pub id: String,
    /// Application (client) id.
    pub app_id: String,
    /// Display name.
    pub name: String,
    /// Application or managed identity.
    pub kind: PrincipalKind,
    /// The resource a managed identity belongs to.
    pub resource_id: Option<String>,
    /// RFC 3339.
    pub created: String,
    /// Whether it may get tokens.
    pub enabled: bool,
    /// Trusts of a managed identity.
    pub federated: Vec<Federated>,
    /// Secrets added to the principal itself.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// Certificates added to the principal itself.
    #[serde(default)]
    pub certificates: Vec<Certificate>,
    /// Object ids of those who may change it.
    #[serde(default)]
    pub owners: Vec<String>,
    /// Whether it may change the directory.
    #[serde(default)]
    pub admin: bool,
    /// Other members that clients set.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// A user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct User {
    /// Object id.
    pub id: String,
    /// `ada@contoso.onmicrosoft.com`.
    pub upn: String,
    /// Display name.
    pub name: String,
    /// Password, slowly hashed.
    pub password: String,
    /// Whether they may sign in.
    pub enabled: bool,
    /// RFC 3339.
    pub created: String,
    /// Whether they may change the directory.
    #[serde(default)]
    pub admin: bool,
    /// Tokens of sign-ins before this are not renewed, seconds since 1970: the last change of the password, or the
    /// last time that sessions were ended.
    #[serde(default)]
    pub sessions_from: i64,
    /// Other members that clients set.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// A group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    /// Object id.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Mail nickname.
    pub nickname: String,
    /// For people.
    pub description: Option<String>,
    /// RFC 3339.
    pub created: String,
    /// Object ids of users, principals and groups in it.
    pub members: Vec<String>,
    /// Object ids of those who may change it.
    #[serde(default)]
    pub owners: Vec<String>,
    /// Other members that clients set.
    #[serde(default)]
    pub extra: Map<String, Value>,
}

/// A role of an application that a principal holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RoleAssignment {
    /// Its id.
    pub id: String,
    /// Which of the resource's roles; the nil GUID for none in particular.
    pub role: String,
    /// Object id of who holds it.
    pub principal: String,
    /// Object id of the service principal whose role it is.
    pub resource: String,
    /// RFC 3339.
    pub created: String,
}

/// What a client may do in the name of people.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PermissionGrant {
    /// Its id.
    pub id: String,
    /// Object id of the client's service principal.
    pub client: String,
    /// Object id of the service principal that is called.
    pub resource: String,
    /// The one person it is for; none for everybody.
    pub principal: Option<String>,
    /// Names of permissions, separated by blanks.
    pub scope: String,
}

/// A refresh token that was given out; its key is the hash of the token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refresh {
    /// The user's object id.
    pub user: String,
    /// For which client.
    pub client_id: String,
    /// Until when, seconds since 1970.
    pub expires: i64,
    /// When the person signed in, seconds since 1970.
    #[serde(default)]
    pub signed_in: i64,
    /// Whether the client proved nothing when it was issued, and has nothing to prove to use it.
    #[serde(default)]
    pub public: bool,
}

/// A signing key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SigningKey {
    /// Its name in token headers.
    pub kid: String,
    /// PKCS#8 PEM.
    pub pem: String,
    /// Since when, RFC 3339.
    pub created: String,
}

/// What is fixed at the first start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tenant {
    /// The tenant's id.
    pub tenant_id: String,
    /// Its domain.
    pub domain: String,
    /// The id of its one subscription.
    pub subscription_id: String,
    /// Signing keys, the current one first. Older ones are published until nothing signed by them is valid.
    pub keys: Vec<SigningKey>,
    /// Object id of the application that was made at the first start, once it was.
    #[serde(default)]
    pub bootstrap: Option<String>,
}
