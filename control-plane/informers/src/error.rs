//! What can go wrong in one run of a loop.

/// Why a key could not be reconciled; it is tried again later.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API refused or did not answer.
    #[error("request to the API server failed")]
    Api(#[from] kube::Error),
    /// Anything else, said in words.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// An error that is only words.
    pub fn other(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// The API's status, when it answered with one.
    pub fn status(&self) -> Option<&kube::core::Status> {
        match self {
            Self::Api(kube::Error::Api(status)) => Some(status),
            _ => None,
        }
    }

    /// Whether somebody else wrote first; the next run sees the newer object.
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(|s| s.code == 409 && s.reason != "AlreadyExists")
    }

    /// Whether the object is gone.
    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(|s| s.code == 404)
    }
}

/// Reads the status code out of a client error: `Some(404)` and the like.
pub(crate) fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}
