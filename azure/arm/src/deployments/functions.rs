//! Template functions that need nothing but their arguments.

use serde_json::{Map, Value, json};

/// Text of a value, as `string()` and `concat()` make it.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn number(value: &Value) -> Result<i64, String> {
    value
        .as_i64()
        .or_else(|| value.as_str()?.parse().ok())
        .ok_or_else(|| format!("'{value}' is not an integer"))
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(l) => l.len(),
        Value::Object(o) => o.len(),
        Value::String(s) => s.chars().count(),
        _ => 0,
    }
}

fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a == b)
}

/// Thirteen letters and digits that depend on the arguments only.
fn unique(arguments: &[Value]) -> String {
    let joined: Vec<String> = arguments.iter().map(text).collect();
    let bytes = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, joined.join("-").as_bytes());
    let letters = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut number = bytes.as_u128();
    let mut made = String::new();
    for _ in 0..13 {
        made.push(letters[(number % 32) as usize] as char);
        number /= 32;
    }
    made
}

fn joined(arguments: &[Value]) -> Value {
    if arguments.first().is_some_and(Value::is_array) {
        return Value::Array(arguments.iter().flat_map(list).collect());
    }
    Value::from(arguments.iter().map(text).collect::<String>())
}

fn format(arguments: &[Value]) -> String {
    let mut made = arguments.first().map(text).unwrap_or_default();
    for (index, value) in arguments.iter().skip(1).enumerate() {
        made = made.replace(&format!("{{{index}}}"), &text(value));
    }
    made.replace("{{", "{").replace("}}", "}")
}

fn part(value: &Value, from: usize, count: usize) -> Value {
    match value {
        Value::Array(l) => Value::Array(l.iter().skip(from).take(count).cloned().collect()),
        other => Value::from(text(other).chars().skip(from).take(count).collect::<String>()),
    }
}

fn merge(arguments: &[Value]) -> Value {
    if arguments.first().is_some_and(Value::is_array) {
        let mut made: Vec<Value> = Vec::new();
        for value in arguments.iter().flat_map(list) {
            if !made.contains(&value) {
                made.push(value);
            }
        }
        return Value::Array(made);
    }
    let mut made = Map::new();
    for map in arguments.iter().filter_map(Value::as_object) {
        made.extend(map.clone());
    }
    Value::Object(made)
}

fn contains(whole: &Value, piece: &Value) -> bool {
    match whole {
        Value::Array(l) => l.iter().any(|v| same(v, piece)),
        Value::Object(o) => o.keys().any(|k| k.eq_ignore_ascii_case(&text(piece))),
        other => text(other).contains(&text(piece)),
    }
}

fn arithmetic(name: &str, a: i64, b: i64) -> Result<i64, String> {
    let made = match name {
        "add" => a.checked_add(b),
        "sub" => a.checked_sub(b),
        "mul" => a.checked_mul(b),
        "div" => a.checked_div(b),
        _ => a.checked_rem(b),
    };
    made.ok_or_else(|| format!("'{name}({a}, {b})' has no result"))
}

fn compare(name: &str, a: &Value, b: &Value) -> bool {
    let order = match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => text(a).cmp(&text(b)),
    };
    match name {
        "less" => order.is_lt(),
        "lessorequals" => order.is_le(),
        "greater" => order.is_gt(),
        _ => order.is_ge(),
    }
}

fn on_text(name: &str, a: &[Value]) -> Option<Value> {
    let one = a.first().map(text).unwrap_or_default();
    let two = a.get(1).map(text).unwrap_or_default();
    let at = |found: Option<usize>| Value::from(found.map_or(-1, |n| i64::try_from(n).unwrap_or(-1)));
    Some(match name {
        "tolower" => Value::from(one.to_lowercase()),
        "toupper" => Value::from(one.to_uppercase()),
        "trim" => Value::from(one.trim()),
        "replace" => Value::from(one.replace(&two, &a.get(2).map(text).unwrap_or_default())),
        "split" => {
            let signs = a
                .get(1)
                .and_then(Value::as_array)
                .map_or_else(|| vec![two.clone()], |l| l.iter().map(text).collect());
            let mut pieces = vec![one];
            for sign in signs {
                pieces = pieces
                    .iter()
                    .flat_map(|p| p.split(&sign).map(str::to_owned).collect::<Vec<_>>())
                    .collect();
            }
            json!(pieces)
        }
        "join" => Value::from(
            a.first().map(list).unwrap_or_default().iter().map(text).collect::<Vec<_>>().join(&two),
        ),
        "startswith" => Value::from(one.to_lowercase().starts_with(&two.to_lowercase())),
        "endswith" => Value::from(one.to_lowercase().ends_with(&two.to_lowercase())),
        "indexof" => at(one.to_lowercase().find(&two.to_lowercase())),
        "lastindexof" => at(one.to_lowercase().rfind(&two.to_lowercase())),
        "string" => Value::from(one),
        "format" => Value::from(format(a)),
        "uri" => Value::from(format!("{}/{}", one.trim_end_matches('/'), two.trim_start_matches('/'))),
        "uniquestring" => Value::from(unique(a)),
        "guid" => {
            let all: Vec<String> = a.iter().map(text).collect();
            Value::from(uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_URL, all.join("-").as_bytes()).to_string())
        }
        "padleft" => {
            let width = a
                .get(1)
                .and_then(Value::as_u64)
                .and_then(|n| usize::try_from(n).ok())
                .unwrap_or(0)
                .min(4_096);
            let fill = a.get(2).and_then(|f| text(f).chars().next()).unwrap_or(' ');
            let missing = width.saturating_sub(one.chars().count());
            Value::from(format!("{}{one}", fill.to_string().repeat(missing)))
        }
        _ => return None,
    })
}

fn on_logic(name: &str, a: &[Value]) -> Option<Value> {
    let truth = |v: &Value| v.as_bool().unwrap_or_else(|| text(v).eq_ignore_ascii_case("true"));
    let none = Value::Null;
    let (one, two) = (a.first().unwrap_or(&none), a.get(1).unwrap_or(&none));
    Some(match name {
        "and" => Value::from(a.iter().all(truth)),
        "or" => Value::from(a.iter().any(truth)),
        "not" => Value::from(!truth(one)),
        "bool" => Value::from(truth(one)),
        "true" => Value::from(true),
        "false" => Value::from(false),
        "null" => Value::Null,
        "equals" => Value::from(match (one.as_str(), two.as_str()) {
            (Some(x), Some(y)) => x.eq_ignore_ascii_case(y),
            _ => same(one, two),
        }),
        "less" | "lessorequals" | "greater" | "greaterorequals" => Value::from(compare(name, one, two)),
        "empty" => Value::from(one.is_null() || (size(one) == 0 && !one.is_number() && !one.is_boolean())),
        "coalesce" => a.iter().find(|v| !v.is_null()).cloned().unwrap_or(Value::Null),
        "contains" => Value::from(contains(one, two)),
        _ => return None,
    })
}

fn on_lists(name: &str, a: &[Value]) -> Option<Result<Value, String>> {
    let none = Value::Null;
    let one = a.first().unwrap_or(&none);
    let count =
        |i: usize| a.get(i).and_then(Value::as_i64).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    Some(Ok(match name {
        "concat" => joined(a),
        "length" => Value::from(size(one)),
        "array" => {
            if one.is_array() {
                one.clone()
            } else {
                json!([one])
            }
        }
        "createarray" => Value::Array(a.to_vec()),
        "createobject" => Value::Object(
            a.chunks(2).map(|c| (text(&c[0]), c.get(1).cloned().unwrap_or(Value::Null))).collect(),
        ),
        "union" => merge(a),
        "intersection" if one.is_array() => Value::Array(
            list(one).into_iter().filter(|v| a.iter().skip(1).all(|l| list(l).contains(v))).collect(),
        ),
        "first" => match one {
            Value::Array(l) => l.first().cloned().unwrap_or(Value::Null),
            other => part(other, 0, 1),
        },
        "last" => match one {
            Value::Array(l) => l.last().cloned().unwrap_or(Value::Null),
            other => Value::from(text(other).chars().last().map(String::from).unwrap_or_default()),
        },
        "take" => part(one, 0, count(1)),
        "skip" => part(one, count(1), usize::MAX),
        "substring" => part(one, count(1), if a.len() > 2 { count(2) } else { usize::MAX }),
        "range" => json!(
            (0..count(1).min(10_000))
                .map(|i| one.as_i64().unwrap_or(0) + i64::try_from(i).unwrap_or(0))
                .collect::<Vec<_>>()
        ),
        "items" => Value::Array(
            one.as_object()
                .map(|o| o.iter().map(|(k, v)| json!({"key": k, "value": v})).collect())
                .unwrap_or_default(),
        ),
        "json" => return Some(serde_json::from_str(&text(one)).map_err(|e| e.to_string())),
        _ => return None,
    }))
}

/// Calls a function; `None`: there is none of this name here.
pub(crate) fn call(name: &str, a: &[Value]) -> Option<Result<Value, String>> {
    if let Some(found) = on_text(name, a).or_else(|| on_logic(name, a)) {
        return Some(Ok(found));
    }
    let pair = || {
        Ok::<_, String>((
            number(a.first().unwrap_or(&Value::Null))?,
            number(a.get(1).unwrap_or(&Value::Null))?,
        ))
    };
    match name {
        "add" | "sub" | "mul" | "div" | "mod" => {
            Some(pair().and_then(|(x, y)| arithmetic(name, x, y)).map(Value::from))
        }
        "int" => Some(number(a.first().unwrap_or(&Value::Null)).map(Value::from)),
        "min" | "max" => {
            let all: Vec<Value> = if a.len() == 1 { list(&a[0]) } else { a.to_vec() };
            let numbers: Result<Vec<i64>, String> = all.iter().map(number).collect();
            Some(numbers.map(|n| {
                if name == "min" { n.into_iter().min() } else { n.into_iter().max() }
                    .map_or(Value::Null, Value::from)
            }))
        }
        _ => on_lists(name, a),
    }
}

#[cfg(test)]
mod tests {
    use super::call;
    use serde_json::json;

    #[test]
    fn functions() {
        let table = [
            ("concat", json!(["a", 1, "b"]), json!("a1b")),
            ("concat", json!([[1], [2]]), json!([1, 2])),
            ("replace", json!(["a-b", "-", ""]), json!("ab")),
            ("substring", json!(["hello", 1, 3]), json!("ell")),
            ("split", json!(["a/b", "/"]), json!(["a", "b"])),
            ("if", json!([true, 1, 2]), json!(null)),
            ("equals", json!(["A", "a"]), json!(true)),
            ("empty", json!([""]), json!(true)),
            ("contains", json!([{"Key": 1}, "key"]), json!(true)),
            ("format", json!(["{0}-{1}", "x", 2]), json!("x-2")),
            ("union", json!([{"a": 1}, {"b": 2}]), json!({"a": 1, "b": 2})),
            ("add", json!([2, 3]), json!(5)),
            ("range", json!([5, 3]), json!([5, 6, 7])),
            ("padLeft", json!(["7", 3, "0"]), json!("007")),
        ];
        for (name, arguments, expected) in table {
            let made = call(&name.to_ascii_lowercase(), arguments.as_array().unwrap());
            match made {
                Some(value) => assert_eq!(value.unwrap(), expected, "{name}"),
                None => assert_eq!(name, "if", "`if` is lazy and lives elsewhere"),
            }
        }
        assert!(call("div", &[json!(1), json!(0)]).unwrap().is_err());
    }
}
