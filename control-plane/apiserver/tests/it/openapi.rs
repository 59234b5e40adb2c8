//! The published documents: forms, tags, custom kinds.

use std::io::Read;

use serde_json::{Value, json};

use crate::discovery::widgets;
use crate::harness::{Server, start};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const BINARY: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

async fn url(server: &Server, path: &str) -> Option<String> {
    let index = server.get("/openapi/v3").await.ok();
    index["paths"][path]["serverRelativeURL"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_kept_by_their_hash() {
    let server = start().await;
    let here = url(&server, "apis/apps/v1").await.unwrap();
    let answer = server.get(&here).await;
    assert_eq!(answer.headers["cache-control"], "public, immutable");
    assert!(answer.headers["expires"].to_str().unwrap().ends_with(" GMT"));
    let tag = answer.headers["etag"].to_str().unwrap().to_owned();
    assert!(here.ends_with(tag.trim_matches('"')), "{here} {tag}");
    assert!(answer.ok()["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"].is_object());
    let known = format!("if-none-match: {tag}");
    assert_eq!(server.send("GET", &here, &[&known], Vec::new()).await.status, 304);
    // One that was is sent to the one that is.
    let stale = server.get("/openapi/v3/apis/apps/v1?hash=0").await;
    assert_eq!((stale.status, stale.headers["location"].to_str().unwrap()), (301, here.as_str()));
    let plain = server.get("/openapi/v3/apis/apps/v1").await;
    assert_eq!(plain.headers["cache-control"], "no-cache, private");
    assert_eq!(server.get("/openapi/v3/apis/none/v1").await.status, 404);
    server.send("GET", &here, &["accept: text/html"], Vec::new()).await.refused(406);
    for path in [
        "api",
        "api/v1",
        "apis",
        "apis/apps",
        "version",
        ".well-known/openid-configuration",
        "openid/v1/jwks",
    ] {
        let url = url(&server, path).await.expect(path);
        assert_eq!(server.get(&url).await.ok()["openapi"], "3.0.0", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_document_comes_in_both_forms() {
    let server = start().await;
    let plain = server.get("/openapi/v2").await;
    let tag = plain.headers["etag"].to_str().unwrap().to_owned();
    let plain = plain.ok();
    assert_eq!(plain["swagger"], "2.0");
    let zipped = server.send("GET", "/openapi/v2", &["accept-encoding: gzip"], Vec::new()).await;
    assert_eq!(zipped.headers["content-encoding"], "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&zipped.bytes[..]).read_to_string(&mut text).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), plain);
    let known = format!("if-none-match: {tag}");
    assert_eq!(server.send("GET", "/openapi/v2", &[&known], Vec::new()).await.status, 304);
    // As Go clients ask for it, then and now.
    for media in [BINARY, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"] {
        let accept = format!("accept: {media}");
        let binary = server.send("GET", "/openapi/v2", &[&accept, &known], Vec::new()).await;
        assert_eq!((binary.status, &binary.headers["content-type"]), (200, &BINARY.parse().unwrap()));
        assert!(binary.bytes.starts_with(b"\x0a\x032.0"), "swagger: 2.0 is its first field");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_kinds_are_published_and_nothing_else_changes() {
    let server = start().await;
    let before = url(&server, "apis/apps/v1").await;
    let old = server.get("/openapi/v2").await.headers["etag"].clone();
    assert_eq!(url(&server, "apis/stable.example.com/v1").await, None);
    assert_eq!(server.post(DEFINITIONS, widgets()).await.status, 201);
    let here = url(&server, "apis/stable.example.com/v1").await.expect("published");
    let name = "com.example.stable.v1.Widget";
    let document = server.get(&here).await.ok();
    let color = &document["components"]["schemas"][name]["properties"]["spec"]["properties"]["color"];
    assert_eq!(color["description"], "Its color.");
    assert_eq!(before, url(&server, "apis/apps/v1").await);
    let published = server.get("/openapi/v2").await;
    assert_ne!(published.headers["etag"], old);
    let published = published.ok();
    assert_eq!(
        published["definitions"][name]["properties"]["spec"]["properties"]["color"]["description"],
        "Its color."
    );
    assert!(
        published["paths"]["/apis/stable.example.com/v1/namespaces/{namespace}/widgets/{name}/scale"]
            .is_object()
    );
    let change = json!({"spec": {"versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
        {"type": "object", "properties": {"size": {"type": "integer", "description": "How large."}}}}}]}});
    let path = format!("{DEFINITIONS}/widgets.stable.example.com");
    assert_eq!(server.patch("merge", &path, change).await.status, 200);
    let there = url(&server, "apis/stable.example.com/v1").await.expect("published");
    assert_ne!(here, there);
    let document = server.get(&there).await.ok();
    assert_eq!(document["components"]["schemas"][name]["properties"]["size"]["description"], "How large.");
    assert_eq!(url(&server, "apis/stable.example.com/v1beta1").await, None);
}
