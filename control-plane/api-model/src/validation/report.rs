//! Collects causes; readers that take what is missing as empty.

use crate::cause::Cause;
use crate::path::FieldPath;
use serde_json::{Map, Value};

/// Text of every change of a fixed field.
pub(super) const IMMUTABLE: &str = "field is immutable";

#[derive(Default)]
pub(super) struct Report {
    pub causes: Vec<Cause>,
}

impl Report {
    pub fn push(&mut self, cause: Cause) {
        self.causes.push(cause);
    }

    pub fn required(&mut self, path: &FieldPath, detail: &str) {
        self.push(Cause::required(path, detail));
    }

    pub fn invalid(&mut self, path: &FieldPath, value: &Value, detail: &str) {
        self.push(Cause::invalid(path, value, detail));
    }

    pub fn forbidden(&mut self, path: &FieldPath, detail: &str) {
        self.push(Cause::forbidden(path, detail));
    }

    /// Each problem of a text as `Invalid value`.
    pub fn problems(&mut self, path: &FieldPath, value: &str, problems: Vec<String>) {
        for problem in problems {
            self.push(Cause::invalid_str(path, value, &problem));
        }
    }

    /// A text that must be one of `allowed`; absent is well unless `required`.
    pub fn one_of(&mut self, path: &FieldPath, value: Option<&Value>, allowed: &[&str], required: bool) {
        match value {
            None | Some(Value::Null) if required => self.required(path, ""),
            None | Some(Value::Null) => {}
            Some(Value::String(text)) if text.is_empty() && required => self.required(path, ""),
            Some(Value::String(text)) if allowed.contains(&text.as_str()) => {}
            Some(other) => self.push(Cause::unsupported(path, other, allowed)),
        }
    }

    /// A number of at least zero, when there is one.
    pub fn not_negative(&mut self, path: &FieldPath, value: Option<&Value>) {
        if let Some(value) = value.filter(|v| v.as_i64().is_some_and(|n| n < 0)) {
            self.invalid(path, value, "must be greater than or equal to 0");
        }
    }

    /// A number of at least one, when there is one.
    pub fn positive(&mut self, path: &FieldPath, value: Option<&Value>) {
        if let Some(value) = value.filter(|v| v.as_i64().is_some_and(|n| n <= 0)) {
            self.invalid(path, value, "must be greater than 0");
        }
    }

    /// Refuses a changed field.
    pub fn immutable(&mut self, new: &Value, old: &Value, fields: &[&str]) {
        let at =
            |object: &Value| fields.iter().try_fold(object, |o, f| o.get(f)).cloned().unwrap_or(Value::Null);
        let (new, old) = (at(new), at(old));
        if new != old {
            self.invalid(&FieldPath::new(fields.join(".")), &new, IMMUTABLE);
        }
    }
}

/// The object's part at a pointer.
pub(super) fn at<'a>(object: &'a Value, pointer: &str) -> &'a Value {
    object.pointer(pointer).unwrap_or(&Value::Null)
}

pub(super) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn map<'a>(object: &'a Value, field: &str) -> Option<&'a Map<String, Value>> {
    object.get(field).and_then(Value::as_object)
}

pub(super) fn number(object: &Value, field: &str) -> Option<i64> {
    object.get(field).and_then(Value::as_i64)
}

/// `spec`, the path and the part.
pub(super) fn spec(object: &Value) -> (FieldPath, &Value) {
    (FieldPath::new("spec"), at(object, "/spec"))
}
