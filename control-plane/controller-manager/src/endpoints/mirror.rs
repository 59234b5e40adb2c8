//! Slices for endpoints that people write themselves, for services without selector.

use std::sync::Arc;

use informers::objects::{annotation, controlled_by, is_deleting, label};
use informers::{Error, Informer, Key, Next, Queue};
use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::api::{Api, DeleteParams};

use super::selector;
use super::slices::{MANAGED_BY, SERVICE_NAME, Write, owned, wake_by_slice};
use super::spread::{self, Group};
use crate::context::Context;

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

struct Controller {
    client: kube::Client,
    services: Informer<Service>,
    endpoints: Informer<Endpoints>,
    slices: Informer<EndpointSlice>,
}

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let controller = Arc::new(Controller {
        client: context.client("endpointslicemirroring-controller"),
        services: context.informer(),
        endpoints: context.informer(),
        slices: context.informer(),
    });
    let queue = Queue::new();
    controller.services.enqueue_to(&queue);
    controller.endpoints.enqueue_to(&queue);
    wake_by_slice(&controller.slices, MANAGER, &queue);
    let c = controller.clone();
    let ready = async move {
        c.services.synced().await;
        c.endpoints.synced().await;
        c.slices.synced().await;
    };
    context.loops.run("endpointslice-mirroring-controller", 2, queue, ready, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let present = owned(&self.slices, &key, MANAGER);
        let service = self.services.get(&key).filter(|s| !is_deleting(&s.metadata));
        let mirrored = |e: &Endpoints| {
            label(&e.metadata, SKIP) != Some("true") && annotation(&e.metadata, LEADER).is_none()
        };
        let endpoints = self.endpoints.get(&key).filter(|e| mirrored(e));
        let bare = service.as_ref().is_some_and(|s| selector(s).is_none());
        let Some(endpoints) = endpoints.filter(|_| bare) else {
            let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &key.namespace);
            for slice in present {
                self.slices.delete(&api, &slice, DeleteParams::default()).await?;
            }
            return Ok(None);
        };
        let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
        labels.insert(SERVICE_NAME.into(), key.name.clone());
        labels.insert(MANAGED_BY.into(), MANAGER.into());
        let write = Write {
            client: &self.client,
            slices: &self.slices,
            labels: &labels,
            owner: controlled_by(endpoints.as_ref()),
        };
        write.run(&key, spread::plan(groups(&endpoints), &present), &present).await?;
        Ok(None)
    }
}

fn groups(endpoints: &Endpoints) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ports: Vec<EndpointPort> = subset
            .ports
            .iter()
            .flatten()
            .map(|p| EndpointPort {
                name: Some(p.name.clone().unwrap_or_default()),
                port: Some(p.port),
                protocol: p.protocol.clone(),
                app_protocol: p.app_protocol.clone(),
            })
            .collect();
        let ready = subset.addresses.iter().flatten().map(|a| endpoint(a, true));
        let unready = subset.not_ready_addresses.iter().flatten().map(|a| endpoint(a, false));
        for endpoint in ready.chain(unready) {
            let family = if endpoint.addresses[0].contains(':') { "IPv6" } else { "IPv4" };
            match groups.iter_mut().find(|g| g.address_type == family && g.ports == ports) {
                Some(group) => group.endpoints.push(endpoint),
                None => groups.push(Group {
                    address_type: family.into(),
                    ports: ports.clone(),
                    endpoints: vec![endpoint],
                }),
            }
        }
    }
    groups
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..Default::default() }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Default::default()
    }
}
