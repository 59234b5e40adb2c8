//! Asking the running service.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::{Method, header};
use kit::http::{Request, Response};

use crate::place::{Credentials, Home, ServiceFile, State};

const NOT_RUNNING: &str = "Lazurite does not run; start it with `make up` or `lazurite up`";
const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

/// What the service said, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: http::StatusCode,
    pub(crate) headers: http::HeaderMap,
    /// `Null` when there was no body.
    pub(crate) body: serde_json::Value,
}

/// Whether the front door answers its health check.
pub(crate) fn answers(running: &ServiceFile) -> bool {
    let Ok(remote) = Remote::to(running) else { return false };
    block_on(async {
        let request = remote.request(Method::GET, "/healthz", kit::http::empty())?;
        let sent = tokio::time::timeout(Duration::from_secs(2), remote.client.send(request)).await;
        anyhow::Ok(matches!(sent, Ok(Ok(response)) if response.status().is_success()))
    })
    .unwrap_or(false)
}

/// Runs a future to its end on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start a runtime")?
        .block_on(future)
}

/// The running service, as a client sees it.
pub(crate) struct Remote {
    client: kit::client::Client,
    origin: String,
}

impl Remote {
    /// The service that runs now: this user's, else the one their credentials are for (root's, after
    /// `sudo lazurite up`).
    pub(crate) fn running() -> Result<Self> {
        let state = State::locate();
        match state.running() {
            Some(running) => Self::to(&running),
            None if state.last_service().is_some() => bail!(NOT_RUNNING),
            None => Self::at(Home::locate().credentials()?.endpoint),
        }
    }

    fn to(running: &ServiceFile) -> Result<Self> {
        Self::at(format!("https://localhost:{}", running.front.port()))
    }

    fn at(origin: String) -> Result<Self> {
        kit::tls::install_provider();
        let ca = kit::files::read_string(&Home::locate().join("ca.crt"))?;
        let client = kit::client::Client::new(&ca, None, kit::names::Names::new(), Some("localhost"))?;
        Ok(Self { client, origin })
    }

    fn request(&self, method: Method, path: &str, body: kit::http::Body) -> Result<Request> {
        http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.origin))
            .body(body)
            .context("failed to make a request")
    }

    /// A token for ARM, as the command line's own application.
    pub(crate) async fn token(&self, credentials: &Credentials) -> Result<String> {
        let form = url_form(&[
            ("grant_type", "client_credentials"),
            ("client_id", &credentials.client_id),
            ("client_secret", &credentials.client_secret),
            ("scope", "https://management.azure.com/.default"),
        ]);
        let mut request = self.request(
            Method::POST,
            &format!("/{}/oauth2/v2.0/token", credentials.tenant_id),
            kit::http::full(form),
        )?;
        request.headers_mut().insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        let answer = json(self.client.send(request).await.context(NOT_RUNNING)?).await?;
        let token = answer["access_token"].as_str().context("the service gave no token")?;
        Ok(token.to_owned())
    }

    /// Sends one authorised request and returns its JSON answer; an error answer is an error.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: kit::http::Body,
    ) -> Result<serde_json::Value> {
        let request = self.authorized(method, path, token, body)?;
        json(self.client.send(request).await?).await
    }

    fn authorized(&self, method: Method, path: &str, token: &str, body: kit::http::Body) -> Result<Request> {
        let mut request = self.request(method, path, body)?;
        let value = header::HeaderValue::from_str(&format!("Bearer {token}"))
            .context("the token is not a header value")?;
        request.headers_mut().insert(header::AUTHORIZATION, value);
        Ok(request)
    }

    /// Sends one authorised request with a JSON body, if any, and returns the answer whatever its status.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Answer> {
        let bytes = match body {
            Some(body) => kit::http::full(serde_json::to_vec(body).context("failed to encode a request")?),
            None => kit::http::empty(),
        };
        let mut request = self.authorized(method, path, token, bytes)?;
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, header::HeaderValue::from_static(AGENT));
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        }
        let response = self.client.send(request).await.context(NOT_RUNNING)?;
        let (parts, body) = response.into_parts();
        let bytes = kit::http::read(body, ANSWER_MAX_BYTES).await?;
        let body = if bytes.is_empty() {
            serde_json::Value::Null
        } else {
            serde_json::from_slice(&bytes).context("the service's answer is not JSON")?
        };
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

/// Names az, since the front door tells clients of that name in milliseconds when to ask again.
const AGENT: &str = concat!("lazurite/", env!("CARGO_PKG_VERSION"), " (as AZURECLI)");

async fn json(response: Response) -> Result<serde_json::Value> {
    let status = response.status();
    let bytes = kit::http::read(response.into_body(), ANSWER_MAX_BYTES).await?;
    if !status.is_success() {
        bail!("the service answered {status}: {}", String::from_utf8_lossy(&bytes));
    }
    if bytes.is_empty() {
        return Ok(serde_json::Value::Null);
    }
    serde_json::from_slice(&bytes).context("the service's answer is not JSON")
}

fn url_form(fields: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        form.append_pair(name, value);
    }
    form.finish()
}
