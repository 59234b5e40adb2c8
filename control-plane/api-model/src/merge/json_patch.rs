//! JSON patch (RFC 6902).

use super::PatchError;
use serde_json::Value;

/// Applies a list of operations; nothing is changed when one fails.
pub fn json_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let mut result = target.clone();
    json_patch_mut(&mut result, patch)?;
    Ok(result)
}

/// As [`json_patch`], in place; after an error the target is in between.
pub fn json_patch_mut(target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let Value::Array(operations) = patch else {
        return Err(PatchError::Malformed("json patch must be a list of operations".into()));
    };
    operations.iter().try_for_each(|operation| one(target, operation))
}

fn one(target: &mut Value, operation: &Value) -> Result<(), PatchError> {
    let text = |key: &str| operation.get(key).and_then(Value::as_str);
    let op = text("op").ok_or_else(|| PatchError::Malformed("operation without \"op\"".into()))?;
    let path = pointer(
        text("path").ok_or_else(|| PatchError::Malformed(format!("{op} operation without \"path\"")))?,
    )?;
    let value = || {
        operation
            .get("value")
            .cloned()
            .ok_or_else(|| PatchError::Malformed(format!("{op} operation without \"value\"")))
    };
    let from = || {
        pointer(
            text("from").ok_or_else(|| PatchError::Malformed(format!("{op} operation without \"from\"")))?,
        )
    };
    match op {
        "add" => add(target, &path, value()?),
        "remove" => remove(target, &path).map(drop),
        "replace" => {
            *get(target, &path, "replace")? = value()?;
            Ok(())
        }
        "move" => {
            let moved = remove(target, &from()?)?;
            add(target, &path, moved)
        }
        "copy" => {
            let copied = get(target, &from()?, "copy")?.clone();
            add(target, &path, copied)
        }
        "test" => {
            let expected = operation.get("value").unwrap_or(&Value::Null);
            let holds = match get(target, &path, "test") {
                Ok(found) => same(found, expected),
                Err(_) => expected.is_null(),
            };
            if holds { Ok(()) } else { Err(missing(&path, "testing value", "test failed")) }
        }
        other => Err(PatchError::Malformed(format!("unexpected kind of operation: {other}"))),
    }
}

/// Equality of JSON values: `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

fn pointer(text: &str) -> Result<Vec<String>, PatchError> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let Some(rest) = text.strip_prefix('/') else {
        return Err(PatchError::Malformed(format!("path {text:?} does not begin with '/'")));
    };
    Ok(rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
}

fn missing(path: &[String], doing: &str, why: &str) -> PatchError {
    PatchError::Unprocessable(format!("{doing} path /{}: {why}", path.join("/")))
}

fn get<'a>(target: &'a mut Value, path: &[String], doing: &str) -> Result<&'a mut Value, PatchError> {
    let mut at = target;
    for step in path {
        at = match at {
            Value::Object(map) => map.get_mut(step),
            Value::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            _ => None,
        }
        .ok_or_else(|| missing(path, doing, "missing path"))?;
    }
    Ok(at)
}

fn add(target: &mut Value, path: &[String], value: Value) -> Result<(), PatchError> {
    let Some((last, parents)) = path.split_last() else {
        *target = value;
        return Ok(());
    };
    match get(target, parents, "add")? {
        Value::Object(map) => {
            map.insert(last.clone(), value);
            Ok(())
        }
        Value::Array(items) if last == "-" => {
            items.push(value);
            Ok(())
        }
        Value::Array(items) => match last.parse::<usize>() {
            Ok(index) if index <= items.len() => {
                items.insert(index, value);
                Ok(())
            }
            _ => Err(missing(path, "add", "index out of bounds")),
        },
        _ => Err(missing(path, "add", "missing path")),
    }
}

fn remove(target: &mut Value, path: &[String]) -> Result<Value, PatchError> {
    let Some((last, parents)) = path.split_last() else {
        return Err(PatchError::Unprocessable("the whole object cannot be removed".into()));
    };
    let gone = || missing(path, "remove", "missing path");
    match get(target, parents, "remove")? {
        Value::Object(map) => map.remove(last).ok_or_else(gone),
        Value::Array(items) => match last.parse::<usize>() {
            Ok(index) if index < items.len() => Ok(items.remove(index)),
            _ => Err(gone()),
        },
        _ => Err(gone()),
    }
}
