//! How a certificate is made and renewed: what clients send, with what the service fills in.

use arm::json::{default, flag, list, number, text};
use serde_json::{Value, json};

use super::{Chain, files};
use crate::crypto::{CryptoError, Material, Shape, Wish};

const PKCS12: &str = "application/x-pkcs12";
const MONTHS_MAX: i64 = 1200;

/// The usages a policy may name.
pub(super) const KEY_USAGES: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

/// A policy with its defaults; `old` is the one it replaces.
pub(crate) fn normal(given: &Value, old: &Value, now: i64) -> Result<Value, CryptoError> {
    if !given.is_object() {
        return Err(CryptoError::refused("The property 'policy' must be an object."));
    }
    let mut made = given.clone();
    default(&mut made, &["key_props", "kty"], "RSA");
    default(&mut made, &["key_props", "exportable"], true);
    default(&mut made, &["key_props", "reuse_key"], false);
    if text(&made, "/key_props/kty").is_some_and(|kty| kty.starts_with("RSA")) {
        default(&mut made, &["key_props", "key_size"], 2048);
    } else {
        default(&mut made, &["key_props", "crv"], "P-256");
    }
    let wish = key_wish(&made)?;
    if let Shape::Ec(curve) = wish.shape {
        let bits = match curve.name() {
            "P-384" => 384,
            "P-521" => 521,
            _ => 256,
        };
        default(&mut made, &["key_props", "key_size"], bits);
    }
    default(&mut made, &["secret_props", "contentType"], PKCS12);
    if !matches!(secret_type(&made), PKCS12 | files::PEM) {
        return Err(CryptoError::refused(format!(
            "The content type '{}' of a certificate is not supported: it is {PKCS12} or {}.",
            secret_type(&made),
            files::PEM
        )));
    }
    default(&mut made, &["x509_props", "ekus"], json!(["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]));
    default(&mut made, &["x509_props", "key_usage"], json!(["digitalSignature", "keyEncipherment"]));
    default(&mut made, &["x509_props", "validity_months"], 12);
    default(&mut made, &["x509_props", "basic_constraints"], json!({"ca": false}));
    default(&mut made, &["issuer", "name"], "Unknown");
    default(
        &mut made,
        &["lifetime_actions"],
        json!([{"trigger": {"lifetime_percentage": 80}, "action": {"action_type": "EmailContacts"}}]),
    );
    check(&made)?;
    let created = number(old, "/attributes/created").unwrap_or(now);
    made["attributes"] = json!({"enabled": true, "created": created, "updated": now});
    if let Some(map) = made.as_object_mut() {
        map.remove("id");
        map.retain(|_, value| !value.is_null());
    }
    Ok(made)
}

fn check(made: &Value) -> Result<(), CryptoError> {
    let months = number(made, "/x509_props/validity_months").unwrap_or_default();
    if !(1..=MONTHS_MAX).contains(&months) {
        return Err(CryptoError::refused(format!(
            "The validity in months of a certificate must be between 1 and {MONTHS_MAX}."
        )));
    }
    for usage in list(made, "/x509_props/key_usage") {
        if !usage.as_str().is_some_and(|usage| KEY_USAGES.contains(&usage)) {
            return Err(CryptoError::refused(format!("The key usage {usage} is not known.")));
        }
    }
    for name in ["/key_props/exportable", "/key_props/reuse_key"] {
        if made.pointer(name).is_some_and(|value| !value.is_boolean()) {
            return Err(CryptoError::refused(format!("The property '{name}' must be true or false.")));
        }
    }
    for action in list(made, "/lifetime_actions") {
        match text(action, "/action/action_type") {
            Some("AutoRenew" | "EmailContacts") => {}
            _ => return Err(CryptoError::refused("A lifetime action is AutoRenew or EmailContacts.")),
        }
    }
    Ok(())
}

/// A policy after a PATCH.
pub(crate) fn merged(old: &Value, patch: &Value, now: i64) -> Result<Value, CryptoError> {
    let mut made = old.clone();
    arm::resource::merge_patch(&mut made, patch);
    normal(&made, old, now)
}

/// The policy of a certificate that came with none.
pub(crate) fn derived(
    given: &Value,
    chain: &Chain,
    material: &Material,
    content_type: &str,
    now: i64,
) -> Result<Value, CryptoError> {
    let facts = chain.facts()?;
    let mut made = if given.is_object() { given.clone() } else { json!({}) };
    default(&mut made, &["secret_props", "contentType"], content_type);
    default(&mut made, &["x509_props", "subject"], facts.subject.clone());
    let months = ((facts.not_after - facts.not_before) / (30 * 86_400)).clamp(1, MONTHS_MAX);
    default(&mut made, &["x509_props", "validity_months"], months);
    default(&mut made, &["x509_props", "ekus"], json!(facts.extended_usages));
    default(&mut made, &["x509_props", "key_usage"], json!(facts.usages));
    default(&mut made, &["issuer", "name"], "Unknown");
    let mut policy = normal(&made, &Value::Null, now)?;
    let key = &mut policy["key_props"];
    key["kty"] = json!(material.shape.family());
    match material.shape {
        Shape::Rsa(bits) => key["key_size"] = json!(bits),
        Shape::Ec(curve) => {
            key["crv"] = json!(curve.name());
        }
    }
    Ok(policy)
}

/// As shown, without an id.
pub(crate) fn shown(policy: &Value) -> Value {
    if policy.is_object() { policy.clone() } else { json!({}) }
}

/// The key that the policy asks for.
pub(crate) fn key_wish(policy: &Value) -> Result<Wish, CryptoError> {
    Wish::read(policy.get("key_props").unwrap_or(&Value::Null))
}

/// Whether the secret carries the private key.
pub(crate) fn exportable(policy: &Value) -> bool {
    flag(policy, "/key_props/exportable")
}

/// Whether a new version has the same key.
pub(crate) fn reuses_key(policy: &Value) -> bool {
    flag(policy, "/key_props/reuse_key")
}

/// The content type of the secret.
pub(crate) fn secret_type(policy: &Value) -> &str {
    text(policy, "/secret_props/contentType").unwrap_or(PKCS12)
}

/// `Self`, `Unknown`, or an authority's name.
pub(crate) fn issuer(policy: &Value) -> &str {
    text(policy, "/issuer/name").unwrap_or("Unknown")
}
