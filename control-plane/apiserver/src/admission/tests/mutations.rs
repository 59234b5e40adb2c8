use super::*;

const GROUP: &str = "admissionregistration.k8s.io";
const POLICIES: &str = "mutatingadmissionpolicies";
const BINDINGS: &str = "mutatingadmissionpolicybindings";

fn merged(mut base: Value, fields: &Value) -> Value {
    base.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    base
}

/// A mutation by its expression: a list is of JSON patches.
fn mutation(expression: &str) -> Value {
    if expression.contains("JSONPatch") {
        json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}})
    } else {
        json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
    }
}

fn spec(expressions: &[&str]) -> Value {
    json!({"mutations": expressions.iter().map(|one| mutation(one)).collect::<Vec<_>>()})
}

/// Adds a letter to the label `order`.
fn letter(letter: &str) -> String {
    format!(
        "Object{{metadata: Object.metadata{{labels: {{'order': object.metadata.?labels.order.orValue('') + '{letter}'}}}}}}"
    )
}

impl World {
    /// A policy on deployments with a binding, each with fields of its own.
    fn bound(&self, name: &str, spec: &Value, binding: &Value) {
        let rules = json!({"failurePolicy": "Fail", "reinvocationPolicy": "Never", "matchConstraints": {"resourceRules": [
            {"operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}]}});
        let policy = json!({"metadata": {"name": name}, "spec": merged(rules, spec)});
        self.objects.put(GROUP, POLICIES, policy);
        let bound = merged(json!({"policyName": name}), binding);
        self.objects.put(GROUP, BINDINGS, json!({"metadata": {"name": format!("{name}-b")}, "spec": bound}));
    }

    async fn deployed(&self) -> Result<Value, String> {
        let deployment = json!({
            "kind": "Deployment", "apiVersion": "apps/v1",
            "metadata": {"name": "d", "namespace": "a", "labels": {"app": "x"}},
            "spec": {"replicas": 7, "template": {"spec": {"containers": [
                {"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]}}},
        });
        self.create("apps", "deployments").admit(deployment).await
    }
}

#[tokio::test]
async fn expressions_change_what_is_written() {
    let world = world_of("1.36");
    world.objects.put(
        "",
        "namespaces",
        json!({"metadata": {"name": "a", "labels": {"team": "blue"}}, "status": {"phase": "Active"}}),
    );
    let containers = "/spec/template/spec/containers";
    let of = |below: &str| format!("{containers}/{below}");
    for (expressions, at, wanted) in [
        // Configurations: what merges by part is merged, conditions choose, namespaces and requests are seen.
        (
            vec![
                "Object{spec: Object.spec{replicas: object.spec.replicas % 2 == 1 ? object.spec.replicas + 1 : 2}}",
            ],
            "/spec/replicas".to_owned(),
            json!(8),
        ),
        (
            vec!["Object{metadata: Object.metadata{labels: {'team': namespaceObject.metadata.labels.team}}}"],
            "/metadata/labels".to_owned(),
            json!({"app": "x", "team": "blue"}),
        ),
        (
            vec![
                "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: [Object.spec.template.spec.containers{name: 'c', env: [Object.spec.template.spec.containers.env{name: 'B', value: '9'}, Object.spec.template.spec.containers.env{name: 'C', value: request.userInfo.username}]}]}}}}",
            ],
            of("0/env"),
            json!([{"name": "A", "value": "1"}, {"name": "B", "value": "9"}, {"name": "C", "value": "jane"}]),
        ),
        (
            vec![
                "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{initContainers: [Object.spec.template.spec.initContainers{name: 'mesh', image: 'mesh/proxy:1', restartPolicy: 'Always'}]}}}}",
            ],
            "/spec/template/spec/initContainers/0/restartPolicy".to_owned(),
            json!("Always"),
        ),
        (vec!["Object{?spec: optional.none()}"], "/spec/replicas".to_owned(), json!(7)),
        // Patches, each operation of them.
        (
            vec![
                "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a.io/x~y'), value: 'z'}]",
            ],
            "/metadata/labels".to_owned(),
            json!({"app": "x", "a.io/x~y": "z"}),
        ),
        (
            vec![
                "[JSONPatch{op: 'test', path: '/spec/replicas', value: 7}, JSONPatch{op: 'replace', path: '/spec/replicas', value: 3}]",
            ],
            "/spec/replicas".to_owned(),
            json!(3),
        ),
        (
            vec![
                "[JSONPatch{op: 'test', path: '/spec/replicas', value: 8}, JSONPatch{op: 'replace', path: '/spec/replicas', value: 3}]",
            ],
            "/spec/replicas".to_owned(),
            json!(7),
        ),
        (
            vec![
                "[JSONPatch{op: 'move', from: '/metadata/labels/app', path: '/metadata/labels/was'}, JSONPatch{op: 'copy', from: '/metadata/labels/was', path: '/metadata/labels/is'}]",
            ],
            "/metadata/labels".to_owned(),
            json!({"is": "x", "was": "x"}),
        ),
        (
            vec![
                "[JSONPatch{op: 'add', path: '/spec/template/spec/containers/-', value: Object.spec.template.spec.containers{name: 'e', ports: [Object.spec.template.spec.containers.ports{containerPort: 80}]}}]",
            ],
            of("1/ports"),
            json!([{"containerPort": 80, "protocol": "TCP"}]),
        ),
        (
            vec!["has(object.spec.paused) ? [JSONPatch{op: 'remove', path: '/spec'}] : []"],
            "/spec/replicas".to_owned(),
            json!(7),
        ),
        (
            vec![
                "object.spec.template.spec.containers.map(c, JSONPatch{op: 'add', path: '/metadata/labels/' + c.name, value: c.image})",
            ],
            "/metadata/labels/c".to_owned(),
            json!("i"),
        ),
        // The document as a whole has no path.
        (vec!["[JSONPatch{op: 'test', value: 1}]"], "/spec/replicas".to_owned(), json!(7)),
        (
            vec![
                "[JSONPatch{op: 'add', path: '/metadata/labels/op', value: JSONPatch{path: 'p'}.op + JSONPatch{}.from + 'x'}]",
            ],
            "/metadata/labels/op".to_owned(),
            json!("x"),
        ),
        // Each sees what those before it made.
        (
            vec![
                "Object{spec: Object.spec{replicas: object.spec.replicas + 1}}",
                "[JSONPatch{op: 'replace', path: '/spec/replicas', value: object.spec.replicas * 2}]",
            ],
            "/spec/replicas".to_owned(),
            json!(16),
        ),
    ] {
        world.bound("m", &spec(&expressions), &json!({}));
        let made = world.deployed().await.unwrap_or_else(|error| panic!("{expressions:?}: {error}"));
        assert_eq!(made.pointer(&at), Some(&wanted), "{expressions:?}: {made}");
    }
}

#[tokio::test]
async fn what_cannot_be_applied_is_said() {
    let world = world_of("1.36");
    let start = "policy 'm' with binding 'm-b' denied request: ";
    for (expression, why) in [
        (
            "Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'l': 'v'}}}}",
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.selector",
        ),
        (
            "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: [Object.spec.template.spec.containers{name: 'c', args: ['a']}]}}}}",
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.template.spec.containers[0].args",
        ),
        (
            "Object{spec: Object.specx{replicas: 1}}",
            "type mismatch: unexpected type name \"Object.specx\", expected \"Object.spec\", which matches field name path from root Object type",
        ),
        (
            "Object{spec: Object.spec{replicasx: 1}}",
            "error applying patch: failed to convert patch object to typed object: .spec.replicasx: field not declared in schema",
        ),
        (
            "Object{spec: Object.spec{replicas: object.spec.nope}}",
            "expression 'Object{spec: Object.spec{replicas: object.spec.nope}}' resulted in error: no such key: nope",
        ),
        (
            "[JSONPatch{op: 'add', path: '/spec/template/spec/containers/-', value: Object.spec.template.spec.containers{name: 'x', ports: [Object.spec.template.spec.containers.portsZ{containerPort: 1}]}}]",
            "type mismatch: unexpected type name \"Object.spec.template.spec.containers.portsZ\", expected \"Object.spec.template.spec.containers.ports\", which matches field name path from root Object type",
        ),
        (
            "[JSONPatch{op: 'replace', path: '/spec/template/spec/containers/-', value: {'name': 'x'}}]",
            "JSON Patch: replace operation does not apply: doc is missing key: /spec/template/spec/containers/-: missing value",
        ),
    ] {
        world.bound("m", &spec(&[expression]), &json!({}));
        assert_eq!(world.deployed().await.unwrap_err(), format!("{start}{why}"));
        let open = merged(spec(&[expression]), &json!({"failurePolicy": "Ignore"}));
        world.bound("m", &open, &json!({}));
        assert_eq!(world.deployed().await.unwrap()["spec"]["replicas"], 7, "{expression}");
    }
    // What a patch makes of an object must still be one of its kind, whatever the failure policy is.
    let stray = "[JSONPatch{op: 'add', path: '/spec/nope', value: 1}]";
    world.bound("m", &merged(spec(&[stray]), &json!({"failurePolicy": "Ignore"})), &json!({}));
    let why = "Internal error occurred: strict decoding error: unknown field \"spec.nope\"";
    assert_eq!(world.deployed().await.unwrap_err(), why);
    // A failure does not stop the other mutations of an open policy.
    let two = ["Object{spec: Object.spec{nope: 1}}", "Object{spec: Object.spec{replicas: 1}}"];
    world.bound("m", &merged(spec(&two), &json!({"failurePolicy": "Ignore"})), &json!({}));
    assert_eq!(world.deployed().await.unwrap()["spec"]["replicas"], 1);
}

#[tokio::test]
async fn policies_are_asked_by_name_and_again_when_they_wish() {
    for ([first, second], wanted) in [
        (["Never", "Never"], "ab"),
        (["IfNeeded", "Never"], "aba"),
        (["Never", "IfNeeded"], "abb"),
        (["IfNeeded", "IfNeeded"], "abab"),
    ] {
        let world = world_of("1.36");
        for (name, again) in [("b", second), ("a", first)] {
            let spec = merged(spec(&[&letter(name)]), &json!({"reinvocationPolicy": again}));
            world.bound(name, &spec, &json!({}));
        }
        assert_eq!(world.deployed().await.unwrap()["metadata"]["labels"]["order"], wanted);
    }
    let world = world_of("1.36");
    world.bound("a", &spec(&[&letter("a")]), &json!({}));
    let mut delete = world.create("apps", "deployments");
    delete.operation = Operation::Delete;
    delete.old = Some(json!({"metadata": {"name": "d", "namespace": "a"}}));
    delete.admit(json!({"metadata": {"name": "d", "namespace": "a"}})).await.unwrap();
}

#[tokio::test]
async fn parameters_conditions_and_variables_are_those_of_policies() {
    let world = world_of("1.36");
    let put = |name: &str, letter: &str| {
        let map = json!({"metadata": {"name": name, "namespace": "a", "labels": {"l": "1"}}, "data": {"letter": letter}});
        world.objects.put("", "configmaps", map);
    };
    let by = "Object{metadata: Object.metadata{labels: {'order': object.metadata.?labels.order.orValue('') + variables.letter}}}";
    let with_params = json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "variables": [{"name": "letter", "expression": "params.data.letter"}]});
    let policy = merged(spec(&[by]), &with_params);
    let one = json!({"paramRef": {"name": "p1", "parameterNotFoundAction": "Deny"}});
    world.bound("m", &policy, &one);
    assert_eq!(
        world.deployed().await.unwrap_err(),
        "policy 'm' with binding 'm-b' denied request: failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
    );
    put("p1", "p");
    put("p2", "q");
    let order = async || world.deployed().await.unwrap()["metadata"]["labels"]["order"].clone();
    assert_eq!(order().await, "p");
    // Each parameter is an invocation of its own.
    let all =
        json!({"paramRef": {"selector": {"matchLabels": {"l": "1"}}, "parameterNotFoundAction": "Deny"}});
    world.bound("m", &policy, &all);
    assert_eq!(order().await, "pq");
    let none =
        json!({"paramRef": {"selector": {"matchLabels": {"l": "2"}}, "parameterNotFoundAction": "Allow"}});
    world.bound("m", &policy, &none);
    assert_eq!(order().await, Value::Null);
    let unless =
        json!({"matchConditions": [{"name": "c", "expression": "variables.letter != params.data.letter"}]});
    world.bound("m", &merged(policy.clone(), &unless), &one);
    assert_eq!(order().await, Value::Null);
    let broken = json!({"matchConditions": [{"name": "c", "expression": "object.nope"}]});
    world.bound("m", &merged(policy.clone(), &broken), &one);
    assert_eq!(
        world.deployed().await.unwrap_err(),
        "policy 'm' with binding 'm-b' denied request: compilation error: must evaluate to bool but got dyn"
    );
    let unknown = json!({"paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"}});
    world.bound("m", &merged(policy, &unknown), &one);
    assert_eq!(
        world.deployed().await.unwrap_err(),
        "policy \"m\" denied request: failed to configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limit'"
    );
}

#[tokio::test]
async fn an_expression_that_cannot_be_run_is_not_stored() {
    let world = world_of("1.36");
    let ask = async |spec: Value| {
        let policy = json!({"metadata": {"name": "m"}, "spec": spec});
        world.create(GROUP, POLICIES).admit(policy).await.err().unwrap_or_default()
    };
    let start = "MutatingAdmissionPolicy.admissionregistration.k8s.io \"m\" is invalid: spec.mutations[0].";
    for (expression, why) in [
        (
            "'a teapot'",
            "applyConfiguration.expression: Invalid value: \"'a teapot'\": must evaluate to Object but got string",
        ),
        (
            "Object.spec{}",
            "applyConfiguration.expression: Invalid value: \"Object.spec{}\": must evaluate to Object but got Object.spec",
        ),
        (
            "JSONPatch{}",
            "jsonPatch.expression: Invalid value: \"JSONPatch{}\": must evaluate to list(JSONPatch) but got JSONPatch",
        ),
        (
            "Other{}",
            "applyConfiguration.expression: Invalid value: \"Other{}\": compilation failed: ERROR: <input>:1:6: undeclared reference to 'Other'",
        ),
        (
            "[JSONPatch{op: 1}]",
            "jsonPatch.expression: Invalid value: \"[JSONPatch{op: 1}]\": compilation failed: ERROR: <input>:1:14: expected type of field 'op' is 'string' but provided type is 'int'",
        ),
        (
            "[JSONPatch{up: 'x'}]",
            "jsonPatch.expression: Invalid value: \"[JSONPatch{up: 'x'}]\": compilation failed: ERROR: <input>:1:14: undefined field 'up'",
        ),
        (
            "Object{spec: params.x}",
            "applyConfiguration.expression: Invalid value: \"Object{spec: params.x}\": compilation failed: ERROR: <input>:1:14: undeclared reference to 'params'",
        ),
    ] {
        let got = ask(spec(&[expression])).await;
        assert!(got.starts_with(&format!("{start}{why}")), "{got}");
    }
    assert_eq!(ask(spec(&["Object{}"])).await, "");
    // Only mutations may make objects.
    let early = merged(spec(&["Object{}"]), &json!({"variables": [{"name": "v", "expression": "Object{}"}]}));
    assert!(ask(early).await.contains("spec.variables[0].expression: Invalid value"));
}

#[tokio::test]
async fn who_writes_policies_must_be_allowed_to_read_parameters() {
    let world = world_of("1.36");
    let put = |plural: &str, object: Value| world.objects.put("rbac.authorization.k8s.io", plural, object);
    for (policies, bindings, kind) in [
        (POLICIES, BINDINGS, "MutatingAdmissionPolicy"),
        ("validatingadmissionpolicies", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicy"),
    ] {
        let policy = json!({"metadata": {"name": "p"}, "spec": {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}});
        let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "paramRef": {"name": "x", "namespace": "a"}}});
        world.objects.put(GROUP, policies, policy.clone());
        let ask = async |plural: &str, object: &Value| {
            world.create(GROUP, plural).admit(object.clone()).await.err().unwrap_or_default()
        };
        assert_eq!(
            ask(policies, &policy).await,
            format!(
                "{kind}.{GROUP} \"p\" is invalid: spec.paramKind: Forbidden: user &{{jane  [system:authenticated] map[]}} must have \"get\" permission on all objects of the referenced paramKind (kind=ConfigMap, apiVersion=v1)"
            )
        );
        assert_eq!(
            ask(bindings, &binding).await,
            format!(
                "{kind}Binding.{GROUP} \"b\" is invalid: spec.paramRef: Forbidden: user get does not have \"&{{jane  [system:authenticated] map[]}}\" permission on the object referenced by paramRef"
            )
        );
        let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]);
        put("clusterroles", json!({"metadata": {"name": "reader"}, "rules": rules}));
        put(
            "clusterrolebindings",
            json!({"metadata": {"name": "reader"}, "subjects": [{"kind": "User", "name": "jane"}], "roleRef": {"kind": "ClusterRole", "name": "reader"}}),
        );
        assert_eq!([ask(policies, &policy).await, ask(bindings, &binding).await], ["", ""]);
        world.objects.remove("rbac.authorization.k8s.io", "clusterrolebindings", "", "reader");
    }
}
