//! What the registry answers when it cannot: the distribution specification's error bodies.

use http::{HeaderValue, StatusCode, header};
use kit::http::Response;
use serde_json::json;

use super::store::StoreError;

/// An error answer.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    code: &'static str,
    message: String,
    challenge: Option<String>,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), challenge: None }
    }

    pub(super) fn unsupported() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "the operation is unsupported")
    }

    pub(super) fn not_found(code: &'static str, what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, format!("{what} is not known to the registry"))
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "CONFLICT", message)
    }

    pub(super) fn digest(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
    }

    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "DENIED", message)
    }

    /// 401 with the challenge that leads clients to a token.
    pub(super) fn unauthorized(challenge: String) -> Self {
        let message = "authentication required, visit https://aka.ms/acr/authorization for more information.";
        Self { challenge: Some(challenge), ..Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message) }
    }

    pub(super) fn into_response(self) -> Response {
        let body = json!({"errors": [{"code": self.code, "message": self.message}]});
        let mut response = kit::http::json(self.status, &body);
        if let Some(challenge) = self.challenge.and_then(|text| HeaderValue::from_str(&text).ok()) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %kit::Chain(&error), "the registry's store failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "UNKNOWN",
            "the registry could not read or write its store",
        )
    }
}

impl From<kit::http::BodyError> for Failure {
    fn from(error: kit::http::BodyError) -> Self {
        match error {
            kit::http::BodyError::TooLarge { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", error.to_string())
            }
            kit::http::BodyError::Broken(_) => {
                Self::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", error.to_string())
            }
        }
    }
}
