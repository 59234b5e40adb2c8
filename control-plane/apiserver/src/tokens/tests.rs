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
        self.tokens.issue(&self.objects, "a", "app", json!({"spec": spec}), &user)
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
        world.verify(foreign["status"]["token"].as_str().unwrap()).unwrap(),
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
            "does not match the UID in record",
        ),
        (json!({"boundObjectRef": {"kind": "Deployment", "name": "p"}}), 400, "unsupported kind Deployment"),
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

#[test]
fn a_token_in_a_secret_lives_with_it() {
    let world = world(false);
    let token = world.tokens.legacy_token("a", ("app", "sa-1"), "app-token").unwrap();
    assert!(world.verify(&token).is_err());
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &token);
    world.objects.put(
        "",
        "secrets",
        json!({"metadata": {"name": "app-token", "namespace": "a"}, "data": {"token": encoded}}),
    );
    assert_eq!(world.verify(&token).unwrap().unwrap().user.name, "system:serviceaccount:a:app");
}
