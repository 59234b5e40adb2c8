//! Asking the front door from inside the process.
//!
//! The requests are ordinary: they are routed, authenticated, authorised and logged like everybody's. Only the socket
//! is missing.

use std::fmt::Display;
use std::sync::Arc;

use http::{Method, StatusCode, header};
use serde_json::Value;

use crate::front::{Front, InProcess, WeakFront};
use crate::{ArmError, Caller, OperationStatus, ResourceId};

#[derive(Clone)]
enum Identity {
    /// A caller the process has already authenticated.
    Caller(Arc<Caller>),
    /// A managed identity; a token is asked for.
    Principal(Arc<str>),
}

/// A client of the front door in this process. Cheap to clone.
#[derive(Clone)]
pub struct ArmClient {
    front: WeakFront,
    identity: Identity,
    held: crate::front::Held,
    correlation_id: Arc<str>,
}

/// What was answered.
#[derive(Debug)]
pub struct Reply {
    /// 200, 201, 202 or 204.
    pub status: StatusCode,
    /// The body, or null.
    pub body: Value,
    /// The operation's id, if the answer named one.
    pub operation: Option<String>,
    id: String,
    version: String,
    deed: Method,
    client: ArmClient,
}

impl std::fmt::Debug for ArmClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ArmClient")
    }
}

impl ArmClient {
    pub(crate) fn new(
        front: WeakFront,
        caller: Caller,
        held: crate::front::Held,
        correlation_id: &str,
    ) -> Self {
        Self {
            front,
            identity: Identity::Caller(Arc::new(caller)),
            held,
            correlation_id: correlation_id.into(),
        }
    }

    /// The same client as a managed identity, by object id: with a token from the directory.
    pub fn with_identity(&self, principal_id: &str) -> Self {
        Self { identity: Identity::Principal(principal_id.into()), ..self.clone() }
    }

    /// The same client as a part of the cloud itself, one of [`SERVICES`](crate::access::SERVICES).
    pub fn as_service(&self, name: &str) -> Self {
        let tenant = self.front.upgrade().map(|f| f.config().tenant_id.clone()).unwrap_or_default();
        Self { identity: Identity::Caller(Arc::new(Caller::service(name, &tenant))), ..self.clone() }
    }

    /// The same client as somebody the front door has authenticated before.
    pub fn as_caller(&self, caller: Caller) -> Self {
        Self { identity: Identity::Caller(Arc::new(caller)), ..self.clone() }
    }

    fn front(&self) -> Result<Arc<Front>, ArmError> {
        self.front.upgrade().ok_or_else(|| {
            ArmError::new(StatusCode::SERVICE_UNAVAILABLE, "ServerStopping", "The service is stopping.")
        })
    }

    /// Sends a request; `path` may hold a query.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        api_version: &str,
        body: Option<&Value>,
    ) -> Result<Reply, ArmError> {
        let front = self.front()?;
        let mark = if path.contains('?') { '&' } else { '?' };
        let uri = format!("{}{mark}api-version={api_version}", encode_path(path));
        let mut builder = http::Request::builder().method(method.clone()).uri(uri);
        builder = builder.header(header::CONTENT_TYPE, "application/json").header(header::HOST, front.host());
        if !self.correlation_id.is_empty() {
            builder = builder.header("x-ms-correlation-request-id", self.correlation_id.as_ref());
        }
        let mut caller = None;
        match &self.identity {
            Identity::Caller(known) => caller = Some(known.clone()),
            Identity::Principal(principal) => {
                let token = front.token_for(principal).await?;
                builder = builder.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
        }
        let bytes = body.map(|b| b.to_string()).unwrap_or_default();
        let mut request = builder
            .body(kit::http::full(bytes))
            .map_err(|_| ArmError::bad_request("InvalidUri", format!("'{path}' is not a path.")))?;
        request.extensions_mut().insert(InProcess { caller, held: self.held.clone() });
        let response = front.clone().answer(request).await;
        self.read(response, method, path, api_version).await
    }

    async fn read(
        &self,
        response: kit::http::Response,
        deed: Method,
        path: &str,
        version: &str,
    ) -> Result<Reply, ArmError> {
        let status = response.status();
        let operation =
            response.headers().get("x-lazurite-operation").and_then(|v| v.to_str().ok()).map(str::to_owned);
        let bytes = crate::front::read_body(response.into_body(), usize::MAX)
            .await
            .map_err(|_| ArmError::internal())?;
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if !status.is_success() {
            return Err(ArmError::read(status, &body));
        }
        let id = path.split('?').next().unwrap_or(path).to_owned();
        Ok(Reply { status, body, operation, id, version: version.to_owned(), deed, client: self.clone() })
    }

    /// GET.
    pub async fn get(&self, path: impl Display, api_version: &str) -> Result<Value, ArmError> {
        Ok(self.send(Method::GET, &path.to_string(), api_version, None).await?.body)
    }

    /// GET, with `None` for what is not there.
    pub async fn find(&self, path: impl Display, api_version: &str) -> Result<Option<Value>, ArmError> {
        match self.get(path, api_version).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// GET of a collection: its `value`.
    pub async fn list(&self, path: impl Display, api_version: &str) -> Result<Vec<Value>, ArmError> {
        let mut body = self.get(path, api_version).await?;
        match body.get_mut("value").map(Value::take) {
            Some(Value::Array(list)) => Ok(list),
            _ => Ok(Vec::new()),
        }
    }

    /// PUT.
    pub async fn put(&self, id: impl Display, api_version: &str, body: Value) -> Result<Reply, ArmError> {
        self.send(Method::PUT, &id.to_string(), api_version, Some(&body)).await
    }

    /// PATCH.
    pub async fn patch(&self, id: impl Display, api_version: &str, body: Value) -> Result<Reply, ArmError> {
        self.send(Method::PATCH, &id.to_string(), api_version, Some(&body)).await
    }

    /// DELETE.
    pub async fn delete(&self, id: impl Display, api_version: &str) -> Result<Reply, ArmError> {
        self.send(Method::DELETE, &id.to_string(), api_version, None).await
    }

    /// POST of an action: `path` ends with its name.
    pub async fn post(&self, path: impl Display, api_version: &str, body: Value) -> Result<Reply, ArmError> {
        self.send(Method::POST, &path.to_string(), api_version, Some(&body)).await
    }
}

impl Reply {
    /// Waits for the operation to end, by notification. Answers the resource after a PUT or PATCH, the result after a
    /// POST, null after a DELETE.
    pub async fn done(self) -> Result<Value, ArmError> {
        let Some(operation) = &self.operation else { return Ok(self.body) };
        let front = self.client.front()?;
        let ended = front.operations().wait(operation).await.ok_or_else(ArmError::internal)?;
        match ended.status {
            OperationStatus::Succeeded => {}
            OperationStatus::Failed | OperationStatus::Canceled | OperationStatus::InProgress => {
                return Err(ended.error.unwrap_or_else(|| {
                    ArmError::conflict("OperationCanceled", "The operation was canceled.")
                }));
            }
        }
        if self.deed == Method::PUT || self.deed == Method::PATCH {
            return self.client.get(&self.id, &self.version).await;
        }
        Ok(ended.result.unwrap_or(Value::Null))
    }

    /// The id of the answered resource.
    pub fn resource_id(&self) -> Option<ResourceId> {
        ResourceId::parse(self.body.get("id")?.as_str()?).ok()
    }
}

/// Ids may hold blanks and the like; what already is encoded stays as it is.
fn encode_path(path: &str) -> String {
    const SET: percent_encoding::AsciiSet = percent_encoding::CONTROLS
        .add(b' ')
        .add(b'"')
        .add(b'<')
        .add(b'>')
        .add(b'`')
        .add(b'{')
        .add(b'}')
        .add(b'\'');
    percent_encoding::utf8_percent_encode(path, &SET).to_string()
}
