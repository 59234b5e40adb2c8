//! The OpenID Connect documents of the issuer.

use serde_json::{Value, json};

use super::ServiceAccountTokens;

impl ServiceAccountTokens {
    /// Whether others can be told how to verify: the issuer is an `https` URL without query and fragment, as OpenID Connect demands.
    pub fn is_discoverable(&self) -> bool {
        let Ok(url) = url::Url::parse(&self.issuer) else { return false };
        url.scheme() == "https" && url.query().is_none() && url.fragment().is_none()
    }

    /// `/.well-known/openid-configuration`; `jwks_uri` is where [`jwks`](Self::jwks) is served.
    pub fn openid_configuration(&self, jwks_uri: &str) -> Value {
        let mut algorithms: Vec<String> = Vec::new();
        for key in &self.keys {
            let algorithm = format!("{:?}", key.algorithm);
            if !algorithms.contains(&algorithm) {
                algorithms.push(algorithm);
            }
        }
        json!({
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        })
    }

    /// `/openid/v1/jwks`: the public keys, those that no longer sign included.
    pub fn jwks(&self) -> Value {
        let keys: Vec<Value> = self.keys.iter().map(|key| json!(key.jwk)).collect();
        json!({"keys": keys})
    }
}
