//! Verifying: signature, issuer, time, audience, and that what the token is bound to is still there.

use jiff::Timestamp;
use jsonwebtoken::Validation;
use serde_json::{Value, json};

use super::ServiceAccountTokens;
use crate::attributes::{Objects, UserInfo, text, texts};

/// How long a token outlives the start of its pod's or account's deletion.
const DELETION_LEEWAY_SECONDS: i64 = 60;
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// Why a token of ours is refused; the text is for the log and for token reviews.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct VerifyError(pub(crate) String);

fn refused<T>(why: impl Into<String>) -> Result<T, VerifyError> {
    Err(VerifyError(why.into()))
}

/// An accepted token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The service account.
    pub user: UserInfo,
    /// Those of the wanted audiences that the token is meant for.
    pub audiences: Vec<String>,
}

impl ServiceAccountTokens {
    /// Checks a token. None: it is not one of ours. `wanted` audiences; empty means the API server's own.
    pub fn verify(
        &self,
        objects: &dyn Objects,
        token: &str,
        wanted: &[String],
    ) -> Result<Option<Verified>, VerifyError> {
        let Ok(unchecked) = jsonwebtoken::dangerous::insecure_decode_claims::<Value>(token) else {
            return Ok(None);
        };
        let issuer = text(&unchecked, "/iss");
        if issuer != self.issuer && issuer != LEGACY_ISSUER {
            return Ok(None);
        }
        let mut validation = Validation::new(self.algorithm);
        validation.required_spec_claims.clear();
        // Time and audience are checked below: by our clock, and with upstream's texts.
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<Value>(token, &self.verifier, &validation)
            .map_err(|_| VerifyError("invalid bearer token: signature does not verify".into()))?
            .claims;
        if issuer == LEGACY_ISSUER {
            return self.legacy(objects, token, &claims, wanted).map(Some);
        }
        self.check_time(&claims)?;
        let audiences = self.check_audience(&claims, wanted)?;
        let user = self.check_bound(objects, &claims)?;
        Ok(Some(Verified { user, audiences }))
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
            user.extra.insert("authentication.kubernetes.io/node-uid".into(), vec![uid]);
        }
        Ok(user)
    }

    fn check_object(
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

    /// A token kept in a Secret of type `kubernetes.io/service-account-token`: valid as long as the Secret holds it.
    fn legacy(
        &self,
        objects: &dyn Objects,
        token: &str,
        claims: &Value,
        wanted: &[String],
    ) -> Result<Verified, VerifyError> {
        let claim =
            |name: &str| claims[format!("kubernetes.io/serviceaccount/{name}")].as_str().unwrap_or_default();
        let (namespace, account) = (claim("namespace"), claim("service-account.name"));
        let uid = claim("service-account.uid");
        self.check_object(objects, ("serviceaccounts", namespace, account, uid), "service account")?;
        let secret = objects.get("", "secrets", namespace, claim("secret.name"));
        let stored =
            secret.as_deref().map(|secret| crate::authn::decoded(secret, "token")).unwrap_or_default();
        if !crate::authn::same(&stored, token.as_bytes()) {
            return refused("token has been invalidated");
        }
        if !wanted.is_empty() && !wanted.iter().any(|one| self.audiences.contains(one)) {
            return refused("token is not meant for these audiences");
        }
        Ok(Verified { user: service_account(namespace, account, uid), audiences: self.audiences.clone() })
    }

    /// The token for a Secret of type `kubernetes.io/service-account-token`; it has no end.
    pub fn legacy_token(
        &self,
        namespace: &str,
        account: (&str, &str),
        secret: &str,
    ) -> Result<String, crate::attributes::ApiError> {
        let (name, uid) = account;
        self.sign(&json!({
            "iss": LEGACY_ISSUER,
            "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "kubernetes.io/serviceaccount/namespace": namespace,
            "kubernetes.io/serviceaccount/secret.name": secret,
            "kubernetes.io/serviceaccount/service-account.name": name,
            "kubernetes.io/serviceaccount/service-account.uid": uid,
        }))
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
