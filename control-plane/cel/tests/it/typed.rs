//! Values that a schema describes.

use cel::{Bindings, Budget, Environment, Shape, Value};
use serde_json::{Value as Json, json};

fn schema() -> Json {
    json!({"type": "object", "required": ["spec"], "properties": {"spec": {"type": "object", "properties": {
        "port": {"x-kubernetes-int-or-string": true},
        "when": {"type": "string", "format": "date-time"}, "day": {"type": "string", "format": "date"},
        "wait": {"type": "string", "format": "duration"}, "data": {"type": "string", "format": "byte"},
        "ratio": {"type": "number"}, "nullable": {"type": "string", "nullable": true},
        "namespace": {"type": "string"}, "x-prop": {"type": "string"}, "a__b": {"type": "string"},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "other": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}}},
        "more": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "embedded": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
    }}}})
}

fn object() -> Json {
    json!({"apiVersion": "a/v1", "kind": "K", "metadata": {"name": "n", "namespace": "x"}, "spec": {
        "port": "80%", "when": "2023-01-02T03:04:05Z", "day": "2023-01-02", "wait": "1m", "data": "aGk=",
        "ratio": 2, "nullable": null, "namespace": "ns", "x-prop": "p", "a__b": "u",
        "set": ["a", "b"], "other": ["b", "a"], "labels": {"x-y": "1"},
        "map": [{"k": "a", "v": 1}, {"k": "b", "v": 2}], "more": [{"k": "b", "v": 2}, {"k": "a", "v": 1}],
        "embedded": {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "e"}, "spec": {}},
    }})
}

#[test]
fn schemas_say_how_values_are_read() {
    let shape = Shape::from_schema(&schema(), true, "selfType").unwrap();
    let environment = Environment::new().shaped("self", shape.clone()).shaped("oldSelf", shape.clone());
    let object = object();
    let mut old = object.clone();
    for list in ["map", "set"] {
        old["spec"][list].as_array_mut().unwrap().reverse();
    }
    old["spec"]["map"][0]["v"] = json!(7);
    let holds = [
        "self.metadata.name == 'n' && self.kind == 'K' && self.apiVersion == 'a/v1'",
        "type(self.spec.port) == string && self.spec.port.endsWith('%')",
        "self.spec.when.getFullYear() == 2023 && self.spec.day < self.spec.when && self.spec.wait == duration('60s')",
        "self.spec.data == b'hi' && string(self.spec.data) == 'hi'",
        "self.spec.ratio == 2.0 && type(self.spec.ratio) == double",
        "has(self.spec.nullable) && self.spec.nullable == 'x' || self.spec.nullable != 'x'",
        "self.spec.__namespace__ == 'ns' && self.spec.x__dash__prop == 'p' && self.spec.a__underscores__b == 'u'",
        "self.spec.set == self.spec.other && (self.spec.set + self.spec.other).size() == 2",
        "self.spec.set + ['c', 'a'] == ['a', 'b', 'c']",
        "self.spec.map != oldSelf.spec.map && self.spec.map + oldSelf.spec.map == oldSelf.spec.map && self.spec.set == oldSelf.spec.set",
        "(self.spec.map + oldSelf.spec.map)[0].k == 'a' && (self.spec.map + oldSelf.spec.map)[1].v == 7",
        "self.spec.labels['x-y'] == '1' && 'x-y' in self.spec.labels && self.spec.labels.all(k, k == 'x-y')",
        "self.spec.embedded.metadata.name == 'e' && self.spec.embedded.kind == 'Pod'",
        "self.spec == self.spec",
    ];
    for text in holds {
        let program = environment.compile(text).unwrap_or_else(|error| panic!("{error}"));
        let bindings = Bindings::new().with("self", Value::typed(&object, &shape).unwrap());
        let bindings = bindings.with("oldSelf", Value::typed(&old, &shape).unwrap());
        let value = program
            .evaluate(&bindings, &mut Budget::new(1_000_000))
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(value.as_bool(), Some(true), "{text}");
    }
}

#[test]
fn values_that_are_not_what_the_schema_says_are_errors() {
    let shape = Shape::from_schema(&schema(), true, "selfType").unwrap();
    let environment = Environment::new().shaped("self", shape.clone());
    let object = json!({"spec": {"when": "yesterday", "set": null, "ratio": "x", "map": {}}});
    let cases = [
        ("self.spec.when", "Invalid date-time formatted string yesterday: cannot be parsed"),
        ("self.spec.set", "invalid data, got null for schema with nullable=false"),
        ("self.spec.ratio", "invalid data, expected float, got string"),
        ("self.spec.map", "invalid data, expected an array for the provided schema with type=array"),
        ("self.spec.day", "no such key: day"),
    ];
    for (text, wanted) in cases {
        let program = environment.compile(text).unwrap();
        let bindings = Bindings::new().with("self", Value::typed(&object, &shape).unwrap());
        let error =
            program.evaluate(&bindings, &mut Budget::new(1_000_000)).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(wanted), "{text}");
    }
}

#[test]
fn what_a_schema_does_not_describe_is_not_there() {
    for schema in [
        json!({"x-kubernetes-preserve-unknown-fields": true}),
        json!({"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": true}}),
        json!({"type": "object", "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true}}),
        json!({"type": "array"}),
    ] {
        assert!(Shape::from_schema(&schema, false, "t").is_none(), "{schema}");
    }
}
