//! Values as Go prints them; upstream's errors quote them so.

use serde_json::{Number, Value};
use std::fmt::Write;

/// As `%v`: `map[name:web ports:[map[port:80]]]`.
pub fn shown(value: &Value) -> String {
    let mut out = String::new();
    show(&mut out, value);
    out
}

fn show(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("<nil>"),
        Value::String(text) => out.push_str(text),
        Value::Number(number) => push_number(out, number),
        Value::Bool(value) => push(out, value),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                show(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push_str("map[");
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                out.push_str(key);
                out.push(':');
                show(out, value);
            }
            out.push(']');
        }
    }
}

/// As `%#v`: `map[string]interface {}{"name":"web"}`.
pub(super) fn spelled(value: &Value) -> String {
    let mut out = String::new();
    spell(&mut out, value);
    out
}

fn spell(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("interface {}(nil)"),
        Value::String(text) => push(out, &format_args!("{text:?}")),
        Value::Number(number) => push_number(out, number),
        Value::Bool(value) => push(out, value),
        Value::Array(items) => {
            out.push_str("[]interface {}{");
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                spell(out, item);
            }
            out.push('}');
        }
        Value::Object(map) => {
            out.push_str("map[string]interface {}{");
            for (index, (key, value)) in map.iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                push(out, &format_args!("{key:?}:"));
                spell(out, value);
            }
            out.push('}');
        }
    }
}

/// The Go type that an untyped decoder gives a value.
pub(super) fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn push(out: &mut String, value: &dyn std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = write!(out, "{value}");
}

/// Whole numbers plainly; others shortest, with an exponent from 1e21 on, as `strconv` does with `g`.
fn push_number(out: &mut String, number: &Number) {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => push(out, &whole),
        (None, Some(float)) => {
            let size = float.abs();
            if size != 0.0 && !(1e-4..1e21).contains(&size) {
                let text = format!("{float:e}");
                let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let (sign, exponent) = match exponent.strip_prefix('-') {
                    Some(rest) => ('-', rest),
                    None => ('+', exponent),
                };
                push(out, &format_args!("{digits}e{sign}{exponent:0>2}"));
            } else {
                push(out, &float);
            }
        }
        (None, None) => push(out, number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_shown_as_go_shows_them() {
        let value = json!({"b": [1, "x", null, true], "a": {"c": 1.5}});
        assert_eq!(shown(&value), "map[a:map[c:1.5] b:[1 x <nil> true]]");
        assert_eq!(
            spelled(&value),
            r#"map[string]interface {}{"a":map[string]interface {}{"c":1.5}, "b":[]interface {}{1, "x", interface {}(nil), true}}"#
        );
        let numbers =
            [(json!(1e21), "1e+21"), (json!(1e20), "100000000000000000000"), (json!(0.00001), "1e-05")];
        for (number, expected) in numbers {
            assert_eq!(shown(&number), expected);
        }
    }
}
