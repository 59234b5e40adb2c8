//! A service that is killed and started again, and the client that outlives it.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use e2e::{Fabric, Lab};
use http::{Method, StatusCode, header};
use kit::client::Client;
use kit::names::Names;
use serde_json::{Value, json};

/// From the start of the process to its first answer, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;
/// What an operation may take after a restart.
const OPERATION_LIMIT: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(20);

/// Names that lead to the service.
const HOSTS: [&str; 5] = [
    "localhost",
    "killedvault.vault.azure.net",
    "nobody.vault.azure.net",
    "killedregistry.azurecr.io",
    "nobody.azurecr.io",
];

/// The service as a process, and its state.
pub struct Cloud {
    lab: Lab,
    child: Option<Running>,
}

/// Signed in to one run of the service. Cheap to clone.
#[derive(Clone)]
pub struct Session {
    client: Client,
    port: u16,
    pub token: String,
    pub vault_token: String,
    pub graph_token: String,
    pub tenant: String,
    pub subscription: String,
}

/// What was answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// Where its operation is asked for.
    pub fn operation(&self) -> Option<String> {
        let header =
            self.headers.get("azure-asyncoperation").or_else(|| self.headers.get(header::LOCATION))?;
        let url = header.to_str().ok()?;
        Some(url.find("/subscriptions/").map_or(url, |at| &url[at..]).to_owned())
    }
}

impl Cloud {
    pub fn new() -> Result<Option<Self>> {
        Ok(Lab::without_clients(Fabric::Simulated)?.map(|lab| Self { lab, child: None }))
    }

    pub fn state(&self) -> std::path::PathBuf {
        self.lab.state()
    }

    /// Starts the service; does not wait for it.
    pub fn spawn(&mut self) -> Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.lab.file("service.log"))?;
        let child = self
            .lab
            .command(self.lab.program())
            .args([
                "serve",
                "--fabric",
                "simulated",
                "--listen",
                "127.0.0.1:0",
                "--api-listen",
                "127.0.0.1:0",
            ])
            .args(["--proxy-listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("failed to start the service")?;
        self.child = Some(Running(child));
        Ok(())
    }

    /// SIGKILL, and the process is gone when this returns.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the service does not run")?;
        child.0.kill()?;
        child.0.wait()?;
        Ok(())
    }

    /// Waits until the service answers, and signs in. Also says how long that took.
    pub async fn sign_in(&mut self) -> Result<(Session, Duration)> {
        let begun = Instant::now();
        let child = &mut self.child.as_mut().context("the service does not run")?.0;
        let pid = i64::from(child.id());
        let port = loop {
            if let Some(status) = child.try_wait()? {
                bail!("the service ended at once ({status}):\n{}", self.log());
            }
            if let Some(port) = front_port(&self.lab.state(), pid) {
                break port;
            }
            ensure!(begun.elapsed() < START_LIMIT, "the service does not answer:\n{}", self.log());
            tokio::time::sleep(PAUSE).await;
        };
        let took = begun.elapsed();
        let home = self.lab.file("home");
        let ca = std::fs::read_to_string(home.join("ca.crt"))?;
        let credentials: Value = serde_json::from_slice(&std::fs::read(home.join("credentials.json"))?)?;
        let names = Names::new();
        for name in HOSTS {
            names.fix(name, std::net::Ipv4Addr::LOCALHOST.into());
        }
        let text = |name: &str| credentials[name].as_str().unwrap_or_default().to_owned();
        let mut session = Session {
            client: Client::new(&ca, None, names, None)?,
            port,
            token: String::new(),
            vault_token: String::new(),
            graph_token: String::new(),
            tenant: text("tenant_id"),
            subscription: text("subscription_id"),
        };
        session.sign_in_as(&text("client_id"), &text("client_secret")).await?;
        Ok((session, took))
    }

    /// The end of what the service printed.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.lab.file("service.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(80)..].join("\n")
    }

    /// All that the service printed.
    pub fn whole_log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.lab.file("service.log"))?)
    }

    fn proc(&self, name: &str) -> Result<std::path::PathBuf> {
        let child = self.child.as_ref().context("the service does not run")?;
        Ok(Path::new("/proc").join(child.0.id().to_string()).join(name))
    }

    /// Its resident memory.
    pub fn memory_mib(&self) -> Result<u64> {
        let status = std::fs::read_to_string(self.proc("status")?)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.split_whitespace().next().context("no VmRSS")?.parse()?;
        Ok(kib / 1024)
    }

    /// Processor time it has used.
    pub fn processor_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(self.proc("stat")?)?;
        let rest = stat.rsplit_once(')').context("no stat")?.1;
        let mut ticks = rest.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<u64>().ok());
        let (user, system) = (ticks.next().context("no time")?, ticks.next().context("no time")?);
        // A tick is a hundredth of a second wherever Linux runs on this kind of machine.
        Ok(Duration::from_millis((user + system) * 10))
    }

    /// Its open descriptors.
    pub fn descriptors(&self) -> Result<usize> {
        Ok(std::fs::read_dir(self.proc("fd")?)?.count())
    }

    pub fn finish(mut self) -> Result<()> {
        self.kill()?;
        self.lab.finish()
    }
}

/// The process; a test that fails takes it along.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The front door's port, once the process `pid` has written it down.
fn front_port(state: &Path, pid: i64) -> Option<u16> {
    let file: Value = serde_json::from_slice(&std::fs::read(state.join("service.json")).ok()?).ok()?;
    let own = file["pid"].as_i64() == Some(pid);
    own.then(|| file["front"].as_str()?.rsplit_once(':')?.1.parse().ok())?
}

impl Session {
    async fn sign_in_as(&mut self, id: &str, secret: &str) -> Result<()> {
        self.token = self.token_for(id, secret, "https://management.azure.com/.default").await?;
        self.vault_token = self.token_for(id, secret, "https://vault.azure.net/.default").await?;
        self.graph_token = self.token_for(id, secret, "https://graph.microsoft.com/.default").await?;
        Ok(())
    }

    /// Makes an application without any role and signs in as it.
    pub async fn somebody(&self) -> Result<Self> {
        let made =
            self.graph_call(Method::POST, "/v1.0/applications", &json!({ "displayName": "nobody" })).await?;
        let (object, app) = (made.body["id"].as_str(), made.body["appId"].as_str());
        let (object, app) = (object.context("no application")?, app.context("no application")?);
        let path = format!("/v1.0/applications/{object}/addPassword");
        let secret = self
            .graph_call(Method::POST, &path, &json!({ "passwordCredential": { "displayName": "x" } }))
            .await?;
        let secret = secret.body["secretText"].as_str().context("no secret")?.to_owned();
        let principal =
            self.graph_call(Method::POST, "/v1.0/servicePrincipals", &json!({ "appId": app })).await?;
        ensure!(principal.status.is_success(), "{} {}", principal.status, principal.body);
        let mut nobody = self.clone();
        nobody.sign_in_as(app, &secret).await?;
        Ok(nobody)
    }

    /// Lets the owner read and write the secrets of a vault.
    pub async fn become_secrets_officer(&self, vault: &str) -> Result<()> {
        const SECRETS_OFFICER: &str = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7";
        let subscription = format!("/subscriptions/{}", self.subscription);
        let all =
            self.list(&format!("{subscription}/providers/Microsoft.Authorization/roleAssignments")).await?;
        let me = all.first().context("the owner has no assignment")?["properties"]["principalId"].clone();
        let path = format!(
            "{vault}/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-000000000001"
        );
        let role =
            format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions/{SECRETS_OFFICER}");
        let body = json!({ "properties": { "roleDefinitionId": role, "principalId": me, "principalType": "ServicePrincipal" } });
        let answer = self.call(Method::PUT, &path, &body).await?;
        ensure!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
        Ok(())
    }

    pub fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.port)
    }

    /// Sends anything; the status and the body as they come.
    pub async fn raw(&self, request: kit::http::Request) -> Result<(StatusCode, Vec<u8>)> {
        let whole = async {
            let (parts, body) = self.client.send(request).await?.into_parts();
            anyhow::Ok((parts.status, kit::http::read(body, ANSWER_MAX_BYTES).await?.to_vec()))
        };
        tokio::time::timeout(ANSWER_LIMIT, whole).await.context("no answer in time")?
    }

    async fn token_for(&self, id: &str, secret: &str, scope: &str) -> Result<String> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", scope),
        ];
        let form: Vec<String> =
            form.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request =
            http::Request::post(format!("https://localhost:{}/{}/oauth2/v2.0/token", self.port, self.tenant))
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(kit::http::full(form.join("&")))?;
        let answer = self.answered(request).await?;
        let token = answer.body["access_token"].as_str();
        Ok(token.with_context(|| format!("no token: {}", answer.body))?.to_owned())
    }

    async fn answered(&self, request: kit::http::Request) -> Result<Answer> {
        let whole = async {
            let (parts, body) = self.client.send(request).await?.into_parts();
            let bytes = kit::http::read(body, ANSWER_MAX_BYTES).await?;
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            anyhow::Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        tokio::time::timeout(ANSWER_LIMIT, whole).await.context("no answer in time")?
    }

    async fn ask(&self, method: Method, url: String, token: &str, body: &Value) -> Result<Answer> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let request = http::Request::builder()
            .method(method)
            .uri(url)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .body(kit::http::full(text))?;
        self.answered(request).await
    }

    /// Asks Resource Manager; `path` may hold a query. An error: the service went away.
    pub async fn call(&self, method: Method, path: &str, body: &Value) -> Result<Answer> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let version = if path.contains("api-version=") {
            String::new()
        } else {
            format!("{mark}api-version={}", version(path))
        };
        self.ask(method, format!("https://localhost:{}{path}{version}", self.port), &self.token, body).await
    }

    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.call(Method::GET, path, &Value::Null).await
    }

    /// Asks the vault that the tests have.
    pub async fn vault(&self, method: Method, path: &str, body: &Value) -> Result<Answer> {
        let url = format!("https://killedvault.vault.azure.net:{}{path}?api-version=7.4", self.port);
        self.ask(method, url, &self.vault_token, body).await
    }

    /// Asks Graph.
    pub async fn graph(&self, path: &str) -> Result<Answer> {
        self.graph_call(Method::GET, path, &Value::Null).await
    }

    /// Asks Graph.
    pub async fn graph_call(&self, method: Method, path: &str, body: &Value) -> Result<Answer> {
        let url = format!("https://localhost:{}{path}", self.port);
        self.ask(method, url, &self.graph_token, body).await
    }

    /// Every page of a list.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let (mut all, mut next) = (Vec::new(), path.to_owned());
        loop {
            let answer = self.get(&next).await?;
            ensure!(answer.status == StatusCode::OK, "{next}: {} {}", answer.status, answer.body);
            all.extend(answer.body["value"].as_array().cloned().unwrap_or_default());
            let Some(link) = answer.body["nextLink"].as_str() else { return Ok(all) };
            link[link.find("/subscriptions/").unwrap_or(0)..].clone_into(&mut next);
        }
    }

    /// Follows an operation to its end: `None` where it went well, else its error.
    pub async fn end_of(&self, operation: &str) -> Result<Option<Value>> {
        let begun = Instant::now();
        loop {
            let answer = self.get(operation).await?;
            let state = answer.body["status"].as_str();
            match (answer.status.as_u16(), state) {
                (200, Some("InProgress")) | (202, _) => {}
                (200 | 204, None | Some("Succeeded")) => return Ok(None),
                (200, Some("Failed" | "Canceled")) => return Ok(Some(answer.body["error"].clone())),
                // `operationresults` answers with the error itself.
                (400..=499, _)
                    if operation.contains("operationresults") && answer.code() != "OperationNotFound" =>
                {
                    return Ok(Some(answer.body["error"].clone()));
                }
                _ => bail!("the operation {operation} answers {} {}", answer.status, answer.body),
            }
            ensure!(
                begun.elapsed() < OPERATION_LIMIT,
                "the operation {operation} does not end: {}",
                answer.body
            );
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// An API version that the type at the end of the path knows.
fn version(path: &str) -> &'static str {
    let lower = path.to_ascii_lowercase();
    for (mark, version) in [
        ("microsoft.containerservice", "2026-06-01"),
        ("microsoft.keyvault", "2023-07-01"),
        ("microsoft.containerregistry", "2023-07-01"),
        ("microsoft.managedidentity", "2023-01-31"),
        ("microsoft.operationalinsights", "2023-09-01"),
        ("microsoft.authorization", "2022-04-01"),
        ("microsoft.storage", "2023-05-01"),
        ("microsoft.network/privatednszones", "2020-06-01"),
    ] {
        if lower.contains(mark) {
            return version;
        }
    }
    "2024-11-01"
}

fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
