//! How Go holds a field, and what it shows of one when nothing is said.
//!
//! Built-in kinds are Go structs upstream: a field that is neither a pointer nor left out when empty stands in their JSON always
//! (`resources: {}`, `rules: null`), and who creates an object owns it. The published schemas do not tell structs held by value from pointers,
//! nor what is left out when empty, hence `corpus/facts/1.35.shapes`, which the corpus carries as `go=`.

use super::types::{Field, NodeId, NodeKind, Scalar, Types};
use serde_json::{Map, Value};
use std::sync::LazyLock;

/// How Go's type holds a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// As the schema of an optional field suggests; gone once all types are known.
    Suggested,
    /// By value, always written.
    Value,
    /// A pointer that is always written.
    Null,
    /// A pointer that is left out when nothing is said: its zero is a value of its own.
    Pointer,
    /// Left out when zero or empty.
    Omitted,
}

impl Shape {
    pub(crate) fn read(word: &str) -> Option<Self> {
        Some(match word {
            "value" => Self::Value,
            "null" => Self::Null,
            "pointer" => Self::Pointer,
            "omitted" => Self::Omitted,
            _ => return None,
        })
    }
}

/// What stands for a field that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zero {
    /// Nothing.
    Absent,
    /// `{}`.
    Struct,
    /// `null`.
    Null,
    /// The empty text.
    Text,
    /// `"0"`.
    Amount,
    /// `0`.
    Number,
    /// `false`.
    False,
}

static STRUCT: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
static NUMBER: LazyLock<Value> = LazyLock::new(|| Value::from(0));
static AMOUNT: LazyLock<Value> = LazyLock::new(|| Value::from("0"));
static TEXT: Value = Value::String(String::new());
static NULL: Value = Value::Null;
static FALSE: Value = Value::Bool(false);

impl Zero {
    /// The value; none when there is none.
    pub fn value(self) -> Option<&'static Value> {
        match self {
            Zero::Absent => None,
            Zero::Struct => Some(&STRUCT),
            Zero::Null => Some(&NULL),
            Zero::Text => Some(&TEXT),
            Zero::Amount => Some(&AMOUNT),
            Zero::Number => Some(&NUMBER),
            Zero::False => Some(&FALSE),
        }
    }
}

/// Marks the fields of a built-in struct.
pub(crate) fn mark(types: &Types, fields: &mut [Field]) {
    for field in fields {
        let kind = &types.node(field.node).kind;
        let is_struct = matches!(kind, NodeKind::Struct { preserve: false, .. });
        if field.shape == Shape::Suggested {
            field.shape = match kind {
                _ if is_struct && &*field.name == "metadata" => Shape::Value,
                NodeKind::Struct { .. } | NodeKind::Any => Shape::Pointer,
                NodeKind::Scalar(
                    Scalar::Time | Scalar::MicroTime | Scalar::Quantity | Scalar::IntOrString,
                ) => Shape::Pointer,
                NodeKind::Scalar(_) | NodeKind::Map(_) | NodeKind::List { .. } => Shape::Omitted,
            };
        }
        field.zero = match field.shape {
            Shape::Value => of(types, field.node),
            Shape::Null => Zero::Null,
            Shape::Suggested | Shape::Pointer | Shape::Omitted => Zero::Absent,
        };
    }
}

/// The zero of a type.
pub(super) fn of(types: &Types, id: NodeId) -> Zero {
    match &types.node(id).kind {
        NodeKind::Struct { preserve: false, .. } => Zero::Struct,
        NodeKind::Struct { .. } | NodeKind::Map(_) | NodeKind::List { .. } | NodeKind::Any => Zero::Null,
        NodeKind::Scalar(scalar) => match scalar {
            Scalar::String => Zero::Text,
            Scalar::Quantity => Zero::Amount,
            Scalar::Bool => Zero::False,
            Scalar::Int32 | Scalar::Int64 | Scalar::Double | Scalar::IntOrString => Zero::Number,
            Scalar::Byte | Scalar::Time | Scalar::MicroTime => Zero::Null,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_as_go_holds_them() {
        let model = crate::Model::load("1.35").unwrap();
        let zero = |name: &str, field: &str| {
            let id = model.types().named(&format!("api.{name}")).unwrap_or_else(|| panic!("{name}"));
            let found = model.types().field(id, field).unwrap_or_else(|| panic!("{name}.{field}"));
            (found.shape, found.zero)
        };
        for (name, field, shape, expected) in [
            ("core.v1.PodSpec", "containers", Shape::Value, Zero::Null),
            ("core.v1.PodSpec", "hostNetwork", Shape::Omitted, Zero::Absent),
            ("core.v1.PodSpec", "hostUsers", Shape::Pointer, Zero::Absent),
            ("core.v1.PodSpec", "securityContext", Shape::Pointer, Zero::Absent),
            ("core.v1.Container", "resources", Shape::Value, Zero::Struct),
            ("core.v1.PersistentVolumeClaimSpec", "storageClassName", Shape::Pointer, Zero::Absent),
            ("core.v1.ResourceFieldSelector", "divisor", Shape::Value, Zero::Amount),
            ("core.v1.PodCondition", "lastProbeTime", Shape::Value, Zero::Null),
            ("core.v1.Event", "eventTime", Shape::Value, Zero::Null),
            ("core.v1.Pod", "metadata", Shape::Value, Zero::Struct),
            ("apps.v1.DeploymentSpec", "selector", Shape::Null, Zero::Null),
            ("apps.v1.ControllerRevision", "data", Shape::Value, Zero::Null),
            ("apps.v1.ControllerRevision", "revision", Shape::Value, Zero::Number),
            ("rbac.v1.ClusterRole", "rules", Shape::Value, Zero::Null),
            ("core.v1.ServicePort", "targetPort", Shape::Value, Zero::Number),
        ] {
            assert_eq!(zero(name, field), (shape, expected), "{name}.{field}");
        }
    }
}
