//! Who, whether, how much, and what is recorded of it, through the whole server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use apiserver::audit::{Audit, MemorySink, Policy};
use apiserver::{Access, UserInfo};
use serde_json::{Value, json};

use crate::harness::{MAPS, PODS, Server, map, pod, start, start_access};

const JSON: &[&str] = &["content-type: application/json"];

fn jane() -> UserInfo {
    UserInfo::new("jane", &["dev"])
}

/// Waits until an object looks as it should.
async fn until(server: &Server, path: &str, fine: impl Fn(&Value) -> bool) -> Value {
    loop {
        let found = server.get(path).await.body;
        if fine(&found) {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_refusal_and_its_reviews_say_the_same() {
    let server = start().await;
    let refused = server.send_as(&jane(), "GET", PODS, &[], Vec::new()).await.refused(403);
    let text = "User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"";
    assert_eq!(refused, format!("pods is forbidden: {text}"));
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = server.send_as(&jane(), "POST", path, JSON, review.to_string().into_bytes()).await.ok();
    assert_eq!(answer["status"], json!({"allowed": false}));
    let rules = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": "default"}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let answer = server.send_as(&jane(), "POST", path, JSON, rules.to_string().into_bytes()).await.ok();
    assert_eq!(answer["status"]["incomplete"], false);
    let selves = json!({"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]});
    assert!(answer["status"]["resourceRules"].as_array().unwrap().contains(&selves), "{answer}");
    let empty = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": {}});
    let message = server.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", empty).await.refused(422);
    assert_eq!(
        message,
        "SubjectAccessReview.authorization.k8s.io \"\" is invalid: [spec.resourceAttributes: Invalid value: \"null\": exactly one of nonResourceAttributes or resourceAttributes must be specified, spec.user: Invalid value: \"\": at least one of user or group must be specified]"
    );
    let local = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "LocalSubjectAccessReview",
        "spec": {"user": "x", "resourceAttributes": {"namespace": "other", "verb": "get", "resource": "pods"}}});
    let path = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews";
    let message = server.post(path, local).await.refused(422);
    assert!(
        message.ends_with(
            "spec.resourceAttributes.namespace: Invalid value: \"other\": must match metadata.namespace"
        ),
        "{message}"
    );
    let who = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let answer = server.send_as(&jane(), "POST", path, JSON, who.to_string().into_bytes()).await.ok();
    assert_eq!(
        answer["status"]["userInfo"],
        json!({"username": "jane", "groups": ["dev", "system:authenticated"]})
    );
}

#[tokio::test]
async fn a_secret_for_a_token_is_filled_and_goes_with_its_account() {
    let server = start().await;
    let secrets = "/api/v1/namespaces/default/secrets";
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "mine", "annotations": {"kubernetes.io/service-account.name": "app"}}});
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "app"}});
    server.post("/api/v1/namespaces/default/serviceaccounts", account).await.ok();
    server.post(secrets, secret).await.ok();
    let path = format!("{secrets}/mine");
    let filled = until(&server, &path, |secret| secret["data"]["token"].is_string()).await;
    assert!(filled["data"]["ca.crt"].is_string() && filled["data"]["namespace"].is_string(), "{filled}");
    let token = filled["data"]["token"].as_str().unwrap();
    let token =
        String::from_utf8(base64::Engine::decode(&base64::engine::general_purpose::STANDARD, token).unwrap())
            .unwrap();
    let review =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let answer = server.post(reviews, review.clone()).await.ok();
    assert_eq!(answer["status"]["authenticated"], true, "{answer}");
    assert_eq!(answer["status"]["user"]["username"], "system:serviceaccount:default:app");
    until(&server, &path, |secret| {
        secret["metadata"]["labels"]["kubernetes.io/legacy-token-last-used"].is_string()
    })
    .await;
    server.delete("/api/v1/namespaces/default/serviceaccounts/app").await.ok();
    until(&server, &path, |secret| secret["code"] == 404).await;
    let answer = server.post(reviews, review).await.ok();
    assert_eq!(answer["status"]["authenticated"], Value::Null, "{answer}");
    assert_eq!(answer["status"]["error"], "service account token has been invalidated");
}

#[tokio::test]
async fn what_is_done_is_recorded_as_the_policy_says() {
    let sink = MemorySink::new(100);
    let policy = Policy::parse(
        r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - {level: None, users: [admin], verbs: [get]}
  - {level: None, userGroups: ["system:masters"], resources: [{group: flowcontrol.apiserver.k8s.io}]}
  - {level: Metadata, resources: [{group: "", resources: [secrets]}]}
  - {level: RequestResponse, resources: [{group: "", resources: [configmaps, pods]}], omitManagedFields: true}
"#,
    );
    let audit = Audit { policy: Arc::new(policy.unwrap()), sinks: vec![sink.clone()] };
    let server = start_access(Access { audit: Some(audit), ..Access::default() }).await;
    let about = |uri: &str| -> Vec<Value> {
        sink.events()
            .into_iter()
            .filter(|event| event["requestURI"].as_str().unwrap().starts_with(uri))
            .collect()
    };
    let made = server
        .send(
            "POST",
            MAPS,
            &["content-type: application/json", "audit-id: my-own"],
            map("m").to_string().into_bytes(),
        )
        .await;
    assert_eq!(made.headers["audit-id"], "my-own");
    made.ok();
    let events = about(MAPS);
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(
        (&event["auditID"], &event["stage"], &event["verb"]),
        (&json!("my-own"), &json!("ResponseComplete"), &json!("create"))
    );
    assert_eq!(event["requestObject"]["data"]["a"], "1");
    assert_eq!(event["responseObject"]["metadata"]["name"], "m");
    assert_eq!(event["responseObject"]["metadata"]["managedFields"], Value::Null);
    assert_eq!(event["responseStatus"], json!({"metadata": {}, "code": 201}));
    assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "allow");
    assert_eq!(event["user"]["username"], "admin");

    // A refusal, made as somebody else.
    let refused = server
        .send("GET", "/api/v1/namespaces/default/secrets/x", &["impersonate-user: jane"], Vec::new())
        .await;
    refused.refused(403);
    let events = about("/api/v1/namespaces/default/secrets");
    assert_eq!(events.len(), 0, "the rule asks who makes the request: {events:?}");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"password": "hidden"}});
    let sent = server
        .send(
            "POST",
            "/api/v1/namespaces/default/secrets",
            &["content-type: application/json", "impersonate-user: jane"],
            secret.to_string().into_bytes(),
        )
        .await;
    sent.refused(403);
    let events = about("/api/v1/namespaces/default/secrets");
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(event["impersonatedUser"]["username"], "jane");
    assert_eq!(event["responseStatus"]["reason"], "Forbidden");
    assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert!(!sink.events().iter().any(|event| event.to_string().contains("hidden")));

    // A watch is recorded when it begins and when it ends.
    let watch = server.send("GET", &format!("{PODS}?watch=1&timeoutSeconds=1"), &[], Vec::new()).await;
    assert_eq!(watch.status, 200);
    let stages: Vec<Value> = about(PODS).iter().map(|event| event["stage"].clone()).collect();
    assert_eq!(stages, [json!("ResponseStarted"), json!("ResponseComplete")]);
}

#[tokio::test]
async fn health_is_told_check_by_check() {
    let server = start().await;
    let text = |answer: &crate::harness::Answer| String::from_utf8(answer.bytes.to_vec()).unwrap();
    for path in [
        "/healthz",
        "/livez",
        "/readyz",
        "/readyz/etcd",
        "/livez/ping",
        "/readyz/poststarthook/rbac/bootstrap-roles",
    ] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, text(&answer).as_str()), (200, "ok"), "{path}");
    }
    let verbose = text(&server.get("/readyz?verbose&exclude=etcd&exclude=foo").await);
    assert!(
        verbose.starts_with(
            "[+]ping ok\n[+]log ok\n[+]etcd excluded: ok\n[+]etcd-readiness ok\n[+]informer-sync ok\n"
        ),
        "{verbose}"
    );
    assert!(verbose.ends_with("[+]shutdown ok\nwarn: some health checks cannot be excluded: no matches for \"foo\"\nreadyz check passed\n"), "{verbose}");
    assert_eq!(server.get("/livez/informer-sync").await.status, 404);
    server.tasks.stop();
    let failed = server.get("/readyz").await;
    assert_eq!(failed.status, 500);
    assert!(text(&failed).contains("[-]shutdown failed: reason withheld\n"), "{}", text(&failed));
    assert!(text(&failed).ends_with("readyz check failed\n"));
}

#[tokio::test]
async fn metrics_count_what_is_served_and_not_what_is_invented() {
    let server = start().await;
    server.post(MAPS, map("m")).await.ok();
    server.get(MAPS).await.ok();
    server.get(&format!("{MAPS}/none")).await.refused(404);
    for number in 0..5 {
        assert_eq!(server.get(&format!("/apis/invented{number}.io/v1/things")).await.status, 404);
    }
    let text = String::from_utf8(server.get("/metrics").await.bytes.to_vec()).unwrap();
    let labels = "component=\"apiserver\",dry_run=\"\",group=\"\",resource=\"configmaps\"";
    for line in [
        format!(
            "apiserver_request_total{{code=\"201\",{labels},scope=\"resource\",subresource=\"\",verb=\"POST\",version=\"v1\"}} 1\n"
        ),
        format!(
            "apiserver_request_total{{code=\"200\",{labels},scope=\"namespace\",subresource=\"\",verb=\"LIST\",version=\"v1\"}} 1\n"
        ),
        format!(
            "apiserver_request_total{{code=\"404\",{labels},scope=\"resource\",subresource=\"\",verb=\"GET\",version=\"v1\"}} 1\n"
        ),
        "apiserver_storage_objects{resource=\"configmaps\"} ".to_owned(),
        "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"workload-low\"} 245\n".to_owned(),
        "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1\n".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("invented"), "nobody fills the memory with names");
    let dump = server.get("/debug/api_priority_and_fairness/dump_priority_levels").await;
    assert!(String::from_utf8_lossy(&dump.bytes).starts_with("PriorityLevelName,"));
}

#[tokio::test]
async fn the_clusters_own_flow_schemas_are_kept() {
    let server = start().await;
    let schemas = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
    let dangling = |schema: &Value| schema["status"]["conditions"][0]["status"].clone();
    let found = until(&server, &format!("{schemas}/exempt"), |schema| dangling(schema) == "False").await;
    assert_eq!(
        found["status"]["conditions"][0]["message"],
        "This FlowSchema references the PriorityLevelConfiguration object named \"exempt\" and it exists"
    );
    let uid = found["metadata"]["uid"].clone();
    server.delete(&format!("{schemas}/exempt")).await.ok();
    until(&server, &format!("{schemas}/exempt"), |schema| {
        schema["metadata"]["uid"].is_string() && schema["metadata"]["uid"] != uid
    })
    .await;
    // What one makes oneself counts at once, and says when its level is missing.
    let mine = json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "mine"}, "spec": {
        "matchingPrecedence": 50, "priorityLevelConfiguration": {"name": "absent"}, "distinguisherMethod": {"type": "ByUser"},
        "rules": [{"subjects": [{"kind": "User", "user": {"name": "jane"}}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}]}]}});
    server.post(schemas, mine).await.ok();
    until(&server, &format!("{schemas}/mine"), |schema| dangling(schema) == "True").await;
    let patch = json!({"spec": {"priorityLevelConfiguration": {"name": "system"}}});
    let patched = server.patch("merge", &format!("{schemas}/mine"), patch).await.ok();
    let answer = server.send_as(&jane(), "GET", PODS, &[], Vec::new()).await;
    assert_eq!(
        answer.headers["x-kubernetes-pf-flowschema-uid"],
        patched["metadata"]["uid"].as_str().unwrap()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn leases_and_heartbeats_live_through_a_flood() {
    const FLOOD: usize = 3000;
    let server = Arc::new(start_access(Access { seats: 20, ..Access::default() }).await);
    for number in 0..1200 {
        server.post(MAPS, map(&format!("m{number}"))).await.ok();
    }
    let lease = |name: &str, namespace: &str| {
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": namespace}, "spec": {"holderIdentity": name}})
    };
    let leases = |namespace: &str| format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
    server.post(&leases("kube-node-lease"), lease("n1", "kube-node-lease")).await.ok();
    server.post(&leases("kube-system"), lease("kube-controller-manager", "kube-system")).await.ok();

    let flooding =
        UserInfo::new("system:serviceaccount:app:flood", &["system:serviceaccounts", "system:masters-not"]);
    let reader = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "flood"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "ServiceAccount", "name": "flood", "namespace": "app"}]});
    server.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", reader).await.ok();
    let (served, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..FLOOD {
        let (server, flooding, served, refused) =
            (server.clone(), flooding.clone(), served.clone(), refused.clone());
        flood.spawn(async move {
            let answer = server.send_as(&flooding, "GET", MAPS, &[], Vec::new()).await;
            match answer.status {
                200 => served.fetch_add(1, Ordering::Relaxed),
                429 => {
                    assert_eq!(answer.headers["retry-after"], "1");
                    assert_eq!(&answer.bytes[..], b"Too many requests, please try again later.\n");
                    assert!(answer.headers.contains_key("x-kubernetes-pf-prioritylevel-uid"));
                    refused.fetch_add(1, Ordering::Relaxed)
                }
                other => panic!("{other}: {}", answer.body),
            };
        });
    }
    let node = UserInfo::new("system:node:n1", &["system:nodes"]);
    let manager = UserInfo::new("system:kube-controller-manager", &[]);
    let mut beats = 0;
    while flood.len() > 0 {
        for (user, path) in [
            (&node, format!("{}/n1", leases("kube-node-lease"))),
            (&manager, format!("{}/kube-controller-manager", leases("kube-system"))),
        ] {
            let held = server.send_as(user, "GET", &path, &[], Vec::new()).await;
            let mut lease = held.ok();
            lease["spec"]["leaseTransitions"] = json!(beats);
            server.send_as(user, "PUT", &path, JSON, lease.to_string().into_bytes()).await.ok();
        }
        beats += 1;
        while flood.try_join_next().is_some_and(|ended| ended.is_ok()) {}
    }
    let (served, refused) = (served.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    assert_eq!(served + refused, FLOOD as u64);
    assert!(served >= 50 && beats > 0, "{served} served, {refused} refused, {beats} beats");
    println!("{served} served, {refused} refused, {beats} beats");
    server.post(PODS, pod("after")).await.ok();
}

#[tokio::test]
async fn the_issuers_documents_may_be_kept_and_tokens_rotate() {
    let old = kit::pki::rsa_key_pem().unwrap();
    let server =
        start_access(Access { retired_service_account_keys_pem: vec![old], ..Access::default() }).await;
    let keys = server.get("/openid/v1/jwks").await;
    assert_eq!(keys.headers["content-type"], "application/jwk-set+json");
    assert_eq!(keys.headers["cache-control"], "public, max-age=3600");
    assert_eq!(keys.body["keys"].as_array().unwrap().len(), 2);
    let document = server.get("/.well-known/openid-configuration").await.ok();
    assert_eq!(document["jwks_uri"], "https://issuer.test/openid/v1/jwks");
    let account = UserInfo::new("system:serviceaccount:a:b", &["system:serviceaccounts"]);
    assert_eq!(server.send_as(&account, "GET", "/openid/v1/jwks", &[], Vec::new()).await.status, 200);
    server.send_as(&jane(), "GET", "/openid/v1/jwks", &[], Vec::new()).await.refused(403);
}
