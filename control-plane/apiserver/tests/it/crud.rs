//! create, get, update, delete; strictness, dry runs, conflicts.

use serde_json::json;

use crate::harness::{MAPS, PODS, deployment, map, pod, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_lives_and_dies() {
    let server = start().await;
    let made = server.post(MAPS, map("one")).await;
    assert_eq!(made.status, 201);
    let made = made.body;
    assert_eq!(made["data"]["a"], "1");
    assert_eq!(made["metadata"]["namespace"], "default");
    assert!(!made["metadata"]["uid"].as_str().unwrap().is_empty());
    assert!(!made["metadata"]["resourceVersion"].as_str().unwrap().is_empty());
    let path = format!("{MAPS}/one");
    assert_eq!(server.get(&path).await.ok(), made, "what was answered is what is stored");
    assert_eq!(server.post(MAPS, map("one")).await.refused(409), "configmaps \"one\" already exists");

    let mut changed = made.clone();
    changed["data"]["a"] = json!("2");
    let changed = server.put(&path, changed).await.ok();
    assert_ne!(changed["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    assert_eq!(changed["metadata"]["uid"], made["metadata"]["uid"]);
    let mut stale = made.clone();
    stale["data"]["a"] = json!("3");
    assert_eq!(
        server.put(&path, stale).await.refused(409),
        "Operation cannot be fulfilled on configmaps \"one\": the object has been modified; please apply your changes to the latest version and try again"
    );
    let again = server.put(&path, changed.clone()).await.ok();
    assert_eq!(
        again["metadata"]["resourceVersion"], changed["metadata"]["resourceVersion"],
        "no change, no write"
    );

    let gone = server.delete(&path).await.ok();
    assert_eq!(
        (&gone["kind"], &gone["status"], &gone["details"]["name"]),
        (&json!("Status"), &json!("Success"), &json!("one"))
    );
    let missing = server.get(&path).await;
    assert_eq!(missing.body["details"], json!({"name": "one", "kind": "configmaps"}));
    assert_eq!(missing.refused(404), "configmaps \"one\" not found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_name_the_group() {
    let server = start().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let made = server.post(path, deployment("web")).await.ok();
    assert_eq!(made["metadata"]["generation"], 1);
    let mut changed = made.clone();
    changed["spec"]["replicas"] = json!(5);
    let changed = server.put(&format!("{path}/web"), changed).await.ok();
    assert_eq!(changed["metadata"]["generation"], 2);
    let mut stale = made;
    stale["spec"]["replicas"] = json!(7);
    let message = server.put(&format!("{path}/web"), stale).await.refused(409);
    assert!(message.starts_with("Operation cannot be fulfilled on deployments.apps \"web\": the object"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_and_spec_are_written_apart() {
    let server = start().await;
    let path = "/apis/apps/v1/namespaces/default/deployments";
    let mut with_status = deployment("web");
    with_status["status"] = json!({"replicas": 9});
    let made = server.post(path, with_status).await.ok();
    assert_ne!(made["status"]["replicas"], 9);
    let mut status = made.clone();
    status["status"] = json!({"replicas": 2, "observedGeneration": 1});
    status["spec"]["replicas"] = json!(100);
    let written = server.put(&format!("{path}/web/status"), status).await.ok();
    assert_eq!((&written["status"]["replicas"], &written["spec"]["replicas"]), (&json!(2), &json!(2)));
    assert_eq!(written["metadata"]["generation"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_fields_are_said_or_refused() {
    let server = start().await;
    let mut odd = pod("odd");
    odd["spec"]["foo"] = json!(1);
    let warned = server.post(PODS, odd.clone()).await;
    let warning = warned.headers.get("warning").map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(warning.as_deref(), Some("299 - \"unknown field \\\"spec.foo\\\"\""));
    assert!(warned.ok()["spec"].get("foo").is_none());
    odd["metadata"]["name"] = json!("odd2");
    let strict = server.post(&format!("{PODS}?fieldValidation=Strict"), odd.clone()).await;
    assert_eq!(
        strict.refused(400),
        "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"spec.foo\""
    );
    let ignored = server.post(&format!("{PODS}?fieldValidation=Ignore"), odd).await;
    assert!(ignored.headers.get("warning").is_none());
    ignored.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_leaves_nothing() {
    let server = start().await;
    assert_eq!(server.post(&format!("{MAPS}?dryRun=All"), map("try")).await.status, 201);
    server.get(&format!("{MAPS}/try")).await.refused(404);
    server.post(MAPS, map("real")).await.ok();
    server.delete(&format!("{MAPS}/real?dryRun=All")).await.ok();
    server.get(&format!("{MAPS}/real")).await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_made_and_bodies_may_be_yaml() {
    let server = start().await;
    let mut unnamed = map("");
    unnamed["metadata"] = json!({"generateName": "gen-"});
    let made = server.post(MAPS, unnamed).await.ok();
    assert!(made["metadata"]["name"].as_str().unwrap().starts_with("gen-"));
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  k: v\n";
    let made = server.send("POST", MAPS, &["content-type: application/yaml"], yaml.into()).await.ok();
    assert_eq!(made["data"]["k"], "v");
    let shown = server.send("GET", &format!("{MAPS}/yaml"), &["accept: application/yaml"], Vec::new()).await;
    assert!(String::from_utf8_lossy(&shown.bytes).contains("k: v"));
    let unknown = ["content-type: application/cbor"];
    server.send("POST", MAPS, &unknown, b"\xd9\xd9\xf7".to_vec()).await.refused(415);
    server.send("GET", MAPS, &["accept: application/cbor"], Vec::new()).await.refused(406);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_are_sent_and_read_in_the_binary_form() {
    use api_model::protobuf::{decode, encode};
    const MEDIA: &str = "application/vnd.kubernetes.protobuf";
    let server = start().await;
    let model = api_model::Model::load("1.35").unwrap();
    let (send, accept) = (format!("content-type: {MEDIA}"), format!("accept: {MEDIA}"));
    let bytes = encode(&model, &map("binary")).unwrap();
    let made = server.send("POST", MAPS, &[&send, &accept], bytes).await;
    assert_eq!((made.status, made.headers["content-type"].as_bytes()), (201, MEDIA.as_bytes()));
    let shown = server.get(&format!("{MAPS}/binary")).await.ok();
    assert_eq!(shown["data"]["a"], "1");
    assert_eq!(decode(&model, &made.bytes).unwrap(), shown);

    let listed = server.send("GET", MAPS, &[&accept], Vec::new()).await;
    let listed = decode(&model, &listed.bytes).unwrap();
    assert_eq!((&listed["kind"], &listed["apiVersion"]), (&json!("ConfigMapList"), &json!("v1")));
    assert!(listed["items"].as_array().unwrap().iter().any(|item| item["metadata"] == shown["metadata"]));

    let watch = format!("{MAPS}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dbinary");
    let watched = server.send("GET", &watch, &[&format!("{accept};stream=watch")], Vec::new()).await;
    assert_eq!(watched.headers["content-type"], format!("{MEDIA};stream=watch"));
    let (length, event) = watched.bytes.split_at(4);
    assert_eq!(u32::from_be_bytes(length.try_into().unwrap()) as usize, event.len());
    assert!(event.starts_with(b"\x0a\x05ADDED"));
    let start = event.windows(4).position(|bytes| bytes == b"k8s\0").unwrap();
    assert_eq!(decode(&model, &event[start..]).unwrap(), shown);

    server.send("POST", MAPS, &[&send], b"{}".to_vec()).await.refused(400);
    let unknown = b"k8s\0\x0a\x15\x0a\x0bexample.com\x12\x06Widget".to_vec();
    server.send("POST", MAPS, &[&send], unknown).await.refused(415);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cluster_starts_with_its_objects() {
    let server = start().await;
    for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let found = server.get(&format!("/api/v1/namespaces/{namespace}")).await.ok();
        assert_eq!(found["status"]["phase"], "Active");
    }
    let service = server.get("/api/v1/namespaces/default/services/kubernetes").await.ok();
    assert_eq!(service["spec"]["clusterIP"], "10.0.0.1");
    server.get("/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_is_told_so() {
    let server = start().await;
    let nobody = server.api.client(apiserver::UserInfo::new("jane", &[]));
    let request = http::Request::get(MAPS).body(kube::client::Body::empty()).unwrap();
    let response = nobody.send(request).await.unwrap();
    assert_eq!(response.status(), 403);
    let bytes = response.into_body().collect_bytes().await.unwrap();
    let status: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        status["message"],
        "configmaps is forbidden: User \"jane\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
}
