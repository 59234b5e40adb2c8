//! The node's own sign-in to container registries, as AKS's `acr-credential-provider` does it: a token of the kubelet's identity from the
//! metadata service, exchanged for the registry's. Whether that identity may pull is the registry's business.
//!
//! A failure is logged and the image is pulled as nobody; the registry then says what is missing. Does not: keep tokens; a pull is rare.

use std::time::Duration;

use async_trait::async_trait;
use http::header::{CONTENT_TYPE, HOST};
use kit::client::Client;
use kit::names::Names;
use kubelet::{Credentials, ImageCredentials};
use serde_json::Value;

use crate::document::Bootstrap;

const METADATA: &str = "http://169.254.169.254";
const RESOURCE: &str = "https://management.azure.com/";
const SUFFIX: &str = ".azurecr.io";
/// Whoever signs in with a registry's refresh token has this name.
const TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";
const LIMIT: Duration = Duration::from_secs(10);
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Signs in where images are pulled from.
pub(crate) struct AcrCredentials {
    client: Client,
    metadata: String,
    /// The registry in front of all: it is what the node speaks to.
    server: String,
    /// The kubelet's identity, where the machine may have others.
    client_id: Option<String>,
    tenant_id: String,
}

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
enum NoCredential {
    #[error("failed to build the request")]
    Request(#[from] http::Error),
    #[error("no answer")]
    Client(#[from] kit::client::ClientError),
    #[error("no answer in {LIMIT:?}")]
    Late(#[from] tokio::time::error::Elapsed),
    #[error("the answer broke off")]
    Body(#[from] kit::http::BodyError),
    #[error("`{from}` answered {status}")]
    Refused { from: String, status: http::StatusCode },
    #[error("`{from}` answered without `{field}`")]
    Without { from: String, field: &'static str },
}

impl AcrCredentials {
    /// For a node with this document; none when nothing stands in front of the registries.
    pub(crate) fn new(bootstrap: &Bootstrap, names: Names) -> Option<Self> {
        let mirror = bootstrap.registry_mirror.as_ref()?;
        let client = match Client::new(&mirror.ca_pem, None, names, None) {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(error = %kit::Chain(&error), "the node cannot sign in to registries");
                return None;
            }
        };
        Some(Self {
            client,
            metadata: METADATA.to_owned(),
            server: mirror.server.clone(),
            client_id: bootstrap.kubelet_client_id.clone(),
            tenant_id: bootstrap.tenant_id.clone(),
        })
    }

    async fn sign_in(&self) -> Result<String, NoCredential> {
        let mut query = vec![("api-version", "2018-02-01"), ("resource", RESOURCE)];
        query.extend(self.client_id.as_deref().map(|id| ("client_id", id)));
        let uri = format!("{}/metadata/identity/oauth2/token?{}", self.metadata, form(&query));
        let request = http::Request::get(uri).header("metadata", "true").body(kit::http::empty())?;
        let token = self.answer(request, "access_token").await?;
        let host = self.server.trim_start_matches("https://");
        let fields = form(&[
            ("grant_type", "access_token"),
            ("service", host),
            ("tenant", &self.tenant_id),
            ("access_token", &token),
        ]);
        let request = http::Request::post(format!("{}/oauth2/exchange", self.server))
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(kit::http::full(fields))?;
        self.answer(request, "refresh_token").await
    }

    async fn answer(&self, request: kit::http::Request, field: &'static str) -> Result<String, NoCredential> {
        let from = request.uri().path().to_owned();
        let response = tokio::time::timeout(LIMIT, self.client.send(request)).await??;
        let status = response.status();
        if !status.is_success() {
            return Err(NoCredential::Refused { from, status });
        }
        let body = kit::http::read(response.into_body(), ANSWER_MAX_BYTES).await?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let found = body[field].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        found.ok_or(NoCredential::Without { from, field })
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Whether an image is one of a container registry.
fn is_in_registry(image: &str) -> bool {
    image.split_once('/').is_some_and(|(host, _)| host.ends_with(SUFFIX))
}

#[async_trait]
impl ImageCredentials for AcrCredentials {
    async fn credentials(&self, image: &str) -> Option<Credentials> {
        if !is_in_registry(image) {
            return None;
        }
        match self.sign_in().await {
            Ok(password) => Some(Credentials { username: TOKEN_USER.to_owned(), password }),
            Err(error) => {
                tracing::warn!(%image, error = %kit::Chain(&error), "the node did not sign in to the registry");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kit::http::{Request, Response, Service};
    use parking_lot::Mutex;
    use serde_json::json;

    use super::*;

    /// A metadata service and a registry in one.
    #[derive(Default)]
    struct Cloud(Mutex<Vec<String>>);

    #[async_trait]
    impl Service for Cloud {
        async fn call(&self, request: Request) -> Response {
            let uri = request.uri().to_string();
            let metadata = request.headers().contains_key("metadata");
            let body = kit::http::read(request.into_body(), ANSWER_MAX_BYTES).await.unwrap();
            self.0.lock().push(format!("{uri} {}", String::from_utf8_lossy(&body)));
            let answer = match (uri.starts_with("/metadata/"), metadata) {
                (true, true) => json!({"access_token": "entra"}),
                (true, false) => return kit::http::status(http::StatusCode::BAD_REQUEST),
                _ => json!({"refresh_token": "registry"}),
            };
            kit::http::json(http::StatusCode::OK, &answer)
        }
    }

    #[tokio::test]
    async fn the_kubelets_identity_becomes_a_user_of_the_registry() {
        kit::tls::install_provider();
        let tasks = kit::Tasks::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let cloud = Arc::new(Cloud::default());
        kit::serve::plain(listener, cloud.clone(), &tasks);
        let authority = kit::pki::Authority::new("ca", Duration::from_secs(60)).unwrap();
        let credentials = AcrCredentials {
            client: Client::new(authority.certificate_pem(), None, Names::new(), None).unwrap(),
            metadata: server.clone(),
            server,
            client_id: Some("client".to_owned()),
            tenant_id: "tenant".to_owned(),
        };
        for image in ["nginx", "docker.io/library/nginx:1", "azurecr.io/app", "shop.azurecr.io.evil.com/app"]
        {
            assert!(credentials.credentials(image).await.is_none(), "{image}");
        }
        assert!(cloud.0.lock().is_empty());
        let own = credentials.credentials("shop.azurecr.io/app:1").await.unwrap();
        assert_eq!((own.username.as_str(), own.password.as_str()), (TOKEN_USER, "registry"));
        let seen = cloud.0.lock().join("\n");
        assert!(seen.contains("resource=https%3A%2F%2Fmanagement.azure.com%2F&client_id=client"), "{seen}");
        assert!(seen.contains("tenant=tenant&access_token=entra"), "{seen}");
        tasks.stop();
    }
}
