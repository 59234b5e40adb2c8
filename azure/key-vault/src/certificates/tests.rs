//! Made, written, read again.

use serde_json::{Value, json};

use super::files::PEM;
use super::*;
use crate::crypto::{Material, Wish};

const NOW: i64 = 1_780_000_000;

fn made(policy: &Value) -> (Chain, Material, Value) {
    let policy = normal(policy, &Value::Null, NOW).unwrap();
    let material = Material::generate(&key_wish(&policy).unwrap()).unwrap();
    let der = self_signed(&policy, &material, NOW).unwrap();
    (Chain::for_key(vec![der], &material).unwrap(), material, policy)
}

fn ec() -> Value {
    json!({"issuer": {"name": "Self"}, "key_props": {"kty": "EC", "crv": "P-256"},
        "x509_props": {"subject": "CN=web.contoso.com, O=\"Contoso, Ltd\"",
            "sans": {"dns_names": ["web.contoso.com"], "upns": ["a@contoso.com"]}, "validity_months": 6}})
}

#[test]
fn a_policy_says_what_the_certificate_becomes() {
    let (chain, _, policy) = made(&ec());
    let facts = chain.facts().unwrap();
    assert!(facts.subject.contains("CN=web.contoso.com") && facts.subject.contains("Contoso, Ltd"));
    assert_eq!(facts.usages, ["digitalSignature", "keyEncipherment"]);
    assert_eq!(facts.extended_usages, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
    assert!((180..=185).contains(&((facts.not_after - NOW) / 86_400)), "{}", facts.not_after);
    assert_eq!(policy["key_props"]["key_size"], 256);
    assert_eq!(policy["secret_props"]["contentType"], "application/x-pkcs12");
    assert_eq!(normal(&policy, &policy, NOW).unwrap(), policy);
}

#[test]
fn files_carry_the_certificate_and_its_key() {
    let (chain, material, _) = made(&ec());
    for content_type in ["application/x-pkcs12", PEM] {
        let value = write(content_type, &chain, &material, true).unwrap();
        let (again, key, found) = read(&value, "").unwrap();
        assert_eq!(found, content_type);
        assert_eq!(again.leaf(), chain.leaf());
        assert_eq!(key.public().unwrap(), material.public().unwrap());
        let without = write(content_type, &chain, &material, false).unwrap();
        assert!(read(&without, "").is_err(), "{content_type}");
    }
    for wrong in ["", "%", "aGVsbG8=", "-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n"] {
        assert!(read(wrong, "").is_err(), "{wrong}");
    }
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (chain, ..) = made(&ec());
    let other = Material::generate(&Wish::read(&json!({"kty": "EC"})).unwrap()).unwrap();
    assert!(Chain::for_key(chain.ders().unwrap(), &other).is_err());
}

#[test]
fn bad_policies_are_refused_in_words() {
    let cases = [
        (json!({"x509_props": {"validity_months": 0}}), "validity"),
        (json!({"x509_props": {"key_usage": ["x"]}}), "key usage"),
        (json!({"key_props": {"kty": "RSA", "key_size": 1024}}), "1024"),
        (json!({"secret_props": {"contentType": "text/plain"}}), "content type"),
        (json!({"lifetime_actions": [{"action": {"action_type": "Explode"}}]}), "lifetime"),
        (json!([]), "policy"),
    ];
    for (policy, word) in cases {
        let error = normal(&policy, &Value::Null, NOW).unwrap_err().to_string();
        assert!(error.contains(word), "{policy}: {error}");
    }
    let material = Material::generate(&Wish::read(&json!({"kty": "EC"})).unwrap()).unwrap();
    for subject in ["", "nonsense", "XX=1"] {
        let policy = normal(&json!({"x509_props": {"subject": subject}}), &Value::Null, NOW).unwrap();
        assert!(self_signed(&policy, &material, NOW).is_err(), "{subject}");
    }
    let policy = normal(&json!({"x509_props": {"subject": "CN=a", "ekus": ["9.9"]}}), &Value::Null, NOW);
    assert!(request(&policy.unwrap(), &material).is_err());
}
