//! Puts the parts of an API server together.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kit::http::BoxService;
use kit::pki::Authority;

use crate::admission::Chain;
use crate::aggregation::Aggregator;
use crate::allocation::Allocator;
use crate::attributes::{Objects, UserInfo};
use crate::audit::Auditor;
use crate::authn::Authenticator;
use crate::authz::Authorizer;
use crate::bootstrap::{Settings, ensure};
use crate::discovery::Discovery;
use crate::flow::Flow;
use crate::flow::keeper::FlowKeeper;
use crate::handlers::Api;
use crate::handlers::metrics::Metrics;
use crate::loopback::Loopback;
use crate::registry::seed::Seeder;
use crate::registry::{Registry, convert};
use crate::streaming::Streaming;
use crate::tokens::secrets::SecretKeeper;
use crate::tokens::{self, ServiceAccountTokens};
use crate::tunnel::{Kubelets, Tunnels};
use crate::watch::Hub;
use crate::{ApiError, Config, StartError};

/// The name that kubeadm gives it.
const PROXY_AUTHORITY: &str = "front-proxy-ca";
const PROXY_AUTHORITY_VALID: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A running API server. Stops with the tasks it was started in.
pub struct ApiServer {
    api: Arc<Api>,
    registry: Arc<Registry>,
    tunnels: Arc<Tunnels>,
}

/// Makes what every cluster has, and mends what services have. Says how many objects were written for each.
async fn first_objects(settings: &Settings, registry: &Arc<Registry>) -> Result<(usize, usize), ApiError> {
    let seeder = Seeder::new(registry.clone());
    let written = ensure(settings, &seeder).await?;
    seeder.confirm_service_range().await?;
    Ok((written, registry.mend_addresses().await?))
}

impl ApiServer {
    /// Starts a server: when this returns, all objects are loaded, those that every cluster has are there, and
    /// requests are answered.
    ///
    /// # Errors
    /// When the store cannot be read, or a key is not usable.
    pub async fn start(config: Config, tasks: &kit::Tasks) -> Result<Arc<Self>, StartError> {
        let fields = selectable_fields(&config.model);
        let hub = Hub::start(config.store.clone(), fields, config.clock.clone(), tasks).await?;
        let registry = Arc::new(Registry::new(
            config.model.clone(),
            config.store.clone(),
            hub,
            config.clock.clone(),
            Allocator::new(config.service_cidr),
            tasks.clone(),
        ));
        let objects: Arc<dyn Objects> = registry.clone();
        let (tell_uses, uses) = tokio::sync::mpsc::channel(tokens::secrets::USES_MAX);
        let tokens = Arc::new(service_account_tokens(&config)?.telling_uses(tell_uses));
        let authenticator = authenticator(&config, &tokens, &objects)?;
        let tunnels = Tunnels::new(tasks);
        let kubelets = Kubelets::new(&config.authority, tunnels.clone())
            .map_err(|error| unusable("the kubelets' client", &error))?;
        let kubelets = Arc::new(kubelets);
        let authorizer = Authorizer::new(objects.clone()).with_external(config.access.authorizer.clone());
        let authorizer = Arc::new(authorizer);
        let caller = crate::admission::Caller::new(objects.clone(), kubelets.clone());
        registry.set_caller(Arc::new(caller));
        let chain = Chain::new(objects.clone(), authorizer.clone(), kubelets.clone(), registry.clone());
        registry.set_gate(Arc::new(chain));
        let proxies = proxy_authority(&config)?;
        let settings = Settings {
            service_cidr: config.service_cidr,
            advertise: config.advertise,
            authority_pem: config.authority.certificate_pem().to_owned(),
            proxy_authority_pem: proxies.certificate_pem().to_owned(),
        };
        let (written, mended) = first_objects(&settings, &registry).await.map_err(StartError::Bootstrap)?;
        let aggregator = aggregator(&proxies, &registry, &kubelets).await?;
        FlowKeeper::start(registry.clone(), tasks).await.map_err(StartError::Bootstrap)?;
        registry.started();
        let authority_pem = config.authority.certificate_pem();
        SecretKeeper::start(registry.clone(), tokens.clone(), authority_pem, uses, tasks);
        tracing::debug!(cluster = config.name, written, mended, "the cluster's first objects are there");
        registry.sync_custom();
        registry.clean_up_definitions();
        let discovery = Discovery::new(
            registry.clone(),
            &config.version,
            config.advertise.to_string(),
            aggregator.clone(),
        );
        aggregator.start(tasks);
        crate::admission::start_policy_status(registry.clone(), tasks);
        let streaming = Streaming::new(objects, kubelets);
        let flow = flow(&registry, config.access.seats);
        let auditor = config.access.audit.map(|audit| Auditor::new(audit, config.clock));
        let api = Arc::new(Api {
            registry: registry.clone(),
            authenticator: Arc::new(authenticator),
            authorizer,
            tokens,
            discovery,
            streaming,
            tunnels: tunnels.clone(),
            flow,
            auditor,
            metrics: Metrics::default(),
        });
        Ok(Arc::new(Self { api, registry, tunnels }))
    }

    /// The service for listeners. It reads [`kit::http::Connection`] from a request's extensions.
    pub fn service(self: &Arc<Self>) -> BoxService {
        self.api.clone()
    }

    /// A client inside the process that speaks as `user`, with the same authorisation as anybody. To be called
    /// inside a runtime.
    pub fn client(self: &Arc<Self>, user: UserInfo) -> kube::Client {
        Loopback::new(self.service(), user).client()
    }

    /// The objects, for reading.
    pub fn objects(&self) -> Arc<dyn Objects> {
        self.registry.clone()
    }

    /// The nodes' tunnels.
    pub fn tunnels(&self) -> &Arc<Tunnels> {
        &self.tunnels
    }
}

/// That a key or certificate is not usable.
fn unusable(what: &'static str, error: &(dyn std::error::Error + 'static)) -> StartError {
    StartError::Keys { what, why: kit::Chain(error).to_string() }
}

fn service_account_tokens(config: &Config) -> Result<ServiceAccountTokens, StartError> {
    let audiences = ["https://kubernetes.default.svc.cluster.local"];
    let key = &config.service_account_key_pem;
    ServiceAccountTokens::new(key, &config.issuer, &audiences, config.clock.clone())
        .and_then(|tokens| tokens.with_retired_keys(&config.access.retired_service_account_keys_pem))
        .map(|tokens| tokens.with_lifetimes(config.access.token_lifetimes))
        .map_err(|error| unusable("service-account tokens", &error))
}

fn authenticator(
    config: &Config,
    tokens: &Arc<ServiceAccountTokens>,
    objects: &Arc<dyn Objects>,
) -> Result<Authenticator, StartError> {
    let authenticator = Authenticator::new(
        config.authority.certificate_pem(),
        tokens.clone(),
        objects.clone(),
        &config.token_reviewers,
        config.clock.clone(),
    )
    .map_err(|error| unusable("client certificates", &error))?;
    match &config.access.front_proxy {
        None => Ok(authenticator),
        Some(proxy) => authenticator
            .with_front_proxy(proxy, config.clock.clone())
            .map_err(|error| unusable("front proxies", &error)),
    }
}

/// The authority of proxies; without one of the cluster's own, one that lives as long as this server.
fn proxy_authority(config: &Config) -> Result<Authority, StartError> {
    match &config.access.proxy_authority {
        Some(authority) => Ok(authority.clone()),
        None => Authority::new(PROXY_AUTHORITY, PROXY_AUTHORITY_VALID)
            .map_err(|error| unusable("the front proxy's authority", &error)),
    }
}

/// The aggregation layer, with everything that is served here registered.
async fn aggregator(
    proxies: &Authority,
    registry: &Arc<Registry>,
    kubelets: &Arc<Kubelets>,
) -> Result<Arc<Aggregator>, StartError> {
    let made = Aggregator::new(registry.clone(), kubelets.clone(), proxies);
    let aggregator = made.map_err(|error| StartError::Keys {
        what: "the front proxy's client",
        why: kit::Chain(&error).to_string(),
    })?;
    aggregator.register_built_in().await.map_err(StartError::Bootstrap)?;
    Ok(aggregator)
}

fn flow(registry: &Arc<Registry>, seats: u32) -> Flow {
    use crate::bootstrap::flow::GROUP;
    let caches = ["flowschemas", "prioritylevelconfigurations"]
        .map(|plural| registry.hub.cache(&format!("{GROUP}/{plural}")));
    let versions = move || caches.each_ref().map(|cache| cache.changed());
    Flow::new(registry.clone(), Box::new(versions), seats, registry.clock.clone())
}

/// Selectable fields by the name in the store.
fn selectable_fields(model: &api_model::Model) -> HashMap<String, Vec<String>> {
    let mut fields: HashMap<String, Vec<String>> = HashMap::new();
    for resource in model.resources() {
        let place = convert::storage_of(&resource.group, &resource.version, &resource.plural);
        let known = fields.entry(place.name).or_default();
        if place.api_version == resource.api_version() {
            known.extend(resource.field_labels.iter().cloned());
        }
    }
    fields
}
