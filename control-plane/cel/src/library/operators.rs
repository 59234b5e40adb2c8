//! Comparing, choosing, looking up. What does not evaluate all its operands is done by the evaluator; its row is for the types.

use std::cmp::Ordering;

use super::Style::{Global, Member};
use super::{Given, Row, Run};
use crate::error::EvalError;
use crate::eval::Budget;
use crate::value::compare::{equal, order};
use crate::value::{List, Value};

const LAZY: Run = |_, _| Err(EvalError::no_overload());
const LESS: Run = |_, args| compared(args, |order| order == Ordering::Less);
const LESS_EQUAL: Run = |_, args| compared(args, |order| order != Ordering::Greater);
const GREATER: Run = |_, args| compared(args, |order| order == Ordering::Greater);
const GREATER_EQUAL: Run = |_, args| compared(args, |order| order != Ordering::Less);
const SIZE: Run = |_, args| match args {
    [value] => Ok(Value::Int(i64::try_from(value.size()).unwrap_or(i64::MAX))),
    _ => Err(EvalError::no_overload()),
};
const INDEX: Run = |_, args| match args {
    [container, key] => index(container, key),
    _ => Err(EvalError::no_overload()),
};
const OPTIONAL_INDEX: Run = |_, args| match args {
    [container, key] => optional_index(container, key),
    _ => Err(EvalError::no_overload()),
};

pub(super) const ROWS: &[Row] = &[
    Row("_&&_", "logical_and", Global, "bool, bool -> bool", LAZY),
    Row("_||_", "logical_or", Global, "bool, bool -> bool", LAZY),
    Row("_?_:_", "conditional", Global, "bool, A, A -> A", LAZY),
    Row("!_", "logical_not", Global, "bool -> bool", |_, args| match args {
        [Value::Bool(value)] => Ok(Value::Bool(!value)),
        _ => Err(EvalError::no_overload()),
    }),
    Row("_==_", "equals", Global, "A, A -> bool", |budget, args| equality(budget, args, true)),
    Row("_!=_", "not_equals", Global, "A, A -> bool", |budget, args| equality(budget, args, false)),
    Row("_<_", "less_bool", Global, "bool, bool -> bool", LESS),
    Row("_<_", "less_int64", Global, "int, int -> bool", LESS),
    Row("_<_", "less_int64_double", Global, "int, double -> bool", LESS),
    Row("_<_", "less_int64_uint64", Global, "int, uint -> bool", LESS),
    Row("_<_", "less_uint64", Global, "uint, uint -> bool", LESS),
    Row("_<_", "less_uint64_double", Global, "uint, double -> bool", LESS),
    Row("_<_", "less_uint64_int64", Global, "uint, int -> bool", LESS),
    Row("_<_", "less_double", Global, "double, double -> bool", LESS),
    Row("_<_", "less_double_int64", Global, "double, int -> bool", LESS),
    Row("_<_", "less_double_uint64", Global, "double, uint -> bool", LESS),
    Row("_<_", "less_string", Global, "string, string -> bool", LESS),
    Row("_<_", "less_bytes", Global, "bytes, bytes -> bool", LESS),
    Row("_<_", "less_timestamp", Global, "timestamp, timestamp -> bool", LESS),
    Row("_<_", "less_duration", Global, "duration, duration -> bool", LESS),
    Row("_<=_", "less_equals_bool", Global, "bool, bool -> bool", LESS_EQUAL),
    Row("_<=_", "less_equals_int64", Global, "int, int -> bool", LESS_EQUAL),
    Row("_<=_", "less_equals_int64_double", Global, "int, double -> bool", LESS_EQUAL),
    Row("_<=_", "less_equals_int64_uint64", Global, "int, uint -> bool", LESS_EQUAL),
    Row("_<=_", "less_equals_uint64", Global, "uint, uint -> bool", LESS_EQUAL),
    Row("_<=_", "less_equals_uint64_double", Global, "uint, double -> bool", LESS_EQUAL),
    Row("_<=_", "less_equals_uint64_int64", Global, "uint, int -> bool", LESS_EQUAL),
    Row("_<=_", "less_equals_double", Global, "double, double -> bool", LESS_EQUAL),
    Row("_<=_", "less_equals_double_int64", Global, "double, int -> bool", LESS_EQUAL),
    Row("_<=_", "less_equals_double_uint64", Global, "double, uint -> bool", LESS_EQUAL),
    Row("_<=_", "less_equals_string", Global, "string, string -> bool", LESS_EQUAL),
    Row("_<=_", "less_equals_bytes", Global, "bytes, bytes -> bool", LESS_EQUAL),
    Row("_<=_", "less_equals_timestamp", Global, "timestamp, timestamp -> bool", LESS_EQUAL),
    Row("_<=_", "less_equals_duration", Global, "duration, duration -> bool", LESS_EQUAL),
    Row("_>_", "greater_bool", Global, "bool, bool -> bool", GREATER),
    Row("_>_", "greater_int64", Global, "int, int -> bool", GREATER),
    Row("_>_", "greater_int64_double", Global, "int, double -> bool", GREATER),
    Row("_>_", "greater_int64_uint64", Global, "int, uint -> bool", GREATER),
    Row("_>_", "greater_uint64", Global, "uint, uint -> bool", GREATER),
    Row("_>_", "greater_uint64_double", Global, "uint, double -> bool", GREATER),
    Row("_>_", "greater_uint64_int64", Global, "uint, int -> bool", GREATER),
    Row("_>_", "greater_double", Global, "double, double -> bool", GREATER),
    Row("_>_", "greater_double_int64", Global, "double, int -> bool", GREATER),
    Row("_>_", "greater_double_uint64", Global, "double, uint -> bool", GREATER),
    Row("_>_", "greater_string", Global, "string, string -> bool", GREATER),
    Row("_>_", "greater_bytes", Global, "bytes, bytes -> bool", GREATER),
    Row("_>_", "greater_timestamp", Global, "timestamp, timestamp -> bool", GREATER),
    Row("_>_", "greater_duration", Global, "duration, duration -> bool", GREATER),
    Row("_>=_", "greater_equals_bool", Global, "bool, bool -> bool", GREATER_EQUAL),
    Row("_>=_", "greater_equals_int64", Global, "int, int -> bool", GREATER_EQUAL),
    Row("_>=_", "greater_equals_int64_double", Global, "int, double -> bool", GREATER_EQUAL),
    Row("_>=_", "greater_equals_int64_uint64", Global, "int, uint -> bool", GREATER_EQUAL),
    Row("_>=_", "greater_equals_uint64", Global, "uint, uint -> bool", GREATER_EQUAL),
    Row("_>=_", "greater_equals_uint64_double", Global, "uint, double -> bool", GREATER_EQUAL),
    Row("_>=_", "greater_equals_uint64_int64", Global, "uint, int -> bool", GREATER_EQUAL),
    Row("_>=_", "greater_equals_double", Global, "double, double -> bool", GREATER_EQUAL),
    Row("_>=_", "greater_equals_double_int64", Global, "double, int -> bool", GREATER_EQUAL),
    Row("_>=_", "greater_equals_double_uint64", Global, "double, uint -> bool", GREATER_EQUAL),
    Row("_>=_", "greater_equals_string", Global, "string, string -> bool", GREATER_EQUAL),
    Row("_>=_", "greater_equals_bytes", Global, "bytes, bytes -> bool", GREATER_EQUAL),
    Row("_>=_", "greater_equals_timestamp", Global, "timestamp, timestamp -> bool", GREATER_EQUAL),
    Row("_>=_", "greater_equals_duration", Global, "duration, duration -> bool", GREATER_EQUAL),
    Row("@in", "in_list", Global, "A, list(A) -> bool", |budget, args| match args {
        [value, Value::List(list)] => contains(list, value, budget).map(Value::Bool),
        _ => Err(EvalError::no_overload()),
    }),
    Row("@in", "in_map", Global, "A, map(A, B) -> bool", |_, args| match args {
        [value, Value::Map(map)] => Ok(Value::Bool(map.get(value).is_some())),
        _ => Err(EvalError::no_overload()),
    }),
    Row("_[_]", "index_list", Global, "list(A), int -> A", INDEX),
    Row("_[_]", "index_map", Global, "map(A, B), A -> B", INDEX),
    Row("_[_]", "optional_list_index_int", Global, "optional(list(A)), int -> optional(A)", OPTIONAL_INDEX),
    Row("_[_]", "optional_map_index_value", Global, "optional(map(A, B)), A -> optional(B)", OPTIONAL_INDEX),
    Row("_[?_]", "list_optindex_optional_int", Global, "list(A), int -> optional(A)", OPTIONAL_INDEX),
    Row(
        "_[?_]",
        "optional_list_optindex_optional_int",
        Global,
        "optional(list(A)), int -> optional(A)",
        OPTIONAL_INDEX,
    ),
    Row("_[?_]", "map_optindex_optional_value", Global, "map(A, B), A -> optional(B)", OPTIONAL_INDEX),
    Row(
        "_[?_]",
        "optional_map_optindex_optional_value",
        Global,
        "optional(map(A, B)), A -> optional(B)",
        OPTIONAL_INDEX,
    ),
    Row("size", "size_string", Global, "string -> int", SIZE),
    Row("size", "size_bytes", Global, "bytes -> int", SIZE),
    Row("size", "size_list", Global, "list(A) -> int", SIZE),
    Row("size", "size_map", Global, "map(A, B) -> int", SIZE),
    Row("size", "string_size", Member, "string -> int", SIZE),
    Row("size", "bytes_size", Member, "bytes -> int", SIZE),
    Row("size", "list_size", Member, "list(A) -> int", SIZE),
    Row("size", "map_size", Member, "map(A, B) -> int", SIZE),
];

fn compared<'a>(args: &[Value<'a>], holds: fn(Ordering) -> bool) -> Given<'a> {
    match args {
        [Value::Double(a), _] | [_, Value::Double(a)] if a.is_nan() => Ok(Value::Bool(false)),
        [a, b] => order(a, b).map(|order| Value::Bool(holds(order))).ok_or_else(EvalError::no_overload),
        _ => Err(EvalError::no_overload()),
    }
}

fn equality<'a>(budget: &mut Budget, args: &[Value<'a>], wanted: bool) -> Given<'a> {
    match args {
        [a, b] => Ok(Value::Bool(equal(a, b, budget)? == wanted)),
        _ => Err(EvalError::no_overload()),
    }
}

pub(super) fn contains(list: &List<'_>, value: &Value<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    let mut failed = None;
    for item in list.iter() {
        match item.and_then(|item| equal(&item, value, budget)) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(EvalError::CostLimit) => return Err(EvalError::CostLimit),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(false), Err)
}

/// The position a key of a list means.
fn position(key: &Value<'_>) -> Option<i64> {
    match key {
        Value::Int(n) => Some(*n),
        Value::Uint(n) => i64::try_from(*n).ok(),
        Value::Double(n) if n.fract() == 0.0 => Some(*n as i64),
        _ => None,
    }
}

pub(crate) fn index<'a>(container: &Value<'a>, key: &Value<'a>) -> Given<'a> {
    match container {
        Value::List(list) => {
            let at = position(key).ok_or_else(EvalError::no_overload)?;
            let found = usize::try_from(at).ok().and_then(|at| list.get(at));
            found.unwrap_or_else(|| Err(EvalError::failed(format!("index out of bounds: {at}"))))
        }
        Value::Map(map) => {
            map.get(key).unwrap_or_else(|| Err(EvalError::no_key(&super::printing::shown(key))))
        }
        Value::Optional(_) => optional_index(container, key),
        _ => Err(EvalError::no_overload()),
    }
}

pub(crate) fn optional_index<'a>(container: &Value<'a>, key: &Value<'a>) -> Given<'a> {
    let found = match container {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inside)) => return optional_index(inside, key),
        Value::List(list) => {
            let at = position(key).ok_or_else(EvalError::no_overload)?;
            usize::try_from(at).ok().and_then(|at| list.get(at))
        }
        Value::Map(map) => map.get(key),
        _ => return Err(EvalError::no_overload()),
    };
    match found {
        Some(value) => Ok(Value::some(value?)),
        None => Ok(Value::Optional(None)),
    }
}
