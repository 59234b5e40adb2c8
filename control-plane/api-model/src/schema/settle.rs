//! Objects of built-in kinds as Go's types write them.
//!
//! Upstream decodes what it is sent into Go structs, keeps it in the binary form and writes it from the structs again. So a zero that is not told from
//! nothing goes, what is always written comes, times are in UTC and as precise as their type, amounts in their canonical form. Whatever is
//! stored is settled, so that two objects that mean the same are the same: a write that changes nothing is seen to change nothing.
//!
//! Custom kinds are kept as they are sent, and so is what the schema does not look into.

use super::types::{Field, NodeId, NodeKind, Scalar, find};
use super::{Schema, Shape, Types, Zero, zero};
use crate::quantity::Quantity;
use serde_json::{Map, Value};

/// Definitions that upstream stores as JSON, where an empty list stays what it is.
const KEPT_AS_JSON: [&str; 2] = ["apiextensions-apiserver.", "kube-aggregator."];

impl Schema {
    /// Writes the object as Go would. Doing it twice changes nothing more; custom kinds are left alone.
    pub fn settle(&self, object: &mut Value) {
        if self.name().is_some() {
            Settler { types: self.types(), binary: false }.node(self.id(), object);
        }
    }

    /// The same for an object that is judged and will be stored: a list or map without items that is always written becomes `null`, for
    /// the binary form does not tell it from none. Until then it is quoted as it was sent.
    pub fn settle_stored(&self, object: &mut Value) {
        if let Some(name) = self.name() {
            let binary = !KEPT_AS_JSON.iter().any(|prefix| name.starts_with(prefix));
            Settler { types: self.types(), binary }.node(self.id(), object);
        }
    }
}

struct Settler<'a> {
    types: &'a Types,
    binary: bool,
}

impl Settler<'_> {
    fn node(&self, id: NodeId, value: &mut Value) {
        match (&self.types.node(id).kind, &mut *value) {
            (NodeKind::Struct { fields, .. }, Value::Object(map)) => self.object(fields, map),
            (NodeKind::Map(item), Value::Object(map)) => {
                map.values_mut().for_each(|value| self.item(*item, value));
            }
            (NodeKind::List { item, .. }, Value::Array(items)) => {
                items.iter_mut().for_each(|value| self.item(*item, value));
            }
            (NodeKind::Scalar(scalar), value) => self::scalar(*scalar, value),
            _ => {}
        }
    }

    fn object(&self, fields: &[Field], map: &mut Map<String, Value>) {
        let (mut gone, mut shown) = (0_usize, 0_usize);
        for (key, value) in map.iter_mut() {
            let Some(field) = find(fields, key) else { continue };
            if !value.is_null() {
                self.node(field.node, value);
            }
            let is_said = match field.shape {
                Shape::Omitted => !self.is_zero(field.node, value),
                Shape::Value if self.binary => !self.is_empty_list(field.node, value),
                _ => !value.is_null(),
            };
            match field.zero.value() {
                Some(zero) => {
                    shown += 1;
                    if !is_said {
                        *value = self.settled(field, zero);
                    }
                }
                None if !is_said => {
                    *value = Value::Null;
                    gone += 1;
                }
                None => {}
            }
        }
        // Most objects are settled: a tree that loses nothing is not built again.
        if gone > 0 {
            let goes = |key: &String| find(fields, key).is_some_and(|field| field.zero == Zero::Absent);
            map.retain(|key, value| !(value.is_null() && goes(key)));
        }
        if shown < fields.iter().filter(|field| field.zero != Zero::Absent).count() {
            for field in fields {
                if let Some(zero) = field.zero.value()
                    && !map.contains_key(&*field.name)
                {
                    map.insert(field.name.to_string(), self.settled(field, zero));
                }
            }
        }
    }

    /// What stands for a field that is not there, and what always stands in that.
    fn settled(&self, field: &Field, zero: &Value) -> Value {
        let mut zero = zero.clone();
        self.node(field.node, &mut zero);
        zero
    }

    /// A member of a list or map: Go has no nothing there.
    fn item(&self, id: NodeId, value: &mut Value) {
        if value.is_null() {
            *value = match &self.types.node(id).kind {
                NodeKind::Scalar(Scalar::Byte) => Value::String(String::new()),
                _ => zero::of(self.types, id).value().cloned().unwrap_or_default(),
            };
        }
        self.node(id, value);
    }

    /// The binary form does not tell a list or map without items from none.
    fn is_empty_list(&self, id: NodeId, value: &Value) -> bool {
        match (&self.types.node(id).kind, value) {
            (NodeKind::List { .. }, Value::Array(items)) => items.is_empty(),
            (NodeKind::Map(_), Value::Object(map)) => map.is_empty(),
            (NodeKind::Scalar(Scalar::Byte), Value::String(text)) => text.is_empty(),
            _ => value.is_null(),
        }
    }

    /// Of a settled value, whether it says nothing.
    fn is_zero(&self, id: NodeId, value: &Value) -> bool {
        match (&self.types.node(id).kind, value) {
            (_, Value::Null) | (_, Value::Bool(false)) => true,
            (NodeKind::Scalar(Scalar::Quantity), Value::String(text)) => text == "0",
            (NodeKind::Scalar(_), Value::String(text)) => text.is_empty(),
            (NodeKind::Scalar(_), Value::Number(number)) => number.as_f64() == Some(0.0),
            (NodeKind::List { .. }, Value::Array(items)) => items.is_empty(),
            (NodeKind::Map(_), Value::Object(map)) => map.is_empty(),
            (NodeKind::Struct { fields, preserve: false, .. }, Value::Object(map)) => {
                map.iter().all(|(key, value)| {
                    find(fields, key).is_some_and(|field| {
                        matches!(field.shape, Shape::Value | Shape::Null) && self.is_zero(field.node, value)
                    })
                })
            }
            _ => false,
        }
    }
}

fn scalar(scalar: Scalar, value: &mut Value) {
    match (scalar, &mut *value) {
        (Scalar::Time | Scalar::MicroTime, Value::String(text)) => {
            if let Some(told) = time(text, scalar == Scalar::MicroTime) {
                *value = told;
            }
        }
        (Scalar::Byte, Value::String(text)) => text.retain(|letter| !matches!(letter, '\r' | '\n')),
        (Scalar::Quantity, Value::String(text)) => {
            let canonical = Quantity::parse(text.trim()).map(|amount| amount.canonical());
            if let Ok(canonical) = canonical.as_ref()
                && canonical != text
            {
                text.clone_from(canonical);
            }
        }
        (Scalar::Quantity, Value::Number(number)) => {
            if let Ok(amount) = Quantity::parse(&number.to_string()) {
                *value = amount.canonical().into();
            }
        }
        _ => {}
    }
}

/// The digits of a time: of one with microseconds, all of it.
const DIGITS: &[u8] = b"0000-00-00T00:00:00.000000Z";
const SECONDS: usize = 19;
/// What Go's zero time is: nothing.
const NO_TIME: &str = "0001-01-01T00:00:00";

/// A time as its type writes it, where that is something else than the text.
fn time(text: &str, micro: bool) -> Option<Value> {
    let layout = if micro { DIGITS.len() } else { SECONDS + 1 };
    let fits = |(at, byte): (usize, u8)| match DIGITS.get(at) {
        Some(b'0') => byte.is_ascii_digit(),
        Some(b'.') if !micro => byte == b'Z',
        Some(other) => byte == *other,
        None => false,
    };
    if text.len() == layout && text.bytes().enumerate().all(fits) && !text.starts_with(NO_TIME) {
        return None;
    }
    let time = text.parse::<jiff::Timestamp>().ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    let seconds = time.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let microseconds = time.subsec_nanosecond() / 1000;
    Some(match micro {
        _ if seconds == NO_TIME && time.subsec_nanosecond() == 0 => Value::Null,
        true => format!("{seconds}.{microseconds:06}Z").into(),
        false => format!("{seconds}Z").into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_in_utc_and_as_precise_as_their_type() {
        for (given, seconds, microseconds) in [
            ("2026-01-02T03:04:05Z", json!("2026-01-02T03:04:05Z"), json!("2026-01-02T03:04:05.000000Z")),
            ("2026-01-02T03:04:05.1Z", json!("2026-01-02T03:04:05Z"), json!("2026-01-02T03:04:05.100000Z")),
            (
                "2026-01-02T03:04:05.123456789+01:00",
                json!("2026-01-02T02:04:05Z"),
                json!("2026-01-02T02:04:05.123456Z"),
            ),
            ("1969-12-31T23:59:59.5Z", json!("1969-12-31T23:59:59Z"), json!("1969-12-31T23:59:59.500000Z")),
            ("0001-01-01T00:00:00Z", Value::Null, Value::Null),
            ("soon", json!("soon"), json!("soon")),
        ] {
            let told = |micro| time(given, micro).unwrap_or_else(|| json!(given));
            assert_eq!((told(false), told(true)), (seconds, microseconds), "{given}");
        }
    }
}
