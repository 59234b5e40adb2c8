//! The cloud, put together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use arm::{Front, FrontConfig};
use async_trait::async_trait;
use container_service::{ContainerService, Settings, Size, Sizes};
use entra::{Bootstrap, Entra};
use fabric::SimulatedFabric;
use http::{Method, StatusCode, header};
use kit::Tasks;
use kit::client::Client;
use kit::clock::FixedClock;
use kit::http::{BoxService, Request, Response, Service};
use kit::pki::{Authority, Leaf, Usage};
use serde_json::{Value, json};
use tenant::Tenant;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::machines::Machines;
use crate::planes::Planes;

const DAY: Duration = Duration::from_secs(86_400);
const NODES_READY_LIMIT: Duration = Duration::from_secs(20);
const ANSWER_MAX_BYTES: usize = 16 * 1024 * 1024;
const OPERATION_LIMIT: Duration = Duration::from_secs(60);
const OPERATION_PAUSE: Duration = Duration::from_millis(20);

/// What the front door answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body; `null` where there is none.
    pub body: Value,
}

impl Answer {
    /// The error's code, or nothing.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// The error's text, or nothing.
    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }
}

/// An application that can sign in.
#[derive(Debug, Clone)]
pub struct Somebody {
    /// Its application id.
    pub app_id: String,
    /// Its principal's object id.
    pub object_id: String,
    /// Its secret.
    pub secret: String,
}

/// A cloud of its own. Ends when it is dropped; [`Stack::end`] also checks that all of it did.
pub struct Stack {
    /// The stack's time: starts at the real one and stands until the test moves it.
    pub clock: FixedClock,
    /// The directory.
    pub entra: Arc<Entra>,
    /// The resource manager.
    pub front: Arc<Front>,
    /// The machines' fabric.
    pub fabric: Arc<SimulatedFabric>,
    /// The clusters' control planes.
    pub planes: Arc<Planes>,
    /// The subscription's owner: an application with a secret.
    pub owner: Bootstrap,
    address: SocketAddr,
    client: Client,
    tasks: Tasks,
    dir: tempfile::TempDir,
}

impl Stack {
    /// Starts it; the front door answers when this returns.
    pub async fn start() -> Result<Self> {
        kit::tls::install_provider();
        let (dir, tasks) = (tempfile::tempdir()?, Tasks::new());
        let clock = FixedClock::new(jiff::Timestamp::now());
        let shared: Arc<dyn kit::Clock> = Arc::new(clock.clone());
        let config = entra::Config {
            state_dir: dir.path().to_owned(),
            hosts: FrontConfig::usual_hosts(),
            clock: shared.clone(),
            issuers: Arc::new(entra::NoIssuers),
        };
        let entra = Entra::open(config, &tasks).await?;
        let owner = entra.bootstrap("owner").await?.context("the directory is not new")?;
        let planes = Arc::new(Planes::new(shared.clone(), tasks.child()));
        let fabric = Arc::new(SimulatedFabric::new(Arc::new(Machines(planes.clone())), tasks.clone()));
        let front = open_front(dir.path(), &entra, &fabric, &planes, shared, &tasks).await?;
        let (_, names) = watch::channel(Vec::new());
        providers::fabric_driver::start(front.resources().clone(), fabric.clone(), names, &tasks);
        let router = Arc::new(Router { entra: entra.clone(), arm: front.service() });
        let (address, client) = listen(router, &tasks).await?;
        Ok(Self { clock, entra, front, fabric, planes, owner, address, client, tasks, dir })
    }

    /// Where it keeps its state.
    pub fn state_dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Where the front door listens: `https://localhost:<port>`.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// A token of the owner for the resource manager, asked for as clients do.
    pub async fn sign_in(&self) -> Result<String> {
        self.sign_in_as(&self.owner.app_id, &self.owner.secret, "https://management.azure.com").await
    }

    /// A token of an application for an audience.
    pub async fn sign_in_as(&self, application: &str, secret: &str, audience: &str) -> Result<String> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", application)
            .append_pair("client_secret", secret)
            .append_pair("scope", &format!("{audience}/.default"))
            .finish();
        let url = format!("{}/{}/oauth2/v2.0/token", self.url(), self.entra.tenant_id());
        let request = http::Request::post(url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(kit::http::full(form))?;
        let answer = self.send(request).await?;
        let token = answer.body["access_token"].as_str();
        Ok(token.with_context(|| format!("no token: {}", answer.body))?.to_owned())
    }

    /// A new application without any role.
    pub async fn somebody(&self, name: &str) -> Result<Somebody> {
        let graph = "https://graph.microsoft.com";
        let token = self.sign_in_as(&self.owner.app_id, &self.owner.secret, graph).await?;
        let post = async |path: &str, body: Value| -> Result<Value> {
            let answer = self.call(&token, Method::POST, path, &body).await?;
            ensure!(answer.status.is_success(), "{path}: {}", answer.body);
            Ok(answer.body)
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let application = post("/v1.0/applications", json!({"displayName": name})).await?;
        let secret = format!("/v1.0/applications/{}/addPassword", text(&application["id"]));
        let secret = text(&post(&secret, json!({})).await?["secretText"]);
        let app_id = text(&application["appId"]);
        let principal = post("/v1.0/servicePrincipals", json!({"appId": app_id})).await?;
        Ok(Somebody { app_id, object_id: text(&principal["id"]), secret })
    }

    /// Calls the resource manager; `path` holds the api-version.
    pub async fn call(&self, token: &str, method: Method, path: &str, body: &Value) -> Result<Answer> {
        self.call_as(Some(&format!("Bearer {token}")), method, path, body).await
    }

    /// The same with any `Authorization`, or none.
    pub async fn call_as(
        &self,
        authorization: Option<&str>,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Answer> {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url()))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        self.send(request.body(kit::http::full(text))?).await
    }

    /// Calls and follows the operation to its end, which has to be a good one.
    pub async fn done(&self, token: &str, method: Method, path: &str, body: &Value) -> Result<()> {
        let answer = self.call(token, method, path, body).await?;
        ensure!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
        let Some(operation) = answer.headers.get("azure-asyncoperation") else { return Ok(()) };
        let operation = operation.to_str()?.trim_start_matches(&self.url()).to_owned();
        self.ended(token, &operation).await.with_context(|| path.to_owned())
    }

    /// Follows an operation (the path and query of `Azure-AsyncOperation`) to its end, which has to be a good one.
    pub async fn ended(&self, token: &str, operation: &str) -> Result<()> {
        let follow = async {
            loop {
                let state = self.call(token, Method::GET, operation, &Value::Null).await?.body;
                match state["status"].as_str() {
                    Some("Succeeded") => return Ok(()),
                    Some("Failed" | "Canceled") => bail!("{operation}: {state}"),
                    // An operation's state is there to be asked for: the resource manager tells nobody.
                    _ => tokio::time::sleep(OPERATION_PAUSE).await,
                }
            }
        };
        tokio::time::timeout(OPERATION_LIMIT, follow)
            .await
            .with_context(|| format!("{operation} did not end"))?
    }

    async fn send(&self, request: Request) -> Result<Answer> {
        let (parts, body) = self.client.send(request).await?.into_parts();
        let bytes = kit::http::read(body, ANSWER_MAX_BYTES).await?;
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// Ends it; an error when some task did not.
    pub async fn end(self) -> Result<()> {
        ensure!(self.tasks.drain(Duration::from_secs(10)).await, "some tasks did not end");
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.tasks.stop();
    }
}

async fn open_front(
    dir: &std::path::Path,
    entra: &Arc<Entra>,
    fabric: &Arc<SimulatedFabric>,
    planes: &Arc<Planes>,
    clock: Arc<dyn kit::Clock>,
    tasks: &Tasks,
) -> Result<Arc<Front>> {
    let sizes = providers::compute::sizes::SIZES.iter().map(|size| Size {
        name: size.name.to_owned(),
        cpus: size.cpus,
        memory_bytes: size.memory_mib * 1024 * 1024,
    });
    let settings = Settings {
        system_image: "lazurite.azurecr.io/lazurite:0.1.0".to_owned(),
        registry_mirror: None,
        simulated: true,
        sizes: Sizes(sizes.collect()),
        journal_dir: dir.join("sagas"),
        nodes_ready_deadline: NODES_READY_LIMIT,
    };
    let clusters = ContainerService::new(settings, planes.clone());
    let adapter = Arc::new(Tenant(entra.clone()));
    let config = FrontConfig {
        state_dir: dir.to_owned(),
        tenant_id: entra.tenant_id(),
        tenant_domain: entra.domain(),
        subscription_id: entra.subscription_id(),
        subscription_name: "Test".to_owned(),
        owners: entra.bootstrap_principal().into_iter().collect(),
        hosts: FrontConfig::usual_hosts(),
        cloud: arm::front::Cloud::default(),
        verifier: adapter.clone(),
        directory: adapter,
        clock,
        tasks: tasks.clone(),
    };
    let [insights, workspaces, solutions] = providers::monitor::providers();
    let front = Front::builder(config)
        .provider(providers::network::provider())
        .provider(providers::compute::provider(fabric.clone()))
        .provider(providers::managed_identity::provider())
        .provider(providers::storage::provider())
        .provider(insights)
        .provider(workspaces)
        .provider(solutions)
        .provider(providers::registry::provider(dir.join("registry")))
        .provider(key_vault::provider())
        .provider(clusters.provider())
        .build()
        .await?;
    clusters.start(&front.ctx("Microsoft.ContainerService"));
    Ok(front)
}

/// The front door on a free port, and a client that trusts it.
async fn listen(router: BoxService, tasks: &Tasks) -> Result<(SocketAddr, Client)> {
    let authority = Authority::new("front", DAY)?;
    let issued = authority.issue(&Leaf {
        common_name: "localhost".to_owned(),
        organizations: Vec::new(),
        dns_names: vec!["localhost".to_owned()],
        addresses: Vec::new(),
        usage: Usage::Server,
        valid: DAY,
    })?;
    let certificates = kit::tls::Certificates::new();
    certificates.set_default(&issued.certificate_pem, &issued.key_pem)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    kit::serve::tls(listener, kit::tls::server(certificates)?, router, tasks);
    let names = kit::names::Names::new();
    names.fix("localhost", address.ip());
    Ok((address, Client::new(authority.certificate_pem(), None, names, None)?))
}

/// One door for both, told apart by the path.
struct Router {
    entra: Arc<Entra>,
    arm: BoxService,
}

#[async_trait]
impl Service for Router {
    async fn call(&self, request: Request) -> Response {
        if self.entra.owns_path(request.uri().path()) {
            self.entra.service().call(request).await
        } else {
            self.arm.call(request).await
        }
    }
}
