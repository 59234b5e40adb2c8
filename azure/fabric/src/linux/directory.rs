//! What the services of a network (names, metadata) know; replaced as a whole with each applied wish.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use parking_lot::RwLock;
use serde_json::{Value, json};

use crate::ids::NetworkId;
use crate::imds::ImdsTokens;
use crate::names::Names;
use crate::wanted::{Machine, Wanted};

/// A machine, as the metadata service knows it.
#[derive(Debug, Clone)]
pub(super) struct Resident {
    pub resource_id: String,
    pub document: Value,
}

#[derive(Default)]
struct Known {
    names: HashMap<NetworkId, Arc<Names>>,
    residents: HashMap<(NetworkId, Ipv4Addr), Arc<Resident>>,
}

/// The directory.
#[derive(Default)]
pub(super) struct Directory {
    known: RwLock<Known>,
    tokens: RwLock<Option<Arc<dyn ImdsTokens>>>,
}

impl Directory {
    pub fn set_tokens(&self, tokens: Arc<dyn ImdsTokens>) {
        *self.tokens.write() = Some(tokens);
    }

    pub fn tokens(&self) -> Option<Arc<dyn ImdsTokens>> {
        self.tokens.read().clone()
    }

    pub fn names(&self, network: &NetworkId) -> Arc<Names> {
        self.known.read().names.get(network).cloned().unwrap_or_default()
    }

    pub fn resident(&self, network: &NetworkId, address: Ipv4Addr) -> Option<Arc<Resident>> {
        self.known.read().residents.get(&(network.clone(), address)).cloned()
    }

    /// Learns a wish.
    pub fn learn(&self, wanted: &Wanted) {
        let mut known = Known::default();
        for network in &wanted.networks {
            for machine in wanted.machines.iter().filter(|m| m.network == network.id) {
                let resident =
                    Resident { resource_id: machine.resource_id.clone(), document: document(machine) };
                known.residents.insert((network.id.clone(), machine.address), Arc::new(resident));
            }
            known.names.insert(network.id.clone(), Arc::new(Names::of(wanted, &network.id)));
        }
        *self.known.write() = known;
    }
}

/// What `/metadata/instance` shows when the wish does not say.
fn document(machine: &Machine) -> Value {
    if !machine.imds.is_null() {
        return machine.imds.clone();
    }
    let parts: Vec<&str> = machine.resource_id.split('/').collect();
    let after = |name: &str| {
        let at = parts.iter().position(|p| p.eq_ignore_ascii_case(name));
        at.and_then(|i| parts.get(i + 1)).copied().unwrap_or_default()
    };
    let address = json!([{"privateIpAddress": machine.address, "publicIpAddress": ""}]);
    json!({
        "compute": {
            "azEnvironment": "AzurePublicCloud", "location": machine.location, "name": machine.hostname,
            "osType": "Linux", "provider": "Microsoft.Compute", "resourceId": machine.resource_id,
            "resourceGroupName": after("resourceGroups"), "subscriptionId": after("subscriptions"),
            "vmScaleSetName": after("virtualMachineScaleSets"), "vmSize": machine.vm_size,
            "zone": machine.zone,
        },
        "network": {"interface": [{"ipv4": {"ipAddress": address, "subnet": []}, "ipv6": {"ipAddress": []}}]},
    })
}
