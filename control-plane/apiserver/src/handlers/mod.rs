//! From HTTP to the registry and back.
//!
//! Each request: who asks, on whose behalf, is there a seat, may they ([`serve`]); what is it about, do it, answer in the form asked for.
//! Every failure is answered as a `Status`.

pub mod body;
mod components;
mod health;
pub mod list;
pub mod metrics;
pub mod negotiate;
pub mod objects;
pub mod options;
pub mod patch;
pub mod path;
pub mod plain;
pub mod render;
pub mod resource;
mod serve;
pub mod special;
pub mod watch;

use std::sync::Arc;

use api_model::selector::FieldSelector;
use async_trait::async_trait;
use http::HeaderMap;
use kit::http::{Body, Request, Response};
use parking_lot::Mutex;

use crate::attributes::{ApiError, Attributes, Notes, UserInfo};
use crate::audit::{self, Auditor};
use crate::authn::Authenticator;
use crate::authz::Authorizer;
use crate::discovery::Discovery;
use crate::flow::Flow;
use crate::registry::Registry;
use crate::streaming::Streaming;
use crate::tokens::ServiceAccountTokens;
use crate::tunnel::Tunnels;
use metrics::Metrics;
use options::Query;
use path::RequestInfo;

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
    /// Which requests run now.
    pub flow: Flow,
    /// Who did what; none when nothing is recorded.
    pub auditor: Option<Auditor>,
    /// How many requests, and how long they took.
    pub metrics: Metrics,
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

    /// Whether the answer is to be indented.
    pub fn pretty(&self) -> bool {
        self.query.pretty(self.user_agent())
    }

    /// The request itself, for who makes another connection of it; what stays here is empty.
    pub fn take_request(&mut self) -> Request {
        let body = self.body_mut();
        let mut head = http::Request::new(()).into_parts().0;
        std::mem::swap(&mut head, &mut self.head);
        Request::from_parts(head, body)
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
        let bytes = body::read(self.body_mut()).await?;
        audit::note_request_body(&body::content_type(self.headers()), &bytes);
        Ok(bytes)
    }
}

impl Api {
    async fn route(&self, mut asked: Asked) -> Response {
        if let Some(extension) = self.discovery.extension(&asked.info) {
            let (body, user) = (asked.body_mut(), asked.user.clone());
            let request = Request::from_parts(asked.head, body);
            return self.discovery.aggregator().pass_on(&extension, &user, request).await;
        }
        let result = if asked.info.is_resource {
            resource::serve(self, &mut asked).await
        } else {
            plain::serve(self, &mut asked).await
        };
        let mut response = match result {
            Ok(response) => response,
            Err(error) => render::failed_as(&self.registry.model, &error, asked.headers(), &asked.warnings),
        };
        render::add_warnings(response.headers_mut(), &asked.notes.take_warnings());
        audit::annotate_all(|| asked.notes.annotations());
        response
    }
}

/// What the authorisers are asked.
fn attributes(info: &RequestInfo, query: &Query, user: &Arc<UserInfo>) -> Attributes {
    let selecting = info.is_resource && matches!(info.verb, "list" | "watch" | "deletecollection");
    // A selector that cannot be read limits nothing; the handler refuses it.
    let selector =
        query.get("fieldSelector").filter(|_| selecting).and_then(|text| FieldSelector::parse(text).ok());
    let selector = selector.unwrap_or_default();
    // A list or watch of one name is authorised by that name.
    let named = selector.exact("metadata.name").filter(|name| path::not_a_name(name).is_none());
    let name = match named {
        Some(name) if info.name.is_empty() => name.to_owned(),
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
        fields: selector.requirements().to_vec(),
    }
}

#[async_trait]
impl kit::http::Service for Api {
    async fn call(&self, request: Request) -> Response {
        self.answer(request).await
    }
}
