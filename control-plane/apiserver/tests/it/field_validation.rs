//! What is wrong with a body, in upstream's words: fields that are unknown or stand twice, values of wrong types, texts that are none.

use serde_json::{Value, json};

use crate::harness::{Answer, MAPS, Server, deployment, start};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

const JSON: &str = r#"{
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "NAME", "labels": {"app": "nginx"}},
    "spec": {
        "unknown1": "val1", "unknownDupe": "valDupe", "unknownDupe": "valDupe2", "paused": true, "paused": false,
        "selector": {"matchLabels": {"app": "nginx"}},
        "template": {"metadata": {"labels": {"app": "nginx"}}, "spec": {"containers": [{
            "name": "nginx", "image": "nginx:latest", "unknownNested": "val1", "imagePullPolicy": "Always", "imagePullPolicy": "Never"
        }]}}
    }
}"#;

const YAML: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME
  labels:
    app: nginx
spec:
  unknown1: val1
  unknownDupe: valDupe
  unknownDupe: valDupe2
  paused: true
  paused: false
  selector:
    matchLabels:
      app: nginx
  template:
    metadata:
      labels:
        app: nginx
    spec:
      containers:
      - name: nginx
        image: nginx:latest
        unknownNested: val1
        imagePullPolicy: Always
        imagePullPolicy: Never
";

/// Unknown fields are not called duplicates in JSON of built-in kinds, and all stand in the text's order.
const OF_JSON: [&str; 5] = [
    r#"unknown field "spec.unknown1""#,
    r#"unknown field "spec.unknownDupe""#,
    r#"duplicate field "spec.paused""#,
    r#"unknown field "spec.template.spec.containers[0].unknownNested""#,
    r#"duplicate field "spec.template.spec.containers[0].imagePullPolicy""#,
];
const LINES: [&str; 3] = [
    r#"line 10: key "unknownDupe" already set in map"#,
    r#"line 12: key "paused" already set in map"#,
    r#"line 26: key "imagePullPolicy" already set in map"#,
];
const UNKNOWN: [&str; 3] = [
    r#"unknown field "spec.template.spec.containers[0].unknownNested""#,
    r#"unknown field "spec.unknown1""#,
    r#"unknown field "spec.unknownDupe""#,
];

fn warnings(answer: &Answer) -> Vec<String> {
    let texts = answer.headers.get_all("warning").iter().map(|value| value.to_str().unwrap());
    let inner =
        |text: &str| text.strip_prefix("299 - \"").unwrap().strip_suffix('"').unwrap().replace("\\\"", "\"");
    texts.map(inner).collect()
}

async fn send(server: &Server, method: &str, path: &str, media: &str, body: &str) -> Answer {
    server.send(method, path, &[&format!("content-type: {media}")], body.as_bytes().to_vec()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creates_and_updates_say_what_they_do_not_know() {
    let server = start().await;
    let strict = format!(
        r#"Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: {}"#,
        OF_JSON.join(", ")
    );
    let body = JSON.replace("NAME", "one");
    let refused =
        send(&server, "POST", &format!("{DEPLOYMENTS}?fieldValidation=Strict"), "application/json", &body)
            .await;
    assert_eq!(refused.refused(400), strict);
    let made = send(&server, "POST", DEPLOYMENTS, "application/json", &body).await;
    assert_eq!(made.status, 201);
    assert_eq!(warnings(&made), OF_JSON, "Warn is the default");
    assert_eq!(
        made.body["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"], "Never",
        "the last one counts"
    );
    let path = format!("{DEPLOYMENTS}/one");
    let put = send(&server, "PUT", &format!("{path}?fieldValidation=Warn"), "application/json", &body).await;
    assert_eq!((put.status, warnings(&put)), (200, OF_JSON.map(str::to_owned).to_vec()));
    let put =
        send(&server, "PUT", &format!("{path}?fieldValidation=Ignore"), "application/json", &body).await;
    assert_eq!((put.status, warnings(&put)), (200, Vec::new()));
    let put =
        send(&server, "PUT", &format!("{path}?fieldValidation=Strict"), "application/json", &body).await;
    assert_eq!(put.refused(400), strict);

    let body = YAML.replace("NAME", "two");
    let refused =
        send(&server, "POST", &format!("{DEPLOYMENTS}?fieldValidation=Strict"), "application/yaml", &body)
            .await;
    assert_eq!(
        refused.refused(400),
        format!(
            "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: yaml: unmarshal errors:\n  {}, {}",
            LINES.join("\n  "),
            UNKNOWN.join(", ")
        )
    );
    let made = send(&server, "POST", DEPLOYMENTS, "application/yaml", &body).await;
    assert_eq!(made.status, 201);
    assert_eq!(warnings(&made), [LINES, UNKNOWN].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_say_what_they_do_not_know() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("p")).await.ok();
    let path = format!("{DEPLOYMENTS}/p");
    let patch = r#"{"spec": {"unknown1": "val1", "unknownDupe": "a", "unknownDupe": "b", "paused": true, "paused": false,
        "template": {"spec": {"containers": [{"name": "c", "image": "i", "unknownNested": "x", "imagePullPolicy": "Always", "imagePullPolicy": "Never"}]}}}}"#;
    let duplicates = [
        r#"duplicate field "spec.unknownDupe""#,
        r#"duplicate field "spec.paused""#,
        r#"duplicate field "spec.template.spec.containers[0].imagePullPolicy""#,
    ];
    for media in ["application/merge-patch+json", "application/strategic-merge-patch+json"] {
        let warned = send(&server, "PATCH", &path, media, patch).await;
        assert_eq!(
            (warned.status, warnings(&warned)),
            (200, [duplicates, UNKNOWN].concat().iter().map(|t| (*t).to_owned()).collect())
        );
        let strict = send(&server, "PATCH", &format!("{path}?fieldValidation=Strict"), media, patch).await;
        let cause = strict.body["details"]["causes"][0].clone();
        assert_eq!((&cause["field"], &cause["reason"]), (&json!("patch"), &json!("FieldValueInvalid")));
        let message = strict.refused(422);
        assert!(message.starts_with(r#" "" is invalid: patch: Invalid value: ""#), "{message}");
        let ends = format!("strict decoding error: {}", [duplicates, UNKNOWN].concat().join(", "));
        assert!(message.ends_with(&ends), "{message}");
        let ignored = send(&server, "PATCH", &format!("{path}?fieldValidation=Ignore"), media, patch).await;
        assert_eq!((ignored.status, warnings(&ignored)), (200, Vec::new()));
    }
    let operations = r#"[{"op": "add", "path": "/spec/unknown1", "value": "v", "foo": "bar"},
        {"op": "add", "path": "/spec/unknown2", "path": "/spec/unknown3", "value": "v"},
        {"op": "add", "path": "/spec/paused", "value": true}, {"op": "add", "path": "/spec/paused", "value": false}]"#;
    let warned = send(&server, "PATCH", &path, "application/json-patch+json", operations).await;
    let expected = [
        r#"json patch unknown field "[0].foo""#,
        r#"json patch duplicate field "[1].path""#,
        r#"unknown field "spec.unknown1""#,
        r#"unknown field "spec.unknown3""#,
    ];
    assert_eq!((warned.status, warnings(&warned)), (200, expected.map(str::to_owned).to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn applies_say_what_stands_twice() {
    let server = start().await;
    let body = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: x\n  k: y\n";
    let path = format!("{MAPS}/a?fieldManager=m");
    let strict = send(
        &server,
        "PATCH",
        &format!("{path}&fieldValidation=Strict"),
        "application/apply-patch+yaml",
        body,
    )
    .await;
    assert_eq!(
        strict.refused(400),
        "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  line 7: key \"k\" already set in map"
    );
    server.get(&format!("{MAPS}/a")).await.refused(404);
    let warned = send(&server, "PATCH", &path, "application/apply-patch+yaml", body).await;
    assert_eq!(
        (warned.status, warnings(&warned)),
        (201, vec![r#"line 7: key "k" already set in map"#.to_owned()])
    );
    // A field the schema does not have is no matter of strictness.
    let unknown = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "date": {}});
    let refused = server.patch("apply", &format!("{path}&fieldValidation=Ignore"), unknown).await;
    assert_eq!(refused.body.get("reason"), None, "upstream gives none");
    assert_eq!(
        refused.refused(400),
        "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .date: field not declared in schema"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_kinds_say_first_what_stands_twice() {
    let server = start().await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"}, "versions": [{
            "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {"known": {"type": "string"}}}}}}}]}});
    server.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await.ok();
    let things = "/apis/example.com/v1/namespaces/default/things";
    let body = r#"{"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"},
        "spec": {"unknown": 1, "unknown": 2, "known": "a", "known": "b"}}"#;
    let made = send(&server, "POST", things, "application/json", body).await;
    let expected = [
        r#"duplicate field "spec.unknown""#,
        r#"duplicate field "spec.known""#,
        r#"unknown field "spec.unknown""#,
    ];
    assert_eq!((made.status, warnings(&made)), (201, expected.map(str::to_owned).to_vec()));
    let strict =
        send(&server, "POST", &format!("{things}?fieldValidation=Strict"), "application/json", body).await;
    assert_eq!(
        strict.refused(400),
        format!(
            r#"Thing in version "v1" cannot be handled as a Thing: strict decoding error: {}"#,
            expected.join(", ")
        )
    );
    let refused =
        send(&server, "PATCH", &format!("{things}/t"), "application/strategic-merge-patch+json", "{}").await;
    assert_eq!(
        refused.refused(415),
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_none_are_refused_in_upstreams_words() {
    let server = start().await;
    let unrecognized = "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: ";
    let cases = [
        ("application/json", "", format!("{unrecognized}unexpected end of JSON input (<empty>)")),
        ("application/json", "{", format!("{unrecognized}unexpected end of JSON input ({{)")),
        ("application/json", "abc", format!("{unrecognized}invalid character 'a' looking for beginning of value (616263)")),
        (
            "application/json",
            r#"{"data": {"a": 1}}"#,
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string"#.to_owned(),
        ),
        (
            "application/json",
            r#"{"metadata": {"creationTimestamp": "yesterday"}}"#,
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006""#.to_owned(),
        ),
        (
            "application/json",
            r#"{"binaryData": {"a": "%"}}"#,
            r#"ConfigMap in version "v1" cannot be handled as a ConfigMap: illegal base64 data at input byte 0"#.to_owned(),
        ),
        (
            "application/json",
            r#"{"apiVersion": "apps/v1"}"#,
            "the API version in the data (apps/v1) does not match the expected API version (v1)".to_owned(),
        ),
    ];
    for (media, body, message) in cases {
        assert_eq!(send(&server, "POST", MAPS, media, body).await.refused(400), message);
    }
    assert_eq!(
        send(&server, "POST", MAPS, "text/plain", "{}").await.refused(415),
        "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf"
    );
    let large = format!(r#"{{"data": {{"a": "{}"}}}}"#, "x".repeat(3 << 20));
    assert_eq!(
        send(&server, "POST", MAPS, "application/json", &large).await.refused(413),
        "Request entity too large: limit is 3145728"
    );
    let mut object = deployment("big");
    object["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["x".repeat(1_600_000)]);
    assert_eq!(server.post(DEPLOYMENTS, object).await.refused(413), "etcdserver: request is too large");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_that_are_none_are_refused_in_upstreams_words() {
    let server = start().await;
    server.post(DEPLOYMENTS, deployment("p")).await.ok();
    let path = format!("{DEPLOYMENTS}/p");
    let cases: [(&str, &str, u16, &str); 9] = [
        ("application/merge-patch+json", "{", 400, "error decoding patch: unexpected end of JSON input"),
        (
            "application/merge-patch+json",
            "[]",
            400,
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}",
        ),
        (
            "application/json-patch+json",
            "{}",
            400,
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ),
        (
            "application/json-patch+json",
            r#"[{"op":"test","path":"/spec/replicas","value":9}]"#,
            422,
            "the server rejected our request due to an error in our request",
        ),
        (
            "application/json-patch+json",
            r#"[{"op":"remove","path":"/spec/nope"}]"#,
            422,
            "the server rejected our request due to an error in our request",
        ),
        (
            "application/strategic-merge-patch+json",
            "nope",
            400,
            "invalid character 'o' in literal null (expecting 'u')",
        ),
        (
            "application/strategic-merge-patch+json",
            r#"{"spec":{"template":{"spec":{"containers":[{"image":"x"}]}}}}"#,
            400,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            "application/apply-patch+yaml",
            "a: b: c",
            400,
            "error decoding YAML: error converting YAML to JSON: yaml: line 1: mapping values are not allowed in this context",
        ),
        ("application/apply-patch+yaml", "{}", 400, "invalid object type: /, Kind="),
    ];
    for (media, body, status, message) in cases {
        let answer = send(&server, "PATCH", &format!("{path}?fieldManager=m"), media, body).await;
        assert_eq!(answer.refused(status), message, "{media} {body}");
    }
    let wrong =
        send(&server, "PATCH", &path, "application/merge-patch+json", r#"{"spec":{"replicas":"two"}}"#)
            .await
            .refused(422);
    assert!(
        wrong.ends_with(
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        ),
        "{wrong}"
    );
    let many: Vec<Value> = vec![json!({"op": "test", "path": "/kind", "value": "Deployment"}); 10_001];
    let refused = server.patch("json", &path, Value::Array(many)).await;
    assert_eq!(
        refused.refused(413),
        "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    );
    let forced = server.patch("merge", &format!("{path}?force=true"), json!({})).await;
    assert_eq!(
        forced.refused(422),
        "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch"
    );
    let nobody = server.patch("apply", &path, json!({})).await;
    assert_eq!(
        nobody.refused(422),
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
}
