//! Who asks, and whether they may: by a role's data actions, or by the vault's access policies.

use arm::json::{list, text};
use arm::{Caller, TokenError};
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::asked::{Asked, Vault};
use super::kind::Right;
use super::{DataPlane, Failure};

/// The vault service's application: tokens may name it as their audience.
const APPLICATION: &str = "cfa8b339-82a2-471a-a3c9-0fc0be7a4093";

impl DataPlane {
    /// `https://vault.azure.net`: what tokens are made for.
    fn audience(&self) -> String {
        format!("https://{}", self.suffix)
    }

    /// The caller, or 401 with the challenge.
    pub(super) async fn authenticate(&self, headers: &HeaderMap) -> Result<Caller, Failure> {
        let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = value
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty());
        let Some((_, token)) = token else {
            return Err(self.unauthorized("AKV10000: Request is missing a Bearer or PoP token.".to_owned()));
        };
        let audiences = [self.audience(), "https://vault.azure.net".to_owned(), APPLICATION.to_owned()];
        self.verifier.verify(token.trim(), &audiences).await.map_err(|error| {
            self.unauthorized(match error {
                TokenError::Invalid => {
                    "[BearerReadAccessTokenFailed] Error validating token: the token is malformed or its signature is not valid."
                        .to_owned()
                }
                TokenError::Expired { at } => format!(
                    "[TokenExpired] Error validating token: 'S2S12010'. The token expired at {at}."
                ),
                TokenError::Audience { audience } => format!(
                    "AKV10022: Invalid audience. Expected {}, found: {audience}.",
                    self.audience()
                ),
                TokenError::Tenant { issuer } => format!(
                    "AKV10032: Invalid issuer. Expected one of https://sts.windows.net/{}/, found {issuer}.",
                    self.tenant_id
                ),
            })
        })
    }

    fn unauthorized(&self, message: String) -> Failure {
        Failure::new(StatusCode::UNAUTHORIZED, "Unauthorized", message).challenge(format!(
            "Bearer authorization=\"https://login.microsoftonline.com/{}\", resource=\"{}\"",
            self.tenant_id,
            self.audience()
        ))
    }

    /// Refuses unless the caller has the right on the object (or, without a name, on the vault).
    pub(super) fn authorize(&self, asked: &Asked, right: Right, name: Option<&str>) -> Result<(), Failure> {
        if asked.vault.by_roles() { self.by_roles(asked, right, name) } else { by_policy(asked, right) }
    }

    fn by_roles(&self, asked: &Asked, right: Right, name: Option<&str>) -> Result<(), Failure> {
        let vault = &asked.vault.resource.id;
        let scope = name.map_or_else(|| vault.clone(), |name| vault.child(right.kind.plural(), name));
        let action = format!("Microsoft.KeyVault/vaults/{}", right.action);
        let caller = &asked.caller;
        if self.access.may_data(&caller.object_id, &caller.groups, &action, &scope) {
            return Ok(());
        }
        Err(Failure::forbidden(format!(
            "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\nCaller: {}\r\nAction: '{action}'\r\nResource: '{}'\r\nAssignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: null \r\nVault: {};location={}\r\n",
            named(caller),
            scope.to_string().to_ascii_lowercase(),
            asked.vault.name,
            asked.vault.location
        ))
        .inner("ForbiddenByRbac"))
    }
}

/// `appid=…;oid=…;iss=…`, as the service names a caller.
fn named(caller: &Caller) -> String {
    format!(
        "appid={};oid={};iss=https://sts.windows.net/{}/",
        caller.app_id.as_deref().unwrap_or_default(),
        caller.object_id,
        caller.tenant_id
    )
}

fn by_policy(asked: &Asked, right: Right) -> Result<(), Failure> {
    let Asked { vault, caller, .. } = asked;
    let allowed = list(&vault.resource.properties, "/accessPolicies").iter().any(|policy| {
        concerns(policy, caller)
            && list(policy, &format!("/permissions/{}", right.kind.plural())).iter().any(|permission| {
                let permission = permission.as_str().unwrap_or_default();
                permission.eq_ignore_ascii_case(right.permission) || permission.eq_ignore_ascii_case("all")
            })
    });
    if allowed {
        return Ok(());
    }
    Err(Failure::forbidden(format!(
        "The user, group or application '{}' does not have {} {} permission on key vault '{};location={}'. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125287",
        named(caller),
        right.kind.plural(),
        right.permission,
        vault.name,
        vault.location
    ))
    .inner("AccessDenied"))
}

/// Whether a policy is for the caller: for it or a group of it, and through the application the policy names.
fn concerns(policy: &Value, caller: &Caller) -> bool {
    let is = |pointer: &str, have: &str| text(policy, pointer).is_some_and(|p| p.eq_ignore_ascii_case(have));
    is("/tenantId", &caller.tenant_id)
        && (is("/objectId", &caller.object_id) || caller.groups.iter().any(|group| is("/objectId", group)))
        && text(policy, "/applicationId").is_none_or(|wanted| {
            caller.app_id.as_deref().is_some_and(|have| wanted.eq_ignore_ascii_case(have))
        })
}

impl Vault {
    /// Refuses a purge that the vault forbids.
    pub(super) fn check_purge(&self) -> Result<(), Failure> {
        if !self.protected() {
            return Ok(());
        }
        Err(Failure::forbidden(
            "Operation \"purge\" is not allowed because purge protection is enabled for this vault. Key Vault service will automatically purge it after the retention period has passed.",
        ))
    }
}
