//! Checking access tokens of this tenant.

use jsonwebtoken::{Algorithm, Validation};
use serde_json::Value;

use crate::entra::Entra;

/// What a valid token says.
#[derive(Debug, Clone)]
pub struct Claims {
    /// Object id of the principal.
    pub oid: String,
    /// The tenant.
    pub tid: String,
    /// The client application.
    pub appid: Option<String>,
    /// A user's principal name.
    pub upn: Option<String>,
    /// Whether the principal is an application (or managed identity) and no person.
    pub is_app: bool,
    /// Object ids of groups.
    pub groups: Vec<String>,
    /// The audience.
    pub aud: String,
    /// Everything.
    pub all: Value,
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// No token, or not signed here.
    #[error("the token is invalid")]
    Invalid,
    /// Too old (or not valid yet).
    #[error("the token expired at {at}")]
    Expired {
        /// RFC 3339.
        at: String,
    },
    /// For somebody else.
    #[error("the token is for `{audience}`")]
    Audience {
        /// Its audience.
        audience: String,
    },
    /// From another issuer.
    #[error("the token is from `{issuer}`")]
    Issuer {
        /// Its issuer.
        issuer: String,
    },
}

/// Clocks may differ by this much.
const LEEWAY_S: i64 = 60;

fn same_audience(one: &str, other: &str) -> bool {
    let bare = |text: &str| text.trim_end_matches('/').trim_start_matches("spn:").to_ascii_lowercase();
    bare(one) == bare(other)
}

impl Entra {
    /// Whose token this is: signed by this tenant, valid now, for one of `audiences` (a trailing slash does not matter).
    pub fn verify(&self, token: &str, audiences: &[String]) -> Result<Claims, VerifyError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| VerifyError::Invalid)?;
        let keys = self.keys.read().clone();
        let text = |claims: &Value, name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
        let Some(key) = keys.iter().find(|k| Some(&k.kid) == header.kid.as_ref()) else {
            // Another directory's token says so in its issuer; that helps the caller and tells nothing.
            let foreign: Value =
                jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| VerifyError::Invalid)?;
            return Err(match text(&foreign, "iss") {
                Some(issuer) if issuer != self.issuer() => VerifyError::Issuer { issuer },
                _ => VerifyError::Invalid,
            });
        };
        let mut rules = Validation::new(Algorithm::RS256);
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        rules.validate_aud = false;
        let claims = jsonwebtoken::decode::<Value>(token, &key.decoding, &rules)
            .map_err(|_| VerifyError::Invalid)?
            .claims;
        let (now, at) = (self.now().as_second(), claims.get("exp").and_then(Value::as_i64).unwrap_or(0));
        if at + LEEWAY_S < now || claims.get("nbf").and_then(Value::as_i64).unwrap_or(0) > now + LEEWAY_S {
            let at = jiff::Timestamp::from_second(at).map(|t| t.to_string()).unwrap_or_default();
            return Err(VerifyError::Expired { at });
        }
        let issuer = text(&claims, "iss").unwrap_or_default();
        // A v2 token's issuer begins with the address its client came by; the key says that it is ours.
        if issuer != self.issuer() && !issuer.ends_with(&format!("/{}/v2.0", self.tenant_id())) {
            return Err(VerifyError::Issuer { issuer });
        }
        let aud = text(&claims, "aud").unwrap_or_default();
        if !audiences.iter().any(|a| same_audience(a, &aud)) {
            return Err(VerifyError::Audience { audience: aud });
        }
        let oid = text(&claims, "oid").ok_or(VerifyError::Invalid)?;
        let groups = match claims.get("groups").and_then(Value::as_array) {
            Some(groups) => groups.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
            // Too many for a token: the directory knows them.
            None if claims.get("_claim_names").is_some() => self.groups_of(&oid),
            None => Vec::new(),
        };
        Ok(Claims {
            oid,
            tid: text(&claims, "tid").unwrap_or_default(),
            appid: text(&claims, "appid").or_else(|| text(&claims, "azp")),
            upn: text(&claims, "upn").or_else(|| text(&claims, "preferred_username")),
            is_app: claims.get("idtyp").and_then(Value::as_str) == Some("app"),
            groups,
            aud,
            all: claims,
        })
    }
}
