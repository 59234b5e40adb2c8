//! Values of expressions. What comes from JSON is borrowed and read when it is looked at.

pub(crate) mod compare;
mod json;
mod list;
mod map;
mod named;
pub(crate) mod opaque;
pub(crate) mod time;

use std::borrow::Borrow;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::error::EvalError;
use crate::eval::Budget;
use crate::shape::Shape;
use crate::types::Type;
pub use list::List;
pub use map::Map;
pub use opaque::Opaque;

/// A value.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// Truth value.
    Bool(bool),
    /// Whole number.
    Int(i64),
    /// Whole number, not negative.
    Uint(u64),
    /// Floating-point number.
    Double(f64),
    /// Text.
    String(Text<'a>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// Moment.
    Timestamp(jiff::Timestamp),
    /// Nanoseconds.
    Duration(i64),
    /// List.
    List(List<'a>),
    /// Map, or an object with fields.
    Map(Map<'a>),
    /// A type.
    Type(Type),
    /// Maybe a value.
    Optional(Option<Arc<Value<'a>>>),
    /// A library's value.
    Opaque(Arc<Opaque<'a>>),
    /// Fields that are made when they are asked for.
    Record(Arc<dyn Record<'a> + 'a>),
}

/// Fields that are made when they are asked for, as the variables of an admission policy are.
pub trait Record<'a>: std::fmt::Debug + Send + Sync {
    /// The field; `None` when there is no such. What it costs goes to `budget`.
    fn field(&self, name: &str, budget: &mut Budget) -> Option<Result<Value<'a>, EvalError>>;
}

/// A text, borrowed or owned.
#[derive(Debug, Clone)]
pub enum Text<'a> {
    /// Of the JSON or the expression.
    Borrowed(&'a str),
    /// Made.
    Owned(Arc<str>),
}

impl Text<'_> {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        match self {
            Text::Borrowed(text) => text,
            Text::Owned(text) => text,
        }
    }
}

impl Borrow<str> for Text<'_> {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl<'a> Value<'a> {
    /// A text that is made.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Value::String(Text::Owned(text.into()))
    }

    /// A list that is made.
    pub fn list(items: Vec<Value<'a>>) -> Self {
        Value::List(List::made(items))
    }

    /// Something.
    pub fn some(value: Value<'a>) -> Self {
        Value::Optional(Some(Arc::new(value)))
    }

    /// JSON as a schema says.
    ///
    /// # Errors
    /// When it is not what the schema says.
    pub fn typed(json: &'a Json, shape: &'a Shape) -> Result<Self, EvalError> {
        json::typed(json, shape)
    }

    /// JSON as it is.
    pub fn json(json: &'a Json) -> Self {
        json::plain(json)
    }

    /// The JSON of a value; what has none (a type, an authorizer) fails.
    ///
    /// # Errors
    /// When the value or a part of it has no JSON.
    pub fn to_json(&self) -> Result<Json, EvalError> {
        json::to_json(self)
    }

    /// The type that the value has, not deeper than itself.
    pub fn type_of(&self) -> Type {
        match self {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Uint(_) => Type::Uint,
            Value::Double(_) => Type::Double,
            Value::String(_) => Type::String,
            Value::Bytes(_) => Type::Bytes,
            Value::Timestamp(_) => Type::Timestamp,
            Value::Duration(_) => Type::Duration,
            Value::List(_) => Type::list(Type::Dyn),
            Value::Map(map) => map
                .object_type()
                .map_or_else(|| Type::Map(Arc::new(Type::Dyn), Arc::new(Type::Dyn)), Type::Object),
            Value::Record(_) => Type::map(Type::Dyn),
            Value::Type(_) => Type::Type(Arc::new(Type::Dyn)),
            Value::Optional(_) => Type::optional(Type::Dyn),
            Value::Opaque(opaque) => Type::Opaque(opaque.name()),
        }
    }

    /// What `size()` counts; 1 for what it does not count.
    pub(crate) fn size(&self) -> u64 {
        match self {
            Value::String(text) => text.as_str().chars().count() as u64,
            Value::Bytes(bytes) => bytes.len() as u64,
            Value::List(list) => list.len() as u64,
            Value::Map(map) => map.len() as u64,
            Value::Opaque(opaque) => opaque.size(),
            _ => 1,
        }
    }

    /// The text, when it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The truth, when it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }
}
