//! OpenAPI of extension API servers, among what this server publishes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::aggregation::{SERVICES, SLICES, Seen, extension_with, until};
use crate::harness::{Server, start};

const GVK: &str = "x-kubernetes-group-version-kind";

fn version_2() -> Value {
    json!({
        "swagger": "2.0", "info": {"title": "ext", "version": "v1"},
        "paths": {
            "/apis/ext.example.com/v1/things": {"get": {"operationId": "listThings", "produces": ["application/json"],
                "parameters": [{"$ref": "#/parameters/limit"}],
                "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/Thing"}}}}},
            "/apis/apps/v1/deployments": {"get": {"operationId": "notMine"}},
            "/version/": {"get": {"operationId": "notMineEither"}},
        },
        "definitions": {
            "Thing": {"type": "object", "properties": {"size": {"type": "integer"}, "metadata": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}},
                GVK: [{"group": "ext.example.com", "version": "v1", "kind": "Thing"}]},
            "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "object", "properties": {"odd": {"type": "string"}}},
            "Unused": {"type": "object"},
        },
        "parameters": {"limit": {"name": "limit", "in": "query", "type": "integer"}},
    })
}

fn common(path: &str) -> Option<Value> {
    Some(match path {
        "/apis" => json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": []}),
        "/apis/ext.example.com/v1" => {
            json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "ext.example.com/v1", "resources": [
            {"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing", "verbs": ["get", "list"]}]})
        }
        "/openapi/v2" => version_2(),
        _ => return None,
    })
}

fn modern(path: &str) -> Option<Value> {
    Some(match path {
        "/openapi/v3" => json!({"paths": {
            "apis/ext.example.com/v1": {"serverRelativeURL": "/openapi/v3/apis/ext.example.com/v1?hash=ABC"},
            "version": {"serverRelativeURL": "/openapi/v3/version?hash=DEF"}}}),
        "/openapi/v3/apis/ext.example.com/v1" => json!({"openapi": "3.0.0", "info": {"title": "ext"}}),
        _ => return common(path),
    })
}

/// A server with an extension that is there.
async fn with(answer: fn(&str) -> Option<Value>) -> (Server, Seen) {
    let server = start().await;
    let seen = Seen::default();
    let bundle = extension_with(&server, &seen, answer).await;
    let ports = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "ext"}, "spec": {"ports": [{"port": 443}]}});
    server.post("/api/v1/namespaces/default/services", ports).await.ok();
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "ext-1", "labels": {"kubernetes.io/service-name": "ext"}},
        "ports": [{"name": "", "port": 8443}], "endpoints": [{"addresses": ["10.244.0.7"], "nodeName": "n1"}]});
    server.post(SLICES, slice).await.ok();
    let service = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.ext.example.com"},
        "spec": {"group": "ext.example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100, "caBundle": bundle,
            "service": {"namespace": "default", "name": "ext"}}});
    server.post(SERVICES, service).await.ok();
    until(&server, "v1.ext.example.com", "Passed").await;
    (server, seen)
}

#[tokio::test]
async fn what_an_extension_publishes_is_merged_with_what_is_served_here() {
    let (server, _) = with(modern).await;
    let all = server.get("/openapi/v2").await.ok();
    let paths = &all["paths"];
    assert_eq!(paths["/apis/ext.example.com/v1/things"]["get"]["operationId"], "listThings");
    // What is served here is described here.
    assert_ne!(paths["/apis/apps/v1/deployments"]["get"]["operationId"], "notMine");
    assert_ne!(paths["/version/"]["get"]["operationId"], "notMineEither");
    let definitions = &all["definitions"];
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    let renamed = format!("{meta}_v2");
    assert_eq!(definitions["Thing"]["properties"]["metadata"]["$ref"], format!("#/definitions/{renamed}"));
    assert!(definitions[meta]["properties"]["labels"].is_object());
    assert_eq!(definitions[&renamed]["properties"], json!({"odd": {"type": "string"}}));
    assert!(definitions.get("Unused").is_none());
    let binary = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    let answer = server.send("GET", "/openapi/v2", &[&format!("accept: {binary}")], Vec::new()).await;
    assert_eq!(answer.status, 200);
    let contains = |text: &[u8]| answer.bytes.windows(text.len()).any(|window| window == text);
    assert!(contains(b"/apis/ext.example.com/v1/things") && contains(b"listThings"));

    let index = server.get("/openapi/v3").await.ok();
    let url = index["paths"]["apis/ext.example.com/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    assert_eq!(url, "/openapi/v3/apis/ext.example.com/v1?hash=ABC");
    assert!(!index["paths"]["version"]["serverRelativeURL"].as_str().unwrap().ends_with("DEF"));
    assert_eq!(server.get(&url).await.ok()["info"]["title"], "ext");

    // It goes with its registration, and its tag tells.
    let tag = server.get("/openapi/v2").await.headers["etag"].clone();
    server.delete(&format!("{SERVICES}/v1.ext.example.com")).await.ok();
    let gone = async {
        while server.get("/openapi/v2").await.body["paths"].get("/apis/ext.example.com/v1/things").is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.unwrap();
    assert_ne!(server.get("/openapi/v2").await.headers["etag"], tag);
    assert!(server.get("/openapi/v3").await.ok()["paths"].get("apis/ext.example.com/v1").is_none());
}

#[tokio::test]
async fn an_extension_that_knows_only_version_2_is_described_in_version_3() {
    let (server, seen) = with(common).await;
    let index = server.get("/openapi/v3").await.ok();
    let url = index["paths"]["apis/ext.example.com/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    seen.lock().clear();
    let document = server.get(&url).await.ok();
    assert!(seen.lock().iter().all(|(uri, ..)| !uri.starts_with("/openapi/v3/")), "it is made here");
    let answer = &document["paths"]["/apis/ext.example.com/v1/things"]["get"]["responses"]["200"];
    assert_eq!(answer["content"]["application/json"]["schema"]["$ref"], "#/components/schemas/Thing");
    assert_eq!(document["components"]["schemas"]["Thing"][GVK][0]["kind"], "Thing");
    assert!(document["paths"].get("/version/").is_none());
}
