//! Messages whose JSON is no object of their fields.

use serde_json::{Value, json};

use super::messages::{Kind, Message, Messages};
use super::wire::{Wire, field, field_bytes, put_number, text_of};
use super::{MAGIC, decode, encode};

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    /// RFC 3339, to the second.
    Time,
    /// RFC 3339, to the microsecond.
    MicroTime,
    /// Go's notation, `1h2m3s`.
    Duration,
    Quantity,
    IntOrString,
    /// Any JSON.
    Raw,
    /// A list of texts.
    Texts,
    /// A schema or several.
    SchemaOrMany,
    /// A schema or a truth value.
    SchemaOrBool,
    /// A schema or a list of texts.
    SchemaOrTexts,
}

impl Special {
    /// By the message's full name.
    pub(super) fn of(name: &str) -> Option<Self> {
        let (package, last) = name.rsplit_once('.')?;
        Some(match (last, package.starts_with("apimachinery."), package.starts_with("apiextensions-")) {
            ("Time", true, _) => Self::Time,
            ("MicroTime", true, _) => Self::MicroTime,
            ("Duration", true, _) => Self::Duration,
            ("Quantity", true, _) => Self::Quantity,
            ("IntOrString", true, _) => Self::IntOrString,
            ("RawExtension" | "FieldsV1", true, _) | ("JSON", _, true) => Self::Raw,
            ("ExtraValue" | "Verbs", ..) => Self::Texts,
            ("JSONSchemaPropsOrArray", _, true) => Self::SchemaOrMany,
            ("JSONSchemaPropsOrBool", _, true) => Self::SchemaOrBool,
            ("JSONSchemaPropsOrStringArray", _, true) => Self::SchemaOrTexts,
            _ => return None,
        })
    }
}

/// The value of such a message; none when it is broken.
pub(super) fn read(
    special: Special,
    messages: &Messages,
    message: &Message,
    bytes: &[u8],
    depth: usize,
) -> Option<Value> {
    match special {
        Special::Time => time(bytes, false),
        Special::MicroTime => time(bytes, true),
        Special::Duration => numbers(bytes).map(|found| json!(duration(found[0]))),
        Special::Quantity => texts(bytes).map(|found| found[0].clone().into()),
        Special::IntOrString => {
            let [kind, number, ..] = numbers(bytes)?;
            let text = texts(bytes)?[2].clone();
            Some(if kind == 1 { json!(text) } else { json!(number) })
        }
        Special::Raw => raw(messages, bytes, depth),
        Special::Texts => list(bytes, 1),
        Special::SchemaOrMany => {
            let schema = all(messages, message, bytes, 1, depth)?.pop();
            schema.map_or_else(|| all(messages, message, bytes, 2, depth).map(Value::Array), Some)
        }
        Special::SchemaOrBool => {
            let schema = all(messages, message, bytes, 2, depth)?.pop();
            Some(schema.unwrap_or(json!(numbers(bytes)?[0] != 0)))
        }
        Special::SchemaOrTexts => {
            let schema = all(messages, message, bytes, 1, depth)?.pop();
            schema.map_or_else(|| list(bytes, 2), Some)
        }
    }
}

/// The bytes of such a message; none when the value does not fit.
pub(super) fn write(
    special: Special,
    messages: &Messages,
    message: &Message,
    value: &Value,
    depth: usize,
) -> Option<Vec<u8>> {
    let schema = |number: u64, value: &Value| {
        let at = target(message, number)?;
        Some(field_bytes(number, &encode::message(messages, at, value, depth + 1).ok()?))
    };
    let texts = |number: u64, value: &Value| {
        let texts = value.as_array()?.iter().map(|text| Some(field_bytes(number, text.as_str()?.as_bytes())));
        Some(texts.collect::<Option<Vec<_>>>()?.concat())
    };
    let mut out = Vec::new();
    match (special, value) {
        (Special::Time | Special::MicroTime, _) => {
            let at: jiff::Timestamp = value.as_str()?.parse().ok()?;
            put_number(&mut out, 1, at.as_second() as u64);
            put_number(&mut out, 2, i64::from(at.subsec_nanosecond()) as u64);
        }
        (Special::Duration, _) => put_number(&mut out, 1, nanos(value.as_str()?)? as u64),
        (Special::Quantity, Value::String(text)) => out = field_bytes(1, text.as_bytes()),
        (Special::Quantity, Value::Number(number)) => out = field_bytes(1, number.to_string().as_bytes()),
        (Special::IntOrString, Value::String(text)) => {
            put_number(&mut out, 1, 1);
            put_number(&mut out, 2, 0);
            out.extend(field_bytes(3, text.as_bytes()));
        }
        (Special::IntOrString, _) => {
            put_number(&mut out, 1, 0);
            put_number(&mut out, 2, value.as_i64()? as u64);
        }
        (Special::Raw, _) => out = field_bytes(1, value.to_string().as_bytes()),
        (Special::Texts, _) => out = texts(1, value)?,
        (Special::SchemaOrMany, Value::Array(many)) => {
            out = many.iter().map(|one| schema(2, one)).collect::<Option<Vec<_>>>()?.concat();
        }
        (Special::SchemaOrMany, _) => out = schema(1, value)?,
        (Special::SchemaOrBool, Value::Bool(allows)) => put_number(&mut out, 1, (*allows).into()),
        (Special::SchemaOrBool, _) => {
            put_number(&mut out, 1, 1);
            out.extend(schema(2, value)?);
        }
        (Special::SchemaOrTexts, Value::Array(_)) => out = texts(2, value)?,
        (Special::SchemaOrTexts, _) => out = schema(1, value)?,
        (Special::Quantity, _) => return None,
    }
    Some(out)
}

/// The message a field holds.
fn target(message: &Message, number: u64) -> Option<usize> {
    match message.fields.iter().find(|field| field.number == number)?.kind {
        Kind::Message(at) => Some(at),
        _ => None,
    }
}

/// The messages under one number.
fn all(
    messages: &Messages,
    message: &Message,
    mut bytes: &[u8],
    wanted: u64,
    depth: usize,
) -> Option<Vec<Value>> {
    let at = target(message, wanted)?;
    let mut found = Vec::new();
    while !bytes.is_empty() {
        match field(&mut bytes)? {
            (number, Wire::Bytes(inner)) if number == wanted => {
                found.push(decode::message(messages, at, inner, depth + 1)?);
            }
            _ => {}
        }
    }
    Some(found)
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
            found[number as usize - 1] = text_of(value)?;
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

/// Reads what [`duration`] writes.
fn nanos(text: &str) -> Option<i64> {
    let (mut total, mut number) = (0_i64, 0_i64);
    for letter in text.chars() {
        let unit = match letter {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            digit => {
                number = number.checked_mul(10)?.checked_add(i64::from(digit.to_digit(10)?))?;
                continue;
            }
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        number = 0;
    }
    total.checked_mul(1_000_000_000)
}

fn raw(messages: &Messages, mut bytes: &[u8], depth: usize) -> Option<Value> {
    while !bytes.is_empty() {
        if let (1, Wire::Bytes(text)) = field(&mut bytes)? {
            // An embedded object may be in the binary form itself.
            if let Some(inner) = text.strip_prefix(MAGIC) {
                return decode::object(messages, inner, depth + 1).ok();
            }
            return serde_json::from_slice(text).ok();
        }
    }
    Some(Value::Null)
}

fn list(mut bytes: &[u8], wanted: u64) -> Option<Value> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        match field(&mut bytes)? {
            (number, Wire::Bytes(text)) if number == wanted => found.push(json!(text_of(text)?)),
            _ => {}
        }
    }
    Some(Value::Array(found))
}
