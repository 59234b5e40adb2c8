//! Why an evaluation fails.

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// Something in it does not work out; the text is upstream's.
    #[error("{0}")]
    Failed(String),
    /// It costs more than it may.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostLimit,
}

impl EvalError {
    /// A failure with a text.
    pub fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }

    /// No function fits the values.
    pub(crate) fn no_overload() -> Self {
        Self::failed("no such overload")
    }

    /// A map or object has no such key.
    pub(crate) fn no_key(key: &str) -> Self {
        Self::failed(format!("no such key: {key}"))
    }
}
