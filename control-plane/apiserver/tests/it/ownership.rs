//! Who owns which field, through the API: applies, their conflicts, and what other writes do to owners.

use serde_json::{Value, json};

use crate::harness::{MAPS, Server, deployment, map, start};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

fn entry<'a>(object: &'a Value, manager: &str) -> &'a Value {
    let list = object["metadata"]["managedFields"].as_array().unwrap();
    list.iter().find(|entry| entry["manager"] == manager).unwrap_or(&Value::Null)
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

async fn apply(server: &Server, path: &str, manager: &str, config: Value) -> Value {
    server.patch("apply", &format!("{path}?fieldManager={manager}"), config).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creator_owns_what_it_said_and_what_go_would_show() {
    let server = start().await;
    let answer = server
        .send(
            "POST",
            DEPLOYMENTS,
            &["content-type: application/json", "user-agent: kubectl/v1.35"],
            deployment("d").to_string().into_bytes(),
        )
        .await;
    let made = answer.ok();
    let owned = &entry(&made, "kubectl")["fieldsV1"]["f:spec"];
    assert_eq!(owned.get("."), None, "the spec is held by value");
    assert_eq!(owned["f:replicas"], json!({}));
    assert_eq!(
        owned["f:strategy"],
        json!({"f:type": {}, "f:rollingUpdate": {".": {}, "f:maxSurge": {}, "f:maxUnavailable": {}}})
    );
    let container = &owned["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"c\"}"];
    assert_eq!(container["f:resources"], json!({}), "shown by Go, though nobody said it");
    assert_eq!(owned["f:template"]["f:spec"]["f:containers"].get("."), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_nothing_is_not_written() {
    let server = start().await;
    let path = format!("{MAPS}/a");
    let made = apply(&server, &path, "one", map("a")).await;
    let again = apply(&server, &path, "one", map("a")).await;
    assert_eq!(
        (version(&again), &again["metadata"]["managedFields"]),
        (version(&made), &made["metadata"]["managedFields"])
    );
    for kind in ["merge", "strategic"] {
        let patched = server.patch(kind, &path, json!({"data": {"a": "1"}})).await.ok();
        assert_eq!(version(&patched), version(&made));
    }
    let patched =
        server.patch("json", &path, json!([{"op": "test", "path": "/data/a", "value": "1"}])).await.ok();
    assert_eq!(version(&patched), version(&made));
    let put = server.put(&path, made.clone()).await.ok();
    assert_eq!(version(&put), version(&made));
    // Another applier of the same is an owner from now on, which is written, but changes nothing else.
    let shared = apply(&server, &path, "two", map("a")).await;
    assert_ne!(version(&shared), version(&made));
    assert_eq!(entry(&shared, "two").get("time"), None, "it changed nothing");
    assert_eq!(entry(&shared, "two")["fieldsV1"], entry(&made, "one")["fieldsV1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_are_told_by_manager_and_field() {
    let server = start().await;
    let path = format!("{DEPLOYMENTS}/d");
    let config = |replicas: u32, image: &str| {
        let mut config = deployment("d");
        config["spec"]["replicas"] = json!(replicas);
        config["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        config
    };
    apply(&server, &path, "one", config(2, "a")).await;
    let scaled = json!({"spec": {"replicas": 5}});
    server.patch("merge", &format!("{path}?fieldManager=scaler"), scaled).await.ok();
    let answer = server.patch("apply", &format!("{path}?fieldManager=two"), config(3, "b")).await;
    let causes = &answer.body["details"]["causes"];
    assert_eq!(
        causes,
        &json!([
            {"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".spec.template.spec.containers[name=\"c\"].image"},
            {"reason": "FieldManagerConflict", "message": "conflict with \"scaler\" using apps/v1", "field": ".spec.replicas"},
        ])
    );
    assert_eq!(
        answer.refused(409),
        "Apply failed with 2 conflicts: conflicts with \"one\":\n- .spec.template.spec.containers[name=\"c\"].image\nconflicts with \"scaler\" using apps/v1:\n- .spec.replicas"
    );
    let dry = server
        .patch("apply", &format!("{path}?fieldManager=two&force=true&dryRun=All"), config(3, "b"))
        .await
        .ok();
    assert_eq!(dry["spec"]["replicas"], 3);
    assert_eq!(server.get(&path).await.ok()["spec"]["replicas"], 5, "tried only");
    let forced =
        server.patch("apply", &format!("{path}?fieldManager=two&force=true"), config(3, "b")).await.ok();
    assert_eq!(entry(&forced, "scaler"), &Value::Null);
    assert_eq!(entry(&forced, "one")["fieldsV1"]["f:spec"].get("f:replicas"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_and_the_rest_have_their_own_books() {
    let server = start().await;
    let path = format!("{DEPLOYMENTS}/d");
    apply(&server, &path, "one", deployment("d")).await;
    let status = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "labels": {"x": "y"}},
        "spec": {"replicas": 9}, "status": {"replicas": 1, "conditions": [{"type": "Available", "status": "True"}]}});
    let answer = server.patch("apply", &format!("{path}/status?fieldManager=one"), status).await;
    let applied = answer.ok();
    assert_eq!(applied["spec"]["replicas"], 2, "not through the status");
    let list = applied["metadata"]["managedFields"].as_array().unwrap();
    let through = list.iter().find(|entry| entry["subresource"] == "status").unwrap();
    assert_eq!(
        through["fieldsV1"],
        json!({"f:status": {"f:replicas": {},
        "f:conditions": {"k:{\"type\":\"Available\"}": {".": {}, "f:type": {}, "f:status": {}}}}})
    );
    let removed = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}});
    let answer = server.patch("apply", &format!("{path}/status?fieldManager=one"), removed).await;
    assert_eq!(answer.ok()["status"].get("conditions"), None, "no longer applied, no longer there");
    let missing = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "none"}});
    server.patch("apply", &format!("{DEPLOYMENTS}/none/status?fieldManager=one"), missing).await.refused(404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scale_takes_and_gives_the_number() {
    let server = start().await;
    let path = format!("{DEPLOYMENTS}/d");
    apply(&server, &path, "one", deployment("d")).await;
    let scale = |replicas: u32| json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": replicas}});
    let answer = server.patch("apply", &format!("{path}/scale?fieldManager=hpa"), scale(7)).await;
    assert_eq!(
        answer.body["details"]["causes"][0],
        json!({"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".spec.replicas"})
    );
    answer.refused(409);
    server.patch("apply", &format!("{path}/scale?fieldManager=hpa&force=true"), scale(7)).await.ok();
    let object = server.get(&path).await.ok();
    assert_eq!(object["spec"]["replicas"], 7);
    assert_eq!(
        entry(&object, "hpa"),
        &json!({"manager": "hpa", "operation": "Apply", "apiVersion": "apps/v1", "subresource": "scale",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}}})
    );
    assert_eq!(entry(&object, "one")["fieldsV1"]["f:spec"].get("f:replicas"), None);
    server.put(&format!("{path}/scale?fieldManager=kubectl"), scale(4)).await.ok();
    let object = server.get(&path).await.ok();
    assert_eq!((&object["spec"]["replicas"], entry(&object, "hpa")), (&json!(4), &Value::Null));
    assert_eq!(entry(&object, "kubectl")["subresource"], "scale");
    let mut wrong = scale(1);
    wrong["spec"]["replicas"] = json!("two");
    assert_eq!(
        server.put(&format!("{path}/scale"), wrong).await.refused(400),
        "Scale in version \"v1\" cannot be handled as a Scale: json: cannot unmarshal string into Go struct field ScaleSpec.spec.replicas of type int32"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_kubectl_kept_by_itself_moves_to_the_server() {
    let server = start().await;
    let path = format!("{MAPS}/a");
    let mut object = map("a");
    let last = format!("{}\n", object);
    object["metadata"]["annotations"] = json!({"kubectl.kubernetes.io/last-applied-configuration": last});
    let headers = ["content-type: application/json", "user-agent: kubectl-client-side-apply/1"];
    server.send("POST", MAPS, &headers, object.to_string().into_bytes()).await.ok();
    let mut config = map("a");
    config["data"] = json!({"a": "2", "b": "3"});
    // Others meet the conflict, kubectl does not.
    server.patch("apply", &format!("{path}?fieldManager=other"), config.clone()).await.refused(409);
    let applied = apply(&server, &path, "kubectl", config.clone()).await;
    assert_eq!(applied["data"], json!({"a": "2", "b": "3"}));
    assert_eq!(
        applied["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"],
        format!("{config}\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tracking_is_forgotten_and_begins_again() {
    let server = start().await;
    let path = format!("{MAPS}/a");
    for reset in [json!([]), json!([{}])] {
        let made = apply(&server, &path, "one", map("a")).await;
        assert!(made["metadata"]["managedFields"].is_array());
        let bare = server.patch("merge", &path, json!({"metadata": {"managedFields": reset}})).await.ok();
        assert_eq!(bare["metadata"].get("managedFields"), None);
        let bare = server.patch("merge", &path, json!({"data": {"b": "2"}})).await.ok();
        assert_eq!(bare["metadata"].get("managedFields"), None, "not tracked until the next apply");
        let applied = apply(
            &server,
            &path,
            "two",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"c": "3"}}),
        )
        .await;
        let before = entry(&applied, "before-first-apply");
        assert_eq!(before["fieldsV1"], json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}}));
        assert_eq!(before["operation"], "Update");
        server.delete(&path).await.ok();
    }
    // What says nothing about its managers keeps them.
    let made = apply(&server, &path, "one", map("a")).await;
    let put = server.put(&path, map("a")).await.ok();
    assert_eq!(put["metadata"]["managedFields"], made["metadata"]["managedFields"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_eleventh_updater_makes_the_first_ones_ancient() {
    let server = start().await;
    let path = format!("{MAPS}/a");
    server.post(MAPS, map("a")).await.ok();
    for number in 0..14 {
        let patch = json!({"data": {format!("k{number:02}"): "v"}});
        server.patch("merge", &format!("{path}?fieldManager=m{number:02}"), patch).await.ok();
    }
    let object = server.get(&path).await.ok();
    let managers: Vec<&str> = object["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["manager"].as_str().unwrap())
        .collect();
    assert_eq!(managers.len(), 10, "{managers:?}");
    assert!(managers.contains(&"ancient-changes") && managers.contains(&"m13"), "{managers:?}");
    let all = object["metadata"]["managedFields"].to_string();
    for number in 0..14 {
        assert!(all.contains(&format!("f:k{number:02}")), "nobody's field is lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_in_another_version_are_judged_by_its_fields() {
    let server = start().await;
    let (v1, v2) = (
        "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers",
        "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers",
    );
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"});
    let old = |cpu: u32| {
        json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": target, "targetCPUUtilizationPercentage": cpu}})
    };
    apply(&server, &format!("{v1}/h"), "one", old(50)).await;
    let metrics = |cpu: u32| json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": cpu}}}]);
    let new = |cpu: u32| {
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": target, "metrics": metrics(cpu)}})
    };
    let answer = server.patch("apply", &format!("{v2}/h?fieldManager=two"), new(60)).await;
    assert_eq!(
        answer.body["details"]["causes"][0]["field"], ".spec.targetCPUUtilizationPercentage",
        "in its owner's version"
    );
    answer.refused(409);
    let same = apply(&server, &format!("{v2}/h"), "two", new(50)).await;
    assert_eq!(entry(&same, "one")["apiVersion"], "autoscaling/v1");
    assert_eq!(entry(&same, "two")["apiVersion"], "autoscaling/v2");
}
