//! Arithmetic. What does not fit is an error, never another number.

use super::Style::Global;
use super::{Given, Row, Run};
use crate::error::EvalError;
use crate::value::Value;

const ADD: Run = |budget, args| match args {
    [Value::Int(a), Value::Int(b)] => int(a.checked_add(*b)),
    [Value::Uint(a), Value::Uint(b)] => uint(a.checked_add(*b)),
    [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a + b)),
    [Value::String(a), Value::String(b)] => {
        budget.work((a.as_str().len() + b.as_str().len()) as u64)?;
        Ok(Value::text([a.as_str(), b.as_str()].concat()))
    }
    [Value::Bytes(a), Value::Bytes(b)] => {
        budget.work((a.len() + b.len()) as u64)?;
        Ok(Value::Bytes([&**a, &**b].concat().into()))
    }
    [Value::List(a), Value::List(b)] => {
        budget.work(1)?;
        a.join(b).map(Value::List)
    }
    [Value::Timestamp(at), Value::Duration(by)] | [Value::Duration(by), Value::Timestamp(at)] => {
        moved(*at, Some(*by))
    }
    [Value::Duration(a), Value::Duration(b)] => duration(a.checked_add(*b)),
    _ => Err(EvalError::no_overload()),
};
const SUBTRACT: Run = |_, args| match args {
    [Value::Int(a), Value::Int(b)] => int(a.checked_sub(*b)),
    [Value::Uint(a), Value::Uint(b)] => uint(a.checked_sub(*b)),
    [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a - b)),
    [Value::Timestamp(a), Value::Timestamp(b)] => {
        duration(i64::try_from(a.as_nanosecond() - b.as_nanosecond()).ok())
    }
    [Value::Timestamp(at), Value::Duration(by)] => moved(*at, by.checked_neg()),
    [Value::Duration(a), Value::Duration(b)] => duration(a.checked_sub(*b)),
    _ => Err(EvalError::no_overload()),
};
const MULTIPLY: Run = |_, args| match args {
    [Value::Int(a), Value::Int(b)] => int(a.checked_mul(*b)),
    [Value::Uint(a), Value::Uint(b)] => uint(a.checked_mul(*b)),
    [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b)),
    _ => Err(EvalError::no_overload()),
};
const DIVIDE: Run = |_, args| match args {
    [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
        Err(EvalError::failed("division by zero"))
    }
    [Value::Int(a), Value::Int(b)] => int(a.checked_div(*b)),
    [Value::Uint(a), Value::Uint(b)] => uint(a.checked_div(*b)),
    [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b)),
    _ => Err(EvalError::no_overload()),
};
const MODULO: Run = |_, args| match args {
    [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
        Err(EvalError::failed("modulus by zero"))
    }
    [Value::Int(a), Value::Int(b)] => int(a.checked_rem(*b)),
    [Value::Uint(a), Value::Uint(b)] => uint(a.checked_rem(*b)),
    _ => Err(EvalError::no_overload()),
};
const NEGATE: Run = |_, args| match args {
    [Value::Int(a)] => int(a.checked_neg()),
    [Value::Double(a)] => Ok(Value::Double(-a)),
    _ => Err(EvalError::no_overload()),
};

pub(super) const ROWS: &[Row] = &[
    Row("_+_", "add_bytes", Global, "bytes, bytes -> bytes", ADD),
    Row("_+_", "add_double", Global, "double, double -> double", ADD),
    Row("_+_", "add_duration_duration", Global, "duration, duration -> duration", ADD),
    Row("_+_", "add_duration_timestamp", Global, "duration, timestamp -> timestamp", ADD),
    Row("_+_", "add_timestamp_duration", Global, "timestamp, duration -> timestamp", ADD),
    Row("_+_", "add_int64", Global, "int, int -> int", ADD),
    Row("_+_", "add_list", Global, "list(A), list(A) -> list(A)", ADD),
    Row("_+_", "add_string", Global, "string, string -> string", ADD),
    Row("_+_", "add_uint64", Global, "uint, uint -> uint", ADD),
    Row("_-_", "subtract_double", Global, "double, double -> double", SUBTRACT),
    Row("_-_", "subtract_duration_duration", Global, "duration, duration -> duration", SUBTRACT),
    Row("_-_", "subtract_int64", Global, "int, int -> int", SUBTRACT),
    Row("_-_", "subtract_timestamp_duration", Global, "timestamp, duration -> timestamp", SUBTRACT),
    Row("_-_", "subtract_timestamp_timestamp", Global, "timestamp, timestamp -> duration", SUBTRACT),
    Row("_-_", "subtract_uint64", Global, "uint, uint -> uint", SUBTRACT),
    Row("_*_", "multiply_double", Global, "double, double -> double", MULTIPLY),
    Row("_*_", "multiply_int64", Global, "int, int -> int", MULTIPLY),
    Row("_*_", "multiply_uint64", Global, "uint, uint -> uint", MULTIPLY),
    Row("_/_", "divide_double", Global, "double, double -> double", DIVIDE),
    Row("_/_", "divide_int64", Global, "int, int -> int", DIVIDE),
    Row("_/_", "divide_uint64", Global, "uint, uint -> uint", DIVIDE),
    Row("_%_", "modulo_int64", Global, "int, int -> int", MODULO),
    Row("_%_", "modulo_uint64", Global, "uint, uint -> uint", MODULO),
    Row("-_", "negate_double", Global, "double -> double", NEGATE),
    Row("-_", "negate_int64", Global, "int -> int", NEGATE),
];

pub(super) fn int<'a>(value: Option<i64>) -> Given<'a> {
    value.map(Value::Int).ok_or_else(|| EvalError::failed("integer overflow"))
}

fn uint<'a>(value: Option<u64>) -> Given<'a> {
    value.map(Value::Uint).ok_or_else(|| EvalError::failed("unsigned integer overflow"))
}

fn duration<'a>(value: Option<i64>) -> Given<'a> {
    value.map(Value::Duration).ok_or_else(|| EvalError::failed("duration overflow"))
}

fn moved<'a>(at: jiff::Timestamp, by: Option<i64>) -> Given<'a> {
    let moved = by.and_then(|by| at.checked_add(jiff::SignedDuration::from_nanos(by)).ok());
    moved.map(Value::Timestamp).ok_or_else(|| EvalError::failed("timestamp overflow"))
}
