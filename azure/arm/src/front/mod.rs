//! The front door: one service for the whole host `management.azure.com`.
//!
//! A request goes through [`Front::answer`]: read, authenticate ([`auth`]), route ([`route`]), authorise, act, log.

mod activity_log;
mod auth;
mod authorization;
mod builder;
mod crud;
mod definition;
mod features;
pub mod filter;
mod generic;
mod groups;
mod health;
mod limits;
mod management_groups;
mod metadata;
mod namespaces;
mod operation_routes;
mod paging;
mod provider_calls;
mod recovery;
mod reply;
mod request;
mod route;
pub(crate) mod route_types {
    pub(crate) use super::route::Asked;
}
mod rules;
mod subscriptions;
mod tags;
mod turn;
mod unbuilt;
mod versions;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use futures::future::BoxFuture;
use http::StatusCode;
use kit::http::{BoxService, Request, Response, Service};
use kit::{Clock, Tasks};
use parking_lot::Mutex;

pub use builder::{FrontBuilder, StartError};
pub use limits::{Limit, Limits};
pub(crate) use request::{Answer, Held, InProcess, Incoming, read_body};
pub(crate) use turn::Turns;

use crate::activity::{Activity, CAUSE, Event};
use crate::types::{Provider, ResourceType, TypeDescriptor};
use crate::{
    Access, ArmClient, ArmError, Caller, Ctx, Directory, Operations, Resources, Token, TokenVerifier,
};

/// Names and suffixes of this cloud, as the metadata document publishes them.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// `AzureCloud` keeps az from treating this one as unknown.
    pub name: String,
    /// `azurecr.io`.
    pub acr_suffix: String,
    /// `vault.azure.net`.
    pub key_vault_suffix: String,
    /// `core.windows.net`.
    pub storage_suffix: String,
}

impl Default for Cloud {
    fn default() -> Self {
        Self {
            name: "AzureCloud".to_owned(),
            acr_suffix: "azurecr.io".to_owned(),
            key_vault_suffix: "vault.azure.net".to_owned(),
            storage_suffix: "core.windows.net".to_owned(),
        }
    }
}

/// What the front door is built from.
#[derive(Clone)]
pub struct FrontConfig {
    /// Where `arm.redb` lives.
    pub state_dir: PathBuf,
    /// The tenant's id.
    pub tenant_id: String,
    /// Its domain, `contoso.onmicrosoft.com`.
    pub tenant_domain: String,
    /// The one subscription's id.
    pub subscription_id: String,
    /// Its display name.
    pub subscription_name: String,
    /// Object ids that are Owner of the subscription from the first start.
    pub owners: Vec<String>,
    /// Names by which the front door may be called, without port. A token made for `https://<one of them>` (any port) is
    /// one for this API.
    pub hosts: Vec<String>,
    /// Names and suffixes.
    pub cloud: Cloud,
    /// Checks tokens.
    pub verifier: Arc<dyn TokenVerifier>,
    /// The directory.
    pub directory: Arc<dyn Directory>,
    /// Now.
    pub clock: Arc<dyn Clock>,
    /// Where background work runs.
    pub tasks: Tasks,
}

impl FrontConfig {
    /// The hosts that fit most set-ups.
    pub fn usual_hosts() -> Vec<String> {
        ["management.azure.com", "management.core.windows.net", "localhost", "127.0.0.1"]
            .map(str::to_owned)
            .to_vec()
    }
}

/// A registered type.
#[derive(Clone)]
pub(crate) struct Registered {
    pub kind: Arc<dyn ResourceType>,
    pub descriptor: TypeDescriptor,
    pub name: Option<Arc<regex::Regex>>,
    pub system_data: bool,
}

impl Registered {
    /// What a body shows of a resource, but its ETag.
    pub(crate) fn present(&self, ctx: &Ctx, resource: &crate::Resource) -> serde_json::Value {
        let mut body = self.kind.present(ctx, resource);
        if let Some(map) = body.as_object_mut().filter(|_| !self.system_data) {
            map.remove("systemData");
        }
        body
    }
}

/// A reference to the front door that does not keep it alive.
pub(crate) type WeakFront = Weak<Front>;

/// The front door.
pub struct Front {
    pub(crate) config: FrontConfig,
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) resources: Resources,
    pub(crate) operations: Operations,
    pub(crate) access: Access,
    pub(crate) activity: Activity,
    /// By lower-case namespace.
    pub(crate) providers: BTreeMap<String, Provider>,
    /// By lower-case full type.
    pub(crate) types: BTreeMap<String, Registered>,
    pub(crate) turns: Turns,
    pub(crate) buckets: limits::Buckets,
    pub(crate) running: crate::deployments::Running,
    pub(crate) settings: crate::Table,
    tokens: Mutex<HashMap<String, Token>>,
    pub(crate) me: WeakFront,
}

/// The audience of tokens for this API.
pub const AUDIENCE: &str = "https://management.azure.com/";

impl Front {
    /// Starts to build one.
    pub fn builder(config: FrontConfig) -> FrontBuilder {
        FrontBuilder::new(config)
    }

    /// The configuration.
    pub fn config(&self) -> &FrontConfig {
        &self.config
    }

    /// The service to put behind the host `management.azure.com`.
    pub fn service(self: &Arc<Self>) -> BoxService {
        Arc::new(Door(self.clone()))
    }

    /// All operations.
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    /// All resources.
    pub fn resources(&self) -> &Resources {
        &self.resources
    }

    /// Who may do what.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The activity log.
    pub fn activity(&self) -> &Activity {
        &self.activity
    }

    /// The context of work that no request started, as a part of the cloud (one of
    /// [`SERVICES`](crate::access::SERVICES)).
    pub fn ctx(&self, service: &str) -> Ctx {
        let caller = Caller::service(service, &self.config.tenant_id);
        self.ctx_of(
            caller,
            None,
            uuid::Uuid::new_v4().to_string(),
            String::new(),
            Arc::default(),
            self.base(),
            Held::default(),
        )
    }

    fn base(&self) -> String {
        format!("https://{}", self.host())
    }

    pub(crate) fn host(&self) -> &str {
        self.config.hosts.first().map_or("management.azure.com", String::as_str)
    }

    #[allow(clippy::too_many_arguments)]
    pub(crate) fn ctx_of(
        &self,
        caller: Caller,
        client_ip: Option<std::net::IpAddr>,
        correlation_id: String,
        api_version: String,
        query: Arc<BTreeMap<String, String>>,
        base_url: String,
        held: Held,
    ) -> Ctx {
        Ctx {
            arm: ArmClient::new(self.me.clone(), caller.clone(), held, &correlation_id),
            caller,
            client_ip,
            correlation_id,
            api_version,
            query,
            base_url,
            resources: self.resources.clone(),
            operations: self.operations.clone(),
            access: self.access.clone(),
            directory: self.config.directory.clone(),
            clock: self.config.clock.clone(),
            tasks: self.config.tasks.clone(),
            tenant_id: self.config.tenant_id.clone(),
            cloud: self.cloud.clone(),
        }
    }

    /// A token of a managed identity for this API, kept until shortly before its end.
    pub(crate) async fn token_for(&self, principal: &str) -> Result<String, ArmError> {
        let now = self.config.clock.now().as_second();
        if let Some(token) = self.tokens.lock().get(principal)
            && token.expires_on > now + 300
        {
            return Ok(token.access_token.clone());
        }
        let token = self.config.directory.token_for(principal, AUDIENCE).await?;
        let text = token.access_token.clone();
        self.tokens.lock().insert(principal.to_owned(), token);
        Ok(text)
    }

    /// A registered type, by any spelling.
    pub(crate) fn registered(&self, full_type: &str) -> Option<&Registered> {
        self.types.get(&full_type.to_ascii_lowercase())
    }

    /// Answers one request. Boxed: handlers make requests themselves.
    pub(crate) fn answer(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response> {
        Box::pin(async move { self.answer_one(request).await })
    }

    async fn answer_one(self: &Arc<Self>, request: Request) -> Response {
        let incoming = match Incoming::read(self, request).await {
            Ok(incoming) => incoming,
            Err(error) => return reply::refused(&error),
        };
        let began = self.config.clock.now();
        let outcome = CAUSE.scope(incoming.cause.clone(), self.handle(&incoming)).await;
        self.log(&incoming, began, &outcome);
        reply::response(&incoming, outcome)
    }

    /// Writes the deed into the activity log; nobody waits for the disk.
    fn log(&self, incoming: &Incoming, began: jiff::Timestamp, outcome: &Result<Answer, ArmError>) {
        let Some(cause) = incoming.cause.lock().take() else { return };
        let now = self.config.clock.now();
        match outcome {
            Ok(Answer { operation: Some(operation), status, .. }) => {
                // The operation may have ended already: these come before its end.
                for (after, word) in [(0, "Started"), (1, "Accepted")] {
                    let at = began + jiff::SignedDuration::from_nanos(after);
                    let mut event = Event::of(at, &cause, word, status.as_u16(), None);
                    event.operation_id = Some(operation.clone());
                    self.activity.note(event);
                }
            }
            Ok(answer) => {
                let word = if answer.status == StatusCode::ACCEPTED { "Accepted" } else { "Succeeded" };
                self.activity.note(Event::of(now, &cause, word, answer.status.as_u16(), None));
            }
            Err(error) => {
                self.activity.note(Event::of(now, &cause, "Failed", error.status.as_u16(), Some(error)));
            }
        }
        write_log(&self.activity, &self.config.tasks);
    }
}

/// Has what was noted written to disk.
pub(crate) fn write_log(activity: &Activity, tasks: &Tasks) {
    let activity = activity.clone();
    tasks.spawn_careful("activity log", async move {
        if let Err(error) = activity.write().await {
            tracing::error!(error = %kit::Chain(&error), "failed to write the activity log");
        }
    });
}

struct Door(Arc<Front>);

#[async_trait]
impl Service for Door {
    async fn call(&self, mut request: Request) -> Response {
        // Only code in this process can make an `InProcess`; still, nothing that came by a socket may carry one.
        request.extensions_mut().remove::<InProcess>();
        self.0.clone().answer(request).await
    }
}
