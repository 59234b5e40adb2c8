//! Lists in the binary form, item by item: the whole list is never one value.

use serde_json::Value;

use super::messages::Kind;
use super::wire::{field_bytes, put_bytes, put_length};
use super::{MAGIC, ProtobufError, encode};
use crate::Model;

/// A list in the making.
pub struct ListWriter<'m> {
    model: &'m Model,
    kind: String,
    api_version: String,
    metadata: Vec<u8>,
    /// The number of the field of items, and the message of one.
    items: (u64, usize),
}

impl<'m> ListWriter<'m> {
    /// A list of `kind` (`PodList`) with this metadata.
    ///
    /// # Errors
    /// When the kind has no binary form or is no list.
    pub fn new(
        model: &'m Model,
        kind: &str,
        api_version: &str,
        metadata: &Value,
    ) -> Result<Self, ProtobufError> {
        let unknown =
            || ProtobufError::Unknown { kind: kind.to_owned(), api_version: api_version.to_owned() };
        let messages = model.messages();
        let list = messages.of_kind(api_version, kind).and_then(|at| messages.get(at)).ok_or_else(unknown)?;
        let field = |name: &str| {
            let field = list.fields.iter().find(|field| field.name == name)?;
            match field.kind {
                Kind::Message(at) => Some((field.number, at)),
                _ => None,
            }
        };
        let (meta_number, meta_message) = field("metadata").ok_or_else(unknown)?;
        let items = field("items").ok_or_else(unknown)?;
        let metadata = field_bytes(meta_number, &encode::message(messages, meta_message, metadata, 1)?);
        Ok(Self { model, kind: kind.to_owned(), api_version: api_version.to_owned(), metadata, items })
    }

    /// One item, as it stands in the list.
    ///
    /// # Errors
    /// When a value does not fit its type.
    pub fn item(&self, object: &Value) -> Result<Vec<u8>, ProtobufError> {
        let (number, message) = self.items;
        Ok(field_bytes(number, &encode::message(self.model.messages(), message, object, 1)?))
    }

    /// What stands before the items, when they are `items_bytes` long together.
    pub fn head(&self, items_bytes: usize) -> Vec<u8> {
        let types =
            [field_bytes(1, self.api_version.as_bytes()), field_bytes(2, self.kind.as_bytes())].concat();
        let mut out = MAGIC.to_vec();
        put_bytes(&mut out, 1, &types);
        put_length(&mut out, 2, self.metadata.len() + items_bytes);
        out.extend_from_slice(&self.metadata);
        out
    }

    /// What stands behind them: how the content is encoded, and its type, both as usual.
    pub fn tail() -> Vec<u8> {
        [field_bytes(3, b""), field_bytes(4, b"")].concat()
    }
}
