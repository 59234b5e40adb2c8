//! Certificates with their keys and secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use kit::pki::{Authority, Leaf, Usage};
use serde_json::{Value, json};

use crate::world::World;

fn policy(issuer: &str, content_type: &str) -> Value {
    json!({"policy": {"issuer": {"name": issuer}, "key_props": {"kty": "EC", "crv": "P-256"},
        "secret_props": {"contentType": content_type},
        "x509_props": {"subject": "CN=web.contoso.com", "sans": {"dns_names": ["web.contoso.com"]}}},
        "tags": {"a": "b"}})
}

const PKCS12: &str = "application/x-pkcs12";
const PEM: &str = "application/x-pem-file";

#[tokio::test]
async fn a_self_signed_certificate_comes_with_its_key_and_secret() {
    let world = World::with_vault().await;
    let asked = world.data(Method::POST, "/certificates/web/create", policy("Self", PEM)).await;
    assert_eq!(asked.status, 202);
    assert!(asked.headers["location"].to_str().unwrap().contains("/certificates/web/pending"));
    let pending = world.data(Method::GET, "/certificates/web/pending", Value::Null).await.ok();
    assert_eq!(pending["status"], "completed");
    assert_eq!(pending["target"], "https://kv1.vault.azure.net/certificates/web");
    let made = world.data(Method::GET, "/certificates/web", Value::Null).await.ok();
    let version = made["id"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert_eq!(made["kid"], format!("https://kv1.vault.azure.net/keys/web/{version}"));
    assert_eq!(made["sid"], format!("https://kv1.vault.azure.net/secrets/web/{version}"));
    assert_eq!(made["tags"], json!({"a": "b"}));
    assert_eq!(made["policy"]["x509_props"]["validity_months"], 12);
    let der = STANDARD.decode(made["cer"].as_str().unwrap()).unwrap();
    let (_, read) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert_eq!(read.subject().to_string(), "CN=web.contoso.com");
    assert_eq!(made["attributes"]["exp"], read.validity().not_after.timestamp());

    let secret = world.data(Method::GET, "/secrets/web", Value::Null).await.ok();
    assert_eq!((secret["contentType"].clone(), secret["managed"].clone()), (json!(PEM), json!(true)));
    let value = secret["value"].as_str().unwrap();
    assert!(value.starts_with("-----BEGIN PRIVATE KEY-----") && value.contains("BEGIN CERTIFICATE"));
    let key = world.data(Method::GET, "/keys/web", Value::Null).await.ok();
    assert_eq!((key["key"]["crv"].clone(), key["managed"].clone()), (json!("P-256"), json!(true)));
    for (method, path) in
        [(Method::DELETE, "/secrets/web"), (Method::DELETE, "/keys/web"), (Method::PATCH, "/keys/web")]
    {
        assert_eq!(world.data(method, path, Value::Null).await.status, 403, "{path}");
    }
    assert_eq!(world.data(Method::PUT, "/secrets/web", json!({"value": "v"})).await.status, 403);

    world.data(Method::DELETE, "/certificates/web", Value::Null).await.ok();
    for path in ["/certificates/web", "/keys/web", "/secrets/web"] {
        assert_eq!(world.data(Method::GET, path, Value::Null).await.status, 404, "{path}");
    }
    world.data(Method::POST, "/deletedcertificates/web/recover", Value::Null).await.ok();
    assert_eq!(world.data(Method::GET, "/secrets/web", Value::Null).await.ok(), secret);
    world.data(Method::DELETE, "/certificates/web", Value::Null).await.ok();
    assert_eq!(world.data(Method::DELETE, "/deletedcertificates/web", Value::Null).await.status, 204);
    world.data(Method::PUT, "/secrets/web", json!({"value": "free again"})).await.ok();
    let taken = world.data(Method::POST, "/certificates/web/create", policy("Self", PEM)).await;
    assert_eq!((taken.status.as_u16(), taken.code()), (409, "Conflict"));
}

#[tokio::test]
async fn an_exported_certificate_can_be_imported() {
    let world = World::with_vault().await;
    for (name, content_type) in [("pfx", PKCS12), ("pem", PEM)] {
        world
            .data(Method::POST, &format!("/certificates/{name}/create"), policy("Self", content_type))
            .await
            .ok();
        let secret = world.data(Method::GET, &format!("/secrets/{name}"), Value::Null).await.ok();
        let body = json!({"value": secret["value"], "attributes": {"enabled": true}});
        let imported =
            world.data(Method::POST, &format!("/certificates/again-{name}/import"), body).await.ok();
        let made = world.data(Method::GET, &format!("/certificates/{name}"), Value::Null).await.ok();
        assert_eq!((&imported["cer"], &imported["x5t"]), (&made["cer"], &made["x5t"]));
        assert_eq!(imported["policy"]["secret_props"]["contentType"], content_type);
        assert_eq!(imported["policy"]["issuer"]["name"], "Unknown");
    }
    let listed = world.data(Method::GET, "/certificates", Value::Null).await.ok();
    assert_eq!(listed["value"].as_array().unwrap().len(), 4);
    let wrong = json!({"value": "aGVsbG8="});
    assert_eq!(world.data(Method::POST, "/certificates/x/import", wrong).await.code(), "BadParameter");
}

#[tokio::test]
async fn somebody_elses_authority_signs_a_request() {
    let world = World::with_vault().await;
    let asked = world.data(Method::POST, "/certificates/web/create", policy("Unknown", PKCS12)).await;
    assert_eq!((asked.status.as_u16(), asked.body["status"].clone()), (202, json!("inProgress")));
    assert_eq!(world.data(Method::GET, "/certificates/web", Value::Null).await.status, 404);
    let twice = world.data(Method::POST, "/certificates/web/create", policy("Unknown", PKCS12)).await;
    assert_eq!((twice.status.as_u16(), twice.code()), (409, "Conflict"));
    let authority = Authority::new("Somebody's", std::time::Duration::from_secs(9_000_000)).unwrap();
    let other = authority
        .issue(&Leaf {
            common_name: "x".into(),
            organizations: Vec::new(),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            usage: Usage::Server,
            valid: std::time::Duration::from_secs(9_000),
        })
        .unwrap();
    let (_, other) = x509_parser::pem::parse_x509_pem(other.certificate_pem.as_bytes()).unwrap();
    let merge = json!({"x5c": [STANDARD.encode(other.contents)]});
    let refused = world.data(Method::POST, "/certificates/web/pending/merge", merge).await;
    assert_eq!(refused.code(), "BadParameter", "{}", refused.body);
    let request = STANDARD.decode(asked.body["csr"].as_str().unwrap()).unwrap();
    let signed = sign(&request);
    let merge = json!({"x5c": [STANDARD.encode(&signed)]});
    let merged = world.data(Method::POST, "/certificates/web/pending/merge", merge).await;
    assert_eq!(merged.status, 201, "{}", merged.body);
    let made = world.data(Method::GET, "/certificates/web", Value::Null).await.ok();
    assert_eq!(made["cer"], STANDARD.encode(&signed));
    let pending = world.data(Method::GET, "/certificates/web/pending", Value::Null).await.ok();
    assert_eq!(pending["status"], "completed");
}

/// Signs a request as an authority outside would.
fn sign(request: &[u8]) -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = rcgen::Issuer::new(params, key);
    let request = rcgen::CertificateSigningRequestParams::from_der(&request.to_vec().into()).unwrap();
    request.signed_by(&issuer).unwrap().der().to_vec()
}

#[tokio::test]
async fn a_waiting_request_is_cancelled_and_given_up() {
    let world = World::with_vault().await;
    world.data(Method::POST, "/certificates/web/create", policy("Unknown", PKCS12)).await.ok();
    let cancelled = json!({"cancellation_requested": true});
    let reply = world.data(Method::PATCH, "/certificates/web/pending", cancelled).await.ok();
    assert_eq!(reply["status"], "cancelled");
    world.data(Method::DELETE, "/certificates/web/pending", Value::Null).await.ok();
    assert_eq!(world.data(Method::GET, "/certificates/web/pending", Value::Null).await.status, 404);
    let other = world.data(Method::POST, "/certificates/web/create", policy("DigiCert", PKCS12)).await;
    assert_eq!(other.status, 501);
    assert!(other.body["error"]["message"].as_str().unwrap().contains("DigiCert"));
}
