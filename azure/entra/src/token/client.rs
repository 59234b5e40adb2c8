//! Tokens for applications.

use serde_json::{Value, json};

use super::Form;
use crate::claims::{ACCESS_S, Proof, Target};
use crate::entra::Entra;
use crate::errors::Refused;
use crate::model::{Application, Certificate, Federated, ServicePrincipal};
use crate::pages::loopback;
use crate::secrets;

const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A confidential client has to prove that it is the one.
pub(super) fn no_proof() -> Refused {
    Refused::new(
        "invalid_client",
        7_000_218,
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    )
}

/// Whether an application may be answered at an address without proving anything: it is one of its kinds for programs that
/// keep no secrets. The port of a loopback address is chosen when it is used.
fn is_public_reply(application: &Application, reply: &str) -> bool {
    ["publicClient", "spa"].iter().any(|kind| {
        let uris =
            application.extra.get(*kind).and_then(|k| k.get("redirectUris")).and_then(|u| u.as_array());
        let mut uris = uris.into_iter().flatten().filter_map(|uri| uri.as_str());
        uris.any(|uri| uri == reply || loopback(uri) && loopback(reply))
    })
}

impl Entra {
    /// Whether a client has to prove that it is the one: a registered application that can, and neither says that it is a
    /// public one (`isFallbackPublicClient`) nor is answered at an address of a public one.
    pub(super) fn is_confidential(&self, client_id: &str, reply: Option<&str>) -> bool {
        let (Some(application), principal) = self.client_of(client_id) else { return false };
        let proves = !application.secrets.is_empty()
            || !application.certificates.is_empty()
            || !application.federated.is_empty()
            || principal.is_some_and(|p| !p.secrets.is_empty() || !p.certificates.is_empty());
        let public = application.extra.get("isFallbackPublicClient").and_then(Value::as_bool) == Some(true);
        proves && !public && !reply.is_some_and(|reply| is_public_reply(&application, reply))
    }

    fn client_of(&self, client_id: &str) -> (Option<Application>, Option<ServicePrincipal>) {
        let state = self.store.state.read();
        (state.application_of(client_id).cloned(), state.principal_of(client_id).cloned())
    }

    /// Checks the credential of a confidential client.
    pub(super) async fn prove(
        &self,
        form: &Form,
        client_id: &str,
    ) -> Result<(Proof, ServicePrincipal), Refused> {
        let (app, principal) = self.client_of(client_id);
        let principal = principal.ok_or_else(|| Refused::unknown_app(client_id, "Lazurite"))?;
        if let Some(assertion) = form.get("client_assertion") {
            if form.need("client_assertion_type")? != JWT_BEARER {
                return Err(Refused::new(
                    "invalid_request",
                    50_012,
                    "The client assertion type is not supported.",
                ));
            }
            let trusts: Vec<Federated> =
                app.iter().flat_map(|a| a.federated.iter()).chain(&principal.federated).cloned().collect();
            let certificates: Vec<Certificate> = app
                .iter()
                .flat_map(|a| a.certificates.iter())
                .chain(&principal.certificates)
                .cloned()
                .collect();
            self.check_assertion(client_id, &certificates, &trusts, assertion, &form.base).await?;
            return Ok((Proof::Certificate, principal));
        }
        let Some(secret) = form.get("client_secret") else {
            return Err(no_proof());
        };
        let now = self.now().to_string();
        let kept = app.iter().flat_map(|a| a.secrets.iter()).chain(&principal.secrets);
        let fitting: Vec<_> = kept.filter(|s| secrets::fits(secret, &s.hash)).collect();
        if fitting.is_empty() {
            return Err(Refused::invalid_secret(client_id));
        }
        if fitting.iter().all(|s| s.end < now) {
            return Err(Refused::new(
                "invalid_client",
                7_000_222,
                format!(
                    "The provided client secret keys for app '{client_id}' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds."
                ),
            ));
        }
        Ok((Proof::Secret, principal))
    }

    pub(super) async fn client_credentials(&self, form: &Form) -> Result<Value, Refused> {
        let client_id = form.need("client_id")?.to_owned();
        let scope = form.scope().ok_or_else(|| Refused::missing("scope"))?;
        let (proof, principal) = self.prove(form, &client_id).await?;
        if !principal.enabled {
            return Err(Refused::new(
                "unauthorized_client",
                7_000_112,
                format!("Application '{client_id}' is disabled."),
            ));
        }
        if !form.v1 && !scope.trim_end().ends_with("/.default") {
            return Err(Refused::new(
                "invalid_scope",
                1_002_012,
                format!(
                    "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
                ),
            ));
        }
        let audience = self.audience(&scope)?;
        let target = Target { audience: &audience, base: &form.base, scope: &scope };
        let token = self.app_token(&principal, &target, proof, ACCESS_S)?;
        let mut body = json!({"token_type": "Bearer", "expires_in": ACCESS_S - 1, "ext_expires_in": ACCESS_S - 1, "access_token": token});
        if form.v1 {
            body["resource"] = json!(audience);
        }
        Ok(body)
    }

    /// The object id of the application with this id and secret, for services that take the pair itself (a container
    /// registry's basic authentication).
    pub fn client_with_secret(&self, client_id: &str, secret: &str) -> Option<String> {
        let (app, principal) = self.client_of(client_id);
        let principal = principal.filter(|p| p.enabled)?;
        let now = self.now().to_string();
        let mut kept = app.iter().flat_map(|a| a.secrets.iter()).chain(&principal.secrets);
        kept.any(|s| s.end > now && secrets::fits(secret, &s.hash)).then(|| principal.id.clone())
    }
}
