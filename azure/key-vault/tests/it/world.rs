//! The front door with vaults, a directory in memory, and time that the test moves.

use std::sync::Arc;

use arm::{ArmClient, ArmError, Front, FrontConfig};
use http::{Method, StatusCode, header};
use key_vault::DataPlane;
use kit::Clock;
use kit::clock::FixedClock;
use kit::http::Service;
use providers::fake::{FakeDirectory, OWNER, SUBSCRIPTION, TENANT, caller};
use serde_json::{Value, json};

pub const API: &str = "2023-07-01";
/// Object id of somebody without any role.
pub const SOMEBODY: &str = "33333333-3333-3333-3333-333333333333";

pub struct World {
    pub front: Arc<Front>,
    pub plane: Arc<DataPlane>,
    pub clock: FixedClock,
    pub dir: tempfile::TempDir,
}

pub struct Reply {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl Reply {
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    pub fn inner(&self) -> &str {
        self.body["error"]["innererror"]["code"].as_str().unwrap_or_default()
    }

    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{} {}", self.status, self.body);
        self.body
    }
}

pub fn vault_id(name: &str) -> String {
    arm::ResourceId::of_resource(SUBSCRIPTION, "rg", key_vault::VAULTS, name).to_string()
}

pub fn vault_body(properties: Value) -> Value {
    let mut all = json!({"tenantId": TENANT, "sku": {"family": "A", "name": "standard"},
        "enableRbacAuthorization": true});
    all.as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
    json!({"location": "eastus", "properties": all})
}

impl World {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let directory = Arc::new(FakeDirectory::default());
        let clock = FixedClock::new("2026-06-01T00:00:00Z".parse().unwrap());
        let config = FrontConfig {
            state_dir: dir.path().to_owned(),
            tenant_id: TENANT.into(),
            tenant_domain: "contoso.onmicrosoft.com".into(),
            subscription_id: SUBSCRIPTION.into(),
            subscription_name: "dev".into(),
            owners: vec![OWNER.into()],
            hosts: FrontConfig::usual_hosts(),
            cloud: Default::default(),
            verifier: directory.clone(),
            directory,
            clock: Arc::new(clock.clone()),
            tasks: kit::Tasks::new(),
        };
        let front = Front::builder(config).provider(key_vault::provider()).build().await.unwrap();
        let plane = DataPlane::open(dir.path(), &front).unwrap();
        let world = Self { front, plane, clock, dir };
        let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg");
        world.owner().put(group, API, json!({ "location": "eastus" })).await.unwrap();
        world
    }

    /// With a vault `kv1` that uses roles, and its owner as its administrator.
    pub async fn with_vault() -> Self {
        let world = Self::new().await;
        world.put(&vault_id("kv1"), vault_body(json!({}))).await.unwrap();
        world.assign(OWNER, "00482a5a-887f-4fb3-b363-3b7fe8e74483", &vault_id("kv1")).await;
        world
    }

    /// Lets this many seconds pass.
    pub fn later(&self, seconds: i64) {
        let now = self.clock.now();
        self.clock.set(jiff::Timestamp::from_second(now.as_second() + seconds).unwrap());
    }

    pub fn owner(&self) -> ArmClient {
        self.front.ctx("Lazurite").arm.as_caller(caller(OWNER))
    }

    pub async fn put(&self, id: &str, body: Value) -> Result<Value, ArmError> {
        self.owner().put(id, API, body).await?.done().await
    }

    pub async fn get(&self, id: &str) -> Value {
        self.owner().get(id, API).await.unwrap()
    }

    pub async fn delete(&self, id: &str) -> Result<(), ArmError> {
        self.owner().delete(id, API).await?.done().await.map(|_| ())
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<Value, ArmError> {
        self.owner().post(path, API, body).await?.done().await
    }

    /// Gives a principal a role at a scope.
    pub async fn assign(&self, principal: &str, role: &str, scope: &str) {
        let name = format!("{principal}{role}{scope}");
        let name = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes());
        let id = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}");
        let role =
            format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{role}");
        let body = json!({"properties": {"roleDefinitionId": role, "principalId": principal}});
        self.owner().put(id, "2022-04-01", body).await.unwrap().done().await.unwrap();
    }

    /// Asks a vault, with a bearer token or none.
    pub async fn ask(
        &self,
        bearer: Option<&str>,
        method: Method,
        vault: &str,
        path: &str,
        body: Value,
    ) -> Reply {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{path}{separator}api-version=7.4"))
            .header(header::HOST, format!("{vault}.vault.azure.net"));
        if let Some(bearer) = bearer {
            request = request.header(header::AUTHORIZATION, format!("Bearer {bearer}"));
        }
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let response = self.plane.call(request.body(kit::http::full(text)).unwrap()).await;
        let (parts, body) = response.into_parts();
        let bytes = kit::http::read(body, 1 << 20).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Reply { status: parts.status, headers: parts.headers, body }
    }

    /// Asks `kv1` as its administrator.
    pub async fn data(&self, method: Method, path: &str, body: Value) -> Reply {
        self.ask(Some(OWNER), method, "kv1", path, body).await
    }
}
