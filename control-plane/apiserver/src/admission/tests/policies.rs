use super::*;

const GROUP: &str = "admissionregistration.k8s.io";

impl World {
    /// A policy on deployments with a binding, each with fields of its own.
    fn policy(&self, spec: Value, binding: Value) {
        let mut all = json!({"matchConstraints": {"resourceRules": [
            {"operations": ["CREATE", "UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"]}]}});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let mut bound = json!({"policyName": "p", "validationActions": ["Deny"]});
        bound.as_object_mut().unwrap().extend(binding.as_object().unwrap().clone());
        self.objects.put(
            GROUP,
            "validatingadmissionpolicies",
            json!({"metadata": {"name": "p"}, "spec": all}),
        );
        self.objects.put(
            GROUP,
            "validatingadmissionpolicybindings",
            json!({"metadata": {"name": "b"}, "spec": bound}),
        );
    }

    async fn deploy(&self) -> String {
        let deployment = json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "d", "namespace": "a", "labels": {"app": "x"}}, "spec": {"replicas": 7}});
        self.create("apps", "deployments").admit(deployment).await.err().unwrap_or_default()
    }
}

fn validation(expression: &str) -> Value {
    json!({"validations": [{"expression": expression}]})
}

fn denied(why: &str) -> String {
    format!(
        "deployments.apps \"d\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: {why}"
    )
}

#[tokio::test]
async fn policies_see_what_upstream_shows_them() {
    let world = world();
    world.objects.put(
        "",
        "namespaces",
        json!({"metadata": {"name": "a", "labels": {"team": "x"}}, "status": {"phase": "Active"}}),
    );
    for expression in [
        "object.spec.replicas == 7",
        "oldObject == null",
        "request.operation == 'CREATE' && request.userInfo.username == 'jane'",
        "request.kind.kind == 'Deployment' && request.resource.resource == 'deployments' && request.namespace == 'a'",
        "!request.dryRun && request.options.kind == 'CreateOptions'",
        "'system:authenticated' in request.userInfo.groups",
        "namespaceObject.metadata.labels.team == 'x' && namespaceObject.status.phase == 'Active'",
        "!authorizer.group('').resource('pods').namespace('a').check('create').allowed()",
        "!authorizer.requestResource.check('custom').allowed()",
        "authorizer.serviceAccount('kube-system', 'x').path('/healthz').check('get').allowed()",
    ] {
        world.policy(validation(expression), json!({}));
        assert_eq!(world.deploy().await, "", "{expression}");
        let not = format!("!({expression})");
        world.policy(validation(&not), json!({}));
        assert_eq!(world.deploy().await, denied(&format!("failed expression: {not}")));
    }
}

#[tokio::test]
async fn refusals_say_what_the_policy_says() {
    let world = world();
    let with = |fields: Value| {
        let mut one = json!({"expression": "object.spec.replicas < 5"});
        one.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"validations": [one]})
    };
    for (spec, why) in [
        (with(json!({})), "failed expression: object.spec.replicas < 5"),
        (with(json!({"message": " too many "})), "too many"),
        (
            with(json!({"message": "m", "messageExpression": "'has ' + string(object.spec.replicas)"})),
            "has 7",
        ),
        (with(json!({"message": "m", "messageExpression": "object.spec.nope"})), "m"),
    ] {
        world.policy(spec, json!({}));
        assert_eq!(world.deploy().await, denied(why));
    }
    let broken = json!({"validations": [{"expression": "object.spec.nope == 1"}]});
    world.policy(broken.clone(), json!({}));
    assert_eq!(
        world.deploy().await,
        denied("expression 'object.spec.nope == 1' resulted in error: no such key: nope")
    );
    let mut open = broken;
    open["failurePolicy"] = json!("Ignore");
    world.policy(open, json!({}));
    assert_eq!(world.deploy().await, "");
}

#[tokio::test]
async fn bindings_warn_audit_and_narrow() {
    let world = world();
    let spec = json!({
        "validations": [{"expression": "object.spec.replicas < 5", "message": "too many", "reason": "Forbidden"}],
        "auditAnnotations": [{"key": "replicas", "valueExpression": "'has ' + string(object.spec.replicas)"}],
        "variables": [{"name": "wrong", "expression": "object.spec.nope.deep"}, {"name": "most", "expression": "2 + 3"}],
    });
    world.policy(spec.clone(), json!({"validationActions": ["Warn", "Audit"]}));
    assert_eq!(world.deploy().await, "");
    assert_eq!(
        world.notes.take_warnings(),
        ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': too many"]
    );
    let annotations = world.notes.annotations();
    assert_eq!(annotations["p/replicas"], "has 7");
    let failure: Value =
        serde_json::from_str(&annotations["validation.policy.admission.k8s.io/validation_failure"]).unwrap();
    assert_eq!(
        failure,
        json!([{"message": "too many", "policy": "p", "binding": "b", "expressionIndex": 0, "validationActions": ["Warn", "Audit"]}])
    );
    let narrow = |label: &str| json!({"matchResources": {"objectSelector": {"matchLabels": {"app": label}}}});
    world.policy(spec.clone(), narrow("y"));
    assert_eq!(world.deploy().await, "");
    world.policy(spec.clone(), narrow("x"));
    assert_eq!(world.deploy().await, denied("too many"));
    // Variables are made only when they are asked for.
    let mut lazy = spec;
    lazy["validations"] = json!([{"expression": "!has(object.spec.nope) || variables.wrong == 1"}, {"expression": "object.spec.replicas < variables.most"}]);
    world.policy(lazy, json!({}));
    assert_eq!(world.deploy().await, denied("failed expression: object.spec.replicas < variables.most"));
    let conditions = |expression: &str| json!({"matchConditions": [{"name": "c", "expression": expression}], "validations": [{"expression": "false"}]});
    world.policy(conditions("request.userInfo.username != 'jane'"), json!({}));
    assert_eq!(world.deploy().await, "");
    world.policy(conditions("request.userInfo.username == 'jane'"), json!({}));
    assert_eq!(world.deploy().await, denied("failed expression: false"));
}

#[tokio::test]
async fn parameters_are_looked_up_at_each_request() {
    let world = world();
    let spec = json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "validations": [{"expression": "object.spec.replicas <= int(params.data.most)"}]});
    let by_name = json!({"paramRef": {"name": "limits", "parameterNotFoundAction": "Deny"}});
    world.policy(spec.clone(), by_name);
    assert_eq!(
        world.deploy().await,
        denied(
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
        )
    );
    let limits = |most: &str| json!({"metadata": {"name": "limits", "namespace": "a", "labels": {"l": "1"}}, "data": {"most": most}});
    world.objects.put("", "configmaps", limits("9"));
    assert_eq!(world.deploy().await, "");
    world.objects.put("", "configmaps", limits("3"));
    assert_eq!(
        world.deploy().await,
        denied("failed expression: object.spec.replicas <= int(params.data.most)")
    );
    world.policy(
        spec.clone(),
        json!({"paramRef": {"selector": {"matchLabels": {"l": "2"}}, "parameterNotFoundAction": "Allow"}}),
    );
    assert_eq!(world.deploy().await, "");
    world.policy(
        spec.clone(),
        json!({"paramRef": {"name": "limits", "namespace": "b", "parameterNotFoundAction": "Allow"}}),
    );
    assert_eq!(world.deploy().await, "");
    let mut unknown = spec;
    unknown["paramKind"] = json!({"apiVersion": "example.com/v1", "kind": "Limit"});
    world.policy(unknown, json!({"paramRef": {"name": "limits", "parameterNotFoundAction": "Deny"}}));
    let why = "deployments.apps \"d\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limit'";
    assert_eq!(world.deploy().await, why);
}

#[tokio::test]
async fn what_does_not_compile_is_not_stored() {
    let world = world();
    let policy = |spec: Value| json!({"metadata": {"name": "p"}, "spec": spec});
    let ask = async |spec: Value| {
        world.create(GROUP, "validatingadmissionpolicies").admit(policy(spec)).await.err().unwrap_or_default()
    };
    let start = "ValidatingAdmissionPolicy.admissionregistration.k8s.io \"p\" is invalid: ";
    for (spec, why) in [
        (
            validation("object.spec."),
            "spec.validations[0].expression: Invalid value: \"object.spec.\": compilation failed: ERROR: <input>:1:13: Syntax error",
        ),
        (
            validation("params.x == 1"),
            "spec.validations[0].expression: Invalid value: \"params.x == 1\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params'",
        ),
        (
            validation("1 + 1"),
            "spec.validations[0].expression: Invalid value: \"1 + 1\": must evaluate to bool but got int",
        ),
        (
            json!({"validations": [{"expression": "true", "messageExpression": "1"}]}),
            "spec.validations[0].messageExpression: Invalid value: \"1\": must evaluate to string but got int",
        ),
        (
            json!({"validations": [{"expression": "variables.none == 1"}]}),
            "spec.validations[0].expression: Invalid value: \"variables.none == 1\": compilation failed: ERROR: <input>:1:10: undefined field 'none'",
        ),
    ] {
        let got = ask(spec).await;
        assert!(got.starts_with(&format!("{start}{why}")), "{got}");
    }
    assert_eq!(ask(validation("object.spec.replicas > 1")).await, "");
    let webhook = json!({"metadata": {"name": "w"}, "webhooks": [{"name": "w.example.com", "matchConditions": [{"name": "c", "expression": "nope"}]}]});
    let got = world.create(GROUP, "validatingwebhookconfigurations").admit(webhook).await.unwrap_err();
    assert!(
        got.contains(
            "webhooks[0].matchConditions[0].expression: Invalid value: \"nope\": compilation failed"
        ),
        "{got}"
    );
}
