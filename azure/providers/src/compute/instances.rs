//! A scale-set instance: what is stored of it and how it is read.

use std::net::Ipv4Addr;
use std::sync::Arc;

use arm::{Resource, ResourceId, Resources};
use fabric::MachineId;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::json::{flag, list, set, text};
use crate::network::uses;

/// Full type of instances.
pub const TYPE: &str = "Microsoft.Compute/virtualMachineScaleSets/virtualMachines";
/// Full type of scale sets.
pub const SET: &str = "Microsoft.Compute/virtualMachineScaleSets";
/// The member of stored properties that is never shown.
pub const PRIVATE: &str = "$private";

/// What an instance does, as far as the cloud knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// The fabric has not answered for its present generation and power.
    Pending,
    /// Its boot is going on.
    Booting,
    /// Up.
    Running,
    /// Off, as wanted.
    Stopped,
    /// Its boot failed, or it died.
    Failed,
}

/// What the fabric must know of an instance, and what it said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Private {
    /// Its address in the subnet.
    pub address: Ipv4Addr,
    /// The subnet's id.
    pub subnet: ResourceId,
    /// Addresses of its pods, in an overlay.
    pub pods: Option<Ipv4Net>,
    /// The overlay that `pods` is of.
    pub pod_range: Option<Ipv4Net>,
    /// One more with each reimage.
    pub generation: u64,
    /// Whether it shall run.
    pub on: bool,
    /// Whether its place was given back when it was turned off: `deallocated` and not only `stopped`.
    #[serde(default)]
    pub deallocated: bool,
    /// Whether it was turned off only to be turned on again.
    #[serde(default)]
    pub restarting: bool,
    /// `osProfile.customData` of its image, as it was when the image was made.
    pub custom_data: String,
    /// What it does.
    pub phase: Phase,
    /// Exit code of a failed boot.
    pub exit_code: Option<i32>,
    /// The end of its serial log at the failure.
    #[serde(default)]
    pub last_lines: Vec<String>,
}

/// An instance with what its scale set says.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Its ARM id.
    pub id: ResourceId,
    /// Computer name.
    pub computer_name: String,
    /// The stored private part.
    pub private: Private,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its subnet.
    pub subnet: ResourceId,
    /// Backend pools it is in.
    pub pools: Vec<ResourceId>,
    /// Pools of inbound NAT rules that give it a port.
    pub nat_pools: Vec<ResourceId>,
    /// Security group of its interface.
    pub group: Option<ResourceId>,
    /// Application security groups of its interface.
    pub application_groups: Vec<ResourceId>,
    /// Whether its interface may send and take packets of others.
    pub ip_forwarding: bool,
    /// VM size.
    pub size: String,
    /// Region.
    pub location: String,
    /// Zone, empty when not zonal.
    pub zone: String,
    /// Name of its interface configuration.
    pub interface: String,
    /// Whether it is on its way out.
    pub deleting: bool,
}

impl Instance {
    /// Reads a stored instance; `None` if its scale set is not there.
    pub fn read(resource: &Resource, sets: &Resources) -> Option<Self> {
        let set = sets.get(&resource.id.top())?;
        let private = private(resource)?;
        let interface = uses::interfaces(&set).first()?;
        Some(Self {
            id: resource.id.clone(),
            computer_name: text(&resource.properties, "/osProfile/computerName")?.to_owned(),
            address: private.address,
            subnet: private.subnet.clone(),
            pools: uses::pools_of(&set),
            nat_pools: uses::nat_pools_of(&set),
            group: text(interface, "/properties/networkSecurityGroup/id")
                .and_then(|id| ResourceId::parse(id).ok()),
            application_groups: list(interface, "/properties/ipConfigurations")
                .iter()
                .flat_map(|ip| list(ip, "/properties/applicationSecurityGroups"))
                .filter_map(|group| ResourceId::parse(text(group, "/id")?).ok())
                .collect(),
            ip_forwarding: flag(interface, "/properties/enableIPForwarding"),
            size: text(set.sku.as_ref()?, "/name")?.to_owned(),
            location: set.location.clone().unwrap_or_default(),
            zone: resource
                .zones
                .as_ref()
                .map(|zones| list(zones, ""))
                .and_then(|zones| zones.first()?.as_str())
                .unwrap_or_default()
                .to_owned(),
            interface: text(interface, "/name").unwrap_or("nic").to_owned(),
            deleting: is_deleting(resource),
            private,
        })
    }

    /// The fabric's id of its machine.
    pub fn machine(&self) -> MachineId {
        MachineId::of(&self.id.to_string())
    }

    /// The id of its interface's IP configuration.
    pub fn ip_configuration(&self) -> String {
        format!("{}/networkInterfaces/{}/ipConfigurations/ipconfig1", self.id, self.interface)
    }
}

/// Whether an instance is on its way out.
pub fn is_deleting(instance: &Resource) -> bool {
    instance.provisioning_state() == Some("Deleting")
}

/// The private part of a stored instance.
pub fn private(instance: &Resource) -> Option<Private> {
    serde_json::from_value(instance.properties.get(PRIVATE)?.clone()).ok()
}

/// Writes the private part and what follows from it.
pub fn set_private(instance: &mut Resource, private: &Private) {
    let state = match private.phase {
        _ if is_deleting(instance) => "Deleting",
        Phase::Pending if private.generation > 0 || !private.on => "Updating",
        Phase::Pending | Phase::Booting => "Creating",
        Phase::Running | Phase::Stopped => "Succeeded",
        Phase::Failed => "Failed",
    };
    set(&mut instance.properties, &[PRIVATE], json!(private));
    set(&mut instance.properties, &["provisioningState"], state);
}

/// Every instance of every scale set.
pub fn all(resources: &Resources) -> Vec<Instance> {
    resources
        .list_type(&ResourceId::root(), TYPE)
        .iter()
        .filter_map(|i| Instance::read(i, resources))
        .collect()
}

/// The stored instances of a scale set, by instance id.
pub fn of_set(resources: &Resources, set: &ResourceId) -> Vec<Arc<Resource>> {
    let mut found = resources.list_type(set, TYPE);
    found.sort_by_key(|instance| number(instance));
    found
}

/// The instance id as a number.
pub fn number(instance: &Resource) -> u64 {
    instance.id.name().parse().unwrap_or(u64::MAX)
}

/// `<prefix>00000a`: six digits of base 36.
pub fn computer_name(prefix: &str, number: u64) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut digits = [b'0'; 6];
    let mut rest = number;
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 36) as usize];
        rest /= 36;
    }
    format!("{prefix}{}", digits.map(char::from).iter().collect::<String>())
}

/// Where a request for an instance must look for its interface: the network part of the view.
pub fn network_profile(id: &ResourceId, interface: &str) -> Value {
    json!({ "networkInterfaces": [{ "id": format!("{id}/networkInterfaces/{interface}") }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computer_names_count_in_base_36() {
        assert_eq!(computer_name("aks-a-1-vmss", 0), "aks-a-1-vmss000000");
        assert_eq!(computer_name("p", 35), "p00000z");
        assert_eq!(computer_name("p", 36), "p000010");
    }
}
