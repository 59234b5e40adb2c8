//! OAuth errors with Entra's numbers and texts.

use http::StatusCode;
use kit::http::Response;
use serde_json::json;

/// An error of a token request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub status: StatusCode,
    /// `invalid_client`, …
    pub error: &'static str,
    /// The number behind `AADSTS`.
    pub number: u32,
    pub text: String,
}

impl Refused {
    pub(crate) fn new(error: &'static str, number: u32, text: impl Into<String>) -> Self {
        let status =
            if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        Self { status, error, number, text: text.into() }
    }

    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new(
            "invalid_request",
            900_144,
            format!("The request body must contain the following parameter: '{parameter}'."),
        )
    }

    pub(crate) fn unknown_app(client_id: &str, tenant: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            ..Self::new(
                "unauthorized_client",
                700_016,
                format!(
                    "Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."
                ),
            )
        }
    }

    pub(crate) fn unknown_tenant(tenant: &str) -> Self {
        Self::new(
            "invalid_request",
            90_002,
            format!(
                "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
            ),
        )
    }

    pub(crate) fn invalid_secret(app_id: &str) -> Self {
        Self::new(
            "invalid_client",
            7_000_215,
            format!(
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{app_id}'."
            ),
        )
    }

    pub(crate) fn server() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..Self::new("server_error", 90_033, "A transient error has occurred. Please try again.")
        }
    }

    pub(crate) fn response(&self, now: jiff::Timestamp, base: &str) -> Response {
        let (trace, correlation) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
        let time = now.strftime("%Y-%m-%d %H:%M:%SZ").to_string();
        kit::http::json(
            self.status,
            &json!({
                "error": self.error,
                "error_description": format!("AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {time}", self.number, self.text),
                "error_codes": [self.number], "timestamp": time, "trace_id": trace, "correlation_id": correlation,
                "error_uri": format!("{base}/error?code={}", self.number),
            }),
        )
    }
}
