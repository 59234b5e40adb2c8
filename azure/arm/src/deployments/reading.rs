//! Templates as files have them: JSON with comments and bare names.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::{ArmError, json};

/// Nesting of what is read by the forgiving reader; the strict one has its own limit.
const NESTING_MAX: usize = 128;

/// Reads the body of a deployment. az sends templates as they are in the file, so what is not JSON is read once more, as [`forgiving`]
/// reads it; what is JSON never is.
///
/// # Errors
/// `InvalidRequestContent` when it is neither, nested too deeply, or not an object.
pub fn read(body: &[u8]) -> Result<Value, ArmError> {
    let strict = json::read(body).and_then(json::as_object);
    if strict.is_ok() || body.is_empty() {
        return strict;
    }
    let text = std::str::from_utf8(body).map_err(ArmError::invalid_content)?;
    let value = forgiving(text)?;
    if value.is_object() { Ok(value) } else { Err(ArmError::invalid_content("an object is expected")) }
}

/// Reads JSON5.
///
/// # Errors
/// `InvalidRequestContent` when it is not, or nested too deeply.
pub fn forgiving(text: &str) -> Result<Value, ArmError> {
    json5::from_str::<Whole>(text).map(|whole| whole.0).map_err(ArmError::invalid_content)
}

/// A whole body.
struct Whole(Value);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Nested(NESTING_MAX).deserialize(deserializer).map(Self)
    }
}

/// A value that may be nested so deep.
struct Nested(usize);

impl Nested {
    fn inner<E: Error>(&self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("the body is nested too deeply"))
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        // JSON has no infinity, and nothing that is no number.
        Number::from_f64(number).map(Value::Number).ok_or_else(|| E::custom("the number is out of range"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.inner()?)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            map.insert(name, entries.next_value_seed(self.inner()?)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn files_are_read_as_they_are() {
        let text = "{ // why\n bare: 'one', \"list\": [1, -2, 1.5, true, null,], /* more */ }";
        let expected = json!({"bare": "one", "list": [1, -2, 1.5, true, null]});
        assert_eq!(forgiving(text).unwrap(), expected);
        assert_eq!(read(text.as_bytes()).unwrap(), expected);
        for wrong in ["", "{", "{} x", "{a: Infinity}", "{a: NaN}", "[1]"] {
            assert!(read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn brackets_in_texts_and_comments_do_not_hide_how_deep_a_body_is() {
        for (open, close) in [("['[', ", "]"), ("[\"]\", ", "]"), ("[/* ] */", "]"), ("{a: ['}]'], b: ", "}")]
        {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(forgiving(&nested(100)).is_ok(), "{open}");
            assert!(forgiving(&nested(100_000)).is_err(), "{open}");
        }
        // Brackets in texts are not nesting.
        assert!(forgiving(&format!("['{}']", "[".repeat(1_000))).is_ok());
    }
}
