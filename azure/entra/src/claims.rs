//! What stands in tokens.
//!
//! Access tokens have the form their resource asks for (`api.requestedAccessTokenVersion` of its application): Azure's own
//! resources take v1 (`appid`, `upn`, issuer `sts.windows.net`), an application may want v2 (`azp`, `preferred_username`,
//! issuer `…/v2.0`, its own id as the audience).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::entra::{Entra, EntraError};
use crate::model::{Application, PrincipalKind, ServicePrincipal, User};
use crate::resources::{DIRECTORY_READERS, GLOBAL_ADMINISTRATOR, MEMBER};
use crate::{resources, secrets};

/// How long an access token is valid.
pub(crate) const ACCESS_S: i64 = 3_600;
/// How long a managed identity's token is valid.
pub(crate) const MANAGED_S: i64 = 24 * 3_600;

/// More groups than this do not go into a token, as Entra documents it for JWTs.
const GROUPS_MAX: usize = 200;

/// How a client proved itself: `appidacr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Public,
    Secret,
    Certificate,
}

impl Proof {
    fn acr(self) -> &'static str {
        match self {
            Proof::Public => "0",
            Proof::Secret => "1",
            Proof::Certificate => "2",
        }
    }
}

/// What a token is for.
pub(crate) struct Target<'a> {
    /// As the client named it.
    pub audience: &'a str,
    /// By which address the client came: v2 issuers begin with it.
    pub base: &'a str,
    /// The scopes it asked for.
    pub scope: &'a str,
}

/// Puts the two names of the client, as the token's version has them.
fn put_client(claims: &mut Value, app_id: &str, acr: &str) {
    let (id, proof) = if claims["ver"] == "2.0" { ("azp", "azpacr") } else { ("appid", "appidacr") };
    claims[id] = json!(app_id);
    claims[proof] = json!(acr);
}

impl Entra {
    /// The application in this tenant that a resource is, if it is one.
    pub(crate) fn application_named(&self, resource: &str) -> Option<Application> {
        self.store.state.read().applications.values().find(|a| resources::names(a, resource)).cloned()
    }

    fn common(&self, target: &Target<'_>, app: Option<&Application>, seconds: i64) -> Value {
        let now = self.now().as_second();
        let tenant = self.tenant_id();
        let mut claims = json!({
            "aud": target.audience, "iss": self.issuer(), "iat": now, "nbf": now - 5, "exp": now + seconds,
            "tid": tenant, "ver": "1.0", "uti": secrets::random(16), "aio": secrets::random(24),
            "rh": format!("1.{}.", secrets::random(20)), "xms_tcdt": 1_700_000_000,
        });
        let version =
            app.and_then(|a| a.extra.get("api")).and_then(|api| api.get("requestedAccessTokenVersion"));
        if let (Some(app), Some(2)) = (app, version.and_then(Value::as_i64)) {
            claims["ver"] = json!("2.0");
            claims["aud"] = json!(app.app_id);
            claims["iss"] = json!(format!("{}/{tenant}/v2.0", target.base));
        } else {
            claims["idp"] = claims["iss"].clone();
        }
        claims
    }

    fn sign(&self, claims: &Value) -> Result<String, EntraError> {
        let keys = self.keys.read().clone();
        keys.first().ok_or(EntraError::NotRsa)?.sign(claims)
    }

    /// Groups as they fit a token; when they do not, where they can be asked for. An application says whether it wants
    /// any; Azure's own resources do.
    fn put_groups(&self, claims: &mut Value, app: Option<&Application>, kind: &str, object_id: &str) {
        let wanted =
            |a: &Application| a.extra.get("groupMembershipClaims").and_then(Value::as_str).map(str::to_owned);
        if app.is_some_and(|a| wanted(a).is_none_or(|w| !w.contains("SecurityGroup") && !w.contains("All"))) {
            return;
        }
        let groups = self.groups_of(object_id);
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

    /// The values of the roles of `resource` that a principal (or a group it is in) was given.
    fn roles(&self, resource: &str, object_id: &str) -> Vec<String> {
        let groups = self.groups_of(object_id);
        let state = self.store.state.read();
        let Some(target) = resources::principal_named(&state, resource) else { return Vec::new() };
        let app = state.application_of(&target.app_id);
        let defined = app.and_then(|a| a.extra.get("appRoles")).or_else(|| target.extra.get("appRoles"));
        let defined: Vec<&Value> = defined.and_then(Value::as_array).into_iter().flatten().collect();
        let held = state.roles.values().filter(|r| {
            r.resource == target.id && (r.principal == object_id || groups.contains(&r.principal))
        });
        let value = |id: &str| defined.iter().find(|d| d["id"] == id).and_then(|d| d["value"].as_str());
        let mut found: Vec<String> = held.filter_map(|r| value(&r.role).map(str::to_owned)).collect();
        found.sort();
        found.dedup();
        found
    }

    /// An access token of a service principal.
    pub(crate) fn app_token(
        &self,
        principal: &ServicePrincipal,
        target: &Target<'_>,
        proof: Proof,
        seconds: i64,
    ) -> Result<String, EntraError> {
        let app = self.application_named(target.audience);
        let mut claims = self.common(target, app.as_ref(), seconds);
        let managed = principal.kind == PrincipalKind::ManagedIdentity;
        put_client(
            &mut claims,
            &principal.app_id,
            if managed || proof == Proof::Certificate { "2" } else { "1" },
        );
        claims["idtyp"] = json!("app");
        claims["oid"] = json!(principal.id);
        claims["sub"] = json!(principal.id);
        if resources::is_graph(target.audience) {
            claims["app_displayname"] = json!(principal.name);
            let admin = principal.admin.then_some(GLOBAL_ADMINISTRATOR);
            claims["wids"] = json!(admin.into_iter().chain([DIRECTORY_READERS]).collect::<Vec<_>>());
        }
        let roles = self.roles(target.audience, &principal.id);
        if !roles.is_empty() {
            claims["roles"] = json!(roles);
        }
        self.put_groups(&mut claims, app.as_ref(), "servicePrincipals", &principal.id);
        if managed {
            claims["xms_mirid"] = json!(principal.resource_id);
        }
        self.sign(&claims)
    }

    /// An access token of a user through a client.
    pub(crate) fn user_token(
        &self,
        user: &User,
        client_id: &str,
        target: &Target<'_>,
        proof: Proof,
    ) -> Result<String, EntraError> {
        let app = self.application_named(target.audience);
        let mut claims = self.common(target, app.as_ref(), ACCESS_S);
        put_client(&mut claims, client_id, proof.acr());
        claims["oid"] = json!(user.id);
        claims["sub"] = json!(secrets::fingerprint(&format!("{}{client_id}", user.id)));
        claims["name"] = json!(user.name);
        claims["scp"] = json!(self.granted(user, client_id, target));
        if claims["ver"] == "2.0" {
            claims["preferred_username"] = json!(user.upn);
        } else {
            claims["idtyp"] = json!("user");
            claims["upn"] = json!(user.upn);
            claims["unique_name"] = json!(user.upn);
            claims["amr"] = json!(["pwd"]);
            claims["acr"] = json!("1");
        }
        let admin = user.admin.then_some(GLOBAL_ADMINISTRATOR);
        claims["wids"] = json!(admin.into_iter().chain([MEMBER]).collect::<Vec<_>>());
        let roles = self.roles(target.audience, &user.id);
        if !roles.is_empty() {
            claims["roles"] = json!(roles);
        }
        self.put_groups(&mut claims, app.as_ref(), "users", &user.id);
        self.sign(&claims)
    }

    /// The permissions in a user's token: what the client was granted and what it asked for.
    fn granted(&self, user: &User, client_id: &str, target: &Target<'_>) -> String {
        if resources::is_known_client(client_id) {
            let all = if resources::is_graph(target.audience) {
                resources::GRAPH_SCOPES
            } else {
                "user_impersonation"
            };
            return all.to_owned();
        }
        let state = self.store.state.read();
        let client = state.principal_of(client_id).map(|p| p.id.clone());
        let resource = resources::principal_named(&state, target.audience).map(|p| p.id.clone());
        let grants = state.grants.values().filter(|g| {
            Some(&g.client) == client.as_ref()
                && Some(&g.resource) == resource.as_ref()
                && g.principal.as_ref().is_none_or(|p| *p == user.id)
        });
        let mut scopes: Vec<String> =
            grants.flat_map(|g| g.scope.split_whitespace()).map(str::to_owned).collect();
        let asked = target.scope.split_whitespace().filter_map(|s| s.rsplit_once('/').map(|(_, name)| name));
        scopes.extend(asked.filter(|name| *name != ".default").map(str::to_owned));
        if scopes.is_empty() {
            scopes.push("user_impersonation".to_owned());
        }
        scopes.sort();
        scopes.dedup();
        scopes.join(" ")
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
        if let Some(app) = self.store.state.read().application_of(client_id).cloned() {
            self.put_groups(&mut claims, Some(&app), "users", &user.id);
        }
        self.sign(&claims)
    }

    /// `client_info` of a user.
    pub(crate) fn client_info(&self, user: &User) -> String {
        URL_SAFE_NO_PAD.encode(json!({"uid": user.id, "utid": self.tenant_id()}).to_string())
    }
}
