//! Resource quotas: what a namespace uses, as its quotas' status says. Admission refuses what would exceed it.
//!
//! Admission charges what is written and gives back what goes, in the status itself. This loop counts anew when a quota's limits
//! change, and now and then for what was charged and never stored: it does not follow single objects, whose charge it could undo
//! while they are on their way. Counts pods with what they request and may use, services, claims by their storage class, and
//! through `count/…` objects of any kind, custom ones too; all scopes select. Devices of resource claims stay as admission left them.

mod kinds;
mod scopes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use informers::objects::{is_deleting, is_terminal};
use informers::{Error, Informer, Key, Next, Object, Queue, quantity};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, PersistentVolumeClaim, Pod, PodSpec, ResourceQuota, ResourceQuotaStatus, Secret, Service,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{Api, PostParams};

use crate::context::Context;
use scopes::Scope;

/// Between a storage class and what is counted of it.
const OF_STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
/// Between a device class and what is counted of it.
const OF_DEVICE_CLASS: &str = ".deviceclass.resource.k8s.io/";
/// The older place of a claim's storage class.
const STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// How often everything is counted anew.
const RECOUNT: Duration = Duration::from_secs(300);
/// When new limits are counted a second time: the informers of what is counted may have been behind that of the quotas.
const SETTLED: Duration = Duration::from_secs(3);
/// When somebody else was faster.
const SOON: Duration = Duration::from_millis(50);

type Counter = (&'static str, Box<dyn Fn(&str) -> usize + Send + Sync>);

struct Controller {
    client: kube::Client,
    quotas: Informer<ResourceQuota>,
    pods: Informer<Pod>,
    services: Informer<Service>,
    claims: Informer<PersistentVolumeClaim>,
    counters: Vec<Counter>,
}

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let quotas = context.informer::<ResourceQuota>();
    let queue = Queue::new();
    let waiting = queue.clone();
    quotas.subscribe(move |change| {
        let quota = change.object();
        if has_new_limits(quota) {
            waiting.add(Key::of(quota.as_ref()));
        }
    });
    let pods = context.informer::<Pod>();
    let services = context.informer::<Service>();
    let claims = context.informer::<PersistentVolumeClaim>();
    let counters = vec![
        counter::<ConfigMap>(context, "configmaps"),
        counter::<Secret>(context, "secrets"),
        counter::<ResourceQuota>(context, "resourcequotas"),
        counter::<Deployment>(context, "count/deployments.apps"),
        counter::<ReplicaSet>(context, "count/replicasets.apps"),
        counter::<StatefulSet>(context, "count/statefulsets.apps"),
        counter::<Job>(context, "count/jobs.batch"),
        counter::<CronJob>(context, "count/cronjobs.batch"),
    ];
    let controller = Arc::new(Controller {
        client: context.client("resourcequota-controller"),
        quotas: quotas.clone(),
        pods,
        services,
        claims,
        counters,
    });
    let c = controller.clone();
    let ready = async move {
        c.quotas.synced().await;
        c.pods.synced().await;
        c.services.synced().await;
        c.claims.synced().await;
    };
    context.loops.run("resourcequota-controller", 2, queue, ready, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

/// Whether the limits in force are not those that are wished for.
fn has_new_limits(quota: &ResourceQuota) -> bool {
    let wished = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let status = quota.status.as_ref();
    status.and_then(|status| status.hard.as_ref()) != wished
        || status.is_none_or(|status| status.used.is_none())
}

fn counter<K: Object>(context: &Context, name: &'static str) -> Counter {
    let informer = context.informer::<K>();
    (name, Box::new(move |namespace| informer.list_in(namespace).len()))
}

fn sum(spec: &PodSpec, resource: &str, limits: bool) -> i128 {
    let value = |c: &k8s_openapi::api::core::v1::Container| {
        let resources = c.resources.clone().unwrap_or_default();
        let list = if limits { resources.limits } else { resources.requests };
        list.and_then(|l| l.get(resource).map(|q| i128::from(quantity::of(resource, q)))).unwrap_or(0)
    };
    let running: i128 = spec.containers.iter().map(value).sum();
    let starting = spec.init_containers.iter().flatten().map(value).max().unwrap_or(0);
    running.max(starting)
}

fn class_of(claim: &PersistentVolumeClaim) -> &str {
    let annotated = claim.metadata.annotations.as_ref().and_then(|all| all.get(STORAGE_CLASS));
    let stated = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    annotated.or(stated).map_or("", String::as_str)
}

fn storage_of(claim: &PersistentVolumeClaim) -> i128 {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let stated = requests.and_then(|requests| requests.get("storage"));
    stated.map_or(0, |amount| i128::from(quantity::of("storage", amount)))
}

/// Ports that a service takes on every node.
fn node_ports(service: &Service) -> usize {
    let Some(spec) = &service.spec else { return 0 };
    let ports = spec.ports.as_deref().unwrap_or_default();
    match spec.type_.as_deref() {
        Some("LoadBalancer") if spec.allocate_load_balancer_node_ports == Some(false) => {
            ports.iter().filter(|port| port.node_port.unwrap_or(0) != 0).count()
        }
        Some("LoadBalancer" | "NodePort") => ports.len(),
        _ => 0,
    }
}

fn as_count(number: usize) -> i128 {
    i128::try_from(number).unwrap_or(i128::MAX)
}

fn write(resource: &str, value: i128) -> Quantity {
    let base = resource.rsplit('.').next().unwrap_or(resource);
    Quantity(match base {
        "cpu" => quantity::from_milli(value),
        "memory" | "storage" | "ephemeral-storage" => quantity::from_bytes(value),
        _ => value.to_string(),
    })
}

impl Controller {
    /// What is used of a resource; none when no loop follows its kind.
    fn used(&self, namespace: &str, resource: &str, scopes: &[Scope]) -> Option<i128> {
        let bare = resource.strip_prefix("count/").unwrap_or(resource);
        if bare == "persistentvolumeclaims" || bare == "requests.storage" || bare.contains(OF_STORAGE_CLASS) {
            return Some(self.of_claims(namespace, bare, scopes));
        }
        if let Some(amount) = self.of_services(namespace, bare) {
            return Some(if scopes.is_empty() { amount } else { 0 });
        }
        let named = |name: &str| name == resource || name == bare;
        if let Some((_, count)) = self.counters.iter().find(|(name, _)| named(name)) {
            return Some(if scopes.is_empty() { as_count(count(namespace)) } else { 0 });
        }
        if resource.contains(OF_DEVICE_CLASS) || (resource != bare && bare != "pods") {
            return None;
        }
        Some(self.of_pods(namespace, resource, scopes))
    }

    fn of_claims(&self, namespace: &str, resource: &str, scopes: &[Scope]) -> i128 {
        let (class, what) = match resource.split_once(OF_STORAGE_CLASS) {
            Some((class, what)) => (Some(class), what),
            None => (None, resource),
        };
        let all = self.claims.list_in(namespace).into_iter();
        let counted = all
            .filter(|claim| scopes::counts_claim(scopes, claim))
            .filter(|claim| class.is_none_or(|class| class_of(claim) == class));
        match what {
            "requests.storage" => counted.map(|claim| storage_of(&claim)).sum(),
            _ => as_count(counted.count()),
        }
    }

    fn of_services(&self, namespace: &str, resource: &str) -> Option<i128> {
        let all = || self.services.list_in(namespace).into_iter();
        let is_balancer = |service: &Arc<Service>| {
            service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer")
        };
        Some(match resource {
            "services" => as_count(all().count()),
            "services.loadbalancers" => as_count(all().filter(is_balancer).count()),
            "services.nodeports" => as_count(all().map(|service| node_ports(&service)).sum()),
            _ => return None,
        })
    }

    fn of_pods(&self, namespace: &str, resource: &str, scopes: &[Scope]) -> i128 {
        let all = self.pods.list_in(namespace).into_iter().filter(|pod| scopes::counts_pod(scopes, pod));
        if resource == "count/pods" {
            return as_count(all.count());
        }
        let running = all.filter(|pod| !is_terminal(pod));
        let total = |name: &str, limits: bool| {
            running.clone().filter_map(|pod| Some(sum(pod.spec.as_ref()?, name, limits))).sum()
        };
        match resource.split_once('.') {
            _ if resource == "pods" => as_count(running.count()),
            Some(("requests", name)) => total(name, false),
            Some(("limits", name)) => total(name, true),
            _ => total(resource, false),
        }
    }

    /// The same of kinds that no loop follows; none when it cannot be said.
    async fn elsewhere(
        &self,
        namespace: &str,
        resource: &str,
        scopes: &[Scope],
    ) -> Result<Option<i128>, Error> {
        match resource.strip_prefix("count/") {
            Some(_) if !scopes.is_empty() => Ok(Some(0)),
            Some(kind) => Ok(kinds::count(&self.client, namespace, kind).await?),
            None => Ok(None),
        }
    }

    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(quota) = self.quotas.get(&key).filter(|q| !is_deleting(&q.metadata)) else {
            return Ok(None);
        };
        let spec = quota.spec.clone().unwrap_or_default();
        let hard = spec.hard.clone().unwrap_or_default();
        let scopes = scopes::of(&spec);
        let before = quota.status.as_ref().and_then(|status| status.used.clone()).unwrap_or_default();
        let mut used = BTreeMap::new();
        for name in hard.keys() {
            let counted = match self.used(&key.namespace, name, &scopes) {
                Some(amount) => Some(amount),
                None => self.elsewhere(&key.namespace, name, &scopes).await?,
            };
            let amount = counted.map(|amount| write(name, amount)).or_else(|| before.get(name).cloned());
            used.extend(amount.map(|amount| (name.clone(), amount)));
        }
        let status = ResourceQuotaStatus { hard: spec.hard, used: Some(used) };
        if quota.status.as_ref() != Some(&status) {
            let mut changed = quota.as_ref().clone();
            changed.status = Some(status);
            let api: Api<ResourceQuota> = Api::namespaced(self.client.clone(), &key.namespace);
            match api.replace_status(&key.name, &PostParams::default(), &changed).await {
                Ok(written) => self.quotas.observe(written),
                // Admission charged meanwhile: what was counted is old.
                Err(kube::Error::Api(status)) if status.code == 409 => return Ok(Some(SOON)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(if has_new_limits(&quota) { SETTLED } else { RECOUNT }))
    }
}
