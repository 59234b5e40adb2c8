//! JSON patch (RFC 6902), with the liberties upstream's library takes: `replace` sets what is not there, `copy` of what is not there gives
//! `null`, indexes below zero count from the end. The errors are that library's.

use super::PatchError;
use serde_json::Value;

/// The most operations of a patch.
pub const OPERATIONS_MAX: usize = 10_000;
/// What all copies of a patch may add, in bytes of JSON.
pub const COPIED_BYTES_MAX: usize = 3 * 1024 * 1024;

/// Applies a list of operations; nothing is changed when one fails.
///
/// # Errors
/// When the patch is none, too large, or does not apply.
pub fn json_patch(target: &Value, patch: &Value) -> Result<Value, PatchError> {
    let mut result = target.clone();
    json_patch_mut(&mut result, patch)?;
    Ok(result)
}

/// As [`json_patch`], in place; after an error the target is in between.
///
/// # Errors
/// As [`json_patch`].
pub fn json_patch_mut(target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let operations: &[Value] = match patch {
        Value::Array(operations) => operations,
        Value::Null => &[],
        other => return Err(not_a_list_of_operations(other)),
    };
    if operations.len() > OPERATIONS_MAX {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
            operations.len()
        )));
    }
    operations.iter().try_for_each(well_formed)?;
    let mut copied_bytes = 0;
    operations.iter().try_for_each(|operation| {
        one(target, operation, &mut copied_bytes).map_err(PatchError::Unprocessable)
    })
}

fn go_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn not_a_list_of_operations(value: &Value) -> PatchError {
    PatchError::Malformed(format!(
        "error decoding patch: json: cannot unmarshal {} into Go value of type []handlers.jsonPatchOp",
        go_name(value)
    ))
}

/// Whether an operation has the form of one; what it does is judged when it is its turn.
fn well_formed(operation: &Value) -> Result<(), PatchError> {
    let wrong = |value: &Value, into: &str| {
        PatchError::Malformed(format!(
            "error decoding patch: json: cannot unmarshal {} into Go {into}",
            go_name(value)
        ))
    };
    match operation {
        Value::Object(fields) => ["op", "path", "from"].iter().try_for_each(|name| match fields.get(*name) {
            None | Some(Value::Null | Value::String(_)) => Ok(()),
            Some(other) => Err(wrong(other, &format!("struct field jsonPatchOp.{name} of type string"))),
        }),
        Value::Null => Ok(()),
        other => Err(wrong(other, "value of type handlers.jsonPatchOp")),
    }
}

fn one(target: &mut Value, operation: &Value, copied_bytes: &mut usize) -> Result<(), String> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str);
    let kind = text("op").unwrap_or("unknown");
    let path = || {
        text("path").ok_or_else(|| match kind {
            "add" | "remove" => format!("{kind} operation failed to decode path: missing value"),
            _ => {
                format!("{kind} operation failed to decode path: operation missing path field: missing value")
            }
        })
    };
    let from = || {
        let missing = || {
            format!("{kind} operation failed to decode from: operation, missing from field: missing value")
        };
        text("from").ok_or_else(missing)
    };
    let value = || operation.get("value").cloned().unwrap_or(Value::Null);
    match kind {
        "add" => {
            let path = path()?;
            let gone =
                || format!("add operation does not apply: doc is missing path: {path:?}: missing value");
            let (parent, last) = find(target, path).ok_or_else(gone)?;
            add(parent, &last, value()).map_err(|error| format!("error in add for path: '{path}': {error}"))
        }
        "remove" => {
            let path = path()?;
            let gone =
                || format!("remove operation does not apply: doc is missing path: {path:?}: missing value");
            let (parent, last) = find(target, path).ok_or_else(gone)?;
            remove(parent, &last)
                .map(drop)
                .map_err(|error| format!("error in remove for path: '{path}': {error}"))
        }
        "replace" => replace(target, path()?, value()),
        "move" => move_value(target, from()?, &path),
        "copy" => copy(target, from()?, &path, copied_bytes),
        "test" => test(target, path()?, operation.get("value").unwrap_or(&Value::Null)),
        other => Err(format!("Unexpected kind: {other}")),
    }
}

fn replace(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        if !value.is_object() && !value.is_array() {
            return Err("replace operation value must be object or array".to_owned());
        }
        *target = value;
        return Ok(());
    }
    let gone = |what: &str| {
        format!("replace operation does not apply: doc is missing {what}: {path}: missing value")
    };
    let (parent, last) = find(target, path).ok_or_else(|| gone("path"))?;
    match parent {
        Value::Object(map) => {
            map.insert(last, value);
        }
        Value::Array(items) => match place(&last, items.len()).ok().and_then(|at| items.get_mut(at)) {
            Some(slot) => *slot = value,
            None => return Err(gone("key")),
        },
        _ => return Err(gone("path")),
    }
    Ok(())
}

fn move_value<'p>(
    target: &mut Value,
    from: &str,
    path: &dyn Fn() -> Result<&'p str, String>,
) -> Result<(), String> {
    let gone = || format!("move operation does not apply: doc is missing from path: {from}: missing value");
    let (parent, last) = find(target, from).ok_or_else(gone)?;
    let moved =
        remove(parent, &last).map_err(|error| format!("error in move for path: '{last}': {error}"))?;
    let path = path()?;
    let gone =
        || format!("move operation does not apply: doc is missing destination path: {path}: missing value");
    let (parent, last) = find(target, path).ok_or_else(gone)?;
    add(parent, &last, moved).map_err(|error| format!("error in move for path: '{path}': {error}"))
}

fn copy<'p>(
    target: &mut Value,
    from: &str,
    path: &dyn Fn() -> Result<&'p str, String>,
    copied_bytes: &mut usize,
) -> Result<(), String> {
    let gone = || format!("copy operation does not apply: doc is missing from path: {from}: missing value");
    let (parent, last) = find(target, from).ok_or_else(gone)?;
    let source = get(parent, &last).map_err(|error| format!("error in copy for from: '{from}': {error}"))?;
    *copied_bytes += size_bytes(source.unwrap_or(&Value::Null));
    if *copied_bytes > COPIED_BYTES_MAX {
        return Err(format!(
            "Unable to complete the copy, the accumulated size increase of copy is {copied_bytes}, exceeding the limit {COPIED_BYTES_MAX}"
        ));
    }
    let copied = source.cloned().unwrap_or(Value::Null);
    let path = path()?;
    let gone =
        || format!("copy operation does not apply: doc is missing destination path: {path}: missing value");
    let (parent, last) = find(target, path).ok_or_else(gone)?;
    add(parent, &last, copied).map_err(|error| format!("error while adding value during copy: {error}"))
}

fn test(target: &mut Value, path: &str, expected: &Value) -> Result<(), String> {
    let failed = || format!("testing value {path} failed: test failed");
    if path.is_empty() {
        return if target == expected { Ok(()) } else { Err(failed()) };
    }
    let gone = || format!("test operation does not apply: is missing path: {path}: missing value");
    let (parent, last) = find(target, path).ok_or_else(gone)?;
    let found = get(parent, &last).map_err(|error| format!("error in test for path: '{path}': {error}"))?;
    if found.unwrap_or(&Value::Null) == expected { Ok(()) } else { Err(failed()) }
}

/// Length of the value's JSON, in bytes.
fn size_bytes(value: &Value) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // A value always has a JSON form, and counting does not fail.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

fn unescaped(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// The container a path ends in, and the last step.
fn find<'a>(target: &'a mut Value, path: &str) -> Option<(&'a mut Value, String)> {
    // What stands before the first slash is not looked at.
    let mut steps = path.split('/').skip(1).peekable();
    let mut at = target;
    while let Some(step) = steps.next() {
        let step = unescaped(step);
        if steps.peek().is_none() {
            return matches!(at, Value::Object(_) | Value::Array(_)).then_some((at, step));
        }
        at = match at {
            Value::Object(map) => map.get_mut(&step)?,
            Value::Array(items) => {
                let index = place(&step, items.len()).ok()?;
                items.get_mut(index)?
            }
            _ => return None,
        };
    }
    None
}

fn number(step: &str) -> Result<i64, String> {
    step.parse().map_err(|_| format!("strconv.Atoi: parsing {step:?}: invalid syntax"))
}

fn out_of_bounds(index: i64) -> String {
    format!("Unable to access invalid index: {index}: invalid index referenced")
}

/// The place of an index in a list of `len`; below zero it counts from the end.
fn place(step: &str, len: usize) -> Result<usize, String> {
    let index = number(step)?;
    let length = i64::try_from(len).unwrap_or(i64::MAX);
    let from_start = if index < 0 { index + length } else { index };
    match usize::try_from(from_start) {
        Ok(place) if place < len => Ok(place),
        _ => Err(out_of_bounds(index)),
    }
}

fn get<'a>(parent: &'a Value, step: &str) -> Result<Option<&'a Value>, String> {
    match parent {
        Value::Array(items) => Ok(items.get(place(step, items.len())?)),
        other => Ok(other.get(step)),
    }
}

fn add(parent: &mut Value, step: &str, value: Value) -> Result<(), String> {
    match parent {
        Value::Object(map) => {
            map.insert(step.to_owned(), value);
        }
        Value::Array(items) if step == "-" => items.push(value),
        Value::Array(items) => {
            number(step).map_err(|error| format!("value was not a proper array index: '{step}': {error}"))?;
            // One more place than there are items: the end.
            let at = place(step, items.len() + 1)?;
            items.insert(at, value);
        }
        _ => {}
    }
    Ok(())
}

fn remove(parent: &mut Value, step: &str) -> Result<Value, String> {
    match parent {
        Value::Array(items) => {
            let at = place(step, items.len())?;
            Ok(items.remove(at))
        }
        Value::Object(map) => {
            map.remove(step).ok_or_else(|| format!("Unable to remove nonexistent key: {step}: missing value"))
        }
        _ => Ok(Value::Null),
    }
}
