//! Equality and order.

use std::cmp::Ordering;

use super::{List, Map, Value};
use crate::error::EvalError;
use crate::eval::Budget;
use crate::shape::ListKind;

/// Whether two values are equal. Values of different types are not, except numbers.
pub(crate) fn equal(a: &Value<'_>, b: &Value<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    budget.work(1)?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => a.as_str() == b.as_str(),
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a.name() == b.name(),
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (Some(a), Some(b)) => equal(a, b, budget)?,
            (a, b) => a.is_none() && b.is_none(),
        },
        (Value::Opaque(a), Value::Opaque(b)) => a.equal(b),
        (Value::List(a), Value::List(b)) => equal_lists(a, b, budget)?,
        (Value::Map(a), Value::Map(b)) => equal_maps(a, b, budget)?,
        _ => numbers(a, b) == Some(Ordering::Equal),
    })
}

fn equal_lists(a: &List<'_>, b: &List<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    if a.len() != b.len() {
        return Ok(false);
    }
    let kind = a.kind();
    if *kind == ListKind::Atomic {
        for (a, b) in a.iter().zip(b.iter()) {
            if !equal(&a?, &b?, budget)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    budget.work(2 * a.len() as u64)?;
    let mut known = std::collections::HashMap::with_capacity(a.len());
    for item in a.iter() {
        let item = item?;
        known.insert(key(&item, kind)?, item);
    }
    for item in b.iter() {
        let item = item?;
        match known.get(&key(&item, kind)?) {
            Some(other) if equal(other, &item, budget)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

fn equal_maps(a: &Map<'_>, b: &Map<'_>, budget: &mut Budget) -> Result<bool, EvalError> {
    // The JSON of two objects also holds what no schema describes.
    if let (Some(a), Some(b)) = (a.raw(), b.raw())
        && a == b
    {
        budget.work(a.len() as u64)?;
        return Ok(true);
    }
    if a.len() != b.len() {
        return Ok(false);
    }
    let entries = a.entries();
    if entries.len() != b.keys().len() || (a.raw().is_some() && entries.len() != a.len()) {
        return Ok(false);
    }
    for (key, value) in entries {
        let Some(other) = b.get(&key) else { return Ok(false) };
        if !equal(&value?, &other?, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What tells an item of a set or map list from the others.
pub(super) fn key(item: &Value<'_>, kind: &ListKind) -> Result<String, EvalError> {
    let ListKind::Map(fields) = kind else { return Ok(item.to_json()?.to_string()) };
    let Value::Map(map) = item else { return Err(EvalError::no_overload()) };
    let mut key = String::new();
    for field in fields {
        let name = crate::escape::escape(field).unwrap_or_else(|| field.clone());
        if let Some(value) = map.field(&name) {
            key.push_str(&value?.to_json()?.to_string());
        }
        key.push('\0');
    }
    Ok(key)
}

/// Whether two keys of a map are the same; whole numbers of both kinds and without fraction are.
pub(crate) fn equal_keys(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.as_str() == b.as_str(),
        (Value::Bool(a), Value::Bool(b)) => a == b,
        _ => numbers(a, b) == Some(Ordering::Equal),
    }
}

/// How two values are ordered, when they are.
pub(crate) fn order(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Some(a.as_str().cmp(b.as_str())),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        _ => numbers(a, b),
    }
}

fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => to_whole(*a, b),
        (a, Value::Double(b)) => to_whole(*b, a).map(Ordering::reverse),
        (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

fn whole(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(n) => Some(i128::from(*n)),
        Value::Uint(n) => Some(i128::from(*n)),
        _ => None,
    }
}

fn to_whole(double: f64, other: &Value<'_>) -> Option<Ordering> {
    let other = whole(other)?;
    if double.is_nan() {
        return None;
    }
    // Saturates beyond the whole numbers, which keeps the order.
    let floor = double.floor() as i128;
    Some(floor.cmp(&other).then(if double.fract() == 0.0 { Ordering::Equal } else { Ordering::Greater }))
}
