//! Rules of config maps and secrets.

use super::names;
use super::place::Place;
use super::report::Report;
use super::same::same;
use base64::Engine;
use serde_json::{Map, Value};

/// Bytes of data an object may hold.
const SIZE_MAX: usize = 1024 * 1024;
const ACCOUNT: &str = "kubernetes.io/service-account.name";

/// The bytes that a Base64 text stands for.
pub(super) fn decoded_len(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// A config map.
pub(super) fn config_map(object: &Place, report: &mut Report) {
    let (data, binary) = (object.field("data"), object.field("binaryData"));
    let mut size = 0;
    for (key, value) in data.entries() {
        report.problems_of(&value, key, names::config_key(key));
        if binary.value().get(key).is_some() {
            report.invalid_as(&value, key, "duplicate of key present in binaryData");
        }
        size += value.as_text().len();
    }
    for (key, value) in binary.entries() {
        report.problems_of(&value, key, names::config_key(key));
        size += decoded_len(value.as_text());
    }
    if size > SIZE_MAX {
        report.too_long(&object.field(""), SIZE_MAX);
    }
}

/// A secret.
pub(super) fn secret(object: &Place, report: &mut Report) {
    let data = object.field("data");
    let mut size = 0;
    for (key, value) in data.entries() {
        report.problems_of(&value, key, names::config_key(key));
        size += decoded_len(value.as_text());
    }
    if size > SIZE_MAX {
        report.too_long(&data, SIZE_MAX);
    }
    let has = |key: &str| data.value().get(key).is_some();
    match object.text("type") {
        "kubernetes.io/service-account-token" => {
            let metadata = object.field("metadata");
            let notes = metadata.field("annotations");
            report.present(&notes.key(ACCOUNT));
        }
        "kubernetes.io/dockercfg" => docker(&data.key(".dockercfg"), report),
        "kubernetes.io/dockerconfigjson" => docker(&data.key(".dockerconfigjson"), report),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            report.required(&data.key("username"), "");
            report.required(&data.key("password"), "");
        }
        "kubernetes.io/ssh-auth" => report.present(&data.key("ssh-privatekey")),
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"].into_iter().filter(|key| !has(key)) {
                report.required(&data.key(key), "");
            }
        }
        _ => {}
    }
}

fn docker(at: &Place, report: &mut Report) {
    let Some(text) = at.value().as_str() else { return report.required(at, "") };
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
    if let Some(problem) = json_problem(&bytes) {
        report.invalid_as(at, "<secret contents redacted>", &problem);
    }
}

/// What is wrong with a JSON object, in the words of Go's decoder.
fn json_problem(bytes: &[u8]) -> Option<String> {
    use serde_json::error::Category;
    let error = serde_json::from_slice::<Map<String, Value>>(bytes).err()?;
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    Some(match error.classify() {
        Category::Eof => "unexpected end of JSON input".to_owned(),
        Category::Data => {
            let kind = match first {
                Some(b'[') => "array",
                Some(b'"') => "string",
                Some(b't' | b'f') => "bool",
                _ => "number",
            };
            format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
        }
        Category::Syntax | Category::Io => {
            let line: usize = bytes
                .split_inclusive(|b| *b == b'\n')
                .take(error.line().saturating_sub(1))
                .map(<[u8]>::len)
                .sum();
            let found = bytes.get(line + error.column().saturating_sub(1)).or(first).copied().unwrap_or(b'?');
            let starts = first == bytes.get(line + error.column().saturating_sub(1));
            let place = if starts { "looking for beginning of value" } else { "after object key" };
            format!("invalid character '{}' {place}", char::from(found))
        }
    })
}

pub(super) fn config_map_changes(new: &Place, old: &Place, report: &mut Report) {
    frozen(new, old, &["data", "binaryData"], report);
}

pub(super) fn secret_changes(new: &Place, old: &Place, report: &mut Report) {
    report.immutable(&new.field("type"), &old.field("type"));
    frozen(new, old, &["data"], report);
}

fn frozen(new: &Place, old: &Place, fields: &[&'static str], report: &mut Report) {
    const DETAIL: &str = "field is immutable when `immutable` is set";
    if !old.flag("immutable") {
        return;
    }
    if !new.flag("immutable") {
        report.forbidden(&new.field("immutable"), DETAIL);
    }
    for field in fields {
        if !same_data(new.field(field).value(), old.field(field).value()) {
            report.forbidden(&new.field(field), DETAIL);
        }
    }
}

/// Equal key by key: an empty value is a value.
fn same_data(a: &Value, b: &Value) -> bool {
    match (a.as_object(), b.as_object()) {
        (Some(a), Some(b)) => a == b,
        _ => same(a, b),
    }
}
