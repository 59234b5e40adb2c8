use std::time::Duration;

use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kit::clock::FixedClock;
use kit::pki::{Authority, Leaf, Usage};
use serde_json::json;

use super::*;
use crate::attributes::fake::Fake;
use crate::authz::Authorizer;

const DAY: Duration = Duration::from_secs(86_400);

struct World {
    authority: Authority,
    objects: Arc<Fake>,
    clock: FixedClock,
    authenticator: Authenticator,
}

fn world() -> World {
    let authority = Authority::new("ca", DAY * 30).unwrap();
    let objects = Fake::with_roles();
    let clock = FixedClock::new(Timestamp::now());
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let tokens = ServiceAccountTokens::new(&key, "https://issuer/", &[], shared.clone()).unwrap();
    let pem = authority.certificate_pem().to_owned();
    let authenticator = Authenticator::new(&pem, Arc::new(tokens), objects.clone(), &[], shared).unwrap();
    World { authority, objects, clock, authenticator }
}

fn connection(pem: Option<&str>) -> Connection {
    let chain = pem.map(|pem| kit::tls::certificates(pem).unwrap()).unwrap_or_default();
    let local = "127.0.0.1:1".parse().unwrap();
    Connection { peer: local, local, server_name: None, client_certificates: Arc::new(chain) }
}

fn certificate(authority: &Authority, usage: Usage) -> String {
    let leaf = Leaf {
        common_name: "system:node:n1".into(),
        organizations: vec!["system:nodes".into()],
        dns_names: Vec::new(),
        addresses: Vec::new(),
        usage,
        valid: DAY,
    };
    authority.issue(&leaf).unwrap().certificate_pem
}

impl World {
    async fn ask(&self, pem: Option<&str>, token: Option<&str>, path: &str) -> Result<UserInfo, u16> {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            headers.insert(http::header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        let connection = connection(pem);
        let found = self.authenticator.authenticate(&mut headers, Some(&connection), path).await;
        assert!(!headers.contains_key(http::header::AUTHORIZATION), "nobody behind needs the token");
        found.map(|known| known.user).map_err(|error| error.code)
    }
}

#[tokio::test]
async fn certificates_count_when_the_authority_signed_them_for_clients() {
    let world = world();
    let pem = certificate(&world.authority, Usage::Client);
    let user = world.ask(Some(&pem), None, "/api").await.unwrap();
    assert_eq!(user.name, "system:node:n1");
    assert_eq!(user.groups, ["system:nodes", AUTHENTICATED]);
    assert!(world.ask(Some(&pem), None, "/api").await.is_ok(), "remembered");
    let stranger = certificate(&Authority::new("ca", DAY).unwrap(), Usage::Client);
    assert_eq!(world.ask(Some(&stranger), None, "/api").await, Err(401));
    assert_eq!(world.ask(Some(&stranger), None, "/healthz").await, Err(401), "a wrong proof is not none");
    let server = certificate(&world.authority, Usage::Server);
    assert_eq!(world.ask(Some(&server), None, "/api").await, Err(401));
    world.clock.set(Timestamp::now() + jiff::SignedDuration::from_hours(48));
    assert_eq!(world.ask(Some(&pem), None, "/api").await, Err(401), "it has expired");
}

fn bootstrap_secret(changes: &[(&str, &str)]) -> serde_json::Value {
    let mut data = std::collections::BTreeMap::from([
        ("token-id", "abcdef"),
        ("token-secret", "0123456789abcdef"),
        ("usage-bootstrap-authentication", "true"),
        ("auth-extra-groups", "system:bootstrappers:nodes"),
        ("expiration", "2999-01-01T00:00:00Z"),
    ]);
    data.extend(changes.iter().copied());
    let data: serde_json::Map<String, Value> =
        data.into_iter().map(|(key, value)| (key.to_owned(), json!(STANDARD.encode(value)))).collect();
    json!({"metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
        "type": "bootstrap.kubernetes.io/token", "data": data})
}

#[tokio::test]
async fn bootstrap_tokens_must_be_whole_and_alive() {
    let world = world();
    let token = Some("abcdef.0123456789abcdef");
    assert_eq!(world.ask(None, token, "/api").await, Err(401));
    world.objects.put("", "secrets", bootstrap_secret(&[]));
    let user = world.ask(None, token, "/api").await.unwrap();
    assert_eq!(user.name, "system:bootstrap:abcdef");
    assert_eq!(user.groups, ["system:bootstrappers", "system:bootstrappers:nodes", AUTHENTICATED]);
    assert_eq!(world.ask(None, Some("abcdef.0123456789abcdeX"), "/api").await, Err(401));
    assert_eq!(world.ask(None, Some("abcdef.0123456789abcdee"), "/api").await, Err(401));
    let wrong = [
        ("expiration", "2001-01-01T00:00:00Z"),
        ("expiration", "soon"),
        ("usage-bootstrap-authentication", "false"),
        ("auth-extra-groups", "system:masters"),
        ("token-secret", ""),
    ];
    for change in wrong {
        world.objects.put("", "secrets", bootstrap_secret(&[change]));
        assert_eq!(world.ask(None, token, "/api").await, Err(401), "{change:?}");
    }
}

#[tokio::test]
async fn without_credentials_one_sees_health_only() {
    let world = world();
    for (path, fine) in [
        ("/healthz", true),
        ("/livez/ping", true),
        ("/readyz", true),
        ("/version", true),
        ("/api", false),
        ("/healthzz", false),
    ] {
        assert_eq!(world.ask(None, None, path).await.is_ok(), fine, "{path}");
    }
    let user = world.ask(None, None, "/healthz").await.unwrap();
    assert_eq!((user.name.as_str(), user.groups), (ANONYMOUS, vec![UNAUTHENTICATED.to_owned()]));
    let error = world.authenticator.authenticate(&mut HeaderMap::new(), None, "/api").await.unwrap_err();
    assert_eq!(error.status()["message"], "Unauthorized");
    assert_eq!(error.status()["reason"], "Unauthorized");
}

#[test]
fn impersonation_must_be_allowed() {
    let authorizer = Authorizer::new(Fake::with_roles());
    let headers = |list: &[(&'static str, &str)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    };
    let root = Arc::new(UserInfo::new("root", &[crate::authz::MASTERS]));
    let mut asked = headers(&[
        ("impersonate-user", "jane"),
        ("impersonate-group", "dev"),
        ("impersonate-extra-scopes", "view"),
        ("accept", "x"),
    ]);
    let user = impersonate(&mut asked, &root, &authorizer).unwrap().unwrap();
    assert_eq!(
        (user.name.as_str(), user.groups.as_slice()),
        ("jane", &["dev".to_owned(), AUTHENTICATED.to_owned()][..])
    );
    assert_eq!(user.extra["scopes"], ["view"]);
    assert_eq!(asked.len(), 1, "the headers are used up");
    let mut asked = headers(&[("impersonate-user", "system:serviceaccount:a:b")]);
    let user = impersonate(&mut asked, &root, &authorizer).unwrap().unwrap();
    assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:a", AUTHENTICATED]);
    let nobody = Arc::new(UserInfo::new("nobody", &[]));
    let error = impersonate(&mut headers(&[("impersonate-user", "jane")]), &nobody, &authorizer).unwrap_err();
    assert_eq!(
        error.message,
        "users \"jane\" is forbidden: User \"nobody\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
    );
    assert!(impersonate(&mut headers(&[("impersonate-group", "dev")]), &root, &authorizer).is_err());
    assert_eq!(impersonate(&mut headers(&[]), &nobody, &authorizer), Ok(None));
    let error = impersonate(&mut headers(&[("impersonate-group", "dev")]), &root, &authorizer).unwrap_err();
    assert!(error.message.ends_with("requested [{Group  dev    }] without impersonating a user"), "{error}");
    let mut asked = headers(&[("impersonate-user", "x"), ("impersonate-group", "system:unauthenticated")]);
    let user = impersonate(&mut asked, &root, &authorizer).unwrap().unwrap();
    assert_eq!(user.groups, [UNAUTHENTICATED], "who is said to be unauthenticated is not both");
}

/// A certificate with whatever subject, issued by the authority.
fn custom(authority: &Authority, attributes: &[(rcgen::DnType, &str)]) -> String {
    let key = rcgen::KeyPair::from_pem(authority.key_pem()).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(authority.certificate_pem(), key).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in attributes {
        params.distinguished_name.push(kind.clone(), *value);
    }
    params.signed_by(&rcgen::KeyPair::generate().unwrap(), &issuer).unwrap().pem()
}

#[tokio::test]
async fn a_certificate_may_carry_a_uid_and_names_itself_as_credential() {
    let world = world();
    let uid = rcgen::DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 57683, 2]);
    let pem = custom(&world.authority, &[(rcgen::DnType::CommonName, "jane"), (uid, "u-1")]);
    let user = world.ask(Some(&pem), None, "/api").await.unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("jane", "u-1"));
    assert!(user.extra["authentication.kubernetes.io/credential-id"][0].starts_with("X509SHA256="));
    let nameless = custom(&world.authority, &[(rcgen::DnType::OrganizationName, "dev")]);
    assert_eq!(world.ask(Some(&nameless), None, "/api").await, Err(401));
}

#[tokio::test]
async fn only_a_known_proxy_is_believed() {
    let mut world = world();
    let proxies = Authority::new("front-proxy", DAY).unwrap();
    let proxy = FrontProxy {
        authority_pem: proxies.certificate_pem().to_owned(),
        allowed_names: vec!["front-proxy-client".to_owned()],
    };
    world.authenticator =
        world.authenticator.with_front_proxy(&proxy, Arc::new(world.clock.clone())).unwrap();
    let ask = async |pem: &str| {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-remote-user", "jane"),
            ("x-remote-group", "dev"),
            ("x-remote-group", "ops"),
            ("x-remote-uid", "u"),
            ("x-remote-extra-scope%2fa", "view"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let found =
            world.authenticator.authenticate(&mut headers, Some(&connection(Some(pem))), "/api").await;
        assert!(headers.is_empty(), "what proxies say goes no further: {headers:?}");
        found.map(|known| known.user).map_err(|error| error.code)
    };
    let name = |name: &str| [(rcgen::DnType::CommonName, name.to_owned())];
    let of = |authority: &Authority, common_name: &str| {
        let [(kind, value)] = name(common_name);
        custom(authority, &[(kind, &value)])
    };
    let jane = ask(&of(&proxies, "front-proxy-client")).await.unwrap();
    assert_eq!((jane.name.as_str(), jane.uid.as_str()), ("jane", "u"));
    assert_eq!(jane.groups, ["dev", "ops", AUTHENTICATED]);
    assert_eq!(jane.extra["scope/a"], ["view"]);
    assert_eq!(ask(&of(&proxies, "somebody")).await, Err(401), "not one of the proxies");
    let client = ask(&of(&world.authority, "front-proxy-client")).await.unwrap();
    assert_eq!(client.name, "front-proxy-client", "a client of that name is no proxy");
}

#[tokio::test]
async fn a_browser_shows_its_token_as_a_subprotocol() {
    let world = world();
    world.objects.put("", "secrets", bootstrap_secret(&[]));
    let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode("abcdef.0123456789abcdef");
    let ask = async |protocols: &str| {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-protocol", protocols),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let found = world.authenticator.authenticate(&mut headers, None, "/api").await;
        let left = headers.get("sec-websocket-protocol").map(|left| left.to_str().unwrap().to_owned());
        (found.map(|known| known.user.name).map_err(|error| error.code), left)
    };
    let token = format!("base64url.bearer.authorization.k8s.io.{encoded}");
    let (user, left) = ask(&format!("{token}, v5.channel.k8s.io")).await;
    assert_eq!(
        (user, left.as_deref()),
        (Ok("system:bootstrap:abcdef".to_owned()), Some("v5.channel.k8s.io"))
    );
    let (user, left) = ask(&token).await;
    assert_eq!((user, left), (Err(401), None), "there must be something to choose");
}

#[tokio::test]
async fn what_is_no_bearer_token_counts_as_nothing() {
    let world = world();
    let mut headers = HeaderMap::new();
    headers.insert(http::header::AUTHORIZATION, "Basic eDp5".parse().unwrap());
    let found = world.authenticator.authenticate(&mut headers, None, "/healthz").await.unwrap();
    assert_eq!(found.user.name, ANONYMOUS);
}

#[tokio::test]
async fn a_token_without_audiences_is_for_the_server_itself() {
    let world = world();
    world.objects.put("", "secrets", bootstrap_secret(&[]));
    let ask = async |audiences: &[&str]| {
        let audiences: Vec<String> = audiences.iter().map(|one| (*one).to_owned()).collect();
        let found = world.authenticator.token("abcdef.0123456789abcdef", &audiences).await.unwrap();
        found.map(|found| found.audiences)
    };
    assert_eq!(ask(&[]).await, Some(vec!["https://issuer/".to_owned()]));
    assert_eq!(ask(&["https://issuer/", "other"]).await, Some(vec!["https://issuer/".to_owned()]));
    assert_eq!(ask(&["other"]).await, None);
}
