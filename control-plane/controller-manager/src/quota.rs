//! Resource quotas: what a namespace uses, as its quotas' status says. Admission refuses what would exceed it.
//!
//! Admission charges what is written and gives back what goes, in the status itself. This loop counts anew when a quota's limits
//! change, and now and then for what was charged and never stored: it does not follow single objects, whose charge it could undo
//! while they are on their way. What it cannot count stays as admission left it. Counts pods with their CPU, memory and storage requests and limits, services, config maps, secrets, claims
//! and, through `count/…`, deployments, replica sets, stateful sets, jobs and cron jobs. Scopes other than
//! `Terminating`, `NotTerminating`, `BestEffort` and `NotBestEffort` select nothing.

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

/// Scopes that are counted here.
const SCOPES: [&str; 4] = ["Terminating", "NotTerminating", "BestEffort", "NotBestEffort"];
/// How often everything is counted anew.
const RECOUNT: Duration = Duration::from_secs(300);
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

fn is_best_effort(spec: &PodSpec) -> bool {
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    containers.into_iter().all(|c| {
        c.resources.as_ref().is_none_or(|r| {
            r.requests.as_ref().is_none_or(BTreeMap::is_empty)
                && r.limits.as_ref().is_none_or(BTreeMap::is_empty)
        })
    })
}

fn in_scopes(pod: &Pod, scopes: &[String]) -> bool {
    let spec = pod.spec.clone().unwrap_or_default();
    scopes.iter().all(|scope| match scope.as_str() {
        "Terminating" => spec.active_deadline_seconds.is_some(),
        "NotTerminating" => spec.active_deadline_seconds.is_none(),
        "BestEffort" => is_best_effort(&spec),
        "NotBestEffort" => !is_best_effort(&spec),
        _ => false,
    })
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

fn write(resource: &str, value: i128) -> Quantity {
    let base = resource.rsplit('.').next().unwrap_or(resource);
    Quantity(match base {
        "cpu" => quantity::from_milli(value),
        "memory" | "storage" | "ephemeral-storage" => quantity::from_bytes(value),
        _ => value.to_string(),
    })
}

impl Controller {
    /// What is used of a resource; none when it cannot be counted here.
    fn used(&self, namespace: &str, resource: &str, scopes: &[String]) -> Option<i128> {
        let as_count = |n: usize| i128::try_from(n).unwrap_or(i128::MAX);
        let pods = || {
            let all = self.pods.list_in(namespace).into_iter();
            all.filter(|p| !is_terminal(p) && in_scopes(p, scopes)).collect::<Vec<_>>()
        };
        let of_pods = |name: &str, limits: bool| {
            pods().iter().filter_map(|p| p.spec.as_ref()).map(|s| sum(s, name, limits)).sum()
        };
        let services = |kind: &str| {
            let of_kind = |s: &&Arc<Service>| s.spec.as_ref().and_then(|s| s.type_.as_deref()) == Some(kind);
            as_count(self.services.list_in(namespace).iter().filter(of_kind).count())
        };
        Some(match resource {
            "count/pods" => as_count(self.pods.list_in(namespace).len()),
            "pods" => as_count(pods().len()),
            "services" | "count/services" => as_count(self.services.list_in(namespace).len()),
            "services.loadbalancers" => services("LoadBalancer"),
            "services.nodeports" => {
                as_count(self.services.list_in(namespace).iter().map(|s| node_ports(s)).sum())
            }
            "persistentvolumeclaims" | "count/persistentvolumeclaims" => {
                as_count(self.claims.list_in(namespace).len())
            }
            "requests.storage" => self
                .claims
                .list_in(namespace)
                .iter()
                .filter_map(|c| {
                    c.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage").cloned()
                })
                .map(|q| i128::from(quantity::of("storage", &q)))
                .sum(),
            other => {
                let bare = other.strip_prefix("count/").unwrap_or(other);
                if let Some((_, count)) =
                    self.counters.iter().find(|(name, _)| *name == other || *name == bare)
                {
                    return Some(as_count(count(namespace)));
                }
                match other.split_once('.') {
                    _ if other.contains('/') && !other.starts_with("requests.") => return None,
                    Some(("requests", name)) => of_pods(name, false),
                    Some(("limits", name)) => of_pods(name, true),
                    _ => of_pods(other, false),
                }
            }
        })
    }

    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(quota) = self.quotas.get(&key).filter(|q| !is_deleting(&q.metadata)) else {
            return Ok(None);
        };
        let spec = quota.spec.clone().unwrap_or_default();
        let hard = spec.hard.clone().unwrap_or_default();
        let scopes = spec.scopes.unwrap_or_default();
        // What selects by more than plain scopes is admission's to count.
        let plain =
            spec.scope_selector.is_none() && scopes.iter().all(|scope| SCOPES.contains(&scope.as_str()));
        let before = quota.status.as_ref().and_then(|status| status.used.clone()).unwrap_or_default();
        let used: BTreeMap<String, Quantity> = hard
            .keys()
            .filter_map(|name| {
                let counted = if plain { self.used(&key.namespace, name, &scopes) } else { None };
                let amount = counted.map(|amount| write(name, amount)).or_else(|| before.get(name).cloned());
                Some((name.clone(), amount?))
            })
            .collect();
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
        Ok(Some(RECOUNT))
    }
}
