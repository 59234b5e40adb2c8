use kit::clock::FixedClock;
use serde_json::json;

use super::*;
use crate::attributes::UserInfo;

fn digest<'a>(
    user: &'a UserInfo,
    verb: &'a str,
    what: &'a str,
    namespace: &'a str,
    name: &'a str,
) -> Digest<'a> {
    let mut digest = Digest {
        user,
        verb,
        is_resource: true,
        group: "",
        resource: "",
        subresource: "",
        namespace,
        name,
        path: "",
    };
    if what.starts_with('/') {
        return Digest { is_resource: false, path: what, ..digest };
    }
    let mut parts = what.splitn(3, '/');
    digest.group = parts.next().filter(|group| *group != "core").unwrap_or_default();
    digest.resource = parts.next().unwrap_or_default();
    digest.subresource = parts.next().unwrap_or_default();
    digest
}

#[test]
fn the_first_rule_that_matches_decides() {
    let policy = Policy::parse(
        r#"
apiVersion: audit.k8s.io/v1
kind: Policy
metadata: {name: mine}
omitStages: [RequestReceived]
rules:
  - {level: None, users: [noisy], verbs: [watch]}
  - {level: Request, userGroups: [dev], resources: [{group: "", resources: [pods]}], omitManagedFields: true}
  - {level: RequestResponse, resources: [{group: "", resources: ["*/scale", "services/*"]}, {group: apps}]}
  - {level: Metadata, resources: [{group: "", resources: [configmaps], resourceNames: [one]}]}
  - {level: Metadata, namespaces: [kube-system]}
  - {level: Metadata, nonResourceURLs: ["/metrics", "/api*"], omitStages: [ResponseComplete]}
"#,
    )
    .unwrap();
    let (noisy, dev, other) =
        (UserInfo::new("noisy", &[]), UserInfo::new("d", &["dev"]), UserInfo::new("o", &[]));
    let table = [
        (&noisy, "watch", "core/pods", "a", "", Level::None),
        (&dev, "get", "core/pods", "a", "p", Level::Request),
        (&dev, "get", "core/pods/log", "a", "p", Level::None),
        (&other, "update", "core/replicationcontrollers/scale", "a", "r", Level::RequestResponse),
        (&other, "get", "core/services", "a", "s", Level::RequestResponse),
        (&other, "get", "core/services/proxy", "a", "s", Level::RequestResponse),
        (&other, "list", "apps/deployments", "a", "", Level::RequestResponse),
        (&other, "get", "core/configmaps", "a", "one", Level::Metadata),
        (&other, "get", "core/configmaps", "a", "two", Level::None),
        (&other, "get", "core/secrets", "kube-system", "s", Level::Metadata),
        (&other, "get", "/metrics", "", "", Level::Metadata),
        (&other, "get", "/apis/apps", "", "", Level::Metadata),
        (&other, "get", "/metrics/slis", "", "", Level::None),
    ];
    for (user, verb, what, namespace, name, level) in table {
        let verdict = policy.judge(&digest(user, verb, what, namespace, name));
        assert_eq!(verdict.level, level, "{verb} {what} {namespace} {name}");
    }
    let verdict = policy.judge(&digest(&other, "get", "/metrics", "", ""));
    assert_eq!(verdict.omit_stages, [Stage::RequestReceived, Stage::ResponseComplete]);
    assert!(policy.judge(&digest(&dev, "get", "core/pods", "a", "p")).omit_managed_fields);
}

#[test]
fn policies_that_make_no_sense_are_refused() {
    let table = [
        ("rules: [{level: Loud}]", "failed to read the audit policy"),
        (
            "rules: [{level: None, resources: [{group: apps}], nonResourceURLs: [/x]}]",
            "rules[0]: rules cannot apply to both regular resources and non-resource URLs",
        ),
        (
            "rules: [{level: None, nonResourceURLs: [\"/a*b\"]}]",
            "rules[0]: non-resource URL `/a*b` must begin with `/` or be `*`, and may have `*` only at its end",
        ),
        (
            "rules: [{level: None, resources: [{group: apps, resourceNames: [x]}]}]",
            "rules[0]: using resourceNames requires at least one resource",
        ),
        ("rules: []\nextra: 1", "failed to read the audit policy"),
    ];
    for (rules, text) in table {
        let policy = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\n{rules}");
        assert_eq!(Policy::parse(&policy).unwrap_err().to_string(), text);
    }
    let other = Policy::parse("apiVersion: v1\nkind: Pod").unwrap_err();
    assert_eq!(other.to_string(), "the audit policy is a `Pod` of `v1`, not a `Policy` of `audit.k8s.io/v1`");
}

#[test]
fn what_aks_records_shows_no_secret() {
    let policy = Policy::aks().unwrap();
    let user = UserInfo::new("jane", &["system:authenticated"]);
    let table = [
        ("get", "core/secrets", Level::Metadata),
        ("create", "core/secrets", Level::Metadata),
        ("create", "core/serviceaccounts/token", Level::Metadata),
        ("create", "authentication.k8s.io/tokenreviews", Level::Metadata),
        ("create", "core/pods", Level::RequestResponse),
        ("list", "core/pods", Level::Request),
        ("create", "core/events", Level::None),
        ("create", "example.com/things", Level::Metadata),
    ];
    for (verb, what, level) in table {
        assert_eq!(policy.judge(&digest(&user, verb, what, "a", "")).level, level, "{verb} {what}");
    }
    let node = UserInfo::new("system:node:n1", &["system:nodes"]);
    assert_eq!(
        policy.judge(&digest(&node, "update", "coordination.k8s.io/leases", "kube-node-lease", "n1")).level,
        Level::None
    );
}

fn request(id: &str) -> Request {
    Request {
        id: id.to_owned(),
        received: "2026-11-29T15:00:00.5Z".parse().unwrap(),
        uri: "/api/v1/namespaces/a/pods?x=1".to_owned(),
        users: Users {
            user: Arc::new(UserInfo::new("jane", &["dev"])),
            impersonated: Some(Arc::new(UserInfo::new("bot", &[]))),
        },
        source_ips: vec!["10.0.0.1".to_owned()],
        user_agent: "a".repeat(2000),
        api_version: "v1".to_owned(),
    }
}

fn auditor(rules: &str, sink: &Arc<MemorySink>) -> Auditor {
    let policy =
        Policy::parse(&format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: {rules}")).unwrap();
    let clock = FixedClock::new("2026-11-29T15:00:01Z".parse().unwrap());
    Auditor::new(Audit { policy: Arc::new(policy), sinks: vec![sink.clone()] }, Arc::new(clock))
}

#[tokio::test]
async fn an_event_says_who_did_what_and_how_it_ended() {
    let sink = MemorySink::new(10);
    let auditor = auditor("[{level: Request, omitManagedFields: true}]", &sink);
    let user = UserInfo::new("jane", &["dev"]);
    let record = auditor.begin(request("id-1"), &digest(&user, "create", "core/pods", "a", "")).unwrap();
    record.set_decoder(Box::new(|_, body| serde_json::from_slice(body).ok()));
    record.reach(Stage::RequestReceived, None);
    within(Some(record.clone()), async {
        annotate("authorization.k8s.io/decision", || "allow".to_owned());
        annotate("authorization.k8s.io/decision", || "forbid".to_owned());
        let body = json!({"metadata": {"name": "p", "managedFields": [{}]}}).to_string();
        note_request_body("application/json", &Bytes::from(body));
    })
    .await;
    let outcome = Outcome {
        code: 409,
        status: Some(json!({"status": "Failure", "reason": "AlreadyExists", "message": "no", "code": 409})),
        object: Some(json!({})),
    };
    record.reach(Stage::ResponseComplete, Some(&outcome));
    record.reach(Stage::Panic, None);
    let events = sink.events();
    assert_eq!(events.len(), 2, "the last stage happens once");
    let event = &events[1];
    let expected = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Request", "auditID": "id-1", "stage": "ResponseComplete",
        "requestURI": "/api/v1/namespaces/a/pods?x=1", "verb": "create",
        "user": {"username": "jane", "groups": ["dev"]}, "impersonatedUser": {"username": "bot"}, "sourceIPs": ["10.0.0.1"],
        "userAgent": format!("{}...TRUNCATED", "a".repeat(1012)),
        "objectRef": {"resource": "pods", "namespace": "a", "apiVersion": "v1"},
        "responseStatus": {"metadata": {}, "status": "Failure", "message": "no", "reason": "AlreadyExists", "code": 409},
        "requestObject": {"metadata": {"name": "p"}},
        "requestReceivedTimestamp": "2026-11-29T15:00:00.500000Z", "stageTimestamp": "2026-11-29T15:00:01.000000Z",
        "annotations": {"authorization.k8s.io/decision": "allow"},
    });
    assert_eq!(*event, expected);
    assert_eq!(events[0]["stage"], "RequestReceived");
    assert!(auditor.begin(request("x"), &digest(&user, "get", "core/pods", "a", "")).is_some());
    annotate("nobody", || unreachable!("nothing is recorded here"));
}

#[tokio::test]
async fn a_log_is_put_aside_when_it_has_grown_and_the_oldest_go() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.log");
    let tasks = kit::Tasks::new();
    let clock: Arc<dyn Clock> = Arc::new(FixedClock::new("2026-11-29T15:00:01Z".parse().unwrap()));
    let open = |path: std::path::PathBuf, category| {
        FileSink::open(
            FileSettings { path, size_bytes_max: 60, kept_max: 2, category },
            clock.clone(),
            &tasks,
        )
        .unwrap()
    };
    let all = open(path.clone(), Category::All);
    let admin = open(directory.path().join("audit-admin.log"), Category::Admin);
    for number in 0..20 {
        let line = format!("{{\"event\":{number:04}, \"of\":\"twenty\"}}");
        let event = Arc::new(Recorded { line: line.into(), admin: number == 7 });
        all.accept(&event);
        admin.accept(&event);
    }
    assert!(tasks.drain(std::time::Duration::from_secs(30)).await, "all is written before the end");
    let mut names: Vec<String> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(std::fs::read_to_string(directory.path().join("audit-admin.log")).unwrap().lines().count(), 1);
    let newest = std::fs::read_to_string(&path).unwrap();
    assert!(newest.ends_with("{\"event\":0019, \"of\":\"twenty\"}\n"), "{newest}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(all.lost(), 0);
}

#[test]
fn a_clients_own_id_is_kept() {
    let mut headers = HeaderMap::new();
    assert_eq!(id(&headers).to_str().unwrap().len(), 36);
    headers.insert(AUDIT_ID, "x".repeat(80).parse().unwrap());
    assert_eq!(id(&headers), "x".repeat(64));
}
