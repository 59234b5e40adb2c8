//! Lists as sets.

use super::Style::Global;
use super::operators::contains;
use super::{Row, Run};
use crate::error::EvalError;
use crate::eval::Budget;
use crate::value::{List, Value};

const CONTAINS: Run = |budget, args| match args {
    [Value::List(list), Value::List(sub)] => all_in(list, sub, budget).map(Value::Bool),
    _ => Err(EvalError::no_overload()),
};
const EQUIVALENT: Run = |budget, args| match args {
    [Value::List(a), Value::List(b)] => Ok(Value::Bool(all_in(a, b, budget)? && all_in(b, a, budget)?)),
    _ => Err(EvalError::no_overload()),
};
const INTERSECTS: Run = |budget, args| match args {
    [Value::List(a), Value::List(b)] => {
        for item in b.iter() {
            if contains(a, &item?, budget)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }
    _ => Err(EvalError::no_overload()),
};

pub(super) const ROWS: &[Row] = &[
    Row("sets.contains", "list_sets_contains_list", Global, "list(A), list(A) -> bool", CONTAINS),
    Row("sets.equivalent", "list_sets_equivalent_list", Global, "list(A), list(A) -> bool", EQUIVALENT),
    Row("sets.intersects", "list_sets_intersects_list", Global, "list(A), list(A) -> bool", INTERSECTS),
];

fn all_in(list: &List<'_>, sub: &List<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    for item in sub.iter() {
        if !contains(list, &item?, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}
