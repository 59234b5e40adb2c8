//! Client assertions: a token signed with a registered certificate, or one of a trusted issuer.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;
use x509_parser::prelude::FromDer;

use crate::entra::Entra;
use crate::errors::Refused;
use crate::model::{Certificate, Federated};

const ALGORITHMS: [Algorithm; 4] = [Algorithm::RS256, Algorithm::PS256, Algorithm::RS384, Algorithm::RS512];

fn rules() -> Validation {
    let mut rules = Validation::new(Algorithm::RS256);
    rules.algorithms = ALGORITHMS.to_vec();
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.validate_aud = false;
    rules
}

fn text<'a>(claims: &'a Value, name: &str) -> &'a str {
    claims.get(name).and_then(Value::as_str).unwrap_or("")
}

fn audiences(claims: &Value) -> Vec<&str> {
    match claims.get("aud") {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one],
        _ => Vec::new(),
    }
}

/// The public key in a certificate, and whether the name in a token's header is this certificate's.
fn opened(certificate: &Certificate, header: &jsonwebtoken::Header) -> Option<(DecodingKey, bool)> {
    let der = STANDARD.decode(&certificate.der).ok()?;
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(&der).ok()?;
    let key = DecodingKey::from_rsa_der(&parsed.public_key().subject_public_key.data);
    let named =
        |algorithm: &'static digest::Algorithm| URL_SAFE_NO_PAD.encode(digest::digest(algorithm, &der));
    let bare = |text: &str| text.trim_end_matches('=').to_owned();
    let fits = match (&header.x5t, &header.x5t_s256, &header.kid) {
        (Some(x5t), ..) => bare(x5t) == named(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        (_, Some(x5t), _) => bare(x5t) == named(&digest::SHA256),
        // A kid may be the thumbprint in hexadecimal; without any name every certificate is tried.
        _ => true,
    };
    Some((key, fits))
}

impl Entra {
    fn fresh(&self, claims: &Value) -> bool {
        let now = self.now().as_second() as f64;
        let number = |name: &str| claims.get(name).and_then(Value::as_f64);
        number("exp").is_some_and(|e| e + 300.0 > now) && number("nbf").is_none_or(|n| n - 300.0 < now)
    }

    /// Checks that an assertion was signed with one of the application's certificates.
    fn by_certificate(
        &self,
        client_id: &str,
        certificates: &[Certificate],
        assertion: &str,
        base: &str,
    ) -> Result<(), Refused> {
        let wrong = |text: &str| {
            Refused::new(
                "invalid_client",
                700_027,
                format!(
                    "The certificate with identifier used to sign the client assertion is not registered on application. {text}"
                ),
            )
        };
        let header = jsonwebtoken::decode_header(assertion)
            .map_err(|_| Refused::new("invalid_request", 50_027, "JWT token is invalid or malformed."))?;
        let now = self.now().to_string();
        let claims = certificates
            .iter()
            .filter(|c| c.end > now)
            .filter_map(|c| opened(c, &header))
            .filter(|(_, fits)| *fits)
            .find_map(|(key, _)| jsonwebtoken::decode::<Value>(assertion, &key, &rules()).ok())
            .ok_or_else(|| wrong("Reason - the key was not found."))?
            .claims;
        let (issuer, subject) = (text(&claims, "iss"), text(&claims, "sub"));
        if !issuer.eq_ignore_ascii_case(client_id) || !subject.eq_ignore_ascii_case(client_id) {
            return Err(Refused::new(
                "invalid_client",
                700_021,
                "Client assertion application identifier doesn't match 'client_id' parameter.",
            ));
        }
        let ours = audiences(&claims).iter().any(|a| a.starts_with(base) || a.contains(&self.tenant_id()));
        if !ours {
            return Err(Refused::new(
                "invalid_client",
                700_023,
                "Client assertion audience claim does not match Realm issuer.",
            ));
        }
        if !self.fresh(&claims) {
            return Err(Refused::new(
                "invalid_client",
                700_024,
                "Client assertion is not within its valid time range.",
            ));
        }
        Ok(())
    }

    /// Checks a token of another issuer against the trusts of an application or managed identity.
    async fn by_federation(&self, trusts: &[Federated], assertion: &str) -> Result<(), Refused> {
        let malformed = || Refused::new("invalid_request", 50_027, "JWT token is invalid or malformed.");
        let claims: Value =
            jsonwebtoken::dangerous::insecure_decode_claims(assertion).map_err(|_| malformed())?;
        let (issuer, subject) = (text(&claims, "iss").to_owned(), text(&claims, "sub").to_owned());
        let by_issuer: Vec<&Federated> = trusts.iter().filter(|t| t.issuer == issuer).collect();
        if by_issuer.is_empty() {
            return Err(Refused::new(
                "invalid_client",
                700_211,
                format!(
                    "No matching federated identity record found for presented assertion issuer '{issuer}'. Please check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
                ),
            ));
        }
        let by_subject: Vec<&&Federated> = by_issuer.iter().filter(|t| t.subject == subject).collect();
        if by_subject.is_empty() {
            return Err(Refused::new(
                "invalid_client",
                700_213,
                format!(
                    "No matching federated identity record found for presented assertion subject '{subject}'. Please check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
                ),
            ));
        }
        let given = audiences(&claims);
        if !by_subject.iter().any(|t| t.audiences.iter().any(|a| given.contains(&a.as_str()))) {
            return Err(Refused::new(
                "invalid_client",
                700_212,
                format!(
                    "No matching federated identity record found for presented assertion audience '{}'. Please check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation",
                    given.join(",")
                ),
            ));
        }
        let Some(keys) = self.config.issuers.keys(&issuer).await else {
            return Err(Refused::new(
                "invalid_request",
                50_166,
                format!("Request to External OIDC endpoint '{issuer}' failed."),
            ));
        };
        let kid = jsonwebtoken::decode_header(assertion).map_err(|_| malformed())?.kid;
        let mut candidates = keys.keys.iter().filter(|k| kid.is_none() || k.common.key_id == kid);
        let signed = candidates.any(|jwk| {
            DecodingKey::from_jwk(jwk)
                .is_ok_and(|key| jsonwebtoken::decode::<Value>(assertion, &key, &rules()).is_ok())
        });
        if !signed {
            return Err(Refused::new(
                "invalid_client",
                5_000_811,
                "Unable to verify token signature. The signing key identifier does not match any valid registered keys.",
            ));
        }
        if !self.fresh(&claims) {
            return Err(Refused::new(
                "invalid_client",
                700_024,
                "Client assertion is not within its valid time range.",
            ));
        }
        Ok(())
    }

    /// Checks a client assertion of whichever kind.
    pub(crate) async fn check_assertion(
        &self,
        client_id: &str,
        certificates: &[Certificate],
        trusts: &[Federated],
        assertion: &str,
        base: &str,
    ) -> Result<(), Refused> {
        let claims: Value = jsonwebtoken::dangerous::insecure_decode_claims(assertion)
            .map_err(|_| Refused::new("invalid_request", 50_027, "JWT token is invalid or malformed."))?;
        if text(&claims, "iss").eq_ignore_ascii_case(client_id) {
            self.by_certificate(client_id, certificates, assertion, base)
        } else {
            self.by_federation(trusts, assertion).await
        }
    }
}
