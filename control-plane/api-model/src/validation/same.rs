//! Whether two parts of objects mean the same to Kubernetes.

use crate::quantity::Quantity;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::OnceLock;

/// Equal, where what Go's types cannot tell from absence counts as absent: null, empty texts, lists and maps, and zeros but for the fields
/// whose zero is a value (`corpus/facts/1.35.shapes`). Amounts are compared as amounts.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    same_below("", a, b)
}

fn same_below(field: &str, a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let null = &Value::Null;
            a.iter().all(|(key, value)| same_below(key, value, b.get(key).unwrap_or(null)))
                && b.iter().all(|(key, value)| a.contains_key(key) || is_unset(key, value))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_below("", a, b))
        }
        (Value::String(x), Value::String(y)) if x != y => same_amount(x, y),
        _ => a == b || (is_unset(field, a) && is_unset(field, b)),
    }
}

fn same_amount(a: &str, b: &str) -> bool {
    let starts =
        |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+' || c == '.');
    starts(a)
        && starts(b)
        && match (Quantity::parse(a), Quantity::parse(b)) {
            (Ok(a), Ok(b)) => a.cmp(&b).is_eq(),
            _ => false,
        }
}

fn is_unset(field: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.iter().all(|(key, value)| is_unset(key, value)),
        Value::Bool(flag) => !flag && !is_pointer(field),
        Value::Number(number) => number.as_f64() == Some(0.0) && !is_pointer(field),
    }
}

fn is_pointer(field: &str) -> bool {
    static POINTERS: OnceLock<HashSet<&'static str>> = OnceLock::new();
    let pointers = POINTERS.get_or_init(|| {
        include_str!("../../corpus/facts/1.35.shapes")
            .lines()
            .filter_map(|line| line.strip_suffix(" pointer").or(line.strip_suffix(" null")))
            .filter_map(|path| path.rsplit('.').next())
            .collect()
    });
    // An item of a list has no name, and is what it is.
    field.is_empty() || pointers.contains(field)
}

#[cfg(test)]
mod tests {
    use super::same;
    use serde_json::json;

    #[test]
    fn absence_and_what_go_cannot_tell_from_it_are_the_same() {
        let same = |a, b| same(&a, &b) && same(&b, &a);
        assert!(same(json!({"hostNetwork": false, "nodeSelector": {}}), json!({})));
        assert!(same(json!({"cpu": "1000m"}), json!({"cpu": "1"})));
        assert!(same(json!({"securityContext": {}}), json!({})));
        assert!(!same(json!({"automountServiceAccountToken": false}), json!({})));
        assert!(!same(json!({"hostNetwork": true}), json!({})));
        assert!(!same(json!(["a"]), json!(["a", "b"])));
        assert!(!same(json!({"image": "1.10"}), json!({"image": "2"})));
        assert!(!same(json!([0]), json!([])));
    }
}
