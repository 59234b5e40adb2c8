use super::*;

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
        ..world.create("", "pods")
    };
    assert!(status.admit(bound.clone()).await.is_err());
    let pods = Ask { user: node, ..world.create("", "pods") };
    assert!(pods.admit(pod("p")).await.unwrap_err().contains("node \"n1\" can only create mirror pods"));
}

fn mirror(node: &str) -> Value {
    json!({
        "metadata": {
            "name": "m", "namespace": "a", "annotations": {"kubernetes.io/config.mirror": "x"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node, "uid": "u1", "controller": true}],
        },
        "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]},
    })
}

#[tokio::test]
async fn mirror_pods_refer_to_nothing() {
    let world = world();
    world.objects.put("", "nodes", json!({"metadata": {"name": "n1", "uid": "u1"}}));
    let node = UserInfo::new("system:node:n1", &["system:nodes"]);
    let ask = Ask { user: node, ..world.create("", "pods") };
    assert!(ask.admit(mirror("n1")).await.is_ok());
    let with = |pointer: &str, value: Value| {
        let mut pod = mirror("n1");
        *pod.pointer_mut(pointer).unwrap() = value;
        pod
    };
    let mut secret = mirror("n1");
    secret["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "s"}}]);
    let mut claim = mirror("n1");
    claim["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "s"}}]);
    let table = [
        (with("/metadata/ownerReferences/0/uid", json!("u2")), "node n1 UID mismatch: expected u2 got u1"),
        (
            with("/metadata/ownerReferences/0/controller", json!(false)),
            "node \"n1\" can only create pods with a controller owner reference set to itself",
        ),
        (
            with("/metadata/ownerReferences", json!([])),
            "node \"n1\" can only create pods with an owner reference set to itself",
        ),
        (
            with("/spec/nodeName", json!("n2")),
            "node \"n1\" can only create pods with spec.nodeName set to itself",
        ),
        (secret, "node \"n1\" can not create pods that reference secrets"),
        (claim, "node \"n1\" can not create pods that reference persistentvolumeclaims"),
    ];
    for (pod, why) in table {
        assert_eq!(ask.admit(pod).await, Err(format!("pods \"m\" is forbidden: {why}")));
    }
}

#[tokio::test]
async fn tokens_are_for_pods_here_and_audiences_they_name() {
    let world = world();
    let mut here = pod("p");
    here["metadata"]["uid"] = json!("u1");
    here["spec"]["nodeName"] = json!("n1");
    here["spec"]["volumes"] = json!([{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]}}]);
    world.objects.put("", "pods", here);
    let node = UserInfo::new("system:node:n1", &["system:nodes"]);
    let ask =
        Ask { user: node, path: ("", "serviceaccounts", "token"), ..world.create("", "serviceaccounts") };
    let token = |uid: &str, audiences: Value| {
        json!({"metadata": {"name": "default", "namespace": "a"}, "spec": {"audiences": audiences,
            "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid}}})
    };
    assert!(ask.admit(token("u1", json!(["vault"]))).await.is_ok());
    let forbidden = |why: &str| Err(format!("serviceaccounts \"default\" is forbidden: {why}"));
    let other = ask.admit(token("u1", json!(["other"]))).await;
    assert_eq!(other, forbidden("audience \"other\" not found in pod spec volume"));
    let two = ask.admit(token("u1", json!(["vault", "other"]))).await;
    assert_eq!(two, forbidden("node may only request 0 or 1 audiences"));
    let gone = ask.admit(token("u2", json!(["vault"]))).await;
    assert_eq!(
        gone,
        forbidden(
            "the UID in the bound object reference (u2) does not match the UID in record. The object might have been deleted and then recreated"
        )
    );
    let far = Ask { user: UserInfo::new("system:node:n2", &["system:nodes"]), ..ask.clone() };
    let far = far.admit(token("u1", json!(["vault"]))).await;
    assert_eq!(far, forbidden("node requested token bound to a pod scheduled on a different node"));
}

#[tokio::test]
async fn leases_and_taints_are_guarded() {
    let world = world();
    world.objects.put("", "namespaces", json!({"metadata": {"name": "kube-node-lease"}}));
    let node = UserInfo::new("system:node:n1", &["system:nodes"]);
    let leases = Ask { user: node.clone(), ..world.create("coordination.k8s.io", "leases") };
    let lease =
        |namespace: &str, name: &str| json!({"metadata": {"name": name, "namespace": namespace}, "spec": {}});
    assert!(leases.admit(lease("kube-node-lease", "n1")).await.is_ok());
    let why = leases.admit(lease("kube-node-lease", "n2")).await.unwrap_err();
    assert!(why.ends_with("can only access node lease with the same name as the requesting node"), "{why}");
    let why = leases.admit(lease("a", "n1")).await.unwrap_err();
    assert!(why.ends_with("can only access leases in the \"kube-node-lease\" system namespace"), "{why}");

    let old = json!({"metadata": {"name": "n1"}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    let mut new = old.clone();
    new["spec"]["taints"] = json!([]);
    let update =
        Ask { operation: Operation::Update, user: node, old: Some(old), ..world.create("", "nodes") };
    let why = update.admit(new).await.unwrap_err();
    assert!(why.ends_with("node \"n1\" is not allowed to modify taints"), "{why}");
}
