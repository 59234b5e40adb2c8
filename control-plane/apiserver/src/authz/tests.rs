use serde_json::json;

use super::*;
use crate::attributes::UserInfo;
use crate::attributes::fake::Fake;

/// `verb group/resource[/sub] [namespace] [name] [field selector]`, or `verb /path`; `-` is nothing.
fn asks(user: &UserInfo, text: &str) -> Attributes {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let mut attributes =
        Attributes { user: Arc::new(user.clone()), verb: fields[0].into(), ..Attributes::default() };
    if fields[1].starts_with('/') {
        attributes.path = fields[1].into();
        return attributes;
    }
    let mut parts = fields[1].splitn(3, '/');
    attributes.is_resource = true;
    attributes.group = parts.next().filter(|group| *group != "core").unwrap_or_default().into();
    attributes.resource = parts.next().unwrap_or_default().into();
    attributes.subresource = parts.next().unwrap_or_default().into();
    let field = |at: usize| {
        fields.get(at).filter(|one| **one != "-").map(|one| (*one).to_owned()).unwrap_or_default()
    };
    (attributes.namespace, attributes.name) = (field(2), field(3));
    let selector = api_model::selector::FieldSelector::parse(&field(4)).unwrap();
    attributes.fields = selector.requirements().to_vec();
    attributes
}

fn role_binding(namespace: &str, role: &str, user: &str) -> serde_json::Value {
    json!({"metadata": {"name": format!("{role}-{user}"), "namespace": namespace},
        "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}]})
}

#[test]
fn who_may_do_what_in_a_new_cluster() {
    let objects = Fake::with_roles();
    objects.put("rbac.authorization.k8s.io", "rolebindings", role_binding("a", "view", "viewer"));
    objects.put("rbac.authorization.k8s.io", "rolebindings", role_binding("a", "edit", "editor"));
    objects.put("rbac.authorization.k8s.io", "rolebindings", role_binding("a", "admin", "boss"));
    let authorizer = Authorizer::new(objects);
    let user = |name: &str| UserInfo::new(name, &["system:authenticated"]);
    let account = crate::tokens::service_account("kube-system", "deployment-controller", "1");
    let table: &[(UserInfo, &str, bool)] = &[
        (UserInfo::new("root", &["system:masters"]), "delete x/anything", true),
        (user("clusterAdmin"), "delete core/nodes - n1", true),
        (user("clusterUser"), "get /metrics", true),
        (user("nobody"), "get core/pods default p", false),
        (user("nobody"), "get /api/v1", true),
        (user("nobody"), "get /metrics", false),
        (user("nobody"), "create authorization.k8s.io/selfsubjectaccessreviews", true),
        (UserInfo::new("system:anonymous", &["system:unauthenticated"]), "get /livez", true),
        (UserInfo::new("system:anonymous", &["system:unauthenticated"]), "get /api", false),
        (user("viewer"), "list core/pods a", true),
        (user("viewer"), "list core/pods b", false),
        (user("viewer"), "get core/secrets a s", false),
        (user("viewer"), "get core/pods/log a p", true),
        (user("viewer"), "create core/pods/exec a p", false),
        (user("editor"), "create apps/deployments a", true),
        (user("editor"), "get core/pods a p", true),
        (user("editor"), "create core/pods/exec a p", true),
        (user("editor"), "create rbac.authorization.k8s.io/roles a", false),
        (user("boss"), "create rbac.authorization.k8s.io/roles a", true),
        (user("boss"), "update apps/deployments/scale a d", true),
        (user("boss"), "list core/nodes", false),
        (user("system:kube-scheduler"), "create core/pods/binding a p", true),
        (user("system:kube-scheduler"), "update coordination.k8s.io/leases kube-system kube-scheduler", true),
        (user("system:kube-scheduler"), "update coordination.k8s.io/leases kube-system other", false),
        (user("system:kube-scheduler"), "get core/secrets a s", false),
        (user("system:kube-controller-manager"), "list apps/replicasets", true),
        (user("system:kube-controller-manager"), "create apps/replicasets a", false),
        (user("system:kube-controller-manager"), "create core/serviceaccounts/token a s", true),
        (account.clone(), "update apps/deployments/status a d", true),
        (account.clone(), "create apps/replicasets a", true),
        (account, "update apps/statefulsets/status a d", false),
        (user("system:cloud-controller-manager"), "patch core/nodes/status - n1", true),
        (
            UserInfo::new("system:bootstrap:abcdef", &["system:bootstrappers"]),
            "create certificates.k8s.io/certificatesigningrequests",
            true,
        ),
        (
            UserInfo::new("system:bootstrap:abcdef", &["system:bootstrappers"]),
            "get core/secrets kube-system s",
            false,
        ),
    ];
    for (user, text, may) in table {
        let decision = authorizer.authorize(&asks(user, text));
        assert_eq!(decision.allowed(), *may, "{} {text}: {decision:?}", user.name);
    }
}

#[test]
fn refusals_read_as_upstreams() {
    let authorizer = Authorizer::new(Arc::new(Fake::default()));
    let user = UserInfo::new("x", &[]);
    let table = [
        (
            "list core/pods default",
            "pods is forbidden: User \"x\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\"",
        ),
        (
            "get core/pods default p",
            "pods \"p\" is forbidden: User \"x\" cannot get resource \"pods\" in API group \"\" in the namespace \"default\"",
        ),
        (
            "list core/nodes",
            "nodes is forbidden: User \"x\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
        ),
        (
            "update apps/deployments/scale a d",
            "deployments.apps \"d\" is forbidden: User \"x\" cannot update resource \"deployments/scale\" in API group \"apps\" in the namespace \"a\"",
        ),
        ("get /metrics", "forbidden: User \"x\" cannot get path \"/metrics\""),
    ];
    for (text, message) in table {
        let error = authorizer.check(&asks(&user, text)).expect_err(text);
        assert_eq!((error.code, &*error.reason, error.message.as_str()), (403, "Forbidden", message));
    }
}

#[test]
fn a_binding_to_a_missing_role_is_told() {
    let objects = Arc::new(Fake::default());
    objects.put("rbac.authorization.k8s.io", "rolebindings", role_binding("a", "gone", "x"));
    let error = Authorizer::new(objects).check(&asks(&UserInfo::new("x", &[]), "get core/pods a p"));
    let message = error.expect_err("is refused").message;
    assert!(
        message.ends_with(": RBAC: clusterrole.rbac.authorization.k8s.io \"gone\" not found"),
        "{message}"
    );
}

#[test]
fn changes_of_roles_count_at_once() {
    let objects = Fake::with_roles();
    let authorizer = Authorizer::new(objects.clone());
    let asked = asks(&UserInfo::new("x", &[]), "list core/pods a");
    assert!(!authorizer.authorize(&asked).allowed());
    objects.put("rbac.authorization.k8s.io", "rolebindings", role_binding("a", "view", "x"));
    assert!(authorizer.authorize(&asked).allowed());
    objects.remove("rbac.authorization.k8s.io", "rolebindings", "a", "view-x");
    assert!(!authorizer.authorize(&asked).allowed());
}

fn node_cluster() -> Arc<Fake> {
    let objects = Fake::with_roles();
    objects.put("", "pods", json!({"metadata": {"name": "mine", "namespace": "a"}, "spec": {
        "nodeName": "n1", "serviceAccountName": "app", "resourceClaims": [{"name": "g", "resourceClaimName": "gpu"}],
        "imagePullSecrets": [{"name": "pull"}],
        "volumes": [
            {"name": "s", "secret": {"secretName": "mounted"}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "claim"}},
            {"name": "p", "projected": {"sources": [{"configMap": {"name": "kube-root-ca.crt"}}, {"secret": {"name": "projected"}}]}}],
        "containers": [{"name": "c", "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k"}}}],
            "envFrom": [{"configMapRef": {"name": "from"}}]}]}}));
    objects.put("", "pods", json!({"metadata": {"name": "other", "namespace": "a"}, "spec": {
        "nodeName": "n2", "serviceAccountName": "them", "volumes": [{"name": "s", "secret": {"secretName": "theirs"}}]}}));
    objects.put("", "pods", json!({"metadata": {"name": "mirror", "namespace": "a", "annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": {
        "nodeName": "n1", "volumes": [{"name": "s", "secret": {"secretName": "of-mirror"}}]}}));
    let volume = |name: &str, claim: &str, secret: &str| {
        json!({"metadata": {"name": name}, "spec": {
        "claimRef": {"namespace": "a", "name": claim}, "csi": {"nodeStageSecretRef": {"namespace": "a", "name": secret}}}})
    };
    objects.put("", "persistentvolumes", volume("pv", "claim", "of-volume"));
    objects.put("", "persistentvolumes", volume("pv2", "unused", "of-other-volume"));
    objects
}

#[test]
fn a_node_reads_only_what_its_pods_refer_to() {
    let authorizer = Authorizer::new(node_cluster());
    let node = UserInfo::new("system:node:n1", &["system:nodes", "system:authenticated"]);
    let table = [
        ("get core/secrets a mounted", true),
        ("watch core/secrets a pull", true),
        ("get core/secrets a projected", true),
        ("get core/secrets a env", true),
        ("get core/secrets a theirs", false),
        ("list core/secrets a", false),
        ("list core/secrets", false),
        ("update core/secrets a mounted", false),
        ("get core/configmaps a kube-root-ca.crt", true),
        ("get core/configmaps a from", true),
        ("get core/configmaps a other", false),
        ("get core/persistentvolumeclaims a claim", true),
        ("get core/persistentvolumes - pv", true),
        ("create core/serviceaccounts/token a app", true),
        ("create core/serviceaccounts/token a them", false),
        ("get core/pods a mine", true),
        ("get core/pods a other", false),
        ("list core/pods", false),
        ("list core/pods - - spec.nodeName=n1", true),
        ("watch core/pods - - spec.nodeName=n2", false),
        ("watch core/pods a mine", true),
        ("update core/pods/status a mine", true),
        ("get core/nodes - n1", true),
        // The proxy of the node needs them; AKS lets all nodes read nodes.
        ("get core/nodes - n2", true),
        ("get core/serviceaccounts a app", true),
        ("get core/serviceaccounts a them", false),
        ("list core/serviceaccounts a", false),
        ("get core/secrets a of-volume", true),
        ("get core/secrets a of-other-volume", false),
        ("get core/persistentvolumes - pv2", false),
        ("get resource.k8s.io/resourceclaims a gpu", true),
        ("get resource.k8s.io/resourceclaims a other", false),
        ("list resource.k8s.io/resourceslices", false),
        ("list resource.k8s.io/resourceslices - - spec.nodeName=n1", true),
        ("update core/persistentvolumeclaims/status a claim", true),
        ("get storage.k8s.io/csinodes - n1", true),
        ("delete storage.k8s.io/csinodes - n2", false),
        ("delete core/nodes - n1", false),
        ("get core/secrets a of-mirror", false),
        ("create core/events a", true),
        ("update coordination.k8s.io/leases kube-node-lease n1", true),
        ("create coordination.k8s.io/leases kube-node-lease", true),
        ("update coordination.k8s.io/leases kube-node-lease n2", false),
        ("update coordination.k8s.io/leases kube-system n1", false),
        ("patch core/nodes/status - n1", true),
        ("list core/services", true),
        ("create certificates.k8s.io/certificatesigningrequests", true),
        ("create core/namespaces", false),
        ("list discovery.k8s.io/endpointslices", true),
    ];
    for (text, may) in table {
        let decision = authorizer.authorize(&asks(&node, text));
        assert_eq!(decision.allowed(), may, "{text}: {decision:?}");
    }
    let not_a_node = UserInfo::new("system:node:n1", &["system:authenticated"]);
    assert!(!authorizer.authorize(&asks(&not_a_node, "get core/secrets a mounted")).allowed());
    let error = authorizer.check(&asks(&node, "get core/secrets a theirs")).expect_err("is refused");
    assert!(error.message.ends_with("no relationship found between node 'n1' and this object"), "{error}");
}

#[test]
fn relations_of_nodes_follow_their_pods() {
    let objects = node_cluster();
    let authorizer = Authorizer::new(objects.clone());
    let node = UserInfo::new("system:node:n1", &["system:nodes"]);
    let may = |text: &str| authorizer.authorize(&asks(&node, text)).allowed();
    assert!(may("get core/secrets a mounted"));
    objects.put(
        "",
        "pods",
        json!({"metadata": {"name": "twin", "namespace": "a"}, "spec": {"nodeName": "n1",
        "volumes": [{"name": "s", "secret": {"secretName": "mounted"}}]}}),
    );
    objects.remove("", "pods", "a", "mine");
    assert!(may("get core/secrets a mounted"), "another pod needs it");
    assert!(!may("get core/secrets a env"));
    objects.remove("", "pods", "a", "twin");
    assert!(!may("get core/secrets a mounted"));
    objects.remove("", "persistentvolumes", "", "pv");
    assert!(!may("get core/secrets a of-volume"));
}

#[test]
fn nobody_grants_what_he_does_not_hold() {
    let objects = Fake::with_roles();
    objects.put("rbac.authorization.k8s.io", "rolebindings", role_binding("a", "admin", "boss"));
    let authorizer = Authorizer::new(objects);
    let boss = UserInfo::new("boss", &["system:authenticated"]);
    let role = |verb: &str, resource: &str| {
        json!({"metadata": {"name": "r", "namespace": "a"},
        "rules": [{"apiGroups": [""], "resources": [resource], "verbs": [verb]}]})
    };
    let check = |plural: &str, object: serde_json::Value| {
        escalation::check(&authorizer, &boss, plural, "a", &object, None).map_err(|error| error.message)
    };
    assert_eq!(check("roles", role("get", "pods")), Ok(()));
    let wanted = "roles.rbac.authorization.k8s.io \"r\" is forbidden: user \"boss\" (groups=[\"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"get\"]}";
    assert_eq!(check("roles", role("get", "nodes")), Err(wanted.to_owned()));
    assert!(check("roles", role("*", "pods")).is_err());
    let binding = |role: &str| json!({"metadata": {"name": "b", "namespace": "a"}, "roleRef": {"kind": "ClusterRole", "name": role}});
    assert_eq!(check("rolebindings", binding("view")), Ok(()));
    assert!(check("rolebindings", binding("cluster-admin")).is_err());
    assert!(check("rolebindings", binding("absent")).is_err_and(|message| message.contains("not found")));
    let many = json!({"metadata": {"name": "r", "namespace": "a"}, "rules": [{"apiGroups": [""], "resources": ["nodes", "secrets/x"], "verbs": ["list", "get"]}]});
    let refused = check("roles", many).expect_err("is refused");
    assert!(refused.ends_with("held:\n{APIGroups:[\"\"], Resources:[\"nodes\"], Verbs:[\"list\" \"get\"]}\n{APIGroups:[\"\"], Resources:[\"secrets/x\"], Verbs:[\"list\" \"get\"]}"), "{refused}");
    let masters = UserInfo::new("root", &["system:masters"]);
    assert!(escalation::check(&authorizer, &masters, "roles", "a", &role("*", "*"), None).is_ok());
}

#[test]
fn what_sums_roles_up_is_for_who_holds_everything() {
    let rbac = "rbac.authorization.k8s.io";
    let objects = Fake::with_roles();
    let role = json!({"metadata": {"name": "writer"}, "rules": [{"apiGroups": [rbac], "resources": ["clusterroles"], "verbs": ["create"]}]});
    objects.put(rbac, "clusterroles", role);
    objects.put(rbac, "clusterrolebindings", role_binding("", "writer", "x"));
    objects.put(rbac, "clusterrolebindings", role_binding("", "absent", "x"));
    let authorizer = Authorizer::new(objects.clone());
    let user = UserInfo::new("x", &[]);
    let sum =
        json!({"metadata": {"name": "sum"}, "aggregationRule": {"clusterRoleSelectors": [{}]}, "rules": []});
    let error =
        escalation::check(&authorizer, &user, "clusterroles", "", &sum, None).expect_err("is refused");
    assert_eq!(
        error.message,
        "clusterroles.rbac.authorization.k8s.io \"sum\" is forbidden: must have cluster-admin privileges to use the aggregationRule"
    );
    let all = json!({"metadata": {"name": "all"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]});
    let error =
        escalation::check(&authorizer, &user, "clusterroles", "", &all, None).expect_err("is refused");
    assert!(
        error
            .message
            .ends_with("; resolution errors: [clusterroles.rbac.authorization.k8s.io \"absent\" not found]"),
        "{error}"
    );
    objects.put(rbac, "clusterrolebindings", role_binding("", "cluster-admin", "x"));
    assert_eq!(escalation::check(&authorizer, &user, "clusterroles", "", &sum, None), Ok(()));
}

#[test]
fn a_reason_says_through_which_binding() {
    let objects = Fake::with_roles();
    let mut binding = role_binding("a", "view", "x");
    binding["subjects"] = json!([{"kind": "ServiceAccount", "name": "app"}, {"kind": "Group", "name": "dev", "apiGroup": "rbac.authorization.k8s.io"}]);
    objects.put("rbac.authorization.k8s.io", "rolebindings", binding);
    let authorizer = Authorizer::new(objects);
    let reason = |user: &UserInfo| match authorizer.authorize(&asks(user, "list core/pods a")) {
        Decision::Allow { reason } => reason,
        other => panic!("{other:?}"),
    };
    let account = crate::tokens::service_account("a", "app", "1");
    assert_eq!(
        reason(&account),
        "RBAC: allowed by RoleBinding \"view-x/a\" of ClusterRole \"view\" to ServiceAccount \"app/a\""
    );
    assert_eq!(
        reason(&UserInfo::new("jane", &["dev"])),
        "RBAC: allowed by RoleBinding \"view-x/a\" of ClusterRole \"view\" to Group \"dev\""
    );
}
