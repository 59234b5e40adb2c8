//! Writes messages.

use base64::Engine;
use serde_json::Value;

use super::messages::{Count, Field, Kind, Messages};
use super::special::{self, Special};
use super::wire::{field_bytes, put_bytes, put_double, put_number};
use super::{MAGIC, ProtobufError};

/// How deep messages may stand in each other.
const DEPTH_MAX: usize = 64;

/// An object with its envelope.
pub(super) fn object(messages: &Messages, object: &Value) -> Result<Vec<u8>, ProtobufError> {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let (kind, api_version) = (text("kind"), text("apiVersion"));
    let Some(at) = messages.of_kind(api_version, kind) else {
        return Err(ProtobufError::Unknown { kind: kind.to_owned(), api_version: api_version.to_owned() });
    };
    let types = [field_bytes(1, api_version.as_bytes()), field_bytes(2, kind.as_bytes())].concat();
    let mut out = MAGIC.to_vec();
    put_bytes(&mut out, 1, &types);
    put_bytes(&mut out, 2, &message(messages, at, object, 0)?);
    // How the content is encoded, and its type: both as usual.
    put_bytes(&mut out, 3, b"");
    put_bytes(&mut out, 4, b"");
    Ok(out)
}

/// A message.
pub(super) fn message(
    messages: &Messages,
    at: usize,
    value: &Value,
    depth: usize,
) -> Result<Vec<u8>, ProtobufError> {
    let wrong = || ProtobufError::Value("an object".to_owned());
    let message = messages.get(at).filter(|_| depth <= DEPTH_MAX).ok_or_else(wrong)?;
    if let Some(special) = Special::of(message.name) {
        return special::write(special, messages, message, value, depth)
            .ok_or_else(|| ProtobufError::Value(message.name.to_owned()));
    }
    let object = value.as_object().ok_or_else(wrong)?;
    if let Some(name) =
        message.unnumbered.iter().find(|name| object.get(**name).is_some_and(|value| !value.is_null()))
    {
        return Err(ProtobufError::Unnumbered(format!("{}.{name}", message.name)));
    }
    let mut out = Vec::new();
    for field in &message.fields {
        let here = |error: ProtobufError| match error {
            ProtobufError::Value(_) => ProtobufError::Value(format!("{}.{}", message.name, field.name)),
            other => other,
        };
        if field.count == Count::Spread {
            let mut inner = Vec::new();
            one(messages, &mut inner, field, field.number, value, depth).map_err(here)?;
            // A tag and a length of zero: nothing of it is set.
            if inner.len() > 2 {
                out.append(&mut inner);
            }
        } else if let Some(value) = object.get(field.name).filter(|value| !value.is_null()) {
            put(messages, &mut out, field, value, depth).map_err(here)?;
        }
    }
    Ok(out)
}

fn put(
    messages: &Messages,
    out: &mut Vec<u8>,
    field: &Field,
    value: &Value,
    depth: usize,
) -> Result<(), ProtobufError> {
    let wrong = || ProtobufError::Value(field.name.to_owned());
    match field.count {
        Count::One | Count::Spread => one(messages, out, field, field.number, value, depth)?,
        Count::Many => {
            for item in value.as_array().ok_or_else(wrong)? {
                one(messages, out, field, field.number, item, depth)?;
            }
        }
        Count::Map => {
            for (key, value) in value.as_object().ok_or_else(wrong)? {
                let mut entry = field_bytes(1, key.as_bytes());
                one(messages, &mut entry, field, 2, value, depth)?;
                put_bytes(out, field.number, &entry);
            }
        }
    }
    Ok(())
}

fn one(
    messages: &Messages,
    out: &mut Vec<u8>,
    field: &Field,
    number: u64,
    value: &Value,
    depth: usize,
) -> Result<(), ProtobufError> {
    let wrong = || ProtobufError::Value(field.name.to_owned());
    match field.kind {
        Kind::Text => put_bytes(out, number, value.as_str().ok_or_else(wrong)?.as_bytes()),
        Kind::Bytes => {
            let text = value.as_str().ok_or_else(wrong)?;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| wrong())?;
            put_bytes(out, number, &bytes);
        }
        Kind::Bool => put_number(out, number, value.as_bool().ok_or_else(wrong)?.into()),
        Kind::Whole => {
            let whole = |number: f64| (number.fract() == 0.0 && number.abs() < 9e15).then_some(number as i64);
            let read = value.as_i64().or_else(|| value.as_f64().and_then(whole)).ok_or_else(wrong)?;
            put_number(out, number, read as u64);
        }
        Kind::Double => put_double(out, number, value.as_f64().ok_or_else(wrong)?),
        Kind::Message(at) => put_bytes(out, number, &message(messages, at, value, depth + 1)?),
    }
    Ok(())
}
