//! Discovery, version, health.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Server, start, start_minor};

const AGGREGATED: &str =
    "accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

/// What `kubectl api-resources -o wide` prints of a default server of a minor version, one line a resource.
pub fn expected_resources(minor: &str) -> BTreeSet<String> {
    let text = match minor {
        "1.34" => include_str!("../expected/1.34.api-resources"),
        "1.35" => include_str!("../expected/1.35.api-resources"),
        _ => include_str!("../expected/1.36.api-resources"),
    };
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

/// What `kubectl api-versions` prints.
pub fn expected_versions(minor: &str) -> &'static str {
    match minor {
        "1.34" => include_str!("../expected/1.34.api-versions"),
        "1.35" => include_str!("../expected/1.35.api-versions"),
        _ => include_str!("../expected/1.36.api-versions"),
    }
}

fn words(list: &Value) -> String {
    let words: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if words.is_empty() { "-".to_owned() } else { words.join(",") }
}

/// Every group's lists, the core's first: version and resources.
async fn lists(server: &Server) -> Vec<(String, Value)> {
    let groups = server.get("/apis").await.ok();
    let mut found = vec![("v1".to_owned(), server.get("/api/v1").await.ok())];
    for group in groups["groups"].as_array().unwrap() {
        for version in group["versions"].as_array().unwrap() {
            let version = version["groupVersion"].as_str().unwrap();
            found.push((version.to_owned(), server.get(&format!("/apis/{version}")).await.ok()));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_what_a_default_server_serves_is_served() {
    for minor in api_model::model::MINORS {
        let server = start_minor(minor).await;
        let groups = server.get("/apis").await.ok();
        let preferred: BTreeSet<&str> = groups["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|group| group["preferredVersion"]["groupVersion"].as_str().unwrap())
            .chain(["v1"])
            .collect();
        let (mut resources, mut versions) = (BTreeSet::new(), BTreeSet::new());
        for (version, list) in lists(&server).await {
            assert_eq!(list["groupVersion"], version);
            versions.insert(version.clone());
            if !preferred.contains(version.as_str()) {
                continue;
            }
            for one in list["resources"].as_array().unwrap() {
                let name = one["name"].as_str().unwrap();
                if name.contains('/') {
                    continue;
                }
                let (kind, namespaced) = (one["kind"].as_str().unwrap(), &one["namespaced"]);
                let (short, verbs) = (words(&one["shortNames"]), words(&one["verbs"]));
                let categories = words(&one["categories"]);
                resources
                    .insert(format!("{name} {short} {version} {namespaced} {kind} {verbs} {categories}"));
            }
        }
        let expected = expected_resources(minor);
        assert_eq!(resources, expected, "{minor}");
        let versions: String = versions.iter().map(|version| format!("{version}\n")).collect();
        assert_eq!(versions, expected_versions(minor), "{minor}");
        let version = server.get("/version").await;
        assert_eq!(version.body["gitVersion"], format!("v{minor}.9"));
        assert_eq!(version.body["minor"], minor.trim_start_matches("1."));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_forms_of_discovery_say_the_same() {
    let server = start().await;
    let core = server.send("GET", "/api", &[AGGREGATED], Vec::new()).await.ok();
    let groups = server.send("GET", "/apis", &[AGGREGATED], Vec::new()).await.ok();
    let mut aggregated = Vec::new();
    for item in core["items"].as_array().unwrap().iter().chain(groups["items"].as_array().unwrap()) {
        let group = item["metadata"].get("name").and_then(Value::as_str).unwrap_or_default();
        for version in item["versions"].as_array().unwrap() {
            assert_eq!(version["freshness"], "Current");
            let number = version["version"].as_str().unwrap();
            let name = if group.is_empty() { number.to_owned() } else { format!("{group}/{number}") };
            let mut flat = Vec::new();
            for one in version["resources"].as_array().unwrap() {
                let kind = |of: &Value| (of["kind"].clone(), of["group"].clone(), of["version"].clone());
                let namespaced = one["scope"] == "Namespaced";
                let singular = one["singularResource"].clone();
                flat.push((
                    one["resource"].clone(),
                    kind(&one["responseKind"]),
                    namespaced,
                    one["verbs"].clone(),
                    singular,
                ));
                for sub in one["subresources"].as_array().into_iter().flatten() {
                    let path = format!(
                        "{}/{}",
                        one["resource"].as_str().unwrap(),
                        sub["subresource"].as_str().unwrap()
                    );
                    flat.push((
                        path.into(),
                        kind(&sub["responseKind"]),
                        namespaced,
                        sub["verbs"].clone(),
                        json!(""),
                    ));
                }
            }
            aggregated.push((name, flat));
        }
    }
    let mut plain = Vec::new();
    for (name, list) in lists(&server).await {
        // What is not said is nothing in both.
        let or_empty = |value: &Value| if value.is_null() { json!("") } else { value.clone() };
        let resources = list["resources"].as_array().unwrap().iter();
        let flat: Vec<_> = resources
            .map(|one| {
                let kind = (one["kind"].clone(), or_empty(&one["group"]), or_empty(&one["version"]));
                let singular = one["singularName"].clone();
                (one["name"].clone(), kind, one["namespaced"] == true, one["verbs"].clone(), singular)
            })
            .collect();
        plain.push((name, flat));
    }
    assert_eq!(aggregated, plain);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aggregated_discovery_is_asked_for_once() {
    let server = start().await;
    let all = server.send("GET", "/apis", &[AGGREGATED], Vec::new()).await;
    assert_eq!(
        all.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    assert_eq!(
        (&all.headers["vary"], &all.headers["cache-control"]),
        (&"Accept".parse().unwrap(), &"public".parse().unwrap())
    );
    let tag = all.headers["etag"].to_str().unwrap().to_owned();
    assert!(tag.starts_with('"') && tag.len() == 130, "{tag}");
    let known = format!("if-none-match: {tag}");
    let again = server.send("GET", "/apis", &[AGGREGATED, &known], Vec::new()).await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    let old = AGGREGATED.replace("v=v2", "v=v2beta1");
    assert_eq!(
        server.send("GET", "/apis", &[&old], Vec::new()).await.ok()["apiVersion"],
        "apidiscovery.k8s.io/v2beta1"
    );
    let binary =
        ["accept: application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"];
    let answer = server.send("GET", "/apis", &binary, Vec::new()).await;
    assert!(
        answer.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("application/vnd.kubernetes.protobuf;g=")
    );
    let model = api_model::Model::load("1.35").unwrap();
    let read = api_model::protobuf::decode(&model, &answer.bytes).unwrap();
    assert_eq!(read["items"].as_array().unwrap().len(), 20);
    // A new kind makes a new answer.
    let made = server.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", widgets()).await;
    assert_eq!(made.status, 201);
    let changed = server.send("GET", "/apis", &[AGGREGATED, &known], Vec::new()).await.ok();
    let last = changed["items"].as_array().unwrap().last().unwrap();
    assert_eq!(last["metadata"]["name"], "stable.example.com");
    let kind = json!({"group": "stable.example.com", "version": "v1", "kind": "Widget"});
    assert_eq!(last["versions"][0]["resources"][0]["responseKind"], kind);
}

pub fn widgets() -> Value {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "description": "What it is.", "properties": {
        "color": {"type": "string", "description": "Its color."}}}}});
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "schema": {"openAPIV3Schema": schema},
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.n", "statusReplicasPath": ".status.n"}}})
    };
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.stable.example.com"},
        "spec": {"group": "stable.example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [version("v1", true), version("v1beta1", false)]}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_tell_the_version_that_objects_are_stored_in() {
    let server = start().await;
    let made = server.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", widgets()).await;
    assert_eq!(made.status, 201);
    // Hashes as upstream answers them.
    let cases = [
        ("/api/v1", "pods", json!("xPOwRZ+Yhw8=")),
        ("/api/v1", "events", json!("r2yiGXH7wu8=")),
        ("/api/v1", "pods/status", Value::Null),
        ("/api/v1", "bindings", Value::Null),
        ("/api/v1", "componentstatuses", Value::Null),
        ("/apis/apps/v1", "deployments", json!("8aSe+NMegvE=")),
        ("/apis/events.k8s.io/v1", "events", json!("r2yiGXH7wu8=")),
        ("/apis/autoscaling/v1", "horizontalpodautoscalers", json!("qwQve8ut294=")),
        ("/apis/autoscaling/v2", "horizontalpodautoscalers", json!("qwQve8ut294=")),
        ("/apis/authentication.k8s.io/v1", "tokenreviews", Value::Null),
    ];
    for (path, name, hash) in cases {
        let list = server.get(path).await.ok();
        let one =
            list["resources"].as_array().unwrap().iter().find(|one| one["name"] == name).expect(name).clone();
        assert_eq!(one["storageVersionHash"], hash, "{path} {name}");
    }
    let list = |version: &'static str| {
        let server = &server;
        async move { server.get(&format!("/apis/stable.example.com/{version}")).await.ok()["resources"].clone() }
    };
    let (v1, old) = (list("v1").await, list("v1beta1").await);
    assert_eq!(v1[0]["storageVersionHash"], old[0]["storageVersionHash"]);
    assert!(v1[0]["storageVersionHash"].is_string());
    assert_eq!((&v1[1]["name"], &v1[2]["name"]), (&json!("widgets/status"), &json!("widgets/scale")));
    // The core list says no version of its own, as ever.
    assert_eq!(server.get("/api/v1").await.ok().get("apiVersion"), None);
    assert_eq!(server.get("/apis/apps/v1").await.ok()["apiVersion"], "v1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_served_is_told_in_other_forms_too() {
    let server = start().await;
    let model = api_model::Model::load("1.35").unwrap();
    for path in ["/api", "/apis", "/apis/apps", "/apis/apps/v1", "/api/v1"] {
        let plain = server.get(path).await;
        assert_eq!(plain.headers["cache-control"], "no-cache, private", "{path}");
        let plain = plain.ok();
        let binary =
            server.send("GET", path, &["accept: application/vnd.kubernetes.protobuf"], Vec::new()).await;
        assert_eq!(binary.headers["content-type"], "application/vnd.kubernetes.protobuf", "{path}");
        let read = api_model::protobuf::decode(&model, &binary.bytes).unwrap();
        assert_eq!(read["kind"], plain["kind"]);
        let first = |of: &Value, list: &str| of.get(list).map(|list| list[0]["name"].clone());
        for list in ["resources", "groups"] {
            assert_eq!(first(&read, list), first(&plain, list), "{path}");
        }
        let yaml = server.send("GET", path, &["accept: application/yaml"], Vec::new()).await;
        assert!(
            String::from_utf8_lossy(&yaml.bytes)
                .contains(&format!("kind: {}", plain["kind"].as_str().unwrap()))
        );
        server.send("GET", path, &["accept: text/html"], Vec::new()).await.refused(406);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_and_health_are_there() {
    let server = start().await;
    let version = server.get("/version").await;
    assert!(
        version
            .bytes
            .starts_with(b"{\n  \"major\": \"1\",\n  \"minor\": \"35\",\n  \"emulationMajor\": \"1\"")
    );
    let version = version.ok();
    assert_eq!(
        (&version["gitVersion"], &version["minCompatibilityMinor"]),
        (&json!("v1.35.6"), &json!("34"))
    );
    let ready = server.get("/readyz?verbose").await;
    assert!(String::from_utf8_lossy(&ready.bytes).ends_with("readyz check passed\n"));
    assert_eq!(server.get("/livez").await.bytes, "ok");
    assert_eq!(server.get("/.well-known/openid-configuration").await.ok()["issuer"], "https://issuer.test");
    assert!(server.get("/openid/v1/jwks").await.ok()["keys"].is_array());
    assert_eq!(server.get("/nonsense").await.status, 404);
    server.get("/api/v1/namespaces/default/nonsense").await.refused(404);
    let paths = server.get("/").await.ok();
    assert!(paths["paths"].as_array().unwrap().contains(&json!("/apis/autoscaling/v2")));
}
