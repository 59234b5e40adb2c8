//! Definitions: what is refused, in upstream's words, and what their status says.

use serde_json::{Value, json};

use crate::harness::start;

pub const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A namespaced kind with one version.
pub fn definition(group: &str, plural: &str, kind: &str, schema: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut made = definition(
        "example.com",
        "widgets",
        "Widget",
        json!({"type": "object", "properties": {"a": {"type": "string"}}}),
    );
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = made.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) => items.push(value),
        parent => parent[key] = value,
    }
    made
}

fn schema(schema: Value) -> Value {
    with("/spec/versions/0/schema/openAPIV3Schema", schema)
}

fn property(property: Value) -> Value {
    schema(json!({"type": "object", "properties": {"a": property}}))
}

/// Where a definition with one version names its schema.
const AT: &str = "spec.validation.openAPIV3Schema";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_are_refused_in_upstreams_words() {
    let server = start().await;
    let a = format!("{AT}.properties[a]");
    let cases = [
        (with("/metadata/name", json!("x.example.com")), "metadata.name: Invalid value: \"x.example.com\": must be spec.names.plural+\".\"+spec.group".to_owned()),
        (with("/spec/group", json!("example")), "spec.group: Invalid value: \"example\": should be a domain with at least one dot".to_owned()),
        (with("/spec/scope", json!("Other")), "spec.scope: Unsupported value: \"Other\": supported values: \"Cluster\", \"Namespaced\"".to_owned()),
        (with("/spec/names/listKind", json!("Widget")), "spec.names.listKind: Invalid value: \"Widget\": kind and listKind may not be the same".to_owned()),
        (with("/spec/versions/0/storage", json!(false)), "must have exactly one version marked as storage version".to_owned()),
        (with("/spec/versions/0/schema", json!(null)), "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required".to_owned()),
        (with("/spec/preserveUnknownFields", json!(true)), "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead".to_owned()),
        (with("/spec/conversion", json!({"strategy": "Webhook"})), "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook".to_owned()),
        (with("/spec/conversion", json!({"strategy": "Webhook", "webhook": {"clientConfig": {"url": "http://x"}, "conversionReviewVersions": ["v1"]}})), "'https' is the only allowed URL scheme; desired format: https://host[/path]".to_owned()),
        (schema(json!({"properties": {}})), format!("{AT}.type: Required value: must not be empty at the root")),
        (property(json!({})), format!("{a}.type: Required value: must not be empty for specified object fields")),
        (property(json!({"type": "array"})), format!("{a}.items: Required value: must be specified")),
        (property(json!({"type": "thing"})), format!("{a}.type: Unsupported value: \"thing\": supported values: \"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"")),
        (property(json!({"type": "string", "pattern": "("})), format!("{a}.pattern: Invalid value: \"(\": must be a valid regular expression, but isn't:")),
        (property(json!({"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": {"type": "string"}})), format!("{a}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive")),
        (property(json!({"type": "string", "default": 7})), format!("{a}.default: Invalid value: \"integer\":  in body must be of type string: \"integer\"")),
        (property(json!({"type": "object", "default": {"x": 1}, "properties": {"b": {"type": "string"}}})), format!("{a}.default: Invalid value: {{\"x\":1}}: must not have unknown fields")),
        (property(json!({"type": "array", "items": {"type": "string"}, "uniqueItems": true})), format!("{a}.uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic")),
        (property(json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "map"})), format!("{a}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map")),
        (property(json!({"type": "string", "x-kubernetes-list-type": "set"})), format!("{a}.type: Invalid value: \"string\": must be array if x-kubernetes-list-type is specified")),
        (property(json!({"type": "string", "x-kubernetes-preserve-unknown-fields": false})), format!("{a}.x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined")),
        (property(json!({"type": "object", "anyOf": [{"type": "object"}]})), format!("{a}.anyOf[0].type: Forbidden: must be empty to be structural")),
        (property(json!({"type": "object", "anyOf": [{"properties": {"z": {}}}]})), format!("{a}.properties[z]: Required value: because it is defined in {a}.anyOf[0].properties[z]")),
        (schema(json!({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}})), format!("{AT}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified")),
        (with("/spec/versions/0/selectableFields", json!([{"jsonPath": ".spec.x"}])), "spec.selectableFields[0].jsonPath: Invalid value: \".spec.x\": is an invalid path: does not refer to a valid field".to_owned()),
        (with("/spec/versions/0/additionalPrinterColumns", json!([{"name": "A", "type": "text", "jsonPath": "a"}])), "spec.additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of boolean,date,integer,number,string".to_owned()),
        (with("/spec/versions/0/subresources", json!({"scale": {"specReplicasPath": ".x", "statusReplicasPath": ".status.x"}})), "spec.subresources.scale.specReplicasPath: Invalid value: \".x\": should be a json path under .spec".to_owned()),
    ];
    for (made, wanted) in cases {
        let said = server.post(DEFINITIONS, made.clone()).await.refused(422);
        assert!(said.contains(&wanted), "{wanted}\n{said}");
    }
    let said = server
        .post(DEFINITIONS, definition("x.k8s.io", "widgets", "Widget", json!({"type": "object"})))
        .await
        .refused(422);
    assert!(said.contains("metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_do_not_compile_or_cost_too_much_are_refused() {
    let server = start().await;
    let rule = |kind: Value, rule: Value| {
        let mut kind = kind;
        kind["x-kubernetes-validations"] = json!([rule]);
        property(kind)
    };
    let text = json!({"type": "string"});
    let long = json!({"type": "array", "items": {"type": "array", "items": {"type": "string"}}});
    let cases = [
        (rule(text.clone(), json!({"rule": ""})), ".rule: Required value: rule is not specified"),
        (
            rule(text.clone(), json!({"rule": "self.x"})),
            "compilation failed: ERROR: <input>:1:5: type 'string' does not support field selection\n | self.x\n | ....^",
        ),
        (
            rule(text.clone(), json!({"rule": "missing"})),
            "compilation failed: ERROR: <input>:1:1: undeclared reference to 'missing' (in container '')\n | missing\n | ^",
        ),
        (rule(text.clone(), json!({"rule": "self"})), "cel expression must evaluate to a bool"),
        (
            rule(text.clone(), json!({"rule": "true", "messageExpression": "1"})),
            "messageExpression must evaluate to a string",
        ),
        (
            rule(text.clone(), json!({"rule": "true", "message": "a\nb"})),
            ".message: Invalid value: \"a\\nb\": message must not contain line breaks",
        ),
        (
            rule(text.clone(), json!({"rule": "true", "reason": "Bad"})),
            ".reason: Unsupported value: \"Bad\": supported values: \"FieldValueDuplicate\", \"FieldValueForbidden\", \"FieldValueInvalid\", \"FieldValueRequired\"",
        ),
        (
            rule(text.clone(), json!({"rule": "true", "fieldPath": ".x"})),
            ".fieldPath: Invalid value: \".x\": fieldPath must be a valid path",
        ),
        (
            rule(text.clone(), json!({"rule": "true", "optionalOldSelf": true})),
            ".optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule",
        ),
        (
            rule(long, json!({"rule": "self.all(x, x.all(y, y.contains('a')))"})),
            "estimated rule cost exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)",
        ),
        (
            property(
                json!({"type": "array", "maxItems": 3, "items": {"type": "string", "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}}),
            ),
            "oldSelf cannot be used on the uncorrelatable portion of the schema within spec.validation.openAPIV3Schema.properties[a]",
        ),
    ];
    for (made, wanted) in cases {
        let said = server.post(DEFINITIONS, made).await.refused(422);
        assert!(said.contains(wanted), "{wanted}\n{said}");
        assert!(said.contains("x-kubernetes-validations[0]"), "{said}");
    }
}

/// A text of unknown length that is put together costs too much, even one made of a number; formatting is free. So upstream has it,
/// whatever its documentation shows.
#[tokio::test]
async fn a_message_is_formatted_not_put_together() {
    let server = start().await;
    let made = |message: &str| {
        let number = json!({"type": "integer", "minimum": 0, "maximum": 9});
        property(
            json!({"type": "object", "required": ["min", "max"], "properties": {"min": number, "max": number},
            "x-kubernetes-validations": [{"rule": "self.min <= self.max", "messageExpression": message}]}),
        )
    };
    let refused = server.post(DEFINITIONS, made("'min (' + string(self.min) + ') is too large'")).await;
    assert_eq!(refused.status, 422);
    let causes: Vec<(&str, &str)> = refused.body["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cause| (cause["field"].as_str().unwrap(), cause["message"].as_str().unwrap()))
        .collect();
    let root = "spec.validation.openAPIV3Schema";
    let place = format!("{root}.properties[a].x-kubernetes-validations[0].messageExpression");
    let dear = |what: &str| {
        format!(
            "Forbidden: {what} exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
        )
    };
    let total = dear("x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema");
    let contributed = "Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
    let expected = [
        (place.as_str(), dear("estimated messageExpression cost")),
        (place.as_str(), contributed.to_owned()),
        (root, total),
    ];
    let expected: Vec<(&str, &str)> = expected.iter().map(|(place, why)| (*place, why.as_str())).collect();
    assert_eq!(causes, expected);
    server.post(DEFINITIONS, made("'min (%d) is too large'.format([self.min])")).await.ok();
}

fn condition<'a>(definition: &'a Value, kind: &str) -> &'a Value {
    let conditions = definition["status"]["conditions"].as_array().unwrap();
    conditions.iter().find(|one| one["type"] == kind).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_in_use_are_not_accepted_until_they_are_given_up() {
    let server = start().await;
    let schema = json!({"type": "object"});
    let mut first = definition("example.com", "widgets", "Widget", schema.clone());
    first["spec"]["names"]["shortNames"] = json!(["wd"]);
    let made = server.post(DEFINITIONS, first).await.ok();
    assert_eq!(condition(&made, "Established")["reason"], "InitialNamesAccepted");
    assert_eq!(made["status"]["acceptedNames"]["listKind"], "WidgetList");
    assert_eq!(made["status"]["storedVersions"], json!(["v1"]));

    let made =
        server.post(DEFINITIONS, definition("example.com", "gadgets", "Widget", schema.clone())).await.ok();
    let accepted = condition(&made, "NamesAccepted");
    assert_eq!((&accepted["status"], &accepted["reason"]), (&json!("False"), &json!("ListKindConflict")));
    assert_eq!(accepted["message"], "\"WidgetList\" is already in use");
    assert_eq!(condition(&made, "Established")["reason"], "NotAccepted");
    let gadgets = "/apis/example.com/v1/namespaces/default/gadgets";
    assert_eq!(server.get(gadgets).await.status, 404);

    server.delete(&format!("{DEFINITIONS}/widgets.example.com")).await.ok();
    let path = format!("{DEFINITIONS}/gadgets.example.com");
    let served = async {
        loop {
            if condition(&server.get(&path).await.ok(), "Established")["status"] == "True" {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), served).await.unwrap();
    server.get(gadgets).await.ok();
    // At once again.
    server.post(DEFINITIONS, definition("example.com", "widgets", "Other", schema)).await.ok();
    server.get("/apis/example.com/v1/namespaces/default/widgets").await.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_goes_after_its_objects_and_takes_no_new_ones() {
    let server = start().await;
    server
        .post(DEFINITIONS, definition("example.com", "widgets", "Widget", json!({"type": "object"})))
        .await
        .ok();
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    let widget = |name: &str| json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name, "finalizers": ["example.com/wait"]}});
    server.post(widgets, widget("a")).await.ok();
    let path = format!("{DEFINITIONS}/widgets.example.com");
    server.delete(&path).await.ok();
    let terminating = async {
        loop {
            let now = server.get(&path).await.ok();
            if now["status"]["conditions"].as_array().unwrap().iter().any(|one| one["type"] == "Terminating")
            {
                return now;
            }
            tokio::task::yield_now().await;
        }
    };
    let now = tokio::time::timeout(std::time::Duration::from_secs(20), terminating).await.unwrap();
    assert_eq!(condition(&now, "Terminating")["reason"], "InstanceDeletionInProgress");
    let said = server.post(widgets, widget("b")).await.refused(405);
    assert_eq!(said, "create not allowed while custom resource definition is terminating");
    let marked = async {
        while !server.get(&format!("{widgets}/a")).await.ok()["metadata"]["deletionTimestamp"].is_string() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), marked).await.unwrap();
    server.patch("merge", &format!("{widgets}/a"), json!({"metadata": {"finalizers": null}})).await.ok();
    let gone = async {
        while server.get(&path).await.status != 404 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_definitions_are_served_at_once() {
    let server = start().await;
    let rule = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"n": {"type": "integer"}, "s": {"type": "string", "maxLength": 63}},
        "x-kubernetes-validations": [{"rule": "!has(self.n) || self.n > 0"}, {"rule": "!has(self.s) || self.s.matches('^[a-z]+$')"}]}}});
    let started = std::time::Instant::now();
    for number in 0..100 {
        let made = server.post(
            DEFINITIONS,
            definition("many.example.com", &format!("k{number}s"), &format!("K{number}"), rule.clone()),
        );
        made.await.ok();
    }
    eprintln!("100 definitions in {:?}", started.elapsed());
    for number in [0, 50, 99] {
        server.get(&format!("/apis/many.example.com/v1/k{number}s")).await.ok();
    }
}
