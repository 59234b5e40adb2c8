//! Types of expressions.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::shape::FieldShape;

/// The name of the type of an operation that a mutating policy makes.
pub(crate) const JSON_PATCH: &str = "JSONPatch";

/// A type.
#[derive(Debug, Clone)]
pub enum Type {
    /// Known when it is run.
    Dyn,
    /// Of what is wrong already.
    Error,
    /// `null`.
    Null,
    /// Truth value.
    Bool,
    /// Whole number.
    Int,
    /// Whole number, not negative.
    Uint,
    /// Floating-point number.
    Double,
    /// Text.
    String,
    /// Bytes.
    Bytes,
    /// Moment.
    Timestamp,
    /// Length of time.
    Duration,
    /// List of one type.
    List(Arc<Type>),
    /// Map from one type to another.
    Map(Arc<Type>, Arc<Type>),
    /// Maybe a value.
    Optional(Arc<Type>),
    /// A type as a value.
    Type(Arc<Type>),
    /// A value of a library: `kubernetes.Quantity`.
    Opaque(&'static str),
    /// An object with known fields.
    Object(Arc<ObjectType>),
    /// Stands for a type that is still to be found.
    Param(u32),
}

/// Fields of an object.
#[derive(Debug)]
pub struct ObjectType {
    /// Name, as messages show it.
    pub name: String,
    /// Fields by the names expressions use.
    pub fields: BTreeMap<String, FieldShape>,
    /// Any field may be asked for and holds anything.
    pub open: bool,
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Type::List(a), Type::List(b))
            | (Type::Optional(a), Type::Optional(b))
            | (Type::Type(a), Type::Type(b)) => a == b,
            (Type::Map(a, b), Type::Map(c, d)) => a == c && b == d,
            (Type::Opaque(a), Type::Opaque(b)) => a == b,
            (Type::Object(a), Type::Object(b)) => Arc::ptr_eq(a, b) || a.name == b.name,
            (Type::Param(a), Type::Param(b)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl Type {
    /// A list of this.
    pub fn list(item: Type) -> Type {
        Type::List(Arc::new(item))
    }

    /// A map from texts.
    pub fn map(value: Type) -> Type {
        Type::Map(Arc::new(Type::String), Arc::new(value))
    }

    /// Maybe this.
    pub fn optional(value: Type) -> Type {
        Type::Optional(Arc::new(value))
    }

    /// Whether anything is possible.
    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn | Type::Error)
    }

    /// The name of the type as a value: `list`, `google.protobuf.Timestamp`.
    pub fn name(&self) -> &str {
        match self {
            Type::List(_) => "list",
            Type::Map(..) => "map",
            Type::Optional(_) => "optional_type",
            Type::Type(_) => "type",
            Type::Timestamp => "google.protobuf.Timestamp",
            Type::Duration => "google.protobuf.Duration",
            Type::Null => "null_type",
            Type::Opaque(name) => name,
            Type::Object(object) => &object.name,
            Type::Dyn => "dyn",
            Type::Error => "!error!",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Param(_) => "param",
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::List(item) => write!(f, "list({item})"),
            Type::Map(key, value) => write!(f, "map({key}, {value})"),
            Type::Optional(value) => write!(f, "optional_type({value})"),
            Type::Type(of) if of.is_dyn() => f.write_str("type"),
            Type::Type(of) => write!(f, "type({of})"),
            Type::Timestamp => f.write_str("timestamp"),
            Type::Duration => f.write_str("duration"),
            Type::Null => f.write_str("null"),
            Type::Param(number) => write!(f, "_var{number}"),
            _ => f.write_str(self.name()),
        }
    }
}
