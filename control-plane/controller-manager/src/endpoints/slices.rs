//! Endpoint slices of services with a selector.

use std::collections::BTreeMap;
use std::sync::Arc;

use informers::objects::{controlled_by, is_deleting, is_ready, label};
use informers::{Error, Informer, Key, Next, Queue};
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, PostParams};

use super::spread::{self, Group};
use super::{HEADLESS, hostname, is_headless, pod_reference, selected, selector, target_port, wake};
use crate::context::Context;

pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(super) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const ZONE: &str = "topology.kubernetes.io/zone";

struct Controller {
    client: kube::Client,
    services: Informer<Service>,
    pods: Informer<Pod>,
    nodes: Informer<Node>,
    slices: Informer<EndpointSlice>,
}

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let controller = Arc::new(Controller {
        client: context.client("endpointslice-controller"),
        services: context.informer(),
        pods: context.informer(),
        nodes: context.informer(),
        slices: context.informer(),
    });
    let queue = Queue::new();
    wake(&controller.services, &controller.pods, &queue);
    wake_by_slice(&controller.slices, MANAGER, &queue);
    let c = controller.clone();
    let ready = async move {
        c.services.synced().await;
        c.pods.synced().await;
        c.slices.synced().await;
        c.nodes.synced().await;
    };
    context.loops.run("endpointslice-controller", 5, queue, ready, move |key| {
        let controller = controller.clone();
        async move { controller.sync(key).await }
    });
}

/// A slice that somebody else changed or removed wakes its service.
pub(super) fn wake_by_slice(slices: &Informer<EndpointSlice>, manager: &'static str, queue: &Queue<Key>) {
    let queue = queue.clone();
    slices.subscribe(move |change| {
        let meta = &change.object().metadata;
        if label(meta, MANAGED_BY) == Some(manager)
            && let Some(service) = label(meta, SERVICE_NAME)
        {
            queue.add(Key::new(meta.namespace.clone().unwrap_or_default(), service));
        }
    });
}

/// The slices of a service that `manager` keeps.
pub(super) fn owned(slices: &Informer<EndpointSlice>, key: &Key, manager: &str) -> Vec<Arc<EndpointSlice>> {
    let mut owned = slices.list_in(&key.namespace);
    owned.retain(|s| {
        label(&s.metadata, SERVICE_NAME) == Some(&key.name)
            && label(&s.metadata, MANAGED_BY) == Some(manager)
            && !is_deleting(&s.metadata)
    });
    owned
}

impl Controller {
    async fn sync(&self, key: Key) -> Result<Next, Error> {
        let present = owned(&self.slices, &key, MANAGER);
        let service = self.services.get(&key).filter(|s| !is_deleting(&s.metadata) && selector(s).is_some());
        let Some(service) = service else {
            // The garbage collector removes slices of a vanished service; one that lost its selector keeps
            // what it had, as upstream's does.
            return Ok(None);
        };
        let wanted = groups(&service, &selected(&service, &self.pods), |node| {
            self.nodes.find("", node).and_then(|n| label(&n.metadata, ZONE).map(str::to_owned))
        });
        let labels = labels(&service);
        let write = Write {
            client: &self.client,
            slices: &self.slices,
            labels: &labels,
            owner: controlled_by(service.as_ref()),
        };
        write.run(&key, spread::plan(wanted, &present), &present).await?;
        Ok(None)
    }
}

/// Carries a plan out.
pub(super) struct Write<'a> {
    pub client: &'a kube::Client,
    pub slices: &'a Informer<EndpointSlice>,
    pub labels: &'a BTreeMap<String, String>,
    pub owner: k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference,
}

impl Write<'_> {
    pub async fn run(
        &self,
        key: &Key,
        plan: spread::Plan,
        present: &[Arc<EndpointSlice>],
    ) -> Result<(), Error> {
        let api: Api<EndpointSlice> = Api::namespaced(self.client.clone(), &key.namespace);
        for group in plan.create {
            let slice = EndpointSlice {
                metadata: ObjectMeta {
                    generate_name: Some(format!("{}-", key.name)),
                    namespace: Some(key.namespace.clone()),
                    labels: Some(self.labels.clone()),
                    owner_references: Some(vec![self.owner.clone()]),
                    ..Default::default()
                },
                address_type: group.address_type,
                endpoints: group.endpoints,
                ports: Some(group.ports),
            };
            match self.slices.create(&api, &slice).await {
                Err(kube::Error::Api(s)) if s.code == 403 && s.message.contains("terminat") => return Ok(()),
                other => drop(other?),
            }
        }
        let doomed = |name: &Option<String>| plan.delete.iter().any(|d| d.metadata.name == *name);
        let relabelled = present
            .iter()
            .filter(|s| s.metadata.labels.as_ref() != Some(self.labels) && !doomed(&s.metadata.name))
            .filter(|s| !plan.update.iter().any(|u| u.metadata.name == s.metadata.name))
            .map(|s| s.as_ref().clone());
        for mut slice in plan.update.iter().cloned().chain(relabelled) {
            slice.metadata.labels = Some(self.labels.clone());
            let name = slice.metadata.name.clone().unwrap_or_default();
            self.slices.observe(api.replace(&name, &PostParams::default(), &slice).await?);
        }
        for slice in &plan.delete {
            self.slices.delete(&api, slice, DeleteParams::default()).await?;
        }
        Ok(())
    }
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.into(), String::new());
    }
    labels.insert(SERVICE_NAME.into(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    labels
}

fn ports(service: &Service, pod: &Pod) -> Vec<EndpointPort> {
    let ports = service.spec.as_ref().and_then(|s| s.ports.as_deref()).unwrap_or_default();
    ports
        .iter()
        .filter_map(|port| {
            Some(EndpointPort {
                name: Some(port.name.clone().unwrap_or_default()),
                protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".into())),
                port: Some(target_port(pod, port)?),
                app_protocol: port.app_protocol.clone(),
            })
        })
        .collect()
}

fn endpoint(
    service: &Service,
    pod: &Pod,
    address: String,
    zone: impl Fn(&str) -> Option<String>,
) -> Endpoint {
    let publish = service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses).unwrap_or(false);
    let terminating = is_deleting(&pod.metadata);
    let serving = is_ready(pod);
    let node = pod.spec.as_ref().and_then(|s| s.node_name.clone());
    Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(publish || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: hostname(pod, service),
        zone: node.as_deref().and_then(zone),
        node_name: node,
        target_ref: Some(pod_reference(pod)),
        ..Default::default()
    }
}

/// The wanted endpoints of a service, grouped by address family and ports. With no endpoint there is one
/// empty group per family, for the placeholder slice.
fn groups(service: &Service, pods: &[Arc<Pod>], zone: impl Fn(&str) -> Option<String>) -> Vec<Group> {
    let families = service.spec.as_ref().and_then(|s| s.ip_families.clone()).unwrap_or_default();
    let families = if families.is_empty() { vec!["IPv4".to_owned()] } else { families };
    let mut groups: Vec<Group> = Vec::new();
    for family in families {
        let before = groups.len();
        for pod in pods {
            let status = pod.status.clone().unwrap_or_default();
            let addresses =
                status.pod_ips.unwrap_or_default().into_iter().map(|ip| ip.ip).chain(status.pod_ip);
            let mut fitting = addresses.filter(|ip| ip.contains(':') == (family == "IPv6"));
            let Some(address) = fitting.next() else { continue };
            let ports = ports(service, pod);
            let endpoint = endpoint(service, pod, address, &zone);
            match groups[before..].iter_mut().find(|g| g.ports == ports) {
                Some(group) => group.endpoints.push(endpoint),
                None => groups.push(Group { address_type: family.clone(), ports, endpoints: vec![endpoint] }),
            }
        }
        if groups.len() == before {
            groups.push(Group { address_type: family, ..Group::default() });
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_become_endpoints_with_their_own_ports() {
        let service: Service = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"a": "b"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}]},
        }))
        .unwrap();
        let pod = |name: &str, ip: &str, port: i32, ready: &str| -> Arc<Pod> {
            Arc::new(
                serde_json::from_value(serde_json::json!({
                    "metadata": {"name": name, "uid": name},
                    "spec": {"nodeName": "n", "containers": [{"name": "c", "ports": [{"name": "web", "containerPort": port}]}]},
                    "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]},
                }))
                .unwrap(),
            )
        };
        let pods = [
            pod("a", "10.0.0.1", 8080, "True"),
            pod("b", "10.0.0.2", 8080, "False"),
            pod("c", "10.0.0.3", 9090, "True"),
        ];
        let groups = groups(&service, &pods, |_| Some("eastus-1".into()));
        let sizes: Vec<_> = groups.iter().map(|g| (g.ports[0].port, g.endpoints.len())).collect();
        assert_eq!(sizes, [(Some(8080), 2), (Some(9090), 1)]);
        let ready: Vec<_> = groups[0].endpoints.iter().map(|e| e.conditions.clone().unwrap().ready).collect();
        assert_eq!(ready, [Some(true), Some(false)]);
        assert_eq!(groups[0].endpoints[0].zone.as_deref(), Some("eastus-1"));
    }
}
