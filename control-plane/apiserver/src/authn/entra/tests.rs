use std::sync::atomic::{AtomicUsize, Ordering};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header};
use kit::clock::FixedClock;
use parking_lot::Mutex;
use serde_json::json;

use super::*;

const TENANT: &str = "11111111-2222-3333-4444-555555555555";
const NOW: i64 = 1_800_000_000;

/// A tenant that publishes keys and knows groups.
#[derive(Default)]
struct Tenant {
    set: Mutex<Vec<Value>>,
    fetched: AtomicUsize,
    silent: Mutex<bool>,
}

#[async_trait]
impl KeySource for Tenant {
    async fn keys(&self) -> Result<Value, Unavailable> {
        self.fetched.fetch_add(1, Ordering::Relaxed);
        if *self.silent.lock() {
            return Err(Unavailable("no answer".into()));
        }
        Ok(json!({"keys": *self.set.lock()}))
    }
}

#[async_trait]
impl GroupResolver for Tenant {
    async fn groups(&self, object_id: &str) -> Result<Vec<String>, Unavailable> {
        if *self.silent.lock() {
            return Err(Unavailable("no answer".into()));
        }
        Ok((0..300).map(|number| format!("{object_id}-g{number}")).collect())
    }
}

struct World {
    tenant: Arc<Tenant>,
    clock: FixedClock,
    tokens: EntraTokens,
    key: EncodingKey,
}

fn publish(tenant: &Tenant, id: &str) -> EncodingKey {
    let pem = kit::pki::rsa_key_pem().unwrap();
    let key = EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap();
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::RS256).unwrap();
    jwk.common.key_id = Some(id.to_owned());
    tenant.set.lock().push(serde_json::to_value(jwk).unwrap());
    key
}

fn world() -> World {
    let tenant = Arc::new(Tenant::default());
    let clock = FixedClock::new(Timestamp::from_second(NOW).unwrap());
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let tokens = EntraTokens::new(Settings::of_tenant(TENANT), tenant.clone(), tenant.clone(), shared);
    let key = publish(&tenant, "k1");
    World { tenant, clock, tokens, key }
}

fn signed(key: &EncodingKey, id: &str, claims: &Value) -> String {
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(id.to_owned());
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": format!("https://sts.windows.net/{TENANT}/"), "aud": AKS_SERVER_APPLICATION, "tid": TENANT,
        "iat": NOW, "nbf": NOW - 5, "exp": NOW + 3600, "oid": "o-1", "upn": "jane@contoso.com", "groups": ["g-1", "g-2"],
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

impl World {
    async fn ask(&self, changes: Value) -> Result<Option<UserInfo>, String> {
        let token = signed(&self.key, "k1", &claims(changes));
        let found = self.tokens.authenticate(&token, &[]).await;
        found.map(|found| found.map(|found| found.user)).map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn people_are_known_by_name_and_programs_by_object_id() {
    let world = world();
    let jane = world.ask(json!({})).await.unwrap().unwrap();
    assert_eq!(
        (jane.name.as_str(), jane.groups.as_slice()),
        ("jane@contoso.com", &["g-1".to_owned(), "g-2".to_owned()][..])
    );
    assert_eq!(jane.extra["oid"], ["o-1"]);
    let program = world
        .ask(json!({"upn": null, "idtyp": "app", "aud": format!("spn:{AKS_SERVER_APPLICATION}")}))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(program.name, "o-1");
    let second = json!({"iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0")});
    assert!(world.ask(second).await.unwrap().is_some(), "tokens of version 2");
}

#[tokio::test]
async fn too_many_groups_are_asked_for_and_never_guessed() {
    let world = world();
    let many = json!({"groups": null, "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph"}}});
    assert_eq!(world.ask(many.clone()).await.unwrap().unwrap().groups.len(), 300);
    assert_eq!(
        world.ask(json!({"groups": null, "hasgroups": true})).await.unwrap().unwrap().groups.len(),
        300
    );
    *world.tenant.silent.lock() = true;
    let error = world.ask(many).await.unwrap_err();
    assert_eq!(error, "failed to get groups of the user: no answer");
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_what_is_foreign_is_left_to_others() {
    let world = world();
    let table = [
        (
            json!({"aud": "https://management.azure.com"}),
            format!(
                "oidc: expected audience \"{AKS_SERVER_APPLICATION}\" got [\"https://management.azure.com\"]"
            ),
        ),
        (json!({"exp": NOW}), "oidc: token is expired (Token Expiry: 2027-01-15T08:00:00Z)".to_owned()),
        (
            json!({"nbf": NOW + 301}),
            "oidc: current time 2027-01-15T08:00:00Z before the nbf (not before) time: 2027-01-15T08:05:01Z"
                .to_owned(),
        ),
        (json!({"tid": "other"}), "oidc: token is of another tenant than its issuer".to_owned()),
        (json!({"oid": ""}), "oidc: claim \"oid\" is not present".to_owned()),
    ];
    for (changes, text) in table {
        assert_eq!(world.ask(changes).await.unwrap_err(), text);
    }
    let foreign = json!({"iss": "https://sts.windows.net/99999999-2222-3333-4444-555555555555/"});
    assert_eq!(world.ask(foreign).await, Ok(None));
    let stranger = EncodingKey::from_rsa_pem(kit::pki::rsa_key_pem().unwrap().as_bytes()).unwrap();
    let forged =
        world.tokens.authenticate(&signed(&stranger, "k1", &claims(json!({}))), &[]).await.unwrap_err();
    assert!(forged.to_string().starts_with("oidc: failed to verify signature"), "{forged}");
    let unsigned = jsonwebtoken::encode(
        &Header::new(Algorithm::HS256),
        &claims(json!({})),
        &EncodingKey::from_secret(b"x"),
    )
    .unwrap();
    assert!(world.tokens.authenticate(&unsigned, &[]).await.is_err(), "a shared secret is no signature");
    assert_eq!(world.tokens.authenticate("abc", &[]).await, Ok(None));
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_when_a_new_one_appears() {
    let world = world();
    let fetched = || world.tenant.fetched.load(Ordering::Relaxed);
    for _ in 0..5 {
        world.ask(json!({})).await.unwrap().unwrap();
    }
    assert_eq!(fetched(), 1);
    let second = publish(&world.tenant, "k2");
    let token = signed(&second, "k2", &claims(json!({})));
    assert!(world.tokens.authenticate(&token, &[]).await.is_err(), "not asked again within a minute");
    world.clock.set(Timestamp::from_second(NOW + 61).unwrap());
    assert!(world.tokens.authenticate(&token, &[]).await.unwrap().is_some());
    assert_eq!(fetched(), 2);
    // A tenant that does not answer does not lock out who shows a key that is known.
    *world.tenant.silent.lock() = true;
    world.clock.set(Timestamp::from_second(NOW + 90_000).unwrap());
    let late = signed(&second, "k2", &claims(json!({"exp": NOW + 100_000})));
    assert!(world.tokens.authenticate(&late, &[]).await.unwrap().is_some());
}
