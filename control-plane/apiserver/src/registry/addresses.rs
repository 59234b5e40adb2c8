//! The `IPAddress` objects of services: who has which address.
//!
//! Guarantees: an object is written and removed in one transaction with the service that has the address, so neither is ever there
//! without the other; what somebody took away by hand comes back with the next write of the service, or the next start.

use std::sync::Arc;

use serde_json::{Value, json};
use store::{Durability, Op, Txn};

use super::manage::Who;
use super::{Registry, Served, object, store_failed};
use crate::attributes::ApiError;
use crate::watch::Filter;

const MANAGER: &str = "kube-apiserver";
const MANAGED_BY: &str = "ipaddress.kubernetes.io/managed-by";
const ALLOCATOR: &str = "ipallocator";
/// The store's largest transaction is larger; a start with more to mend does it in several.
const OPS_MAX: usize = 100;

fn addresses(service: Option<&Value>) -> Vec<&str> {
    let listed = service.map(|service| object::items(service, &["spec", "clusterIPs"])).unwrap_or_default();
    listed.iter().filter_map(Value::as_str).filter(|text| text.parse::<std::net::IpAddr>().is_ok()).collect()
}

impl Registry {
    /// What is written together with a service that was `old` and becomes `new`.
    pub(crate) fn with_service(&self, served: &Served, old: Option<&Value>, new: Option<&Value>) -> Vec<Op> {
        if served.storage != "core/services" {
            return Vec::new();
        }
        let Some(kind) = self.served("networking.k8s.io", "ipaddresses") else { return Vec::new() };
        let cache = self.hub.cache(&kind.storage);
        let has = addresses(new);
        let mut ops = Vec::new();
        for address in addresses(old).into_iter().filter(|address| !has.contains(address)) {
            let key: Arc<str> = kind.key("", address).into();
            if cache.get(&key).is_some() {
                ops.push(Op::Delete { key });
            }
        }
        for address in has {
            let key: Arc<str> = kind.key("", address).into();
            if cache.get(&key).is_none()
                && let Some(service) = new
            {
                let value = kind.encode(&self.address(&kind, address, service));
                ops.push(Op::Put { key, value, lease: None });
            }
        }
        ops
    }

    fn address(&self, kind: &Served, address: &str, service: &Value) -> Value {
        let now = self.clock.now();
        let family = if address.contains(':') { "IPv6" } else { "IPv4" };
        let mut object = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "IPAddress",
            "metadata": {
                "name": address,
                "uid": uuid::Uuid::new_v4().to_string(),
                "creationTimestamp": object::timestamp(now),
                "labels": {"ipaddress.kubernetes.io/ip-family": family, MANAGED_BY: ALLOCATOR},
            },
            "spec": {"parentRef": {
                "group": "",
                "resource": "services",
                "namespace": object::namespace(service),
                "name": object::name(service),
            }},
        });
        kind.resource.schema.settle_stored(&mut object);
        self.book(kind, None, &mut object, &Who::updates(MANAGER, ""));
        object
    }

    /// Makes the objects that services lack, and removes those whose service is gone. For the start: clusters that were made before
    /// these objects were kept have none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn mend_addresses(&self) -> Result<usize, ApiError> {
        let (Some(services), Some(kind)) =
            (self.served("", "services"), self.served("networking.k8s.io", "ipaddresses"))
        else {
            return Ok(0);
        };
        self.hub.fresh().await.map_err(super::behind)?;
        let mut ops = Vec::new();
        let (page, _) = self.hub.cache(&services.storage).list(&Filter::default(), None, 0);
        let mut taken: Vec<String> = Vec::new();
        for entry in page.entries {
            let service = entry.value();
            taken.extend(addresses(Some(&service)).into_iter().map(str::to_owned));
            ops.extend(self.with_service(&services, None, Some(&service)));
        }
        let (page, _) = self.hub.cache(&kind.storage).list(&Filter::default(), None, 0);
        for entry in page.entries {
            let ours = object::text(&entry.value(), &["metadata", "labels", MANAGED_BY]) == ALLOCATOR;
            if ours && !taken.iter().any(|taken| taken == entry.name()) {
                ops.push(Op::Delete { key: kind.key("", entry.name()).into() });
            }
        }
        let count = ops.len();
        for ops in ops.chunks(OPS_MAX) {
            let txn = Txn { compares: Vec::new(), ops: ops.to_vec(), durability: Durability::Durable };
            self.store.commit(txn).await.map_err(|error| store_failed(&error))?;
        }
        Ok(count)
    }
}
