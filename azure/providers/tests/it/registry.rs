//! Registries: their admin user, and images that go from one to another.

use std::sync::Arc;

use async_trait::async_trait;
use kit::http::{Connection, Service};
use providers::registry::{Accounts, Action, AdminUsers, Gate, Principal, Registry, RoleGate, is_admin};
use serde_json::{Value, json};

use crate::world::{World, id};

const REGISTRY: &str = "Microsoft.ContainerRegistry/registries";

struct Open;

#[async_trait]
impl Gate for Open {
    async fn bearer(&self, token: &str) -> Option<Principal> {
        Some(Principal { object_id: token.into(), name: token.into() })
    }
    async fn secret(&self, _: &str, _: &str, _: &str) -> Option<Principal> {
        None
    }
    async fn is_public(&self, _: &str) -> bool {
        false
    }
    async fn allows(&self, _: &Principal, _: &str, _: Action) -> bool {
        true
    }
    fn is_open_to(&self, _: &Connection, _: &str) -> bool {
        false
    }
}

async fn made(world: &World, name: &str) -> String {
    let path = id(REGISTRY, name);
    world.put(&path, json!({ "location": "eastus", "sku": { "name": "Basic" } })).await.unwrap();
    path
}

/// A request to the registry `host`.
async fn send(registry: &Registry, method: &str, url: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let (host, path) = url.split_once('/').unwrap();
    let request = http::Request::builder()
        .method(method)
        .uri(format!("/{path}"))
        .header("host", host)
        .header("authorization", "Bearer me")
        .body(kit::http::full(body.to_vec()))
        .unwrap();
    let (parts, body) = registry.call(request).await.into_parts();
    (parts.status.as_u16(), kit::http::read(body, 1 << 20).await.unwrap().to_vec())
}

#[tokio::test]
async fn an_image_goes_from_one_registry_to_another() {
    let world = World::new().await;
    let (one, two) = (made(&world, "onereg").await, made(&world, "tworeg").await);
    let registry =
        Registry::open(&world.dir.path().join("registry"), Arc::new(Open), Arc::new(kit::SystemClock))
            .unwrap();
    let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let upload = format!("onereg.azurecr.io/v2/web/blobs/uploads/?digest={digest}");
    assert_eq!(send(&registry, "POST", &upload, b"{}").await.0, 201);
    let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2 } });
    let put =
        send(&registry, "PUT", "onereg.azurecr.io/v2/web/manifests/v1", manifest.to_string().as_bytes())
            .await;
    assert_eq!(put.0, 201);
    let path = format!("{two}/importImage");
    let import = async |body: Value| world.post(&path, body).await;
    let source = json!({ "resourceId": one, "sourceImage": "web:v1" });
    import(json!({ "source": source, "targetTags": ["copies/web:v2"] })).await.unwrap();
    for path in ["manifests/v2".to_owned(), format!("blobs/{digest}")] {
        assert_eq!(
            send(&registry, "GET", &format!("tworeg.azurecr.io/v2/copies/web/{path}"), b"").await.0,
            200,
            "{path}"
        );
    }
    for (body, code) in [
        (json!({ "source": source, "targetTags": ["copies/web:v2"] }), "Conflict"),
        (json!({ "source": { "resourceId": one, "sourceImage": "web:none" } }), "InvalidParameters"),
        (
            json!({ "source": { "registryUri": "docker.io", "sourceImage": "library/none:1" } }),
            "InvalidParameters",
        ),
        (json!({ "source": { "registryUri": "..", "sourceImage": "x" } }), "InvalidParameters"),
        (json!({ "source": { "sourceImage": "web:v1" } }), "InvalidParameters"),
        (json!({ "source": { "resourceId": one, "sourceImage": "../web" } }), "InvalidParameters"),
    ] {
        let error = import(body.clone()).await.unwrap_err();
        assert_eq!(error.code, code, "{body}: {}", error.message);
    }
    import(json!({ "source": source, "targetTags": ["copies/web:v2"], "mode": "Force" })).await.unwrap();
    let usages = world.get(&format!("{two}/listUsages")).await;
    assert!(usages["value"][0]["currentValue"].as_u64().unwrap() > 100, "{usages}");
}

#[tokio::test]
async fn the_admin_user_may_as_long_as_it_is_enabled() {
    let world = World::new().await;
    let path = made(&world, "adminreg").await;
    let resources = world.front.resources();
    let admin = AdminUsers::of(resources);
    let list = async || world.post(&format!("{path}/listCredentials"), json!({})).await;
    assert_eq!(list().await.unwrap_err().code, "UnauthorizedForCredentialOperations");
    let enable = |on: bool| json!({ "location": "eastus", "sku": { "name": "Basic" }, "properties": { "adminUserEnabled": on } });
    world.put(&path, enable(true)).await.unwrap();
    let shown = list().await.unwrap();
    let password = shown["passwords"][0]["value"].as_str().unwrap().to_owned();
    assert_eq!((shown["username"].as_str(), password.len()), (Some("adminreg"), 52));
    let sign_in = |password: &str| admin.sign_in(resources, "adminreg.azurecr.io", "adminreg", password);
    let principal = sign_in(&password).unwrap();
    assert!(sign_in("wrong").is_none() && sign_in(&password.replace(&password[..1], "#")).is_none());
    assert_eq!(is_admin(resources, &principal, "adminreg.azurecr.io/web"), Some(true));
    assert_eq!(is_admin(resources, &principal, "other.azurecr.io/web"), Some(false));
    let someone = Principal { object_id: "x".into(), name: "x".into() };
    assert_eq!(is_admin(resources, &someone, "adminreg.azurecr.io/web"), None);
    let renew =
        world.post(&format!("{path}/regenerateCredential"), json!({ "name": "password" })).await.unwrap();
    assert_ne!(renew["passwords"][0]["value"], json!(password));
    assert_eq!(renew["passwords"][1], shown["passwords"][1]);
    assert!(sign_in(&password).is_none());
    world.put(&path, enable(false)).await.unwrap();
    assert_eq!(is_admin(resources, &principal, "adminreg.azurecr.io/web"), Some(false), "at once");
    assert!(sign_in(renew["passwords"][0]["value"].as_str().unwrap()).is_none());
}

struct Nobody;

impl Accounts for Nobody {
    fn application(&self, _: &str, _: &str) -> Option<String> {
        None
    }
    fn is_machine(&self, _: &Connection) -> bool {
        false
    }
}

/// What docker does with the name and password of a token.
#[tokio::test]
async fn a_token_may_in_its_repositories_what_its_map_says() {
    use base64::Engine;
    let world = World::new().await;
    let path = made(&world, "tokenreg").await;
    let other = made(&world, "otherreg").await;
    let gate = RoleGate::new(world.front.clone(), Nobody);
    let dir = world.dir.path().join("registry");
    let registry = Registry::open(&dir, Arc::new(gate), Arc::new(kit::SystemClock)).unwrap();
    let map = format!("{path}/scopeMaps/team-web");
    let actions = |list: &[&str]| json!({ "properties": { "actions": list } });
    for wrong in [
        actions(&[]),
        actions(&["repositories/web/read"]),
        actions(&["repositories/Web/content/read"]),
        json!({ "properties": {} }),
    ] {
        assert_eq!(world.put(&map, wrong.clone()).await.unwrap_err().code, "InvalidParameter", "{wrong}");
    }
    world
        .put(&map, actions(&["repositories/team/web/content/read", "repositories/team/web/content/write"]))
        .await
        .unwrap();
    assert_eq!(world.get(&format!("{path}/scopeMaps")).await["value"].as_array().unwrap().len(), 6);
    assert!(
        world
            .put(&format!("{path}/scopeMaps/_repositories_pull"), actions(&["repositories/web/content/read"]))
            .await
            .is_err()
    );

    let token = format!("{path}/tokens/builder");
    let with = |map: &str, status: &str| json!({ "properties": { "scopeMapId": map, "status": status } });
    for wrong in [
        with(&format!("{other}/scopeMaps/_repositories_pull"), "enabled"),
        with(&format!("{path}/scopeMaps/none1"), "enabled"),
        with(&map, "on"),
    ] {
        assert!(world.put(&token, wrong.clone()).await.is_err(), "{wrong}");
    }
    world.put(&token, with(&map, "enabled")).await.unwrap();
    let generate = async |body: Value| world.post(&format!("{path}/generateCredentials"), body).await;
    let made = generate(json!({ "tokenId": token })).await.unwrap();
    assert_eq!(
        (made["username"].as_str(), made["passwords"].as_array().unwrap().len()),
        (Some("builder"), 2)
    );
    let password = made["passwords"][0]["value"].as_str().unwrap().to_owned();
    let shown = world.get(&token).await;
    assert_eq!(shown["properties"]["credentials"]["passwords"][1]["name"], "password2");
    assert!(!shown.to_string().contains(&password), "a password is told once");

    let ask = async |password: &str, method: &str, host: &str, path: &str| {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("builder:{password}"));
        let request = http::Request::builder().method(method).uri(path).header("host", host);
        let request = request.header("authorization", format!("Basic {basic}"));
        registry.call(request.body(kit::http::full("{}")).unwrap()).await.status().as_u16()
    };
    let host = "tokenreg.azurecr.io";
    let digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let upload = |name: &str| format!("/v2/{name}/blobs/uploads/?digest={digest}");
    for (method, host, path, expected) in [
        ("GET", host, "/v2/", 200),
        ("POST", host, upload("team/web").as_str(), 201),
        ("GET", host, format!("/v2/team/web/blobs/{digest}").as_str(), 200),
        ("POST", host, upload("team/other").as_str(), 403),
        ("GET", host, "/v2/team/other/manifests/v1", 403),
        ("GET", host, "/acr/v1/team/web/_tags", 403),
        ("DELETE", host, "/v2/team/web/manifests/v1", 403),
        ("GET", host, "/v2/_catalog", 403),
        ("GET", "otherreg.azurecr.io", "/v2/team/web/manifests/v1", 401),
    ] {
        assert_eq!(ask(&password, method, host, path).await, expected, "{method} {host} {path}");
    }
    assert_eq!(ask("wrong", "GET", host, "/v2/").await, 401);
    let blob = format!("/v2/team/web/blobs/{digest}");

    // Another password, one that is over, one that is taken away, a token that is disabled, a map that is gone.
    let renewed = generate(json!({ "tokenId": token, "name": "password1" })).await.unwrap();
    let renewed = renewed["passwords"][0]["value"].as_str().unwrap().to_owned();
    assert_eq!(
        (ask(&password, "GET", host, &blob).await, ask(&renewed, "GET", host, &blob).await),
        (401, 200)
    );
    assert!(generate(json!({ "tokenId": token, "expiry": "2020-01-01T00:00:00Z" })).await.is_err());
    assert!(generate(json!({ "tokenId": format!("{other}/tokens/builder") })).await.is_err());
    let keep = json!({ "properties": { "credentials": { "passwords": [{ "name": "password2" }] } } });
    world.owner().patch(&token, "2023-07-01", keep).await.unwrap();
    assert_eq!(ask(&renewed, "GET", host, &blob).await, 401);
    let second = made["passwords"][1]["value"].as_str().unwrap();
    assert_eq!(ask(second, "GET", host, &blob).await, 200);
    world.put(&token, with(&map, "disabled")).await.unwrap();
    assert_eq!(ask(second, "GET", host, &blob).await, 401);
    world.put(&token, with(&map, "enabled")).await.unwrap();
    world.delete(&map).await.unwrap();
    assert_eq!(ask(second, "GET", host, &blob).await, 403);
    world.delete(&token).await.unwrap();
    assert_eq!(ask(second, "GET", host, "/v2/").await, 401);
}
