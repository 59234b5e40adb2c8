//! The version 2 document in the binary form that Go clients ask for: gnostic's `openapi.v2.Document`.
//!
//! Field numbers are those of its `OpenAPIv2.proto`. Values that may be anything, defaults and `x-` extensions, travel as YAML
//! texts; JSON is one.

use crate::protobuf::wire::{put_bytes, put_double, put_number};
use serde_json::{Map, Value};

/// A message in the making.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn text(mut self, number: u64, value: Option<&Value>) -> Self {
        if let Some(text) = value.and_then(Value::as_str) {
            put_bytes(&mut self.0, number, text.as_bytes());
        }
        self
    }

    fn texts(mut self, number: u64, value: Option<&Value>) -> Self {
        for text in items(value).iter().filter_map(Value::as_str) {
            put_bytes(&mut self.0, number, text.as_bytes());
        }
        self
    }

    fn flag(mut self, number: u64, value: Option<&Value>) -> Self {
        if value == Some(&Value::Bool(true)) {
            put_number(&mut self.0, number, 1);
        }
        self
    }

    fn whole(mut self, number: u64, value: Option<&Value>) -> Self {
        if let Some(value) = value.and_then(Value::as_i64) {
            put_number(&mut self.0, number, value as u64);
        }
        self
    }

    fn double(mut self, number: u64, value: Option<&Value>) -> Self {
        if let Some(value) = value.and_then(Value::as_f64) {
            put_double(&mut self.0, number, value);
        }
        self
    }

    fn message(mut self, number: u64, message: Option<Message>) -> Self {
        if let Some(message) = message {
            put_bytes(&mut self.0, number, &message.0);
        }
        self
    }

    fn messages(self, number: u64, messages: impl IntoIterator<Item = Message>) -> Self {
        messages.into_iter().fold(self, |all, message| all.message(number, Some(message)))
    }

    /// Entries of a map as pairs of name and value.
    fn named(self, number: u64, map: Option<&Value>, value: impl Fn(&Value) -> Message) -> Self {
        let entries = map.and_then(Value::as_object).into_iter().flatten();
        self.messages(number, entries.map(|(name, of)| pair(name, value(of))))
    }

    fn extensions(self, number: u64, object: &Map<String, Value>) -> Self {
        let extensions = object.iter().filter(|(key, _)| key.starts_with("x-"));
        self.messages(number, extensions.map(|(key, value)| pair(key, any(value))))
    }
}

fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn pair(name: &str, value: Message) -> Message {
    let mut pair = Message::default();
    put_bytes(&mut pair.0, 1, name.as_bytes());
    pair.message(2, Some(value))
}

fn any(value: &Value) -> Message {
    let mut message = Message::default();
    put_bytes(&mut message.0, 2, value.to_string().as_bytes());
    message
}

/// A message around another, as alternatives are written.
fn around(number: u64, inner: Message) -> Message {
    Message::default().message(number, Some(inner))
}

/// The whole document.
pub(super) fn document(value: &Value) -> Vec<u8> {
    let at = |key: &str| value.get(key);
    let info =
        at("info").map(|info| Message::default().text(1, info.get("title")).text(2, info.get("version")));
    Message::default()
        .text(1, at("swagger"))
        .message(2, info)
        .message(8, Some(Message::default().named(2, at("paths"), path)))
        .message(9, Some(Message::default().named(1, at("definitions"), schema)))
        .message(10, Some(Message::default().named(1, at("parameters"), parameter)))
        .messages(12, items(at("security")).iter().map(|one| Message::default().named(1, Some(one), strings)))
        .message(13, Some(Message::default().named(1, at("securityDefinitions"), key_security)))
        .0
}

fn strings(value: &Value) -> Message {
    Message::default().texts(1, Some(value))
}

fn key_security(value: &Value) -> Message {
    let at = |key: &str| value.get(key);
    let key = Message::default()
        .text(1, at("type"))
        .text(2, at("name"))
        .text(3, at("in"))
        .text(4, at("description"));
    around(2, key)
}

fn path(value: &Value) -> Message {
    const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];
    let message = METHODS.iter().zip(2..).fold(Message::default(), |message, (method, number)| {
        message.message(number, value.get(method).map(operation))
    });
    message.messages(9, items(value.get("parameters")).iter().map(parameter_or_reference))
}

fn operation(value: &Value) -> Message {
    let at = |key: &str| value.get(key);
    let message = Message::default()
        .texts(1, at("tags"))
        .text(3, at("description"))
        .text(5, at("operationId"))
        .texts(6, at("produces"))
        .texts(7, at("consumes"))
        .messages(8, items(at("parameters")).iter().map(parameter_or_reference))
        .message(9, Some(Message::default().named(1, at("responses"), |one| around(1, response(one)))))
        .texts(10, at("schemes"))
        .flag(11, at("deprecated"));
    value.as_object().into_iter().fold(message, |message, object| message.extensions(13, object))
}

fn response(value: &Value) -> Message {
    let schema = value.get("schema").map(|found| around(1, schema(found)));
    Message::default().text(1, value.get("description")).message(2, schema)
}

fn parameter_or_reference(value: &Value) -> Message {
    match value.get("$ref") {
        Some(_) => around(2, Message::default().text(1, value.get("$ref"))),
        None => around(1, parameter(value)),
    }
}

fn parameter(value: &Value) -> Message {
    let at = |key: &str| value.get(key);
    match at("in").and_then(Value::as_str) {
        Some("body") => {
            let body = Message::default().text(1, at("description")).text(2, at("name")).text(3, at("in"));
            around(1, body.flag(4, at("required")).message(5, at("schema").map(schema)))
        }
        place => {
            let common = Message::default()
                .flag(1, at("required"))
                .text(2, at("in"))
                .text(3, at("description"))
                .text(4, at("name"));
            let other = if place == Some("path") {
                around(4, common.text(5, at("type")).text(6, at("format")).flag(19, at("uniqueItems")))
            } else {
                around(3, common.text(6, at("type")).text(7, at("format")).flag(20, at("uniqueItems")))
            };
            around(2, other)
        }
    }
}

fn schema(value: &Value) -> Message {
    let at = |key: &str| value.get(key);
    let types = match at("type") {
        Some(Value::Array(_)) => Some(Message::default().texts(1, at("type"))),
        found => found.map(|_| Message::default().text(1, found)),
    };
    let additional = match at("additionalProperties") {
        Some(Value::Bool(allowed)) => {
            let mut message = Message::default();
            put_number(&mut message.0, 2, (*allowed).into());
            Some(message)
        }
        found => found.map(|inner| around(1, schema(inner))),
    };
    let message = Message::default()
        .text(1, at("$ref"))
        .text(2, at("format"))
        .text(3, at("title"))
        .text(4, at("description"))
        .message(5, at("default").map(any))
        .double(6, at("multipleOf"))
        .double(7, at("maximum"))
        .flag(8, at("exclusiveMaximum"))
        .double(9, at("minimum"))
        .flag(10, at("exclusiveMinimum"))
        .whole(11, at("maxLength"))
        .whole(12, at("minLength"))
        .text(13, at("pattern"))
        .whole(14, at("maxItems"))
        .whole(15, at("minItems"))
        .flag(16, at("uniqueItems"))
        .whole(17, at("maxProperties"))
        .whole(18, at("minProperties"))
        .texts(19, at("required"))
        .messages(20, items(at("enum")).iter().map(any))
        .message(21, additional)
        .message(22, types)
        .message(23, at("items").map(|items| around(1, schema(items))))
        .message(25, at("properties").map(|_| Message::default().named(1, at("properties"), schema)))
        .message(30, at("example").map(any));
    value.as_object().into_iter().fold(message, |message, object| message.extensions(31, object))
}
