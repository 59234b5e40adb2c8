//! Regular expressions, in RE2's notation.

use std::sync::Arc;

use regex::Regex;

use super::Style::{Global, Member};
use super::{Given, Row, Run};
use crate::error::EvalError;
use crate::value::{Text, Value};

const MATCHES: Run = |_, args| with(args, |regex, text, _| Ok(Value::Bool(regex.is_match(text))));
const FIND: Run = |_, args| {
    with(args, |regex, text, _| {
        Ok(Value::text(regex.find(text).map(|found| found.as_str()).unwrap_or_default()))
    })
};
const FIND_ALL: Run = |_, args| {
    with(args, |regex, text, limit| {
        let found = regex.find_iter(text).take(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Value::list(found.map(|found| Value::text(found.as_str())).collect()))
    })
};

pub(super) const ROWS: &[Row] = &[
    Row("matches", "matches", Global, "string, string -> bool", MATCHES),
    Row("matches", "matches_string", Member, "string, string -> bool", MATCHES),
    Row("find", "string_find_string", Member, "string, string -> string", FIND),
    Row("findAll", "string_find_all_string", Member, "string, string -> list(string)", FIND_ALL),
    Row("findAll", "string_find_all_string_int", Member, "string, string, int -> list(string)", FIND_ALL),
];

/// Compiles a pattern of an expression.
pub(crate) fn compile(pattern: &str) -> Result<Arc<Regex>, String> {
    api_model::pattern::compile(pattern).map(Arc::new)
}

fn with<'a>(args: &[Value<'a>], run: impl Fn(&Regex, &str, i64) -> Given<'a>) -> Given<'a> {
    let (text, pattern, limit): (&Text<'a>, &Text<'a>, i64) = match args {
        [Value::String(text), Value::String(pattern)] => (text, pattern, -1),
        [Value::String(text), Value::String(pattern), Value::Int(limit)] => (text, pattern, *limit),
        _ => return Err(EvalError::no_overload()),
    };
    let regex = compile(pattern.as_str())
        .map_err(|why| EvalError::failed(format!("error parsing regexp: {why}: `{}`", pattern.as_str())))?;
    run(&regex, text.as_str(), limit)
}

/// The call with a pattern that was compiled with the expression; `None` when it is none of these.
pub(crate) fn run<'a>(function: &str, regex: &Regex, args: &[Value<'a>]) -> Option<Given<'a>> {
    let text = args.first()?.as_str()?;
    Some(match function {
        "matches" => Ok(Value::Bool(regex.is_match(text))),
        "find" => Ok(Value::text(regex.find(text).map(|found| found.as_str()).unwrap_or_default())),
        "findAll" => {
            let limit = match args.get(2) {
                Some(Value::Int(limit)) => usize::try_from(*limit).unwrap_or(usize::MAX),
                _ => usize::MAX,
            };
            Ok(Value::list(
                regex.find_iter(text).take(limit).map(|found| Value::text(found.as_str())).collect(),
            ))
        }
        _ => return None,
    })
}
