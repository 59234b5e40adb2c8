//! Expressions of Kubernetes' language: whatever is compiled runs within its budget, and twice to the same end.

#![no_main]

use cel::{Bindings, Budget, CALL_COST_MAX, Environment, Shape, Value};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use std::sync::OnceLock;

fn environment() -> &'static Environment {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let schema = json!({"type": "object", "properties": {
            "name": {"type": "string"}, "count": {"type": "integer"}, "on": {"type": "boolean"},
            "size": {"x-kubernetes-int-or-string": true},
            "tags": {"type": "array", "items": {"type": "string"}},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
            "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "number"}}}}}});
        let shape = Shape::from_schema(&schema, false, "self").unwrap_or_else(Shape::any);
        Environment::new().shaped("self", shape.clone()).shaped("oldSelf", shape).shaped("any", Shape::any())
    })
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(program) = environment().compile(text) else { return };
    let object = json!({"name": "web", "count": 3, "on": true, "size": "25%", "tags": ["a", "b"], "map": {"x": 1, "y": -2},
        "list": [{"k": "a", "v": 1.5}, {"k": "b"}]});
    let run = || {
        let mut bindings = Bindings::new();
        for name in ["self", "oldSelf", "any"] {
            bindings.set(name, Value::json(&object));
        }
        let mut budget = Budget::new(CALL_COST_MAX);
        let result = program.evaluate(&bindings, &mut budget);
        format!("{:?}", result.map(|value| value.to_json()))
    };
    assert_eq!(run(), run(), "{text}");
});
