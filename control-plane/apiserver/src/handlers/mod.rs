//! From HTTP to the registry and back.
//!
//! Each request: who asks, on whose behalf, may they, what is it about, do it, answer in the form asked for.
//! Every failure is answered as a `Status`.

pub mod body;
pub mod list;
pub mod negotiate;
pub mod objects;
pub mod options;
pub mod patch;
pub mod path;
pub mod plain;
pub mod render;
pub mod resource;
pub mod special;
pub mod watch;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderMap;
use kit::http::{Body, Connection, Request, Response};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::attributes::{ApiError, Attributes, Notes, UserInfo};
use crate::authn::{Authenticator, impersonate};
use crate::authz::Authorizer;
use crate::discovery::Discovery;
use crate::registry::Registry;
use crate::streaming::Streaming;
use crate::tokens::ServiceAccountTokens;
use crate::tunnel::Tunnels;
use options::Query;
use path::RequestInfo;

/// Requests worked on at once, watches and streams not counted; more are told to come back.
const IN_FLIGHT_MAX: usize = 1000;
/// How long a request may take, watches and streams not counted; as upstream.
const REQUEST_LIMIT: Duration = Duration::from_secs(60);
/// When to come back, in seconds.
const RETRY_AFTER_S: u32 = 1;

/// Answers requests of one cluster's API.
pub struct Api {
    /// The objects.
    pub registry: Arc<Registry>,
    /// Who asks.
    pub authenticator: Arc<Authenticator>,
    /// May they.
    pub authorizer: Arc<Authorizer>,
    /// Tokens of service accounts.
    pub tokens: Arc<ServiceAccountTokens>,
    /// What is served.
    pub discovery: Discovery,
    /// What needs a connection to a node.
    pub streaming: Streaming,
    /// The connections to nodes.
    pub tunnels: Arc<Tunnels>,
    in_flight: Semaphore,
}

/// A request as the handlers see it.
pub struct Asked {
    /// What it is about.
    pub info: RequestInfo,
    /// Its query.
    pub query: Query,
    /// Its head, extensions included.
    pub head: http::request::Parts,
    /// Its body; in a mutex only because bodies cannot be shared between threads otherwise.
    pub body: Mutex<Body>,
    /// Who asks, after impersonation.
    pub user: Arc<UserInfo>,
    /// What is to be said besides the answer.
    pub warnings: Vec<String>,
    /// What admission says besides the answer.
    pub notes: Arc<Notes>,
}

impl Asked {
    /// Its headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The `User-Agent`.
    pub fn user_agent(&self) -> &str {
        self.headers().get(http::header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Takes the body as it comes.
    pub fn body_mut(&mut self) -> Body {
        std::mem::replace(self.body.get_mut(), kit::http::empty())
    }

    /// Takes the body, read.
    ///
    /// # Errors
    /// When it is too large or breaks off.
    pub async fn take_body(&mut self) -> Result<bytes::Bytes, ApiError> {
        body::read(self.body_mut()).await
    }
}

impl Api {
    /// A handler over these parts.
    pub fn new(
        registry: Arc<Registry>,
        authenticator: Arc<Authenticator>,
        authorizer: Arc<Authorizer>,
        tokens: Arc<ServiceAccountTokens>,
        discovery: Discovery,
        streaming: Streaming,
        tunnels: Arc<Tunnels>,
    ) -> Self {
        let in_flight = Semaphore::new(IN_FLIGHT_MAX);
        Self { registry, authenticator, authorizer, tokens, discovery, streaming, tunnels, in_flight }
    }

    async fn handle(&self, request: Request) -> Result<Response, ApiError> {
        let (mut head, body) = request.into_parts();
        let query = Query::parse(head.uri.query());
        let info = path::parse(&head.method, head.uri.path(), query.flag("watch"));
        let user = self.who(&mut head).await?;
        if info.path == crate::tunnel::PATH {
            // The tunnels judge by themselves: only nodes may, each for itself.
            return Ok(plain::tunnel(self, Request::from_parts(head, body), &user));
        }
        self.authorizer.check(&attributes(&info, &query, &user))?;
        let asked = Asked {
            info,
            query,
            head,
            body: Mutex::new(body),
            user,
            warnings: Vec::new(),
            notes: Arc::default(),
        };
        let long = asked.info.verb == "watch" || special::is_stream(&asked.info);
        if long {
            return self.route(asked).await;
        }
        let Ok(_permit) = self.in_flight.try_acquire() else {
            return Err(ApiError::too_many_requests(
                "Too many requests, please try again later.",
                RETRY_AFTER_S,
            ));
        };
        match tokio::time::timeout(REQUEST_LIMIT, self.route(asked)).await {
            Ok(result) => result,
            Err(_) => Err(ApiError::timeout("request did not complete within the allotted timeout")),
        }
    }

    /// Who asks: known already when the request comes from inside, else by what it shows.
    async fn who(&self, head: &mut http::request::Parts) -> Result<Arc<UserInfo>, ApiError> {
        let inside = head.extensions.remove::<crate::loopback::Inside>();
        let user = match inside {
            Some(inside) => inside.0,
            None => {
                let connection = head.extensions.get::<Connection>();
                let user =
                    self.authenticator.authenticate(&head.headers, connection, head.uri.path()).await?;
                Arc::new(user)
            }
        };
        let other = impersonate(&mut head.headers, &user, &self.authorizer)?;
        Ok(other.map_or(user, Arc::new))
    }

    async fn route(&self, mut asked: Asked) -> Result<Response, ApiError> {
        if let Some(extension) = self.discovery.extension(&asked.info) {
            let (body, user) = (asked.body_mut(), asked.user.clone());
            let request = Request::from_parts(asked.head, body);
            return Ok(self.discovery.aggregator().pass_on(&extension, &user, request).await);
        }
        let result = if asked.info.is_resource {
            resource::serve(self, &mut asked).await
        } else {
            plain::serve(self, &mut asked).await
        };
        let mut response = match result {
            Ok(response) => response,
            Err(error) => render::failed(&error, &asked.warnings),
        };
        render::add_warnings(response.headers_mut(), &asked.notes.take_warnings());
        Ok(response)
    }
}

/// What the authorisers are asked.
fn attributes(info: &RequestInfo, query: &Query, user: &Arc<UserInfo>) -> Attributes {
    // A list or watch of one name is authorised by that name.
    let field_name = query.get("fieldSelector").and_then(|selector| selector.strip_prefix("metadata.name="));
    let name = match field_name {
        Some(name) if info.name.is_empty() && matches!(info.verb, "list" | "watch" | "deletecollection") => {
            name.split(',').next().unwrap_or_default().to_owned()
        }
        _ => info.name.clone(),
    };
    Attributes {
        user: user.clone(),
        verb: info.verb.to_owned(),
        group: info.group.clone(),
        version: info.version.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        namespace: info.namespace.clone(),
        name,
        path: info.path.clone(),
        is_resource: info.is_resource,
    }
}

#[async_trait]
impl kit::http::Service for Api {
    async fn call(&self, request: Request) -> Response {
        match self.handle(request).await {
            Ok(response) => response,
            Err(error) => render::failed(&error, &[]),
        }
    }
}
