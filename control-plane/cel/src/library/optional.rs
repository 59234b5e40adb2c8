//! Values that may not be there.

use super::Style::{Global, Member};
use super::{Row, Run};
use crate::error::EvalError;
use crate::value::Value;

/// Their right side is evaluated only when it is needed; the evaluator does it.
const LAZY: Run = |_, args| match args {
    [Value::Optional(Some(_)), _] => args.first().cloned().ok_or_else(EvalError::no_overload),
    [_, other] => Ok(other.clone()),
    _ => Err(EvalError::no_overload()),
};
const OR_VALUE: Run = |_, args| match args {
    [Value::Optional(Some(value)), _] => Ok((**value).clone()),
    [Value::Optional(None), other] => Ok(other.clone()),
    _ => Err(EvalError::no_overload()),
};

pub(super) const ROWS: &[Row] =
    &[
        Row("optional.of", "optional_of", Global, "A -> optional(A)", |_, args| match args {
            [value] => Ok(Value::some(value.clone())),
            _ => Err(EvalError::no_overload()),
        }),
        Row("optional.ofNonZeroValue", "optional_ofNonZeroValue", Global, "A -> optional(A)", |_, args| {
            match args {
                [value] if zero(value) => Ok(Value::Optional(None)),
                [value] => Ok(Value::some(value.clone())),
                _ => Err(EvalError::no_overload()),
            }
        }),
        Row("optional.none", "optional_none", Global, "-> optional(A)", |_, _| Ok(Value::Optional(None))),
        Row("value", "optional_value", Member, "optional(A) -> A", |_, args| match args {
            [Value::Optional(Some(value))] => Ok((**value).clone()),
            [Value::Optional(None)] => Err(EvalError::failed("optional.none() dereference")),
            _ => Err(EvalError::no_overload()),
        }),
        Row("hasValue", "optional_hasValue", Member, "optional(A) -> bool", |_, args| match args {
            [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
            _ => Err(EvalError::no_overload()),
        }),
        Row("or", "optional_or_optional", Member, "optional(A), optional(A) -> optional(A)", LAZY),
        Row("orValue", "optional_orValue_value", Member, "optional(A), A -> A", OR_VALUE),
    ];

fn zero(value: &Value<'_>) -> bool {
    match value {
        Value::Null
        | Value::Bool(false)
        | Value::Int(0)
        | Value::Uint(0)
        | Value::Duration(0)
        | Value::Optional(None) => true,
        Value::Double(value) => *value == 0.0,
        Value::String(text) => text.as_str().is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        _ => false,
    }
}
