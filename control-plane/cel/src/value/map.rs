//! Maps and objects.

use std::sync::Arc;

use serde_json::Value as Json;

use super::compare::equal_keys;
use super::{Text, Value};
use crate::error::EvalError;
use crate::shape::{Shape, ShapeKind};
use crate::types::{JSON_PATCH, ObjectType};

fn is_patch_text(field: &str) -> bool {
    matches!(field, "op" | "path" | "from")
}

type JsonMap = serde_json::Map<String, Json>;

/// A map, or an object with fields.
#[derive(Debug, Clone)]
pub struct Map<'a>(Entries<'a>);

#[derive(Debug, Clone)]
enum Entries<'a> {
    /// Any key; values of one shape.
    Json {
        map: &'a JsonMap,
        value: &'a Shape,
    },
    /// Fields by the names expressions use.
    Object {
        map: &'a JsonMap,
        object: &'a Arc<ObjectType>,
    },
    Made {
        entries: Arc<Vec<(Value<'a>, Value<'a>)>>,
        name: Option<Arc<ObjectType>>,
    },
}

impl<'a> Map<'a> {
    pub(super) fn json(map: &'a JsonMap, value: &'a Shape) -> Self {
        Self(Entries::Json { map, value })
    }

    pub(super) fn object(map: &'a JsonMap, object: &'a Arc<ObjectType>) -> Self {
        Self(Entries::Object { map, object })
    }

    pub(crate) fn made(entries: Vec<(Value<'a>, Value<'a>)>) -> Self {
        Self(Entries::Made { entries: Arc::new(entries), name: None })
    }

    /// An object that an expression made. The texts of a `JSONPatch` are empty where nothing is set, and not set where they are empty.
    pub(crate) fn structure(mut entries: Vec<(Value<'a>, Value<'a>)>, name: Arc<ObjectType>) -> Self {
        if name.name == JSON_PATCH {
            let is_empty = |key: &Value<'a>, value: &Value<'a>| {
                key.as_str().is_some_and(is_patch_text) && value.as_str() == Some("")
            };
            entries.retain(|(key, value)| !is_empty(key, value));
        }
        Self(Entries::Made { entries: Arc::new(entries), name: Some(name) })
    }

    pub(super) fn object_type(&self) -> Option<Arc<ObjectType>> {
        match &self.0 {
            Entries::Object { object, .. } => Some((*object).clone()),
            Entries::Made { name, .. } => name.clone(),
            Entries::Json { .. } => None,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        match &self.0 {
            Entries::Json { map, .. } | Entries::Object { map, .. } => map.len(),
            Entries::Made { entries, .. } => entries.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key.
    pub fn get(&self, key: &Value<'_>) -> Option<Result<Value<'a>, EvalError>> {
        match &self.0 {
            Entries::Made { entries, .. } => {
                entries.iter().find(|(known, _)| equal_keys(known, key)).map(|(_, value)| Ok(value.clone()))
            }
            _ => self.field(key.as_str()?),
        }
    }

    /// The value of a text as key.
    pub fn field(&self, name: &str) -> Option<Result<Value<'a>, EvalError>> {
        match &self.0 {
            Entries::Json { map, value } => map.get(name).map(|json| Value::typed(json, value)),
            Entries::Object { map, object } => {
                let field = object.fields.get(name)?;
                map.get(&field.property).map(|json| Value::typed(json, &field.shape))
            }
            Entries::Made { entries, .. } => entries
                .iter()
                .find(|(known, _)| known.as_str() == Some(name))
                .map(|(_, value)| Ok(value.clone())),
        }
    }

    /// What a field reads as that is not set; `None` when that is an error.
    pub(crate) fn unset(&self, name: &str) -> Option<Value<'a>> {
        let is_patch =
            matches!(&self.0, Entries::Made { name: Some(object), .. } if object.name == JSON_PATCH);
        (is_patch && is_patch_text(name)).then_some(Value::String(Text::Borrowed("")))
    }

    /// The keys.
    pub fn keys(&self) -> Vec<Value<'a>> {
        match &self.0 {
            Entries::Json { map, .. } => map.keys().map(|key| Value::String(Text::Borrowed(key))).collect(),
            Entries::Object { map, object } => {
                let present = object.fields.iter().filter(|(_, field)| map.contains_key(&field.property));
                present.map(|(name, _)| Value::String(Text::Borrowed(name))).collect()
            }
            Entries::Made { entries, .. } => entries.iter().map(|(key, _)| key.clone()).collect(),
        }
    }

    /// The entries; for an object only those its schema knows.
    pub fn entries(&self) -> Vec<(Value<'a>, Result<Value<'a>, EvalError>)> {
        match &self.0 {
            Entries::Made { entries, .. } => {
                entries.iter().map(|(key, value)| (key.clone(), Ok(value.clone()))).collect()
            }
            _ => {
                let keys = self.keys().into_iter();
                keys.filter_map(|key| self.get(&key).map(|value| (key, value))).collect()
            }
        }
    }

    /// The JSON behind it, when it is all of it.
    pub(super) fn raw(&self) -> Option<&'a JsonMap> {
        match &self.0 {
            Entries::Json { map, .. } | Entries::Object { map, .. } => Some(map),
            Entries::Made { .. } => None,
        }
    }

    /// Whether a value of this shape is a map or an object.
    pub(super) fn of(map: &'a JsonMap, shape: &'a Shape) -> Option<Self> {
        match &shape.kind {
            ShapeKind::Map(value) => Some(Self::json(map, value)),
            ShapeKind::Object(object) => Some(Self::object(map, object)),
            ShapeKind::Dyn => Some(Self::json(map, shape)),
            _ => None,
        }
    }
}
