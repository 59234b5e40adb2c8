//! The OpenID Connect documents of the issuer.

use serde_json::{Value, json};

use super::ServiceAccountTokens;

impl ServiceAccountTokens {
    /// `/.well-known/openid-configuration`; `jwks_uri` is where [`jwks`](Self::jwks) is served.
    pub fn openid_configuration(&self, jwks_uri: &str) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [format!("{:?}", self.algorithm)],
        })
    }

    /// `/openid/v1/jwks`: the public keys.
    pub fn jwks(&self) -> Value {
        json!({"keys": [self.jwk]})
    }
}
