//! Tokens of the old kind: without an end, valid as long as a Secret holds them.

use serde_json::{Value, json};

use super::verify::{VerifyError, refused};
use super::{ServiceAccountTokens, Verified, service_account};
use crate::attributes::{ApiError, Objects, items, text};

/// Who issues them.
pub(super) const ISSUER: &str = "kubernetes/serviceaccount";
/// The day a token was last used, `2026-11-29`.
pub(super) const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
/// Set by the cleaner on a token that was not used for a year.
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

/// That a token was used, for the label on its Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyUse {
    /// Where the Secret is.
    pub namespace: String,
    /// Its name.
    pub secret: String,
    /// The day, `2026-11-29`.
    pub day: String,
}

fn label<'a>(secret: &'a Value, name: &str) -> &'a str {
    secret
        .pointer("/metadata/labels")
        .and_then(|labels| labels.get(name))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

impl ServiceAccountTokens {
    /// Checks a token whose signature is fine.
    pub(super) fn legacy(
        &self,
        objects: &dyn Objects,
        token: &str,
        claims: &Value,
        wanted: &[String],
    ) -> Result<Verified, VerifyError> {
        let claim =
            |name: &str| claims[format!("kubernetes.io/serviceaccount/{name}")].as_str().unwrap_or_default();
        let (namespace, account) = (claim("namespace"), claim("service-account.name"));
        let (uid, secret_name) = (claim("service-account.uid"), claim("secret.name"));
        if text(claims, "/sub") != format!("system:serviceaccount:{namespace}:{account}") {
            return refused("sub claim differs from the private claims");
        }
        let secret = objects.get("", "secrets", namespace, secret_name);
        let Some(secret) = secret.filter(|secret| text(secret, "/metadata/deletionTimestamp").is_empty())
        else {
            return refused("service account token has been invalidated");
        };
        let stored = crate::authn::decoded(&secret, "token");
        if !crate::authn::same(&stored, token.as_bytes()) {
            return refused("service account token has been invalidated");
        }
        self.check_object(objects, ("serviceaccounts", namespace, account, uid), "service account")?;
        if !wanted.is_empty() && !wanted.iter().any(|one| self.audiences.contains(one)) {
            return refused(format!(
                "token audiences {:?} is invalid for the target audiences {wanted:?}",
                self.audiences
            ));
        }
        if !label(&secret, INVALID_SINCE).is_empty() {
            return refused(format!(
                "the token in secret {namespace}/{secret_name} for service account {namespace}/{account} has been marked invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the '{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
            ));
        }
        self.tell_use(&secret);
        let generated = objects.get("", "serviceaccounts", namespace, account).is_some_and(|account| {
            items(&account, "/secrets").iter().any(|one| text(one, "/name") == secret_name)
        });
        let warning = generated.then(|| {
            "Use tokens from the TokenRequest API or manually created secret-based tokens instead of auto-generated secret-based tokens.".to_owned()
        });
        let user = service_account(namespace, account, uid);
        Ok(Verified { user, audiences: self.audiences.clone(), warning })
    }

    fn tell_use(&self, secret: &Value) {
        let day = self.clock.now().strftime("%Y-%m-%d").to_string();
        if label(secret, LAST_USED) == day {
            return;
        }
        if let Some(uses) = &self.uses {
            let text = |pointer| text(secret, pointer).to_owned();
            let used =
                LegacyUse { namespace: text("/metadata/namespace"), secret: text("/metadata/name"), day };
            // The next use tells again.
            let _ = uses.try_send(used);
        }
    }

    /// The token for a Secret of type `kubernetes.io/service-account-token`; it has no end.
    pub fn legacy_token(
        &self,
        namespace: &str,
        account: (&str, &str),
        secret: &str,
    ) -> Result<String, ApiError> {
        let (name, uid) = account;
        self.sign(&json!({
            "iss": ISSUER,
            "sub": format!("system:serviceaccount:{namespace}:{name}"),
            "kubernetes.io/serviceaccount/namespace": namespace,
            "kubernetes.io/serviceaccount/secret.name": secret,
            "kubernetes.io/serviceaccount/service-account.name": name,
            "kubernetes.io/serviceaccount/service-account.uid": uid,
        }))
    }
}
