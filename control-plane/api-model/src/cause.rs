//! One reason why an object is refused, with upstream's reasons and texts.

use crate::path::FieldPath;
use serde_json::Value;

/// A cause of a `Status`: what is wrong with which field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The field, as in `spec.containers[0].image`; `<nil>` never, the empty text for the object.
    pub field: String,
    /// Machine-readable: `FieldValueInvalid`, `FieldValueRequired`, ….
    pub reason: &'static str,
    /// Upstream's text without the field: `Required value`, `Invalid value: "x": must be …`.
    pub message: String,
}

impl Cause {
    /// `field: message`, as a `Status` message lists it.
    pub fn text(&self) -> String {
        if self.field.is_empty() { self.message.clone() } else { format!("{}: {}", self.field, self.message) }
    }

    fn new(path: &FieldPath, reason: &'static str, message: String) -> Self {
        Self { field: path.as_str().to_owned(), reason, message }
    }

    /// `Required value[: detail]`.
    pub fn required(path: &FieldPath, detail: &str) -> Self {
        Self::new(path, "FieldValueRequired", with_detail("Required value", detail))
    }

    /// `Invalid value: <value>: detail`.
    pub fn invalid(path: &FieldPath, value: &Value, detail: &str) -> Self {
        Self::new(path, "FieldValueInvalid", with_detail(&format!("Invalid value: {}", shown(value)), detail))
    }

    /// As [`Self::invalid`], for a text.
    pub fn invalid_str(path: &FieldPath, value: &str, detail: &str) -> Self {
        Self::new(
            path,
            "FieldValueInvalid",
            with_detail(&format!("Invalid value: {}", quoted(value)), detail),
        )
    }

    /// `Invalid value: detail`, for what is too large or means nothing by itself.
    pub fn invalid_unshown(path: &FieldPath, detail: &str) -> Self {
        Self::new(path, "FieldValueInvalid", with_detail("Invalid value", detail))
    }

    /// `Unsupported value: "x": supported values: "a", "b"`; the supported ones sorted as given.
    pub fn unsupported(path: &FieldPath, value: &Value, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| quoted(s)).collect();
        let message = if list.is_empty() {
            format!("Unsupported value: {}", shown(value))
        } else {
            format!("Unsupported value: {}: supported values: {}", shown(value), list.join(", "))
        };
        Self::new(path, "FieldValueNotSupported", message)
    }

    /// `Duplicate value: <value>`.
    pub fn duplicate(path: &FieldPath, value: &Value) -> Self {
        Self::new(path, "FieldValueDuplicate", format!("Duplicate value: {}", shown(value)))
    }

    /// `Forbidden: detail`.
    pub fn forbidden(path: &FieldPath, detail: &str) -> Self {
        Self::new(path, "FieldValueForbidden", with_detail("Forbidden", detail))
    }

    /// `Not found: <value>`.
    pub fn not_found(path: &FieldPath, value: &Value) -> Self {
        Self::new(path, "FieldValueNotFound", format!("Not found: {}", shown(value)))
    }

    /// `Too long: may not be more than <max> bytes`.
    pub fn too_long(path: &FieldPath, max: usize) -> Self {
        Self::new(path, "FieldValueTooLong", format!("Too long: may not be more than {max} bytes"))
    }

    /// `Too many: <count>: must have at most <max> items`.
    pub fn too_many(path: &FieldPath, count: usize, max: usize) -> Self {
        Self::new(path, "FieldValueTooMany", format!("Too many: {count}: must have at most {max} items"))
    }

    /// `Invalid value: "<type found>": … must be of type <wanted>: "<found>"`.
    pub fn wrong_type(path: &FieldPath, value: &Value, wanted: &str) -> Self {
        let found = type_name(value);
        let name = if path.is_empty() { "" } else { path.as_str() };
        let detail = format!("{name} in body must be of type {wanted}: {found:?}");
        Self::new(path, "FieldValueTypeInvalid", format!("Invalid value: {found:?}: {detail}"))
    }
}

fn with_detail(head: &str, detail: &str) -> String {
    if detail.is_empty() { head.to_owned() } else { format!("{head}: {detail}") }
}

/// A text in quotes as Go writes it.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if u32::from(c) < 0x20 || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// How upstream shows a bad value: texts quoted, objects as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        // Upstream shows Go's nil as this text.
        Value::Null => "\"null\"".to_owned(),
        other => other.to_string(),
    }
}

/// JSON's own name of the value's type.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
