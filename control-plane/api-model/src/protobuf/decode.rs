//! Reads messages.

use base64::Engine;
use serde_json::{Map, Value, json};

use super::ProtobufError;
use super::messages::{Count, Field, Kind, Messages};
use super::special::{self, Special};
use super::wire::{Wire, envelope, field, text_of};

/// How deep messages may stand in each other.
const DEPTH_MAX: usize = 64;

/// The object of an envelope.
pub(super) fn object(messages: &Messages, bytes: &[u8], depth: usize) -> Result<Value, ProtobufError> {
    let envelope = envelope(bytes).ok_or(ProtobufError::Broken("the envelope is broken"))?;
    let (kind, api_version) = (envelope.kind, envelope.api_version);
    let Some(at) = messages.of_kind(&api_version, &kind) else {
        return Err(ProtobufError::Unknown { kind, api_version });
    };
    let value = message(messages, at, envelope.raw, depth)
        .ok_or(ProtobufError::Broken("a field is broken or not known"))?;
    let mut map = match value {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    map.insert("kind".to_owned(), kind.into());
    map.insert("apiVersion".to_owned(), api_version.into());
    Ok(Value::Object(map))
}

/// The value of a message; null for what says nothing (a time that is not set).
pub(super) fn message(messages: &Messages, at: usize, mut bytes: &[u8], depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    let message = messages.get(at)?;
    if let Some(special) = Special::of(message.name) {
        return special::read(special, messages, message, bytes, depth);
    }
    let mut out = Map::new();
    while !bytes.is_empty() {
        let (number, wire) = field(&mut bytes)?;
        let Some(known) = message.fields.iter().find(|field| field.number == number) else {
            if message.unnumbered.is_empty() {
                // A field of a newer version is dropped, as Go does.
                continue;
            }
            return None;
        };
        add(messages, &mut out, known, wire, depth)?;
    }
    Some(Value::Object(out))
}

fn add(
    messages: &Messages,
    out: &mut Map<String, Value>,
    field: &Field,
    wire: Wire<'_>,
    depth: usize,
) -> Option<()> {
    match field.count {
        Count::Spread => {
            if let Value::Object(inner) = one(messages, field.kind, wire, depth)? {
                out.extend(inner);
            }
        }
        Count::One => {
            let value = one(messages, field.kind, wire, depth)?;
            if value.is_null() || (empty(&value) && !keeps_zero(field)) {
                out.remove(field.name);
            } else {
                out.insert(field.name.to_owned(), value);
            }
        }
        Count::Many => {
            let value = one(messages, field.kind, wire, depth)?;
            let list = out.entry(field.name).or_insert_with(|| json!([]));
            list.as_array_mut()?.push(value);
        }
        Count::Map => {
            let Wire::Bytes(mut entry) = wire else { return None };
            let (mut key, mut value) = (String::new(), nothing(field.kind));
            while !entry.is_empty() {
                match self::field(&mut entry)? {
                    (1, Wire::Bytes(text)) => key = text_of(text)?,
                    (2, wire) => value = one(messages, field.kind, wire, depth)?,
                    _ => {}
                }
            }
            let map = out.entry(field.name).or_insert_with(|| json!({}));
            map.as_object_mut()?.insert(key, value);
        }
    }
    Some(())
}

/// Whether a zero says something. Messages are pointers in Go; the one that is not and has a zero is a service's port.
fn keeps_zero(field: &Field) -> bool {
    field.keep || (matches!(field.kind, Kind::Message(_)) && field.name != "targetPort")
}

fn nothing(kind: Kind) -> Value {
    match kind {
        Kind::Text | Kind::Bytes => json!(""),
        Kind::Bool => json!(false),
        Kind::Whole | Kind::Double => json!(0),
        Kind::Message(_) => Value::Null,
    }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => value.as_f64() == Some(0.0),
        Value::String(value) => value.is_empty(),
        // An empty message may be a choice: `emptyDir: {}`.
        Value::Array(_) | Value::Object(_) => false,
    }
}

fn one(messages: &Messages, kind: Kind, wire: Wire<'_>, depth: usize) -> Option<Value> {
    Some(match (kind, wire) {
        (Kind::Text, Wire::Bytes(bytes)) => json!(std::str::from_utf8(bytes).ok()?),
        (Kind::Bytes, Wire::Bytes(bytes)) => json!(base64::engine::general_purpose::STANDARD.encode(bytes)),
        (Kind::Bool, Wire::Number(number)) => json!(number != 0),
        // Negative numbers are written in two's complement.
        (Kind::Whole, Wire::Number(number)) => json!(number as i64),
        (Kind::Double, Wire::Number(number)) => json!(f64::from_bits(number)),
        (Kind::Message(at), Wire::Bytes(bytes)) => message(messages, at, bytes, depth + 1)?,
        _ => return None,
    })
}
