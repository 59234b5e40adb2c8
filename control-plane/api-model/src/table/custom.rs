//! Rows of custom kinds: each column is a path into the object.

use super::cells::{Cells, Row, shown};
use crate::duration;
use crate::resource::Column;
use serde_json::Value;

pub(super) fn cells(columns: &[Column], row: &Row<'_>) -> Cells {
    columns.iter().map(|column| cell(column, row)).collect()
}

fn cell(column: &Column, row: &Row<'_>) -> Value {
    if column.json_path.is_empty() {
        return row.name();
    }
    let found = find(row.object, &column.json_path);
    match (column.kind.as_str(), &found[..]) {
        (_, [] | [Value::Null]) => Value::Null,
        ("date", [Value::String(time)]) => duration::since(Some(time), row.now).into(),
        ("integer" | "number" | "boolean", [one]) => (*one).clone(),
        (_, [one]) => shown(one).into(),
        (_, many) => many.iter().map(|v| shown(v)).collect::<Vec<_>>().join(",").into(),
    }
}

/// The values at a simple JSONPath: fields, `['key']`, `[3]`, `[*]`, and filters `[?(@.a=="b")]`.
fn find<'a>(object: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![object];
    let mut rest = path.trim_start_matches('$');
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            if rest.starts_with('[') {
                continue;
            }
            let (name, after) = field(rest);
            found = found.into_iter().filter_map(|v| v.get(&name)).collect();
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let Some(end) = closing(after) else { return Vec::new() };
            let inside = &after[..end];
            rest = &after[end + 1..];
            found = found.into_iter().flat_map(|v| bracket(v, inside)).collect();
        } else {
            return Vec::new();
        }
    }
    found
}

/// A field's name, `\.` being a dot in it, and what follows.
fn field(text: &str) -> (String, &str) {
    let (mut name, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '.' | '[' if !escaped => return (name, &text[at..]),
            c => {
                name.push(c);
                escaped = false;
            }
        }
    }
    (name, "")
}

/// Where the bracket ends, texts in quotes left alone.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, ']') => return Some(at),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            _ => {}
        }
    }
    None
}

fn bracket<'a>(value: &'a Value, inside: &str) -> Vec<&'a Value> {
    if inside == "*" {
        return match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        };
    }
    if let Some(filter) = inside.strip_prefix("?(@").and_then(|f| f.strip_suffix(')')) {
        let Some((path, wanted)) = filter.split_once("==") else { return Vec::new() };
        let wanted = wanted.trim().trim_matches(['"', '\'']);
        let holds = |v: &&Value| find(v, path.trim()).first().is_some_and(|f| shown(f) == wanted);
        return value.as_array().into_iter().flatten().filter(holds).collect();
    }
    let found = match inside.parse::<i64>() {
        Ok(index) => value.as_array().and_then(|items| {
            let index = if index < 0 { index + items.len() as i64 } else { index };
            items.get(usize::try_from(index).ok()?)
        }),
        Err(_) => value.get(inside.trim_matches(['"', '\''])),
    };
    found.into_iter().collect()
}
