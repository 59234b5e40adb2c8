//! Resource quotas: what a namespace uses, as its quotas' status says. Admission refuses what would exceed it.
//!
//! Counts pods with their CPU, memory and storage requests and limits, services, config maps, secrets, claims
//! and, through `count/…`, deployments, replica sets, stateful sets, jobs and cron jobs. Scopes other than
//! `Terminating`, `NotTerminating`, `BestEffort` and `NotBestEffort` select nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    quotas.enqueue_to(&queue);
    let pods = watch::<Pod>(context, &quotas, &queue);
    let services = watch::<Service>(context, &quotas, &queue);
    let claims = watch::<PersistentVolumeClaim>(context, &quotas, &queue);
    let counters = vec![
        counter::<ConfigMap>(context, "configmaps", &quotas, &queue),
        counter::<Secret>(context, "secrets", &quotas, &queue),
        counter::<ResourceQuota>(context, "resourcequotas", &quotas, &queue),
        counter::<Deployment>(context, "count/deployments.apps", &quotas, &queue),
        counter::<ReplicaSet>(context, "count/replicasets.apps", &quotas, &queue),
        counter::<StatefulSet>(context, "count/statefulsets.apps", &quotas, &queue),
        counter::<Job>(context, "count/jobs.batch", &quotas, &queue),
        counter::<CronJob>(context, "count/cronjobs.batch", &quotas, &queue),
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

fn watch<K: Object>(context: &Context, quotas: &Informer<ResourceQuota>, queue: &Queue<Key>) -> Informer<K> {
    let informer = context.informer::<K>();
    let (quotas, queue) = (quotas.clone(), queue.clone());
    informer.subscribe(move |change| {
        let namespace = change.object().meta().namespace.clone().unwrap_or_default();
        quotas.list_in(&namespace).iter().for_each(|q| queue.add(Key::of(q.as_ref())));
    });
    informer
}

fn counter<K: Object>(
    context: &Context,
    name: &'static str,
    quotas: &Informer<ResourceQuota>,
    queue: &Queue<Key>,
) -> Counter {
    let informer = watch::<K>(context, quotas, queue);
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

fn write(resource: &str, value: i128) -> Quantity {
    let base = resource.rsplit('.').next().unwrap_or(resource);
    Quantity(match base {
        "cpu" => quantity::from_milli(value),
        "memory" | "storage" | "ephemeral-storage" => quantity::from_bytes(value),
        _ => value.to_string(),
    })
}

impl Controller {
    fn used(&self, namespace: &str, resource: &str, scopes: &[String]) -> i128 {
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
        match resource {
            "pods" | "count/pods" => as_count(pods().len()),
            "services" | "count/services" => as_count(self.services.list_in(namespace).len()),
            "services.loadbalancers" => services("LoadBalancer"),
            "services.nodeports" => services("LoadBalancer") + services("NodePort"),
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
                    return as_count(count(namespace));
                }
                match other.split_once('.') {
                    Some(("requests", name)) => of_pods(name, false),
                    Some(("limits", name)) => of_pods(name, true),
                    _ => of_pods(other, false),
                }
            }
        }
    }

    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(quota) = self.quotas.get(&key).filter(|q| !is_deleting(&q.metadata)) else {
            return Ok(None);
        };
        let spec = quota.spec.clone().unwrap_or_default();
        let hard = spec.hard.clone().unwrap_or_default();
        let scopes = spec.scopes.unwrap_or_default();
        let used: BTreeMap<String, Quantity> = hard
            .keys()
            .map(|name| (name.clone(), write(name, self.used(&key.namespace, name, &scopes))))
            .collect();
        let status = ResourceQuotaStatus { hard: spec.hard, used: Some(used) };
        if quota.status.as_ref() != Some(&status) {
            let mut changed = quota.as_ref().clone();
            changed.status = Some(status);
            let api: Api<ResourceQuota> = Api::namespaced(self.client.clone(), &key.namespace);
            self.quotas.observe(api.replace_status(&key.name, &PostParams::default(), &changed).await?);
        }
        Ok(None)
    }
}
