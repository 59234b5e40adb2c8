//! What JSON values are to expressions, made of a schema: the type, how values are read, and how large they can be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use serde_json::Value as Json;

use crate::escape::escape;
use crate::types::{ObjectType, Type};

/// Bytes of a request at most; what no schema limits is as large as a request can be.
const REQUEST_BYTES_MAX: u64 = 3 * 1024 * 1024;
/// Bytes of the longest duration or moment, with quotes.
const TIME_BYTES_MAX: u64 = 32;
/// Bytes of a date, with quotes.
const DATE_BYTES: u64 = 12;

/// What a JSON value is to expressions.
#[derive(Debug)]
pub struct Shape {
    pub(crate) kind: ShapeKind,
    pub(crate) ty: Type,
    /// Characters, items or entries at most, as cost estimates count them; 0 for what has no size.
    pub(crate) max_elements: u64,
    /// Bytes of the shortest JSON.
    min_bytes: u64,
    /// `null` is a value.
    pub(crate) nullable: bool,
}

#[derive(Debug)]
pub(crate) enum ShapeKind {
    /// As the JSON has it.
    Dyn,
    IntOrString,
    Bool,
    Int,
    Double,
    String,
    Bytes,
    Timestamp,
    Date,
    Duration,
    List {
        item: Arc<Shape>,
        list: ListKind,
    },
    Map(Arc<Shape>),
    Object(Arc<ObjectType>),
}

/// How lists compare and add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListKind {
    Atomic,
    Set,
    /// Items are told apart by these fields.
    Map(Vec<String>),
}

/// A field of an object.
#[derive(Debug, Clone)]
pub struct FieldShape {
    /// Its name in the JSON.
    pub property: String,
    /// Its shape.
    pub shape: Arc<Shape>,
}

static ANY: LazyLock<Arc<Shape>> = LazyLock::new(|| Arc::new(Shape::of(ShapeKind::Dyn, Type::Dyn, 0, 1)));
static TEXT: LazyLock<Arc<Shape>> =
    LazyLock::new(|| Arc::new(Shape::of(ShapeKind::String, Type::String, REQUEST_BYTES_MAX - 2, 2)));

impl Shape {
    fn of(kind: ShapeKind, ty: Type, max_elements: u64, min_bytes: u64) -> Self {
        Self { kind, ty, max_elements, min_bytes, nullable: false }
    }

    /// Of what no schema describes.
    pub fn any() -> Arc<Shape> {
        ANY.clone()
    }

    /// Of what an expression gave, as the expressions that use it see it: plain values, lists and maps keep their types, everything
    /// else is anything, as upstream has it.
    pub fn given(ty: &Type) -> Arc<Shape> {
        match known(ty) {
            Type::Dyn => ANY.clone(),
            known => Arc::new(Shape::of(ShapeKind::Dyn, known, 0, 1)),
        }
    }

    /// Of any text.
    pub(crate) fn any_text() -> Arc<Shape> {
        TEXT.clone()
    }

    /// Of any JSON value, to be borrowed for good.
    pub(crate) fn any_ref() -> &'static Shape {
        &ANY
    }

    /// The type.
    pub fn type_of(&self) -> Type {
        self.ty.clone()
    }

    /// The shape of values of an OpenAPI schema (`openAPIV3Schema` or a part of it). `root`: it describes a whole object, which always
    /// has `apiVersion`, `kind` and `metadata`. `None`: expressions cannot see such values, because the schema does not say what they
    /// hold. `name` is what messages call its type.
    pub fn from_schema(schema: &Json, root: bool, name: &str) -> Option<Arc<Shape>> {
        let mut shape = made(schema, root, name)?;
        shape.nullable = schema["nullable"] == Json::Bool(true);
        Some(Arc::new(shape))
    }

    /// How many such values fit into a request at most.
    pub fn most_in_a_request(&self) -> u64 {
        REQUEST_BYTES_MAX / (self.min_bytes + 1)
    }

    /// The shape of the items of a list or of the values of a map.
    pub fn element(&self) -> Option<&Arc<Shape>> {
        match &self.kind {
            ShapeKind::List { item, .. } => Some(item),
            ShapeKind::Map(value) => Some(value),
            _ => None,
        }
    }

    /// The shape of a property, by its name in the JSON.
    pub fn property(&self, name: &str) -> Option<&Arc<Shape>> {
        match &self.kind {
            ShapeKind::Object(object) => object.fields.get(&escape(name)?).map(|field| &field.shape),
            _ => None,
        }
    }
}

/// What of a type outlives the expression that has it.
fn known(ty: &Type) -> Type {
    match ty {
        Type::Null
        | Type::Bool
        | Type::Int
        | Type::Uint
        | Type::Double
        | Type::String
        | Type::Bytes
        | Type::Timestamp
        | Type::Duration => ty.clone(),
        Type::List(item) => Type::list(known(item)),
        Type::Map(key, value) => Type::Map(Arc::new(known(key)), Arc::new(known(value))),
        _ => Type::Dyn,
    }
}

fn count(schema: &Json, key: &str) -> Option<u64> {
    schema.get(key).and_then(Json::as_i64).map(|n| u64::try_from(n).unwrap_or(0))
}

fn made(schema: &Json, root: bool, name: &str) -> Option<Shape> {
    if schema["x-kubernetes-int-or-string"] == Json::Bool(true) {
        let max = count(schema, "maxLength").map_or(REQUEST_BYTES_MAX - 2, |n| n.saturating_mul(4));
        return Some(Shape::of(ShapeKind::IntOrString, Type::Dyn, max, 1));
    }
    match schema["type"].as_str() {
        _ if root => Some(object(schema, true, name)),
        Some("array") => list(schema, name),
        Some("object") => match schema.get("additionalProperties") {
            Some(values @ Json::Object(_)) => map(schema, values, name),
            _ => Some(object(schema, false, name)),
        },
        Some("string") => Some(text(schema)),
        Some("boolean") => Some(Shape::of(ShapeKind::Bool, Type::Bool, 0, 4)),
        Some("number") => Some(Shape::of(ShapeKind::Double, Type::Double, 0, 1)),
        Some("integer") => Some(Shape::of(ShapeKind::Int, Type::Int, 0, 1)),
        _ => None,
    }
}

fn embedded(schema: &Json) -> bool {
    schema["x-kubernetes-embedded-resource"] == Json::Bool(true)
}

fn list(schema: &Json, name: &str) -> Option<Shape> {
    let items = schema.get("items").filter(|items| items.is_object())?;
    let item = Shape::from_schema(items, embedded(items), &format!("{name}.@idx"))?;
    let max = count(schema, "maxItems").unwrap_or((REQUEST_BYTES_MAX - 2) / (item.min_bytes + 1));
    let list = match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => ListKind::Set,
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array();
            ListKind::Map(keys.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect())
        }
        _ => ListKind::Atomic,
    };
    let ty = Type::list(item.ty.clone());
    Some(Shape::of(ShapeKind::List { item, list }, ty, max, 2))
}

fn map(schema: &Json, values: &Json, name: &str) -> Option<Shape> {
    let value = Shape::from_schema(values, embedded(values), &format!("{name}.@elem"))?;
    let max = count(schema, "maxProperties").unwrap_or((REQUEST_BYTES_MAX - 2) / (value.min_bytes + 6));
    let ty = Type::map(value.ty.clone());
    Some(Shape::of(ShapeKind::Map(value), ty, max, 2))
}

fn object(schema: &Json, root: bool, name: &str) -> Shape {
    let required: BTreeSet<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let mut fields = BTreeMap::new();
    let mut min_bytes = 2;
    for (property, below) in schema["properties"].as_object().into_iter().flatten() {
        if root && matches!(property.as_str(), "apiVersion" | "kind" | "metadata") {
            continue;
        }
        let Some(shape) = Shape::from_schema(below, embedded(below), &format!("{name}.{property}")) else {
            continue;
        };
        if required.contains(property.as_str()) && below.get("default").is_none() {
            min_bytes += property.len() as u64 + shape.min_bytes + 4;
        }
        if let Some(escaped) = escape(property) {
            fields.insert(escaped, FieldShape { property: property.clone(), shape });
        }
    }
    if root {
        let text = |property: &str, below: &Json| {
            let shape = Shape::from_schema(below, false, "").filter(|shape| shape.ty == Type::String);
            FieldShape { property: property.to_owned(), shape: shape.unwrap_or_else(|| TEXT.clone()) }
        };
        for property in ["apiVersion", "kind"] {
            fields.insert(property.to_owned(), text(property, &schema["properties"][property]));
        }
        let of_metadata = &schema["properties"]["metadata"]["properties"];
        let known =
            ["name", "generateName"].map(|field| (field.to_owned(), text(field, &of_metadata[field])));
        let metadata =
            ObjectType { name: format!("{name}.metadata"), fields: known.into_iter().collect(), open: false };
        let metadata = Arc::new(metadata);
        let shape = Shape::of(ShapeKind::Object(metadata.clone()), Type::Object(metadata), 0, 2);
        fields.insert(
            "metadata".to_owned(),
            FieldShape { property: "metadata".to_owned(), shape: Arc::new(shape) },
        );
    }
    let object = Arc::new(ObjectType { name: name.to_owned(), fields, open: false });
    Shape::of(ShapeKind::Object(object.clone()), Type::Object(object), 0, min_bytes)
}

fn text(schema: &Json) -> Shape {
    match schema["format"].as_str() {
        Some("byte") => {
            let max = count(schema, "maxLength").unwrap_or(REQUEST_BYTES_MAX - 2);
            Shape::of(ShapeKind::Bytes, Type::Bytes, max, 2)
        }
        Some("duration") => Shape::of(ShapeKind::Duration, Type::Duration, TIME_BYTES_MAX, 3),
        Some("date") => Shape::of(ShapeKind::Date, Type::Timestamp, DATE_BYTES, DATE_BYTES),
        Some("date-time") => Shape::of(ShapeKind::Timestamp, Type::Timestamp, TIME_BYTES_MAX, 21),
        _ => {
            // A character may take four bytes.
            let max = count(schema, "maxLength").map(|n| n.saturating_mul(4)).or_else(|| {
                let allowed = schema["enum"].as_array().filter(|allowed| !allowed.is_empty())?;
                allowed.iter().filter_map(Json::as_str).map(|text| text.len() as u64).max()
            });
            Shape::of(ShapeKind::String, Type::String, max.unwrap_or(REQUEST_BYTES_MAX - 2), 2)
        }
    }
}
