//! Named formats of texts.

use std::sync::Arc;

use api_model::validation::names;

use super::Style::{Global, Member};
use super::{Given, Row};
use crate::error::EvalError;
use crate::value::{Opaque, Value};

/// A named format.
#[derive(Debug)]
pub struct Format {
    /// Name, as `format.named` takes it.
    pub name: &'static str,
    /// Characters of its regular expression, by which it costs.
    pub(crate) pattern_length: u64,
    /// What is wrong with a text.
    check: fn(&str) -> Vec<String>,
}

static FORMATS: [Format; 13] = [
    Format { name: "dns1123Label", pattern_length: 30, check: names::dns1123_label },
    Format { name: "dns1123Subdomain", pattern_length: 60, check: names::dns1123_subdomain },
    Format { name: "dns1035Label", pattern_length: 30, check: names::dns1035_label },
    Format { name: "qualifiedName", pattern_length: 60, check: names::qualified_name },
    Format {
        name: "dns1123LabelPrefix",
        pattern_length: 30,
        check: |text| names::dns1123_label(&prefix(text)),
    },
    Format {
        name: "dns1123SubdomainPrefix",
        pattern_length: 60,
        check: |text| names::dns1123_subdomain(&prefix(text)),
    },
    Format {
        name: "dns1035LabelPrefix",
        pattern_length: 30,
        check: |text| names::dns1035_label(&prefix(text)),
    },
    Format { name: "labelValue", pattern_length: 40, check: names::label_value },
    Format {
        name: "uri",
        pattern_length: 500,
        check: |text| unless(super::urls::is_url(text), "invalid URI"),
    },
    Format {
        name: "uuid",
        pattern_length: 36,
        check: |text| unless(is_uuid(text), "does not match the UUID format"),
    },
    Format { name: "byte", pattern_length: 50, check: |text| unless(is_base64(text), "invalid base64") },
    Format { name: "date", pattern_length: 20, check: |text| unless(is_date(text), "invalid date") },
    Format {
        name: "datetime",
        pattern_length: 30,
        check: |text| unless(is_datetime(text), "invalid datetime"),
    },
];

pub(super) const ROWS: &[Row] = &[
    Row("format.named", "format_named", Global, "string -> optional(format)", |_, args| match args {
        [Value::String(name)] => Ok(Value::Optional(named(name.as_str()).map(|format| Arc::new(of(format))))),
        _ => Err(EvalError::no_overload()),
    }),
    Row("format.dns1123Label", "format_dns1123Label", Global, "-> format", |_, _| constant("dns1123Label")),
    Row("format.dns1123Subdomain", "format_dns1123Subdomain", Global, "-> format", |_, _| {
        constant("dns1123Subdomain")
    }),
    Row("format.dns1035Label", "format_dns1035Label", Global, "-> format", |_, _| constant("dns1035Label")),
    Row("format.qualifiedName", "format_qualifiedName", Global, "-> format", |_, _| {
        constant("qualifiedName")
    }),
    Row("format.dns1123LabelPrefix", "format_dns1123LabelPrefix", Global, "-> format", |_, _| {
        constant("dns1123LabelPrefix")
    }),
    Row("format.dns1123SubdomainPrefix", "format_dns1123SubdomainPrefix", Global, "-> format", |_, _| {
        constant("dns1123SubdomainPrefix")
    }),
    Row("format.dns1035LabelPrefix", "format_dns1035LabelPrefix", Global, "-> format", |_, _| {
        constant("dns1035LabelPrefix")
    }),
    Row("format.labelValue", "format_labelValue", Global, "-> format", |_, _| constant("labelValue")),
    Row("format.uri", "format_uri", Global, "-> format", |_, _| constant("uri")),
    Row("format.uuid", "format_uuid", Global, "-> format", |_, _| constant("uuid")),
    Row("format.byte", "format_byte", Global, "-> format", |_, _| constant("byte")),
    Row("format.date", "format_date", Global, "-> format", |_, _| constant("date")),
    Row("format.datetime", "format_datetime", Global, "-> format", |_, _| constant("datetime")),
    Row("validate", "format_validate", Member, "format, string -> optional(list(string))", |_, args| {
        match args {
            [Value::Opaque(opaque), Value::String(text)] => match &**opaque {
                Opaque::Format(format) => {
                    let wrong = (format.check)(text.as_str());
                    let wrong: Vec<Value<'_>> = wrong.into_iter().map(Value::text).collect();
                    Ok(if wrong.is_empty() { Value::Optional(None) } else { Value::some(Value::list(wrong)) })
                }
                _ => Err(EvalError::no_overload()),
            },
            _ => Err(EvalError::no_overload()),
        }
    }),
];

fn named(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

fn of<'a>(format: &'static Format) -> Value<'a> {
    Value::Opaque(Arc::new(Opaque::Format(format)))
}

fn constant<'a>(name: &str) -> Given<'a> {
    named(name).map(of).ok_or_else(EvalError::no_overload)
}

/// What a name that a suffix will follow stands for: its last dash is no end.
fn prefix(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(head) => format!("{head}a"),
        None => text.to_owned(),
    }
}

fn unless(fine: bool, why: &str) -> Vec<String> {
    if fine { Vec::new() } else { vec![why.to_owned()] }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|g| g.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn is_base64(text: &str) -> bool {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).is_ok()
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn is_datetime(text: &str) -> bool {
    crate::value::time::parse_timestamp(text).is_some()
}
