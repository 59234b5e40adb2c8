//! What a vault answers when it cannot: `{"error":{"code","message","innererror"}}`.

use http::{HeaderValue, StatusCode, header};
use kit::http::Response;
use serde_json::json;

use super::kind::Kind;

/// An error answer.
#[derive(Debug)]
pub(crate) struct Failure {
    status: StatusCode,
    code: String,
    message: String,
    inner: Option<&'static str>,
    challenge: Option<String>,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), inner: None, challenge: None }
    }

    /// With the inner code that tells causes of one code apart.
    pub(crate) fn inner(mut self, code: &'static str) -> Self {
        self.inner = Some(code);
        self
    }

    /// With the header that leads clients to a token.
    pub(super) fn challenge(mut self, text: String) -> Self {
        self.challenge = Some(text);
        self
    }

    /// 400: something in the request is wrong.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadParameter", message)
    }

    /// 403.
    pub(crate) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message)
    }

    /// 409.
    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "Conflict", message)
    }

    /// 501, naming what is not built.
    pub(crate) fn not_implemented(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "NotImplemented",
            format!("{what} is not implemented by this cloud."),
        )
    }

    /// 500; the cause is in the log.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", "An internal error occurred.")
    }

    /// 404 for an object or a version of it.
    pub(super) fn not_found(kind: Kind, name: &str, version: Option<&str>) -> Self {
        let named = version.map_or_else(|| name.to_owned(), |version| format!("{name}/{version}"));
        Self::new(
            StatusCode::NOT_FOUND,
            kind.not_found(),
            format!(
                "A {} with (name/id) {named} was not found in this key vault. If you recently deleted this {} you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182",
                kind.noun(),
                kind.noun(),
            ),
        )
    }

    /// 404 for an object that was not deleted, or is purged.
    pub(super) fn deleted_not_found(kind: Kind, name: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            kind.not_found(),
            format!("Deleted {} not found: {name}", kind.title()),
        )
    }

    /// 409 for a name that a deleted object still has.
    pub(super) fn recoverable(kind: Kind, name: &str) -> Self {
        Self::conflict(format!(
            "{} {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the {} can only be recovered or purged.",
            kind.title(),
            kind.noun(),
        ))
        .inner("ObjectIsDeletedButRecoverable")
    }

    pub(super) fn into_response(self) -> Response {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(inner) = self.inner {
            error["innererror"] = json!({"code": inner});
        }
        let mut response = kit::http::json(self.status, &json!({"error": error}));
        if let Some(challenge) = self.challenge.and_then(|text| HeaderValue::from_str(&text).ok()) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<arm::StoreError> for Failure {
    fn from(error: arm::StoreError) -> Self {
        tracing::error!(error = %kit::Chain(&error), "the vaults' store failed");
        Self::internal()
    }
}
