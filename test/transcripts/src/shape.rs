//! What of a printed text is the same every time it is printed.
//!
//! The shape of JSON is its members and the kinds of their values; that of a table its heading; other text stands for
//! itself. Lists have the shapes that their elements have.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Columns of a line of a shape.
const WIDTH: usize = 150;

/// The shape of a JSON value.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(_) => "text".to_owned(),
        Value::Array(list) => {
            let shapes: BTreeSet<String> = list.iter().map(shape).collect();
            format!("[{}]", shapes.into_iter().collect::<Vec<_>>().join(" | "))
        }
        Value::Object(map) => {
            let members: BTreeMap<String, String> =
                map.iter().map(|(name, value)| (key(name), shape(value))).collect();
            let members: Vec<String> =
                members.into_iter().map(|(name, kind)| format!("{name}: {kind}")).collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// Names that are data: ids of resources and objects.
fn key(name: &str) -> String {
    if name.starts_with("/subscriptions/") { "<id>".to_owned() } else { name.to_owned() }
}

/// The shape of what a command printed.
pub(crate) fn printed(command: &str, text: &str) -> String {
    if let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(text) {
        return shape(&value);
    }
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.iter().position(|w| *w == "-o").and_then(|at| words.get(at + 1)) {
        Some(&"table") => {
            text.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        }
        Some(&"tsv") => if text.trim().is_empty() { "nothing" } else { "text" }.to_owned(),
        _ if text.trim().is_empty() => "nothing".to_owned(),
        _ => {
            serde_json::from_str::<Value>(text).map_or_else(|_| text.trim().to_owned(), |value| shape(&value))
        }
    }
}

/// The code of an error as az prints it: `ERROR: (Code) Message`, or the error's own JSON.
pub(crate) fn code_of(stderr: &str) -> String {
    let code = |line: &str| {
        let error = line.strip_prefix("ERROR: ")?;
        if let Some(rest) = error.strip_prefix('(') {
            return rest.split_once(')').map(|(code, _)| code.to_owned());
        }
        // `az rest` puts the status in front of it: `Not Found({"error":…})`.
        let object = error.get(error.find('{')?..=error.rfind('}')?)?;
        let object: Value = serde_json::from_str(object).ok()?;
        let code = object.get("code").or_else(|| object.pointer("/error/code"));
        code.and_then(Value::as_str).map(str::to_owned)
    };
    stderr.lines().filter_map(code).next_back().unwrap_or_default()
}

/// Breaks a shape into lines of a width that can be read.
pub(crate) fn wrapped(text: &str) -> String {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split_inclusive(' ') {
        if line.len() + word.len() > WIDTH && !line.is_empty() {
            lines.push(line.trim_end().to_owned());
            line = "  ".to_owned();
        }
        line.push_str(word);
    }
    lines.push(line.trim_end().to_owned());
    lines.join("\n")
}

/// Without line breaks.
pub(crate) fn bare(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn shapes_tell_members_and_kinds_and_no_data() {
        for (value, expected) in [
            (json!({"b": 1, "a": "x"}), "{a: text, b: number}"),
            (json!([{"a": null}, {"a": true}, {"a": false}]), "[{a: bool} | {a: null}]"),
            (json!({"/subscriptions/1": {}, "/subscriptions/2": {}}), "{<id>: {}}"),
            (json!([]), "[]"),
        ] {
            assert_eq!(shape(&value), expected);
        }
        assert_eq!(printed("az x -o table", "Name    State\n----  ---\n"), "Name State");
        assert_eq!(printed("az x -o tsv", "x\n"), "text");
        assert_eq!(printed("az x", "\"x\"\n"), "text");
        assert_eq!(code_of("WARNING: x\nERROR: (NotFound) It is not\nCode: NotFound"), "NotFound");
        assert_eq!(code_of(r#"ERROR: {"code": "InvalidTemplate", "message": "x"}"#), "InvalidTemplate");
        assert_eq!(code_of(r#"ERROR: Not Found({"error":{"code":"ResourceNotFound"}})"#), "ResourceNotFound");
        assert_eq!(code_of("ERROR: something"), "");
        assert_eq!(bare(&wrapped(&"word ".repeat(100))), bare(&"word ".repeat(100)));
    }
}
