//! Tokens that Entra ID issues for clusters.
//!
//! A token counts when its issuer is the tenant's, its signature verifies by a key the tenant publishes, it is meant for AKS's server
//! application, and it is of this time. A person is known by user principal name, anything else (and guests, who have none here) by object
//! id; groups are object ids. When a token says that there are more groups than it can hold, a [`GroupResolver`] is asked for all of them.
//!
//! Does not: speak HTTP or know a directory; both come through the traits. Does not: let a token in whose groups cannot be learnt.

mod keys;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Validation};
use kit::Clock;
use serde_json::Value;

use super::{Authenticated, TokenAuthenticator, TokenRejected};
use crate::attributes::{UserInfo, text, texts};
use keys::Keys;

/// AKS's server application: what tokens for clusters are meant for.
pub const AKS_SERVER_APPLICATION: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";
/// How far a token's beginning may lie ahead, in seconds: clocks differ.
const NOT_BEFORE_LEEWAY_S: i64 = 300;

/// What a source could not give; the text is for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unavailable(pub String);

/// Where the tenant publishes its keys.
#[async_trait]
pub trait KeySource: Send + Sync + 'static {
    /// The key set as JSON (RFC 7517).
    async fn keys(&self) -> Result<Value, Unavailable>;
}

/// Who knows the groups of a principal that are too many for its token (Graph's `getMemberObjects`).
#[async_trait]
pub trait GroupResolver: Send + Sync + 'static {
    /// Object ids of all groups, transitively.
    async fn groups(&self, object_id: &str) -> Result<Vec<String>, Unavailable>;
}

/// Whose tokens count, and how their claims are read.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The tenant's id.
    pub tenant_id: String,
    /// Issuers of the tenant, as they stand in `iss`.
    pub issuers: Vec<String>,
    /// What tokens must be meant for; also accepted with `spn:` before it.
    pub audience: String,
    /// Stands before user names.
    pub username_prefix: String,
    /// Stands before groups.
    pub groups_prefix: String,
}

impl Settings {
    /// As AKS does it for a tenant: tokens of both versions, no prefixes.
    pub fn of_tenant(tenant_id: &str) -> Self {
        Self {
            tenant_id: tenant_id.to_owned(),
            issuers: vec![
                format!("https://sts.windows.net/{tenant_id}/"),
                format!("https://login.microsoftonline.com/{tenant_id}/v2.0"),
            ],
            audience: AKS_SERVER_APPLICATION.to_owned(),
            username_prefix: String::new(),
            groups_prefix: String::new(),
        }
    }
}

/// Knows Entra's tokens.
pub struct EntraTokens {
    settings: Settings,
    keys: Keys,
    groups: Arc<dyn GroupResolver>,
    clock: Arc<dyn Clock>,
}

fn refused<T>(why: impl Into<String>) -> Result<T, TokenRejected> {
    Err(TokenRejected(format!("oidc: {}", why.into())))
}

fn at(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|at| at.to_string()).unwrap_or_default()
}

impl EntraTokens {
    /// For one tenant.
    pub fn new(
        settings: Settings,
        keys: Arc<dyn KeySource>,
        groups: Arc<dyn GroupResolver>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { settings, keys: Keys::new(keys), groups, clock }
    }

    /// The claims of a token of this tenant, checked; none when it is of somebody else.
    async fn claims(&self, token: &str) -> Result<Option<Value>, TokenRejected> {
        let Ok(unchecked) = jsonwebtoken::dangerous::insecure_decode_claims::<Value>(token) else {
            return Ok(None);
        };
        if !self.settings.issuers.iter().any(|issuer| issuer == text(&unchecked, "/iss")) {
            return Ok(None);
        }
        let Ok(header) = jsonwebtoken::decode_header(token) else { return refused("malformed jwt") };
        if header.alg != Algorithm::RS256 {
            return refused(format!(
                "id token signed with unsupported algorithm, expected [\"RS256\"] got {:?}",
                header.alg
            ));
        }
        let key = self.keys.find(header.kid.as_deref().unwrap_or_default(), self.clock.now()).await;
        let key = match key {
            Ok(Some(key)) => key,
            Ok(None) => return refused("failed to verify signature: failed to verify id token signature"),
            Err(error) => return refused(format!("fetching keys {error}")),
        };
        let mut validation = Validation::new(Algorithm::RS256);
        validation.required_spec_claims.clear();
        // Time and audience are checked below, by the server's clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        match jsonwebtoken::decode::<Value>(token, &key, &validation) {
            Ok(decoded) => Ok(Some(decoded.claims)),
            Err(_) => refused("failed to verify signature: failed to verify id token signature"),
        }
    }

    fn check(&self, claims: &Value) -> Result<(), TokenRejected> {
        let meant = match &claims["aud"] {
            Value::String(one) => vec![one.clone()],
            _ => texts(claims, "/aud"),
        };
        let wanted = &self.settings.audience;
        if !meant.iter().any(|one| one.trim_start_matches("spn:").eq_ignore_ascii_case(wanted)) {
            return refused(format!("expected audience {wanted:?} got {meant:?}"));
        }
        let now = self.clock.now().as_second();
        let expires = claims["exp"].as_i64().unwrap_or(0);
        if expires <= now {
            return refused(format!("token is expired (Token Expiry: {})", at(expires)));
        }
        let begins = claims["nbf"].as_i64().unwrap_or(0);
        if begins > now.saturating_add(NOT_BEFORE_LEEWAY_S) {
            return refused(format!(
                "current time {} before the nbf (not before) time: {}",
                at(now),
                at(begins)
            ));
        }
        if text(claims, "/tid") != self.settings.tenant_id {
            return refused("token is of another tenant than its issuer");
        }
        Ok(())
    }

    async fn user(&self, claims: &Value) -> Result<UserInfo, TokenRejected> {
        let object_id = text(claims, "/oid");
        if object_id.is_empty() {
            return refused("claim \"oid\" is not present");
        }
        let principal_name = text(claims, "/upn");
        let name = if principal_name.is_empty() { object_id } else { principal_name };
        let groups = if has_overage(claims) {
            let all = self.groups.groups(object_id).await;
            all.map_err(|error| TokenRejected(format!("failed to get groups of the user: {error}")))?
        } else {
            texts(claims, "/groups")
        };
        let Settings { username_prefix, groups_prefix, .. } = &self.settings;
        Ok(UserInfo {
            name: format!("{username_prefix}{name}"),
            uid: String::new(),
            groups: groups.into_iter().map(|group| format!("{groups_prefix}{group}")).collect(),
            extra: [("oid".to_owned(), vec![object_id.to_owned()])].into(),
        })
    }
}

/// Whether the token says that its groups are to be asked for: too many for it (`_claim_names`), or for the URL it travelled in (`hasgroups`).
fn has_overage(claims: &Value) -> bool {
    claims.pointer("/_claim_names/groups").is_some()
        || matches!(&claims["hasgroups"], Value::Bool(true))
        || text(claims, "/hasgroups") == "true"
}

#[async_trait]
impl TokenAuthenticator for EntraTokens {
    async fn authenticate(&self, token: &str, _: &[String]) -> Result<Option<Authenticated>, TokenRejected> {
        let Some(claims) = self.claims(token).await? else { return Ok(None) };
        self.check(&claims)?;
        let user = self.user(&claims).await?;
        Ok(Some(Authenticated { user, audiences: Vec::new(), warning: None }))
    }
}
