//! Lazurite's own calls, beside Azure's: images for clusters without the internet.

use std::sync::Arc;

use arm::{ArmError, Caller, ResourceId};
use async_trait::async_trait;
use entra::Entra;
use http::{Method, StatusCode, header};
use kit::http::{Request, Response, Service};
use providers::registry::Registry;
use serde_json::json;

const ARCHIVE_MAX_BYTES: usize = 4 * 1024 * 1024 * 1024;
const PULL: &str = "Microsoft.ContainerRegistry/registries/pull/read";
const PUSH: &str = "Microsoft.ContainerRegistry/registries/push/write";

/// The service below `/lazurite/v1/`.
pub(super) struct Own {
    pub(super) entra: Arc<Entra>,
    pub(super) front: Arc<arm::Front>,
    pub(super) registry: Arc<Registry>,
}

#[async_trait]
impl Service for Own {
    async fn call(&self, request: Request) -> Response {
        match self.answer(request).await {
            Ok(response) => response,
            Err(error) => kit::http::json(error.status, &error.body()),
        }
    }
}

impl Own {
    async fn answer(&self, request: Request) -> Result<Response, ArmError> {
        let bearer = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default()
            .to_owned();
        match (request.method().clone(), request.uri().path()) {
            (Method::GET, "/lazurite/v1/images") => {
                self.authorize(&bearer, PULL)?;
                let images = self.registry.images().map_err(|error| internal(&error))?;
                Ok(kit::http::json(StatusCode::OK, &json!({ "images": images })))
            }
            (Method::POST, "/lazurite/v1/images") => {
                self.authorize(&bearer, PUSH)?;
                self.load(request).await
            }
            (method, path) => Err(ArmError::not_implemented(format!("{method} {path}"))),
        }
    }

    async fn load(&self, request: Request) -> Result<Response, ArmError> {
        let name = request.uri().query().and_then(|query| {
            url::form_urlencoded::parse(query.as_bytes())
                .find(|(key, _)| key == "name")
                .map(|(_, name)| name.into_owned())
        });
        let archive = kit::http::read(request.into_body(), ARCHIVE_MAX_BYTES)
            .await
            .map_err(|error| ArmError::bad_request("InvalidArchive", kit::Chain(&error).to_string()))?;
        let registry = self.registry.clone();
        let loaded =
            tokio::task::spawn_blocking(move || registry.load_archive(&archive, name.as_deref())).await;
        match loaded {
            Ok(Ok(images)) => Ok(kit::http::json(StatusCode::CREATED, &json!({ "images": images }))),
            Ok(Err(error)) => Err(ArmError::bad_request("InvalidArchive", kit::Chain(&error).to_string())),
            Err(error) => Err(internal(&error)),
        }
    }

    fn authorize(&self, bearer: &str, action: &str) -> Result<(), ArmError> {
        let audiences =
            ["https://management.azure.com", "https://management.core.windows.net", "https://localhost"];
        let refused = |_| {
            ArmError::new(
                StatusCode::UNAUTHORIZED,
                "InvalidAuthenticationToken",
                "The access token is missing or invalid.",
            )
        };
        let claims = self.entra.verify(bearer, &audiences.map(str::to_owned)).map_err(refused)?;
        let scope = ResourceId::of_subscription(&self.front.config().subscription_id);
        let caller = Caller {
            name: claims.upn.clone().or_else(|| claims.appid.clone()).unwrap_or_default(),
            object_id: claims.oid,
            tenant_id: claims.tid,
            app_id: claims.appid,
            kind: if claims.is_app { arm::CallerKind::ServicePrincipal } else { arm::CallerKind::User },
            groups: claims.groups,
            claims: claims.all,
        };
        self.front.access().authorize(&caller, action, &scope)
    }
}

fn internal(error: &(dyn std::error::Error + 'static)) -> ArmError {
    tracing::error!(error = %kit::Chain(error), "the registry failed");
    ArmError::internal()
}
