//! Whether values fit the Go types of a built-in kind, and what Go's decoder says when one does not.

use crate::path::FieldPath;
use crate::quantity::Quantity;
use crate::schema::{NodeId, NodeKind, Scalar, Schema, Types};
use base64::{DecodeError, Engine};
use serde_json::Value;

/// Why the decoder of a built-in kind refuses the object: the first value that does not fit its type. `null` fits everywhere.
pub fn misfit(schema: &Schema, object: &Value) -> Option<String> {
    let mut walk = Walk { types: schema.types(), path: FieldPath::root(), inside: "" };
    walk.node(schema.id(), object).err()
}

struct Walk<'a> {
    types: &'a Types,
    /// Struct fields only: Go does not name keys and places in lists.
    path: FieldPath,
    /// The struct whose field is looked at.
    inside: &'a str,
}

impl<'a> Walk<'a> {
    fn node(&mut self, id: NodeId, value: &Value) -> Result<(), String> {
        let types = self.types;
        let node = types.node(id);
        match (&node.kind, value) {
            (_, Value::Null) | (NodeKind::Any, _) => Ok(()),
            (NodeKind::Struct { fields, rest, .. }, Value::Object(map)) => {
                let outside = self.inside;
                self.inside = node.name.as_deref().map_or(outside, last);
                for (key, value) in map {
                    let below = crate::schema::find(fields, key).map(|field| field.node).or(*rest);
                    let Some(below) = below else { continue };
                    let mark = self.path.len();
                    self.path.push_field(key);
                    self.node(below, value)?;
                    self.path.truncate(mark);
                }
                self.inside = outside;
                Ok(())
            }
            (NodeKind::Map(item), Value::Object(map)) => {
                map.values().try_for_each(|value| self.node(*item, value))
            }
            (NodeKind::List { item, .. }, Value::Array(items)) => {
                items.iter().try_for_each(|value| self.node(*item, value))
            }
            (NodeKind::Scalar(scalar), value) => self.scalar(*scalar, id, value),
            (_, value) => Err(self.wrong(value, id)),
        }
    }

    fn scalar(&self, scalar: Scalar, id: NodeId, value: &Value) -> Result<(), String> {
        let fits = match scalar {
            Scalar::String => value.is_string(),
            Scalar::Bool => value.is_boolean(),
            Scalar::Int32 => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
            Scalar::Int64 => value.is_i64(),
            Scalar::Double => value.is_number(),
            Scalar::Byte => return self.base64(id, value),
            Scalar::Time | Scalar::MicroTime => return time(value, scalar == Scalar::MicroTime),
            Scalar::Quantity => return quantity(value),
            Scalar::IntOrString => return int_or_string(value),
        };
        if fits { Ok(()) } else { Err(self.wrong(value, id)) }
    }

    fn wrong(&self, value: &Value, id: NodeId) -> String {
        let (found, wanted) = (found(value, self.types, id), go_type(self.types, id));
        if self.path.is_empty() {
            format!("json: cannot unmarshal {found} into Go value of type {wanted}")
        } else {
            format!(
                "json: cannot unmarshal {found} into Go struct field {}.{} of type {wanted}",
                self.inside, self.path
            )
        }
    }

    fn base64(&self, id: NodeId, value: &Value) -> Result<(), String> {
        let Value::String(text) = value else { return Err(self.wrong(value, id)) };
        // As Go does, line breaks are no part of it.
        let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        match base64::engine::general_purpose::STANDARD.decode(&text) {
            Ok(_) => Ok(()),
            Err(DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _)) => {
                Err(format!("illegal base64 data at input byte {at}"))
            }
            Err(_) => Err(format!("illegal base64 data at input byte {}", text.trim_end_matches('=').len())),
        }
    }
}

fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// What Go calls a value that stands where a type is wanted.
fn found(value: &Value, types: &Types, wanted: NodeId) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
        Value::Number(number) => match types.node(wanted).kind {
            NodeKind::Scalar(Scalar::Int32 | Scalar::Int64) => format!("number {number}"),
            _ => "number".to_owned(),
        },
    }
}

/// A type as Go prints it: `int32`, `[]v1.Container`, `map[string]string`.
fn go_type(types: &Types, id: NodeId) -> String {
    let node = types.node(id);
    match &node.kind {
        NodeKind::Struct { .. } | NodeKind::Any => match node.name.as_deref() {
            Some(name) => {
                let mut parts = name.rsplit('.');
                let (kind, package) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                format!("{package}.{kind}")
            }
            None => "interface {}".to_owned(),
        },
        NodeKind::Map(item) => format!("map[string]{}", go_type(types, *item)),
        NodeKind::List { item, .. } => format!("[]{}", go_type(types, *item)),
        NodeKind::Scalar(scalar) => match scalar {
            Scalar::String => "string",
            Scalar::Bool => "bool",
            Scalar::Int32 => "int32",
            Scalar::Int64 => "int64",
            Scalar::Double => "float64",
            Scalar::Byte => "[]uint8",
            Scalar::Time => "v1.Time",
            Scalar::MicroTime => "v1.MicroTime",
            Scalar::Quantity => "resource.Quantity",
            Scalar::IntOrString => "intstr.IntOrString",
        }
        .to_owned(),
    }
}

fn plain(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn time(value: &Value, micro: bool) -> Result<(), String> {
    let Value::String(text) = value else {
        return Err(format!("json: cannot unmarshal {} into Go value of type string", plain(value)));
    };
    if text.parse::<jiff::Timestamp>().is_ok() {
        return Ok(());
    }
    let layout = if micro { "2006-01-02T15:04:05.000000Z07:00" } else { "2006-01-02T15:04:05Z07:00" };
    let (rest, element) = unparsed(text, layout);
    Err(format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}"))
}

/// Where a time stops to be one: what is left of the text, and the layout's element that it is not.
fn unparsed<'t>(text: &'t str, layout: &'static str) -> (&'t str, &'static str) {
    const ELEMENTS: [&str; 11] = ["2006", "-", "01", "-", "02", "T", "15", ":", "04", ":", "05"];
    let mut rest = text;
    for element in ELEMENTS {
        let fits = match rest.get(..element.len()) {
            Some(part) if element.len() > 1 => part.bytes().all(|byte| byte.is_ascii_digit()),
            Some(part) => part == element,
            None => false,
        };
        if !fits {
            return (rest, element);
        }
        rest = rest.get(element.len()..).unwrap_or_default();
    }
    let zone = layout.get(19..).unwrap_or("Z07:00");
    (rest, zone)
}

fn quantity(value: &Value) -> Result<(), String> {
    let parsed = match value {
        Value::String(text) => Quantity::parse(text.trim()),
        other => Quantity::parse(&other.to_string()),
    };
    parsed.map(drop).map_err(|error| error.to_string())
}

fn int_or_string(value: &Value) -> Result<(), String> {
    match value {
        Value::String(_) => Ok(()),
        Value::Number(number) => match number.as_i64().map(i32::try_from) {
            Some(Ok(_)) => Ok(()),
            _ => Err(format!("json: cannot unmarshal number {number} into Go value of type int32")),
        },
        other => Err(format!("json: cannot unmarshal {} into Go value of type int32", plain(other))),
    }
}
