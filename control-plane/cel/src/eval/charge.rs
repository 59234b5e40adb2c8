//! What a call costs when it runs, by upstream's rules.

use crate::value::{Opaque, Value};

/// Of reading a character.
pub(crate) const CHARACTER: f64 = 0.1;
/// Of a character of a pattern.
pub(crate) const PATTERN_CHARACTER: f64 = 0.25;
/// Of making a list.
pub(crate) const LIST: u64 = 10;
/// Of making a map.
pub(crate) const MAP: u64 = 30;
/// Of making an object.
pub(crate) const STRUCT: u64 = 40;
/// Of asking the authorizer: two questions fit into one evaluation.
pub(crate) const QUESTION: u64 = 350_000;

fn times(size: u64, factor: f64) -> u64 {
    // Sizes are far below what a double holds exactly.
    (size as f64 * factor).ceil() as u64
}

fn size(args: &[Value<'_>], at: usize) -> u64 {
    args.get(at).map_or(1, Value::size)
}

/// The cost of a call; `overload` is empty when the types left several.
pub(super) fn call(function: &str, overload: &str, args: &[Value<'_>], result: &Value<'_>) -> u64 {
    match function {
        "check" => QUESTION,
        "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => args.first().map_or(0, traversal),
        "url"
        | "isURL"
        | "lowerAscii"
        | "upperAscii"
        | "substring"
        | "trim"
        | "cidr"
        | "isIP"
        | "isCIDR"
        | "quantity"
        | "isQuantity"
        | "semver"
        | "isSemver"
        | "jsonpatch.escapeKey"
        | "charAt"
        | "strings.quote" => times(size(args, 0), CHARACTER),
        "replace" | "split" => times(size(args, 0), 2.0 * CHARACTER),
        "join" => times(result.size(), 2.0 * CHARACTER),
        "find" | "findAll" | "matches" => pattern(size(args, 0), size(args, 1)),
        "ip" if overload == "cidr_ip" => 1,
        "ip" => times(size(args, 0), CHARACTER),
        "ip.isCanonical" => times(size(args, 0), 2.0 * CHARACTER),
        "containsIP" | "containsCIDR" => contains(function, args),
        "validate" => match args.first() {
            Some(Value::Opaque(opaque)) => match &**opaque {
                Opaque::Format(format) => pattern(size(args, 1), format.pattern_length),
                _ => 1,
            },
            _ => 1,
        },
        "sets.contains" | "sets.intersects" => size(args, 0).saturating_mul(size(args, 1)).saturating_add(1),
        "sets.equivalent" => size(args, 0).saturating_mul(size(args, 1)).saturating_mul(2).saturating_add(1),
        "format" => times(size(args, 0), CHARACTER).max(1),
        _ => by_overload(overload, args),
    }
}

fn by_overload(overload: &str, args: &[Value<'_>]) -> u64 {
    match overload {
        "starts_with_string" | "ends_with_string" | "string_to_bytes" | "bytes_to_string" => {
            times(size(args, 0), CHARACTER)
        }
        "in_list" => size(args, 1),
        "less_string"
        | "greater_string"
        | "less_equals_string"
        | "greater_equals_string"
        | "less_bytes"
        | "greater_bytes"
        | "less_equals_bytes"
        | "greater_equals_bytes"
        | "equals"
        | "not_equals" => times(size(args, 0).min(size(args, 1)), CHARACTER),
        "add_string" | "add_bytes" => times(size(args, 0) + size(args, 1), CHARACTER),
        "contains_string" => times(size(args, 0), CHARACTER).saturating_mul(times(size(args, 1), CHARACTER)),
        _ => 1,
    }
}

fn pattern(text: u64, pattern: u64) -> u64 {
    times(text.saturating_add(1), CHARACTER).saturating_mul(times(pattern, PATTERN_CHARACTER))
}

fn contains(function: &str, args: &[Value<'_>]) -> u64 {
    let network = size(args, 0);
    let mut cost = times(2 * network, CHARACTER);
    if function == "containsCIDR" {
        cost += times(network, CHARACTER) + 1;
    }
    if matches!(args.get(1), Some(Value::String(_))) {
        cost += times(size(args, 1), CHARACTER);
    }
    cost
}

/// The cost of looking at everything in a value.
fn traversal(value: &Value<'_>) -> u64 {
    match value {
        Value::String(text) => (text.as_str().len() as f64 * CHARACTER) as u64,
        Value::Bytes(bytes) => (bytes.len() as f64 * CHARACTER) as u64,
        Value::List(list) => list.iter().flatten().map(|item| traversal(&item)).fold(0, u64::saturating_add),
        Value::Map(map) => map
            .entries()
            .into_iter()
            .map(|(key, value)| traversal(&key) + value.map_or(1, |value| traversal(&value)))
            .fold(0, u64::saturating_add),
        _ => 1,
    }
}
