//! What stands in tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::entra::{Entra, EntraError};
use crate::errors::Refused;
use crate::model::{PrincipalKind, ServicePrincipal, User};
use crate::secrets;

/// How long an access token is valid.
pub(crate) const ACCESS_S: i64 = 3_600;
/// How long a managed identity's token is valid.
pub(crate) const MANAGED_S: i64 = 24 * 3_600;

/// More groups than this do not go into a token, as Entra documents it for JWTs.
const GROUPS_MAX: usize = 200;

/// The AKS server application: the audience of tokens for clusters.
pub(crate) const AKS_SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";

/// Resources of the cloud itself, beside those of the front door's hosts.
const KNOWN: &[&str] = &[
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://graph.microsoft.com",
    "https://graph.windows.net",
    "https://vault.azure.net",
    "https://containerregistry.azure.net",
    "https://storage.azure.com",
    "https://monitor.azure.com",
    "https://api.loganalytics.io",
    "https://database.windows.net",
    "https://dns.azure.net",
    "https://servicebus.azure.net",
    "https://eventhubs.azure.net",
    "https://batch.core.windows.net",
    AKS_SERVER,
    "00000003-0000-0000-c000-000000000000",
    "797f4846-ba00-4fd7-ba43-dac1f8f63013",
];

/// How a client proved itself: `appidacr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Public,
    Secret,
    Certificate,
}

impl Entra {
    /// The audience that a scope asks for, if this directory knows it.
    pub(crate) fn audience(&self, scope: &str) -> Result<String, Refused> {
        let skip = ["offline_access", "openid", "profile", "email"];
        let wanted = scope.split_whitespace().find(|s| !skip.contains(&s.to_ascii_lowercase().as_str()));
        let Some(wanted) = wanted else { return Ok("00000003-0000-0000-c000-000000000000".to_owned()) };
        let resource = match wanted.strip_suffix("/.default") {
            Some(resource) => resource,
            None if wanted.contains("://") || wanted.contains('/') => {
                wanted.rsplit_once('/').map_or(wanted, |(r, _)| r)
            }
            None => wanted,
        };
        self.check_resource(resource)?;
        Ok(resource.to_owned())
    }

    /// Refuses resources that are not of this cloud.
    pub(crate) fn check_resource(&self, resource: &str) -> Result<(), Refused> {
        let bare = resource.trim_end_matches('/').trim_start_matches("spn:").to_ascii_lowercase();
        let host =
            bare.strip_prefix("https://").map(|rest| rest.split(['/', ':']).next().unwrap_or("").to_owned());
        let of_host = host.is_some_and(|host| {
            self.config.hosts.iter().any(|h| h.eq_ignore_ascii_case(&host))
                || host.ends_with(".vault.azure.net")
                || host.ends_with(".azurecr.io")
        });
        let state = self.store.state.read();
        let of_app = || {
            state.applications.values().any(|a| {
                a.app_id.eq_ignore_ascii_case(&bare)
                    || bare.strip_prefix("api://").is_some_and(|id| a.app_id.eq_ignore_ascii_case(id))
                    || a.identifier_uris.iter().any(|u| u.trim_end_matches('/').eq_ignore_ascii_case(&bare))
            })
        };
        if of_host || KNOWN.contains(&bare.as_str()) || of_app() {
            return Ok(());
        }
        Err(Refused::new(
            "invalid_resource",
            500_011,
            format!(
                "The resource principal named {resource} was not found in the tenant named Lazurite. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant."
            ),
        ))
    }

    fn common(&self, audience: &str, seconds: i64) -> Value {
        let now = self.now().as_second();
        let tenant = self.tenant_id();
        json!({
            "aud": audience, "iss": format!("https://sts.windows.net/{tenant}/"), "iat": now, "nbf": now - 5, "exp": now + seconds,
            "tid": tenant, "ver": "1.0", "uti": secrets::random(16), "aio": secrets::random(24),
            "rh": secrets::random(16), "idp": format!("https://sts.windows.net/{tenant}/"), "xms_tcdt": 1_700_000_000,
        })
    }

    fn sign(&self, claims: &Value) -> Result<String, EntraError> {
        let keys = self.keys.read().clone();
        keys.first().ok_or(EntraError::NotRsa)?.sign(claims)
    }

    /// Groups as they fit a token; when they do not, where they can be asked for.
    fn put_groups(&self, claims: &mut Value, groups: Vec<String>, kind: &str, object_id: &str) {
        match groups.len() {
            0 => {}
            1..=GROUPS_MAX => claims["groups"] = json!(groups),
            _ => {
                let endpoint = format!(
                    "https://graph.windows.net/{}/{kind}/{object_id}/getMemberObjects",
                    self.tenant_id()
                );
                claims["_claim_names"] = json!({"groups": "src1"});
                claims["_claim_sources"] = json!({"src1": {"endpoint": endpoint}});
            }
        }
    }

    /// An access token of a service principal.
    pub(crate) fn app_token(
        &self,
        principal: &ServicePrincipal,
        audience: &str,
        proof: Proof,
        seconds: i64,
    ) -> Result<String, EntraError> {
        let mut claims = self.common(audience, seconds);
        let groups = self.store.state.read().groups_of(&principal.id);
        claims["appid"] = json!(principal.app_id);
        claims["appidacr"] = json!(if proof == Proof::Certificate { "2" } else { "1" });
        claims["idtyp"] = json!("app");
        claims["oid"] = json!(principal.id);
        claims["sub"] = json!(principal.id);
        claims["app_displayname"] = json!(principal.name);
        self.put_groups(&mut claims, groups, "servicePrincipals", &principal.id);
        if principal.kind == PrincipalKind::ManagedIdentity {
            claims["appidacr"] = json!("2");
            claims["xms_mirid"] = json!(principal.resource_id);
        }
        self.sign(&claims)
    }

    /// An access token of a user through a client.
    pub(crate) fn user_token(
        &self,
        user: &User,
        client_id: &str,
        audience: &str,
        proof: Proof,
    ) -> Result<String, EntraError> {
        let mut claims = self.common(audience, ACCESS_S);
        let groups = self.store.state.read().groups_of(&user.id);
        claims["appid"] = json!(client_id);
        claims["appidacr"] = json!(match proof {
            Proof::Public => "0",
            Proof::Secret => "1",
            Proof::Certificate => "2",
        });
        claims["idtyp"] = json!("user");
        claims["oid"] = json!(user.id);
        claims["sub"] = json!(secrets::fingerprint(&format!("{}{client_id}", user.id)));
        claims["upn"] = json!(user.upn);
        claims["unique_name"] = json!(user.upn);
        claims["name"] = json!(user.name);
        claims["amr"] = json!(["pwd"]);
        claims["scp"] = json!("user_impersonation");
        claims["acr"] = json!("1");
        self.put_groups(&mut claims, groups, "users", &user.id);
        self.sign(&claims)
    }

    /// An id token of a user for a client.
    pub(crate) fn id_token(
        &self,
        user: &User,
        client_id: &str,
        base: &str,
        nonce: Option<&str>,
    ) -> Result<String, EntraError> {
        let now = self.now().as_second();
        let tenant = self.tenant_id();
        let mut claims = json!({
            "aud": client_id, "iss": format!("{base}/{tenant}/v2.0"), "iat": now, "nbf": now - 5, "exp": now + ACCESS_S, "tid": tenant,
            "oid": user.id, "sub": secrets::fingerprint(&format!("{}{client_id}", user.id)), "name": user.name,
            "preferred_username": user.upn, "upn": user.upn, "ver": "2.0", "uti": secrets::random(16),
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        self.sign(&claims)
    }

    /// `client_info` of a user.
    pub(crate) fn client_info(&self, user: &User) -> String {
        URL_SAFE_NO_PAD.encode(json!({"uid": user.id, "utid": self.tenant_id()}).to_string())
    }
}
