//! The aggregation layer: group versions that extension API servers serve, as if this one did.
//!
//! Every group version that this server serves has an `APIService` of its own, kept by [`registration`]. One that names a Service
//! is served by whoever is behind it: [`availability`] asks it whether it is there and what it serves, [`proxy`] passes requests on
//! with the front proxy's certificate and the user in `X-Remote-…` headers, [`discovery`] tells clients about it.
//!
//! Guarantees: nobody is reached who is not authorised here first; credentials of the caller never go on. An extension that
//! does not answer is 503 for its own group alone. What extensions publish in OpenAPI ([`openapi`]) is merged with what is served here.

mod availability;
mod discovery;
mod openapi;
mod priorities;
mod proxy;
mod registration;
mod remote;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kit::pki::{Authority, Leaf, Usage};
use kit::tls::ClientIdentity;
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use crate::attributes::{Objects, text};
use crate::registry::Registry;
use crate::tunnel::Kubelets;

pub(crate) use remote::Remote;

const GROUP: &str = "apiregistration.k8s.io";
const PLURAL: &str = "apiservices";
/// Whom extension API servers trust to say who asks.
const FRONT_PROXY: &str = "front-proxy-client";
const TEN_YEARS: std::time::Duration = std::time::Duration::from_secs(10 * 365 * 24 * 3600);

/// What an extension says it serves.
#[derive(Debug, Clone)]
pub(crate) struct Discovered {
    /// `APIVersionDiscovery` of the group version.
    pub version: Value,
    /// It answered when it was asked last.
    pub current: bool,
}

/// `APIService`s that name a Service, by group and version.
type Remotes = HashMap<(String, String), Arc<Remote>>;

/// The layer.
pub struct Aggregator {
    registry: Arc<Registry>,
    kubelets: Arc<Kubelets>,
    identity: ClientIdentity,
    remotes: RwLock<(u64, Arc<Remotes>)>,
    making: Mutex<()>,
    discovered: RwLock<HashMap<(String, String), Discovered>>,
    published: RwLock<HashMap<(String, String), Arc<openapi::Published>>>,
    /// Grows with every change of what was discovered.
    generation: AtomicU64,
}

impl Aggregator {
    /// Over these objects, with a certificate that `authority` issues.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn new(
        registry: Arc<Registry>,
        kubelets: Arc<Kubelets>,
        authority: &Authority,
    ) -> Result<Arc<Self>, kit::pki::PkiError> {
        let issued = authority.issue(&Leaf {
            common_name: FRONT_PROXY.into(),
            organizations: Vec::new(),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            usage: Usage::Client,
            valid: TEN_YEARS,
        })?;
        Ok(Arc::new(Self {
            registry,
            kubelets,
            identity: ClientIdentity { chain_pem: issued.certificate_pem, key_pem: issued.key_pem },
            remotes: RwLock::default(),
            making: Mutex::default(),
            discovered: RwLock::default(),
            published: RwLock::default(),
            generation: AtomicU64::new(0),
        }))
    }

    /// Keeps `APIService`s and their conditions until `tasks` stop.
    pub fn start(self: &Arc<Self>, tasks: &kit::Tasks) {
        let registering = self.clone();
        tasks.spawn("apiservice-registration", async move { registering.keep_registered().await });
        let asking = self.clone();
        tasks.spawn("apiservice-availability", async move { asking.keep_available().await });
    }

    /// Those that name a Service, as they are now.
    fn remotes(&self) -> Arc<Remotes> {
        let version = Objects::version(&*self.registry, GROUP, PLURAL);
        {
            let kept = self.remotes.read();
            if kept.0 == version && version != 0 {
                return kept.1.clone();
            }
        }
        let _one = self.making.lock();
        let before = self.remotes.read().1.clone();
        let mut made = Remotes::new();
        for service in Objects::list(&*self.registry, GROUP, PLURAL, None) {
            if !service["spec"]["service"].is_object() {
                continue;
            }
            let key = (text(&service, "/spec/group").to_owned(), text(&service, "/spec/version").to_owned());
            // What does not change keeps its connections.
            let known = before.get(&key).filter(|known| known.service["spec"] == service["spec"]);
            let remote = match known {
                Some(known) => known.with_status(service),
                None => Remote::new(service, &self.identity),
            };
            made.insert(key, Arc::new(remote));
        }
        let made = Arc::new(made);
        *self.remotes.write() = (version, made.clone());
        made
    }

    /// Who serves a group version, when it is not this server.
    pub(crate) fn remote(&self, group: &str, version: &str) -> Option<Arc<Remote>> {
        let remotes = self.remotes();
        if remotes.is_empty() {
            return None;
        }
        remotes.get(&(group.to_owned(), version.to_owned())).cloned()
    }

    /// Grows with every change of what extensions serve.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
            ^ Objects::version(&*self.registry, GROUP, PLURAL).rotate_left(32)
    }
}
