//! YAML of clients.

#![no_main]

use api_model::decode;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let repeated = decode::repeated_yaml(data);
    if let Ok(read) = decode::yaml(data) {
        if read.repeated {
            assert!(!repeated.is_empty(), "a key stands twice, but where?");
        }
        let text = read.value.to_string();
        // The reader of JSON is not exact to the last digit of fractions.
        if fraction(&read.value) {
            return;
        }
        assert_eq!(decode::json(text.as_bytes()).map(|read| read.value), Ok(read.value));
    }
});

fn fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(fraction),
        Value::Object(map) => map.values().any(fraction),
        _ => false,
    }
}
