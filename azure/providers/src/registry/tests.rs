//! Push, pull, refusals, archives: through the service, as clients see it.

use super::*;
use async_trait::async_trait;
use kit::http::full;

struct OnlyOne;

#[async_trait]
impl Gate for OnlyOne {
    async fn bearer(&self, token: &str) -> Option<Principal> {
        (token != "wrong").then(|| Principal { object_id: token.into(), name: token.into() })
    }
    async fn secret(&self, application: &str, secret: &str) -> Option<Principal> {
        (secret == "right").then(|| Principal { object_id: application.into(), name: application.into() })
    }
    async fn allows(&self, principal: &Principal, _: &str, action: Action) -> bool {
        principal.name == "pusher" || action == Action::Pull
    }
    fn is_node(&self, connection: &Connection) -> bool {
        connection.local.port() == 443
    }
}

struct Bench {
    registry: Arc<Registry>,
    dir: std::path::PathBuf,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn bench() -> Bench {
    let dir = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
    let registry = Registry::open(&dir, Arc::new(OnlyOne), Arc::new(kit::SystemClock)).unwrap();
    Bench { registry, dir }
}

impl Bench {
    async fn send(
        &self,
        method: &str,
        path: &str,
        who: &str,
        body: &[u8],
    ) -> (u16, http::HeaderMap, Vec<u8>) {
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", "one.azurecr.io")
            .body(full(body.to_vec()))
            .unwrap();
        if !who.is_empty() {
            request.headers_mut().insert("authorization", format!("Bearer {who}").parse().unwrap());
        }
        let (parts, body) = self.registry.call(request).await.into_parts();
        let bytes = kit::http::read(body, 1 << 20).await.unwrap().to_vec();
        (parts.status.as_u16(), parts.headers, bytes)
    }
}

#[tokio::test]
async fn an_image_goes_up_in_pieces_and_comes_down_as_it_was() {
    let bench = bench();
    let layer = b"layer".to_vec();
    let (status, headers, _) = bench.send("POST", "/v2/web/blobs/uploads/", "pusher", b"").await;
    assert_eq!(status, 202);
    let location = headers["location"].to_str().unwrap().to_owned();
    assert_eq!(bench.send("PATCH", &location, "pusher", &layer[..2]).await.0, 202);
    let digest = store::digest(&layer);
    let (status, ..) = bench.send("PUT", &format!("{location}?digest={digest}"), "pusher", &layer[2..]).await;
    assert_eq!(status, 201);
    let config = store::digest(b"{}");
    let path = format!("/v2/web/blobs/uploads/?digest={config}");
    assert_eq!(bench.send("POST", &path, "pusher", b"{}").await.0, 201);
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"digest": config}, "layers": [{"digest": digest}]}))
    .unwrap();
    assert_eq!(bench.send("PUT", "/v2/web/manifests/1", "pusher", &manifest).await.0, 201);
    let (status, headers, bytes) = bench.send("GET", "/v2/web/manifests/1", "reader", b"").await;
    assert_eq!((status, bytes), (200, manifest));
    assert_eq!(headers["content-type"], "application/vnd.oci.image.manifest.v1+json");
    let (status, _, bytes) = bench.send("GET", &format!("/v2/web/blobs/{digest}"), "reader", b"").await;
    assert_eq!((status, bytes), (200, layer));
    let (_, _, tags) = bench.send("GET", "/v2/web/tags/list", "reader", b"").await;
    assert_eq!(tags, br#"{"name":"web","tags":["1"]}"#);
    assert_eq!(bench.registry.images().unwrap(), ["one.azurecr.io/web:1"]);
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_the_native_form() {
    let bench = bench();
    for (method, path, who, expected, code) in [
        ("GET", "/v2/", "", 401, "UNAUTHORIZED"),
        ("GET", "/v2/web/manifests/1", "wrong", 401, "UNAUTHORIZED"),
        ("GET", "/v2/web/manifests/1", "reader", 404, "MANIFEST_UNKNOWN"),
        ("PUT", "/v2/web/manifests/1", "reader", 403, "DENIED"),
        ("PUT", "/v2/web/manifests/1", "pusher", 400, "MANIFEST_INVALID"),
        ("GET", "/v2/Web/manifests/1", "reader", 400, "NAME_INVALID"),
        ("GET", "/v2/../x/manifests/1", "reader", 400, "NAME_INVALID"),
        ("GET", "/v2/web/manifests/..", "reader", 400, "TAG_INVALID"),
        ("GET", "/v2/web/blobs/sha256:12", "reader", 400, "DIGEST_INVALID"),
        ("PATCH", "/v2/web/blobs/uploads/none", "pusher", 404, "BLOB_UPLOAD_UNKNOWN"),
    ] {
        let (status, _, body) = bench.send(method, path, who, b"x").await;
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, expected, "{method} {path}: {body}");
        assert!(body.contains(code), "{method} {path}: {body}");
    }
}

#[test]
fn names_get_dockers_defaults() {
    for (name, expected) in [
        ("busybox", "docker.io/library/busybox:latest"),
        ("me/app:2", "docker.io/me/app:2"),
        ("one.azurecr.io/web:1", "one.azurecr.io/web:1"),
        ("localhost:5000/web", "localhost:5000/web:latest"),
    ] {
        let (repository, tag) = archive::split(name).unwrap();
        assert_eq!(format!("{repository}:{tag}"), expected);
    }
    assert!(archive::split("Bad Name").is_err());
}

#[tokio::test]
async fn azures_view_lists_tags_and_manifests_and_deletes() {
    let bench = bench();
    let config = b"{}";
    let digest = store::digest(config);
    let put = format!("/v2/web/blobs/uploads/?digest={digest}");
    assert_eq!(bench.send("POST", &put, "pusher", config).await.0, 201);
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2}, "layers": []});
    let bytes = manifest.to_string().into_bytes();
    assert_eq!(bench.send("PUT", "/v2/web/manifests/v1", "pusher", &bytes).await.0, 201);
    let mut signature = manifest.clone();
    signature["subject"] = serde_json::json!({"digest": store::digest(&bytes)});
    assert_eq!(
        bench.send("PUT", "/v2/web/manifests/sig", "pusher", signature.to_string().as_bytes()).await.0,
        201
    );
    let read = async |path: &str| {
        let (status, _, body) = bench.send("GET", path, "puller", b"").await;
        (status, serde_json::from_slice::<serde_json::Value>(&body).unwrap())
    };
    let (_, tags) = read("/acr/v1/web/_tags").await;
    assert_eq!(tags["tags"][1]["name"], "v1");
    assert_eq!(read("/acr/v1/web").await.1["manifestCount"], 2);
    let (_, index) = read(&format!("/v2/web/referrers/{}", store::digest(&bytes))).await;
    assert_eq!(index["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(bench.send("DELETE", "/acr/v1/web", "puller", b"").await.0, 403);
    assert_eq!(bench.send("DELETE", "/acr/v1/web", "pusher", b"").await.0, 202);
    assert_eq!(read("/acr/v1/web/_tags").await.0, 404);
    assert_eq!(
        bench.send("GET", "/v2/web/manifests/v1?ns=..", "puller", b"").await.0,
        400,
        "no way out of the store"
    );
}
