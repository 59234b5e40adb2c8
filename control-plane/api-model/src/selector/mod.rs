//! Label selectors and field selectors.

mod field;
mod label;

pub use field::{FieldRequirement, FieldSelector, value_of};
pub use label::{LabelSelector, Operator, Requirement};

/// Why a selector is refused; the text is upstream's as far as clients see it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(pub String);
