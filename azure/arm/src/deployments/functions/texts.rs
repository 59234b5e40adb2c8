//! Functions on texts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Arguments, Made, text};
use crate::deployments::meter::TEXT_BYTES_MAX;

/// The namespace that the public cloud's `guid()` hashes its arguments in.
const GUIDS: uuid::Uuid = uuid::uuid!("11fb06fb-712d-4ddd-98c7-e71bbd588830");

/// Characters that stay as they are in `uriComponent()`.
const COMPONENT: &percent_encoding::AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'!')
    .remove(b'*')
    .remove(b'(')
    .remove(b')')
    .remove(b'\'');

fn all(a: &Arguments<'_>) -> String {
    a.0.iter().map(text).collect::<Vec<_>>().join("-")
}

/// Thirteen letters and digits that depend on the arguments only.
fn unique(a: &Arguments<'_>) -> String {
    let bytes = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, all(a).as_bytes());
    let letters = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut number = bytes.as_u128();
    let mut made = String::new();
    for _ in 0..13 {
        made.push(letters[(number % 32) as usize] as char);
        number /= 32;
    }
    made
}

fn too_long() -> String {
    format!("The template language expression literal limit exceeded. Limit: '{TEXT_BYTES_MAX}'")
}

/// `{0}`, `{1:D3}`, `{{` and `}}`.
fn format(a: &Arguments<'_>) -> Result<String, String> {
    let pattern = a.text(0);
    let wrong = || format!("The format '{pattern}' is not valid");
    let mut made = String::new();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '{' | '}' if letters.peek() == Some(&letter) => {
                letters.next();
                made.push(letter);
            }
            '{' => {
                let mut inside = String::new();
                loop {
                    match letters.next() {
                        Some('}') => break,
                        Some(other) => inside.push(other),
                        None => return Err(wrong()),
                    }
                }
                let (index, how) = inside.split_once(':').unwrap_or((&inside, ""));
                let index: usize = index.trim().parse().map_err(|_| wrong())?;
                let value = a.0.get(index + 1).ok_or_else(wrong)?;
                made.push_str(&shaped(value, how));
            }
            '}' => return Err(wrong()),
            other => made.push(other),
        }
        if made.len() > TEXT_BYTES_MAX {
            return Err(too_long());
        }
    }
    Ok(made)
}

/// The number formats that templates use: `D4`, `X2`, `000`.
fn shaped(value: &Value, how: &str) -> String {
    let Some(number) = value.as_i64() else { return text(value) };
    let width = |digits: &str| digits.parse::<usize>().unwrap_or(1).min(64);
    match how.chars().next() {
        Some('D' | 'd') => format!("{number:0width$}", width = width(&how[1..])),
        Some('X') => format!("{number:0width$X}", width = width(&how[1..])),
        Some('x') => format!("{number:0width$x}", width = width(&how[1..])),
        Some('0') if how.bytes().all(|b| b == b'0') => format!("{number:0width$}", width = how.len().min(64)),
        _ => number.to_string(),
    }
}

fn replace(a: &Arguments<'_>) -> Result<String, String> {
    let (whole, old, new) = (a.text(0), a.text(1), a.text(2));
    if old.is_empty() {
        return Ok(whole);
    }
    let grows = whole.matches(&old).count().saturating_mul(new.len());
    if grows > TEXT_BYTES_MAX { Err(too_long()) } else { Ok(whole.replace(&old, &new)) }
}

fn join(a: &Arguments<'_>) -> Result<String, String> {
    let (list, sign) = (a.get(0).as_array().map_or(&[][..], Vec::as_slice), a.text(1));
    if list.len().saturating_sub(1).saturating_mul(sign.len()) > TEXT_BYTES_MAX {
        return Err(too_long());
    }
    Ok(list.iter().map(text).collect::<Vec<_>>().join(&sign))
}

/// Most bytes that are looked through for the signs to split at, one sign after the other.
const SPLIT_BYTES_MAX: usize = 16 * TEXT_BYTES_MAX;

fn split(a: &Arguments<'_>) -> Made {
    let signs: Vec<String> = match a.get(1) {
        Value::Array(list) => list.iter().map(text).collect(),
        other => vec![text(other)],
    };
    let mut pieces = vec![a.text(0)];
    if signs.len().saturating_mul(pieces[0].len()) > SPLIT_BYTES_MAX {
        return Err("The text to split is too long for so many delimiters".to_owned());
    }
    for sign in signs.iter().filter(|sign| !sign.is_empty()) {
        pieces = pieces
            .iter()
            .flat_map(|p| p.split(sign.as_str()).map(str::to_owned).collect::<Vec<_>>())
            .collect();
    }
    Ok(json!(pieces))
}

fn index_of(a: &Arguments<'_>, last: bool) -> Value {
    let found = match a.get(0) {
        Value::Array(list) => {
            let same = |v: &Value| super::same(v, a.get(1));
            if last { list.iter().rposition(same) } else { list.iter().position(same) }
        }
        other => {
            let (whole, piece) = (text(other).to_lowercase(), a.text(1).to_lowercase());
            let at = if last { whole.rfind(&piece) } else { whole.find(&piece) };
            at.and_then(|at| whole.get(..at)).map(|before| before.chars().count())
        }
    };
    Value::from(found.map_or(-1, |n| i64::try_from(n).unwrap_or(-1)))
}

fn pad_left(a: &Arguments<'_>) -> Made {
    let width = a.count(1)?.min(4_096);
    let fill = if a.0.len() > 2 { a.text(2).chars().next().unwrap_or(' ') } else { ' ' };
    let one = a.text(0);
    let missing = width.saturating_sub(one.chars().count());
    Ok(Value::from(format!("{}{one}", fill.to_string().repeat(missing))))
}

fn from_base64(encoded: &str) -> Result<String, String> {
    let wrong = || format!("'{encoded}' is not base64 of a text");
    String::from_utf8(STANDARD.decode(encoded).map_err(|_| wrong())?).map_err(|_| wrong())
}

fn from_data_uri(uri: &str) -> Result<String, String> {
    let wrong = || "The value is not a data URI".to_owned();
    let (head, data) = uri.strip_prefix("data:").and_then(|rest| rest.split_once(',')).ok_or_else(wrong)?;
    if head.to_ascii_lowercase().ends_with(";base64") {
        return from_base64(data);
    }
    percent_decode_str(data).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| wrong())
}

fn uri(a: &Arguments<'_>) -> String {
    let (base, relative) = (a.text(0), a.text(1));
    // With a slash at its end the base is a folder; without, its last word is replaced.
    match base.rsplit_once('/') {
        Some((folder, last)) if !last.is_empty() && !folder.ends_with('/') => {
            format!("{folder}/{}", relative.trim_start_matches('/'))
        }
        _ => format!("{}/{}", base.trim_end_matches('/'), relative.trim_start_matches('/')),
    }
}

pub(super) fn call(name: &str, a: &Arguments<'_>) -> Option<Made> {
    let one = || a.text(0);
    let starts = |a: &Arguments<'_>| (a.text(0).to_lowercase(), a.text(1).to_lowercase());
    Some(match name {
        "tolower" => Ok(Value::from(one().to_lowercase())),
        "toupper" => Ok(Value::from(one().to_uppercase())),
        "trim" => Ok(Value::from(one().trim())),
        "string" => Ok(Value::from(one())),
        "replace" => replace(a).map(Value::from),
        "split" => split(a),
        "join" => join(a).map(Value::from),
        "startswith" => {
            let (whole, piece) = starts(a);
            Ok(Value::from(whole.starts_with(&piece)))
        }
        "endswith" => {
            let (whole, piece) = starts(a);
            Ok(Value::from(whole.ends_with(&piece)))
        }
        "indexof" => Ok(index_of(a, false)),
        "lastindexof" => Ok(index_of(a, true)),
        "format" => format(a).map(Value::from),
        "uri" => Ok(Value::from(uri(a))),
        "uniquestring" => Ok(Value::from(unique(a))),
        "guid" => Ok(Value::from(uuid::Uuid::new_v5(&GUIDS, all(a).as_bytes()).to_string())),
        "newguid" => Ok(Value::from(uuid::Uuid::new_v4().to_string())),
        "padleft" => pad_left(a),
        "base64" => Ok(Value::from(STANDARD.encode(one()))),
        "base64tostring" => from_base64(&one()).map(Value::from),
        "base64tojson" => from_base64(&one())
            .and_then(|t| serde_json::from_str(&t).map_err(|e| format!("The value is not JSON: {e}"))),
        "datauri" => {
            Ok(Value::from(format!("data:text/plain;charset=utf8;base64,{}", STANDARD.encode(one()))))
        }
        "datauritostring" => from_data_uri(&one()).map(Value::from),
        "uricomponent" => Ok(Value::from(utf8_percent_encode(&one(), COMPONENT).to_string())),
        "uricomponenttostring" => percent_decode_str(&one())
            .decode_utf8()
            .map(|t| Value::from(t.into_owned()))
            .map_err(|_| "The value is not a URI component".to_owned()),
        _ => return None,
    })
}
