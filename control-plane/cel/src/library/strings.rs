//! Texts. Positions count characters.

use super::Style::{Global, Member};
use super::{Given, Row, Run};
use crate::error::EvalError;
use crate::eval::Budget;
use crate::value::Value;

const CONTAINS: Run = |_, args| texts(args, |a, b| a.contains(b));
const STARTS: Run = |_, args| texts(args, |a, b| a.starts_with(b));
const ENDS: Run = |_, args| texts(args, |a, b| a.ends_with(b));
const SUBSTRING: Run = |_, args| match args {
    [Value::String(text), Value::Int(start)] => substring(text.as_str(), *start, None),
    [Value::String(text), Value::Int(start), Value::Int(end)] => substring(text.as_str(), *start, Some(*end)),
    _ => Err(EvalError::no_overload()),
};
const INDEX_OF: Run = |_, args| match args {
    [Value::String(text), Value::String(part)] => index_of(text.as_str(), part.as_str(), 0),
    [Value::String(text), Value::String(part), Value::Int(from)] => {
        index_of(text.as_str(), part.as_str(), *from)
    }
    _ => Err(EvalError::no_overload()),
};
const LAST_INDEX_OF: Run = |_, args| match args {
    [Value::String(text), Value::String(part)] => last_index_of(text.as_str(), part.as_str(), None),
    [Value::String(text), Value::String(part), Value::Int(to)] => {
        last_index_of(text.as_str(), part.as_str(), Some(*to))
    }
    _ => Err(EvalError::no_overload()),
};
const REPLACE: Run = |budget, args| match args {
    [Value::String(text), Value::String(old), Value::String(new)] => {
        replace(budget, text.as_str(), old.as_str(), new.as_str(), -1)
    }
    [Value::String(text), Value::String(old), Value::String(new), Value::Int(count)] => {
        replace(budget, text.as_str(), old.as_str(), new.as_str(), *count)
    }
    _ => Err(EvalError::no_overload()),
};
const SPLIT: Run = |budget, args| match args {
    [Value::String(text), Value::String(by)] => split(budget, text.as_str(), by.as_str(), -1),
    [Value::String(text), Value::String(by), Value::Int(count)] => {
        split(budget, text.as_str(), by.as_str(), *count)
    }
    _ => Err(EvalError::no_overload()),
};
const JOIN: Run = |budget, args| match args {
    [Value::List(list)] => join(budget, list, ""),
    [Value::List(list), Value::String(by)] => join(budget, list, by.as_str()),
    _ => Err(EvalError::no_overload()),
};

pub(super) const ROWS: &[Row] = &[
    Row("contains", "contains_string", Member, "string, string -> bool", CONTAINS),
    Row("startsWith", "starts_with_string", Member, "string, string -> bool", STARTS),
    Row("endsWith", "ends_with_string", Member, "string, string -> bool", ENDS),
    Row("charAt", "string_char_at_int", Member, "string, int -> string", |_, args| match args {
        [Value::String(text), Value::Int(at)] => char_at(text.as_str(), *at),
        _ => Err(EvalError::no_overload()),
    }),
    Row("indexOf", "string_index_of_string", Member, "string, string -> int", INDEX_OF),
    Row("indexOf", "string_index_of_string_int", Member, "string, string, int -> int", INDEX_OF),
    Row("lastIndexOf", "string_last_index_of_string", Member, "string, string -> int", LAST_INDEX_OF),
    Row(
        "lastIndexOf",
        "string_last_index_of_string_int",
        Member,
        "string, string, int -> int",
        LAST_INDEX_OF,
    ),
    Row("substring", "string_substring_int", Member, "string, int -> string", SUBSTRING),
    Row("substring", "string_substring_int_int", Member, "string, int, int -> string", SUBSTRING),
    Row("replace", "string_replace_string_string", Member, "string, string, string -> string", REPLACE),
    Row(
        "replace",
        "string_replace_string_string_int",
        Member,
        "string, string, string, int -> string",
        REPLACE,
    ),
    Row("split", "string_split_string", Member, "string, string -> list(string)", SPLIT),
    Row("split", "string_split_string_int", Member, "string, string, int -> list(string)", SPLIT),
    Row("join", "list_join", Member, "list(string) -> string", JOIN),
    Row("join", "list_join_string", Member, "list(string), string -> string", JOIN),
    Row("lowerAscii", "string_lower_ascii", Member, "string -> string", |_, args| {
        one(args, |text| text.to_ascii_lowercase())
    }),
    Row("upperAscii", "string_upper_ascii", Member, "string -> string", |_, args| {
        one(args, |text| text.to_ascii_uppercase())
    }),
    Row("trim", "string_trim", Member, "string -> string", |_, args| {
        one(args, |text| text.trim().to_owned())
    }),
    Row("jsonpatch.escapeKey", "jsonpatch_escapeKey", Global, "string -> string", |_, args| {
        one(args, |text| text.replace('~', "~0").replace('/', "~1"))
    }),
];

fn texts<'a>(args: &[Value<'a>], holds: fn(&str, &str) -> bool) -> Given<'a> {
    match args {
        [Value::String(a), Value::String(b)] => Ok(Value::Bool(holds(a.as_str(), b.as_str()))),
        _ => Err(EvalError::no_overload()),
    }
}

fn one<'a>(args: &[Value<'a>], made: fn(&str) -> String) -> Given<'a> {
    match args {
        [Value::String(text)] => Ok(Value::text(made(text.as_str()))),
        _ => Err(EvalError::no_overload()),
    }
}

fn outside(at: i64) -> EvalError {
    EvalError::failed(format!("index out of range: {at}"))
}

/// The byte at which a character begins; the end for the one behind the last.
fn byte_at(text: &str, at: i64) -> Option<usize> {
    let at = usize::try_from(at).ok()?;
    if text.is_ascii() {
        return (at <= text.len()).then_some(at);
    }
    text.char_indices().map(|(byte, _)| byte).chain([text.len()]).nth(at)
}

fn char_at<'a>(text: &str, at: i64) -> Given<'a> {
    let byte = byte_at(text, at).ok_or_else(|| outside(at))?;
    let found = text.get(byte..).and_then(|rest| rest.chars().next());
    Ok(Value::text(found.map(String::from).unwrap_or_default()))
}

fn substring<'a>(text: &str, start: i64, end: Option<i64>) -> Given<'a> {
    let from = byte_at(text, start).ok_or_else(|| outside(start))?;
    let to = match end {
        None => text.len(),
        Some(end) => byte_at(text, end).ok_or_else(|| outside(end))?,
    };
    if from > to {
        let end = end.unwrap_or_default();
        return Err(EvalError::failed(format!("invalid substring range. start: {start}, end: {end}")));
    }
    Ok(Value::text(text.get(from..to).unwrap_or_default()))
}

fn index_of<'a>(text: &str, part: &str, from: i64) -> Given<'a> {
    if part.is_empty() {
        return Ok(Value::Int(from));
    }
    let Some(start) = byte_at(text, from) else {
        return if from < 0 { Err(outside(from)) } else { Ok(Value::Int(-1)) };
    };
    let found = text.get(start..).and_then(|rest| rest.find(part)).map(|at| start + at);
    Ok(Value::Int(found.map_or(-1, |at| characters(text, at))))
}

fn last_index_of<'a>(text: &str, part: &str, to: Option<i64>) -> Given<'a> {
    let length = characters(text, text.len());
    if part.is_empty() {
        return Ok(Value::Int(to.unwrap_or(length)));
    }
    if let Some(to) = to.filter(|to| *to < 0) {
        return Err(outside(to));
    }
    if length < characters(part, part.len()) {
        return Ok(Value::Int(-1));
    }
    let last = to.and_then(|to| byte_at(text, to)).unwrap_or(text.len());
    let end = (last + part.len()).min(text.len());
    let end = (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let found = text.get(..end).and_then(|head| head.rfind(part)).filter(|at| *at <= last);
    Ok(Value::Int(found.map_or(-1, |at| characters(text, at))))
}

fn characters(text: &str, byte: usize) -> i64 {
    text.get(..byte).map_or(0, |head| i64::try_from(head.chars().count()).unwrap_or(i64::MAX))
}

fn replace<'a>(budget: &mut Budget, text: &str, old: &str, new: &str, count: i64) -> Given<'a> {
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    let most = (text.len() / old.len().max(1)).saturating_add(1).min(limit);
    budget.work((text.len() as u64).saturating_add((most as u64).saturating_mul(new.len() as u64)))?;
    Ok(Value::text(text.replacen(old, new, limit)))
}

fn split<'a>(budget: &mut Budget, text: &str, by: &str, count: i64) -> Given<'a> {
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    budget.work(text.len() as u64)?;
    let parts: Vec<Value<'a>> = if limit == 0 {
        Vec::new()
    } else if by.is_empty() {
        let mut rest = text;
        let mut parts = Vec::new();
        while let Some(c) = rest.chars().next() {
            if parts.len() + 1 == limit {
                parts.push(Value::text(rest));
                break;
            }
            let (head, tail) = rest.split_at(c.len_utf8());
            parts.push(Value::text(head));
            rest = tail;
        }
        parts
    } else {
        text.splitn(limit, by).map(Value::text).collect()
    };
    Ok(Value::list(parts))
}

fn join<'a>(budget: &mut Budget, list: &crate::value::List<'a>, by: &str) -> Given<'a> {
    let mut out = String::new();
    for (position, item) in list.iter().enumerate() {
        let item = item?;
        let text = item.as_str().ok_or_else(EvalError::no_overload)?;
        budget.work((text.len() + by.len()) as u64)?;
        if position > 0 {
            out.push_str(by);
        }
        out.push_str(text);
    }
    Ok(Value::text(out))
}
