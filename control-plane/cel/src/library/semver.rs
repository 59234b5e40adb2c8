//! Semantic versions.

use std::sync::Arc;

use semver::Version;

use super::Style::{Global, Member};
use super::{Given, Row, Run};
use crate::error::EvalError;
use crate::value::{Opaque, Value};

const PARSE: Run = |_, args| match args {
    [Value::String(text)] => parse(text.as_str(), false).map(made),
    [Value::String(text), Value::Bool(normalize)] => parse(text.as_str(), *normalize).map(made),
    _ => Err(EvalError::no_overload()),
};
const IS: Run = |_, args| match args {
    [Value::String(text)] => Ok(Value::Bool(parse(text.as_str(), false).is_ok())),
    [Value::String(text), Value::Bool(normalize)] => {
        Ok(Value::Bool(parse(text.as_str(), *normalize).is_ok()))
    }
    _ => Err(EvalError::no_overload()),
};

pub(super) const ROWS: &[Row] = &[
    Row("semver", "string_to_semver", Global, "string -> semver", PARSE),
    Row("semver", "string_bool_to_semver", Global, "string, bool -> semver", PARSE),
    Row("isSemver", "is_semver_string", Global, "string -> bool", IS),
    Row("isSemver", "is_semver_string_bool", Global, "string, bool -> bool", IS),
    Row("major", "semver_major", Member, "semver -> int", |_, args| part(args, |version| version.major)),
    Row("minor", "semver_minor", Member, "semver -> int", |_, args| part(args, |version| version.minor)),
    Row("patch", "semver_patch", Member, "semver -> int", |_, args| part(args, |version| version.patch)),
    Row("isLessThan", "semver_is_less_than", Member, "semver, semver -> bool", |_, args| {
        Ok(Value::Bool(one(args.first())?.cmp_precedence(one(args.get(1))?).is_lt()))
    }),
    Row("isGreaterThan", "semver_is_greater_than", Member, "semver, semver -> bool", |_, args| {
        Ok(Value::Bool(one(args.first())?.cmp_precedence(one(args.get(1))?).is_gt()))
    }),
    Row("compareTo", "semver_compare_to", Member, "semver, semver -> int", |_, args| {
        Ok(Value::Int(one(args.first())?.cmp_precedence(one(args.get(1))?) as i64))
    }),
];

fn made<'a>(version: Version) -> Value<'a> {
    Value::Opaque(Arc::new(Opaque::Semver(version)))
}

/// `normalize`: a `v` before, missing minor and patch, and leading zeros are accepted.
fn parse(text: &str, normalize: bool) -> Result<Version, EvalError> {
    let normalized;
    let mut version = text;
    if normalize {
        let bare = text.trim().trim_start_matches('v');
        let end = bare.find(['-', '+']).unwrap_or(bare.len());
        let (numbers, rest) = bare.split_at_checked(end).unwrap_or((bare, ""));
        let mut parts: Vec<&str> = numbers
            .split('.')
            .map(|part| match part.trim_start_matches('0') {
                "" if !part.is_empty() => "0",
                part => part,
            })
            .collect();
        while parts.len() < 3 {
            parts.push("0");
        }
        normalized = format!("{}{rest}", parts.join("."));
        version = &normalized;
    }
    Version::parse(version).map_err(|error| EvalError::failed(format!("{error}: {text:?}")))
}

fn one<'v>(value: Option<&'v Value<'_>>) -> Result<&'v Version, EvalError> {
    match value {
        Some(Value::Opaque(opaque)) => match &**opaque {
            Opaque::Semver(version) => Ok(version),
            _ => Err(EvalError::no_overload()),
        },
        _ => Err(EvalError::no_overload()),
    }
}

fn part<'a>(args: &[Value<'a>], of: fn(&Version) -> u64) -> Given<'a> {
    Ok(Value::Int(i64::try_from(of(one(args.first())?)).unwrap_or(i64::MAX)))
}
