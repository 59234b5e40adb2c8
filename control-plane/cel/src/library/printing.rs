//! Values as texts: `string()`, `format()`, `strings.quote()`.

use super::Style::{Global, Member};
use super::{Given, Row};
use crate::error::EvalError;
use crate::eval::Budget;
use crate::value::{List, Value, time};

/// Digits behind the point at most.
const PRECISION_MAX: usize = 1000;

pub(super) const ROWS: &[Row] = &[
    Row("format", "string_format", Member, "string, list(dyn) -> string", |budget, args| match args {
        [Value::String(text), Value::List(values)] => format(budget, text.as_str(), values),
        _ => Err(EvalError::no_overload()),
    }),
    Row("strings.quote", "strings_quote", Global, "string -> string", |_, args| match args {
        [Value::String(text)] => Ok(Value::text(quote(text.as_str()))),
        _ => Err(EvalError::no_overload()),
    }),
];

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A simple value as `string()` gives it.
pub(crate) fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Uint(value) => value.to_string(),
        Value::Double(value) => double(*value),
        Value::String(text) => text.as_str().to_owned(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Timestamp(at) => at.to_string(),
        Value::Duration(nanos) => time::format_duration(*nanos),
        Value::Type(of) => of.name().to_owned(),
        other => other.type_of().name().to_owned(),
    }
}

/// The shortest text that reads as the same number, with an exponent when it is very large or small.
fn double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value != 0.0 && !(1e-4..1e21).contains(&value.abs()) {
        return exponent(&format!("{value:e}"));
    }
    value.to_string()
}

/// Two digits and a sign at least, as Go writes exponents.
fn exponent(text: &str) -> String {
    let Some((number, power)) = text.split_once('e') else { return text.to_owned() };
    let (sign, digits) = match power.strip_prefix('-') {
        Some(digits) => ('-', digits),
        None => ('+', power),
    };
    format!("{number}e{sign}{digits:0>2}")
}

fn format<'a>(budget: &mut Budget, text: &str, values: &List<'a>) -> Given<'a> {
    let mut out = String::new();
    let mut next = 0;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if rest.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut precision = None;
        if rest.next_if_eq(&'.').is_some() {
            let mut digits = 0usize;
            while let Some(digit) = rest.peek().and_then(|c| c.to_digit(10)) {
                digits = digits.saturating_mul(10).saturating_add(digit as usize);
                rest.next();
            }
            if digits > PRECISION_MAX {
                return Err(EvalError::failed(format!(
                    "precision {digits} exceeds maximum allowed precision of {PRECISION_MAX}"
                )));
            }
            precision = Some(digits);
        }
        let verb = rest.next().ok_or_else(|| {
            EvalError::failed("could not parse formatting clause: unexpected end of string")
        })?;
        let value =
            values.get(next).ok_or_else(|| EvalError::failed(format!("index {next} out of range")))??;
        next += 1;
        let part = clause(verb, precision, &value, budget)?;
        budget.work(part.len() as u64)?;
        out.push_str(&part);
    }
    if next < values.len() {
        return Err(EvalError::failed(format!(
            "too many arguments supplied to string.format (expected {next}, got {})",
            values.len()
        )));
    }
    Ok(Value::text(out))
}

fn clause(
    verb: char,
    precision: Option<usize>,
    value: &Value<'_>,
    budget: &mut Budget,
) -> Result<String, EvalError> {
    let wrong = |what: &str| {
        let found = value.type_of();
        Err(EvalError::failed(format!("error during formatting: {what}, was given {}", found.name())))
    };
    let number = match value {
        Value::Double(n) => Some(*n),
        Value::Int(n) => Some(*n as f64),
        Value::Uint(n) => Some(*n as f64),
        _ => None,
    };
    match (verb, value) {
        ('s', value) => spelled(value, budget),
        ('d', Value::Int(n)) => Ok(n.to_string()),
        ('d', Value::Uint(n)) => Ok(n.to_string()),
        ('d', Value::Double(n)) if !n.is_finite() => Ok(special(*n)),
        ('d', _) => wrong("decimal clause can only be used on integers"),
        ('f', _) => match number {
            Some(n) if n.is_finite() => Ok(format!("{n:.*}", precision.unwrap_or(6))),
            Some(n) => Ok(special(n)),
            None => wrong("fixed-point clause can only be used on doubles"),
        },
        ('e', _) => match number {
            Some(n) if n.is_finite() => Ok(exponent(&format!("{n:.*e}", precision.unwrap_or(6)))),
            Some(n) => Ok(special(n)),
            None => wrong("scientific clause can only be used on doubles"),
        },
        ('b', Value::Bool(value)) => Ok(u8::from(*value).to_string()),
        ('b', Value::Int(n)) => Ok(signed(*n, format!("{:b}", n.unsigned_abs()))),
        ('b', Value::Uint(n)) => Ok(format!("{n:b}")),
        ('b', _) => wrong("only integers and bools can be formatted as binary"),
        ('o', Value::Int(n)) => Ok(signed(*n, format!("{:o}", n.unsigned_abs()))),
        ('o', Value::Uint(n)) => Ok(format!("{n:o}")),
        ('o', _) => wrong("octal clause can only be used on integers"),
        ('x' | 'X', _) => {
            let text = match value {
                Value::Int(n) => signed(*n, format!("{:x}", n.unsigned_abs())),
                Value::Uint(n) => format!("{n:x}"),
                Value::String(text) => hex(text.as_str().as_bytes()),
                Value::Bytes(bytes) => hex(bytes),
                _ => return wrong("only integers, byte buffers, and strings can be formatted as hex"),
            };
            Ok(if verb == 'X' { text.to_ascii_uppercase() } else { text })
        }
        (verb, _) => Err(EvalError::failed(format!(
            "could not parse formatting clause: unrecognized formatting clause {verb:?}"
        ))),
    }
}

fn special(value: f64) -> String {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
    .to_owned()
}

fn signed(value: i64, magnitude: String) -> String {
    if value < 0 { format!("-{magnitude}") } else { magnitude }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn spelled(value: &Value<'_>, budget: &mut Budget) -> Result<String, EvalError> {
    budget.work(1)?;
    match value {
        Value::List(list) => {
            let mut parts = Vec::with_capacity(list.len());
            for item in list.iter() {
                parts.push(spelled(&item?, budget)?);
            }
            Ok(format!("[{}]", parts.join(", ")))
        }
        Value::Map(map) => {
            let mut parts = Vec::with_capacity(map.len());
            for (key, value) in map.entries() {
                parts.push(format!("{}: {}", spelled(&key, budget)?, spelled(&value?, budget)?));
            }
            parts.sort();
            Ok(format!("{{{}}}", parts.join(", ")))
        }
        Value::Double(n) if !n.is_finite() => Ok(special(*n)),
        Value::Opaque(_) | Value::Optional(_) | Value::Record(_) => {
            let found = value.type_of();
            Err(EvalError::failed(format!(
                "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, \
                 durations, and timestamps, was given {}",
                found.name()
            )))
        }
        value => Ok(shown(value)),
    }
}
