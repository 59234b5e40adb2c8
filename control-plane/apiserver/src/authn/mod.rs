//! Who asks: front proxies, client certificates, tokens, anonymous, impersonation.
//!
//! Order as upstream: what a trusted proxy says, a certificate that the cluster's authority issued, then a bearer token, each asked of every
//! token authenticator. A request that shows something nobody accepts is 401; a request that shows nothing is anonymous on a few health
//! paths and 401 elsewhere.

mod bootstrap_token;
mod certificate;
pub mod entra;
mod front_proxy;
mod impersonate;
mod websocket;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use http::HeaderMap;
use kit::Clock;
use kit::http::Connection;
use serde_json::Value;

pub use bootstrap_token::BootstrapTokens;
pub use certificate::{CertificateError, ClientCertificates};
pub use front_proxy::FrontProxy;
pub use impersonate::impersonate;

use crate::attributes::{ApiError, Objects, UserInfo, text};
use crate::tokens::ServiceAccountTokens;
use front_proxy::FrontProxies;

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
    /// The audiences it was accepted for; none when its kind knows no audiences, which then counts for the API server's own.
    pub audiences: Vec<String>,
    /// What its bearer should be told.
    pub warning: Option<String>,
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

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The user, groups complete.
    pub user: UserInfo,
    /// What he should be told about the way he proved it.
    pub warning: Option<String>,
}

/// All ways to prove who one is, of one cluster.
pub struct Authenticator {
    proxies: Option<FrontProxies>,
    certificates: ClientCertificates,
    tokens: Vec<Arc<dyn TokenAuthenticator>>,
    /// What a token must be meant for when nothing else is asked.
    audiences: Vec<String>,
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
        let audiences = service_accounts.audiences().to_vec();
        let mut tokens: Vec<Arc<dyn TokenAuthenticator>> = vec![
            Arc::new(ServiceAccounts { tokens: service_accounts, objects: objects.clone() }),
            Arc::new(BootstrapTokens::new(objects, clock.clone())),
        ];
        tokens.extend(others.iter().cloned());
        let certificates = ClientCertificates::new(authority_pem, clock)?;
        Ok(Self { proxies: None, certificates, tokens, audiences })
    }

    /// Believes these proxies too.
    pub fn with_front_proxy(
        mut self,
        proxy: &FrontProxy,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, CertificateError> {
        self.proxies = Some(FrontProxies::new(proxy, clock)?);
        Ok(self)
    }

    /// Who sends a request, or the 401 to answer. `connection` is none for requests inside the process that carry a token. What proved
    /// it is taken out of the headers: nobody behind authentication needs it, least of all whoever the request is proxied to.
    pub async fn authenticate(
        &self,
        headers: &mut HeaderMap,
        connection: Option<&Connection>,
        path: &str,
    ) -> Result<Known, ApiError> {
        let found = self.find(headers, connection, path).await;
        headers.remove(http::header::AUTHORIZATION);
        websocket::strip(headers);
        let spoken: Vec<http::HeaderName> =
            headers.keys().filter(|name| front_proxy::is_proxy_header(name.as_str())).cloned().collect();
        for name in spoken {
            headers.remove(name);
        }
        found
    }

    async fn find(
        &self,
        headers: &HeaderMap,
        connection: Option<&Connection>,
        path: &str,
    ) -> Result<Known, ApiError> {
        let chain = connection.map_or(&[][..], |connection| &connection.client_certificates);
        let mut refused = false;
        if !chain.is_empty() {
            let proxied = self.proxies.as_ref().and_then(|proxies| proxies.authenticate(headers, chain));
            if let Some(user) = proxied {
                return Ok(known(authenticated(user)));
            }
            match self.certificates.authenticate(chain) {
                Ok(user) => return Ok(known(authenticated(user))),
                Err(error) => {
                    tracing::info!(error = %kit::Chain(&error), "refused a client certificate");
                    refused = true;
                }
            }
        }
        let offered = bearer(headers).map(str::to_owned).or_else(|| websocket::token(headers));
        if let Some(token) = offered {
            match self.token(&token, &[]).await {
                Ok(Some(found)) => return Ok(Known { user: found.user, warning: found.warning }),
                Ok(None) => {}
                Err(error) => tracing::info!(%error, "refused a bearer token"),
            }
            refused = true;
        }
        if !refused && may_be_anonymous(path) {
            return Ok(known(UserInfo::new(ANONYMOUS, &[UNAUTHENTICATED])));
        }
        Err(ApiError::unauthorized())
    }

    /// Who a bearer token stands for, `system:authenticated` included; none when nobody knows it, or it is not meant for `audiences`
    /// (empty: the API server's own).
    pub async fn token(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<Authenticated>, TokenRejected> {
        let mut rejected: Vec<String> = Vec::new();
        for authenticator in &self.tokens {
            match authenticator.authenticate(token, audiences).await {
                Ok(Some(found)) => {
                    let Some(meant) = self.meant(&found.audiences, audiences) else { return Ok(None) };
                    return Ok(Some(Authenticated {
                        user: authenticated(found.user),
                        audiences: meant,
                        ..found
                    }));
                }
                Ok(None) => {}
                Err(error) => rejected.push(error.0),
            }
        }
        match rejected.as_slice() {
            [] => Ok(None),
            [one] => Err(TokenRejected(one.clone())),
            many => Err(TokenRejected(format!("[{}]", many.join(", ")))),
        }
    }

    /// A kind of token that knows no audiences is for the API server, whatever it is called.
    fn meant(&self, audiences: &[String], wanted: &[String]) -> Option<Vec<String>> {
        if !audiences.is_empty() {
            return Some(audiences.to_vec());
        }
        if wanted.is_empty() {
            return Some(self.audiences.clone());
        }
        let both: Vec<String> = self.audiences.iter().filter(|one| wanted.contains(one)).cloned().collect();
        (!both.is_empty()).then_some(both)
    }
}

fn known(user: UserInfo) -> Known {
    Known { user, warning: None }
}

fn authenticated(mut user: UserInfo) -> UserInfo {
    if !user.is_in(AUTHENTICATED) && !user.is_in(UNAUTHENTICATED) {
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
        Ok(found.map(|found| Authenticated {
            user: found.user,
            audiences: found.audiences,
            warning: found.warning,
        }))
    }
}

/// The name of a Secret's type.
fn secret_type(secret: &Value) -> &str {
    text(secret, "/type")
}

#[cfg(test)]
mod tests;
