//! `https://<vault>.vault.azure.net`.
//!
//! A request is read into an [`Asked`] (host, path, caller, body), handed to the module of its kind, and answered with the
//! service's own bodies. Each module authorises before it reads anything of the vault's contents.

mod access;
mod asked;
mod certificates;
mod failure;
mod keys;
mod kind;
mod model;
mod objects;
mod operations;
mod pending;
mod seal;
mod secrets;
mod store;

use std::path::Path;
use std::sync::Arc;

use arm::{Access, Resources, TokenVerifier};
use async_trait::async_trait;
use http::HeaderValue;
use kit::http::{Request, Response, Service};

pub use seal::OpenError;

use asked::Asked;
pub(crate) use failure::Failure;
use kind::Kind;
use store::Store;

/// Most bytes of a request's body.
const BODY_MAX_BYTES: usize = 1024 * 1024;

/// The data plane of all vaults.
pub struct DataPlane {
    resources: Resources,
    access: Access,
    verifier: Arc<dyn TokenVerifier>,
    clock: Arc<dyn kit::Clock>,
    tenant_id: String,
    /// `vault.azure.net`, maybe with a port.
    suffix: String,
    store: Store,
}

impl DataPlane {
    /// The data plane of the vaults behind `front`. `dir` holds the key that seals their contents; it is made at the first
    /// start, readable by its owner only.
    pub fn open(dir: &Path, front: &arm::Front) -> Result<Arc<Self>, OpenError> {
        let config = front.config();
        Ok(Arc::new(Self {
            resources: front.resources().clone(),
            access: front.access().clone(),
            verifier: config.verifier.clone(),
            clock: config.clock.clone(),
            tenant_id: config.tenant_id.clone(),
            suffix: config.cloud.key_vault_suffix.to_ascii_lowercase(),
            store: Store::open(dir, front.resources())?,
        }))
    }

    fn now(&self) -> i64 {
        self.clock.now().as_second()
    }

    async fn answer(&self, request: Request) -> Result<Response, Failure> {
        let asked = Asked::read(self, request).await?;
        let words: Vec<&str> = asked.words.iter().map(String::as_str).collect();
        let answer = match words.first().map(|word| word.to_ascii_lowercase()).as_deref() {
            Some("secrets") => secrets::answer(self, &asked, &words[1..]).await,
            Some("keys") => keys::answer(self, &asked, &words[1..]).await,
            Some("certificates") => certificates::answer(self, &asked, &words[1..]).await,
            Some("deletedsecrets") => objects::deleted(self, &asked, Kind::Secret, &words[1..]).await,
            Some("deletedkeys") => objects::deleted(self, &asked, Kind::Key, &words[1..]).await,
            Some("deletedcertificates") => {
                objects::deleted(self, &asked, Kind::Certificate, &words[1..]).await
            }
            Some(other @ ("storage" | "deletedstorage" | "rng")) => {
                Err(Failure::not_implemented(&format!("{} /{other}", asked.method)))
            }
            _ => Err(asked.no_such_operation()),
        };
        let mut response = answer?;
        if let Ok(region) = HeaderValue::from_str(&asked.vault.location) {
            response.headers_mut().insert("x-ms-keyvault-region", region);
        }
        Ok(response)
    }
}

#[async_trait]
impl Service for DataPlane {
    async fn call(&self, request: Request) -> Response {
        let client = request.headers().get("x-ms-client-request-id").cloned();
        let mut response = self.answer(request).await.unwrap_or_else(Failure::into_response);
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
            headers.insert("x-ms-request-id", id);
        }
        headers.extend(client.map(|id| (http::HeaderName::from_static("x-ms-client-request-id"), id)));
        headers.insert("x-ms-keyvault-service-version", HeaderValue::from_static("1.9.2500.1"));
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}
