use super::*;

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
        dry_run: false,
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

#[tokio::test]
async fn a_namespace_with_standards_warns_and_refuses() {
    let world = world();
    let namespace = |labels: Value| json!({"kind": "Namespace", "metadata": {"name": "a", "labels": labels}});
    world.objects.put("", "namespaces", namespace(json!({"pod-security.kubernetes.io/warn": "baseline", "pod-security.kubernetes.io/audit": "restricted"})));
    let mut bad = pod("p");
    bad["spec"]["hostNetwork"] = json!(true);
    let deployment =
        json!({"metadata": {"name": "d", "namespace": "a"}, "spec": {"template": {"spec": bad["spec"]}}});
    assert!(world.create("apps", "deployments").admit(deployment).await.is_ok());
    assert_eq!(
        world.notes.take_warnings(),
        ["would violate PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)"]
    );
    let audited = &world.notes.annotations()["pod-security.kubernetes.io/audit-violations"];
    assert!(audited.starts_with("would violate PodSecurity \"restricted:latest\": host namespaces (hostNetwork=true), allowPrivilegeEscalation"), "{audited}");
    // Those that are there are named when the level rises.
    for name in ["x", "y", "z"] {
        let mut there = bad.clone();
        there["metadata"]["name"] = json!(name);
        world.objects.put("", "pods", there);
    }
    let old = namespace(json!({}));
    let update = Ask { operation: Operation::Update, old: Some(old), ..world.create("", "namespaces") };
    assert!(update.admit(namespace(json!({"pod-security.kubernetes.io/enforce": "baseline"}))).await.is_ok());
    assert_eq!(
        world.notes.take_warnings(),
        [
            "existing pods in namespace \"a\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "x (and 2 other pods): host namespaces",
        ]
    );
    let why =
        update.admit(namespace(json!({"pod-security.kubernetes.io/enforce": "tight"}))).await.unwrap_err();
    assert_eq!(
        why,
        "Namespace \"a\" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"tight\": must be one of privileged, baseline, restricted"
    );
}

#[tokio::test]
async fn quota_is_charged_in_its_status() {
    let world = world();
    let quota = |hard: Value| json!({"metadata": {"name": "q", "namespace": "a"}, "spec": {"hard": hard}});
    world.objects.put("", "pods", pod("there"));
    world.objects.put("", "resourcequotas", quota(json!({"pods": "2", "count/deployments.apps": "1"})));
    let used = || world.objects.get("", "resourcequotas", "a", "q").unwrap()["status"]["used"].clone();
    assert!(world.create("", "pods").admit(pod("p1")).await.is_ok());
    assert_eq!(
        used(),
        json!({"pods": "2", "count/deployments.apps": "0"}),
        "what was there is counted first"
    );
    let why = "pods \"p2\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2";
    assert_eq!(world.create("", "pods").admit(pod("p2")).await, Err(why.to_owned()));
    let served = Served::built_in(world.resource("", "pods"));
    world.chain.removed(&served, &pod("there")).await;
    assert_eq!(used()["pods"], "1");
    let tries = Ask { dry_run: true, ..world.create("", "pods") };
    assert!(tries.admit(pod("p2")).await.is_ok());
    assert_eq!(used()["pods"], "1", "a try takes nothing");
    // A pod that ends gives back.
    let mut ended = pod("p1");
    ended["status"] = json!({"phase": "Succeeded"});
    let status = Ask {
        operation: Operation::Update,
        path: ("", "pods", "status"),
        old: Some(pod("p1")),
        ..world.create("", "pods")
    };
    assert!(status.admit(ended).await.is_ok());
    assert_eq!(used()["pods"], "0");
    world.objects.put("", "resourcequotas", quota(json!({"limits.cpu": "1", "memory": "1Gi"})));
    let why = "pods \"p3\" is forbidden: failed quota: q: must specify limits.cpu for: c; memory for: c";
    assert_eq!(world.create("", "pods").admit(pod("p3")).await, Err(why.to_owned()));
}

#[tokio::test]
async fn fifty_at_once_do_not_overshoot() {
    let world = world();
    world.objects.put("", "resourcequotas", json!({"metadata": {"name": "q", "namespace": "a"}, "spec": {"hard": {"pods": "20", "requests.cpu": "1"}}}));
    let asked = (0..50).map(|number| {
        let mut pod = pod(&format!("p{number}"));
        pod["spec"]["containers"][0]["resources"] = json!({"requests": {"cpu": "100m"}});
        let ask = world.create("", "pods");
        async move { ask.admit(pod).await.is_ok() }
    });
    let admitted = futures::future::join_all(asked).await.into_iter().filter(|one| *one).count();
    assert_eq!(admitted, 10);
    let quota = world.objects.get("", "resourcequotas", "a", "q").unwrap();
    assert_eq!(quota["status"]["used"], json!({"pods": "10", "requests.cpu": "1"}));
}

#[tokio::test]
async fn accounts_may_list_what_their_pods_mount() {
    let world = world();
    let mut account = (*world.objects.get("", "serviceaccounts", "a", "default").unwrap()).clone();
    account["metadata"]["annotations"] = json!({"kubernetes.io/enforce-mountable-secrets": "true"});
    account["secrets"] = json!([{"name": "mine"}]);
    world.objects.put("", "serviceaccounts", account);
    let with = |field: &str, value: Value| {
        let mut pod = pod("p");
        pod["spec"][field] = value;
        pod
    };
    let env = json!([{"name": "c", "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}]}]);
    let from = json!([{"name": "c", "envFrom": [{"secretRef": {"name": "other"}}]}]);
    let table = [
        (
            with("volumes", json!([{"name": "v", "secret": {"secretName": "other"}}])),
            "volume with secret.secretName=\"other\" is not allowed because service account default does not reference that secret",
        ),
        (
            with("containers", env),
            "container c with envVar E referencing secret.secretName=\"other\" is not allowed because service account default does not reference that secret",
        ),
        (
            with("containers", from),
            "container c with envFrom referencing secret.secretName=\"other\" is not allowed because service account default does not reference that secret",
        ),
        (
            with("imagePullSecrets", json!([{"name": "other"}])),
            "imagePullSecrets[0].name=\"other\" is not allowed because service account default does not reference that imagePullSecret",
        ),
    ];
    for (pod, why) in table {
        assert_eq!(world.create("", "pods").admit(pod).await, Err(format!("pods \"p\" is forbidden: {why}")));
    }
    let mine = with("volumes", json!([{"name": "v", "secret": {"secretName": "mine"}}]));
    assert!(world.create("", "pods").admit(mine).await.is_ok());
}

#[tokio::test]
async fn bound_pods_learn_their_zone_and_storage_is_kept_while_used() {
    let world = world();
    world.objects.put("", "nodes", json!({"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "eastus-1", "other": "x"}}}));
    let bind = Ask { path: ("", "pods", "binding"), ..world.create("", "pods") };
    let got = bind
        .admit(json!({"metadata": {"name": "p", "namespace": "a"}, "target": {"kind": "Node", "name": "n1"}}))
        .await
        .unwrap();
    assert_eq!(got["metadata"]["labels"], json!({"topology.kubernetes.io/zone": "eastus-1"}));
    let claim = json!({"metadata": {"name": "c", "namespace": "a"}, "spec": {}});
    let got = world.create("", "persistentvolumeclaims").admit(claim).await.unwrap();
    assert_eq!(got["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
}

#[tokio::test]
async fn only_one_priority_class_is_the_default() {
    let world = world();
    let class =
        |name: &str, value: i64| json!({"metadata": {"name": name}, "value": value, "globalDefault": true});
    world.objects.put("scheduling.k8s.io", "priorityclasses", class("low", 7));
    let got = world.create("", "pods").admit(pod("p")).await.unwrap();
    assert_eq!((text(&got, "/spec/priorityClassName"), got["spec"]["priority"].as_i64()), ("low", Some(7)));
    let why = world.create("scheduling.k8s.io", "priorityclasses").admit(class("other", 8)).await;
    assert_eq!(why, Err("priorityclasses.scheduling.k8s.io \"other\" is forbidden: PriorityClass low is already marked as default. Only one default can exist".to_owned()));
    let mut pushy = pod("p");
    pushy["spec"]["preemptionPolicy"] = json!("Never");
    let why = "pods \"p\" is forbidden: the string value of PreemptionPolicy (Never) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name";
    assert_eq!(world.create("", "pods").admit(pushy).await, Err(why.to_owned()));
}
