//! Tokens: what the directory did not sign is nobody's, and the token endpoint gives none to whom it should not.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use entra::{Bootstrap, Config, Entra, NoIssuers, VerifyError};
use kit::http::BoxService;
use lazurite_fuzz::Choices;
use lazurite_fuzz::door::{runtime, send};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, OnceLock};

const MANAGEMENT: &str = "https://management.azure.com/";
const GRAPH: &str = "https://graph.microsoft.com/";

struct Bench {
    entra: Arc<Entra>,
    service: BoxService,
    admin: Bootstrap,
    /// Tokens of ours: for the manager and for Graph, of two identities.
    ours: Vec<String>,
    /// The modulus of the key they are signed with, as it is published.
    modulus: String,
    _tasks: kit::Tasks,
}

fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a folder");
        let tasks = kit::Tasks::new();
        let at = jiff::Timestamp::from_second(1_767_323_045).expect("a time");
        let config = Config {
            state_dir: dir.path().to_owned(),
            hosts: vec!["localhost".to_owned()],
            clock: Arc::new(kit::clock::FixedClock::new(at)),
            issuers: Arc::new(NoIssuers),
        };
        let (entra, admin, ours) = runtime().block_on(async {
            let entra = Entra::open(config, &tasks).await.expect("a directory");
            let admin = entra.bootstrap("admin").await.expect("it is written").expect("it is new");
            let mut ours = Vec::new();
            for name in ["/one", "/two"] {
                let identity = entra.managed_identity_create(name).await.expect("an identity");
                for audience in [MANAGEMENT, GRAPH] {
                    let token =
                        entra.managed_identity_token(&identity.principal_id, audience).expect("a token");
                    ours.push(token.access_token);
                }
            }
            (entra, admin, ours)
        });
        let service = entra.service();
        let keys = send(&*service, "GET", "/common/discovery/keys", &[], b"").expect("the keys").json();
        let modulus = keys["keys"][0]["n"].as_str().expect("a modulus").to_owned();
        // Open files stay; nothing else of the folder is needed.
        drop(dir);
        Bench { entra, service, admin, ours, modulus, _tasks: tasks }
    })
}

impl Bench {
    /// Nothing but what was signed here, for this audience, is believed.
    fn judge(&self, token: &str) {
        for (audience, at) in [(MANAGEMENT, 0), (GRAPH, 1)] {
            let verified = self.entra.verify(token, &[audience.to_owned()]);
            let is_ours = self.ours.iter().skip(at).step_by(2).any(|ours| ours == token);
            assert_eq!(verified.is_ok(), is_ours, "{token}: {verified:?}");
            let is_for_another = !is_ours && self.ours.iter().any(|ours| ours == token);
            assert_eq!(
                matches!(verified, Err(VerifyError::Audience { .. })),
                is_for_another,
                "{token}: {verified:?}"
            );
            assert!(self.entra.verify(token, &[]).is_err());
        }
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let Some(answer) = send(&*self.service, "GET", "/v1.0/servicePrincipals?$top=1", &headers, b"")
        else {
            return;
        };
        let is_ours = self.ours.iter().skip(1).step_by(2).any(|ours| ours == token);
        let expected = if is_ours { 200 } else { 401 };
        // Blanks around a header's value are no part of it.
        assert!(answer.status.as_u16() == expected || token.trim() != token, "{token}: {answer:?}");
    }
}

/// A token of ours with something done to it.
fn changed(choices: &mut Choices<'_>) -> String {
    let bench = bench();
    let mut bytes = choices.of(&bench.ours).clone().into_bytes();
    for _ in 0..choices.below(4) {
        let at = choices.below(bytes.len().max(1));
        match choices.byte() % 6 {
            0 if at < bytes.len() => bytes[at] = choices.byte() & 0x7f,
            // The same letter of another case.
            1 if at < bytes.len() => bytes[at] ^= 0x20,
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.insert(at, *choices.of(b"=.A-_ ")),
            4 => bytes.truncate(at),
            // The last letter of a signature has bits that no byte needs.
            _ => {
                if let Some(last) = bytes.last_mut() {
                    *last = *choices.of(b"ABCDEFGHQRSTUVWXghijklmnwxyz0123=");
                }
            }
        }
    }
    if choices.byte() % 4 == 0 {
        // Parts of two tokens.
        let other = choices.of(&bench.ours).clone();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let parts = text.split('.').zip(other.split('.'));
        let parts: Vec<&str> =
            parts.map(|(one, two)| if choices.byte() % 2 == 0 { one } else { two }).collect();
        return parts.join(".");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    let hashed = Sha256::digest(key);
    let key = if key.len() > 64 { hashed.as_slice() } else { key };
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().to_vec()
}

/// A token that somebody else made: our claims or theirs, whatever algorithm, signed with what everybody can know.
fn forged(choices: &mut Choices<'_>) -> String {
    let bench = bench();
    let ours = choices.of(&bench.ours);
    let decoded = |part: usize| {
        let bytes =
            ours.split('.').nth(part).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
        serde_json::from_slice::<Value>(&bytes).unwrap_or_default()
    };
    let (mut header, mut claims) = (decoded(0), decoded(1));
    header["alg"] = json!(
        choices.of(&["none", "None", "HS256", "HS512", "RS256", "RS512", "PS256", "ES256", "EdDSA", ""])
    );
    match choices.byte() % 6 {
        0 => header["kid"] = json!(null),
        1 => header["kid"] = json!("../key"),
        2 => header["jwk"] = json!({"kty": "oct", "k": "AAAA"}),
        3 => header["jku"] = json!("https://localhost/keys"),
        4 => header["crit"] = json!(["exp"]),
        _ => {}
    }
    let name = *choices.of(&["oid", "exp", "aud", "iss", "nbf", "tid", "appid", "groups", "_claim_names"]);
    let other = [
        json!(bench.admin.object_id),
        json!(i64::MAX),
        json!(GRAPH),
        json!(bench.entra.issuer()),
        json!(null),
        json!([1]),
    ];
    if choices.byte() % 2 == 0 {
        claims[name] = choices.of(&other).clone();
    }
    let encoded = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encoded(&header), encoded(&claims));
    let signature = match choices.byte() % 6 {
        0 => Vec::new(),
        1 => hmac(bench.modulus.as_bytes(), signed.as_bytes()),
        2 => hmac(&URL_SAFE_NO_PAD.decode(&bench.modulus).unwrap_or_default(), signed.as_bytes()),
        3 => hmac(b"", signed.as_bytes()),
        4 => vec![0; 256],
        _ => ours.rsplit('.').next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default(),
    };
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    assert!(!bench.ours.contains(&token), "the header is ours only with our key");
    token
}

/// A request for a token: right, nearly right, or anything.
fn form(choices: &mut Choices<'_>, raw: &str) {
    let bench = bench();
    let admin = &bench.admin;
    let near = format!("{}A", admin.secret);
    let tokens = [changed(choices), forged(choices)];
    let mut body = String::new();
    for _ in 0..choices.below(9) {
        let name = *choices.of(&[
            "grant_type",
            "client_id",
            "client_secret",
            "scope",
            "resource",
            "client_assertion",
            "client_assertion_type",
            "refresh_token",
            "code",
            "device_code",
            "redirect_uri",
            "code_verifier",
            "grant_type",
            "client_id",
            "client_secret",
            "x",
        ]);
        let value = match (name, choices.byte() % 5) {
            ("grant_type", _) => *choices.of(&[
                "client_credentials",
                "client_credentials",
                "refresh_token",
                "authorization_code",
                "device_code",
                "x",
            ]),
            ("client_id", 0..=2) => &admin.app_id,
            ("client_secret", 0..=2) => &admin.secret,
            ("client_secret", 3) => &near,
            ("client_assertion", 0..=3) => choices.of(&tokens),
            ("client_assertion_type", 0..=3) => "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ("scope", 0..=2) => "https://management.azure.com/.default",
            ("scope", 3) => "https://graph.microsoft.com/.default openid offline_access",
            ("resource", 0..=3) => MANAGEMENT,
            ("client_id", 3) => "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
            (_, 4) => raw,
            _ => "x",
        };
        let encoded = percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
        body.push_str(&format!("{}{name}={encoded}", if body.is_empty() { "" } else { "&" }));
    }
    let known = *choices.of(&[admin.secret.as_str(), near.as_str(), ""]);
    let basic = STANDARD.encode(format!("{}:{known}", choices.of(&[admin.app_id.as_str(), "x"])));
    let basic = format!("Basic {basic}");
    let with_basic = choices.byte() % 4 == 0;
    let headers: &[(&str, &str)] = if with_basic { &[("authorization", basic.as_str())] } else { &[] };
    let path = *choices.of(&["/common/oauth2/v2.0/token", "/organizations/oauth2/token", "/x/oauth2/token"]);
    let body = if choices.byte() == 5 { raw } else { &body };
    let Some(answer) = send(&*bench.service, "POST", path, headers, body.as_bytes()) else { return };
    let said = answer.json();
    assert!(answer.status.as_u16() < 500, "{body}: {answer:?}");
    if answer.status.as_u16() == 200 {
        let decoded =
            |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let given = |name: &str, value: &str| {
            let mut pairs = body.split('&').filter_map(|pair| pair.split_once('='));
            pairs.any(|(key, text)| decoded(key) == name && decoded(text) == value)
        };
        let knows = given("client_secret", &admin.secret) || (with_basic && known == admin.secret);
        assert!(knows && given("grant_type", "client_credentials"), "a token for nothing: {body}");
        let token = said["access_token"].as_str().unwrap_or_default();
        let payload =
            token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
        let payload: Value = serde_json::from_slice(&payload).unwrap_or_default();
        let audiences = [payload["aud"].as_str().unwrap_or_default().to_owned()];
        let claims = bench.entra.verify(token, &audiences);
        assert_eq!(claims.map(|claims| claims.oid).ok().as_deref(), Some(admin.object_id.as_str()), "{said}");
    } else {
        assert!(said["error"].is_string() && said["error_description"].is_string(), "{body}: {answer:?}");
        let tells = String::from_utf8_lossy(&answer.body).contains(&admin.secret);
        assert!(!tells, "{body}: {answer:?}");
    }
}

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let mut choices = Choices(data);
    match choices.byte() % 4 {
        0 => bench().judge(&text),
        1 => bench().judge(&changed(&mut choices)),
        2 => bench().judge(&forged(&mut choices)),
        _ => form(&mut choices, &text),
    }
});
