//! Bodies of the resource manager: JSON is read as serde reads it, also by the forgiving reader of templates, and nothing is nested deep.

#![no_main]

use arm::{deployments, json};
use lazurite_fuzz::{Choices, any};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Deeper than this nothing may be that was read.
const NESTING_MAX: usize = 130;

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Whether two values are one. Fractions may differ in their last digit: serde's fast reader rounds.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other
                || one
                    .as_f64()
                    .zip(other.as_f64())
                    .is_some_and(|(one, other)| one == other || ((one - other) / one).abs() < 1e-15 * 4.0)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| alike(one, other)))
        }
        _ => one == other,
    }
}

/// What people may put between the words of a template.
const BETWEEN: [&str; 8] = ["", " ", "\n", "// ] }\n", "/* [ { \" ' */", "\u{feff}", "\t", "/**/"];

/// Writes a value as a file may have it.
fn written(value: &Value, choices: &mut Choices<'_>, into: &mut String) {
    into.push_str(*choices.of(&BETWEEN));
    match value {
        Value::String(text) => quoted(text, choices, into),
        Value::Array(list) => {
            into.push('[');
            for (at, one) in list.iter().enumerate() {
                into.push_str(if at > 0 { "," } else { "" });
                written(one, choices, into);
            }
            into.push_str(if !list.is_empty() && choices.byte() % 2 == 1 { ",]" } else { "]" });
        }
        Value::Object(map) => {
            into.push('{');
            for (at, (name, one)) in map.iter().enumerate() {
                into.push_str(if at > 0 { "," } else { "" });
                into.push_str(*choices.of(&BETWEEN));
                let is_bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic());
                if is_bare && choices.byte() % 2 == 1 {
                    into.push_str(name);
                } else {
                    quoted(name, choices, into);
                }
                into.push(':');
                written(one, choices, into);
            }
            into.push_str(if !map.is_empty() && choices.byte() % 2 == 1 { ",}" } else { "}" });
        }
        other => into.push_str(&other.to_string()),
    }
    into.push_str(*choices.of(&BETWEEN));
}

fn quoted(text: &str, choices: &mut Choices<'_>, into: &mut String) {
    if choices.byte() % 2 == 1 {
        let inner = text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
        into.push_str(&format!("'{inner}'"));
    } else {
        into.push_str(&Value::from(text).to_string());
    }
}

fn judge(data: &[u8]) {
    let (read, body) = (json::read(data), deployments::read(data));
    let plain = serde_json::from_slice::<Value>(data);
    if let Ok(plain) = &plain {
        assert_eq!(read.as_ref().ok(), Some(plain));
    }
    match &read {
        Ok(value) if value.is_object() => assert_eq!(body.as_ref().ok(), Some(value)),
        Ok(value) => assert!(body.is_err(), "{value} is no object"),
        Err(_) => {}
    }
    let Ok(text) = std::str::from_utf8(data) else {
        assert!(body.is_err(), "it is no text");
        return;
    };
    let forgiving = deployments::forgiving(text);
    if let Ok(plain) = &plain {
        let forgiving = forgiving.as_ref().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(alike(forgiving, plain), "{forgiving} {plain}");
    }
    for value in [body.ok(), forgiving.ok()].into_iter().flatten() {
        assert!(depth(&value) < NESTING_MAX);
        if depth(&value) < 120 {
            let again =
                json::read(value.to_string().as_bytes()).unwrap_or_else(|error| panic!("{value}: {error}"));
            assert!(alike(&again, &value), "{again} {value}");
        }
    }
}

fuzz_target!(|data: &[u8]| {
    judge(data);
    let mut choices = Choices(data);
    let value = any(&mut choices, 6);
    let mut text = String::new();
    written(&value, &mut choices, &mut text);
    judge(text.as_bytes());
    let read = deployments::forgiving(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert!(alike(&read, &value), "{text}: {read} {value}");
    // Nested a hundred thousand times, whatever is in between.
    if choices.byte() == 7 {
        let piece = ["[\"]\",", "{a:", "['}',", "[/*]*/"][choices.below(4)];
        assert!(deployments::forgiving(&piece.repeat(100_000)).is_err());
    }
});
