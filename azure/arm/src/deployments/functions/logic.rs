//! Functions on truth values and numbers, and comparisons.

use serde_json::Value;

use super::{Arguments, Made, list, number, same, text};

fn truth(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(truth) => Ok(*truth),
        Value::Number(number) => Ok(number.as_f64() != Some(0.0)),
        Value::String(text) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") || text == "0" => Ok(false),
        other => Err(format!("'{other}' is not a truth value")),
    }
}

fn arithmetic(name: &str, a: &Arguments<'_>) -> Made {
    let (one, two) = (a.number(0)?, a.number(1)?);
    let made = match name {
        "add" => one.checked_add(two),
        "sub" => one.checked_sub(two),
        "mul" => one.checked_mul(two),
        "div" => one.checked_div(two),
        _ => one.checked_rem(two),
    };
    made.map(Value::from).ok_or_else(|| format!("'{name}({one}, {two})' has no result"))
}

fn compare(name: &str, a: &Arguments<'_>) -> Made {
    let (one, two) = (a.get(0), a.get(1));
    let order = match (one, two) {
        (Value::String(one), Value::String(two)) => one.cmp(two),
        _ => number(one)?.cmp(&number(two)?),
    };
    Ok(Value::from(match name {
        "less" => order.is_lt(),
        "lessorequals" => order.is_le(),
        "greater" => order.is_gt(),
        _ => order.is_ge(),
    }))
}

fn extreme(name: &str, a: &Arguments<'_>) -> Made {
    let all = if a.0.len() == 1 { list(a.get(0)) } else { a.0.to_vec() };
    let numbers = all.iter().map(number).collect::<Result<Vec<i64>, String>>()?;
    let found = if name == "min" { numbers.into_iter().min() } else { numbers.into_iter().max() };
    found.map(Value::from).ok_or_else(|| format!("'{name}' of nothing has no result"))
}

fn equal(a: &Arguments<'_>) -> bool {
    match (a.get(0), a.get(1)) {
        (Value::String(one), Value::String(two)) => one.eq_ignore_ascii_case(two),
        (one, two) => same(one, two),
    }
}

fn contains(whole: &Value, piece: &Value) -> bool {
    match whole {
        Value::Array(list) => list.iter().any(|v| same(v, piece)),
        Value::Object(map) => map.keys().any(|k| k.eq_ignore_ascii_case(&text(piece))),
        other => text(other).contains(&text(piece)),
    }
}

fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn float(a: &Arguments<'_>) -> Made {
    let value = a.get(0);
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
    let number = number.and_then(serde_json::Number::from_f64);
    number.map(Value::Number).ok_or_else(|| format!("'{value}' is not a number"))
}

pub(super) fn call(name: &str, a: &Arguments<'_>) -> Option<Made> {
    Some(match name {
        "and" | "or" => {
            let all = a.0.iter().map(truth).collect::<Result<Vec<bool>, String>>();
            all.map(|all| {
                Value::from(if name == "and" { all.iter().all(|t| *t) } else { all.contains(&true) })
            })
        }
        "not" => truth(a.get(0)).map(|t| Value::from(!t)),
        "bool" => truth(a.get(0)).map(Value::from),
        "true" => Ok(Value::from(true)),
        "false" => Ok(Value::from(false)),
        "null" => Ok(Value::Null),
        "equals" => Ok(Value::from(equal(a))),
        "less" | "lessorequals" | "greater" | "greaterorequals" => compare(name, a),
        "empty" => Ok(Value::from(empty(a.get(0)))),
        "coalesce" => Ok(a.0.iter().find(|v| !v.is_null()).cloned().unwrap_or(Value::Null)),
        "contains" => Ok(Value::from(contains(a.get(0), a.get(1)))),
        "add" | "sub" | "mul" | "div" | "mod" => arithmetic(name, a),
        "int" => a.number(0).map(Value::from),
        "float" => float(a),
        "min" | "max" => extreme(name, a),
        "fail" => Err(a.text(0)),
        _ => return None,
    })
}
