//! Messages that are single values in JSON.

use serde_json::{Value, json};

use super::decode::{Wire, field, message};

/// The value, when the message is one of those; the inner option is none when it is broken.
pub(super) fn special(name: &str, bytes: &[u8]) -> Option<Option<Value>> {
    let last = name.rsplit('.').next().unwrap_or_default().to_lowercase();
    Some(match (last.as_str(), name.starts_with("apimachinery.")) {
        ("time", true) => time(bytes, false),
        ("microtime", true) => time(bytes, true),
        ("duration", true) => numbers(bytes).map(|found| json!(duration(found[0]))),
        ("quantity", true) => texts(bytes).map(|found| found[0].clone().into()),
        ("intorstring", true) => int_or_string(bytes),
        ("rawextension" | "fieldsv1", true) | ("json", false) => raw(bytes),
        ("extravalue" | "verbs", _) => list(bytes),
        _ => return None,
    })
}

/// The first four numbers of a message, by field number less one; 0 when absent.
fn numbers(mut bytes: &[u8]) -> Option<[i64; 4]> {
    let mut found = [0; 4];
    while !bytes.is_empty() {
        if let (number @ 1..=4, Wire::Number(value)) = field(&mut bytes)? {
            found[number as usize - 1] = value as i64;
        }
    }
    Some(found)
}

/// The first four texts.
fn texts(mut bytes: &[u8]) -> Option<[String; 4]> {
    let mut found = [const { String::new() }; 4];
    while !bytes.is_empty() {
        if let (number @ 1..=4, Wire::Bytes(value)) = field(&mut bytes)? {
            found[number as usize - 1] = String::from_utf8(value.to_vec()).ok()?;
        }
    }
    Some(found)
}

fn time(bytes: &[u8], micro: bool) -> Option<Value> {
    let [seconds, nanos, ..] = numbers(bytes)?;
    // Go's zero time: nothing was set.
    if bytes.is_empty() || (seconds == 0 && nanos == 0) || seconds == -62_135_596_800 {
        return Some(Value::Null);
    }
    let at = jiff::Timestamp::new(seconds, i32::try_from(nanos).ok()?).ok()?;
    let format = if micro { "%Y-%m-%dT%H:%M:%S%.6fZ" } else { "%Y-%m-%dT%H:%M:%SZ" };
    Some(json!(at.strftime(format).to_string()))
}

/// As Go writes durations, to the second.
fn duration(nanos: i64) -> String {
    let seconds = nanos / 1_000_000_000;
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}

fn int_or_string(bytes: &[u8]) -> Option<Value> {
    let [kind, number, ..] = numbers(bytes)?;
    let text = texts(bytes)?[2].clone();
    Some(if kind == 1 { json!(text) } else { json!(number) })
}

fn raw(mut bytes: &[u8]) -> Option<Value> {
    while !bytes.is_empty() {
        if let (1, Wire::Bytes(text)) = field(&mut bytes)? {
            // An embedded object may be in the binary form itself.
            if let Some(value) = text.strip_prefix(b"k8s\0").and_then(super::decode::envelope) {
                return message(&super::message_of(&value.api_version, &value.kind), value.raw, 1);
            }
            return serde_json::from_slice(text).ok();
        }
    }
    Some(Value::Null)
}

fn list(mut bytes: &[u8]) -> Option<Value> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        if let (1, Wire::Bytes(text)) = field(&mut bytes)? {
            all.push(json!(std::str::from_utf8(text).ok()?));
        }
    }
    Some(Value::Array(all))
}
