//! One pass over a text.

use super::{DecodeError, scan};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

/// A text that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// What it says.
    pub value: Value,
    /// Somewhere a key stands twice in one map.
    pub repeated: bool,
}

/// What aliases may make of a YAML text whose length is small, in bytes.
const EXPANDED_BYTES_MIN: usize = 4 << 20;
/// What they may make of a long one: this many times its length.
const EXPANDED_TIMES_MAX: usize = 4;
/// How many brackets of a YAML text may be open at once. Its parser looks at all of them with each word, so without a bound a body of
/// brackets would keep it busy for hours; no value may be nearly as deep.
const OPEN_BRACKETS_MAX: usize = 500;
/// What one value costs besides its text, in bytes.
const VALUE_BYTES: usize = 8;

/// Reads JSON.
///
/// # Errors
/// What is wrong and where, as Go's scanner says it.
pub fn json(bytes: &[u8]) -> Result<Read, DecodeError> {
    let state = State { repeated: Cell::new(false), left: Cell::new(usize::MAX) };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value =
        Seed(&state).deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    match value {
        Ok(value) => Ok(Read { value, repeated: state.repeated.get() }),
        Err(error) => Err(DecodeError(scan::complaint(bytes).unwrap_or_else(|| error.to_string()))),
    }
}

/// Reads the first document of a YAML text, as JSON would say it: keys are texts, `<<` merges, whole numbers are whole.
///
/// # Errors
/// What is wrong and where.
pub fn yaml(bytes: &[u8]) -> Result<Read, DecodeError> {
    if too_deep(bytes) {
        return Err(DecodeError("yaml: exceeded max depth of 10000".to_owned()));
    }
    let left = bytes.len().saturating_mul(EXPANDED_TIMES_MAX).max(EXPANDED_BYTES_MIN);
    let state = State { repeated: Cell::new(false), left: Cell::new(left) };
    let mut documents = serde_yaml_ng::Deserializer::from_slice(bytes);
    let Some(first) = documents.next() else {
        return Ok(Read { value: Value::Null, repeated: false });
    };
    let mut value = Seed(&state).deserialize(first).map_err(|error| DecodeError(yaml_words(&error)))?;
    merge_keys(&mut value);
    Ok(Read { value, repeated: state.repeated.get() })
}

/// Whether more brackets are open than may be. Those in texts count as well: none has so many that are never closed.
pub(super) fn too_deep(bytes: &[u8]) -> bool {
    let mut open = 0_usize;
    bytes.iter().any(|byte| {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open > OPEN_BRACKETS_MAX
    })
}

/// `<problem> at line 3 column 4` as `yaml: line 3: <problem>`.
pub(super) fn yaml_words(error: &serde_yaml_ng::Error) -> String {
    let text = error.to_string();
    let problem = text.split(" at line ").next().unwrap_or_default();
    match error.location() {
        Some(at) => format!("yaml: line {}: {problem}", at.line()),
        None => format!("yaml: {problem}"),
    }
}

/// What `<<` refers to becomes part of the map, where the map does not say otherwise.
fn merge_keys(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(merge_keys);
            if !matches!(map.get("<<"), Some(Value::Object(_) | Value::Array(_))) {
                return;
            }
            let sources = match map.remove("<<") {
                Some(Value::Array(items)) => items,
                Some(one) => vec![one],
                None => Vec::new(),
            };
            for source in sources {
                let Value::Object(source) = source else { continue };
                for (key, value) in source {
                    map.entry(key).or_insert(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(merge_keys),
        _ => {}
    }
}

struct State {
    repeated: Cell<bool>,
    left: Cell<usize>,
}

impl State {
    fn spend<E: Error>(&self, text_bytes: usize) -> Result<(), E> {
        match self.left.get().checked_sub(text_bytes + VALUE_BYTES) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(E::custom("document contains excessive aliasing")),
        }
    }
}

#[derive(Clone, Copy)]
struct Seed<'a>(&'a State);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.0.spend(0).map(|()| Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.0.spend(0).map(|()| Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.0.spend(0).map(|()| Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.0.spend(0)?;
        let shown = if value.is_nan() { "NaN" } else { "+Inf" };
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom(format!("json: unsupported value: {shown}")))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.visit_string(value.to_owned())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.0.spend(value.len()).map(|()| Value::String(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.0.spend(0).map(|()| Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Value, A::Error> {
        // A tag nobody knows says nothing.
        let (_, content) = tagged.variant::<IgnoredAny>()?;
        content.newtype_variant_seed(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.0.spend(0)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.0.spend(0)?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key_seed(KeySeed)? {
            self.0.spend(key.len())?;
            let value = entries.next_value_seed(self)?;
            if map.insert(key, value).is_some() {
                self.0.repeated.set(true);
            }
        }
        Ok(Value::Object(map))
    }
}

/// A key: a text, or what YAML allows besides, as JSON writes it.
pub(super) struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        Ok(key.to_owned())
    }

    fn visit_string<E: Error>(self, key: String) -> Result<String, E> {
        Ok(key)
    }

    fn visit_bool<E: Error>(self, key: bool) -> Result<String, E> {
        Ok(key.to_string())
    }

    fn visit_i64<E: Error>(self, key: i64) -> Result<String, E> {
        Ok(key.to_string())
    }

    fn visit_u64<E: Error>(self, key: u64) -> Result<String, E> {
        Ok(key.to_string())
    }

    fn visit_f64<E: Error>(self, key: f64) -> Result<String, E> {
        Ok(key.to_string())
    }

    fn visit_unit<E: Error>(self) -> Result<String, E> {
        Ok("null".to_owned())
    }
}
