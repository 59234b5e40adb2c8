//! Small helpers on objects as values, and their canonical bytes.

use bytes::Bytes;
use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// The value at a path of keys; null when there is none.
pub fn at<'a>(object: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().try_fold(object, |value, key| value.get(key)).unwrap_or(&NULL)
}

/// The text at a path; empty when there is none.
pub fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    at(object, path).as_str().unwrap_or_default()
}

/// The number at a path.
pub fn number(object: &Value, path: &[&str]) -> Option<i64> {
    at(object, path).as_i64()
}

/// The elements of the list at a path; none when there is no list.
pub fn items<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    at(object, path).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The map under a key; made when it is not there.
pub fn map_mut<'a>(object: &'a mut Value, key: &str) -> &'a mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let slot = &mut object[key];
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    match slot {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object above"),
    }
}

/// `metadata`, for changing.
pub fn meta_mut(object: &mut Value) -> &mut Map<String, Value> {
    map_mut(object, "metadata")
}

/// Sets a key of `metadata`, or removes it when the value is null.
pub fn set_meta(object: &mut Value, key: &str, value: Value) {
    if value.is_null() {
        meta_mut(object).remove(key);
    } else {
        meta_mut(object).insert(key.to_owned(), value);
    }
}

/// Sets a top-level key, or removes it when the value is null.
pub fn set(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(map) = object {
        if value.is_null() {
            map.remove(key);
        } else {
            map.insert(key.to_owned(), value);
        }
    }
}

/// `metadata.name`.
pub fn name(object: &Value) -> &str {
    text(object, &["metadata", "name"])
}

/// `metadata.namespace`.
pub fn namespace(object: &Value) -> &str {
    text(object, &["metadata", "namespace"])
}

/// `metadata.uid`.
pub fn uid(object: &Value) -> &str {
    text(object, &["metadata", "uid"])
}

/// `metadata.resourceVersion`.
pub fn resource_version(object: &Value) -> &str {
    text(object, &["metadata", "resourceVersion"])
}

/// Whether the object is being deleted.
pub fn terminating(object: &Value) -> bool {
    !at(object, &["metadata", "deletionTimestamp"]).is_null()
}

/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> Vec<&str> {
    items(object, &["metadata", "finalizers"]).iter().filter_map(Value::as_str).collect()
}

/// A moment as the API writes it: whole seconds, UTC.
pub fn timestamp(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Metadata that the server makes for each answer and never stores.
const NOT_STORED: [&str; 2] = ["resourceVersion", "selfLink"];
/// What stands first in an object's bytes.
const FIRST: [&str; 3] = ["kind", "apiVersion", "metadata"];

/// The bytes that are stored: `kind`, `apiVersion` and `metadata` first, no resource version.
pub fn encode(object: &Value) -> Bytes {
    let Value::Object(map) = object else { return Bytes::from_static(b"{}") };
    let mut out = Vec::with_capacity(2048);
    out.push(b'{');
    let rest = map.iter().filter(|(key, _)| !FIRST.contains(&key.as_str()));
    let ordered = FIRST.iter().filter_map(|key| map.get(*key).map(|value| (*key, value)));
    for (position, (key, value)) in ordered.chain(rest.map(|(key, value)| (key.as_str(), value))).enumerate()
    {
        if position > 0 {
            out.push(b',');
        }
        encode_key(&mut out, key);
        match value {
            Value::Object(metadata) if key == "metadata" => encode_metadata(&mut out, metadata),
            // Writing to a vector does not fail.
            value => drop(serde_json::to_writer(&mut out, value)),
        }
    }
    out.push(b'}');
    // It lives as long as the object: not a byte more than it needs.
    out.shrink_to_fit();
    out.into()
}

fn encode_key(out: &mut Vec<u8>, key: &str) {
    drop(serde_json::to_writer(&mut *out, key));
    out.push(b':');
}

fn encode_metadata(out: &mut Vec<u8>, metadata: &Map<String, Value>) {
    out.push(b'{');
    let mut first = true;
    for (key, value) in metadata.iter().filter(|(key, _)| !NOT_STORED.contains(&key.as_str())) {
        if !std::mem::replace(&mut first, false) {
            out.push(b',');
        }
        encode_key(out, key);
        drop(serde_json::to_writer(&mut *out, value));
    }
    out.push(b'}');
}

/// The object of its bytes.
pub fn decode(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok()
}

/// Whether two objects say the same, apart from bookkeeping: resource version, and times in managed fields.
pub fn same(a: &Value, b: &Value) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    equal_but(a, b, &["metadata"])
        && match (a.get("metadata").and_then(Value::as_object), b.get("metadata").and_then(Value::as_object))
        {
            (Some(a), Some(b)) => {
                equal_but(a, b, &["resourceVersion", "managedFields"]) && same_managers(a, b)
            }
            (a, b) => a.is_none() == b.is_none(),
        }
}

/// Whether two maps are equal but for these keys.
fn equal_but(a: &Map<String, Value>, b: &Map<String, Value>, keys: &[&str]) -> bool {
    let counted = |map: &Map<String, Value>| map.keys().filter(|key| !keys.contains(&key.as_str())).count();
    counted(a) == counted(b)
        && a.iter().all(|(key, value)| keys.contains(&key.as_str()) || b.get(key) == Some(value))
}

fn same_managers(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    fn managers(meta: &Map<String, Value>) -> &[Value] {
        meta.get("managedFields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }
    let (a, b) = (managers(a), managers(b));
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| match (a.as_object(), b.as_object()) {
            (Some(a), Some(b)) => equal_but(a, b, &["time"]),
            _ => a == b,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stored_bytes_begin_with_kind_version_and_metadata() {
        let object = json!({"data": {"a": "b"}, "metadata": {"name": "x", "resourceVersion": "7"}, "apiVersion": "v1", "kind": "ConfigMap"});
        let bytes = encode(&object);
        assert_eq!(
            &bytes[..],
            br#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"},"data":{"a":"b"}}"#
        );
    }

    #[test]
    fn bookkeeping_is_no_change() {
        let a =
            json!({"metadata": {"resourceVersion": "1", "managedFields": [{"manager": "m", "time": "a"}]}});
        let b =
            json!({"metadata": {"resourceVersion": "2", "managedFields": [{"manager": "m", "time": "b"}]}});
        assert!(same(&a, &b));
    }
}
