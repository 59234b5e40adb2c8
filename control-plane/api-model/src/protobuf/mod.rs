//! Kubernetes' binary form of objects, which Go clients may send and ask for.
//!
//! The form is an envelope (`k8s\0`, then `runtime.Unknown`) around a message. Field numbers are data of the corpus
//! (`corpus/<minor>.protobuf`). Go writes fields that are no pointers even when they are empty, so an empty value does
//! not tell whether it was given: it is kept where the corpus says that it is a value, and dropped elsewhere, as Go's
//! JSON would.
//!
//! [`decode`] of what [`encode`] wrote is the object again, but for what the form cannot say: empty lists and maps,
//! digits of a time beyond those its kind shows, and `kind` and `apiVersion` of a list's items.
//!
//! Custom kinds have no binary form. Nor has an object that sets a field whose number the corpus does not know; a message that
//! has such fields and comes with a number that is not known is not read, for it may be one of them.

mod decode;
mod encode;
mod list;
mod messages;
mod special;
pub(crate) mod wire;

pub use list::ListWriter;
pub(crate) use messages::Messages;

use crate::Model;
use serde_json::Value;

/// What every binary object begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Why an object cannot be read or written in the binary form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The bytes are not of this form.
    #[error("not readable protobuf: {0}")]
    Broken(&'static str),
    /// The kind has no binary form.
    #[error("{kind} in version {api_version:?} has no binary form")]
    Unknown {
        /// The kind.
        kind: String,
        /// Its group and version.
        api_version: String,
    },
    /// A field has a number that is not known here: the object has no binary form that loses nothing.
    #[error("the number of {0} is not known")]
    Unnumbered(String),
    /// A field's value does not fit its type.
    #[error("the value of {0} does not fit its type")]
    Value(String),
}

/// Whether a kind has a binary form.
pub fn has(model: &Model, api_version: &str, kind: &str) -> bool {
    model.messages().of_kind(api_version, kind).is_some()
}

/// The object of a body.
///
/// # Errors
/// When it is not in this form, or its kind is not known.
pub fn decode(model: &Model, bytes: &[u8]) -> Result<Value, ProtobufError> {
    let inner = bytes.strip_prefix(MAGIC).ok_or(ProtobufError::Broken("the prefix is missing"))?;
    decode::object(model.messages(), inner, 0)
}

/// The binary form of an object, by its `kind` and `apiVersion`.
///
/// # Errors
/// When the kind has no such form, or a value does not fit its type.
pub fn encode(model: &Model, object: &Value) -> Result<Vec<u8>, ProtobufError> {
    encode::object(model.messages(), object)
}

/// One event of a watch (`ADDED`) with its length before it, as the binary form of watches is framed.
///
/// # Errors
/// As [`encode`].
pub fn watch_event(model: &Model, event: &str, object: &Value) -> Result<Vec<u8>, ProtobufError> {
    let raw = wire::field_bytes(1, &encode(model, object)?);
    let message = [wire::field_bytes(1, event.as_bytes()), wire::field_bytes(2, &raw)].concat();
    let length = u32::try_from(message.len()).map_err(|_| ProtobufError::Value("object".to_owned()))?;
    Ok([length.to_be_bytes().as_slice(), &message].concat())
}
