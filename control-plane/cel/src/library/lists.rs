//! Lists of values that can be ordered.

use std::cmp::Ordering;

use super::Style::Member;
use super::{Given, Row, Run};
use crate::error::EvalError;
use crate::eval::Budget;
use crate::value::compare::{equal, order};
use crate::value::{List, Value};

const SORTED: Run = |_, args| sorted(list(args)?).map(Value::Bool);
const MIN: Run = |_, args| extreme(list(args)?, "min", Ordering::Less);
const MAX: Run = |_, args| extreme(list(args)?, "max", Ordering::Greater);
const SUM_INT: Run = |budget, args| sum(list(args)?, Value::Int(0), budget);
const SUM_UINT: Run = |budget, args| sum(list(args)?, Value::Uint(0), budget);
const SUM_DOUBLE: Run = |budget, args| sum(list(args)?, Value::Double(0.0), budget);
const SUM_DURATION: Run = |budget, args| sum(list(args)?, Value::Duration(0), budget);
const INDEX_OF: Run = |budget, args| match args {
    [Value::List(list), value] => find(list, value, false, budget),
    _ => Err(EvalError::no_overload()),
};
const LAST_INDEX_OF: Run = |budget, args| match args {
    [Value::List(list), value] => find(list, value, true, budget),
    _ => Err(EvalError::no_overload()),
};

pub(super) const ROWS: &[Row] = &[
    Row("isSorted", "list_int_is_sorted_bool", Member, "list(int) -> bool", SORTED),
    Row("isSorted", "list_uint_is_sorted_bool", Member, "list(uint) -> bool", SORTED),
    Row("isSorted", "list_double_is_sorted_bool", Member, "list(double) -> bool", SORTED),
    Row("isSorted", "list_bool_is_sorted_bool", Member, "list(bool) -> bool", SORTED),
    Row("isSorted", "list_string_is_sorted_bool", Member, "list(string) -> bool", SORTED),
    Row("isSorted", "list_bytes_is_sorted_bool", Member, "list(bytes) -> bool", SORTED),
    Row("isSorted", "list_timestamp_is_sorted_bool", Member, "list(timestamp) -> bool", SORTED),
    Row("isSorted", "list_duration_is_sorted_bool", Member, "list(duration) -> bool", SORTED),
    Row("sum", "list_int_sum_int", Member, "list(int) -> int", SUM_INT),
    Row("sum", "list_uint_sum_uint", Member, "list(uint) -> uint", SUM_UINT),
    Row("sum", "list_double_sum_double", Member, "list(double) -> double", SUM_DOUBLE),
    Row("sum", "list_duration_sum_duration", Member, "list(duration) -> duration", SUM_DURATION),
    Row("min", "list_int_min_self", Member, "list(int) -> int", MIN),
    Row("min", "list_uint_min_self", Member, "list(uint) -> uint", MIN),
    Row("min", "list_double_min_self", Member, "list(double) -> double", MIN),
    Row("min", "list_bool_min_self", Member, "list(bool) -> bool", MIN),
    Row("min", "list_string_min_self", Member, "list(string) -> string", MIN),
    Row("min", "list_bytes_min_self", Member, "list(bytes) -> bytes", MIN),
    Row("min", "list_timestamp_min_self", Member, "list(timestamp) -> timestamp", MIN),
    Row("min", "list_duration_min_self", Member, "list(duration) -> duration", MIN),
    Row("max", "list_int_max_self", Member, "list(int) -> int", MAX),
    Row("max", "list_uint_max_self", Member, "list(uint) -> uint", MAX),
    Row("max", "list_double_max_self", Member, "list(double) -> double", MAX),
    Row("max", "list_bool_max_self", Member, "list(bool) -> bool", MAX),
    Row("max", "list_string_max_self", Member, "list(string) -> string", MAX),
    Row("max", "list_bytes_max_self", Member, "list(bytes) -> bytes", MAX),
    Row("max", "list_timestamp_max_self", Member, "list(timestamp) -> timestamp", MAX),
    Row("max", "list_duration_max_self", Member, "list(duration) -> duration", MAX),
    Row("indexOf", "list_a_index_of_int", Member, "list(A), A -> int", INDEX_OF),
    Row("lastIndexOf", "list_a_last_index_of_int", Member, "list(A), A -> int", LAST_INDEX_OF),
];

fn list<'v, 'a>(args: &'v [Value<'a>]) -> Result<&'v List<'a>, EvalError> {
    match args {
        [Value::List(list)] => Ok(list),
        _ => Err(EvalError::no_overload()),
    }
}

fn sorted(list: &List<'_>) -> Result<bool, EvalError> {
    let mut before: Option<Value<'_>> = None;
    for item in list.iter() {
        let item = item?;
        if let Some(before) = &before
            && order(before, &item).ok_or_else(EvalError::no_overload)? == Ordering::Greater
        {
            return Ok(false);
        }
        before = Some(item);
    }
    Ok(true)
}

fn extreme<'a>(list: &List<'a>, name: &str, wanted: Ordering) -> Given<'a> {
    let mut best: Option<Value<'a>> = None;
    for item in list.iter() {
        let item = item?;
        best = match best {
            Some(best) if order(&item, &best).ok_or_else(EvalError::no_overload)? != wanted => Some(best),
            _ => Some(item),
        };
    }
    best.ok_or_else(|| EvalError::failed(format!("{name} called on empty list")))
}

fn sum<'a>(list: &List<'a>, zero: Value<'a>, budget: &mut Budget) -> Given<'a> {
    let add =
        super::function("_+_").and_then(|add| add.overloads.first()).ok_or_else(EvalError::no_overload)?;
    let mut total = zero;
    for item in list.iter() {
        total = (add.run)(budget, &[total, item?])?;
    }
    Ok(total)
}

fn find<'a>(list: &List<'a>, value: &Value<'a>, last: bool, budget: &mut Budget) -> Given<'a> {
    let mut found = -1;
    for (position, item) in list.iter().enumerate() {
        if equal(&item?, value, budget)? {
            found = i64::try_from(position).unwrap_or(i64::MAX);
            if !last {
                break;
            }
        }
    }
    Ok(Value::Int(found))
}
