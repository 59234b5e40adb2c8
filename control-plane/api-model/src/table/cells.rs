//! What printers share: a row's object with readers, and small formats.

use crate::duration;
use serde_json::{Map, Value};

/// The cells of a row.
pub(super) type Cells = Vec<Value>;

/// One object and the time it is looked at.
pub(super) struct Row<'a> {
    pub object: &'a Value,
    pub now: jiff::Timestamp,
}

impl<'a> Row<'a> {
    pub fn at(&self, pointer: &str) -> Option<&'a Value> {
        self.object.pointer(pointer).filter(|v| !v.is_null())
    }

    pub fn text(&self, pointer: &str) -> &'a str {
        self.at(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn number(&self, pointer: &str) -> i64 {
        self.at(pointer).and_then(Value::as_i64).unwrap_or(0)
    }

    pub fn list(&self, pointer: &str) -> &'a [Value] {
        list(self.at(pointer))
    }

    pub fn flag(&self, pointer: &str) -> bool {
        self.at(pointer) == Some(&Value::Bool(true))
    }

    pub fn name(&self) -> Value {
        self.text("/metadata/name").into()
    }

    pub fn age(&self) -> Value {
        self.since("/metadata/creationTimestamp").into()
    }

    /// Time since the timestamp there; `<unknown>` without one.
    pub fn since(&self, pointer: &str) -> String {
        duration::since(self.at(pointer).and_then(Value::as_str), self.now)
    }

    /// The text there, or `otherwise`.
    pub fn text_or(&self, pointer: &str, otherwise: &str) -> Value {
        match self.text(pointer) {
            "" => otherwise.into(),
            text => text.into(),
        }
    }

    /// Texts, numbers and truth values alike; `otherwise` when absent.
    pub fn shown_or(&self, pointer: &str, otherwise: &str) -> Value {
        self.at(pointer).map_or_else(|| otherwise.to_owned(), shown).into()
    }

    /// A truth value, as one; `otherwise` when absent.
    pub fn truth_or(&self, pointer: &str, otherwise: bool) -> Value {
        Value::Bool(self.at(pointer).and_then(Value::as_bool).unwrap_or(otherwise))
    }

    /// The first of these texts that is not empty.
    pub fn first_text(&self, pointers: &[&str]) -> &'a str {
        pointers.iter().map(|pointer| self.text(pointer)).find(|text| !text.is_empty()).unwrap_or_default()
    }

    pub fn labels(&self) -> Option<&'a Map<String, Value>> {
        self.at("/metadata/labels").and_then(Value::as_object)
    }
}

pub(super) fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `a,b`, or `otherwise` when there is none.
pub(super) fn joined<'a>(items: impl IntoIterator<Item = &'a str>, otherwise: &str) -> Value {
    let items: Vec<&str> = items.into_iter().filter(|item| !item.is_empty()).collect();
    if items.is_empty() { otherwise.into() } else { items.join(",").into() }
}

/// At most three, then how many more.
pub(super) fn first_three(items: &[String], otherwise: &str) -> Value {
    match items {
        [] => otherwise.into(),
        items if items.len() <= 3 => items.join(",").into(),
        items => format!("{} + {} more...", items[..3].join(","), items.len() - 3).into(),
    }
}

/// Labels as `a=b,c=d`, `<none>` when there are none.
pub(super) fn label_list(labels: Option<&Value>) -> Value {
    let Some(Value::Object(map)) = labels else { return "<none>".into() };
    let pairs: Vec<String> = map.iter().map(|(k, v)| format!("{k}={}", shown(v))).collect();
    if pairs.is_empty() { "<none>".into() } else { pairs.join(",").into() }
}

/// A `LabelSelector` object in text form.
pub(super) fn selector(object: Option<&Value>) -> Value {
    match crate::selector::LabelSelector::from_object(object) {
        Ok(selector) if selector.requirements().is_empty() => "<none>".into(),
        Ok(selector) => selector.to_string().into(),
        Err(_) => "<error>".into(),
    }
}

/// Names and images of a pod template's containers.
pub(super) fn containers(template: Option<&Value>) -> (Value, Value) {
    let containers = list(template.and_then(|t| t.pointer("/spec/containers")));
    let all = |pointer: &str| containers.iter().map(|c| text(c, pointer)).collect::<Vec<_>>().join(",");
    (all("/name").into(), all("/image").into())
}
