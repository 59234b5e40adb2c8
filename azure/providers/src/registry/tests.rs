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
    async fn is_public(&self, repository: &str) -> bool {
        repository.ends_with("/public")
    }
    async fn secret(&self, _: &str, application: &str, secret: &str) -> Option<Principal> {
        (secret == "right").then(|| Principal { object_id: application.into(), name: application.into() })
    }
    async fn allows(&self, principal: &Principal, repository: &str, action: Action) -> bool {
        match principal.name.as_str() {
            "pusher" => true,
            "stranger" => false,
            "tenant" => repository.starts_with("one.azurecr.io/own/"),
            "node" => repository.starts_with("shop.azurecr.io/") && action == Action::Pull,
            _ => matches!(action, Action::Pull | Action::ReadMetadata | Action::List),
        }
    }
    fn is_open_to(&self, connection: &Connection, repository: &str) -> bool {
        connection.local.port() == 443 && !repository.contains(".azurecr.io/")
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
        ("DELETE", "/v2/", "reader", 405, "UNSUPPORTED"),
        ("POST", "/v2/web/tags/list", "pusher", 405, "UNSUPPORTED"),
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

async fn push(bench: &Bench, name: &str, tag: &str, config: &[u8]) -> String {
    let digest = store::digest(config);
    let put = format!("/v2/{name}/blobs/uploads/?digest={digest}");
    assert_eq!(bench.send("POST", &put, "pusher", config).await.0, 201);
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": config.len()}, "layers": []});
    let bytes = manifest.to_string().into_bytes();
    assert_eq!(bench.send("PUT", &format!("/v2/{name}/manifests/{tag}"), "pusher", &bytes).await.0, 201);
    digest
}

#[tokio::test]
async fn a_blob_is_only_there_where_it_was_put_or_mounted() {
    let bench = bench();
    let digest = push(&bench, "one", "v1", b"{\"a\":1}").await;
    let at = |name: &str| format!("/v2/{name}/blobs/{digest}");
    assert_eq!(bench.send("GET", &at("one"), "reader", b"").await.0, 200);
    assert_eq!(
        bench.send("GET", &at("two"), "reader", b"").await.0,
        404,
        "another repository does not have it"
    );
    let mount = |from: &str| format!("/v2/two/blobs/uploads/?mount={digest}&from={from}");
    assert_eq!(bench.send("POST", &mount("none"), "pusher", b"").await.0, 202, "an upload begins instead");
    let (status, headers, _) = bench.send("POST", &mount("one"), "pusher", b"").await;
    assert_eq!((status, headers["location"].to_str().unwrap()), (201, at("two").as_str()));
    assert_eq!(bench.send("HEAD", &at("two"), "reader", b"").await.0, 200);
    assert_eq!(bench.send("DELETE", &at("one"), "pusher", b"").await.0, 405, "its manifest names it");
    assert_eq!(bench.send("DELETE", &at("two"), "pusher", b"").await.0, 202);
    assert_eq!(bench.send("HEAD", &at("two"), "reader", b"").await.0, 404);
    assert_eq!(bench.send("HEAD", &at("one"), "reader", b"").await.0, 200);
}

#[tokio::test]
async fn a_repository_may_be_called_like_a_part_of_a_path() {
    let bench = bench();
    for name in ["web/manifests", "web/blobs", "web/tags", "referrers", "a/blobs/uploads/b"] {
        let digest = push(&bench, name, "v1", name.as_bytes()).await;
        for path in ["manifests/v1", "tags/list", &format!("blobs/{digest}"), &format!("referrers/{digest}")]
        {
            let (status, _, body) = bench.send("GET", &format!("/v2/{name}/{path}"), "reader", b"").await;
            assert_eq!(status, 200, "{name} {path}: {}", String::from_utf8_lossy(&body));
        }
    }
    assert_eq!(bench.send("GET", "/v2/web/others/v1", "reader", b"").await.0, 405);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let bench = bench();
    for tag in ["a", "b", "c", "d", "e"] {
        push(&bench, "web", tag, tag.as_bytes()).await;
    }
    for (first, member) in [
        ("/v2/web/tags/list?n=2", "tags"),
        ("/acr/v1/web/_tags?n=2", "tags"),
        ("/acr/v1/web/_manifests?n=2", "manifests"),
        ("/acr/v1/web/_tags?n=2&orderby=timedesc", "tags"),
    ] {
        let (mut path, mut count, mut pages) = (first.to_owned(), 0, 0);
        loop {
            let (status, headers, body) = bench.send("GET", &path, "reader", b"").await;
            assert_eq!(status, 200, "{path}");
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            count += body[member].as_array().unwrap().len();
            pages += 1;
            let Some(link) = headers.get("link") else { break };
            path = link.to_str().unwrap().split(['<', '>']).nth(1).unwrap().to_owned();
        }
        assert_eq!((count, pages), (5, 3), "{first}");
    }
    assert_eq!(bench.send("GET", "/v2/web/tags/list?n=x", "reader", b"").await.0, 400);
    assert_eq!(
        bench.send("GET", "/v2/web/tags/list?n=0", "reader", b"").await.2,
        br#"{"name":"web","tags":[]}"#
    );
}

#[tokio::test]
async fn a_locked_image_is_neither_changed_nor_deleted() {
    let bench = bench();
    push(&bench, "web", "v1", b"{}").await;
    let lock = br#"{"writeEnabled": false, "deleteEnabled": false}"#;
    assert_eq!(bench.send("PATCH", "/acr/v1/web/_tags/v1", "reader", lock).await.0, 403);
    let (status, _, body) = bench.send("PATCH", "/acr/v1/web/_tags/v1", "pusher", lock).await;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status, &body["tag"]["changeableAttributes"]["deleteEnabled"]),
        (200, &serde_json::json!(false))
    );
    for (method, path) in [
        ("DELETE", "/acr/v1/web/_tags/v1"),
        ("DELETE", "/v2/web/manifests/v1"),
        ("DELETE", "/acr/v1/web"),
        ("PUT", "/v2/web/manifests/v1"),
    ] {
        let (status, _, body) = bench.send(method, path, "pusher", b"{}").await;
        assert_eq!(status, 405, "{method} {path}: {}", String::from_utf8_lossy(&body));
    }
    assert_eq!(
        bench.send("PATCH", "/acr/v1/web/_tags/v1", "pusher", br#"{"deleteEnabled": "no"}"#).await.0,
        400
    );
    assert_eq!(
        bench.send("PATCH", "/acr/v1/web/_tags/v1", "pusher", br#"{"deleteEnabled": true}"#).await.0,
        200
    );
    assert_eq!(bench.send("DELETE", "/acr/v1/web", "pusher", b"").await.0, 202);
}

#[tokio::test]
async fn anybody_may_pull_what_is_public_and_do_nothing_else() {
    let bench = bench();
    push(&bench, "public", "v1", b"{}").await;
    for (method, path, status) in [
        ("GET", "/v2/public/manifests/v1", 200),
        ("GET", "/v2/private/manifests/v1", 401),
        ("PUT", "/v2/public/manifests/v1", 401),
        ("DELETE", "/v2/public/manifests/v1", 401),
        ("GET", "/v2/_catalog", 401),
    ] {
        assert_eq!(bench.send(method, path, "", b"{}").await.0, status, "{method} {path}");
    }
}

#[tokio::test]
async fn referrers_are_told_and_filtered_by_type() {
    let bench = bench();
    push(&bench, "web", "v1", b"{}").await;
    let (_, headers, _) = bench.send("GET", "/v2/web/manifests/v1", "reader", b"").await;
    let subject = headers["docker-content-digest"].to_str().unwrap().to_owned();
    let artifact = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "text/sbom",
        "config": {"mediaType": "x", "digest": store::digest(b"{}"), "size": 2}, "layers": [], "subject": {"digest": subject}});
    let (_, headers, _) =
        bench.send("PUT", "/v2/web/manifests/sbom", "pusher", artifact.to_string().as_bytes()).await;
    assert_eq!(headers["oci-subject"].to_str().unwrap(), subject);
    for (query, count) in [("", 1), ("?artifactType=text%2Fsbom", 1), ("?artifactType=other", 0)] {
        let (_, headers, body) =
            bench.send("GET", &format!("/v2/web/referrers/{subject}{query}"), "reader", b"").await;
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["manifests"].as_array().unwrap().len(), count, "{query}");
        assert_eq!(headers.contains_key("oci-filters-applied"), !query.is_empty());
    }
}

/// What a node's containerd does for `shop.azurecr.io/app`, through the registry in front of all.
#[tokio::test]
async fn a_node_pulls_from_a_registry_with_a_role_only() {
    let bench = bench();
    let (status, headers, _) = bench.send("HEAD", "/v2/app/manifests/1?ns=shop.azurecr.io", "", b"").await;
    let challenge = headers["www-authenticate"].to_str().unwrap();
    assert_eq!(status, 401);
    let realm = "Bearer realm=\"https://one.azurecr.io/oauth2/token?ns=shop.azurecr.io\"";
    assert!(challenge.starts_with(realm), "{challenge}");
    for (who, place, wanted) in [
        ("node", "?ns=shop.azurecr.io", 200),
        ("node", "?ns=other.azurecr.io", 401),
        ("node", "", 401),
        ("stranger", "?ns=shop.azurecr.io", 401),
        ("reader", "", 200),
    ] {
        let exchange = format!("grant_type=access_token&access_token={who}");
        let (status, _, body) = bench.send("POST", "/oauth2/exchange", "", exchange.as_bytes()).await;
        assert_eq!(status, 200, "{who}");
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let refresh = body["refresh_token"].as_str().unwrap();
        let form = format!("grant_type=refresh_token&refresh_token={refresh}&scope=repository:app:pull");
        let (status, _, body) =
            bench.send("POST", &format!("/oauth2/token{place}"), "", form.as_bytes()).await;
        assert_eq!(status, wanted, "{who} {place}");
        if wanted == 401 {
            let words =
                "authentication required, visit https://aka.ms/acr/authorization for more information.";
            assert!(String::from_utf8(body).unwrap().contains(words));
        }
    }
}

#[tokio::test]
async fn no_name_of_a_tag_or_manifest_leads_to_another_file() {
    let bench = bench();
    push(&bench, "web", "v1", b"{}").await;
    let key = bench.dir.join("token.key");
    let absolute = key.display().to_string();
    for below in ["_tags", "_manifests"] {
        for out in ["../../../../token.key", absolute.as_str(), "v1/../v1", "."] {
            for method in ["GET", "PATCH", "DELETE"] {
                let path = format!("/acr/v1/web/{below}/{out}");
                let (status, _, body) = bench.send(method, &path, "pusher", b"{}").await;
                assert_eq!(status, 400, "{method} {path}: {}", String::from_utf8_lossy(&body));
                assert!(key.is_file(), "{method} {path}");
            }
        }
    }
    // A manifest that names a file as if it were a manifest: it is not read.
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [{"digest": "/dev/zero"}]}).to_string();
    assert_eq!(bench.send("PUT", "/v2/web/manifests/v2", "pusher", index.as_bytes()).await.0, 400);
    assert_eq!(bench.send("PUT", "/v2/web/manifests/v2", "pusher", b"5").await.0, 400);
}

#[tokio::test]
async fn a_blob_is_mounted_from_the_registry_that_is_pushed_to_only() {
    let bench = bench();
    let secret = push(&bench, "web", "v1", b"{\"secret\":1}").await;
    // The client speaks to the first registry and pushes to the second.
    let mount = format!("/v2/web/blobs/uploads/?ns=two.azurecr.io&mount={secret}&from=web");
    assert_eq!(bench.send("POST", &mount, "pusher", b"").await.0, 202, "an upload begins instead");
    let there = format!("/v2/web/blobs/{secret}?ns=two.azurecr.io");
    assert_eq!(bench.send("GET", &there, "reader", b"").await.0, 404);
}

#[tokio::test]
async fn a_piece_whose_range_does_not_go_on_is_refused() {
    let bench = bench();
    let (_, headers, _) = bench.send("POST", "/v2/web/blobs/uploads/", "pusher", b"").await;
    let location = headers["location"].to_str().unwrap();
    for (range, expected) in
        [("1-2", 416), ("x", 416), ("", 416), ("0-1", 202), ("bytes 2-3", 202), ("3-4", 416)]
    {
        let request = http::Request::patch(location).header("host", "one.azurecr.io");
        let request = request.header("authorization", "Bearer pusher").header("content-range", range);
        let answer = bench.registry.call(request.body(full("ab")).unwrap()).await;
        assert_eq!(answer.status().as_u16(), expected, "{range}");
    }
}

#[test]
fn an_archive_that_holds_something_else_is_refused() {
    let bench = bench();
    let archive = |files: &[(&str, &str)]| {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_cksum();
            tar.append_data(&mut header, path, text.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    };
    let named = |name: &str, digest: &str| {
        serde_json::json!({"manifests": [{"digest": digest, "annotations": {"io.containerd.image.name": name}}]})
            .to_string()
    };
    // An index that lists itself.
    let circle = named("web:1", "sha256:a");
    let files = [("index.json", circle.as_str()), ("blobs/sha256/a", circle.as_str())];
    let refused = bench.registry.load_archive(&archive(&files), None);
    assert!(matches!(refused, Err(ArchiveError::Digest(_))), "{refused:?}");
    let digest = store::digest(b"{}");
    let path = format!("blobs/{}", digest.replace(':', "/"));
    for (name, fits) in [("one.azurecr.io/web:1", true), ("../web:1", false), ("a..b/web:1", false)] {
        let index = named(name, &digest);
        let files = [("index.json", index.as_str()), (path.as_str(), "{}")];
        assert_eq!(bench.registry.load_archive(&archive(&files), None).is_ok(), fits, "{name}");
    }
    assert_eq!(bench.registry.images().unwrap(), ["one.azurecr.io/web:1"]);
}

/// A token of the registry for a scope.
async fn token(bench: &Bench, who: &str, scope: &str) -> String {
    let exchange = format!("grant_type=access_token&access_token={who}");
    let (_, _, body) = bench.send("POST", "/oauth2/exchange", "", exchange.as_bytes()).await;
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let refresh = body["refresh_token"].as_str().unwrap();
    let form = format!("grant_type=refresh_token&refresh_token={refresh}&scope={scope}");
    let (status, _, body) = bench.send("POST", "/oauth2/token", "", form.as_bytes()).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    body["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_is_good_for_what_it_was_asked_for_only() {
    let bench = bench();
    let blob = push(&bench, "web", "v1", b"{}").await;
    push(&bench, "other", "v1", b"{}").await;
    let put = format!("/v2/web/blobs/uploads/?digest={blob}");
    let blob = format!("/v2/web/blobs/{blob}");
    for (scope, method, path, expected) in [
        ("repository:web:pull", "GET", "/v2/", 200),
        ("repository:web:pull", "GET", "/v2/web/manifests/v1", 200),
        ("repository:web:pull", "GET", blob.as_str(), 200),
        ("repository:web:pull", "GET", "/v2/web/tags/list", 200),
        ("repository:web:pull", "GET", "/v2/other/manifests/v1", 401),
        ("repository:web:pull", "GET", "/acr/v1/other/_tags", 401),
        ("repository:web:pull", "GET", "/v2/_catalog", 401),
        ("repository:web:pull", "POST", put.as_str(), 401),
        ("repository:web:metadata_read", "GET", "/acr/v1/web/_tags", 200),
        ("repository:web:metadata_read", "GET", "/v2/web/manifests/v1", 401),
        ("repository:web:metadata_read", "PATCH", "/acr/v1/web/_tags/v1", 401),
        ("repository:web:metadata_write", "PATCH", "/acr/v1/web/_tags/v1", 200),
        ("repository:web:pull,push", "POST", put.as_str(), 201),
        ("repository:web:pull,push", "DELETE", "/v2/web/manifests/v1", 401),
        ("registry:catalog:*", "GET", "/v2/_catalog", 200),
        ("registry:catalog:*", "GET", "/v2/web/manifests/v1", 401),
        ("", "GET", "/v2/", 200),
        ("", "GET", "/v2/web/manifests/v1", 401),
        ("repository:web:pull repository:other:pull", "GET", "/v2/other/manifests/v1", 200),
        ("repository:other:delete", "DELETE", "/v2/other/manifests/v1", 202),
    ] {
        let token = token(&bench, "pusher", scope).await;
        let (status, headers, body) = bench.send(method, path, &token, b"{}").await;
        assert_eq!(status, expected, "{scope} {method} {path}: {}", String::from_utf8_lossy(&body));
        let challenge = headers.get("www-authenticate").map(|text| text.to_str().unwrap().to_owned());
        assert_eq!(challenge.is_some_and(|c| c.ends_with("error=\"insufficient_scope\"")), expected == 401);
    }
    // What a reader asks for and may not have is not in the token.
    let reader = token(&bench, "reader", "repository:web:pull,push").await;
    assert_eq!(bench.send("GET", "/v2/web/manifests/v1", &reader, b"").await.0, 200);
    assert_eq!(bench.send("POST", &put, &reader, b"{}").await.0, 401);
}

#[tokio::test]
async fn what_may_not_be_read_is_not_mounted() {
    let bench = bench();
    let secret = push(&bench, "web", "v1", b"{\"secret\":1}").await;
    let mount = format!("/v2/own/copy/blobs/uploads/?mount={secret}&from=web");
    let there = format!("/v2/own/copy/blobs/{secret}");
    assert_eq!(bench.send("POST", &mount, "tenant", b"").await.0, 202, "an upload begins instead");
    assert_eq!(bench.send("GET", &there, "tenant", b"").await.0, 404);
    let narrow = token(&bench, "pusher", "repository:own/copy:pull,push").await;
    assert_eq!(bench.send("POST", &mount, &narrow, b"").await.0, 202, "the token is not for the source");
    let wide = token(&bench, "pusher", "repository:own/copy:pull,push repository:web:pull").await;
    assert_eq!(bench.send("POST", &mount, &wide, b"").await.0, 201);
    assert_eq!(bench.send("GET", &there, "tenant", b"").await.0, 200);
}

#[tokio::test]
async fn a_blob_comes_down_in_parts() {
    let bench = bench();
    let content: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let digest = store::digest(&content);
    let put = format!("/v2/web/blobs/uploads/?digest={digest}");
    assert_eq!(bench.send("POST", &put, "pusher", &content).await.0, 201);
    let path = format!("/v2/web/blobs/{digest}");
    let ask = async |range: &str, if_range: &str| {
        let request = http::Request::get(&path).header("host", "one.azurecr.io");
        let mut request = request.header("authorization", "Bearer reader").header("range", range);
        if !if_range.is_empty() {
            request = request.header("if-range", if_range);
        }
        let (parts, body) = bench.registry.call(request.body(full("")).unwrap()).await.into_parts();
        let told = parts.headers.get("content-range").map(|text| text.to_str().unwrap().to_owned());
        let length =
            parts.headers.get("content-length").map(|text| text.to_str().unwrap().parse::<usize>().unwrap());
        let bytes = kit::http::read(body, 1 << 20).await.unwrap().to_vec();
        assert!(length.is_none_or(|length| length == bytes.len()), "{range}: {length:?}");
        (parts.status.as_u16(), told.unwrap_or_default(), bytes)
    };
    let (status, told, bytes) = ask("bytes=100000-", "").await;
    assert_eq!((status, told.as_str()), (206, "bytes 100000-199999/200000"));
    assert_eq!(bytes, content[100_000..]);
    let (status, told, bytes) = ask("bytes=-5", &format!("\"{digest}\"")).await;
    assert_eq!(
        (status, told.as_str(), bytes.as_slice()),
        (206, "bytes 199995-199999/200000", &content[199_995..])
    );
    let (status, told, _) = ask("bytes=200000-", "").await;
    assert_eq!((status, told.as_str()), (416, "bytes */200000"));
    for (range, if_range) in [("bytes=0-1,5-6", ""), ("bytes=9-1", ""), ("bytes=0-1", "\"another\"")] {
        let (status, told, bytes) = ask(range, if_range).await;
        assert_eq!((status, told.as_str()), (200, ""), "{range}");
        assert_eq!(bytes, content, "{range}");
    }
}
