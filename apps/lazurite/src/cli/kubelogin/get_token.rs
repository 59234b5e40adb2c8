//! `kubelogin get-token`: signs in, and prints what client-go expects of a credential plugin.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use http::header::CONTENT_TYPE;
use kit::client::Client;
use serde_json::{Value, json};

use super::{GetToken, Login};
use crate::place::Home;

const VERSION: &str = "client.authentication.k8s.io/v1beta1";
const METADATA: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ANSWER_MAX_BYTES: usize = 1 << 20;

/// A token and when it ends.
struct Token {
    token: String,
    expires_on: i64,
}

pub(super) fn run(mut options: GetToken) -> Result<()> {
    if !options.disable_environment_override {
        options.take_environment(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
    }
    let token = match options.login.unwrap_or(Login::Devicecode) {
        Login::Azurecli => azure_cli(&options)?,
        Login::Spn | Login::Workloadidentity => crate::cli::remote::block_on(application(&options))?,
        Login::Msi => crate::cli::remote::block_on(managed_identity(&options))?,
        other => bail!(
            "the login method `{0}` is not offered by this kubelogin, which has azurecli, spn, msi and workloadidentity; set \
             AAD_LOGIN_METHOD=azurecli, or run `kubelogin convert-kubeconfig -l azurecli`",
            other.name()
        ),
    };
    let version = version(std::env::var("KUBERNETES_EXEC_INFO").ok().as_deref());
    let text = serde_json::to_string(&credential(&version, &token)?)?;
    crate::cli::output::write_out(format!("{text}\n").as_bytes())
}

impl GetToken {
    /// The variables that kubelogin knows, which win over flags.
    fn take_environment(&mut self, variable: impl Fn(&str) -> Option<String>) -> Result<()> {
        if let Some(name) = variable("AAD_LOGIN_METHOD") {
            let known = <Login as clap::ValueEnum>::from_str(&name, true);
            self.login =
                Some(known.map_err(|_| anyhow::anyhow!("AAD_LOGIN_METHOD: `{name}` is no login method"))?);
        }
        let signs_in = matches!(self.login, Some(Login::Spn | Login::Workloadidentity | Login::Msi));
        if signs_in {
            let own = |name: &str, old: &str| variable(name).or_else(|| variable(old));
            self.client_id =
                own("AZURE_CLIENT_ID", "AAD_SERVICE_PRINCIPAL_CLIENT_ID").or_else(|| self.client_id.take());
            self.client_secret = own("AZURE_CLIENT_SECRET", "AAD_SERVICE_PRINCIPAL_CLIENT_SECRET")
                .or_else(|| self.client_secret.take());
            self.tenant_id = variable("AZURE_TENANT_ID").or_else(|| self.tenant_id.take());
            self.federated_token_file =
                variable("AZURE_FEDERATED_TOKEN_FILE").or_else(|| self.federated_token_file.take());
        }
        self.authority_host = self.authority_host.take().or_else(|| variable("AZURE_AUTHORITY_HOST"));
        Ok(())
    }

    fn scope(&self) -> String {
        format!("{}/.default", self.server_id)
    }
}

/// What client-go asked for, or kubelogin's own.
fn version(asked: Option<&str>) -> String {
    let asked: Value = asked.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    asked["apiVersion"].as_str().unwrap_or(VERSION).to_owned()
}

fn credential(version: &str, token: &Token) -> Result<Value> {
    let ends = jiff::Timestamp::from_second(token.expires_on).context("the token's end is no time")?;
    Ok(json!({
        "kind": "ExecCredential",
        "apiVersion": version,
        "spec": {"interactive": false},
        "status": {"expirationTimestamp": ends.to_string(), "token": token.token}}))
}

/// Asks az, whoever is signed in there.
fn azure_cli(options: &GetToken) -> Result<Token> {
    let mut command = Command::new("az");
    command.args(["account", "get-access-token", "-o", "json", "--resource", &options.server_id]);
    if let Some(tenant) = &options.tenant_id {
        command.args(["--tenant", tenant]);
    }
    let output = command.stdin(Stdio::null()).output().context("failed to run az")?;
    if !output.status.success() {
        bail!("az gave no token: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    read(&serde_json::from_slice(&output.stdout).context("az answered no JSON")?, "accessToken", 0)
}

/// An application with its secret, or with a token of somebody it trusts.
async fn application(options: &GetToken) -> Result<Token> {
    let home = Home::locate();
    let client_id = options.client_id.as_deref().context("--client-id is missing")?;
    let credentials = || home.credentials();
    let tenant = match &options.tenant_id {
        Some(tenant) => tenant.clone(),
        None => credentials()?.tenant_id,
    };
    let authority = match &options.authority_host {
        Some(host) => host.clone(),
        None => credentials()?.endpoint,
    };
    let scope = options.scope();
    let mut fields = vec![("grant_type", "client_credentials"), ("client_id", client_id), ("scope", &scope)];
    let assertion = match (options.login, &options.federated_token_file) {
        (Some(Login::Workloadidentity), Some(file)) => {
            Some(kit::files::read_string(std::path::Path::new(file))?)
        }
        (Some(Login::Workloadidentity), None) => bail!("--federated-token-file is missing"),
        _ => None,
    };
    match (&assertion, &options.client_secret) {
        (Some(assertion), _) => {
            fields.extend([("client_assertion_type", ASSERTION), ("client_assertion", assertion.trim())]);
        }
        (None, Some(secret)) => fields.push(("client_secret", secret)),
        (None, None) => bail!("AZURE_CLIENT_SECRET is missing"),
    }
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let uri = format!("{}/{tenant}/oauth2/v2.0/token", authority.trim_end_matches('/'));
    let request = http::Request::post(uri)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(kit::http::full(form))?;
    ask(&home, request).await
}

/// The identity of the machine this runs on.
async fn managed_identity(options: &GetToken) -> Result<Token> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let hosted = variable("IDENTITY_ENDPOINT").zip(variable("IDENTITY_HEADER"));
    let (endpoint, version, by_resource) = match &hosted {
        Some((endpoint, _)) => (endpoint.as_str(), "2019-08-01", "mi_res_id"),
        None => (METADATA, "2018-02-01", "msi_res_id"),
    };
    let mut fields = vec![("api-version", version), ("resource", options.server_id.as_str())];
    fields.extend(options.client_id.as_deref().map(|id| ("client_id", id)));
    fields.extend(options.identity_resource_id.as_deref().map(|id| (by_resource, id)));
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = http::Request::get(format!("{endpoint}?{query}"));
    let request = match &hosted {
        Some((_, header)) => request.header("x-identity-header", header),
        None => request.header("metadata", "true"),
    };
    ask(&Home::locate(), request.body(kit::http::empty())?).await
}

async fn ask(home: &Home, request: kit::http::Request) -> Result<Token> {
    kit::tls::install_provider();
    let roots = kit::files::read_string(&home.join("ca.crt"))?;
    let client = Client::new(&roots, None, kit::names::Names::new(), None)?;
    let response = client.send(request).await?;
    let status = response.status();
    let body = kit::http::read(response.into_body(), ANSWER_MAX_BYTES).await?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() {
        let why = body["error_description"].as_str().or_else(|| body["error"].as_str()).unwrap_or_default();
        bail!("no token was given ({status}): {why}");
    }
    read(&body, "access_token", jiff::Timestamp::now().as_second())
}

/// The token in an answer. `now` is what a lifetime is counted from.
fn read(answer: &Value, field: &str, now: i64) -> Result<Token> {
    let token = answer[field]
        .as_str()
        .filter(|token| !token.is_empty())
        .context("there is no token in the answer")?;
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    let ends = number(&answer["expires_on"]).or_else(|| Some(now + number(&answer["expires_in"])?));
    Ok(Token {
        token: token.to_owned(),
        expires_on: ends.context("the answer does not say when the token ends")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_win_as_kubelogins_do() {
        let mut options = GetToken { login: Some(Login::Devicecode), ..GetToken::default() };
        options.take_environment(|name| (name == "AAD_LOGIN_METHOD").then(|| "azurecli".to_owned())).unwrap();
        assert_eq!(options.login, Some(Login::Azurecli));
        let wrong = options.take_environment(|name| (name == "AAD_LOGIN_METHOD").then(|| "magic".to_owned()));
        assert!(wrong.unwrap_err().to_string().contains("`magic` is no login method"));
        let mut options =
            GetToken { login: Some(Login::Spn), client_id: Some("flag".into()), ..GetToken::default() };
        options.take_environment(|name| (name == "AZURE_CLIENT_ID").then(|| "variable".to_owned())).unwrap();
        assert_eq!(options.client_id.as_deref(), Some("variable"));
    }

    #[test]
    fn answers_of_az_of_the_directory_and_of_machines_are_read() {
        let table = [
            (json!({"accessToken": "t", "expires_on": 1_700_000_000}), "accessToken", 1_700_000_000),
            (json!({"access_token": "t", "expires_in": 60}), "access_token", 1060),
            (
                json!({"access_token": "t", "expires_on": "1700000000", "expires_in": "1"}),
                "access_token",
                1_700_000_000,
            ),
        ];
        for (answer, field, wanted) in table {
            assert_eq!(read(&answer, field, 1000).unwrap().expires_on, wanted, "{answer}");
        }
        assert!(read(&json!({"access_token": ""}), "access_token", 0).is_err());
        let asked = r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1"}"#;
        assert_eq!(version(Some(asked)), "client.authentication.k8s.io/v1");
        let token = Token { token: "t".into(), expires_on: 0 };
        let credential = credential(&version(None), &token).unwrap();
        assert_eq!(credential["apiVersion"], VERSION);
        assert_eq!(
            credential["status"],
            json!({"expirationTimestamp": "1970-01-01T00:00:00Z", "token": "t"})
        );
    }
}
