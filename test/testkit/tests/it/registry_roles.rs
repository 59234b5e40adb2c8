//! The registries' data plane: every route with every built-in role, without a token, with one of another tenant, and with
//! one for another repository.

use std::sync::Arc;

use http::Method;
use kit::http::{Connection, Service};
use providers::registry::{Accounts, Registry, RoleGate};
use serde_json::{Value, json};

use crate::read_back::World;
use crate::role_holders::{Holder, holders};

/// Of the empty object, which is stored.
const BLOB: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
/// Of nothing that is stored.
const NO_BLOB: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// A request, the action it needs below `Microsoft.ContainerRegistry/registries/`, and the data action it needs there where
/// repositories have rights of their own, if there is one. `BLOB` and `NONE` stand for digests.
const ROUTES: &[(&str, &str, &str, &str)] = &[
    ("GET", "/v2/_catalog", "pull/read", "catalog/read"),
    ("GET", "/acr/v1/_catalog", "pull/read", "catalog/read"),
    // No data action is about what is deleted: the action counts in both modes.
    ("GET", "/acr/v1/_deleted/_catalog", "deleted/read", ""),
    ("GET", "/acr/v1/_deleted/web/_tags", "deleted/read", ""),
    ("GET", "/acr/v1/_deleted/web/_manifests", "deleted/read", ""),
    ("POST", "/acr/v1/_deleted/web/_manifests/NONE", "deleted/restore/action", ""),
    ("GET", "/v2/web/tags/list", "pull/read", "repositories/metadata/read"),
    ("GET", "/v2/web/manifests/v1", "pull/read", "repositories/content/read"),
    ("HEAD", "/v2/web/manifests/v1", "pull/read", "repositories/content/read"),
    ("PUT", "/v2/web/manifests/v2", "push/write", "repositories/content/write"),
    ("DELETE", "/v2/web/manifests/NONE", "artifacts/delete", "repositories/content/delete"),
    ("GET", "/v2/web/blobs/BLOB", "pull/read", "repositories/content/read"),
    ("HEAD", "/v2/web/blobs/BLOB", "pull/read", "repositories/content/read"),
    ("DELETE", "/v2/web/blobs/NONE", "artifacts/delete", "repositories/content/delete"),
    ("POST", "/v2/web/blobs/uploads/", "push/write", "repositories/content/write"),
    ("POST", "/v2/more/blobs/uploads/?mount=BLOB&from=web", "push/write", "repositories/content/write"),
    ("GET", "/v2/web/blobs/uploads/x", "push/write", "repositories/content/write"),
    ("PATCH", "/v2/web/blobs/uploads/x", "push/write", "repositories/content/write"),
    ("PUT", "/v2/web/blobs/uploads/x", "push/write", "repositories/content/write"),
    ("DELETE", "/v2/web/blobs/uploads/x", "push/write", "repositories/content/write"),
    ("GET", "/v2/web/referrers/BLOB", "pull/read", "repositories/content/read"),
    ("GET", "/acr/v1/web", "pull/read", "repositories/metadata/read"),
    ("PATCH", "/acr/v1/web", "push/write", "repositories/metadata/write"),
    ("DELETE", "/acr/v1/none", "artifacts/delete", "repositories/content/delete"),
    ("GET", "/acr/v1/web/_tags", "pull/read", "repositories/metadata/read"),
    ("GET", "/acr/v1/web/_tags/v1", "pull/read", "repositories/metadata/read"),
    ("PATCH", "/acr/v1/web/_tags/v1", "push/write", "repositories/metadata/write"),
    ("DELETE", "/acr/v1/web/_tags/none", "artifacts/delete", "repositories/content/delete"),
    ("GET", "/acr/v1/web/_manifests", "pull/read", "repositories/metadata/read"),
    ("GET", "/acr/v1/web/_manifests/NONE", "pull/read", "repositories/metadata/read"),
    ("PATCH", "/acr/v1/web/_manifests/NONE", "push/write", "repositories/metadata/write"),
    ("DELETE", "/acr/v1/web/_manifests/NONE", "artifacts/delete", "repositories/content/delete"),
];

struct Directory(Arc<entra::Entra>);

impl Accounts for Directory {
    fn application(&self, id: &str, secret: &str) -> Option<String> {
        self.0.client_with_secret(id, secret)
    }
    fn is_machine(&self, _: &Connection) -> bool {
        false
    }
}

struct Bench {
    world: World,
    registry: Arc<Registry>,
}

impl Bench {
    async fn new() -> Self {
        let world = World::new().await;
        let dir = world.stack.state_dir().join("registry");
        let gate = RoleGate::new(world.stack.front.clone(), Directory(world.stack.entra.clone()));
        let registry = Registry::open(&dir, Arc::new(gate), Arc::new(world.stack.clock.clone())).unwrap();
        let bench = Self { world, registry };
        bench.mode("LegacyRegistryPermissions").await;
        bench
    }

    /// Makes the registry, or changes what roles mean in it.
    async fn mode(&self, mode: &str) {
        let path = format!("{}/providers/Microsoft.ContainerRegistry/registries/readback1", self.world.group);
        let body = json!({"location": "eastus", "sku": {"name": "Basic"}, "properties": {"roleAssignmentMode": mode}});
        let made = self.world.write(Method::PUT, &path, "2025-04-01", &body).await.unwrap();
        assert_eq!(made.body["properties"]["roleAssignmentMode"], mode);
    }

    async fn send(&self, authorization: Option<&str>, method: &str, path: &str, body: &str) -> (u16, Value) {
        let path = path.replace("BLOB", BLOB).replace("NONE", NO_BLOB);
        let mut request =
            http::Request::builder().method(method).uri(path).header("host", "readback1.azurecr.io");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let body = kit::http::full(body.to_owned());
        let (parts, body) = self.registry.call(request.body(body).unwrap()).await.into_parts();
        let bytes = kit::http::read(body, 1 << 20).await.unwrap();
        let said = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
        (parts.status.as_u16(), said)
    }

    /// Puts an image.
    async fn push(&self, authorization: &str) {
        let upload = "/v2/web/blobs/uploads/?digest=BLOB";
        assert_eq!(self.send(Some(authorization), "POST", upload, "{}").await.0, 201);
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": BLOB, "size": 2}});
        let put = self.send(Some(authorization), "PUT", "/v2/web/manifests/v1", &manifest.to_string()).await;
        assert_eq!(put.0, 201, "{}", put.1);
    }

    /// A token of the registry for a scope.
    async fn token(&self, entra_token: &str, scope: &str) -> (u16, Value) {
        let exchange =
            format!("grant_type=access_token&service=readback1.azurecr.io&access_token={entra_token}");
        let (status, said) = self.send(None, "POST", "/oauth2/exchange", &exchange).await;
        let Some(refresh) = said["refresh_token"].as_str() else { return (status, said) };
        let form = format!("grant_type=refresh_token&refresh_token={refresh}&scope={scope}");
        self.send(None, "POST", "/oauth2/token", &form).await
    }
}

fn bearer<'a>(bearers: &'a [String], holders: &[Holder], role: &str) -> &'a str {
    &bearers[holders.iter().position(|holder| holder.role == role).unwrap()]
}

#[tokio::test]
async fn every_role_opens_of_a_registry_what_it_says_and_nothing_else() {
    let bench = Bench::new().await;
    let holders = holders(&bench.world).await;
    let mut bearers = Vec::new();
    for holder in &holders {
        let token = holder.token(&bench.world, "https://management.azure.com").await;
        bearers.push(format!("Bearer {token}"));
    }
    bench.push(bearer(&bearers, &holders, "AcrPush")).await;
    let mut wrong = Vec::new();
    for (mode, by_repository, reader) in [
        ("LegacyRegistryPermissions", false, "AcrPull"),
        ("AbacRepositoryPermissions", true, "Container Registry Repository Reader"),
    ] {
        bench.mode(mode).await;
        let state = async || {
            let reader = Some(bearer(&bearers, &holders, reader));
            let mut found = Vec::new();
            for path in ["/acr/v1/web/_tags", "/acr/v1/web/_manifests", "/v2/more/tags/list"] {
                found.push(bench.send(reader, "GET", path, "").await);
            }
            found
        };
        let before = state().await;
        let mut round = async |allowed: bool| {
            for (holder, bearer) in holders.iter().zip(&bearers) {
                for (method, path, action, data_action) in ROUTES {
                    let full = |action: &str| format!("Microsoft.ContainerRegistry/registries/{action}");
                    let may = if by_repository && !data_action.is_empty() {
                        holder.may_data(&full(data_action))
                    } else {
                        holder.may(&full(action))
                    };
                    if may != allowed {
                        continue;
                    }
                    let (status, said) = bench.send(Some(bearer), method, path, "{}").await;
                    let refused =
                        status == 403 && (*method == "HEAD" || said["errors"][0]["code"] == "DENIED");
                    if refused == allowed || status == 401 || status >= 500 {
                        wrong.push(format!(
                            "{mode} {} {allowed}: {method} {path}: {status} {said}",
                            holder.role
                        ));
                    }
                }
            }
        };
        round(false).await;
        assert_eq!(state().await, before, "what is refused has no effect");
        round(true).await;
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn without_a_role_or_a_token_for_it_no_registry_opens() {
    let bench = Bench::new().await;
    let nobody = bench.world.stack.somebody("nobody").await.unwrap();
    let arm = "https://management.azure.com";
    let token = bench.world.stack.sign_in_as(&nobody.app_id, &nobody.secret, arm).await.unwrap();
    let graph = "https://graph.microsoft.com";
    let graph = bench.world.stack.sign_in_as(&nobody.app_id, &nobody.secret, graph).await.unwrap();
    let other = testkit::Stack::start().await.unwrap();
    let foreign = other.sign_in().await.unwrap();
    let owner = bench.world.stack.sign_in().await.unwrap();
    bench.push(&format!("Bearer {owner}")).await;
    // The owner's token, asked for another repository.
    let (status, said) = bench.token(&owner, "repository:elsewhere:*").await;
    assert_eq!(status, 200, "{said}");
    let elsewhere = said["access_token"].as_str().unwrap().to_owned();
    let basic = |name: &str, secret: &str| {
        use base64::Engine;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{name}:{secret}")))
    };
    let refused = [
        (None, 401),
        (Some("Bearer nonsense".to_owned()), 401),
        (Some(format!("Bearer {foreign}")), 401),
        (Some(format!("Bearer {graph}")), 401),
        (Some(format!("Bearer {elsewhere}")), 401),
        (Some(basic(&nobody.app_id, "wrong")), 401),
        (Some(basic("readback1", "wrong")), 401),
        (Some(basic("00000000-0000-0000-0000-000000000000", &foreign)), 401),
        (Some(format!("Bearer {token}")), 403),
        (Some(basic(&nobody.app_id, &nobody.secret)), 403),
    ];
    for (method, path, ..) in ROUTES {
        for (authorization, expected) in &refused {
            let (status, said) = bench.send(authorization.as_deref(), method, path, "{}").await;
            assert_eq!(status, *expected, "{method} {path} {authorization:?}: {said}");
        }
    }
    // Tokens of the registry are for who may have them.
    assert_eq!(bench.token(&foreign, "repository:web:pull").await.0, 401);
    assert_eq!(bench.token(&graph, "repository:web:pull").await.0, 401);
    assert_eq!(bench.token(&token, "repository:web:pull").await.0, 401);
    let owner = format!("Bearer {owner}");
    let tags = bench.send(Some(&owner), "GET", "/v2/web/tags/list", "").await.1;
    assert_eq!(tags, json!({"name": "web", "tags": ["v1"]}), "and nothing was changed");
    other.end().await.unwrap();
}
