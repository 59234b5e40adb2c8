//! Says whether the node it runs on may pull images from a container registry: what `az aks check-acr` runs, in the host's network
//! and with the host's `/etc/kubernetes`.
//!
//! ```text
//! azure.json ─▶ whose token ─▶ metadata service ─▶ <registry>/oauth2/exchange ─▶ <registry>/oauth2/token ─▶ a question only
//!                                                                                who may pull gets an answer to
//! ```
//!
//! Guarantees: it goes the way of the kubelet, so a role that is missing here is missing there; the first step that fails is
//! named, with what was answered. Does not: pull anything, or print a token.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use kit::client::Client;
use serde::Deserialize;
use serde_json::Value;

const RESOURCE: &str = "https://management.azure.com/";
/// Nobody has it; whoever may pull is told so.
const REPOSITORY: &str = "aks-canipull";
const LIMIT: Duration = Duration::from_secs(10);
/// `kubectl run -it` attaches when it has seen the pod run, and what was printed before that is not shown to anybody.
const ATTACHED_BY: Duration = Duration::from_secs(2);
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// What is to be checked, and with what.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The registry's name, for example `shop.azurecr.io`.
    pub registry: String,
    /// How much to say; all is said at every level.
    #[arg(short = 'v', default_value_t = 0)]
    pub verbosity: u8,
    /// What the node knows of its cloud.
    #[arg(long, default_value = "/etc/kubernetes/azure.json")]
    pub config: PathBuf,
    /// Whom to trust beside the public authorities; need not be there.
    #[arg(long, default_value = "/etc/kubernetes/certs/registry-ca.crt")]
    pub registry_ca: PathBuf,
    /// The metadata service.
    #[arg(long, default_value = "http://169.254.169.254")]
    pub metadata: String,
}

/// What is read of `azure.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cloud {
    cloud: String,
    tenant_id: String,
    #[serde(default)]
    use_managed_identity_extension: bool,
    #[serde(default, rename = "userAssignedIdentityID")]
    client_id: String,
}

/// Says step by step how far the node comes.
///
/// # Errors
/// The first step that failed; it was printed.
pub async fn run(options: Options) -> Result<()> {
    tokio::time::sleep(ATTACHED_BY).await;
    let cloud = told("Reading the node's cloud configuration", read(&options.config))?;
    println!("Cloud: {}", cloud.cloud);
    println!("Identity of the kubelet: {}", cloud.client_id);
    let ca = match kit::files::read_string(&options.registry_ca) {
        Err(error) if error.is_missing() => String::new(),
        read => read?,
    };
    let client = Client::new(&ca, None, kit::names::Names::new(), None)?;
    let check = Check { client, cloud, registry: options.registry, metadata: options.metadata };
    let token = told("Getting a token of the identity", check.identity().await)?;
    let signed = check.exchange(&token).await;
    let refresh = told(&format!("Signing in to {}", check.registry), signed)?;
    told("Checking the permission to pull", check.pull(&refresh).await)?;
    println!("The node can pull images from {}.", check.registry);
    Ok(())
}

/// Prints how a step ended.
fn told<T>(step: impl Display, outcome: Result<T>) -> Result<T> {
    match &outcome {
        Ok(_) => println!("{step}: SUCCEEDED"),
        Err(error) => println!("{step}: FAILED ({error:#})"),
    }
    outcome
}

fn read(path: &Path) -> Result<Cloud> {
    let cloud: Cloud = serde_json::from_str(&kit::files::read_string(path)?)
        .with_context(|| format!("`{}` is damaged", path.display()))?;
    ensure!(cloud.use_managed_identity_extension, "the node has no managed identity");
    Ok(cloud)
}

struct Check {
    client: Client,
    cloud: Cloud,
    registry: String,
    metadata: String,
}

impl Check {
    async fn identity(&self) -> Result<String> {
        let mut query = vec![("api-version", "2018-02-01"), ("resource", RESOURCE)];
        if !self.cloud.client_id.is_empty() {
            query.push(("client_id", &self.cloud.client_id));
        }
        let uri = format!("{}/metadata/identity/oauth2/token?{}", self.metadata, form(&query));
        let request = http::Request::get(uri).header("metadata", "true").body(kit::http::empty())?;
        self.member(request, "access_token").await
    }

    async fn exchange(&self, token: &str) -> Result<String> {
        let fields = [
            ("grant_type", "access_token"),
            ("service", self.registry.as_str()),
            ("tenant", &self.cloud.tenant_id),
            ("access_token", token),
        ];
        self.member(self.post("exchange", &fields)?, "refresh_token").await
    }

    async fn pull(&self, refresh: &str) -> Result<()> {
        let scope = format!("repository:{REPOSITORY}:pull");
        let fields = [
            ("grant_type", "refresh_token"),
            ("service", self.registry.as_str()),
            ("scope", &scope),
            ("refresh_token", refresh),
        ];
        let token = self.member(self.post("token", &fields)?, "access_token").await?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).context("no usable token")?;
        bearer.set_sensitive(true);
        let request = http::Request::get(format!("https://{}/v2/{REPOSITORY}/tags/list", self.registry))
            .header(HOST, &self.registry)
            .header(AUTHORIZATION, bearer)
            .body(kit::http::empty())?;
        match self.answer(request).await? {
            // It is not there: only who may look is told that.
            (StatusCode::OK | StatusCode::NOT_FOUND, _) => Ok(()),
            (status, body) => bail!("the registry answered {status}{}", reason(&body)),
        }
    }

    fn post(&self, deed: &str, fields: &[(&str, &str)]) -> Result<kit::http::Request> {
        Ok(http::Request::post(format!("https://{}/oauth2/{deed}", self.registry))
            .header(HOST, &self.registry)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(kit::http::full(form(fields)))?)
    }

    async fn member(&self, request: kit::http::Request, member: &str) -> Result<String> {
        let (status, body) = self.answer(request).await?;
        ensure!(status.is_success(), "the answer is {status}{}", reason(&body));
        body[member].as_str().map(str::to_owned).with_context(|| format!("the answer has no `{member}`"))
    }

    async fn answer(&self, request: kit::http::Request) -> Result<(StatusCode, Value)> {
        let answered = tokio::time::timeout(LIMIT, self.client.send(request));
        let response = answered.await.with_context(|| format!("no answer within {LIMIT:?}"))??;
        let status = response.status();
        let body = kit::http::read(response.into_body(), ANSWER_MAX_BYTES).await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// What the other side says of a refusal, a registry or the metadata service.
fn reason(body: &Value) -> String {
    let said = body.pointer("/errors/0/message").or_else(|| body.get("error_description"));
    said.and_then(Value::as_str).map(|said| format!(": {said}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_without_an_identity_cannot_sign_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("azure.json");
        let said = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path).map_or_else(|error| format!("{error:#}"), |cloud| cloud.client_id)
        };
        let config = |managed: bool| {
            json!({ "cloud": "AzurePublicCloud", "tenantId": "t", "useManagedIdentityExtension": managed,
                "userAssignedIdentityID": "me", "resourceGroup": "MC" })
            .to_string()
        };
        assert_eq!(said(&config(true)), "me");
        assert_eq!(said(&config(false)), "the node has no managed identity");
        assert!(said("{").contains("is damaged"));
        let refused = json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "authentication required" }] });
        assert_eq!(reason(&refused), ": authentication required");
    }
}
