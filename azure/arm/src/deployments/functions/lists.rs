//! Functions on lists and objects.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::{Arguments, Made, list, text};

/// Most numbers that `range()` makes.
const RANGE_MAX: usize = 10_000;

fn concat(a: &Arguments<'_>) -> Value {
    if a.get(0).is_array() {
        return Value::Array(a.0.iter().flat_map(list).collect());
    }
    Value::from(a.0.iter().map(text).collect::<String>())
}

/// Characters or rows, from one on.
fn part(value: &Value, from: usize, count: usize) -> Value {
    match value {
        Value::Array(list) => Value::Array(list.iter().skip(from).take(count).cloned().collect()),
        other => Value::from(text(other).chars().skip(from).take(count).collect::<String>()),
    }
}

fn substring(a: &Arguments<'_>) -> Made {
    let (whole, from) = (a.text(0), a.count(1)?);
    let length = whole.chars().count();
    let count = if a.0.len() > 2 { a.count(2)? } else { length.saturating_sub(from) };
    if from.saturating_add(count) > length {
        return Err(format!(
            "Unable to evaluate template language function 'substring': the index and length parameters must refer to a location within the string. The index parameter: '{from}', the length parameter: '{count}', the length of the string parameter: '{length}'."
        ));
    }
    Ok(part(a.get(0), from, count))
}

/// Objects are merged down to the leaves; what stands later wins.
fn merge(into: &mut Map<String, Value>, from: &Map<String, Value>, deep: bool) {
    for (name, value) in from {
        match (into.get_mut(name), value) {
            (Some(Value::Object(inner)), Value::Object(more)) if deep => merge(inner, more, deep),
            _ => {
                into.insert(name.clone(), value.clone());
            }
        }
    }
}

fn union(a: &Arguments<'_>) -> Value {
    if a.get(0).is_array() {
        let all = a.0.iter().filter_map(Value::as_array).flatten();
        let mut seen = HashSet::new();
        return Value::Array(all.filter(|value| seen.insert(*value)).cloned().collect());
    }
    let mut made = Map::new();
    for map in a.0.iter().filter_map(Value::as_object) {
        merge(&mut made, map, true);
    }
    Value::Object(made)
}

fn intersection(a: &Arguments<'_>) -> Value {
    if let Value::Object(first) = a.get(0) {
        let everywhere = |name: &String, value: &Value| {
            a.0.iter().skip(1).all(|other| other.get(name.as_str()) == Some(value))
        };
        let kept = first.iter().filter(|(name, value)| everywhere(name, value));
        return Value::Object(kept.map(|(name, value)| (name.clone(), value.clone())).collect());
    }
    let sets = a.0.iter().skip(1).map(|other| other.as_array().into_iter().flatten().collect());
    let sets: Vec<HashSet<&Value>> = sets.collect();
    let first = a.get(0).as_array().into_iter().flatten();
    Value::Array(first.filter(|value| sets.iter().all(|set| set.contains(value))).cloned().collect())
}

fn range(a: &Arguments<'_>) -> Made {
    let (from, count) = (a.number(0)?, a.count(1)?);
    if count > RANGE_MAX {
        return Err(format!("The 'count' of 'range' must not be greater than {RANGE_MAX}"));
    }
    let mut made = Vec::with_capacity(count);
    for step in 0..count {
        let next = i64::try_from(step).ok().and_then(|step| from.checked_add(step));
        made.push(Value::from(next.ok_or("The numbers of 'range' are too large")?));
    }
    Ok(Value::Array(made))
}

fn create_object(a: &Arguments<'_>) -> Made {
    if !a.0.len().is_multiple_of(2) {
        return Err("The function 'createObject' expects pairs of a name and a value".to_owned());
    }
    let pairs = a.0.chunks(2).filter_map(|pair| Some((text(pair.first()?), pair.get(1)?.clone())));
    Ok(Value::Object(pairs.collect()))
}

fn end(value: &Value, last: bool) -> Value {
    match value {
        Value::Array(list) => if last { list.last() } else { list.first() }.cloned().unwrap_or(Value::Null),
        other => {
            let whole = text(other);
            let letter = if last { whole.chars().next_back() } else { whole.chars().next() };
            Value::from(letter.map(String::from).unwrap_or_default())
        }
    }
}

fn length(value: &Value) -> Made {
    match value {
        Value::Array(list) => Ok(Value::from(list.len())),
        Value::Object(map) => Ok(Value::from(map.len())),
        Value::String(text) => Ok(Value::from(text.chars().count())),
        other => Err(format!("'{other}' has no length")),
    }
}

/// One member, by name without case, or by place.
pub(crate) fn member<'a>(of: &'a Value, name: &Value) -> Option<&'a Value> {
    match (of, name) {
        (Value::Array(list), Value::Number(_)) => list.get(usize::try_from(name.as_u64()?).ok()?),
        (Value::Object(map), Value::String(name)) => map
            .get(name)
            .or_else(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)),
        _ => None,
    }
}

fn try_get(a: &Arguments<'_>) -> Value {
    let found = a.0.iter().skip(1).try_fold(a.get(0), member);
    found.cloned().unwrap_or(Value::Null)
}

fn from_end(a: &Arguments<'_>) -> Result<Option<Value>, String> {
    let Value::Array(list) = a.get(0) else { return Err("The value is not a list".to_owned()) };
    let back = a.count(1)?;
    Ok(list.len().checked_sub(back).filter(|_| back > 0).and_then(|at| list.get(at)).cloned())
}

/// Objects have no order of their own: by name.
fn items(value: &Value) -> Value {
    let mut pairs: Vec<(&String, &Value)> = value.as_object().into_iter().flatten().collect();
    pairs.sort_by(|a, b| a.0.to_lowercase().cmp(&b.0.to_lowercase()));
    pairs.into_iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

pub(super) fn call(name: &str, a: &Arguments<'_>) -> Option<Made> {
    let one = a.get(0);
    Some(match name {
        "concat" => Ok(concat(a)),
        "length" => length(one),
        "array" => Ok(if one.is_array() { one.clone() } else { json!([one]) }),
        "createarray" => Ok(Value::Array(a.0.to_vec())),
        "createobject" => create_object(a),
        "union" => Ok(union(a)),
        "shallowmerge" => {
            let mut made = Map::new();
            for map in one.as_array().into_iter().flatten().filter_map(Value::as_object) {
                merge(&mut made, map, false);
            }
            Ok(Value::Object(made))
        }
        "intersection" => Ok(intersection(a)),
        "first" => Ok(end(one, false)),
        "last" => Ok(end(one, true)),
        "take" => a.number(1).map(|n| part(one, 0, usize::try_from(n).unwrap_or(0))),
        "skip" => a.number(1).map(|n| part(one, usize::try_from(n).unwrap_or(0), usize::MAX)),
        "substring" => substring(a),
        "range" => range(a),
        "items" => Ok(items(one)),
        "objectkeys" => {
            let Value::Array(list) = items(one) else { return Some(Ok(json!([]))) };
            Ok(list.into_iter().map(|mut item| item["key"].take()).collect())
        }
        "flatten" => Ok(Value::Array(
            one.as_array()
                .into_iter()
                .flatten()
                .flat_map(|v| if v.is_array() { list(v) } else { vec![v.clone()] })
                .collect(),
        )),
        "tryget" => Ok(try_get(a)),
        "indexfromend" => {
            from_end(a).and_then(|found| found.ok_or_else(|| "The index is outside of the list".to_owned()))
        }
        "tryindexfromend" => from_end(a).map(|found| found.unwrap_or(Value::Null)),
        "json" => serde_json::from_str(&text(one)).map_err(|e| format!("The value is not JSON: {e}")),
        _ => return None,
    })
}
