use jiff::{SignedDuration, Timestamp};
use kit::clock::FixedClock;
use serde_json::{Value, json};

use super::*;
use crate::attributes::UserInfo;
use crate::attributes::fake::Fake;

const ISSUER: &str = "https://oidc.example/abc/";

fn key(rsa: bool) -> String {
    let kind = if rsa { &rcgen::PKCS_RSA_SHA256 } else { &rcgen::PKCS_ECDSA_P256_SHA256 };
    rcgen::KeyPair::generate_for(kind).unwrap().serialize_pem()
}

fn cluster() -> Fake {
    let objects = Fake::default();
    objects.put("", "serviceaccounts", json!({"metadata": {"name": "app", "namespace": "a", "uid": "sa-1"}}));
    objects.put("", "nodes", json!({"metadata": {"name": "n1", "uid": "node-1"}}));
    objects.put(
        "",
        "pods",
        json!({"metadata": {"name": "p", "namespace": "a", "uid": "pod-1"},
        "spec": {"nodeName": "n1", "serviceAccountName": "app"}}),
    );
    objects
}

struct World {
    objects: Fake,
    clock: FixedClock,
    tokens: ServiceAccountTokens,
}

fn world(rsa: bool) -> World {
    let clock = FixedClock::new(Timestamp::from_second(1_800_000_000).unwrap());
    let tokens = ServiceAccountTokens::new(
        &key(rsa),
        ISSUER,
        &["https://kubernetes.default.svc"],
        Arc::new(clock.clone()),
    )
    .unwrap();
    World { objects: cluster(), clock, tokens }
}

impl World {
    fn issue(&self, spec: Value) -> Result<Value, crate::attributes::ApiError> {
        let user = UserInfo::new("system:node:n1", &["system:nodes"]);
        self.tokens
            .issue(&self.objects, "a", "app", json!({"spec": spec}), &user)
            .map(|issued| issued.request)
    }

    fn token(&self, spec: Value) -> String {
        self.issue(spec).unwrap()["status"]["token"].as_str().unwrap().to_owned()
    }

    fn verify(&self, token: &str) -> Result<Option<Verified>, VerifyError> {
        self.tokens.verify(&self.objects, token, &[])
    }

    fn later(&self, seconds: i64) {
        self.clock.set(kit::Clock::now(&self.clock) + SignedDuration::from_secs(seconds));
    }
}

fn bound() -> Value {
    json!({"expirationSeconds": 3607, "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "pod-1"}})
}

#[test]
fn a_bound_token_says_who_and_where() {
    for rsa in [true, false] {
        let world = world(rsa);
        let answer = world.issue(bound()).unwrap();
        assert_eq!(answer["kind"], "TokenRequest");
        assert_eq!(answer["status"]["expirationTimestamp"], "2027-01-15T09:00:07Z");
        let token = answer["status"]["token"].as_str().unwrap();
        let found = world.verify(token).unwrap().unwrap();
        assert_eq!(found.user.name, "system:serviceaccount:a:app");
        assert_eq!(found.user.uid, "sa-1");
        assert_eq!(found.user.groups, ["system:serviceaccounts", "system:serviceaccounts:a"]);
        assert_eq!(found.user.extra["authentication.kubernetes.io/pod-name"], ["p"]);
        assert_eq!(found.user.extra["authentication.kubernetes.io/node-name"], ["n1"]);
        assert_eq!(found.audiences, [ISSUER, "https://kubernetes.default.svc"]);
        // The kubelet's token is told to expire in an hour and taken for longer, as upstream's.
        world.later(7200);
        assert!(world.verify(token).is_ok());
    }
}

#[test]
fn tokens_end_with_time_pod_and_account() {
    let refused = |world: &World, token: &str| world.verify(token).expect_err("is refused").to_string();
    let one = world(false);
    let plain = one.token(json!({"expirationSeconds": 600}));
    assert!(one.verify(&plain).is_ok());
    one.later(600);
    assert_eq!(refused(&one, &plain), "service account token has expired");

    let two = world(false);
    let token = two.token(bound());
    two.objects.remove("", "pods", "a", "p");
    assert_eq!(refused(&two, &token), "pod a/p has been deleted");
    two.objects.put("", "pods", json!({"metadata": {"name": "p", "namespace": "a", "uid": "pod-2"}}));
    assert_eq!(refused(&two, &token), "pod UID (pod-2) does not match claim (pod-1)");

    let three = world(false);
    let token = three.token(json!({}));
    three.objects.put(
        "",
        "serviceaccounts",
        json!({"metadata": {"name": "app", "namespace": "a", "uid": "sa-2"}}),
    );
    assert!(refused(&three, &token).starts_with("service account UID"));
}

#[test]
fn audiences_issuers_and_keys_are_checked() {
    let world = world(false);
    let vault = world.token(json!({"audiences": ["vault"]}));
    assert!(world.verify(&vault).is_err());
    let found = world.tokens.verify(&world.objects, &vault, &["vault".into(), "x".into()]).unwrap().unwrap();
    assert_eq!(found.audiences, ["vault"]);
    assert_eq!(world.verify("not a token").unwrap(), None);
    let other = super::tests::world(false);
    let forged = other.token(json!({}));
    assert!(world.verify(&forged).is_err(), "another key");
    let foreign =
        ServiceAccountTokens::new(&key(false), "https://other/", &[], Arc::new(world.clock.clone())).unwrap();
    let foreign = foreign.issue(&world.objects, "a", "app", json!({}), &UserInfo::default()).unwrap();
    assert_eq!(
        world.verify(foreign.request["status"]["token"].as_str().unwrap()).unwrap(),
        None,
        "not ours to judge"
    );
}

#[test]
fn wrong_requests_are_refused() {
    let world = world(false);
    let table = [
        (json!({"expirationSeconds": 5}), 422, "may not specify a duration less than 10 minutes"),
        (json!({"boundObjectRef": {"kind": "Pod", "name": "gone"}}), 404, "pods \"gone\" not found"),
        (
            json!({"boundObjectRef": {"kind": "Pod", "name": "p", "uid": "x"}}),
            409,
            "Operation cannot be fulfilled on Pod \"p\": the UID in the bound object reference (x) does not match the UID in record",
        ),
        (
            json!({"boundObjectRef": {"kind": "Deployment", "apiVersion": "apps/v1", "name": "p"}}),
            400,
            "cannot bind token to object of type apps/v1, Kind=Deployment",
        ),
    ];
    for (spec, code, part) in table {
        let error = world.issue(spec).expect_err(part);
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(part), "{error}");
    }
    world.objects.put(
        "",
        "pods",
        json!({"metadata": {"name": "p", "namespace": "a", "uid": "pod-1"},
        "spec": {"nodeName": "n2", "serviceAccountName": "app"}}),
    );
    assert_eq!(world.issue(bound()).expect_err("a pod elsewhere").code, 403);
}

#[test]
fn others_can_verify_by_the_published_keys() {
    let world = world(true);
    let token = world.token(json!({"audiences": ["api://AzureADTokenExchange"]}));
    let document = world.tokens.openid_configuration("https://oidc.example/abc/openid/v1/jwks");
    assert_eq!(document["issuer"], ISSUER);
    assert_eq!(document["id_token_signing_alg_values_supported"], json!(["RS256"]));
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_value(world.tokens.jwks()).unwrap();
    let header = jsonwebtoken::decode_header(&token).unwrap();
    let key = keys.find(&header.kid.unwrap()).expect("the key id is published");
    let mut validation = jsonwebtoken::Validation::new(header.alg);
    validation.set_audience(&["api://AzureADTokenExchange"]);
    validation.validate_exp = false;
    let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
    let claims = jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap().claims;
    assert_eq!(claims["sub"], "system:serviceaccount:a:app");
}

/// Puts the Secret that holds a token.
fn hold(world: &World, token: &str, metadata: Value) {
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, token);
    let mut secret = json!({"metadata": metadata, "type": "kubernetes.io/service-account-token", "data": {"token": encoded}});
    secret["metadata"]["name"] = json!("app-token");
    secret["metadata"]["namespace"] = json!("a");
    world.objects.put("", "secrets", secret);
}

#[test]
fn a_token_in_a_secret_lives_with_it() {
    let (tell, mut uses) = tokio::sync::mpsc::channel(4);
    let mut world = world(false);
    world.tokens = world.tokens.telling_uses(tell);
    let token = world.tokens.legacy_token("a", ("app", "sa-1"), "app-token").unwrap();
    assert_eq!(world.verify(&token).unwrap_err().to_string(), "service account token has been invalidated");
    hold(&world, &token, json!({}));
    assert_eq!(world.verify(&token).unwrap().unwrap().user.name, "system:serviceaccount:a:app");
    let used = uses.try_recv().unwrap();
    assert_eq!((used.secret.as_str(), used.day.as_str()), ("app-token", "2027-01-15"));
    hold(&world, &token, json!({"labels": {"kubernetes.io/legacy-token-last-used": "2027-01-15"}}));
    world.verify(&token).unwrap();
    assert!(uses.try_recv().is_err(), "told once a day");
    hold(&world, &token, json!({"labels": {"kubernetes.io/legacy-token-invalid-since": "2027-01-14"}}));
    assert!(world.verify(&token).unwrap_err().to_string().contains("has been marked invalid"));
    hold(&world, &token, json!({"deletionTimestamp": "2027-01-15T00:00:00Z"}));
    assert!(world.verify(&token).is_err());
    hold(&world, &token, json!({}));
    world.objects.put("", "serviceaccounts", json!({"metadata": {"name": "app", "namespace": "a", "uid": "sa-1"}, "secrets": [{"name": "app-token"}]}));
    assert!(world.verify(&token).unwrap().unwrap().warning.is_some(), "made by the server itself");
}

#[test]
fn keys_are_rotated_without_breaking_tokens() {
    let clock = Arc::new(FixedClock::new(Timestamp::from_second(1_800_000_000).unwrap()));
    let (old, new, objects) = (key(true), key(false), cluster());
    let before = ServiceAccountTokens::new(&old, ISSUER, &[], clock.clone()).unwrap();
    let token = before.issue(&objects, "a", "app", json!({}), &UserInfo::default()).unwrap();
    let token = token.request["status"]["token"].as_str().unwrap().to_owned();
    let alone = ServiceAccountTokens::new(&new, ISSUER, &[], clock.clone()).unwrap();
    assert!(alone.verify(&objects, &token, &[]).is_err());
    let both = ServiceAccountTokens::new(&new, ISSUER, &[], clock.clone()).unwrap();
    let both = both.with_retired_keys(std::slice::from_ref(&old)).unwrap();
    assert!(both.verify(&objects, &token, &[]).unwrap().is_some());
    let fresh = both.issue(&objects, "a", "app", json!({}), &UserInfo::default()).unwrap();
    let fresh = fresh.request["status"]["token"].as_str().unwrap().to_owned();
    assert!(before.verify(&objects, &fresh, &[]).is_err(), "the new key signs");
    assert_eq!(both.jwks()["keys"].as_array().unwrap().len(), 2);
    let document = both.openid_configuration("https://x/jwks");
    assert_eq!(document["id_token_signing_alg_values_supported"], json!(["ES256", "RS256"]));
    // A public key verifies as well as the private one it belongs to.
    let public = rcgen::PublicKeyData::subject_public_key_info(&rcgen::KeyPair::from_pem(&old).unwrap());
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, public);
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
    let public =
        ServiceAccountTokens::new(&new, ISSUER, &[], clock).unwrap().with_retired_keys(&[pem]).unwrap();
    assert!(public.verify(&objects, &token, &[]).unwrap().is_some());
}

#[test]
fn a_cloud_may_limit_how_long_tokens_live() {
    let mut world = world(false);
    world.tokens = world.tokens.with_lifetimes(Lifetimes { longest_seconds: Some(86_400), extends: false });
    let user = UserInfo::default();
    let issued = world
        .tokens
        .issue(&world.objects, "a", "app", json!({"spec": {"expirationSeconds": 100_000}}), &user)
        .unwrap();
    assert_eq!(
        issued.warning.as_deref(),
        Some("requested expiration of 100000 seconds shortened to 86400 seconds")
    );
    assert_eq!(issued.request["spec"]["expirationSeconds"], 86_400);
    let token = world.token(bound());
    world.later(3608);
    assert_eq!(world.verify(&token).unwrap_err().to_string(), "service account token has expired");
}

#[test]
fn a_request_for_an_account_that_was_replaced_is_refused() {
    let world = world(false);
    let request = json!({"metadata": {"uid": "sa-0"}, "spec": {}});
    let error = world.tokens.issue(&world.objects, "a", "app", request, &UserInfo::default()).unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (
            409,
            "Operation cannot be fulfilled on serviceaccounts \"app\": the UID in the token request (sa-0) does not match the UID of the service account (sa-1)"
        )
    );
}

#[test]
fn only_a_public_issuer_is_discoverable() {
    let clock = Arc::new(FixedClock::new(Timestamp::UNIX_EPOCH));
    for (issuer, fine) in [
        ("https://a/b/", true),
        ("http://a/", false),
        ("https://a/?x=1", false),
        ("https://a/#b", false),
        ("kubernetes", false),
    ] {
        let tokens = ServiceAccountTokens::new(&key(false), issuer, &[], clock.clone()).unwrap();
        assert_eq!(tokens.is_discoverable(), fine, "{issuer}");
    }
}
