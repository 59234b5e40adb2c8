//! Verifying: signature, issuer, time, audience, and that what the token is bound to is still there.

use std::sync::Arc;

use jiff::Timestamp;
use jsonwebtoken::Validation;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{REMEMBERED_MAX, ServiceAccountTokens, legacy};
use crate::attributes::{Objects, UserInfo, text, texts};

/// How long a token outlives the start of its pod's or account's deletion.
const DELETION_LEEWAY_SECONDS: i64 = 60;

/// Why a token of ours is refused; the text is for the log and for token reviews.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct VerifyError(pub(crate) String);

pub(super) fn refused<T>(why: impl Into<String>) -> Result<T, VerifyError> {
    Err(VerifyError(why.into()))
}

/// An accepted token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The service account.
    pub user: UserInfo,
    /// Those of the wanted audiences that the token is meant for.
    pub audiences: Vec<String>,
    /// What its bearer should be told.
    pub warning: Option<String>,
}

impl ServiceAccountTokens {
    /// Checks a token. None: it is not one of ours. `wanted` audiences; empty means the API server's own.
    pub fn verify(
        &self,
        objects: &dyn Objects,
        token: &str,
        wanted: &[String],
    ) -> Result<Option<Verified>, VerifyError> {
        let Some(claims) = self.claims(token)? else { return Ok(None) };
        if text(&claims, "/iss") == legacy::ISSUER {
            return self.legacy(objects, token, &claims, wanted).map(Some);
        }
        self.check_time(&claims)?;
        let audiences = self.check_audience(&claims, wanted)?;
        let user = self.check_bound(objects, &claims)?;
        Ok(Some(Verified { user, audiences, warning: None }))
    }

    /// The claims of a token that one of our keys signed; none when it is not one of ours.
    fn claims(&self, token: &str) -> Result<Option<Arc<Value>>, VerifyError> {
        let print: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(claims) = self.remembered.lock().get(&print) {
            return Ok(Some(claims.clone()));
        }
        let Ok(unchecked) = jsonwebtoken::dangerous::insecure_decode_claims::<Value>(token) else {
            return Ok(None);
        };
        let issuer = text(&unchecked, "/iss");
        if issuer != self.issuer && issuer != legacy::ISSUER {
            return Ok(None);
        }
        let Ok(header) = jsonwebtoken::decode_header(token) else {
            return refused("invalid bearer token");
        };
        let named = self.keys.iter().find(|key| Some(&key.id) == header.kid.as_ref());
        let candidates = named.map_or(&self.keys[..], std::slice::from_ref);
        for key in candidates.iter().filter(|key| key.algorithm == header.alg) {
            let mut validation = Validation::new(key.algorithm);
            validation.required_spec_claims.clear();
            // Time and audience are checked by our clock, and with upstream's texts.
            validation.validate_exp = false;
            validation.validate_aud = false;
            if let Ok(decoded) = jsonwebtoken::decode::<Value>(token, &key.decoding, &validation) {
                let claims = Arc::new(decoded.claims);
                let mut remembered = self.remembered.lock();
                if remembered.len() >= REMEMBERED_MAX {
                    remembered.clear();
                }
                remembered.insert(print, claims.clone());
                return Ok(Some(claims));
            }
        }
        refused("invalid bearer token")
    }

    fn check_time(&self, claims: &Value) -> Result<(), VerifyError> {
        let now = self.now();
        let at = |name: &str| claims[name].as_i64();
        if at("exp").is_none_or(|expires| expires <= now) {
            return refused("service account token has expired");
        }
        if at("nbf").is_some_and(|from| from > now + 5) {
            return refused("service account token is not valid yet");
        }
        Ok(())
    }

    fn check_audience(&self, claims: &Value, wanted: &[String]) -> Result<Vec<String>, VerifyError> {
        let meant = match &claims["aud"] {
            Value::String(one) => vec![one.clone()],
            _ => texts(claims, "/aud"),
        };
        let wanted = if wanted.is_empty() { &self.audiences } else { wanted };
        let both: Vec<String> = meant.iter().filter(|one| wanted.contains(one)).cloned().collect();
        if both.is_empty() {
            return refused(format!(
                "token audiences {meant:?} is invalid for the target audiences {wanted:?}"
            ));
        }
        Ok(both)
    }

    fn check_bound(&self, objects: &dyn Objects, claims: &Value) -> Result<UserInfo, VerifyError> {
        let private = &claims["kubernetes.io"];
        let namespace = text(private, "/namespace");
        let account = text(private, "/serviceaccount/name");
        let subject = format!("system:serviceaccount:{namespace}:{account}");
        if account.is_empty() || text(claims, "/sub") != subject {
            return refused("token's subject and private claims differ");
        }
        let uid = text(private, "/serviceaccount/uid");
        self.check_object(objects, ("serviceaccounts", namespace, account, uid), "service account")?;
        let mut user = service_account(namespace, account, uid);
        if let Some(id) = claims["jti"].as_str() {
            user.extra.insert("authentication.kubernetes.io/credential-id".into(), vec![format!("JTI={id}")]);
        }
        let bound = |kind: &str| {
            private
                .get(kind)
                .map(|reference| (text(reference, "/name").to_owned(), text(reference, "/uid").to_owned()))
        };
        if let Some((name, uid)) = bound("secret") {
            self.check_object(objects, ("secrets", namespace, &name, &uid), "secret")?;
        }
        let pod = bound("pod");
        if let Some((name, uid)) = &pod {
            self.check_object(objects, ("pods", namespace, name, uid), "pod")?;
            user.extra.insert("authentication.kubernetes.io/pod-name".into(), vec![name.clone()]);
            user.extra.insert("authentication.kubernetes.io/pod-uid".into(), vec![uid.clone()]);
        }
        if let Some((name, uid)) = bound("node") {
            // Of a pod's token the node only says where the pod runs.
            if pod.is_none() {
                self.check_object(objects, ("nodes", "", &name, &uid), "node")?;
            }
            user.extra.insert("authentication.kubernetes.io/node-name".into(), vec![name]);
            if !uid.is_empty() {
                user.extra.insert("authentication.kubernetes.io/node-uid".into(), vec![uid]);
            }
        }
        Ok(user)
    }

    pub(super) fn check_object(
        &self,
        objects: &dyn Objects,
        (plural, namespace, name, uid): (&str, &str, &str, &str),
        what: &str,
    ) -> Result<(), VerifyError> {
        let Some(found) = objects.get("", plural, namespace, name) else {
            return refused(format!("{what} {namespace}/{name} has been deleted"));
        };
        let real = text(&found, "/metadata/uid");
        if real != uid {
            return refused(format!("{what} UID ({real}) does not match claim ({uid})"));
        }
        let deleted: Option<Timestamp> = text(&found, "/metadata/deletionTimestamp").parse().ok();
        if deleted.is_some_and(|at| at.as_second() + DELETION_LEEWAY_SECONDS < self.now()) {
            return refused(format!("{what} {namespace}/{name} has been deleted"));
        }
        Ok(())
    }
}

/// The user that a service account is.
pub fn service_account(namespace: &str, name: &str, uid: &str) -> UserInfo {
    UserInfo {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        uid: uid.to_owned(),
        groups: vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")],
        ..UserInfo::default()
    }
}
