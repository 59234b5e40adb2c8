//! A cloud in a temporary directory, with one made-up provider.

use std::path::Path;
use std::sync::Arc;

use arm::{
    Acted, Ctx, Deleted, Front, FrontConfig, Provider, Put, Resource, ResourceId, ResourceType,
    TypeDescriptor, Written,
};
use async_trait::async_trait;
use entra::{Bootstrap, Entra};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use kit::http::{BoxService, Request, Response, Service};
use serde_json::{Value, json};
use tenant::Tenant;

/// The names of the widgets in the group of one: those that are made, or all.
fn widgets(ctx: &Ctx, of: &ResourceId, made: bool) -> Value {
    let group = of.group_id().unwrap();
    let all = ctx.resources.list_type(&group, "Microsoft.Test/widgets");
    all.iter()
        .filter(|w| !made || w.provisioning_state() == Some("Succeeded"))
        .map(|w| json!(w.name))
        .collect()
}

/// A widget: made and deleted in the background when its properties say `slow`, never made when they say `broken`, never
/// deleted when they say `stays` too. With `meets` it waits until
/// there are so many, and it says which were there `before` it.
pub struct Widgets;

#[async_trait]
impl ResourceType for Widgets {
    fn descriptor(&self) -> TypeDescriptor {
        let mut d = TypeDescriptor::new("Microsoft.Test/widgets", &["2025-01-01"]);
        d.identity = true;
        d.etag = Some("etag");
        d.name_pattern = Some("[a-z][a-z0-9-]{0,20}");
        d
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, arm::ArmError> {
        let mut resource = request.resource();
        if resource.properties["slow"] != json!(true) && resource.properties["stuck"] != json!(true) {
            resource.set_provisioning_state("Succeeded");
            return Ok(Written::Done(resource));
        }
        resource.set_provisioning_state("Creating");
        let operation = ctx.operations.create(request.id, "create", "eastus").await?;
        let (ctx, id) = (ctx.clone(), request.id.clone());
        let broken = resource.properties["broken"] == json!(true);
        let stuck = resource.properties["stuck"] == json!(true);
        let meets = resource.properties["meets"].as_u64().unwrap_or(0);
        if meets > 0 {
            resource.properties["before"] = widgets(&ctx, &id, true);
        }
        let operation = operation.work(async move {
            if stuck {
                return std::future::pending().await;
            }
            let mut changed = ctx.resources.watch();
            while widgets(&ctx, &id, false).as_array().map_or(0, Vec::len) < meets as usize {
                changed.changed().await.unwrap();
            }
            let state = if broken { "Failed" } else { "Succeeded" };
            ctx.resources
                .modify(&id, |r| {
                    r.set_provisioning_state(state);
                    true
                })
                .await?;
            if broken { Err(arm::ArmError::conflict("WidgetBroken", "It broke.")) } else { Ok(()) }
        });
        Ok(Written::Accepted { resource, operation })
    }

    async fn delete(&self, ctx: &Ctx, existing: &Resource) -> Result<Deleted, arm::ArmError> {
        if existing.properties["slow"] != json!(true) {
            return Ok(Deleted::Done);
        }
        let operation = ctx.operations.create_delete(&existing.id, "eastus").await?;
        if existing.properties["stays"] == json!(true) {
            return Ok(Deleted::Accepted(operation.work(std::future::pending())));
        }
        Ok(Deleted::Accepted(operation.work(async { Ok(()) })))
    }

    async fn action(&self, _: &Ctx, _: &Resource, name: &str, body: Value) -> Result<Acted, arm::ArmError> {
        match name {
            "echo" => Ok(Acted::Done(Some(body))),
            other => Err(arm::ArmError::not_implemented(other)),
        }
    }
}

pub struct Parts;

#[async_trait]
impl ResourceType for Parts {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor::new("Microsoft.Test/widgets/parts", &["2025-01-01"])
    }
    async fn put(&self, _: &Ctx, request: Put<'_>) -> Result<Written, arm::ArmError> {
        Ok(Written::Done(request.resource()))
    }
    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, arm::ArmError> {
        Ok(Deleted::Done)
    }
}

/// A type of any name that keeps what it is given and has every action.
pub struct Anything(pub TypeDescriptor);

#[async_trait]
impl ResourceType for Anything {
    fn descriptor(&self) -> TypeDescriptor {
        self.0.clone()
    }
    async fn put(&self, _: &Ctx, request: Put<'_>) -> Result<Written, arm::ArmError> {
        Ok(Written::Done(request.resource()))
    }
    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, arm::ArmError> {
        Ok(Deleted::Done)
    }
    async fn action(&self, _: &Ctx, _: &Resource, _: &str, _: Value) -> Result<Acted, arm::ArmError> {
        Ok(Acted::Done(None))
    }
}

/// Providers for these types, which may be of several namespaces.
pub fn anything(types: &[&'static str]) -> Vec<Provider> {
    let made = types.iter().map(|full_type| {
        let mut descriptor = TypeDescriptor::new(full_type, &["2025-01-01"]);
        descriptor.extension = *full_type == "Microsoft.Insights/diagnosticSettings";
        descriptor.tracked &= !descriptor.extension;
        descriptor.global = true;
        descriptor.identity = true;
        Provider::new(descriptor.namespace()).with(Anything(descriptor))
    });
    made.collect()
}

pub struct World {
    pub entra: Arc<Entra>,
    pub front: Arc<Front>,
    pub owner: Bootstrap,
    pub token: String,
    pub sub: String,
    pub tasks: kit::Tasks,
    dir: Option<tempfile::TempDir>,
}

pub struct Answered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answered {
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }
    pub fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or("")
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }
}

pub const HOST: &str = "localhost:8443";

async fn open(
    dir: &Path,
    clock: Arc<dyn kit::Clock>,
    more: Vec<Provider>,
    limits: Option<arm::front::Limits>,
) -> (Arc<Entra>, Arc<Front>, kit::Tasks) {
    let tasks = kit::Tasks::new();
    let hosts = FrontConfig::usual_hosts();
    let config = entra::Config {
        state_dir: dir.to_owned(),
        hosts: hosts.clone(),
        clock: clock.clone(),
        issuers: Arc::new(entra::NoIssuers),
    };
    let entra = Entra::open(config, &tasks).await.unwrap();
    let adapter = Arc::new(Tenant(entra.clone()));
    if let Some(made) = entra.bootstrap("owner").await.unwrap() {
        std::fs::write(dir.join("owner"), format!("{} {} {}", made.app_id, made.object_id, made.secret))
            .unwrap();
    }
    let mut builder = Front::builder(FrontConfig {
        state_dir: dir.to_owned(),
        tenant_id: entra.tenant_id(),
        tenant_domain: entra.domain(),
        subscription_id: entra.subscription_id(),
        subscription_name: "Test".to_owned(),
        owners: vec![entra.bootstrap_principal().unwrap()],
        hosts,
        cloud: arm::front::Cloud::default(),
        verifier: adapter.clone(),
        directory: adapter,
        clock,
        tasks: tasks.clone(),
    })
    .provider(Provider::new("Microsoft.Test").with(Widgets).with(Parts));
    for provider in more {
        builder = builder.provider(provider);
    }
    if let Some(limits) = limits {
        builder = builder.limits(limits);
    }
    let front = builder.build().await.unwrap();
    (entra, front, tasks)
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::at(dir, Arc::new(kit::SystemClock), Vec::new(), None).await
    }

    /// A cloud with more providers.
    pub async fn with_providers(more: Vec<Provider>) -> Self {
        Self::at(tempfile::tempdir().unwrap(), Arc::new(kit::SystemClock), more, None).await
    }

    /// A cloud whose time is the test's.
    pub async fn with_clock(clock: kit::clock::FixedClock) -> Self {
        Self::at(tempfile::tempdir().unwrap(), Arc::new(clock), Vec::new(), None).await
    }

    /// A cloud with limits as narrow as the public one's, whose time is the test's.
    pub async fn narrow(clock: kit::clock::FixedClock) -> Self {
        let limits = Some(arm::front::Limits::public());
        Self::at(tempfile::tempdir().unwrap(), Arc::new(clock), Vec::new(), limits).await
    }

    /// Where the cloud's state is.
    pub fn state(&self) -> &Path {
        self.dir.as_ref().unwrap().path()
    }

    async fn at(
        dir: tempfile::TempDir,
        clock: Arc<dyn kit::Clock>,
        more: Vec<Provider>,
        limits: Option<arm::front::Limits>,
    ) -> Self {
        let (entra, front, tasks) = open(dir.path(), clock, more, limits).await;
        let text = std::fs::read_to_string(dir.path().join("owner")).unwrap();
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let owner =
            Bootstrap { app_id: words[0].clone(), object_id: words[1].clone(), secret: words[2].clone() };
        let mut world = Self {
            sub: entra.subscription_id(),
            entra,
            front,
            owner: owner.clone(),
            token: String::new(),
            tasks,
            dir: Some(dir),
        };
        world.token = world.sign_in(&owner.app_id, &owner.secret, "https://localhost:8443//.default").await;
        world
    }

    /// The same cloud after the service was stopped and started.
    pub async fn restarted(mut self) -> Self {
        self.tasks.drain(std::time::Duration::from_secs(5)).await;
        let dir = self.dir.take().unwrap();
        let Self { entra, front, .. } = self;
        drop(front);
        drop(entra);
        Self::at(dir, Arc::new(kit::SystemClock), Vec::new(), None).await
    }

    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answered {
        let body = fields.iter().map(|(n, v)| {
            format!("{n}={}", percent_encoding::utf8_percent_encode(v, percent_encoding::NON_ALPHANUMERIC))
        });
        let body = body.collect::<Vec<_>>().join("&");
        let request = http::Request::builder().method(Method::POST).uri(path).header("host", HOST);
        answered(self.entra.service().call(request.body(kit::http::full(body)).unwrap()).await).await
    }

    pub async fn sign_in(&self, app: &str, secret: &str, scope: &str) -> String {
        let path = format!("/{}/oauth2/v2.0/token", self.entra.tenant_id());
        let fields = [
            ("client_id", app),
            ("client_secret", secret),
            ("scope", scope),
            ("grant_type", "client_credentials"),
        ];
        let answer = self.form(&path, &fields).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["access_token"].as_str().unwrap().to_owned()
    }

    /// A new application with a principal and a token for the resource manager: `(object id, token)`.
    pub async fn somebody(&self, name: &str) -> (String, String) {
        let graph = self
            .sign_in(&self.owner.app_id, &self.owner.secret, "https://graph.microsoft.com/.default")
            .await;
        let app = self.graph(Method::POST, "/v1.0/applications", json!({"displayName": name}), &graph).await;
        let id = app.body["id"].as_str().unwrap();
        let secret = self
            .graph(Method::POST, &format!("/v1.0/applications/{id}/addPassword"), json!({}), &graph)
            .await;
        let app_id = app.body["appId"].as_str().unwrap();
        let principal =
            self.graph(Method::POST, "/v1.0/servicePrincipals", json!({"appId": app_id}), &graph).await;
        assert_eq!(principal.status, 201, "{}", principal.body);
        let token = self
            .sign_in(
                app_id,
                secret.body["secretText"].as_str().unwrap(),
                "https://management.azure.com/.default",
            )
            .await;
        (principal.body["id"].as_str().unwrap().to_owned(), token)
    }

    pub async fn graph(&self, method: Method, path: &str, body: Value, token: &str) -> Answered {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", HOST)
            .header("authorization", format!("Bearer {token}"));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        answered(self.entra.service().call(request.body(kit::http::full(body)).unwrap()).await).await
    }

    pub async fn send(&self, request: http::request::Builder, body: &str) -> Answered {
        answered(self.front.service().call(request.body(kit::http::full(body.to_owned())).unwrap()).await)
            .await
    }

    pub async fn answer(&self, request: Request) -> Answered {
        answered(self.front.service().call(request).await).await
    }

    pub async fn as_who(&self, token: &str, method: Method, path: &str, body: Value) -> Answered {
        let mark = if path.contains('?') { '&' } else { '?' };
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{path}{mark}api-version=2025-01-01").replace(' ', "%20"))
            .header("host", HOST)
            .header("authorization", format!("Bearer {token}"));
        self.send(request, &if body.is_null() { String::new() } else { body.to_string() }).await
    }

    pub async fn call(&self, method: Method, path: &str, body: Value) -> Answered {
        self.as_who(&self.token, method, path, body).await
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.call(Method::GET, path, Value::Null).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answered {
        self.call(Method::PUT, path, body).await
    }

    pub async fn delete(&self, path: &str) -> Answered {
        self.call(Method::DELETE, path, Value::Null).await
    }

    pub fn group_path(&self, name: &str) -> String {
        format!("/subscriptions/{}/resourceGroups/{name}", self.sub)
    }

    pub fn widget(&self, group: &str, name: &str) -> String {
        format!("{}/providers/Microsoft.Test/widgets/{name}", self.group_path(group))
    }

    /// Gives a principal a role; the assignment's path.
    pub async fn grant(&self, role: &str, principal: &str, scope: &str) -> String {
        let path =
            format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", uuid::Uuid::new_v4());
        let role = format!("/providers/Microsoft.Authorization/roleDefinitions/{role}");
        let body = json!({"properties": {"roleDefinitionId": role, "principalId": principal}});
        let made = self.put(&path, body).await;
        assert_eq!(made.status, 201, "{}", made.body);
        path
    }

    pub async fn group(&self, name: &str) {
        let answer = self.put(&self.group_path(name), json!({"location": "eastus"})).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }

    /// Follows an operation to its end by the URL in a header.
    pub async fn follow(&self, answer: &Answered) -> Value {
        let url =
            answer.header("azure-asyncoperation").trim_start_matches("https://localhost:8443").to_owned();
        assert!(!url.is_empty());
        loop {
            let request = http::Request::get(&url)
                .header("host", HOST)
                .header("authorization", format!("Bearer {}", self.token));
            let state = self.send(request, "").await;
            assert_eq!(state.status, 200, "{}", state.body);
            if state.body["status"] != "InProgress" {
                return state.body;
            }
        }
    }
}

async fn answered(response: Response) -> Answered {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answered {
        status: parts.status,
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    }
}

/// One service for both, as the program composes them.
pub struct Both {
    pub entra: Arc<Entra>,
    pub arm: BoxService,
    pub log: bool,
}

#[async_trait]
impl Service for Both {
    async fn call(&self, request: Request) -> Response {
        let line = format!("{} {}", request.method(), request.uri());
        let response = if self.entra.owns_path(request.uri().path()) {
            self.entra.service().call(request).await
        } else {
            self.arm.call(request).await
        };
        if self.log {
            eprintln!("{line} -> {}", response.status());
        }
        response
    }
}
