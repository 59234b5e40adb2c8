use std::sync::Arc;

use api_model::{Model, Resource};
use kit::Tasks;
use kit::pki::Authority;
use serde_json::json;

use super::*;
use crate::attributes::fake::Fake;
use crate::attributes::{UserInfo, items, text};
use crate::tunnel::Tunnels;

struct World {
    model: Arc<Model>,
    objects: Arc<Fake>,
    chain: Chain,
}

fn world() -> World {
    let objects = Fake::with_roles();
    objects.put("", "namespaces", json!({"metadata": {"name": "a"}, "status": {"phase": "Active"}}));
    objects.put(
        "",
        "serviceaccounts",
        json!({"metadata": {"name": "default", "namespace": "a"}, "imagePullSecrets": [{"name": "pull"}]}),
    );
    objects.put(
        "scheduling.k8s.io",
        "priorityclasses",
        json!({"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"}),
    );
    let authority = Authority::new("ca", std::time::Duration::from_secs(86_400)).unwrap();
    let kubelets = Arc::new(Kubelets::new(&authority, Tunnels::new(&Tasks::new())).unwrap());
    let authorizer = Arc::new(Authorizer::new(objects.clone()));
    let chain = Chain::new(objects.clone(), authorizer, kubelets, Arc::new(kit::SystemClock));
    World { model: Model::load("1.35").unwrap(), objects, chain }
}

struct Ask<'a> {
    world: &'a World,
    operation: Operation,
    path: (&'a str, &'a str, &'a str),
    user: UserInfo,
    old: Option<Value>,
}

impl World {
    fn resource(&self, group: &str, plural: &str) -> &Resource {
        self.model.resource(group, "v1", plural).unwrap()
    }

    fn create<'a>(&'a self, group: &'a str, plural: &'a str) -> Ask<'a> {
        let user = UserInfo::new("jane", &["system:authenticated"]);
        Ask { world: self, operation: Operation::Create, path: (group, plural, ""), user, old: None }
    }
}

impl Ask<'_> {
    async fn admit(&self, mut object: Value) -> Result<Value, String> {
        let (group, plural, subresource) = self.path;
        let (namespace, name) =
            (text(&object, "/metadata/namespace").to_owned(), text(&object, "/metadata/name").to_owned());
        let mut request = AdmissionRequest {
            operation: self.operation,
            resource: self.world.resource(group, plural),
            subresource,
            namespace: &namespace,
            name: &name,
            user: &self.user,
            object: Some(&mut object).filter(|_| self.operation != Operation::Delete),
            old: self.old.as_ref(),
            dry_run: false,
        };
        self.world.chain.mutate(&mut request).await.map_err(|error| error.message)?;
        self.world.chain.validate(&mut request).await.map_err(|error| error.message)?;
        Ok(object)
    }
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
}

#[tokio::test]
async fn a_pod_is_completed_as_upstream_does() {
    let world = world();
    let got = world.create("", "pods").admit(pod("p")).await.unwrap();
    assert_eq!(text(&got, "/spec/serviceAccountName"), "default");
    assert_eq!(text(&got, "/spec/imagePullSecrets/0/name"), "pull");
    assert_eq!(got["spec"]["priority"], 0);
    assert_eq!(text(&got, "/spec/preemptionPolicy"), "PreemptLowerPriority");
    let keys: Vec<&str> = items(&got, "/spec/tolerations").iter().map(|one| text(one, "/key")).collect();
    assert_eq!(keys, ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]);
    let volume = &got["spec"]["volumes"][0];
    let name = text(volume, "/name");
    assert!(name.starts_with("kube-api-access-") && name.len() == 21, "{name}");
    assert_eq!(volume["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"], 3607);
    assert_eq!(text(&got, "/spec/containers/0/volumeMounts/0/name"), name);
    assert_eq!(
        text(&got, "/spec/containers/0/volumeMounts/0/mountPath"),
        "/var/run/secrets/kubernetes.io/serviceaccount"
    );
    let again = world.create("", "pods").admit(got.clone()).await.unwrap();
    assert_eq!(again, got, "nothing is added twice");
    let mut quiet = pod("q");
    quiet["spec"]["automountServiceAccountToken"] = json!(false);
    quiet["spec"]["priorityClassName"] = json!("high");
    let got = world.create("", "pods").admit(quiet).await.unwrap();
    assert!(items(&got, "/spec/volumes").is_empty());
    assert_eq!(
        (got["spec"]["priority"].as_i64(), text(&got, "/spec/preemptionPolicy")),
        (Some(1000), "Never")
    );
}

#[tokio::test]
async fn what_refers_to_nothing_is_refused() {
    let world = world();
    let with = |field: &str, value: Value| {
        let mut pod = pod("p");
        pod["spec"][field] = value;
        pod
    };
    let table = [
        (
            with("serviceAccountName", json!("x")),
            "pods \"p\" is forbidden: error looking up service account a/x: serviceaccount \"x\" not found",
        ),
        (
            with("priorityClassName", json!("x")),
            "pods \"p\" is forbidden: no PriorityClass with name x was found",
        ),
        (
            with("priority", json!(5)),
            "pods \"p\" is forbidden: the integer value of priority (5) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name",
        ),
        (
            with("runtimeClassName", json!("x")),
            "pods \"p\" is forbidden: pod rejected: RuntimeClass \"x\" not found",
        ),
    ];
    for (object, message) in table {
        assert_eq!(world.create("", "pods").admit(object).await, Err(message.to_owned()));
    }
    let mut lost = pod("p");
    lost["metadata"]["namespace"] = json!("gone");
    assert_eq!(world.create("", "pods").admit(lost).await, Err("namespaces \"gone\" not found".to_owned()));
    world.objects.put(
        "",
        "namespaces",
        json!({"metadata": {"name": "a"}, "status": {"phase": "Terminating"}}),
    );
    let why =
        "pods \"p\" is forbidden: unable to create new content in namespace a because it is being terminated";
    assert_eq!(world.create("", "pods").admit(pod("p")).await, Err(why.to_owned()));
    let delete = Ask { operation: Operation::Delete, ..world.create("", "namespaces") };
    let why = "namespaces \"default\" is forbidden: this namespace may not be deleted";
    assert_eq!(delete.admit(json!({"metadata": {"name": "default"}})).await, Err(why.to_owned()));
}

#[tokio::test]
async fn pod_security_is_enforced_by_the_namespaces_label() {
    let world = world();
    let label = |level: &str| json!({"metadata": {"name": "a", "labels": {"pod-security.kubernetes.io/enforce": level}}});
    world.objects.put("", "namespaces", label("restricted"));
    let got = world.create("", "pods").admit(pod("p")).await;
    let why = "pods \"p\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";
    assert_eq!(got, Err(why.to_owned()));
    let mut good = pod("p");
    good["spec"]["securityContext"] =
        json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    good["spec"]["containers"][0]["securityContext"] =
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    assert!(world.create("", "pods").admit(good).await.is_ok());
    world.objects.put("", "namespaces", label("baseline"));
    assert!(world.create("", "pods").admit(pod("p")).await.is_ok());
    let mut bad = pod("p");
    bad["spec"]["hostNetwork"] = json!(true);
    bad["spec"]["containers"][0]["securityContext"] = json!({"privileged": true});
    let why = world.create("", "pods").admit(bad).await.unwrap_err();
    assert!(why.ends_with("\"baseline:latest\": host namespaces (hostNetwork=true), privileged (container \"c\" must not set securityContext.privileged=true)"), "{why}");
}

#[tokio::test]
async fn quota_counts_what_was_admitted_a_moment_ago() {
    let world = world();
    world.objects.put(
        "",
        "resourcequotas",
        json!({"metadata": {"name": "q", "namespace": "a"}, "spec": {"hard": {"pods": "2"}}}),
    );
    assert!(world.create("", "pods").admit(pod("p1")).await.is_ok());
    world.objects.put("", "pods", pod("p1"));
    assert!(world.create("", "pods").admit(pod("p2")).await.is_ok());
    let why = "pods \"p3\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2";
    assert_eq!(world.create("", "pods").admit(pod("p3")).await, Err(why.to_owned()));
    world.objects.put(
        "",
        "resourcequotas",
        json!({"metadata": {"name": "q", "namespace": "a"}, "spec": {"hard": {"limits.cpu": "1"}}}),
    );
    let why = "pods \"p3\" is forbidden: failed quota: q: must specify limits.cpu for: c";
    assert_eq!(world.create("", "pods").admit(pod("p3")).await, Err(why.to_owned()));
}

#[tokio::test]
async fn limit_ranges_default_and_judge() {
    let world = world();
    world.objects.put("", "limitranges", json!({"metadata": {"name": "l", "namespace": "a"}, "spec": {"limits": [
        {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "100m"}, "max": {"cpu": "1"}}]}}));
    let got = world.create("", "pods").admit(pod("p")).await.unwrap();
    assert_eq!(
        got["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "500m"}, "requests": {"cpu": "100m"}})
    );
    let mut big = pod("p");
    big["spec"]["containers"][0]["resources"] = json!({"limits": {"cpu": "2"}});
    let why = "pods \"p\" is forbidden: maximum cpu usage per Container is 1, but limit is 2";
    assert_eq!(world.create("", "pods").admit(big).await, Err(why.to_owned()));
}

#[tokio::test]
async fn a_node_writes_only_what_is_its_own() {
    let world = world();
    let node = UserInfo::new("system:node:n1", &["system:nodes"]);
    let create = Ask { user: node.clone(), ..world.create("", "nodes") };
    let object =
        |name: &str, label: &str| json!({"metadata": {"name": name, "labels": {label: "x"}}, "spec": {}});
    let got = create.admit(object("n1", "kubernetes.azure.com/agentpool")).await.unwrap();
    assert_eq!(text(&got, "/spec/taints/0/key"), "node.kubernetes.io/not-ready");
    assert!(create.admit(object("n1", "kubernetes.io/hostname")).await.is_ok());
    let why = create.admit(object("n2", "a")).await.unwrap_err();
    assert!(why.ends_with("node \"n1\" is not allowed to modify node \"n2\""), "{why}");
    for label in ["node-restriction.kubernetes.io/x", "node-role.kubernetes.io/master"] {
        assert!(create.admit(object("n1", label)).await.is_err(), "{label}");
    }
    let mut bound = pod("p");
    bound["spec"]["nodeName"] = json!("n2");
    let status = Ask {
        operation: Operation::Update,
        path: ("", "pods", "status"),
        user: node.clone(),
        old: Some(bound.clone()),
        world: &world,
    };
    assert!(status.admit(bound.clone()).await.is_err());
    let pods = Ask { user: node, ..world.create("", "pods") };
    assert!(pods.admit(pod("p")).await.unwrap_err().contains("node can only create mirror pods"));
}

#[tokio::test]
async fn webhooks_and_policies_are_never_skipped_in_silence() {
    let world = world();
    let rules =
        json!([{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]);
    let webhook = |policy: &str| {
        json!({"metadata": {"name": "w"}, "webhooks": [{"name": "w.example.com", "rules": rules,
        "failurePolicy": policy, "sideEffects": "None", "clientConfig": {"service": {"namespace": "a", "name": "hook"}}}]})
    };
    let group = "admissionregistration.k8s.io";
    world.objects.put(group, "validatingwebhookconfigurations", webhook("Fail"));
    let why = world.create("", "pods").admit(pod("p")).await.unwrap_err();
    assert_eq!(
        why,
        "Internal error occurred: failed calling webhook \"w.example.com\": services \"hook\" not found"
    );
    world.objects.put(group, "validatingwebhookconfigurations", webhook("Ignore"));
    assert!(world.create("", "pods").admit(pod("p")).await.is_ok());
    world.objects.put(
        group,
        "validatingadmissionpolicies",
        json!({"kind": "ValidatingAdmissionPolicy", "metadata": {"name": "v"},
        "spec": {"matchConstraints": {"resourceRules": rules}}}),
    );
    world.objects.put(
        group,
        "validatingadmissionpolicybindings",
        json!({"metadata": {"name": "v"}, "spec": {"policyName": "v", "validationActions": ["Deny"]}}),
    );
    assert!(world.create("", "pods").admit(pod("p")).await.unwrap_err().contains("CEL are not evaluated"));
    let service = json!({"metadata": {"name": "s", "namespace": "a"}, "spec": {}});
    assert!(world.create("", "services").admit(service).await.is_ok());
}

#[tokio::test]
async fn classes_are_defaulted_and_signers_guarded() {
    let world = world();
    let class = |name: &str| json!({"metadata": {"name": name, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}});
    world.objects.put("storage.k8s.io", "storageclasses", class("default"));
    let claim = json!({"metadata": {"name": "c", "namespace": "a"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}});
    let got = world.create("", "persistentvolumeclaims").admit(claim.clone()).await.unwrap();
    assert_eq!(text(&got, "/spec/storageClassName"), "default");
    let mut old = got.clone();
    old["status"] = json!({"phase": "Bound"});
    let mut grown = old.clone();
    grown["spec"]["resources"]["requests"]["storage"] = json!("2Gi");
    let update =
        Ask { operation: Operation::Update, old: Some(old), ..world.create("", "persistentvolumeclaims") };
    assert!(
        update.admit(grown).await.unwrap_err().contains("only dynamically provisioned pvc can be resized")
    );

    let requested = kit::pki::request("jane", &["system:masters".into()], &[], &[]).unwrap();
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, requested.request_pem);
    let csr = json!({"metadata": {"name": "r"}, "spec": {"signerName": "kubernetes.io/kube-apiserver-client", "request": encoded}});
    let group = "certificates.k8s.io";
    let why = world.create(group, "certificatesigningrequests").admit(csr.clone()).await.unwrap_err();
    assert!(why.ends_with("signer with system:masters group is not allowed"), "{why}");
    let approve = |user: UserInfo| Ask {
        operation: Operation::Update,
        path: (group, "certificatesigningrequests", "approval"),
        user,
        old: Some(csr.clone()),
        world: &world,
    };
    let why = approve(UserInfo::new("jane", &[])).admit(csr.clone()).await.unwrap_err();
    assert!(
        why.ends_with(
            "user not permitted to approve requests with signerName \"kubernetes.io/kube-apiserver-client\""
        ),
        "{why}"
    );
    assert!(approve(UserInfo::new("root", &["system:masters"])).admit(csr.clone()).await.is_ok());
}

/// A webhook behind Service `hook` of namespace `a`, reached through a tunnel of node `n1`.
async fn hook(world: &mut World, tasks: &Tasks) -> String {
    use kit::http::{BoxService, Request, ServiceFn};

    let authority = Authority::new("hook-ca", std::time::Duration::from_secs(86_400)).unwrap();
    let leaf = kit::pki::Leaf {
        common_name: "hook".into(),
        organizations: vec![],
        dns_names: vec!["hook.a.svc".into()],
        addresses: vec![],
        usage: kit::pki::Usage::Server,
        valid: std::time::Duration::from_secs(86_400),
    };
    let serving = authority.issue(&leaf).unwrap();
    let certificates = kit::tls::Certificates::new();
    certificates.set_default(&serving.certificate_pem, &serving.key_pem).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = ServiceFn(|request: Request| async move {
        assert_eq!(request.uri().query(), Some("timeout=10s"));
        let path = request.uri().path().to_owned();
        let body = kit::http::read(request.into_body(), 100_000).await.unwrap();
        let review: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(text(&review, "/request/kind/kind"), "Pod");
        assert_eq!(text(&review, "/request/userInfo/username"), "jane");
        let uid = text(&review, "/request/uid");
        let patch = json!([{"op": "add", "path": "/metadata/labels", "value": {"by": "hook"}}]).to_string();
        let patch = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, patch);
        let response = match path.as_str() {
            "/mutate" => json!({"uid": uid, "allowed": true, "patchType": "JSONPatch", "patch": patch}),
            _ => json!({"uid": uid, "allowed": text(&review, "/request/object/metadata/labels/by") == "hook"
                && text(&review, "/request/name") != "bad", "status": {"code": 403, "message": "no bad pods"}}),
        };
        kit::http::json(
            http::StatusCode::OK,
            &json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}),
        )
    });
    let service: BoxService = Arc::new(answers);
    kit::serve::tls(listener, kit::tls::server(certificates).unwrap(), service, tasks);

    let tunnels = Tunnels::new(tasks);
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
    world.chain = Chain::new(world.objects.clone(), authorizer, kubelets, Arc::new(kit::SystemClock));
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
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, authority.certificate_pem())
}

#[tokio::test]
async fn webhooks_change_and_refuse_through_the_tunnel() {
    let mut world = world();
    let tasks = Tasks::new();
    let bundle = hook(&mut world, &tasks).await;
    let rules =
        json!([{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]);
    for (plural, path) in
        [("mutatingwebhookconfigurations", "/mutate"), ("validatingwebhookconfigurations", "/judge")]
    {
        world.objects.put("admissionregistration.k8s.io", plural, json!({"metadata": {"name": "w"}, "webhooks": [{
            "name": "w.example.com", "rules": rules, "sideEffects": "None",
            "objectSelector": {"matchExpressions": [{"key": "free", "operator": "DoesNotExist"}]},
            "clientConfig": {"caBundle": bundle, "service": {"namespace": "a", "name": "hook", "path": path}}}]}));
    }
    let got = world.create("", "pods").admit(pod("good")).await.unwrap();
    assert_eq!(text(&got, "/metadata/labels/by"), "hook");
    let why = world.create("", "pods").admit(pod("bad")).await.unwrap_err();
    assert_eq!(why, "admission webhook \"w.example.com\" denied the request: no bad pods");
    let mut free = pod("bad");
    free["metadata"]["labels"] = json!({"free": "yes"});
    assert!(world.create("", "pods").admit(free).await.is_ok());
    let other = Authority::new("other", std::time::Duration::from_secs(86_400)).unwrap();
    let other = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, other.certificate_pem());
    let mut untrusted = (*world
        .objects
        .get("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "", "w")
        .unwrap())
    .clone();
    untrusted["webhooks"][0]["clientConfig"]["caBundle"] = json!(other);
    world.objects.put("admissionregistration.k8s.io", "mutatingwebhookconfigurations", untrusted);
    let why = world.create("", "pods").admit(pod("good")).await.unwrap_err();
    assert!(why.contains("failed calling webhook") && why.contains("UnknownIssuer"), "{why}");
    assert!(tasks.drain(std::time::Duration::from_secs(5)).await);
}
