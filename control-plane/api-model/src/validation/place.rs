//! A place inside an object: its value, and its path for when something is wrong with it.
//!
//! Going down allocates nothing; the path is written only for a cause. What is absent reads as null, so rules need not ask first.

use crate::path::FieldPath;
use crate::quantity::Quantity;
use serde_json::{Map, Value};

static NULL: Value = Value::Null;

#[derive(Clone, Copy)]
enum Step<'o> {
    Root,
    Field(&'static str),
    Index(usize),
    Key(&'o str),
}

/// A value and the way to it. `'o` is the object's life, `'p` that of the place above.
#[derive(Clone, Copy)]
pub(super) struct Place<'o, 'p> {
    value: &'o Value,
    step: Step<'o>,
    up: Option<&'p Place<'o, 'p>>,
}

impl<'o, 'p> Place<'o, 'p> {
    /// The object itself.
    pub fn root(value: &'o Value) -> Self {
        Self { value, step: Step::Root, up: None }
    }

    /// A field below.
    pub fn field(&self, name: &'static str) -> Place<'o, '_> {
        self.field_as(name, name)
    }

    /// A field below that upstream's paths call by another name.
    pub fn field_as(&self, name: &'static str, shown: &'static str) -> Place<'o, '_> {
        Place { value: self.value.get(name).unwrap_or(&NULL), step: Step::Field(shown), up: Some(self) }
    }

    /// This value under a further step of the path: upstream reports some things below where they stand.
    pub fn named(&self, shown: &'static str) -> Place<'o, '_> {
        Place { value: self.value, step: Step::Field(shown), up: Some(self) }
    }

    /// A field of another place, shown directly below this one.
    pub fn named_field(&self, of: &Place<'o, '_>, name: &'static str) -> Place<'o, '_> {
        Place { value: of.value.get(name).unwrap_or(&NULL), step: Step::Field(name), up: Some(self) }
    }

    /// Another value shown at this path.
    pub fn with(&self, value: &'o Value) -> Self {
        Self { value, ..*self }
    }

    /// An item of a list.
    pub fn index(&self, index: usize) -> Place<'o, '_> {
        Place { value: self.value.get(index).unwrap_or(&NULL), step: Step::Index(index), up: Some(self) }
    }

    /// An entry of a map.
    pub fn key(&self, key: &'o str) -> Place<'o, '_> {
        Place { value: self.value.get(key).unwrap_or(&NULL), step: Step::Key(key), up: Some(self) }
    }

    /// The items of a list; none when there is no list.
    pub fn items(&self) -> impl Iterator<Item = Place<'o, '_>> {
        self.list().iter().enumerate().map(|(index, value)| Place {
            value,
            step: Step::Index(index),
            up: Some(self),
        })
    }

    /// The entries of a map; none when there is no map.
    pub fn entries(&self) -> impl Iterator<Item = (&'o str, Place<'o, '_>)> {
        let map = self.value.as_object().into_iter().flatten();
        map.map(|(key, value)| (key.as_str(), Place { value, step: Step::Key(key), up: Some(self) }))
    }

    /// The value.
    pub fn value(&self) -> &'o Value {
        self.value
    }

    /// The value as a list.
    pub fn list(&self) -> &'o [Value] {
        self.value.as_array().map_or(&[], Vec::as_slice)
    }

    /// The value as a map.
    pub fn map(&self) -> Option<&'o Map<String, Value>> {
        self.value.as_object()
    }

    /// How many items, entries or bytes.
    pub fn len(&self) -> usize {
        match self.value {
            Value::Array(items) => items.len(),
            Value::Object(map) => map.len(),
            Value::String(text) => text.len(),
            _ => 0,
        }
    }

    /// Whether there is anything: not null.
    pub fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    /// Whether there are no items, entries or bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value as a text, empty when it is none.
    pub fn as_text(&self) -> &'o str {
        self.value.as_str().unwrap_or_default()
    }

    /// The value as a whole number.
    pub fn as_number(&self) -> Option<i64> {
        self.value.as_i64().or_else(|| self.value.as_f64().filter(|n| n.fract() == 0.0).map(|n| n as i64))
    }

    /// The value as an amount.
    pub fn as_quantity(&self) -> Option<Quantity> {
        match self.value {
            Value::String(text) => Quantity::parse(text).ok(),
            Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
            _ => None,
        }
    }

    /// A field's text, empty when absent.
    pub fn text(&self, field: &str) -> &'o str {
        self.value.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A field's number, zero when absent.
    pub fn number(&self, field: &str) -> i64 {
        self.value.get(field).and_then(Value::as_i64).unwrap_or(0)
    }

    /// A field's number.
    pub fn some_number(&self, field: &str) -> Option<i64> {
        self.value.get(field).and_then(Value::as_i64)
    }

    /// Whether a field is there and not null.
    pub fn has(&self, field: &str) -> bool {
        self.value.get(field).is_some_and(|value| !value.is_null())
    }

    /// Whether a field is `true`.
    pub fn flag(&self, field: &str) -> bool {
        self.value.get(field) == Some(&Value::Bool(true))
    }

    /// The path in upstream's words.
    pub fn path(&self) -> FieldPath {
        let mut path = match self.up {
            Some(up) => up.path(),
            None => FieldPath::root(),
        };
        match self.step {
            Step::Root => {}
            Step::Field(name) => path.push_field(name),
            Step::Index(index) => path.push_index(index),
            Step::Key(key) => path = path.key(key),
        }
        path
    }
}
