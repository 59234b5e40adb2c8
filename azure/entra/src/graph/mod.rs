//! The part of Microsoft Graph that Azure's tools use: applications, service principals, users, groups.
//!
//! Everybody with a token may read; administrators of the directory may write, and owners may change what they made.
//! Not built: change notifications, deleted items, directory roles as objects, everything beside the directory.

mod batch;
mod credentials;
mod filter;
mod grants;
mod links;
mod query;
mod read;
mod shapes;
mod write;

pub use filter::Filter;

use http::{Method, StatusCode, header};
use kit::http::{BodyError, Response};
use serde_json::{Value, json};

use crate::entra::{Entra, EntraError};
use crate::service::Incoming;
use crate::verify::{Claims, VerifyError};

/// An error as Graph tells it.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Fault {
    fn not_found(id: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: "Request_ResourceNotFound",
            message: format!(
                "Resource '{id}' does not exist or one of its queried reference-property objects are not present."
            ),
        }
    }

    fn bad(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "Request_BadRequest", message: message.into() }
    }

    fn denied() -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            code: "Authorization_RequestDenied",
            message: "Insufficient privileges to complete the operation.".to_owned(),
        }
    }

    fn not_implemented(what: &str) -> Self {
        Self {
            status: StatusCode::NOT_IMPLEMENTED,
            code: "NotImplemented",
            message: format!("{what} is not implemented by this directory."),
        }
    }
}

impl From<EntraError> for Fault {
    fn from(error: EntraError) -> Self {
        match error {
            EntraError::NotFound { id } => Self::not_found(&id),
            // Only a user's name is taken there.
            EntraError::Taken { .. } => {
                Self::bad("Another object with the same value for property userPrincipalName already exists.")
            }
            other => {
                tracing::error!(error = %kit::Chain(&other), "a Graph request failed");
                Self {
                    status: StatusCode::INTERNAL_SERVER_ERROR,
                    code: "InternalServerError",
                    message: "The directory failed.".to_owned(),
                }
            }
        }
    }
}

/// A request to Graph, with its caller.
pub(crate) struct Asked<'a> {
    pub incoming: &'a Incoming,
    /// Behind the version.
    pub path: Vec<String>,
    pub caller: Claims,
}

pub(crate) type Reply = Result<(StatusCode, Option<Value>), Fault>;

impl Asked<'_> {
    fn body(&self) -> Result<Value, Fault> {
        let read: Result<Value, _> = serde_json::from_slice(&self.incoming.body);
        read.ok().filter(Value::is_object).ok_or_else(|| Fault::bad("Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format."))
    }

    /// What the body gives for a property, which it must.
    fn need(&self, body: &Value, name: &str, resource: &str) -> Result<String, Fault> {
        let given = body.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
        given.map(str::to_owned).ok_or_else(|| {
            Fault::bad(format!("A value is required for property '{name}' of resource '{resource}'."))
        })
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.incoming.query.get(name).map(String::as_str)
    }
}

impl Entra {
    fn graph_caller(&self, incoming: &Incoming) -> Result<Claims, Fault> {
        let refused = |message: &str| Fault {
            status: StatusCode::UNAUTHORIZED,
            code: "InvalidAuthenticationToken",
            message: message.to_owned(),
        };
        let value = incoming.headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let token = value
            .and_then(|v| v.split_once(' '))
            .filter(|(s, _)| s.eq_ignore_ascii_case("bearer"))
            .map(|(_, t)| t.trim());
        let Some(token) = token else { return Err(refused("Access token is empty.")) };
        let mut audiences: Vec<String> = [
            "https://graph.microsoft.com",
            "00000003-0000-0000-c000-000000000000",
            "https://graph.windows.net",
        ]
        .map(str::to_owned)
        .to_vec();
        let authority = incoming.base.trim_start_matches("https://");
        let bare = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        if self.config.hosts.iter().any(|h| h.eq_ignore_ascii_case(bare) || h.eq_ignore_ascii_case(authority))
        {
            audiences.push(incoming.base.clone());
        }
        self.verify(token, &audiences).map_err(|error| match error {
            VerifyError::Invalid => refused("CompactToken validation failed."),
            VerifyError::Expired { .. } => refused("Lifetime validation failed, the token is expired."),
            VerifyError::Audience { .. } => refused("Access token validation failure. Invalid audience."),
            VerifyError::Issuer { .. } => refused("Access token validation failure. Invalid issuer."),
        })
    }

    /// Whether the caller administers the directory.
    fn is_admin(&self, caller: &Claims) -> bool {
        let state = self.store.state.read();
        state.principals.get(&caller.oid).is_some_and(|p| p.admin)
            || state.users.get(&caller.oid).is_some_and(|u| u.admin)
    }

    /// Answers a request to Graph.
    pub(crate) async fn graph(&self, incoming: &Incoming) -> Response {
        let is_batch = incoming.segments.get(1).is_some_and(|first| first.eq_ignore_ascii_case("$batch"));
        let (status, body) = match (is_batch, self.graph_caller(incoming)) {
            (true, Ok(_)) => match self.graph_batch(incoming).await {
                Ok(body) => (StatusCode::OK, Some(body)),
                Err(fault) => self.told(&fault),
            },
            _ => self.graph_answer(incoming).await,
        };
        match body {
            Some(Value::Number(count)) => kit::http::bytes_response(status, "text/plain", count.to_string()),
            Some(body) => kit::http::json(status, &body),
            None => kit::http::status(status),
        }
    }

    /// Answers a request to Graph whose body cannot be read.
    pub(crate) fn graph_unread(&self, status: StatusCode, error: &BodyError) -> Response {
        let code =
            if status == StatusCode::PAYLOAD_TOO_LARGE { "RequestEntityTooLarge" } else { "BadRequest" };
        let message = format!("The request cannot be read: {error}.");
        let (status, body) = self.told(&Fault { status, code, message });
        kit::http::json(status, &body)
    }

    /// What one request is answered, alone or in a batch.
    async fn graph_answer(&self, incoming: &Incoming) -> (StatusCode, Option<Value>) {
        let outcome = match self.graph_caller(incoming) {
            Ok(caller) => {
                let path = incoming.segments[1..].to_vec();
                self.graph_route(Asked { incoming, path, caller }).await
            }
            Err(fault) => Err(fault),
        };
        match outcome {
            Ok((status, mut body)) => {
                if let Some(map) = body.as_mut().and_then(Value::as_object_mut) {
                    let name = incoming.segments.get(1).map_or("", String::as_str);
                    map.entry("@odata.context")
                        .or_insert_with(|| json!(format!("{}/v1.0/$metadata#{name}", incoming.base)));
                }
                (status, body)
            }
            Err(fault) => self.told(&fault),
        }
    }

    fn told(&self, fault: &Fault) -> (StatusCode, Option<Value>) {
        let body = json!({"error": {"code": fault.code, "message": fault.message, "innerError": {
            "date": self.now().to_string(), "request-id": uuid::Uuid::new_v4(), "client-request-id": uuid::Uuid::new_v4()}}});
        (fault.status, Some(body))
    }

    /// `applications(appId='x')`, `users('x')` and `me` as what they stand for: a kind and an id.
    fn resolved(&self, asked: &mut Asked<'_>) -> Result<(), Fault> {
        let Some(first) = asked.path.first().cloned() else { return Ok(()) };
        if first.eq_ignore_ascii_case("me") {
            if asked.caller.is_app {
                return Err(Fault::bad("/me request is only valid with delegated authentication flow."));
            }
            asked.path.splice(0..1, ["users".to_owned(), asked.caller.oid.clone()]);
            return Ok(());
        }
        let Some((kind, inner)) = first.split_once('(') else { return Ok(()) };
        let quoted = inner.split('\'').nth(1).unwrap_or_default();
        let id = if inner.to_ascii_lowercase().starts_with("appid=") {
            let all = self.all(&kind.to_ascii_lowercase()).unwrap_or_default();
            let found =
                all.iter().find(|o| o["appId"].as_str().is_some_and(|a| a.eq_ignore_ascii_case(quoted)));
            found.and_then(|o| o["id"].as_str()).ok_or_else(|| Fault::not_found(quoted))?.to_owned()
        } else {
            quoted.to_owned()
        };
        asked.path.splice(0..1, [kind.to_owned(), id]);
        Ok(())
    }

    async fn graph_route(&self, mut asked: Asked<'_>) -> Reply {
        self.resolved(&mut asked)?;
        let lower: Vec<String> = asked.path.iter().map(|s| s.to_ascii_lowercase()).collect();
        let words: Vec<&str> = lower.iter().map(String::as_str).collect();
        let last = words.last().copied().unwrap_or_default();
        match asked.incoming.method {
            Method::GET => self.graph_read(&asked, &words),
            Method::POST
                if last == "getbyids" || last.starts_with("getmember") || last.starts_with("checkmember") =>
            {
                self.graph_ask(&asked, &words)
            }
            _ => self.graph_write(&asked, &words).await,
        }
    }
}

fn list(values: Vec<Value>) -> Reply {
    Ok((StatusCode::OK, Some(json!({"value": values}))))
}
