//! Small helpers over JSON trees; resources stay JSON so that what a caller sent and we do not know survives.

use serde_json::{Map, Value};

use crate::ArmError;

/// Reads the body of a request; an empty one is null.
///
/// # Errors
/// `InvalidRequestContent` when it is not JSON, or nested deeper than 127.
pub fn read(body: &[u8]) -> Result<Value, ArmError> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    serde_json::from_slice(text).map_err(ArmError::invalid_content)
}

/// Refuses a body that is not an object.
///
/// # Errors
/// `InvalidRequestContent`.
pub fn as_object(value: Value) -> Result<Value, ArmError> {
    if value.is_object() {
        return Ok(value);
    }
    Err(ArmError::invalid_content(if value.is_null() {
        "the body is empty"
    } else {
        "an object is expected"
    }))
}

/// The text at a JSON pointer; an empty one counts as absent.
pub fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The number at a JSON pointer.
pub fn number(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// The truth value at a JSON pointer; absent is false.
pub fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
}

/// The list at a JSON pointer; absent is empty.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The object in `value`, made one if it is not.
pub fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// The slot at a path of member names, made where it was not.
pub fn slot<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Value {
    let mut here = value;
    for name in path {
        here = object(here).entry((*name).to_owned()).or_insert(Value::Null);
    }
    here
}

/// Sets what is absent, null or an empty text.
pub fn default(value: &mut Value, path: &[&str], to: impl Into<Value>) {
    let slot = slot(value, path);
    if slot.is_null() || slot.as_str() == Some("") {
        *slot = to.into();
    }
}

/// Sets, whatever was there.
pub fn set(value: &mut Value, path: &[&str], to: impl Into<Value>) {
    *slot(value, path) = to.into();
}

/// Removes the member at a path, if it is there.
pub fn remove(value: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let mut here = value;
    for name in parents {
        here = here.as_object_mut()?.get_mut(*name)?;
    }
    here.as_object_mut()?.remove(*last)
}
