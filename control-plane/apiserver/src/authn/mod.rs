//! Who asks: client certificates, tokens, anonymous, impersonation.
//!
//! Order as upstream: a certificate that the cluster's authority issued, then a bearer token, each asked of every token authenticator. A
//! request that shows something nobody accepts is 401; a request that shows nothing is anonymous on a few health paths and 401 elsewhere.

mod bootstrap_token;
mod certificate;
mod impersonate;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use http::HeaderMap;
use kit::Clock;
use kit::http::Connection;
use serde_json::Value;

pub use bootstrap_token::BootstrapTokens;
pub use certificate::{CertificateError, ClientCertificates};
pub use impersonate::impersonate;

use crate::attributes::{ApiError, Objects, UserInfo, text};
use crate::tokens::ServiceAccountTokens;

/// Everyone who has proved who he is, is in this group.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The user of requests without credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// His group.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Where one may be anonymous; RBAC (`system:public-info-viewer`) still has to allow it.
const ANONYMOUS_PATHS: [&str; 4] = ["/healthz", "/livez", "/readyz", "/version"];

/// Who a token stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// The user, without `system:authenticated`.
    pub user: UserInfo,
    /// The audiences it was accepted for.
    pub audiences: Vec<String>,
}

/// Why a token is refused; never contains the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TokenRejected(pub String);

/// Knows one kind of bearer token.
#[async_trait]
pub trait TokenAuthenticator: Send + Sync + 'static {
    /// Who the token stands for; none when it is not of this kind. `audiences` empty means the API server's own.
    async fn authenticate(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<Authenticated>, TokenRejected>;
}

/// All ways to prove who one is, of one cluster.
pub struct Authenticator {
    certificates: ClientCertificates,
    tokens: Vec<Arc<dyn TokenAuthenticator>>,
}

impl Authenticator {
    /// With the cluster's authority, its service-account tokens, bootstrap tokens, and whatever else is given.
    pub fn new(
        authority_pem: &str,
        service_accounts: Arc<ServiceAccountTokens>,
        objects: Arc<dyn Objects>,
        others: &[Arc<dyn TokenAuthenticator>],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CertificateError> {
        let mut tokens: Vec<Arc<dyn TokenAuthenticator>> = vec![
            Arc::new(ServiceAccounts { tokens: service_accounts, objects: objects.clone() }),
            Arc::new(BootstrapTokens::new(objects, clock.clone())),
        ];
        tokens.extend(others.iter().cloned());
        Ok(Self { certificates: ClientCertificates::new(authority_pem, clock)?, tokens })
    }

    /// Who sends a request, or the 401 to answer. `connection` is none for requests inside the process that carry a token.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        connection: Option<&Connection>,
        path: &str,
    ) -> Result<UserInfo, ApiError> {
        let chain = connection.map_or(&[][..], |connection| &connection.client_certificates);
        let mut refused = false;
        if !chain.is_empty() {
            match self.certificates.authenticate(chain) {
                Ok(user) => return Ok(authenticated(user)),
                Err(error) => {
                    tracing::info!(error = %kit::Chain(&error), "refused a client certificate");
                    refused = true;
                }
            }
        }
        if let Some(token) = bearer(headers) {
            match self.token(token, &[]).await {
                Ok(Some(found)) => return Ok(found.user),
                Ok(None) => {}
                Err(error) => tracing::info!(%error, "refused a bearer token"),
            }
            refused = true;
        }
        if !refused && !headers.contains_key(http::header::AUTHORIZATION) && may_be_anonymous(path) {
            return Ok(UserInfo::new(ANONYMOUS, &[UNAUTHENTICATED]));
        }
        Err(ApiError::unauthorized())
    }

    /// Who a bearer token stands for, `system:authenticated` included; none when nobody knows it.
    pub async fn token(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<Authenticated>, TokenRejected> {
        let mut rejected = None;
        for authenticator in &self.tokens {
            match authenticator.authenticate(token, audiences).await {
                Ok(Some(found)) => {
                    return Ok(Some(Authenticated { user: authenticated(found.user), ..found }));
                }
                Ok(None) => {}
                Err(error) => rejected = Some(error),
            }
        }
        rejected.map_or(Ok(None), Err)
    }
}

fn authenticated(mut user: UserInfo) -> UserInfo {
    if !user.is_in(AUTHENTICATED) {
        user.groups.push(AUTHENTICATED.to_owned());
    }
    user
}

fn may_be_anonymous(path: &str) -> bool {
    ANONYMOUS_PATHS.iter().any(|allowed| {
        path.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// The token of an `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// A field of a Secret's data, decoded; empty when missing.
pub(crate) fn decoded(secret: &Value, field: &str) -> Vec<u8> {
    let encoded =
        secret.get("data").and_then(|data| data.get(field)).and_then(Value::as_str).unwrap_or_default();
    base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default()
}

/// Compares secrets in a time that tells nothing but their length. Nothing equals the empty secret.
pub(crate) fn same(left: &[u8], right: &[u8]) -> bool {
    let differ = left.iter().zip(right).fold(0_u8, |differ, (left, right)| differ | (left ^ right));
    left.len() == right.len() && std::hint::black_box(differ) == 0 && !left.is_empty()
}

/// Service-account tokens as one of the token authenticators.
struct ServiceAccounts {
    tokens: Arc<ServiceAccountTokens>,
    objects: Arc<dyn Objects>,
}

#[async_trait]
impl TokenAuthenticator for ServiceAccounts {
    async fn authenticate(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<Authenticated>, TokenRejected> {
        let found = self.tokens.verify(&*self.objects, token, audiences);
        let found = found.map_err(|error| TokenRejected(error.to_string()))?;
        Ok(found.map(|found| Authenticated { user: found.user, audiences: found.audiences }))
    }
}

/// The name of a Secret's type.
fn secret_type(secret: &Value) -> &str {
    text(secret, "/type")
}

#[cfg(test)]
mod tests;
