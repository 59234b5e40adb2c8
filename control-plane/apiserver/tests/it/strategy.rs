//! What a write may change, kind by kind: status and spec apart, generations, and what the server counts itself.

use api_model::Resource;
use serde_json::{Value, json};

use crate::harness::{PODS, Server, pod, start};

/// A good object of every kind, as the rules of the model have it.
fn good_objects(model: &api_model::Model) -> Vec<(Resource, Value)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../api-model/tests/validation");
    let mut found: Vec<(Resource, Value)> = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let mut kind = ("", "");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("kind ") {
                kind = rest.split_once(' ').unwrap();
            } else if let Some(base) = line.strip_prefix("base ") {
                // A kind of another minor version.
                if kind.0.contains(':') {
                    continue;
                }
                let group = kind.0.split('@').next().unwrap().replace("core", "");
                let of = model
                    .resources()
                    .iter()
                    .find(|r| (r.group.as_str(), r.plural.as_str()) == (&group, kind.1));
                let of = of.unwrap();
                if found.iter().all(|(had, _)| (&had.group, &had.plural) != (&of.group, &of.plural)) {
                    found.push((of.clone(), serde_yaml_ng::from_str(base).unwrap()));
                }
            }
        }
    }
    found
}

fn collection(r: &Resource) -> String {
    let root =
        if r.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}/{}", r.group, r.version) };
    if r.namespaced {
        format!("{root}/namespaces/default/{}", r.plural)
    } else {
        format!("{root}/{}", r.plural)
    }
}

/// Makes it, and says where it is.
async fn make(server: &Server, r: &Resource, mut object: Value) -> (String, Value) {
    object["apiVersion"] =
        json!(if r.group.is_empty() { r.version.to_string() } else { format!("{}/{}", r.group, r.version) });
    object["kind"] = json!(r.kind);
    if object["metadata"]["name"].is_null() {
        object["metadata"]["name"] = json!("a");
    }
    match r.plural.as_str() {
        // The rules of the model know no cluster: here the address is another's, and the account is not there.
        "services" => object["spec"] = json!({"ports": [{"port": 80}], "selector": {"a": "b"}}),
        "pods" => object = pod("a"),
        _ => {}
    }
    let made = server.post(&collection(r), object).await;
    assert_eq!(made.status, 201, "{}: {}", r.plural, made.body);
    let path = format!("{}/{}", collection(r), made.body["metadata"]["name"].as_str().unwrap());
    (path, made.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_writer_changes_nothing_else_and_nobody_else_the_status() {
    let server = start().await;
    let model = api_model::Model::load("1.35").unwrap();
    let mut kinds = 0;
    for (r, object) in good_objects(&model) {
        // Definitions and API services have tests of their own; of the others here the server's own loops write the status, too.
        let elsewhere = matches!(
            r.plural.as_str(),
            "apiservices" | "customresourcedefinitions" | "flowschemas" | "validatingadmissionpolicies"
        );
        if elsewhere || !r.subresources.iter().any(|sub| sub.name == "status") {
            continue;
        }
        let (path, made) = make(&server, &r, object).await;
        let mut sneaky = made.clone();
        sneaky["spec"] = json!({});
        sneaky["metadata"]["labels"]["sneaky"] = json!("yes");
        let written = server.put(&format!("{path}/status"), sneaky).await;
        assert_eq!(written.status, 200, "{}: {}", r.plural, written.body);
        let written = written.body;
        assert_eq!(written["spec"], made["spec"], "{}", r.plural);
        assert_eq!(written["metadata"]["generation"], made["metadata"]["generation"], "{}", r.plural);
        let with_labels = ["", "apps", "batch", "autoscaling", "policy", "networking.k8s.io"];
        let labelled = with_labels.contains(&r.group.as_str()) && r.plural != "deployments";
        assert_eq!(written["metadata"]["labels"]["sneaky"] == "yes", labelled, "{}", r.plural);

        let mut other = written.clone();
        other["status"] = json!({"conditions": [{"type": "Made", "status": "True"}], "phase": "Up"});
        other["metadata"]["annotations"]["note"] = json!("changed");
        let changed = server.put(&path, other).await;
        assert_eq!(changed.status, 200, "{}: {}", r.plural, changed.body);
        assert_eq!(changed.body["status"], written["status"], "{}", r.plural);
        assert_eq!(changed.body["metadata"]["annotations"]["note"], "changed", "{}", r.plural);
        assert_eq!(changed.body["metadata"]["generation"], made["metadata"]["generation"], "{}", r.plural);
        kinds += 1;
    }
    assert!(kinds > 15, "{kinds}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generations_count_what_is_wanted() {
    let server = start().await;
    let model = api_model::Model::load("1.35").unwrap();
    let counted = [
        ("apps/deployments", json!({"spec": {"replicas": 7}})),
        ("apps/replicasets", json!({"spec": {"replicas": 7}})),
        ("apps/statefulsets", json!({"spec": {"replicas": 7}})),
        ("apps/daemonsets", json!({"spec": {"minReadySeconds": 7}})),
        ("batch/jobs", json!({"spec": {"activeDeadlineSeconds": 700}})),
        ("batch/cronjobs", json!({"spec": {"suspend": true}})),
        ("networking.k8s.io/networkpolicies", json!({"spec": {"podSelector": {"matchLabels": {"a": "b"}}}})),
        ("/podtemplates", json!({"template": {"spec": {"priority": null, "hostname": "h"}}})),
    ];
    let mut seen = 0;
    for (r, object) in good_objects(&model) {
        let name = format!("{}/{}", r.group, r.plural);
        let Some((_, change)) = counted.iter().find(|(counted, _)| *counted == name) else { continue };
        let (path, made) = make(&server, &r, object).await;
        assert_eq!(made["metadata"]["generation"], 1, "{name}");
        let same = server.patch("merge", &path, json!({"metadata": {"labels": {"x": "y"}}})).await.ok();
        assert_eq!(same["metadata"]["generation"], 1, "{name}: labels are not wanted state");
        let next = server.patch("merge", &path, change.clone()).await.ok();
        assert_eq!(next["metadata"]["generation"], 2, "{name}");
        let forged = server.patch("merge", &path, json!({"metadata": {"generation": 9}})).await.ok();
        assert_eq!(forged["metadata"]["generation"], 2, "{name}: nobody else counts");
        seen += 1;
    }
    assert_eq!(seen, counted.len());
    let driver = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "d"}, "spec": {}});
    let drivers = "/apis/storage.k8s.io/v1/csidrivers";
    assert_eq!(server.post(drivers, driver).await.ok()["metadata"]["generation"], Value::Null);
    let patch = json!({"spec": {"requiresRepublish": true}});
    assert_eq!(server.patch("merge", &format!("{drivers}/d"), patch).await.ok()["metadata"]["generation"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_keeps_what_is_its_own() {
    let server = start().await;
    let model = api_model::Model::load("1.35").unwrap();
    let (daemons, object) = good_objects(&model).into_iter().find(|(r, _)| r.plural == "daemonsets").unwrap();
    let (path, made) = make(&server, &daemons, object).await;
    let count = |object: &Value| {
        object["metadata"]["annotations"]["deprecated.daemonset.template.generation"].clone()
    };
    assert_eq!(count(&made), "1");
    let patch = json!({"metadata": {"annotations": {"deprecated.daemonset.template.generation": "9"}},
        "spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}});
    let changed = server.patch("merge", &path, patch).await.ok();
    assert_eq!(count(&changed), "2", "the template changed once");

    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "held"}});
    server.post("/api/v1/namespaces", namespace).await.ok();
    let freed = json!({"spec": {"finalizers": []}});
    let kept = server.patch("merge", "/api/v1/namespaces/held", freed).await.ok();
    assert_eq!(kept["spec"]["finalizers"], json!(["kubernetes"]), "only finalize lets it go");

    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"},
        "secrets": [{"name": "s", "namespace": "other", "kind": "Secret", "uid": "u"}]});
    let made = server.post("/api/v1/namespaces/default/serviceaccounts", account).await.ok();
    assert_eq!(made["secrets"], json!([{"name": "s"}]));

    let mut gated = pod("gated");
    gated["spec"]["schedulingGates"] = json!([{"name": "a.b/wait"}]);
    gated["spec"]["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["app"], "mismatchLabelKeys": ["tenant"]}]}});
    let made = server.post(PODS, gated).await.ok();
    assert_eq!(made["status"]["conditions"][0]["reason"], "SchedulingGated");
    let term =
        &made["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    let expected = json!([{"key": "app", "operator": "In", "values": ["web"]}]);
    assert_eq!(
        term["labelSelector"]["matchExpressions"], expected,
        "a label that is not there selects nothing"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_asked_behind_every_door() {
    let server = start().await;
    server.post(PODS, pod("p")).await.ok();
    let bad = json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]}});
    let refused = server.patch("strategic", &format!("{PODS}/p/resize"), bad).await.refused(422);
    let text = "spec.containers[0].resources.requests: Invalid value: \"2\": must be less than or equal to cpu limit of 1";
    assert!(refused.contains(text), "{refused}");
    let bad = json!({"spec": {"ephemeralContainers": [{"name": "c", "image": "i"}]}});
    let refused = server.patch("strategic", &format!("{PODS}/p/ephemeralcontainers"), bad).await.refused(422);
    assert!(refused.contains("spec.ephemeralContainers[0].name: Duplicate value: \"c\""), "{refused}");
    let mut wrong = pod("wrong");
    wrong["spec"]["terminationGracePeriodSeconds"] = json!("soon");
    let refused = server.post(PODS, wrong).await.refused(400);
    let text = "json: cannot unmarshal string into Go struct field PodSpec.spec.terminationGracePeriodSeconds of type int64";
    assert_eq!(refused, format!("Pod in version \"v1\" cannot be handled as a Pod: {text}"));
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
        "metadata": {"creationTimestamp": null}, "spec": {"user": "u"}});
    let refused =
        server.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review).await.refused(422);
    let text = "spec.resourceAttributes: Invalid value: \"null\": exactly one of nonResourceAttributes or resourceAttributes must be specified";
    assert_eq!(refused, format!("SubjectAccessReview.authorization.k8s.io \"\" is invalid: {text}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_likely_mistake_is_warned_of() {
    let server = start().await;
    let mut twice = pod("twice");
    twice["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]);
    let made = server.post(PODS, twice).await;
    let warning = made.headers["warning"].to_str().unwrap().to_owned();
    made.ok();
    let text = r#"spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply"#;
    assert_eq!(warning, format!("299 - \"{text}\""));
    let old = server.get("/api/v1/namespaces/default/endpoints").await;
    let text = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice";
    assert_eq!(old.headers["warning"], format!("299 - \"{text}\""));
}
