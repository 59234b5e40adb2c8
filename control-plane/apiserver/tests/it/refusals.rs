//! What is not served, not allowed or not understood, and in which words that is said.

use serde_json::json;

use crate::harness::{MAPS, Server, map, start};

const NOT_FOUND: &str = "the server could not find the requested resource";
const NOT_ALLOWED: &str = "the server does not allow this method on the requested resource";
/// Plain text, as Go's own server answers.
const NOBODY: &str = "404 page not found\n";

/// Method, path, and what is answered: a code and a message.
const PATHS: &[(&str, &str, u16, &str)] = &[
    // Where nothing is: plain text when not even the group is known, a Status where the group is.
    ("GET", "/nonsense", 404, NOBODY),
    ("GET", "/apis/nonsense", 404, NOBODY),
    ("GET", "/apis/nonsense.io/v1/things", 404, NOBODY),
    ("GET", "/apis/apps/v9", 404, NOBODY),
    ("GET", "/apis/apps/v9/deployments", 404, NOBODY),
    ("GET", "/api/v2/pods", 404, NOBODY),
    ("GET", "/API/v1/pods", 404, NOBODY),
    ("GET", "/api//v1/pods", 404, NOBODY),
    ("GET", "/healthz/nonsense", 404, NOBODY),
    ("GET", "/openapi/v3/apis/nonsense/v1", 404, NOBODY),
    ("GET", "/api/v1/nonsense", 404, NOT_FOUND),
    ("GET", "/api/v1/Pods", 404, NOT_FOUND),
    ("GET", "/api/v1/namespaces/default/nonsense/x", 404, NOT_FOUND),
    ("GET", "/apis/apps/v1/nonsense", 404, NOT_FOUND),
    ("GET", "/api/v1/pods/x", 404, NOT_FOUND),
    ("GET", "/api/v1/namespaces/default/nodes", 404, NOT_FOUND),
    ("GET", "/api/v1/namespaces/default/configmaps/x/status", 404, NOT_FOUND),
    ("GET", "/api/v1/namespaces/default/pods/x/status/more", 404, NOT_FOUND),
    ("GET", "/api/v1/watch/subjectaccessreviews", 404, NOT_FOUND),
    ("POST", "/apis/authorization.k8s.io/v1/localsubjectaccessreviews", 404, NOT_FOUND),
    ("GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews/x", 404, NOT_FOUND),
    ("GET", "/api/v1/namespaces/default/configmaps/none", 404, "configmaps \"none\" not found"),
    (
        "GET",
        "/apis/apps/v1/namespaces/default/deployments/none/scale",
        404,
        "deployments.apps \"none\" not found",
    ),
    // Where something is, but not with this method.
    ("POST", "/api/v1/pods", 405, NOT_ALLOWED),
    ("DELETE", "/api/v1/pods", 405, NOT_ALLOWED),
    ("PUT", "/api/v1/namespaces/default/pods", 405, NOT_ALLOWED),
    ("PATCH", "/api/v1/namespaces/default/pods", 405, NOT_ALLOWED),
    ("POST", "/api/v1/namespaces/default/pods/x", 405, NOT_ALLOWED),
    ("DELETE", "/api/v1/namespaces", 405, NOT_ALLOWED),
    ("DELETE", "/api/v1/namespaces/default/pods/x/status", 405, NOT_ALLOWED),
    ("GET", "/api/v1/namespaces/default/finalize", 405, NOT_ALLOWED),
    ("GET", "/api/v1/namespaces/default/pods/x/binding", 405, NOT_ALLOWED),
    ("GET", "/api/v1/namespaces/default/serviceaccounts/x/token", 405, NOT_ALLOWED),
    ("DELETE", "/api/v1/namespaces/default/pods/x/log", 405, NOT_ALLOWED),
    ("PUT", "/api/v1/namespaces/default/pods/x/exec", 405, NOT_ALLOWED),
    ("GET", "/apis/authorization.k8s.io/v1/subjectaccessreviews", 405, NOT_ALLOWED),
    ("POST", "/api/v1/watch/pods", 405, NOT_ALLOWED),
    ("OPTIONS", "/api/v1/pods", 405, NOT_ALLOWED),
    ("HEAD", "/api/v1/pods", 405, NOT_ALLOWED),
    ("POST", "/version", 405, NOT_ALLOWED),
    ("POST", "/apis", 405, NOT_ALLOWED),
    ("DELETE", "/api/v1/componentstatuses/x", 405, NOT_ALLOWED),
    // Names that are none.
    (
        "GET",
        "/api/v1/namespaces/default/pods/a%25b",
        400,
        "Name parameter invalid: \"a%b\": may not contain '%'",
    ),
    ("GET", "/api/v1/namespaces/default/pods/..", 400, "Name parameter invalid: \"..\": may not be '..'"),
    ("GET", "/api/v1/namespaces/default/pods/%zz", 400, "400 Bad Request"),
    // Selectors.
    (
        "GET",
        "/api/v1/pods?labelSelector=a%3Db%3Dc",
        400,
        "unable to parse requirement: found '=', expected: ',' or 'end of string'",
    ),
    ("GET", "/api/v1/pods?fieldSelector=x", 400, "invalid selector: 'x'; can't understand 'x'"),
    ("GET", "/api/v1/pods?fieldSelector=spec.image%3Dx", 400, "field label not supported: spec.image"),
    (
        "GET",
        "/api/v1/configmaps?fieldSelector=data.a%3Dx",
        400,
        "\"data.a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
    ),
    (
        "GET",
        "/apis/apps/v1/deployments?fieldSelector=spec.replicas%3D1",
        400,
        "\"spec.replicas\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
    ),
    (
        "GET",
        "/apis/batch/v1/jobs?fieldSelector=spec.x%3D1",
        400,
        "field label \"spec.x\" not supported for Job",
    ),
    (
        "GET",
        "/apis/resource.k8s.io/v1/resourceslices?fieldSelector=spec.x%3D1",
        400,
        "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: spec.x",
    ),
    (
        "GET",
        "/api/v1/watch/namespaces/default/pods/a?fieldSelector=metadata.name%3Db",
        400,
        "fieldSelector metadata.name doesn't match requested name",
    ),
    (
        "DELETE",
        "/api/v1/namespaces/default/pods?fieldSelector=spec.image%3Dx",
        400,
        "field label not supported: spec.image",
    ),
];

async fn asked(server: &Server, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
    let answer = server.send(method, path, headers, body.as_bytes().to_vec()).await;
    let message = answer.body["message"].as_str().map(str::to_owned);
    let text = message.unwrap_or_else(|| String::from_utf8_lossy(&answer.bytes).into_owned());
    (answer.status, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_and_methods() {
    let server = start().await;
    for (method, path, code, text) in PATHS {
        let (status, said) = asked(&server, method, path, &[], "").await;
        assert_eq!((status, said.as_str()), (*code, *text), "{method} {path}");
    }
    for path in
        ["/api/v1/pods/", "/healthz", "/healthz/", "/livez/ping", "/api/v1/watch/pods?timeoutSeconds=1"]
    {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
}

const CUSTOM: &str = "/apis/example.com/v1/namespaces/default/widgets";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_resources_are_refused_in_their_own_words() {
    let server = start().await;
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    server.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition).await.ok();
    let table = [
        ("GET", "/apis/example.com/v2/widgets".to_owned(), 404, NOBODY),
        ("GET", "/apis/example.com/v1/gadgets".to_owned(), 404, NOBODY),
        ("POST", "/apis/example.com/v1/widgets".to_owned(), 404, NOBODY),
        ("GET", format!("{CUSTOM}/x/status"), 404, "widgets.example.com \"x\" not found"),
        (
            "PUT",
            CUSTOM.to_owned(),
            405,
            "update is not supported on resources of kind \"widgets.example.com\"",
        ),
        (
            "GET",
            format!("{CUSTOM}?fieldSelector=spec.color%3Dred"),
            400,
            "field label not supported: spec.color",
        ),
    ];
    for (method, path, code, text) in table {
        let (status, said) = asked(&server, method, &path, &[], "").await;
        assert_eq!((status, said.as_str()), (code, text), "{method} {path}");
    }
    let accept = ["accept: application/vnd.kubernetes.protobuf"];
    assert_eq!(asked(&server, "GET", CUSTOM, &accept, "").await.0, 406);
}

/// Options of writes, what is sent with them, and what is answered.
const OPTIONS: &[(&str, &str, &str, u16, &str)] = &[
    (
        "POST",
        "?dryRun=yes",
        "",
        422,
        "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"yes\"]: supported values: \"All\"",
    ),
    (
        "PUT",
        "/x?dryRun=yes",
        "",
        422,
        "UpdateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"yes\"]: supported values: \"All\"",
    ),
    (
        "PATCH",
        "/x?dryRun=yes",
        "",
        422,
        "PatchOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"yes\"]: supported values: \"All\"",
    ),
    (
        "DELETE",
        "/x?dryRun=yes",
        "",
        422,
        "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"yes\"]: supported values: \"All\"",
    ),
    (
        "DELETE",
        "?dryRun=yes",
        "",
        422,
        "DeleteOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"yes\"]: supported values: \"All\"",
    ),
    (
        "POST",
        "?fieldValidation=Loud",
        "",
        422,
        "CreateOptions.meta.k8s.io \"\" is invalid: fieldValidation: Unsupported value: \"Loud\": supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
    ),
    (
        "POST",
        "?fieldManager=a%0Ab",
        "",
        422,
        "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Invalid value: \"a\\nb\": invalid character U+000A (at position 1)",
    ),
    (
        "DELETE",
        "/x?propagationPolicy=Now",
        "",
        422,
        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Now\": supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
    ),
    (
        "DELETE",
        "/x",
        r#"{"propagationPolicy": "Orphan", "orphanDependents": true}"#,
        422,
        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": orphanDependents and deletionPropagation cannot be both set",
    ),
    (
        "DELETE",
        "/x",
        r#"{"ignoreStoreReadErrorWithClusterBreakingPotential": true, "gracePeriodSeconds": 0}"#,
        422,
        "DeleteOptions.meta.k8s.io \"\" is invalid: ignoreStoreReadErrorWithClusterBreakingPotential: Invalid value: true: cannot be set together with .gracePeriodSeconds",
    ),
    (
        "DELETE",
        "/x",
        r#"{"gracePeriodSeconds": "soon"}"#,
        400,
        "json: cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds of type int64",
    ),
    ("DELETE", "/x?gracePeriodSeconds=soon", "", 400, "strconv.ParseInt: parsing \"soon\": invalid syntax"),
    (
        "POST",
        "",
        r#"{"metadata": {}}"#,
        422,
        "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is required",
    ),
    (
        "POST",
        "",
        r#"{"metadata": {"name": "n", "namespace": "other"}}"#,
        400,
        "the namespace of the provided object does not match the namespace sent on the request",
    ),
    (
        "POST",
        "",
        r#"{"metadata": {"name": "n", "resourceVersion": "1"}}"#,
        400,
        "resourceVersion should not be set on objects to be created",
    ),
    (
        "PUT",
        "/x",
        r#"{"metadata": {}}"#,
        400,
        "the name of the object (x based on URL) was undeterminable: name must be provided",
    ),
    (
        "PUT",
        "/x",
        r#"{"metadata": {"name": "y"}}"#,
        400,
        "the name of the object (y) does not match the name on the URL (x)",
    ),
    (
        "PUT",
        "/x",
        r#"{"metadata": {"name": "x", "namespace": "other"}}"#,
        400,
        "the namespace of the object (other) does not match the namespace on the request (default)",
    ),
    ("PUT", "/none", r#"{"metadata": {"name": "none"}}"#, 404, "configmaps \"none\" not found"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_and_identities() {
    let server = start().await;
    server.post(MAPS, map("x")).await.ok();
    for (method, path, body, code, text) in OPTIONS {
        let media = if *method == "PATCH" {
            "content-type: application/merge-patch+json"
        } else {
            "content-type: application/json"
        };
        let (status, said) = asked(&server, method, &format!("{MAPS}{path}"), &[media], body).await;
        assert_eq!((status, said.as_str()), (*code, *text), "{method} {path} {body}");
    }
    let long = format!("{MAPS}?fieldManager={}", "m".repeat(129));
    let refused = server.post(&long, map("y")).await.refused(422);
    assert_eq!(
        refused,
        "CreateOptions.meta.k8s.io \"\" is invalid: fieldManager: Too long: may not be more than 128 bytes"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_of_answers_are_chosen_or_refused() {
    let server = start().await;
    let accept = async |accept: &str, path: &str| {
        server.send("GET", path, &[&format!("accept: {accept}")], Vec::new()).await
    };
    assert_eq!(
        accept("application/cbor", MAPS).await.refused(406),
        "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"
    );
    let watched = accept("application/yaml", &format!("{MAPS}?watch=true")).await;
    let said = String::from_utf8_lossy(&watched.bytes).into_owned();
    let streams = "only the following media types are accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";
    assert!(watched.status == 406 && said.contains(&format!("message: '{streams}'")), "{said}");
    let model = api_model::Model::load("1.35").unwrap();
    let refused = accept("application/vnd.kubernetes.protobuf", &format!("{MAPS}/none")).await;
    assert_eq!(
        (refused.status, &refused.headers["content-type"]),
        (404, &"application/vnd.kubernetes.protobuf".parse().unwrap())
    );
    assert_eq!(
        api_model::protobuf::decode(&model, &refused.bytes).unwrap()["message"],
        "configmaps \"none\" not found"
    );
    let yaml = accept("application/yaml", &format!("{MAPS}/none")).await;
    assert!(String::from_utf8_lossy(&yaml.bytes).contains("reason: NotFound"));
    let table = accept("application/json;as=Table;v=v1beta1;g=meta.k8s.io", MAPS).await.ok();
    assert_eq!(table["apiVersion"], "meta.k8s.io/v1beta1");
    let object =
        accept("application/json;as=Table;v=v1;g=meta.k8s.io", &format!("{MAPS}?includeObject=All")).await;
    assert!(object.refused(422).contains("must be 'Metadata', 'Object', 'None', or empty"));
    // Whoever reads it on a terminal gets it indented, unless they say otherwise.
    for (agent, query, indented) in [
        ("curl/8", "", true),
        ("kubectl/1", "", false),
        ("kubectl/1", "?pretty=true", true),
        ("curl/8", "?pretty=false", false),
    ] {
        let answer = server
            .send("GET", &format!("{MAPS}{query}"), &[&format!("user-agent: {agent}")], Vec::new())
            .await;
        assert_eq!(answer.bytes.contains(&b'\n'), indented, "{agent} {query}");
    }
}
