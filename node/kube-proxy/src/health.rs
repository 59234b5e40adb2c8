//! `/healthz` for load balancers: 200 once rules are written, else 503 (AKS: port 10256).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use kit::Tasks;
use kit::http::{Request, ServiceFn};

/// Whether the rules were ever written.
#[derive(Debug, Default)]
pub(crate) struct Health(AtomicBool);

impl Health {
    pub(crate) fn synced(&self) {
        self.0.store(true, Ordering::Release);
    }
}

pub(crate) fn serve(address: SocketAddr, health: Arc<Health>, tasks: &Tasks) {
    let group = tasks.clone();
    tasks.spawn("kube-proxy health", async move {
        let listener = match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, %address, "failed to listen for health checks"),
        };
        let service = ServiceFn(move |request: Request| {
            let health = health.clone();
            async move {
                if request.uri().path() != "/healthz" {
                    return kit::http::status(StatusCode::NOT_FOUND);
                }
                let synced = health.0.load(Ordering::Acquire);
                let status = if synced { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                kit::http::json(status, &serde_json::json!({ "synced": synced }))
            }
        });
        kit::serve::plain(listener, Arc::new(service), &group);
    });
}
