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
        self.authenticator.authenticate(&headers, Some(&connection), path).await.map_err(|error| error.code)
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
    let error = world.authenticator.authenticate(&HeaderMap::new(), None, "/api").await.unwrap_err();
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
}
