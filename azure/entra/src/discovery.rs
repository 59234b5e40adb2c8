//! OpenID Connect discovery, keys, instance discovery, user realm.

use serde_json::{Value, json};

use crate::entra::Entra;

impl Entra {
    /// The discovery document. URLs are those by which the client came.
    pub(crate) fn discovery(&self, base: &str, tenant: &str, v2: bool) -> Value {
        let id = self.tenant_id();
        // `organizations` and `common` keep their name in the URLs; the issuer is a template for them, as in Entra.
        let shown = if tenant.eq_ignore_ascii_case(&self.domain()) { id.as_str() } else { tenant };
        let named = ["common", "organizations", "consumers"].contains(&tenant.to_ascii_lowercase().as_str());
        let mid = if v2 { "/v2.0" } else { "" };
        let issuer = match (v2, named) {
            (true, true) => format!("{base}/{{tenantid}}/v2.0"),
            (true, false) => format!("{base}/{id}/v2.0"),
            (false, true) => "https://sts.windows.net/{tenantid}/".to_owned(),
            (false, false) => self.issuer(),
        };
        let graph = if base.ends_with("//login.microsoftonline.com") {
            "graph.microsoft.com"
        } else {
            base.trim_start_matches("https://")
        };
        json!({
            "token_endpoint": format!("{base}/{shown}/oauth2{mid}/token"),
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": format!("{base}/{shown}/discovery{mid}/keys"),
            "response_modes_supported": ["query", "fragment", "form_post"], "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"], "issuer": issuer,
            "request_uri_parameter_supported": false,
            "authorization_endpoint": format!("{base}/{shown}/oauth2{mid}/authorize"),
            "device_authorization_endpoint": format!("{base}/{shown}/oauth2{mid}/devicecode"),
            "http_logout_supported": true, "frontchannel_logout_supported": true,
            "end_session_endpoint": format!("{base}/{shown}/oauth2{mid}/logout"),
            "claims_supported": ["sub", "iss", "cloud_instance_name", "aud", "exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name", "tid", "ver", "at_hash", "c_hash", "email"],
            "userinfo_endpoint": format!("https://{graph}/oidc/userinfo"), "tenant_region_scope": "WW",
            "cloud_instance_name": base.trim_start_matches("https://"), "cloud_graph_host_name": graph, "msgraph_host": graph,
            "rbac_url": "https://pas.windows.net",
        })
    }

    /// The JWKS: the current key first.
    pub fn jwks(&self) -> Value {
        let issuer = self.issuer();
        json!({"keys": self.keys.read().iter().map(|k| k.public(&issuer)).collect::<Vec<_>>()})
    }

    /// The answer to instance discovery: this host is an authority of its own.
    pub(crate) fn instance_discovery(&self, base: &str) -> Value {
        let host = base.trim_start_matches("https://");
        let mut aliases =
            vec![json!({"preferred_network": host, "preferred_cache": host, "aliases": [host]})];
        if host == "login.microsoftonline.com" {
            aliases = vec![json!({"preferred_network": host, "preferred_cache": "login.windows.net",
                "aliases": [host, "login.windows.net", "login.microsoft.com", "sts.windows.net"]})];
        }
        json!({
            "tenant_discovery_endpoint": format!("{base}/{}/v2.0/.well-known/openid-configuration", self.tenant_id()),
            "api-version": "1.1", "metadata": aliases,
        })
    }

    /// The realm of a user: always ours.
    pub(crate) fn user_realm(&self, upn: &str, base: &str) -> Value {
        json!({
            "ver": "1.0", "account_type": "Managed", "domain_name": upn.split_once('@').map_or("", |(_, d)| d),
            "cloud_instance_name": base.trim_start_matches("https://"), "cloud_audience_urn": "urn:federation:MicrosoftOnline",
        })
    }
}
