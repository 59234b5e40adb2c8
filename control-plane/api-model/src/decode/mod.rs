//! Reads the texts clients send, JSON and YAML, and says what is wrong with them in the words of upstream's decoder.
//!
//! Reading is one pass; of a key that stands twice the last value counts and [`Read::repeated`] tells that it happened. What exactly is
//! wrong (which keys stand twice or are unknown, in which order, which value does not fit) is worked out by a second look that only texts
//! with something wrong ever need: [`unknown_and_repeated`], [`repeated_json`], [`repeated_yaml`], [`misfit`].
//!
//! Guarantees: no text makes these functions panic, or take memory out of proportion to its length (aliases of YAML are counted).
//! Nothing here is about a kind's own rules; that is [`crate::validation`].

mod document;
mod fit;
mod read;
mod scan;
mod strict;

pub use document::Document;
pub use fit::misfit;
pub use read::{Read, json, yaml};
pub use strict::{repeated_json, repeated_yaml, unknown_and_repeated, unknown_operations};

/// Why a text cannot be read. The text is upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(pub String);
