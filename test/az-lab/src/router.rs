//! Which part answers, by host.

use std::sync::Arc;

use async_trait::async_trait;
use entra::Entra;
use kit::http::{BoxService, Request, Response, Service};

pub(crate) struct Router {
    pub(crate) entra: Arc<Entra>,
    pub(crate) arm: BoxService,
    pub(crate) vault: BoxService,
    pub(crate) registry: BoxService,
}

#[async_trait]
impl Service for Router {
    async fn call(&self, request: Request) -> Response {
        let host = request
            .uri()
            .authority()
            .map(|authority| authority.as_str())
            .or_else(|| request.headers().get(http::header::HOST)?.to_str().ok())
            .unwrap_or_default()
            .to_ascii_lowercase();
        let line = format!("{} {host} {}", request.method(), request.uri());
        let response = if host.contains(".vault.azure.net") {
            self.vault.call(request).await
        } else if host.contains(".azurecr.io") {
            self.registry.call(request).await
        } else if host.starts_with("login.")
            || host.starts_with("graph.")
            || host.starts_with("localhost") && self.entra.owns_path(request.uri().path())
        {
            self.entra.service().call(request).await
        } else {
            self.arm.call(request).await
        };
        if std::env::var_os("LAZURITE_TEST_LOG").is_some() {
            eprintln!("{line} -> {}", response.status());
        }
        response
    }
}
