//! Services of type `LoadBalancer`.

mod cloud;
mod security;
#[cfg(test)]
mod tests;
mod wish;

use std::sync::Arc;

use informers::objects::{has_finalizer, reference};
use informers::{Error, Informer, Informers, Key, Loops, Next, Queue, Recorder};
use k8s_openapi::api::core::v1::{LoadBalancerIngress, LoadBalancerStatus, Service};
use kube::api::{Api, Patch, PatchParams, PostParams};

use crate::arm::Arm;
use crate::instances::Instances;
use cloud::{Cloud, CloudError};

const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

struct Controller {
    client: kube::Client,
    services: Informer<Service>,
    cloud: Cloud,
    events: Recorder,
}

/// Starts the loop. One worker: services share load balancers, and writes to one would only collide.
pub(crate) fn start(client: &kube::Client, arm: &Arm, informers: &Informers, loops: &Loops) {
    let controller = Arc::new(Controller {
        client: client.clone(),
        services: informers.of(),
        cloud: Cloud { arm: arm.clone(), instances: Instances::new(arm) },
        events: Recorder::new(client.clone(), "service-controller", loops.tasks()),
    });
    let queue = Queue::new();
    let waiting = queue.clone();
    controller.services.subscribe(move |change| {
        let service = change.object();
        let mine = wish::wants_balancer(service) || has_finalizer(&service.metadata, FINALIZER);
        let changed = change.old().is_none_or(|old| {
            old.spec != service.spec
                || old.metadata.annotations != service.metadata.annotations
                || old.metadata.deletion_timestamp != service.metadata.deletion_timestamp
        });
        if mine && changed {
            waiting.add(Key::of(service.as_ref()));
        }
    });
    let c = controller.clone();
    loops.run("service-lb-controller", 1, queue, async move { c.services.synced().await }, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

impl Controller {
    fn api(&self, key: &Key) -> Api<Service> {
        Api::namespaced(self.client.clone(), &key.namespace)
    }

    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let Some(service) = self.services.get(&key) else { return Ok(None) };
        let result = if wish::wants_balancer(&service) {
            self.ensure(&key, &service).await
        } else if has_finalizer(&service.metadata, FINALIZER) {
            self.clean_up(&key, &service).await
        } else {
            Ok(())
        };
        result.map(|()| None)
    }

    fn explain(&self, service: &Service, deed: &str, error: &CloudError) -> Error {
        let text = format!("failed to {deed} load balancer: {}", kit::Chain(error));
        let about = reference(service);
        self.events.warning(about, "SyncLoadBalancerFailed", format!("Error syncing load balancer: {text}"));
        Error::other(text)
    }

    async fn ensure(&self, key: &Key, service: &Arc<Service>) -> Result<(), Error> {
        let mut service = service.clone();
        if !has_finalizer(&service.metadata, FINALIZER) {
            let mut finalizers = service.metadata.finalizers.clone().unwrap_or_default();
            finalizers.push(FINALIZER.into());
            service = self.set_finalizers(key, &service, &finalizers).await?;
        }
        self.events.normal(reference(service.as_ref()), "EnsuringLoadBalancer", "Ensuring load balancer");
        let address = self.cloud.ensure(&service).await.map_err(|e| self.explain(&service, "ensure", &e))?;
        let ingress =
            LoadBalancerIngress { ip: Some(address), ip_mode: Some("VIP".into()), ..Default::default() };
        self.set_ingress(key, &service, Some(vec![ingress])).await?;
        self.events.normal(reference(service.as_ref()), "EnsuredLoadBalancer", "Ensured load balancer");
        Ok(())
    }

    async fn clean_up(&self, key: &Key, service: &Arc<Service>) -> Result<(), Error> {
        self.events.normal(reference(service.as_ref()), "DeletingLoadBalancer", "Deleting load balancer");
        self.cloud.remove(service).await.map_err(|e| self.explain(service, "delete", &e))?;
        if service.metadata.deletion_timestamp.is_none() {
            self.set_ingress(key, service, None).await?;
        }
        let service = self.services.get(key).unwrap_or_else(|| service.clone());
        let rest: Vec<String> =
            service.metadata.finalizers.iter().flatten().filter(|f| *f != FINALIZER).cloned().collect();
        self.set_finalizers(key, &service, &rest).await?;
        self.events.normal(reference(service.as_ref()), "DeletedLoadBalancer", "Deleted load balancer");
        Ok(())
    }

    async fn set_finalizers(
        &self,
        key: &Key,
        service: &Service,
        finalizers: &[String],
    ) -> Result<Arc<Service>, Error> {
        let patch = serde_json::json!({"metadata": {
            "resourceVersion": service.metadata.resource_version, "finalizers": finalizers,
        }});
        let changed = self.api(key).patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        if changed.metadata.deletion_timestamp.is_none() || !finalizers.is_empty() {
            self.services.observe(changed.clone());
        }
        Ok(Arc::new(changed))
    }

    async fn set_ingress(
        &self,
        key: &Key,
        service: &Service,
        ingress: Option<Vec<LoadBalancerIngress>>,
    ) -> Result<(), Error> {
        let now = self.services.get(key).map_or_else(|| service.clone(), |s| s.as_ref().clone());
        let known =
            now.status.as_ref().and_then(|s| s.load_balancer.as_ref()).and_then(|l| l.ingress.clone());
        if known == ingress {
            return Ok(());
        }
        let mut changed = now;
        changed.status.get_or_insert_default().load_balancer = Some(LoadBalancerStatus { ingress });
        self.services
            .observe(self.api(key).replace_status(&key.name, &PostParams::default(), &changed).await?);
        Ok(())
    }
}
