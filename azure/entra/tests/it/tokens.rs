//! Sign-ins of people and applications, and what stands in their tokens.

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use entra::NoIssuers;
use http::Method;
use serde_json::{Value, json};

use crate::bench::{ARM, Bench, GRAPH, claims};

const AZ: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

fn arm_scope() -> String {
    format!("{ARM}.default offline_access openid profile")
}

#[tokio::test]
async fn a_person_signs_in_by_code_and_proves_the_key_of_the_exchange() {
    let bench = Bench::new(Arc::new(NoIssuers)).await;
    bench.entra.create_user("ada", "Ada", "Correct-Horse-1", true).await.unwrap();
    let verifier = "a-verifier-that-is-long-enough-to-be-one-0123456789";
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    let scope = arm_scope();
    let fields = [
        ("client_id", AZ),
        ("response_type", "code"),
        ("redirect_uri", "http://localhost:8400"),
        ("scope", &scope),
        ("state", "st&<"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("response_mode", "form_post"),
        ("username", "ada"),
        ("nonce", "n1"),
    ];
    let path = "/organizations/oauth2/v2.0/authorize";
    let upn = format!("ada@{}", bench.entra.domain());
    let with = |password: &'static str| {
        let mut all = fields.to_vec();
        all.retain(|(n, _)| *n != "username");
        all.extend([("username", upn.as_str()), ("password", password)]);
        all
    };
    let (_, wrong) = bench.call(Method::POST, path, &with("wrong")).await;
    assert!(wrong.as_str().unwrap().contains("invalid username or password"), "{wrong}");
    let (_, page) = bench.call(Method::POST, path, &with("Correct-Horse-1")).await;
    let page = page.as_str().unwrap();
    assert!(
        page.contains("action=\"http://localhost:8400\"") && page.contains("value=\"st&amp;&lt;\""),
        "{page}"
    );
    let code = page.split("name=\"code\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let redeem = async |code: &str, verifier: &str| {
        bench
            .token(&[
                ("grant_type", "authorization_code"),
                ("client_id", AZ),
                ("code", code),
                ("redirect_uri", "http://localhost:8400"),
                ("code_verifier", verifier),
                ("scope", &scope),
            ])
            .await
    };
    let (status, body) = redeem(&code, verifier).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(redeem(&code, verifier).await.1["error_codes"][0], 70_008, "a code serves once");
    let id = claims(body["id_token"].as_str().unwrap());
    assert_eq!((id["nonce"].as_str(), id["preferred_username"].as_str()), (Some("n1"), Some(upn.as_str())));
    let access = claims(body["access_token"].as_str().unwrap());
    assert_eq!(
        (access["appid"].as_str(), access["appidacr"].as_str(), access["idtyp"].as_str()),
        (Some(AZ), Some("0"), Some("user"))
    );
    assert_eq!(
        access["wids"],
        json!(["62e90394-69f5-4237-9190-012177145e10", "b79fbf4d-3ef9-4689-8143-76b194e85509"])
    );
    assert!(access["uti"].as_str().unwrap().len() >= 16);

    let refresh = body["refresh_token"].as_str().unwrap();
    let renew = async || {
        bench
            .token(&[
                ("grant_type", "refresh_token"),
                ("client_id", AZ),
                ("refresh_token", refresh),
                ("scope", &scope),
            ])
            .await
    };
    assert_eq!(renew().await.0, 200);
    bench.clock.set("2026-11-23T12:05:00Z".parse().unwrap());
    let graph = bench.entra.bootstrap("first").await.unwrap().unwrap();
    let admin = bench.client_token(&graph.app_id, &graph.secret, GRAPH).await.unwrap();
    bench.done(&admin, "POST", &format!("/users/{upn}/revokeSignInSessions"), Value::Null).await;
    assert_eq!(renew().await.1["error_codes"][0], 50_173);
}

#[tokio::test]
async fn a_device_waits_for_its_person() {
    let bench = Bench::new(Arc::new(NoIssuers)).await;
    bench.entra.create_user("ada", "Ada", "Correct-Horse-1", false).await.unwrap();
    let scope = arm_scope();
    let (_, started) = bench
        .call(Method::POST, "/organizations/oauth2/v2.0/devicecode", &[("client_id", AZ), ("scope", &scope)])
        .await;
    let code = started["device_code"].as_str().unwrap();
    let poll = async || {
        bench
            .token(&[
                ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
                ("client_id", AZ),
                ("device_code", code),
                ("code", code),
            ])
            .await
    };
    assert_eq!(poll().await.1["error"], "authorization_pending");
    let upn = format!("ada@{}", bench.entra.domain());
    let otc = started["user_code"].as_str().unwrap();
    let (_, page) = bench
        .call(
            Method::POST,
            "/devicelogin",
            &[("otc", otc), ("username", &upn), ("password", "Correct-Horse-1")],
        )
        .await;
    assert!(page.as_str().unwrap().contains("Signed in"), "{page}");
    let (status, body) = poll().await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["foci"], "1");
    assert_eq!(poll().await.1["error_codes"][0], 70_000, "a device code serves once");
}

#[tokio::test]
async fn an_application_signs_in_with_its_certificate() {
    let (bench, _, admin) = Bench::administered().await;
    let authority = kit::pki::Authority::new("client", std::time::Duration::from_secs(86_400)).unwrap();
    let key = kit::pki::rsa_key_pem().unwrap();
    let made = bench.done(&admin, "POST", "/applications", json!({"displayName": "x"})).await;
    let (id, app_id) = (made["id"].as_str().unwrap(), made["appId"].as_str().unwrap());
    bench.done(&admin, "POST", "/servicePrincipals", json!({"appId": app_id})).await;
    let certificate = rsa_certificate(&key);
    let credential = json!({"keyCredentials": [{"type": "AsymmetricX509Cert", "usage": "Verify", "key": STANDARD.encode(&certificate)}]});
    bench.done(&admin, "PATCH", &format!("/applications/{id}"), credential).await;
    let thumbprint = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &certificate));
    let now = 1_795_435_200;
    let aud = format!("https://localhost:8443/{}/oauth2/v2.0/token", bench.entra.tenant_id());
    let assertion = |x5t: &str, claims: Value| {
        let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
        header.x5t = Some(x5t.to_owned());
        let key = jsonwebtoken::EncodingKey::from_rsa_pem(key.as_bytes()).unwrap();
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    };
    let good = json!({"aud": aud, "iss": app_id, "sub": app_id, "jti": "1", "exp": now + 600, "nbf": now});
    let changed = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    for (x5t, claims, expected) in [
        (thumbprint.as_str(), good.clone(), None),
        ("AAAA", good.clone(), Some(700_027)),
        (thumbprint.as_str(), changed("sub", json!("other")), Some(700_021)),
        (thumbprint.as_str(), changed("aud", json!("https://elsewhere.example/")), Some(700_023)),
        (thumbprint.as_str(), changed("exp", json!(now - 900)), Some(700_024)),
    ] {
        let assertion = assertion(x5t, claims);
        let (_, body) = bench
            .token(&[
                ("grant_type", "client_credentials"),
                ("client_id", app_id),
                ("scope", "https://management.azure.com/.default"),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", &assertion),
            ])
            .await;
        assert_eq!(body["error_codes"][0].as_u64(), expected, "{body}");
        if expected.is_none() {
            assert_eq!(claims_of(&body)["appidacr"], "2");
        }
    }
    drop(authority);
}

fn claims_of(body: &Value) -> Value {
    claims(body["access_token"].as_str().unwrap())
}

/// A self-signed certificate of a key, in DER.
fn rsa_certificate(key_pem: &str) -> Vec<u8> {
    let key = rcgen::KeyPair::from_pem(key_pem).unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    parameters.not_after = rcgen::date_time_ymd(2036, 1, 1);
    parameters.self_signed(&key).unwrap().der().to_vec()
}

#[tokio::test]
async fn what_is_wrong_with_a_request_has_its_number() {
    let (bench, first, _) = Bench::administered().await;
    let arm = "https://management.azure.com/.default";
    let table: &[(&[(&str, &str)], u64)] = &[
        (&[], 900_144),
        (&[("grant_type", "magic")], 70_003),
        (
            &[
                ("grant_type", "client_credentials"),
                ("client_id", "nobody"),
                ("client_secret", "x"),
                ("scope", arm),
            ],
            700_016,
        ),
        (
            &[
                ("grant_type", "client_credentials"),
                ("client_id", &first.app_id),
                ("client_secret", "x"),
                ("scope", arm),
            ],
            7_000_215,
        ),
        (&[("grant_type", "client_credentials"), ("client_id", &first.app_id), ("scope", arm)], 7_000_218),
        (
            &[
                ("grant_type", "client_credentials"),
                ("client_id", &first.app_id),
                ("client_secret", &first.secret),
                ("scope", "https://elsewhere.example/.default"),
            ],
            500_011,
        ),
        (
            &[
                ("grant_type", "client_credentials"),
                ("client_id", &first.app_id),
                ("client_secret", &first.secret),
                ("scope", "https://management.azure.com/user_impersonation"),
            ],
            1_002_012,
        ),
        (
            &[
                ("grant_type", "password"),
                ("client_id", AZ),
                ("username", "no"),
                ("password", "no"),
                ("scope", arm),
            ],
            50_126,
        ),
        (
            &[("grant_type", "refresh_token"), ("client_id", AZ), ("refresh_token", "x"), ("scope", arm)],
            9_002_313,
        ),
        (
            &[
                ("grant_type", "client_credentials"),
                ("client_id", &first.app_id),
                ("client_assertion", "x"),
                ("client_assertion_type", "y"),
                ("scope", arm),
            ],
            50_012,
        ),
        (
            &[
                ("grant_type", "client_credentials"),
                ("client_id", &first.app_id),
                ("client_assertion", "x"),
                ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("scope", arm),
            ],
            50_027,
        ),
    ];
    for (form, number) in table {
        let (status, body) = bench.token(form).await;
        assert!(status.is_client_error(), "{form:?}: {status}");
        assert_eq!(body["error_codes"][0].as_u64(), Some(*number), "{form:?}: {body}");
        assert!(
            body["error_description"].as_str().unwrap().starts_with(&format!("AADSTS{number}: ")),
            "{body}"
        );
    }
}

#[tokio::test]
async fn groups_that_are_too_many_for_a_token_are_asked_for() {
    let (bench, _, admin) = Bench::administered().await;
    bench.entra.create_user("ada", "Ada", "Correct-Horse-1", false).await.unwrap();
    let upn = format!("ada@{}", bench.entra.domain());
    let ada = bench.done(&admin, "GET", &format!("/users/{upn}"), Value::Null).await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let sign_in = async || {
        let (_, body) = bench
            .token(&[
                ("grant_type", "password"),
                ("client_id", AZ),
                ("username", &upn),
                ("password", "Correct-Horse-1"),
                ("scope", &arm_scope()),
            ])
            .await;
        body["access_token"].as_str().unwrap().to_owned()
    };
    let add = async |n: usize| {
        let body = json!({"displayName": format!("g{n}"), "mailNickname": format!("g{n}"), "mailEnabled": false, "securityEnabled": true,
            "members@odata.bind": [format!("https://graph.microsoft.com/v1.0/directoryObjects/{ada}")]});
        bench.done(&admin, "POST", "/groups", body).await
    };
    add(0).await;
    let few = claims(&sign_in().await);
    assert_eq!(few["groups"].as_array().unwrap().len(), 1);
    for n in 1..=200 {
        add(n).await;
    }
    let token = sign_in().await;
    let many = claims(&token);
    assert!(many.get("groups").is_none());
    assert_eq!(many["_claim_names"]["groups"], "src1");
    assert!(
        many["_claim_sources"]["src1"]["endpoint"]
            .as_str()
            .unwrap()
            .ends_with(&format!("/users/{ada}/getMemberObjects"))
    );
    let known = bench.entra.verify(&token, &[ARM.to_owned()]).unwrap();
    assert_eq!(known.groups.len(), 201, "whoever checks the token gets them from the directory");
}

#[tokio::test]
async fn keys_stay_published_as_long_as_what_they_signed_is_valid() {
    let (bench, _, _) = Bench::administered().await;
    let identity = bench.entra.managed_identity_create("/subscriptions/s/x").await.unwrap();
    let token = bench.entra.managed_identity_token(&identity.principal_id, ARM).unwrap().access_token;
    for _ in 0..4 {
        bench.entra.rotate_key().await.unwrap();
    }
    assert_eq!(bench.entra.jwks()["keys"].as_array().unwrap().len(), 5);
    assert!(bench.entra.verify(&token, &[ARM.to_owned()]).is_ok());
    bench.clock.set("2026-11-25T12:00:00Z".parse().unwrap());
    bench.entra.rotate_key().await.unwrap();
    assert_eq!(
        bench.entra.jwks()["keys"].as_array().unwrap().len(),
        2,
        "the last one stays beside the new one"
    );
}

/// Who can prove that it is the one has to, unless it says that it is a public client or is answered as one.
#[tokio::test]
async fn a_client_that_has_secrets_shows_one() {
    let (bench, _, admin) = Bench::administered().await;
    bench.entra.create_user("ada", "Ada", "Correct-Horse-1", true).await.unwrap();
    let upn = format!("ada@{}", bench.entra.domain());
    let scope = arm_scope();
    let replies = json!({"displayName": "x", "web": {"redirectUris": ["https://x.example/done"]},
        "publicClient": {"redirectUris": ["http://localhost"]}});
    let made = bench.done(&admin, "POST", "/applications", replies).await;
    let (id, app_id) = (made["id"].as_str().unwrap(), made["appId"].as_str().unwrap());
    bench.done(&admin, "POST", "/servicePrincipals", json!({"appId": app_id})).await;
    let password = async |secret: &str| {
        let mut form = vec![
            ("grant_type", "password"),
            ("client_id", app_id),
            ("username", upn.as_str()),
            ("password", "Correct-Horse-1"),
            ("scope", scope.as_str()),
        ];
        if !secret.is_empty() {
            form.push(("client_secret", secret));
        }
        let (status, body) = bench.token(&form).await;
        (status.as_u16(), body["error_codes"][0].as_u64(), body)
    };
    assert_eq!(password("").await.0, 200, "it has nothing to show");
    let secret = bench.done(&admin, "POST", &format!("/applications/{id}/addPassword"), json!({})).await;
    let secret = secret["secretText"].as_str().unwrap();
    let (status, number, body) = password("").await;
    assert_eq!((status, number, &body["error"]), (401, Some(7_000_218), &json!("invalid_client")));
    let (status, _, body) = password(secret).await;
    assert_eq!(status, 200, "{body}");
    let refresh = body["refresh_token"].as_str().unwrap();
    let renew = async |secret: &str, refresh: &str| {
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("client_id", app_id),
            ("refresh_token", refresh),
            ("scope", &scope),
        ];
        if !secret.is_empty() {
            form.push(("client_secret", secret));
        }
        let (status, body) = bench.token(&form).await;
        (status.as_u16(), body["error_codes"][0].as_u64())
    };
    assert_eq!(renew("", refresh).await, (401, Some(7_000_218)));
    assert_eq!(renew(secret, refresh).await, (200, None));

    let verifier = "a-verifier-that-is-long-enough-to-be-one-0123456789";
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    let by_code = async |reply: &str| {
        let fields = [
            ("client_id", app_id),
            ("response_type", "code"),
            ("redirect_uri", reply),
            ("scope", &scope),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("response_mode", "form_post"),
            ("username", &upn),
            ("password", "Correct-Horse-1"),
        ];
        let (_, page) = bench.call(Method::POST, "/organizations/oauth2/v2.0/authorize", &fields).await;
        let page = page.as_str().unwrap();
        let code = page.split("name=\"code\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", app_id),
            ("code", code),
            ("redirect_uri", reply),
            ("code_verifier", verifier),
            ("scope", &scope),
        ];
        let (status, body) = bench.token(&form).await;
        (status.as_u16(), body["error_codes"][0].as_u64(), body)
    };
    let web = by_code("https://x.example/done").await;
    assert_eq!((web.0, web.1), (401, Some(7_000_218)));
    let (status, _, body) = by_code("http://localhost:8412").await;
    assert_eq!(status, 200, "{body}");
    let public = body["refresh_token"].as_str().unwrap();
    assert_eq!(renew("", public).await, (200, None), "what was got without a proof is used without one");

    let fallback = json!({"isFallbackPublicClient": true});
    bench.done(&admin, "PATCH", &format!("/applications/{id}"), fallback).await;
    assert_eq!(password("").await.0, 200);
}
