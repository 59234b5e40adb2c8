//! Small readers of `serde_json` values.

use serde_json::{Map, Value};

/// Name of the built-in metadata type.
pub(crate) const OBJECT_META: &str = "apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Absent, null or an empty text.
pub(crate) fn is_unset(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => text.is_empty(),
        Some(_) => false,
    }
}

/// Sets `key` when it is unset.
pub(crate) fn set_if_unset(map: &mut Map<String, Value>, key: &str, value: impl FnOnce() -> Value) {
    if is_unset(map.get(key)) {
        map.insert(key.to_owned(), value());
    }
}

/// The text under `key`, or the empty one.
pub(crate) fn text<'a>(map: &'a Map<String, Value>, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}
