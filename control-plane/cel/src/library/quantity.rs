//! Resource quantities.

use std::sync::Arc;

use api_model::quantity::Quantity;

use super::Style::{Global, Member};
use super::{Given, Row, Run};
use crate::error::EvalError;
use crate::value::{Opaque, Value};

const ADD: Run = |_, args| both(args, |a, b| Quantity::add(&a, &b));
const SUB: Run = |_, args| both(args, |a, b| Quantity::sub(&a, &b));
/// The first whole number that a double cannot hold exactly apart from its neighbour is beyond this.
const IS_INTEGER: Run = |_, args| Ok(Value::Bool(whole(&one(args.first())?).is_some()));

pub(super) const ROWS: &[Row] = &[
    Row("quantity", "string_to_quantity", Global, "string -> quantity", |_, args| match args {
        [Value::String(text)] => {
            Quantity::parse(text.as_str()).map(made).map_err(|error| EvalError::failed(error.to_string()))
        }
        _ => Err(EvalError::no_overload()),
    }),
    Row("isQuantity", "is_quantity_string", Global, "string -> bool", |_, args| match args {
        [Value::String(text)] => Ok(Value::Bool(Quantity::parse(text.as_str()).is_ok())),
        _ => Err(EvalError::no_overload()),
    }),
    Row("sign", "quantity_sign", Member, "quantity -> int", |_, args| {
        Ok(Value::Int(i64::from(one(args.first())?.sign())))
    }),
    Row("isInteger", "quantity_is_integer", Member, "quantity -> bool", IS_INTEGER),
    Row("asInteger", "quantity_as_integer", Member, "quantity -> int", |_, args| {
        whole(&one(args.first())?)
            .map(Value::Int)
            .ok_or_else(|| EvalError::failed("cannot convert value to integer"))
    }),
    Row("asApproximateFloat", "quantity_get_float", Member, "quantity -> double", |_, args| {
        Ok(Value::Double(one(args.first())?.as_f64()))
    }),
    Row("add", "quantity_add", Member, "quantity, quantity -> quantity", ADD),
    Row("add", "quantity_add_int", Member, "quantity, int -> quantity", ADD),
    Row("sub", "quantity_sub", Member, "quantity, quantity -> quantity", SUB),
    Row("sub", "quantity_sub_int", Member, "quantity, int -> quantity", SUB),
    Row("isLessThan", "quantity_is_less_than", Member, "quantity, quantity -> bool", |_, args| {
        Ok(Value::Bool(one(args.first())? < one(args.get(1))?))
    }),
    Row("isGreaterThan", "quantity_is_greater_than", Member, "quantity, quantity -> bool", |_, args| {
        Ok(Value::Bool(one(args.first())? > one(args.get(1))?))
    }),
    Row("compareTo", "quantity_compare_to", Member, "quantity, quantity -> int", |_, args| {
        Ok(Value::Int(one(args.first())?.cmp(&one(args.get(1))?) as i64))
    }),
];

fn made<'a>(quantity: Quantity) -> Value<'a> {
    Value::Opaque(Arc::new(Opaque::Quantity(quantity)))
}

fn one(value: Option<&Value<'_>>) -> Result<Quantity, EvalError> {
    match value {
        Some(Value::Opaque(opaque)) => match &**opaque {
            Opaque::Quantity(quantity) => Ok(*quantity),
            _ => Err(EvalError::no_overload()),
        },
        Some(Value::Int(value)) => Ok(Quantity::from_int(*value)),
        _ => Err(EvalError::no_overload()),
    }
}

fn both<'a>(args: &[Value<'a>], run: fn(Quantity, Quantity) -> Quantity) -> Given<'a> {
    Ok(made(run(one(args.first())?, one(args.get(1))?)))
}

/// The whole number it is, without rounding.
fn whole(quantity: &Quantity) -> Option<i64> {
    let value = quantity.value();
    (Quantity::from_int(value) == *quantity).then_some(value)
}
