//! From JSON and back.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map as JsonMap, Value as Json, json};

use super::time;
use super::{List, Map, Opaque, Text, Value};
use crate::error::EvalError;
use crate::shape::{ListKind, Shape, ShapeKind};

fn expected(what: &str, json: &Json) -> EvalError {
    let found = match json {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(n) if n.is_f64() => "float64",
        Json::Number(_) => "int64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    };
    EvalError::failed(format!("invalid data, expected {what}, got {found}"))
}

pub(super) fn plain(json: &Json) -> Value<'_> {
    static ATOMIC: ListKind = ListKind::Atomic;
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(value) => Value::Int(value),
            None => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(Text::Borrowed(text)),
        Json::Array(items) => Value::List(List::json(items, Shape::any_ref(), &ATOMIC)),
        Json::Object(map) => Value::Map(Map::json(map, Shape::any_ref())),
    }
}

pub(super) fn typed<'a>(json: &'a Json, shape: &'a Shape) -> Result<Value<'a>, EvalError> {
    if matches!(shape.kind, ShapeKind::Dyn) {
        return Ok(plain(json));
    }
    if json.is_null() {
        return if shape.nullable {
            Ok(Value::Null)
        } else {
            Err(EvalError::failed("invalid data, got null for schema with nullable=false"))
        };
    }
    match (&shape.kind, json) {
        (ShapeKind::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
        (ShapeKind::Bool, _) => Err(expected("bool", json)),
        (ShapeKind::Int, _) => whole(json).map(Value::Int).ok_or_else(|| expected("int", json)),
        (ShapeKind::Double, Json::Number(number)) => Ok(Value::Double(number.as_f64().unwrap_or(f64::NAN))),
        (ShapeKind::Double, _) => Err(expected("float", json)),
        (ShapeKind::IntOrString, Json::String(text)) => Ok(Value::String(Text::Borrowed(text))),
        (ShapeKind::IntOrString, _) => whole(json).map(Value::Int).ok_or_else(|| {
            EvalError::failed("invalid data, expected XIntOrString value to be either a string or integer")
        }),
        (ShapeKind::List { item, list }, Json::Array(items)) => {
            Ok(Value::List(List::json(items, item, list)))
        }
        (ShapeKind::List { .. }, _) => {
            Err(EvalError::failed("invalid data, expected an array for the provided schema with type=array"))
        }
        (ShapeKind::Map(_) | ShapeKind::Object(_), Json::Object(map)) => {
            Map::of(map, shape).map(Value::Map).ok_or_else(|| expected("map", json))
        }
        (ShapeKind::Map(_) | ShapeKind::Object(_), _) => {
            Err(EvalError::failed("invalid data, expected a map for the provided schema with type=object"))
        }
        (kind, Json::String(text)) => of_text(kind, text),
        _ => Err(expected("string", json)),
    }
}

fn of_text<'a>(kind: &ShapeKind, text: &'a str) -> Result<Value<'a>, EvalError> {
    match kind {
        ShapeKind::Duration => time::parse_duration(text).map(Value::Duration).ok_or_else(|| {
            EvalError::failed(format!("Invalid duration {text}: time: invalid duration {text:?}"))
        }),
        ShapeKind::Date => text
            .parse::<jiff::civil::Date>()
            .ok()
            .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC).ok())
            .map(|zoned| Value::Timestamp(zoned.timestamp()))
            .ok_or_else(|| {
                EvalError::failed(format!("Invalid date formatted string {text}: cannot be parsed"))
            }),
        ShapeKind::Timestamp => time::parse_timestamp(text).map(Value::Timestamp).ok_or_else(|| {
            EvalError::failed(format!("Invalid date-time formatted string {text}: cannot be parsed"))
        }),
        ShapeKind::Bytes => STANDARD.decode(text).map(|bytes| Value::Bytes(bytes.into())).map_err(|_| {
            EvalError::failed(format!("Invalid byte formatted string {text}: illegal base64 data"))
        }),
        _ => Ok(Value::String(Text::Borrowed(text))),
    }
}

/// A whole number, also when it is written with a point.
fn whole(json: &Json) -> Option<i64> {
    json.as_i64().or_else(|| {
        let float = json.as_f64()?;
        // Within what a double holds exactly.
        (float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0).then_some(float as i64)
    })
}

pub(super) fn to_json(value: &Value<'_>) -> Result<Json, EvalError> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Uint(value) => json!(value),
        Value::Double(value) => json!(value),
        Value::String(text) => json!(text.as_str()),
        Value::Bytes(bytes) => json!(STANDARD.encode(bytes)),
        Value::Timestamp(at) => json!(at.to_string()),
        Value::Duration(nanos) => json!(time::format_duration(*nanos)),
        Value::List(list) => {
            let mut items = Vec::with_capacity(list.len());
            for item in list.iter() {
                items.push(to_json(&item?)?);
            }
            Json::Array(items)
        }
        Value::Map(map) => match map.raw() {
            Some(raw) => Json::Object(raw.clone()),
            None => {
                let mut made = JsonMap::new();
                for (key, value) in map.entries() {
                    let key = match &key {
                        Value::String(text) => text.as_str().to_owned(),
                        Value::Int(n) => n.to_string(),
                        Value::Uint(n) => n.to_string(),
                        Value::Bool(b) => b.to_string(),
                        _ => {
                            return Err(EvalError::failed(
                                "unsupported type conversion from map key to JSON",
                            ));
                        }
                    };
                    made.insert(key, to_json(&value?)?);
                }
                Json::Object(made)
            }
        },
        Value::Optional(Some(value)) => to_json(value)?,
        Value::Optional(None) => Json::Null,
        Value::Opaque(opaque) => match &**opaque {
            Opaque::Quantity(quantity) => json!(quantity.canonical()),
            other => return Err(no_json(other.name())),
        },
        Value::Type(_) => return Err(no_json("type")),
        Value::Record(_) => return Err(no_json("map")),
    })
}

fn no_json(name: &str) -> EvalError {
    EvalError::failed(format!("unsupported type conversion from '{name}' to 'google.protobuf.Value'"))
}
