//! The wire form itself: tags, lengths, numbers.

use serde_json::{Map, Value, json};

use super::scalars::special;
use super::{Count, Field, Kind, NUMBERS, POINTERS};

/// How deep messages may stand in each other.
const DEPTH_MAX: usize = 64;

/// What stands around a message.
pub(super) struct Envelope<'a> {
    pub api_version: String,
    pub kind: String,
    pub raw: &'a [u8],
}

/// A value on the wire.
#[derive(Clone, Copy)]
pub(super) enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// Takes a number of variable length.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// Takes a field: its number and value.
pub(super) fn field<'a>(bytes: &mut &'a [u8]) -> Option<(u64, Wire<'a>)> {
    let tag = varint(bytes)?;
    let value = match tag & 7 {
        0 => Wire::Number(varint(bytes)?),
        1 => Wire::Number(u64::from_le_bytes(take(bytes, 8)?.try_into().ok()?)),
        2 => {
            let length = usize::try_from(varint(bytes)?).ok()?;
            Wire::Bytes(take(bytes, length)?)
        }
        5 => Wire::Number(u64::from(u32::from_le_bytes(take(bytes, 4)?.try_into().ok()?))),
        _ => return None,
    };
    Some((tag >> 3, value))
}

/// `runtime.Unknown`.
pub(super) fn envelope(mut bytes: &[u8]) -> Option<Envelope<'_>> {
    let mut envelope = Envelope { api_version: String::new(), kind: String::new(), raw: &[] };
    while !bytes.is_empty() {
        match field(&mut bytes)? {
            (1, Wire::Bytes(mut types)) => {
                while !types.is_empty() {
                    match field(&mut types)? {
                        (1, Wire::Bytes(text)) => envelope.api_version = String::from_utf8(text.to_vec()).ok()?,
                        (2, Wire::Bytes(text)) => envelope.kind = String::from_utf8(text.to_vec()).ok()?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(raw)) => envelope.raw = raw,
            _ => {}
        }
    }
    Some(envelope)
}

/// The value of a message; null for what says nothing (a time that is not set).
pub(super) fn message(name: &str, mut bytes: &[u8], depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    if let Some(value) = special(name, bytes) {
        return value;
    }
    let lower = name.to_lowercase();
    let fields = NUMBERS.get(&lower)?;
    let mut out = Map::new();
    while !bytes.is_empty() {
        let (number, wire) = field(&mut bytes)?;
        // A field of a newer version is dropped, as Go does.
        let Some(known) = fields.get(&number) else { continue };
        add(&mut out, known, wire, depth)?;
    }
    Some(Value::Object(out))
}

fn add(out: &mut Map<String, Value>, field: &Field, wire: Wire<'_>, depth: usize) -> Option<()> {
    match field.count {
        Count::One => {
            let value = one(field.kind, wire, depth)?;
            match value {
                Value::Object(inner) if field.name == "^" => out.extend(inner),
                value if empty(&value) && !POINTERS.contains(&field.name) => {
                    out.remove(field.name);
                }
                Value::Null => {}
                value => {
                    out.insert(field.name.to_owned(), value);
                }
            }
        }
        Count::Many => {
            let value = one(field.kind, wire, depth)?;
            let list = out.entry(field.name).or_insert_with(|| json!([]));
            list.as_array_mut()?.push(value);
        }
        Count::Map => {
            let Wire::Bytes(mut entry) = wire else { return None };
            let (mut key, mut value) = (String::new(), nothing(field.kind));
            while !entry.is_empty() {
                match self::field(&mut entry)? {
                    (1, Wire::Bytes(text)) => key = String::from_utf8(text.to_vec()).ok()?,
                    (2, wire) => value = one(field.kind, wire, depth)?,
                    _ => {}
                }
            }
            let map = out.entry(field.name).or_insert_with(|| json!({}));
            map.as_object_mut()?.insert(key, value);
        }
    }
    Some(())
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

fn one(kind: Kind, wire: Wire<'_>, depth: usize) -> Option<Value> {
    use base64::Engine;
    Some(match (kind, wire) {
        (Kind::Text, Wire::Bytes(bytes)) => json!(std::str::from_utf8(bytes).ok()?),
        (Kind::Bytes, Wire::Bytes(bytes)) => json!(base64::engine::general_purpose::STANDARD.encode(bytes)),
        (Kind::Bool, Wire::Number(number)) => json!(number != 0),
        // Negative numbers are written in two's complement.
        (Kind::Whole, Wire::Number(number)) => json!(number as i64),
        (Kind::Double, Wire::Number(number)) => json!(f64::from_bits(number)),
        (Kind::Message(name), Wire::Bytes(bytes)) => message(name, bytes, depth + 1)?,
        _ => return None,
    })
}
