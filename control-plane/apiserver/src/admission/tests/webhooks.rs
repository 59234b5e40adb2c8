use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kit::http::{BoxService, Request, ServiceFn};
use parking_lot::Mutex;

use super::*;

const GROUP: &str = "admissionregistration.k8s.io";

type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// A webhook behind Service `hook` of namespace `a`, reached through a tunnel of node `n1`.
struct Hook {
    bundle: String,
    url: String,
    asked: Asked,
    tasks: Tasks,
}

/// What the hook answers on a path.
fn answer(path: &str, review: &Value) -> Value {
    let patch = |operations: Value| STANDARD.encode(operations.to_string());
    let label = |key: &str, value: &str| json!([{"op": "add", "path": format!("/metadata/labels/{key}"), "value": value}]);
    let labels = json!([{"op": "add", "path": "/metadata/labels", "value": {"by": "hook"}}]);
    match path {
        "/mutate" => json!({"allowed": true, "patchType": "JSONPatch", "patch": patch(labels)}),
        "/count" => {
            let seen = text(review, "/request/object/metadata/labels/count").parse().unwrap_or(0);
            json!({"allowed": true, "patchType": "JSONPatch", "patch": patch(label("count", &(seen + 1).to_string()))})
        }
        "/judge" => json!({
            "allowed": text(review, "/request/object/metadata/labels/by") == "hook" && text(review, "/request/name") != "bad",
            "status": {"code": 403, "reason": "NoBadPods", "message": "no bad pods"},
            "warnings": ["be good"],
            "auditAnnotations": {"seen": "yes"},
        }),
        "/no" => json!({"allowed": false}),
        "/liar" => json!({"allowed": true, "uid": "other"}),
        "/untyped" => json!({"allowed": true, "patch": patch(json!([]))}),
        _ => json!({"allowed": true}),
    }
}

async fn hook(world: &mut World) -> Hook {
    let tasks = Tasks::new();
    let asked: Asked = Arc::default();
    let authority = Authority::new("hook-ca", std::time::Duration::from_secs(86_400)).unwrap();
    let leaf = kit::pki::Leaf {
        common_name: "hook".into(),
        organizations: vec![],
        dns_names: vec!["hook.a.svc".into(), "localhost".into()],
        addresses: vec![],
        usage: kit::pki::Usage::Server,
        valid: std::time::Duration::from_secs(86_400),
    };
    let serving = authority.issue(&leaf).unwrap();
    let certificates = kit::tls::Certificates::new();
    certificates.set_default(&serving.certificate_pem, &serving.key_pem).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = asked.clone();
    let answers = ServiceFn(move |request: Request| {
        let seen = seen.clone();
        async move {
            let (path, query) = (request.uri().path().to_owned(), request.uri().query().map(str::to_owned));
            if path == "/broken" {
                return kit::http::bytes_response(
                    http::StatusCode::INTERNAL_SERVER_ERROR,
                    "text/plain",
                    "oops",
                );
            }
            if path == "/slow" {
                std::future::pending::<()>().await;
            }
            let body = kit::http::read(request.into_body(), 100_000).await.unwrap();
            let review: Value = serde_json::from_slice(&body).unwrap();
            let mut response = answer(&path, &review);
            if response.get("uid").is_none() {
                response["uid"] = review["request"]["uid"].clone();
            }
            seen.lock().push((format!("{path}?{}", query.unwrap_or_default()), review["request"].clone()));
            kit::http::json(
                http::StatusCode::OK,
                &json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}),
            )
        }
    });
    let service: BoxService = Arc::new(answers);
    kit::serve::tls(listener, kit::tls::server(certificates).unwrap(), service, &tasks);

    let tunnels = Tunnels::new(&tasks);
    let (near, far) = tokio::io::duplex(64 * 1024);
    let runs = tunnels.clone();
    tasks.spawn("tunnel", async move { runs.run("n1", near).await });
    tasks.spawn("carry", async move {
        let dial = move |_| tokio::net::TcpStream::connect(("127.0.0.1", port));
        drop(kit::tunnel::carry(far, dial).await);
    });
    tunnels.changed().wait_for(|_| !tunnels.nodes().is_empty()).await.unwrap();
    let kubelets = Arc::new(Kubelets::new(&authority, tunnels).unwrap());
    let authorizer = Arc::new(Authorizer::new(world.objects.clone()));
    let backend = Arc::new(Stand { model: world.model.clone(), objects: world.objects.clone() });
    world.chain = Chain::new(world.objects.clone(), authorizer, kubelets, backend);
    world.objects.put(
        "",
        "services",
        json!({"metadata": {"name": "hook", "namespace": "a"}, "spec": {"ports": [{"port": 443}]}}),
    );
    world.objects.put(
        "discovery.k8s.io",
        "endpointslices",
        json!({
        "metadata": {"name": "hook-1", "namespace": "a", "labels": {"kubernetes.io/service-name": "hook"}},
        "ports": [{"port": 8443}], "endpoints": [{"addresses": ["10.244.0.7"], "nodeName": "n1"}]}),
    );
    let bundle = STANDARD.encode(authority.certificate_pem());
    Hook { bundle, url: format!("https://localhost:{port}"), asked, tasks }
}

impl Hook {
    /// A webhook on a path, with some fields of its own.
    fn at(&self, path: &str, own: Value) -> Value {
        let mut webhook = json!({
            "name": format!("{}.example.com", path.trim_start_matches('/')),
            "rules": [{"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods", "pods/*"]}],
            "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": {"caBundle": self.bundle, "service": {"namespace": "a", "name": "hook", "path": path}},
        });
        webhook.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        webhook
    }

    fn take(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut *self.asked.lock())
    }

    async fn end(self) {
        assert!(self.tasks.drain(std::time::Duration::from_secs(5)).await);
    }
}

impl World {
    fn configure(&self, plural: &str, webhooks: Vec<Value>) {
        self.objects.put(GROUP, plural, json!({"metadata": {"name": "w"}, "webhooks": webhooks}));
    }

    fn validating(&self, webhook: Value) {
        self.configure("validatingwebhookconfigurations", vec![webhook]);
    }

    fn mutating(&self, webhooks: Vec<Value>) {
        self.configure("mutatingwebhookconfigurations", webhooks);
    }
}

#[tokio::test]
async fn webhooks_change_and_refuse_through_the_tunnel() {
    let mut world = world();
    let hook = hook(&mut world).await;
    let selector =
        json!({"objectSelector": {"matchExpressions": [{"key": "free", "operator": "DoesNotExist"}]}});
    world.mutating(vec![hook.at("/mutate", selector.clone())]);
    world.validating(hook.at("/judge", selector));
    let got = world.create("", "pods").admit(pod("good")).await.unwrap();
    assert_eq!(text(&got, "/metadata/labels/by"), "hook");
    assert_eq!(world.notes.take_warnings(), ["be good"]);
    let annotations = world.notes.annotations();
    assert_eq!(annotations["judge.example.com/seen"], "yes");
    let mutated: Value =
        serde_json::from_str(&annotations["mutation.webhook.admission.k8s.io/round_0_index_0"]).unwrap();
    assert_eq!(mutated, json!({"configuration": "w", "webhook": "mutate.example.com", "mutated": true}));
    let asked = hook.take();
    assert_eq!(asked[0].0, "/mutate?timeout=10s");
    let request = &asked[0].1;
    for (pointer, value) in [
        ("/kind", json!({"group": "", "version": "v1", "kind": "Pod"})),
        ("/resource", json!({"group": "", "version": "v1", "resource": "pods"})),
        ("/requestKind/kind", json!("Pod")),
        ("/name", json!("good")),
        ("/namespace", json!("a")),
        ("/operation", json!("CREATE")),
        ("/userInfo", json!({"username": "jane", "groups": ["system:authenticated"]})),
        ("/oldObject", json!(null)),
        ("/dryRun", json!(false)),
        ("/options", json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"})),
    ] {
        assert_eq!(request.pointer(pointer), Some(&value), "{pointer}");
    }
    let why = world.create("", "pods").admit(pod("bad")).await.unwrap_err();
    assert_eq!(why, "admission webhook \"judge.example.com\" denied the request: no bad pods");
    let mut free = pod("bad");
    free["metadata"]["labels"] = json!({"free": "yes"});
    assert!(world.create("", "pods").admit(free).await.is_ok());
    hook.end().await;
}

#[tokio::test]
async fn failures_are_told_or_ignored() {
    let mut world = world();
    let hook = hook(&mut world).await;
    let ask = async |webhook: Value| {
        world.validating(webhook);
        world.create("", "pods").admit(pod("p")).await.err().unwrap_or_default()
    };
    assert_eq!(
        ask(hook.at("/no", json!({}))).await,
        "admission webhook \"no.example.com\" denied the request without explanation"
    );
    let failed =
        |path: &str| format!("Internal error occurred: failed calling webhook \"{path}.example.com\": ");
    let why = ask(hook.at("/broken", json!({}))).await;
    assert_eq!(
        why,
        format!(
            "{}failed to call webhook: an error on the server (\"oops\") has prevented the request from succeeding",
            failed("broken")
        )
    );
    assert_eq!(ask(hook.at("/broken", json!({"failurePolicy": "Ignore"}))).await, "");
    let open = "failed-open.validating.webhook.admission.k8s.io/round_0_index_0";
    assert_eq!(world.notes.annotations()[open], "broken.example.com");
    let why = ask(hook.at("/slow", json!({"timeoutSeconds": 1}))).await;
    assert_eq!(
        why,
        format!(
            "{}failed to call webhook: Post \"https://hook.a.svc:443/slow?timeout=1s\": context deadline exceeded",
            failed("slow")
        )
    );
    let why = ask(hook.at("/liar", json!({}))).await;
    assert!(
        why.starts_with(&format!(
            "{}received invalid webhook response: expected response.uid=\"",
            failed("liar")
        )),
        "{why}"
    );
    let why = ask(hook.at("/mutate", json!({}))).await;
    assert_eq!(
        why,
        format!(
            "{}received invalid webhook response: validating webhook may not return response.patch",
            failed("mutate")
        )
    );
    let nowhere =
        json!({"clientConfig": {"caBundle": hook.bundle, "service": {"namespace": "a", "name": "none"}}});
    let why = ask(hook.at("/none", nowhere)).await;
    assert_eq!(
        why,
        format!(
            "{}failed to call webhook: Post \"https://none.a.svc:443/?timeout=10s\": service \"none\" not found",
            failed("none")
        )
    );
    let other = Authority::new("other", std::time::Duration::from_secs(86_400)).unwrap();
    let other = STANDARD.encode(other.certificate_pem());
    let untrusted = json!({"clientConfig": {"caBundle": other, "service": {"namespace": "a", "name": "hook", "path": "/ok"}}});
    let why = ask(hook.at("/ok", untrusted)).await;
    assert!(why.starts_with(&failed("ok")) && why.contains("UnknownIssuer"), "{why}");
    let direct = json!({"clientConfig": {"caBundle": hook.bundle, "url": format!("{}/ok?x=1", hook.url)}});
    hook.take();
    assert_eq!(ask(hook.at("/ok", direct)).await, "");
    assert_eq!(hook.take()[0].0, "/ok?x=1&timeout=10s");
    hook.end().await;
}

#[tokio::test]
async fn webhooks_are_asked_on_every_verb() {
    let mut world = world();
    let hook = hook(&mut world).await;
    world.validating(hook.at("/ok", json!({})));
    let seen = |hook: &Hook| {
        let asked = hook.take();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.into_iter().next().unwrap().1
    };
    let delete = Ask { operation: Operation::Delete, old: Some(pod("p")), ..world.create("", "pods") };
    delete.admit(pod("p")).await.unwrap();
    let request = seen(&hook);
    assert_eq!((&request["object"], text(&request, "/oldObject/metadata/name")), (&json!(null), "p"));
    assert_eq!(request["options"]["kind"], "DeleteOptions");
    let connect =
        Ask { operation: Operation::Connect, path: ("", "pods", "exec"), ..world.create("", "pods") };
    let mut options = json!({"kind": "PodExecOptions", "apiVersion": "v1", "command": ["sh"]});
    options["metadata"] = json!({"name": "p", "namespace": "a"});
    connect.admit(options).await.unwrap();
    let request = seen(&hook);
    assert_eq!(
        (text(&request, "/kind/kind"), text(&request, "/subResource"), &request["options"]),
        ("PodExecOptions", "exec", &json!(null))
    );
    let evict = Ask { path: ("", "pods", "eviction"), ..world.create("", "pods") };
    evict.admit(json!({"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "p", "namespace": "a"}})).await.unwrap();
    assert_eq!(seen(&hook)["kind"], json!({"group": "policy", "version": "v1", "kind": "Eviction"}));
    let update = Ask { operation: Operation::Update, old: Some(pod("p")), ..world.create("", "pods") };
    update.admit(world.create("", "pods").admit(pod("p")).await.unwrap()).await.unwrap();
    assert_eq!(hook.take()[1].1["operation"], "UPDATE");
    // Nobody may be locked out of the configurations themselves.
    let all = json!({"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]});
    world.validating(hook.at("/no", all));
    let configuration = json!({"metadata": {"name": "x"}, "webhooks": []});
    assert!(world.create(GROUP, "validatingwebhookconfigurations").admit(configuration).await.is_ok());
    assert!(
        world
            .create("", "configmaps")
            .admit(json!({"metadata": {"name": "c", "namespace": "a"}}))
            .await
            .is_err()
    );
    hook.end().await;
}

#[tokio::test]
async fn dry_runs_need_webhooks_without_side_effects() {
    let mut world = world();
    let hook = hook(&mut world).await;
    world.validating(hook.at("/ok", json!({"sideEffects": "Some"})));
    let tries = Ask { dry_run: true, ..world.create("", "pods") };
    let why = "admission webhook \"ok.example.com\" does not support dry run";
    assert_eq!(tries.admit(pod("p")).await, Err(why.to_owned()));
    world.validating(hook.at("/ok", json!({"sideEffects": "NoneOnDryRun"})));
    assert!(tries.admit(pod("p")).await.is_ok());
    let request = &hook.take()[0].1;
    assert_eq!((&request["dryRun"], &request["options"]["dryRun"]), (&json!(true), &json!(["All"])));
    hook.end().await;
}

#[tokio::test]
async fn an_equivalent_version_is_shown_in_the_version_asked_for() {
    let mut world = world();
    let hook = hook(&mut world).await;
    let rules = |policy: &str| {
        json!({"matchPolicy": policy, "rules": [
        {"operations": ["CREATE"], "apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["horizontalpodautoscalers"]}]})
    };
    let autoscaler = json!({"kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2", "metadata": {"name": "h", "namespace": "a"},
        "spec": {"maxReplicas": 3, "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}]}});
    let served =
        Served::built_in(world.model.resource("autoscaling", "v2", "horizontalpodautoscalers").unwrap());
    let user = UserInfo::new("jane", &[]);
    for (policy, times) in [("Equivalent", 1), ("Exact", 0)] {
        world.validating(hook.at("/ok", rules(policy)));
        let mut object = autoscaler.clone();
        let mut request = AdmissionRequest {
            operation: Operation::Create,
            resource: &served.resource,
            subresource: "",
            namespace: "a",
            name: "h",
            user: &user,
            object: Some(&mut object),
            old: None,
            options: Options::DryRun(false),
            notes: &world.notes,
        };
        world.chain.validate(&mut request, &served).await.unwrap();
        let asked = hook.take();
        assert_eq!(asked.len(), times);
        if let Some((_, request)) = asked.first() {
            assert_eq!((text(request, "/kind/version"), text(request, "/requestKind/version")), ("v1", "v2"));
            assert_eq!(text(request, "/object/apiVersion"), "autoscaling/v1");
            assert_eq!(request["object"]["spec"]["targetCPUUtilizationPercentage"], 50);
        }
    }
    hook.end().await;
}

#[tokio::test]
async fn a_webhook_is_asked_again_when_a_later_one_changed_something() {
    let mut world = world();
    let hook = hook(&mut world).await;
    let mut labelled = pod("p");
    labelled["metadata"]["labels"] = json!({"x": "y"});
    let again = hook.at("/count", json!({"reinvocationPolicy": "IfNeeded"}));
    world.mutating(vec![again.clone(), hook.at("/mutate", json!({}))]);
    let got = world.create("", "pods").admit(labelled.clone()).await.unwrap();
    let paths: Vec<String> = hook.take().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["/count?timeout=10s", "/mutate?timeout=10s", "/count?timeout=10s"]);
    // The second replaced all labels, so that the first counts from one again.
    assert_eq!(got["metadata"]["labels"], json!({"by": "hook", "count": "1"}));
    world.mutating(vec![again]);
    let got = world.create("", "pods").admit(labelled).await.unwrap();
    assert_eq!((hook.take().len(), text(&got, "/metadata/labels/count")), (1, "1"));
    hook.end().await;
}

#[tokio::test]
async fn policies_come_before_webhooks_and_again_after_them() {
    for (again, count) in [("IfNeeded", "1xx"), ("Never", "1x")] {
        let mut world = world_of("1.36");
        let hook = hook(&mut world).await;
        let cross = "[JSONPatch{op: 'replace', path: '/metadata/labels/count', value: object.metadata.labels.count + 'x'}]";
        let policy = json!({"metadata": {"name": "m"}, "spec": {"reinvocationPolicy": again,
            "matchConstraints": {"resourceRules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]},
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": cross}}]}});
        world.objects.put(GROUP, "mutatingadmissionpolicies", policy);
        let binding = json!({"metadata": {"name": "m"}, "spec": {"policyName": "m"}});
        world.objects.put(GROUP, "mutatingadmissionpolicybindings", binding);
        world.mutating(vec![hook.at("/fine", json!({"reinvocationPolicy": "IfNeeded"}))]);
        let mut labelled = pod("p");
        labelled["metadata"]["labels"] = json!({"count": "1"});
        let got = world.create("", "pods").admit(labelled).await.unwrap();
        assert_eq!(text(&got, "/metadata/labels/count"), count);
        let seen = hook.take();
        let seen: Vec<&str> =
            seen.iter().map(|(_, asked)| text(asked, "/object/metadata/labels/count")).collect();
        // The webhook sees what the policy made, and is asked again only when the policy's second turn changed something.
        let wanted: &[&str] = if again == "Never" { &["1x"] } else { &["1x", "1xx"] };
        assert_eq!(seen, wanted);
        hook.end().await;
    }
}

#[tokio::test]
async fn selectors_and_scopes_choose() {
    let mut world = world();
    let hook = hook(&mut world).await;
    let chosen = async |own: Value| {
        world.validating(hook.at("/ok", own));
        world.create("", "pods").admit(pod("p")).await.unwrap();
        !hook.take().is_empty()
    };
    let rule = |field: &str, value: Value| {
        let mut rule = json!({"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["pods"]});
        rule[field] = value;
        json!({"rules": [rule]})
    };
    world.objects.put("", "namespaces", json!({"metadata": {"name": "a", "labels": {"team": "x"}}}));
    for (own, yes) in [
        (json!({"namespaceSelector": {"matchLabels": {"team": "x"}}}), true),
        (json!({"namespaceSelector": {"matchLabels": {"team": "y"}}}), false),
        (rule("scope", json!("Namespaced")), true),
        (rule("scope", json!("Cluster")), false),
        (rule("resources", json!(["*"])), true),
        (rule("resources", json!(["*/*"])), true),
        (rule("resources", json!(["pods/status"])), false),
        (rule("operations", json!(["UPDATE"])), false),
        (rule("apiVersions", json!(["v2"])), false),
    ] {
        assert_eq!(chosen(own.clone()).await, yes, "{own}");
    }
    hook.end().await;
}

#[tokio::test]
async fn match_conditions_choose_by_expressions() {
    let mut world = world();
    let hook = hook(&mut world).await;
    let with = |expression: &str| json!({"matchConditions": [{"name": "c", "expression": expression}]});
    for (expression, asked) in [
        ("object.metadata.name == 'p'", 1),
        ("request.userInfo.username == 'root'", 0),
        ("authorizer.group('').resource('pods').check('breakglass').allowed()", 0),
    ] {
        world.validating(hook.at("/ok", with(expression)));
        assert!(world.create("", "pods").admit(pod("p")).await.is_ok());
        assert_eq!(hook.take().len(), asked, "{expression}");
    }
    world.validating(hook.at("/ok", with("object.spec.nope == 1")));
    let why = world.create("", "pods").admit(pod("p")).await.unwrap_err();
    assert_eq!(
        why,
        "pods \"p\" is forbidden: expression 'object.spec.nope == 1' resulted in error: no such key: nope"
    );
    let mut open = with("object.spec.nope == 1");
    open["failurePolicy"] = json!("Ignore");
    world.validating(hook.at("/no", open));
    assert!(world.create("", "pods").admit(pod("p")).await.is_ok());
    hook.end().await;
}
