//! Asking the running service.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::{Method, header};
use kit::http::{Request, Response};

use crate::place::{Credentials, Home, ServiceFile, State};

const ANSWER_MAX_BYTES: usize = 64 * 1024 * 1024;

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
    /// The service that runs now.
    pub(crate) fn running() -> Result<Self> {
        let state = State::locate();
        let Some(running) = state.running() else {
            bail!("Lazurite does not run; start it with `make up` or `lazurite up`");
        };
        Self::to(&running)
    }

    fn to(running: &ServiceFile) -> Result<Self> {
        kit::tls::install_provider();
        let ca = kit::files::read_string(&Home::locate().join("ca.crt"))?;
        let client = kit::client::Client::new(&ca, None, kit::names::Names::new(), Some("localhost"))?;
        Ok(Self { client, origin: format!("https://localhost:{}", running.front.port()) })
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
        let answer = json(self.client.send(request).await?).await?;
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
        let mut request = self.request(method, path, body)?;
        let value = header::HeaderValue::from_str(&format!("Bearer {token}"))
            .context("the token is not a header value")?;
        request.headers_mut().insert(header::AUTHORIZATION, value);
        json(self.client.send(request).await?).await
    }
}

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
