//! `Endpoints`, for those who still read them.

use std::collections::BTreeMap;
use std::sync::Arc;

use informers::objects::{is_deleting, is_ready};
use informers::{Error, Informer, Key, Next, Queue};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, PostParams};

use super::{HEADLESS, hostname, is_headless, pod_reference, selected, selector, target_port, wake};
use crate::context::Context;

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
/// Addresses in one object at most.
const ADDRESSES_MAX: usize = 1000;

struct Controller {
    client: kube::Client,
    services: Informer<Service>,
    pods: Informer<Pod>,
    endpoints: Informer<Endpoints>,
}

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let controller = Arc::new(Controller {
        client: context.client("endpoint-controller"),
        services: context.informer(),
        pods: context.informer(),
        endpoints: context.informer(),
    });
    let queue = Queue::new();
    wake(&controller.services, &controller.pods, &queue);
    controller.endpoints.enqueue_to(&queue);
    let c = controller.clone();
    let ready = async move {
        c.services.synced().await;
        c.pods.synced().await;
        c.endpoints.synced().await;
    };
    context.loops.run("endpoints-controller", 5, queue, ready, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let api: Api<Endpoints> = Api::namespaced(self.client.clone(), &key.namespace);
        let present = self.endpoints.get(&key);
        let Some(service) = self.services.get(&key).filter(|s| !is_deleting(&s.metadata)) else {
            let ours = |e: &Endpoints| informers::objects::label(&e.metadata, MANAGED_BY) == Some(MANAGER);
            if let Some(present) = present.filter(|e| ours(e)) {
                self.endpoints.delete(&api, &present, DeleteParams::default()).await?;
            }
            return Ok(None);
        };
        if selector(&service).is_none() {
            return Ok(None);
        }
        let subsets = subsets(&service, &selected(&service, &self.pods));
        let mut labels: BTreeMap<String, String> = service.metadata.labels.clone().unwrap_or_default();
        labels.remove(HEADLESS);
        if is_headless(&service) {
            labels.insert(HEADLESS.into(), String::new());
        }
        labels.insert(MANAGED_BY.into(), MANAGER.into());
        let subsets = (!subsets.is_empty()).then_some(subsets);
        match present {
            None => {
                let made = Endpoints {
                    metadata: ObjectMeta {
                        name: Some(key.name.clone()),
                        namespace: Some(key.namespace.clone()),
                        labels: Some(labels),
                        ..Default::default()
                    },
                    subsets,
                };
                match self.endpoints.create(&api, &made).await {
                    Err(kube::Error::Api(s)) if s.code == 403 && s.message.contains("terminat") => {}
                    other => drop(other?),
                }
            }
            Some(known)
                if known.subsets.clone().filter(|s| !s.is_empty()) != subsets
                    || known.metadata.labels.as_ref() != Some(&labels) =>
            {
                let mut changed = known.as_ref().clone();
                changed.subsets = subsets;
                changed.metadata.labels = Some(labels);
                self.endpoints.observe(api.replace(&key.name, &PostParams::default(), &changed).await?);
            }
            Some(_) => {}
        }
        Ok(None)
    }
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let all = service.spec.as_ref().and_then(|s| s.ports.as_deref()).unwrap_or_default();
    let mut ports: Vec<EndpointPort> = all
        .iter()
        .filter_map(|port| {
            Some(EndpointPort {
                name: port.name.clone().filter(|n| !n.is_empty()),
                protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
                port: target_port(pod, port)?,
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect();
    ports.sort_by(|a, b| (a.port, &a.name).cmp(&(b.port, &b.name)));
    ports
}

/// Addresses with the same ports share a subset; ready and unready ones stand apart in it.
fn subsets(service: &Service, pods: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let publish = service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses).unwrap_or(false);
    let mut subsets: Vec<EndpointSubset> = Vec::new();
    for pod in pods.iter().filter(|p| publish || !is_deleting(&p.metadata)).take(ADDRESSES_MAX) {
        let ports = ports(service, pod);
        if ports.is_empty() && !is_headless(service) {
            continue;
        }
        let address = EndpointAddress {
            ip: pod.status.as_ref().and_then(|s| s.pod_ip.clone()).unwrap_or_default(),
            node_name: pod.spec.as_ref().and_then(|s| s.node_name.clone()),
            hostname: hostname(pod, service),
            target_ref: Some(pod_reference(pod)),
        };
        let ports = (!ports.is_empty()).then_some(ports);
        let at = subsets.iter().position(|s| s.ports == ports).unwrap_or_else(|| {
            subsets.push(EndpointSubset { ports, ..Default::default() });
            subsets.len() - 1
        });
        let subset = &mut subsets[at];
        let list =
            if publish || is_ready(pod) { &mut subset.addresses } else { &mut subset.not_ready_addresses };
        list.get_or_insert_default().push(address);
    }
    for subset in &mut subsets {
        for list in [&mut subset.addresses, &mut subset.not_ready_addresses].into_iter().flatten() {
            list.sort_by(|a, b| a.ip.cmp(&b.ip));
        }
    }
    subsets.sort_by_key(|s| s.ports.iter().flatten().map(|p| p.port).collect::<Vec<_>>());
    subsets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_and_unready_addresses_stand_apart() {
        let service: Service = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web"}, "spec": {"selector": {"a": "b"}, "ports": [{"port": 80}]},
        }))
        .unwrap();
        let pod = |ip: &str, ready: &str| -> Arc<Pod> {
            Arc::new(
                serde_json::from_value(serde_json::json!({
                    "metadata": {"name": ip}, "spec": {"containers": []},
                    "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
                }))
                .unwrap(),
            )
        };
        let subsets =
            subsets(&service, &[pod("10.0.0.2", "True"), pod("10.0.0.1", "True"), pod("10.0.0.3", "False")]);
        assert_eq!(subsets.len(), 1);
        let ips =
            |l: &Option<Vec<EndpointAddress>>| l.iter().flatten().map(|a| a.ip.clone()).collect::<Vec<_>>();
        assert_eq!(ips(&subsets[0].addresses), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(ips(&subsets[0].not_ready_addresses), ["10.0.0.3"]);
    }
}
