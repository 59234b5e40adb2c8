//! Registries: their admin user, and images that go from one to another.

use std::sync::Arc;

use async_trait::async_trait;
use kit::http::{Connection, Service};
use providers::registry::{Action, AdminUsers, Gate, Principal, Registry, is_admin};
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
