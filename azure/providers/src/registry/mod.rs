//! The container registry's data plane: OCI distribution, with Azure's sign-in.
//!
//! Repositories are named by the host they are pulled from and their path: `one.azurecr.io/web`,
//! `docker.io/library/busybox`. A push to `one.azurecr.io` lands under that host; nodes that use the
//! registry as a mirror name the host they meant (`?ns=docker.io`).
//!
//! Guarantees: a digest is always that of the bytes; a tag points to a stored manifest; a blob or manifest
//! is whole or absent after a crash. Does not: sign, scan, replicate or expire images,
//! nor free the bytes of those that are gone.

mod acr;
mod admin;
mod archive;
mod attributes;
mod auth;
mod blobs;
mod deleted;
mod errors;
mod import;
mod manifests;
mod policies;
mod recovery;
mod registries;
mod roles;
mod route;
mod scope_maps;
mod store;
mod tokens;
mod uploads;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderValue, Method, StatusCode};
use kit::http::{Connection, Request, Response, Service};

pub use admin::{AdminUsers, is_admin};
pub use archive::ArchiveError;
pub use auth::{Action, Gate, Principal};
pub use deleted::SoftDelete;
pub use registries::{REGISTRIES, provider, registry_of};
pub use roles::{Accounts, RoleGate};
pub use store::{StoreError, Stored};

use errors::Failure;
use route::{Asked, Route};

/// The registry.
pub struct Registry {
    store: Stored,
    auth: auth::Auth,
}

impl Registry {
    /// Opens the registry kept in `dir`. `gate` says who may do what.
    pub fn open(
        dir: &Path,
        gate: Arc<dyn Gate>,
        clock: Arc<dyn kit::Clock>,
    ) -> Result<Arc<Self>, StoreError> {
        let store = Stored::open(dir)?;
        let auth = auth::Auth::open(dir, gate, clock)?;
        Ok(Arc::new(Self { store, auth }))
    }

    /// Loads the images of an OCI layout or `docker save` archive (tar, maybe gzipped); returns their
    /// names. `name` names an image whose archive does not.
    pub fn load_archive(&self, archive: &[u8], name: Option<&str>) -> Result<Vec<String>, ArchiveError> {
        archive::load(&self.store, archive, name)
    }

    /// Every `host/repository:tag`, sorted.
    pub fn images(&self) -> Result<Vec<String>, StoreError> {
        self.store.images()
    }

    async fn answer(&self, request: Request) -> Result<Response, Failure> {
        let route = Route::of(&request)?;
        if let Asked::Exchange | Asked::Token = route.asked {
            return self.auth.issue(request, &route).await;
        }
        let action = match (&route.asked, request.method()) {
            (Asked::Version, _) => Action::Sign,
            (Asked::Upload(_), _) => Action::Push,
            (Asked::Catalog, &Method::GET | &Method::HEAD) => Action::List,
            (Asked::DeletedCatalog | Asked::Deleted(_), &Method::GET | &Method::HEAD) => Action::ReadDeleted,
            (Asked::Deleted(_), _) => Action::Restore,
            (Asked::Tags | Asked::Acr(_), &Method::GET | &Method::HEAD) => Action::ReadMetadata,
            (_, &Method::GET | &Method::HEAD) => Action::Pull,
            (Asked::Acr(_), &Method::PATCH) => Action::WriteMetadata,
            (_, &Method::DELETE) => Action::Delete,
            _ => Action::Push,
        };
        let connection = request.extensions().get::<Connection>().cloned();
        self.auth.check(request.headers(), connection.as_ref(), &route, action).await?;
        let mount = match (&route.asked, route.mounted()) {
            // What is not for the caller to read is not for them to take over either.
            (Asked::Upload(None), Some(from)) => self
                .auth
                .check(request.headers(), connection.as_ref(), &from, Action::Pull)
                .await
                .ok()
                .map(|()| from.repository),
            _ => None,
        };
        let keeping = self.auth.keeping(&route);
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        match route.asked.clone() {
            Asked::Version | Asked::Catalog | Asked::DeletedCatalog | Asked::Tags | Asked::Referrers(_)
                if !reads =>
            {
                Err(Failure::unsupported())
            }
            Asked::Version => Ok(kit::http::json(StatusCode::OK, &serde_json::json!({}))),
            Asked::Catalog => manifests::catalog(&self.store, &route),
            Asked::Tags => manifests::tags(&self.store, &route),
            Asked::Manifest(reference) => {
                manifests::manifest(&self.store, &route, &reference, request, keeping).await
            }
            Asked::Blob(digest) => blobs::blob(&self.store, &route, &digest, request).await,
            Asked::Upload(id) => {
                uploads::upload(&self.store, &route, id.as_deref(), mount.as_deref(), request).await
            }
            Asked::Referrers(digest) => acr::referrers(&self.store, &route, &digest),
            Asked::DeletedCatalog => recovery::catalog(&self.store, &route, keeping),
            Asked::Deleted(part) => recovery::answer(&self.store, &route, &part, request, keeping).await,
            Asked::Acr(part) => acr::answer(&self.store, &route, &part, request, keeping).await,
            Asked::Exchange | Asked::Token => Err(Failure::unsupported()),
        }
    }
}

#[async_trait]
impl Service for Registry {
    async fn call(&self, request: Request) -> Response {
        let mut response = self.answer(request).await.unwrap_or_else(Failure::into_response);
        response
            .headers_mut()
            .insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
        response
    }
}

#[cfg(test)]
mod tests;
