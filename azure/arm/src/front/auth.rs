//! Who is it: the bearer token.

use http::{StatusCode, header};

use super::{Front, Incoming};
use crate::{ArmError, Caller, TokenError};

impl Front {
    /// The caller, or 401.
    pub(super) async fn authenticate(&self, incoming: &Incoming) -> Result<Caller, ArmError> {
        if let Some(caller) = incoming.in_process.as_ref().and_then(|p| p.caller.as_deref()) {
            return Ok(caller.clone());
        }
        let Some(value) = incoming.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()) else {
            return Err(unauthorized(
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.".to_owned(),
            ));
        };
        let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
        if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
            return Err(unauthorized(
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is provided in an invalid format."
                    .to_owned(),
            ));
        }
        let verified = self.config.verifier.verify(token.trim(), &self.audiences(incoming)).await;
        let mut caller = verified.map_err(|error| self.explain(error))?;
        // A token of somebody in more groups than fit says so instead of naming them.
        let overage = ["_claim_names", "hasgroups"].iter().any(|claim| caller.claims.get(claim).is_some());
        if overage {
            caller.groups = self.config.directory.groups_of(&caller.object_id);
        }
        Ok(caller)
    }

    fn audiences(&self, incoming: &Incoming) -> Vec<String> {
        let mut found: Vec<String> = ["https://management.azure.com", "https://management.core.windows.net"]
            .map(str::to_owned)
            .to_vec();
        let authority = incoming.base_url.trim_start_matches("https://");
        let bare = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => authority,
        };
        if self.config.hosts.iter().any(|h| h.eq_ignore_ascii_case(bare)) {
            found.push(incoming.base_url.clone());
        }
        found
    }

    fn explain(&self, error: TokenError) -> ArmError {
        match error {
            TokenError::Invalid => {
                unauthorized("InvalidAuthenticationToken", "The access token is invalid.".to_owned())
            }
            TokenError::Expired { at } => unauthorized(
                "ExpiredAuthenticationToken",
                format!(
                    "The access token expiry UTC time '{at}' is earlier than current UTC time '{}'.",
                    self.config.clock.now()
                ),
            ),
            TokenError::Audience { audience } => unauthorized(
                "InvalidAuthenticationTokenAudience",
                format!(
                    "The access token has been obtained for wrong audience or resource '{audience}'. It should exactly match with one of the allowed audiences 'https://management.core.windows.net/','https://management.core.windows.net','https://management.azure.com/','https://management.azure.com'."
                ),
            ),
            TokenError::Tenant { issuer } => unauthorized(
                "InvalidAuthenticationTokenTenant",
                format!(
                    "The access token is from the wrong issuer '{issuer}'. It must match one of the tenants 'https://sts.windows.net/{}/' associated with this subscription. Please use correct authority (URL) to get the token.",
                    self.config.tenant_id
                ),
            ),
        }
    }
}

fn unauthorized(code: &str, message: String) -> ArmError {
    ArmError::new(StatusCode::UNAUTHORIZED, code, message)
}
