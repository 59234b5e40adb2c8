//! Custom resources.

use serde_json::{Value, json};

use crate::harness::start;

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size"}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["color"], "properties": {
                        "color": {"type": "string"}, "size": {"type": "integer", "default": 3},
                    }},
                    "status": {"type": "object", "properties": {"size": {"type": "integer"}}},
                }}},
            }],
        },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_is_served_as_soon_as_it_is_there() {
    let server = start().await;
    assert_eq!(server.get(WIDGETS).await.status, 404);
    let made = server.post(DEFINITIONS, definition()).await.ok();
    assert_eq!(made["status"]["conditions"][1]["type"], "Established");
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"},
        "spec": {"color": "red", "odd": 1}, "status": {"size": 9}});
    let made = server.post(WIDGETS, widget.clone()).await.ok();
    assert_eq!(made["spec"], json!({"color": "red", "size": 3}), "pruned and defaulted");
    assert!(made.get("status").is_none());
    let mut wrong = widget;
    wrong["metadata"]["name"] = json!("wrong");
    wrong["spec"] = json!({"color": 7});
    server.post(WIDGETS, wrong).await.refused(422);
    assert_eq!(server.get(&format!("{WIDGETS}/w/scale")).await.ok()["spec"]["replicas"], 3);
    let patched =
        server.patch("merge", &format!("{WIDGETS}/w/status"), json!({"status": {"size": 2}})).await.ok();
    assert_eq!((&patched["status"]["size"], &patched["metadata"]["generation"]), (&json!(2), &json!(1)));
    let list = server.get(WIDGETS).await.ok();
    assert_eq!((&list["kind"], &list["items"][0]["kind"]), (&json!("WidgetList"), &json!("Widget")));
    let found = server.get("/apis/example.com/v1").await.ok();
    assert_eq!(found["resources"][0]["shortNames"], json!(["wd"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_objects_go_with_their_definition() {
    let server = start().await;
    server.post(DEFINITIONS, definition()).await.ok();
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"color": "red"}});
    server.post(WIDGETS, widget).await.ok();
    let path = format!("{DEFINITIONS}/widgets.example.com");
    let list = server.get(DEFINITIONS).await.ok();
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    let watch = http::Request::get(format!("{DEFINITIONS}?watch=true&resourceVersion={version}"))
        .body(kube::client::Body::empty())
        .unwrap();
    let mut events = server.client().send(watch).await.unwrap().into_body();
    server.delete(&path).await.ok();
    use http_body_util::BodyExt;
    let gone = async {
        while let Some(Ok(frame)) = events.frame().await {
            if String::from_utf8_lossy(frame.data_ref().unwrap()).contains("\"DELETED\"") {
                return;
            }
        }
        panic!("the watch ended");
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), gone).await.unwrap();
    assert_eq!(server.get(WIDGETS).await.status, 404);
}
