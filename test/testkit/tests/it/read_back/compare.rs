//! Comparing JSON: what one side says and the other lacks.

use serde_json::Value;

/// Whether two texts are the same: ids may differ in case, regions in how they are written.
fn same_text(pointer: &str, sent: &str, shown: &str) -> bool {
    let id = sent.starts_with('/') && shown.starts_with('/');
    let region = |text: &str| text.replace(' ', "").to_ascii_lowercase();
    sent == shown
        || id && sent.eq_ignore_ascii_case(shown)
        || pointer == "/location" && region(sent) == region(shown)
}

/// Pointers of what was sent and is not shown, or otherwise. A null may be shown as nothing; what is named is found by
/// its name; more may be shown than was sent.
pub fn missing(pointer: &str, sent: &Value, shown: &Value) -> Vec<String> {
    match (sent, shown) {
        (Value::Null, _) => Vec::new(),
        (Value::Object(sent), Value::Object(map)) => sent
            .iter()
            .flat_map(|(name, value)| {
                let key = map
                    .keys()
                    .find(|key| *key == name || name.starts_with('/') && key.eq_ignore_ascii_case(name));
                let shown = key.and_then(|key| map.get(key)).unwrap_or(&Value::Null);
                missing(&format!("{pointer}/{}", name.replace('/', "~1")), value, shown)
            })
            .collect(),
        (Value::Array(sent), Value::Array(list)) => {
            if sent.len() != list.len() {
                return vec![format!("{pointer} has {} items instead of {}", list.len(), sent.len())];
            }
            let named = |name: &Value| list.iter().find(|item| item.is_object() && item["name"] == *name);
            sent.iter()
                .enumerate()
                .flat_map(|(index, value)| {
                    let name = value.get("name").filter(|name| name.is_string());
                    let shown = name.and_then(named).unwrap_or(&list[index]);
                    missing(&format!("{pointer}/{index}"), value, shown)
                })
                .collect()
        }
        (Value::String(sent), Value::String(shown)) if same_text(pointer, sent, shown) => Vec::new(),
        (Value::Number(sent), Value::Number(shown)) if sent.as_f64() == shown.as_f64() => Vec::new(),
        (sent, shown) if sent == shown => Vec::new(),
        (sent, shown) => vec![format!("{pointer} is {shown} instead of {sent}")],
    }
}

/// The first place where two trees differ.
pub fn difference(one: &Value, other: &Value) -> Option<String> {
    fn within(pointer: &str, one: &Value, other: &Value) -> Option<String> {
        match (one, other) {
            (Value::Object(a), Value::Object(b)) => {
                let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
                names.into_iter().find_map(|name| {
                    let at =
                        |map: &serde_json::Map<String, Value>| map.get(name).cloned().unwrap_or_default();
                    within(&format!("{pointer}/{name}"), &at(a), &at(b))
                })
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                let mut pairs = a.iter().zip(b).enumerate();
                pairs.find_map(|(index, (a, b))| within(&format!("{pointer}/{index}"), a, b))
            }
            (one, other) if one == other => None,
            (one, other) => Some(format!("{pointer}: {one} -> {other}")),
        }
    }
    within("", one, other)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{difference, missing};

    #[test]
    fn what_is_dropped_or_changed_is_found() {
        let table: &[(Value, Value, &[&str])] = &[
            (
                json!({"a": null, "b": [{"name": "x"}, {"name": "y", "v": 1}]}),
                json!({"b": [{"name": "y", "v": 1}, {"name": "x"}], "c": 1}),
                &[],
            ),
            (json!({"a": []}), json!({}), &["/a is null instead of []"]),
            (json!({"id": "/A/b"}), json!({"id": "/a/B"}), &[]),
            (json!({"word": "Tcp"}), json!({"word": "tcp"}), &["/word is \"tcp\" instead of \"Tcp\""]),
            (json!({"list": [1]}), json!({"list": [1, 2]}), &["/list has 2 items instead of 1"]),
        ];
        for (sent, shown, expected) in table {
            assert_eq!(missing("", sent, shown), *expected);
        }
        assert_eq!(difference(&json!({"a": [1]}), &json!({"a": [2]})).unwrap(), "/a/0: 1 -> 2");
        assert_eq!(difference(&json!({"a": 1}), &json!({"a": 1})), None);
    }
}
