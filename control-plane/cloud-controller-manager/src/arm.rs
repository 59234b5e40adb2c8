//! Azure Resource Manager over REST: requests with a token, long operations waited for, errors kept whole.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use kit::http::{Connection, Request};
use serde_json::Value;

use crate::Config;

pub(crate) const COMPUTE: &str = "2024-07-01";
pub(crate) const NETWORK: &str = "2024-05-01";
const HOST: &str = "management.azure.com";
/// Answers longer than this are refused.
const BODY_MAX: usize = 16 << 20;
/// How long an operation may take.
const OPERATION_MAX: Duration = Duration::from_secs(300);

/// Why the cloud did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArmError {
    /// The cloud said no. Shown as Azure's SDK for Go shows it, which is what people see in events.
    #[error("{method} https://{HOST}{path}: RESPONSE {status}: {status} {}; ERROR CODE: {code}; {message}", StatusCode::from_u16(*status).ok().and_then(|s| s.canonical_reason()).unwrap_or(""))]
    Refused { method: Method, path: String, status: u16, code: String, message: String },
    /// There is no token.
    #[error("{0}")]
    Token(#[from] crate::TokenError),
    /// The answer was no ARM answer.
    #[error("the cloud's answer to {method} {path} makes no sense: {what}")]
    Answer { method: Method, path: String, what: String },
    /// An operation did not end in time.
    #[error("the operation on {path} did not end in time")]
    Late { path: String },
}

impl ArmError {
    /// The HTTP status, if the cloud answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A client of the cloud for one cluster.
#[derive(Clone)]
pub(crate) struct Arm {
    pub config: Arc<Config>,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Arm {
    pub fn new(config: Arc<Config>) -> Self {
        Self { config }
    }

    /// The id of something in the node resource group: `Microsoft.Network/loadBalancers`, `kubernetes`.
    pub fn id(&self, kind: &str, name: &str) -> String {
        format!("{}/providers/{kind}/{name}", self.group())
    }

    /// The id of the node resource group.
    pub fn group(&self) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}",
            self.config.subscription_id, self.config.resource_group
        )
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<Answer, ArmError> {
        let token = self.config.token.token().await?;
        let broken = |what: String| ArmError::Answer { method: method.clone(), path: path.to_owned(), what };
        let local = SocketAddr::from(([127, 0, 0, 1], 443));
        let mut request = http::Request::builder()
            .method(method.clone())
            .uri(format!("https://{HOST}{path}"))
            .header(header::HOST, HOST)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, "cloud-controller-manager")
            .extension(Connection {
                peer: SocketAddr::from(([127, 0, 0, 1], 0)),
                local,
                server_name: Some(HOST.into()),
                client_certificates: Arc::default(),
            });
        if let Some(etag) = etag {
            request = request.header(header::IF_MATCH, etag);
        }
        let request: Request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(kit::http::full(body.to_string()))
                .map_err(|e| broken(e.to_string()))?,
            None => request.body(kit::http::empty()).map_err(|e| broken(e.to_string()))?,
        };
        let (parts, body) = self.config.cloud.call(request).await.into_parts();
        let bytes = kit::http::read(body, BODY_MAX).await.map_err(|e| broken(kit::Chain(&e).to_string()))?;
        let body: Value = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?
        };
        if parts.status.is_client_error() || parts.status.is_server_error() {
            return Err(refusal(method, path, parts.status.as_u16(), &body));
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// Reads; `None` if there is nothing.
    pub async fn get(&self, id: &str, version: &str) -> Result<Option<Value>, ArmError> {
        match self.send(&Method::GET, &with_version(id, version), None, None).await {
            Ok(answer) => Ok(Some(answer.body)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists all pages; nothing if the collection does not exist.
    pub async fn list(&self, id: &str, version: &str) -> Result<Vec<Value>, ArmError> {
        let mut all = Vec::new();
        let mut next = Some(with_version(id, version));
        while let Some(path) = next {
            let mut answer = match self.send(&Method::GET, &path, None, None).await {
                Ok(answer) => answer,
                Err(error) if error.status() == Some(404) && all.is_empty() => return Ok(all),
                Err(error) => return Err(error),
            };
            if let Some(page) = answer.body["value"].as_array_mut() {
                all.append(page);
            }
            next = answer.body["nextLink"].as_str().map(path_of);
        }
        Ok(all)
    }

    /// Writes and waits to the end; `etag` guards against others' writes.
    pub async fn put(
        &self,
        id: &str,
        version: &str,
        body: &Value,
        etag: Option<&str>,
    ) -> Result<Value, ArmError> {
        self.write(&Method::PUT, id, version, Some(body), etag).await?;
        Ok(self.get(id, version).await?.unwrap_or(Value::Null))
    }

    /// Changes parts and waits to the end.
    pub async fn patch(&self, id: &str, version: &str, body: &Value) -> Result<(), ArmError> {
        self.write(&Method::PATCH, id, version, Some(body), None).await
    }

    /// Deletes and waits to the end; that there is nothing is a success.
    pub async fn delete(&self, id: &str, version: &str) -> Result<(), ArmError> {
        match self.write(&Method::DELETE, id, version, None, None).await {
            Err(error) if error.status() == Some(404) => Ok(()),
            other => other,
        }
    }

    async fn write(
        &self,
        method: &Method,
        id: &str,
        version: &str,
        body: Option<&Value>,
        etag: Option<&str>,
    ) -> Result<(), ArmError> {
        let answer = self.send(method, &with_version(id, version), body, etag).await?;
        let link = |name: &str| answer.headers.get(name).and_then(|v| v.to_str().ok()).map(path_of);
        let operation = link("azure-asyncoperation");
        let location = link("location").filter(|_| answer.status == StatusCode::ACCEPTED);
        let Some(path) = operation.clone().or(location) else { return Ok(()) };
        let wait = self.wait(id, &path, operation.is_some(), retry_after(&answer.headers));
        match tokio::time::timeout(OPERATION_MAX, wait).await {
            Ok(result) => result,
            Err(_) => Err(ArmError::Late { path: id.to_owned() }),
        }
    }

    /// ARM has no way to be told: it says itself how often to ask.
    async fn wait(
        &self,
        id: &str,
        path: &str,
        is_operation: bool,
        mut pause: Duration,
    ) -> Result<(), ArmError> {
        loop {
            tokio::time::sleep(pause).await;
            let answer = self.send(&Method::GET, path, None, None).await?;
            pause = retry_after(&answer.headers);
            if !is_operation {
                if answer.status == StatusCode::ACCEPTED {
                    continue;
                }
                return Ok(());
            }
            match answer.body["status"].as_str() {
                Some("Succeeded") => return Ok(()),
                Some("Failed" | "Canceled") => return Err(refusal(&Method::GET, id, 200, &answer.body)),
                _ => {}
            }
        }
    }
}

fn with_version(id: &str, version: &str) -> String {
    let sign = if id.contains('?') { '&' } else { '?' };
    format!("{id}{sign}api-version={version}")
}

fn path_of(link: &str) -> String {
    let rest = link.split_once("://").map_or(link, |(_, rest)| rest);
    match rest.find('/') {
        Some(at) if link.contains("://") => rest[at..].to_owned(),
        _ => link.to_owned(),
    }
}

fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    seconds
        .map_or(Duration::from_millis(500), Duration::from_secs)
        .clamp(Duration::from_millis(200), Duration::from_secs(15))
}

fn refusal(method: &Method, path: &str, status: u16, body: &Value) -> ArmError {
    let error = &body["error"];
    ArmError::Refused {
        method: method.clone(),
        path: path.split('?').next().unwrap_or(path).to_owned(),
        status,
        code: error["code"].as_str().unwrap_or("UNAVAILABLE").to_owned(),
        message: error["message"].as_str().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_paths() {
        assert_eq!(path_of("https://localhost:8443/subscriptions/x?a=b"), "/subscriptions/x?a=b");
        assert_eq!(path_of("/subscriptions/x"), "/subscriptions/x");
        assert_eq!(with_version("/a?$expand=b", "1"), "/a?$expand=b&api-version=1");
    }

    #[test]
    fn refusals_carry_the_clouds_words() {
        let body = serde_json::json!({"error": {"code": "AuthorizationFailed", "message": "The client has no role."}});
        let error = refusal(&Method::PUT, "/subscriptions/x?api-version=1", 403, &body);
        assert_eq!(
            error.to_string(),
            "PUT https://management.azure.com/subscriptions/x: RESPONSE 403: 403 Forbidden; \
             ERROR CODE: AuthorizationFailed; The client has no role."
        );
    }
}
