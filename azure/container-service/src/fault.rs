//! Refusals in AKS's words.
//!
//! A [`Fault`] is what validation says; it knows its HTTP status and becomes the front door's error at the edge.

/// A refusal: code, message and, where AKS gives one, the property at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("({code}) {message}")]
pub struct Fault {
    /// HTTP status.
    pub status: u16,
    /// Machine-readable code, for example `InvalidParameter`.
    pub code: String,
    /// What a person reads.
    pub message: String,
    /// The property at fault, as AKS names it.
    pub target: Option<String>,
}

impl Fault {
    /// A refusal with this status, code and message.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), target: None }
    }

    /// A 400.
    pub fn bad_request(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// `InvalidParameter` for a property, with the reason.
    pub fn parameter(property: &str, reason: impl std::fmt::Display) -> Self {
        Self::bad_request(
            "InvalidParameter",
            format!("The value of parameter {property} is invalid. Error details: {reason}"),
        )
        .target(property)
    }

    /// `PropertyChangeNotAllowed`.
    pub fn immutable(property: &str) -> Self {
        Self::bad_request(
            "PropertyChangeNotAllowed",
            format!("Changing property '{property}' is not allowed."),
        )
        .target(property)
    }

    /// `OperationNotAllowed`: another operation runs.
    pub fn in_progress(what: &str, state: &str) -> Self {
        Self::new(
            409,
            "OperationNotAllowed",
            format!(
                "{what} is not allowed: Another operation ({state}) is in progress, please wait for it to finish \
                 before starting a new operation. See https://aka.ms/aks-pending-operation for more details"
            ),
        )
    }

    /// Names the property at fault.
    pub fn target(mut self, target: &str) -> Self {
        self.target = Some(target.to_owned());
        self
    }
}

impl From<Fault> for arm::ArmError {
    fn from(fault: Fault) -> Self {
        let status = http::StatusCode::from_u16(fault.status).unwrap_or(http::StatusCode::BAD_REQUEST);
        let error = Self::new(status, fault.code, fault.message);
        match fault.target {
            Some(target) => error.target(target),
            None => error,
        }
    }
}
