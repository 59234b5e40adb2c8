//! Objects of custom kinds: limits of their schema and rules in CEL.

use serde_json::{Value, json};

use crate::custom_definitions::{DEFINITIONS, definition};
use crate::harness::start;

const THINGS: &str = "/apis/rules.example.com/v1/namespaces/default/things";

fn schema() -> Value {
    json!({"type": "object", "properties": {"spec": {
        "type": "object",
        "x-kubernetes-validations": [
            {"rule": "self.min <= self.max", "message": "min must not be above max", "reason": "FieldValueForbidden", "fieldPath": ".min"},
            {"rule": "!has(oldSelf.fixed) || self.fixed == oldSelf.fixed", "messageExpression": "'fixed was ' + oldSelf.fixed"},
            {"rule": "self.max < 100 || self.list.exists(x, x == 'big')"},
        ],
        "properties": {
            "min": {"type": "integer", "default": 0}, "max": {"type": "integer", "default": 1},
            "fixed": {"type": "string"},
            "name": {"type": "string", "maxLength": 5, "pattern": "^[a-z]+$"},
            "mode": {"type": "string", "enum": ["a", "b"]},
            "when": {"type": "string", "format": "date-time"},
            "list": {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 10}, "x-kubernetes-list-type": "set"},
            "port": {"x-kubernetes-int-or-string": true},
            "one": {"type": "object", "oneOf": [{"required": ["x"]}, {"required": ["y"]}], "properties": {"x": {"type": "string"}, "y": {"type": "string"}}},
            "items": {"type": "array", "maxItems": 10, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
                    "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v", "message": "v only grows"}]}},
        },
    }}})
}

fn thing(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "rules.example.com/v1", "kind": "Thing", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_refused_in_upstreams_words() {
    let server = start().await;
    server.post(DEFINITIONS, definition("rules.example.com", "things", "Thing", schema())).await.ok();
    let cases = [
        (
            json!({"max": "x"}),
            "spec.max: Invalid value: \"string\": spec.max in body must be of type integer: \"string\"",
        ),
        (
            json!({"name": "A1"}),
            "spec.name: Invalid value: \"A1\": spec.name in body should match '^[a-z]+$'",
        ),
        (json!({"name": "abcdef"}), "spec.name: Too long: may not be more than 5 bytes"),
        (json!({"mode": "c"}), "spec.mode: Unsupported value: \"c\": supported values: \"a\", \"b\""),
        (
            json!({"when": "yesterday"}),
            "spec.when: Invalid value: \"yesterday\": spec.when in body must be of type date-time: \"yesterday\"",
        ),
        (json!({"list": ["a", "a"]}), "spec.list[1]: Duplicate value: \"a\""),
        (json!({"list": ["a", "b", "c", "d"]}), "spec.list: Too many: 4: must have at most 3 items"),
        (
            json!({"one": {}}),
            "<nil>: Invalid value: \"\": \"spec.one\" must validate one and only one schema (oneOf). Found none valid",
        ),
        (
            json!({"one": {"x": "1", "y": "2"}}),
            "must validate one and only one schema (oneOf). Found 2 valid alternatives",
        ),
        (json!({"items": [{"v": 1}]}), "spec.items[0].k: Required value"),
        (json!({"items": [{"k": "a"}, {"k": "a"}]}), "spec.items[1]: Duplicate value: {\"k\":\"a\"}"),
        (json!({"min": 5, "max": 2}), "spec.min: Forbidden: min must not be above max"),
        (
            json!({"max": 200, "list": ["small"]}),
            "spec: Invalid value: \"object\": failed rule: self.max < 100 || self.list.exists(x, x == 'big')",
        ),
        (
            json!({"max": 200}),
            "spec: Invalid value: \"object\": no such key: list evaluating rule: self.max < 100 || self.list.exists(x, x == 'big')",
        ),
        (
            json!({"max": 200, "list": ["a", "b", "c", "d"]}),
            "<nil>: Invalid value: \"null\": some validation rules were not checked because the object was invalid; correct the existing errors to complete validation",
        ),
    ];
    for (spec, wanted) in cases {
        let said = server.post(THINGS, thing("t", spec.clone())).await.refused(422);
        assert!(said.starts_with("Thing.rules.example.com \"t\" is invalid: "), "{said}");
        assert!(said.contains(wanted), "{spec}\n{said}\n{wanted}");
    }
    let made = server
        .post(THINGS, thing("t", json!({"min": null, "max": 200, "list": ["big"], "odd": {}})))
        .await
        .ok();
    assert_eq!(
        made["spec"],
        json!({"min": 0, "max": 200, "list": ["big"]}),
        "null is replaced by the default"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_judged_and_what_is_as_it_was_is_tolerated() {
    let server = start().await;
    server.post(DEFINITIONS, definition("rules.example.com", "things", "Thing", schema())).await.ok();
    let path = format!("{THINGS}/t");
    let first = json!({"fixed": "a", "name": "ab", "items": [{"k": "x", "v": 5}, {"k": "y", "v": 1}]});
    server.post(THINGS, thing("t", first)).await.ok();
    let said = server.patch("merge", &path, json!({"spec": {"fixed": "b"}})).await.refused(422);
    assert!(said.contains("spec: Invalid value: \"object\": fixed was a"), "{said}");
    let fewer = json!({"spec": {"items": [{"k": "y", "v": 2}, {"k": "x", "v": 4}, {"k": "new", "v": 0}]}});
    let said = server.patch("merge", &path, fewer).await.refused(422);
    assert!(said.contains("spec.items[1]: Invalid value: \"object\": v only grows"), "{said}");
    server
        .patch("merge", &path, json!({"spec": {"items": [{"k": "y", "v": 2}, {"k": "x", "v": 5}]}}))
        .await
        .ok();

    // The definition becomes stricter; what was there before may stay as it is.
    let stricter = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/name/pattern", "value": "^z+$"}]);
    server.patch("json", &format!("{DEFINITIONS}/things.rules.example.com"), stricter).await.ok();
    server.patch("merge", &path, json!({"spec": {"max": 7}})).await.ok();
    let said = server.patch("merge", &path, json!({"spec": {"name": "abc"}})).await.refused(422);
    assert!(said.contains("spec.name in body should match '^z+$'"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_apply_and_lists_select() {
    let server = start().await;
    let mut made = definition("rules.example.com", "things", "Thing", schema());
    made["spec"]["versions"][0]["selectableFields"] = json!([{"jsonPath": ".spec.mode"}]);
    made["spec"]["versions"][0]["additionalPrinterColumns"] = json!([
        {"name": "Max", "type": "integer", "jsonPath": ".spec.max"},
        {"name": "First", "type": "string", "jsonPath": ".spec.items[0].k"},
    ]);
    server.post(DEFINITIONS, made).await.ok();
    let applied = thing("t", json!({"mode": "a", "items": [{"k": "x", "v": 1}]}));
    let apply = |by: &str| format!("{THINGS}/t?fieldManager={by}");
    server.patch("apply", &apply("one"), applied).await.ok();
    let merged =
        server.patch("apply", &apply("two"), thing("t", json!({"items": [{"k": "y", "v": 2}]}))).await.ok();
    assert_eq!(
        merged["spec"]["items"],
        json!([{"k": "x", "v": 1}, {"k": "y", "v": 2}]),
        "a list that is a map"
    );
    let said = server.patch("strategic", &format!("{THINGS}/t"), json!({})).await.refused(415);
    assert_eq!(
        said,
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    );
    server.post(THINGS, thing("u", json!({"mode": "b"}))).await.ok();
    let list = server.get(&format!("{THINGS}?fieldSelector=spec.mode%3Db")).await.ok();
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1));
    server.get(&format!("{THINGS}?fieldSelector=spec.max%3D1")).await.refused(400);
    let path = format!("{THINGS}/t");
    let table =
        server.send("GET", &path, &["accept: application/json;as=Table;v=v1;g=meta.k8s.io"], Vec::new());
    let table = table.await.ok();
    assert_eq!(table["rows"][0]["cells"], json!(["t", 1, "x"]));
}
