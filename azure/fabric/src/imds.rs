//! The instance metadata service of a machine: 169.254.169.254.

use async_trait::async_trait;
use serde_json::Value;

/// A machine asks for a token of its managed identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImdsTokenRequest {
    /// The ARM id of the machine that asks, known from the address it asked from.
    pub machine_resource_id: String,
    /// `resource`: the audience.
    pub resource: String,
    /// `client_id`, when asked by it.
    pub client_id: Option<String>,
    /// `object_id` or `principal_id`, when asked by it.
    pub object_id: Option<String>,
    /// `msi_res_id` or `mi_res_id`, when asked by it.
    pub identity_resource_id: Option<String>,
}

/// Why there is no token; the answer is 400 with these two, in OAuth2's form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {description}")]
pub struct ImdsTokenError {
    /// For example `invalid_request`.
    pub error: String,
    /// For people.
    pub description: String,
}

/// Who makes tokens for machines. The application wires it; without it every request is answered 400.
#[async_trait]
pub trait ImdsTokens: Send + Sync + 'static {
    /// The token response: `access_token`, `client_id`, `expires_in`, `expires_on`, `ext_expires_in`,
    /// `not_before`, `resource`, `token_type`.
    async fn token(&self, request: ImdsTokenRequest) -> Result<Value, ImdsTokenError>;
}
