//! Discovery, version, OpenAPI, health.

use crate::harness::start;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_forms_of_discovery_say_the_same() {
    let server = start().await;
    let core = server.get("/api/v1").await.ok();
    let pods = core["resources"].as_array().unwrap().iter().find(|one| one["name"] == "pods").unwrap();
    assert_eq!((&pods["kind"], &pods["namespaced"]), (&"Pod".into(), &true.into()));
    assert!(core["resources"].as_array().unwrap().iter().any(|one| one["name"] == "pods/status"));
    let groups = server.get("/apis").await.ok();
    assert!(groups["groups"].as_array().unwrap().iter().any(|one| one["name"] == "apps"));
    let apps = server.get("/apis/apps").await.ok();
    assert_eq!(apps["preferredVersion"]["groupVersion"], "apps/v1");
    let accept =
        ["accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"];
    let all = server.send("GET", "/apis", &accept, Vec::new()).await;
    assert_eq!(
        all.headers["content-type"],
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let tag = all.headers["etag"].to_str().unwrap().to_owned();
    let body = all.ok();
    let apps =
        body["items"].as_array().unwrap().iter().find(|one| one["metadata"]["name"] == "apps").unwrap();
    let deployments = apps["versions"][0]["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["resource"] == "deployments")
        .unwrap();
    assert_eq!(deployments["scope"], "Namespaced");
    assert!(deployments["subresources"].as_array().unwrap().iter().any(|one| one["subresource"] == "scale"));
    let known = [accept[0].to_owned(), format!("if-none-match: {tag}")];
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    assert_eq!(server.send("GET", "/apis", &known, Vec::new()).await.status, 304);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_health_and_documents_are_there() {
    let server = start().await;
    assert_eq!(server.get("/version").await.ok()["gitVersion"], "v1.35.6");
    let ready = server.get("/readyz?verbose").await;
    assert!(String::from_utf8_lossy(&ready.bytes).ends_with("readyz check passed\n"));
    assert_eq!(server.get("/livez").await.bytes, "ok");
    let index = server.get("/openapi/v3").await.ok();
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = server.get(url).await.ok();
    assert!(document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"].is_object());
    assert_eq!(server.get("/openapi/v2").await.ok()["swagger"], "2.0");
    assert_eq!(server.get("/.well-known/openid-configuration").await.ok()["issuer"], "https://issuer.test");
    assert!(server.get("/openid/v1/jwks").await.ok()["keys"].is_array());
    assert_eq!(server.get("/nonsense").await.status, 404);
    server.get("/api/v1/namespaces/default/nonsense").await.refused(404);
}
