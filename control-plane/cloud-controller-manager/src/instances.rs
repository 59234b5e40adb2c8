//! The machines of the node resource group: instances of its scale sets.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::arm::{Arm, ArmError, COMPUTE};

pub(crate) const SCALE_SETS: &str = "Microsoft.Compute/virtualMachineScaleSets";
/// How old an answer may be that shows a machine; that there is none is always asked anew.
const FRESH: Duration = Duration::from_secs(5);

/// One scale-set instance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Instance {
    /// Its ARM id, as the cloud writes it.
    pub id: String,
    /// Its host name: the node's name.
    pub computer_name: String,
    pub vm_size: String,
    pub location: String,
    pub zone: Option<String>,
    /// Whether it is switched off.
    pub is_off: bool,
}

impl Instance {
    fn of(vm: &Value) -> Option<Self> {
        let properties = &vm["properties"];
        let statuses = properties["instanceView"]["statuses"].as_array();
        let power = statuses.into_iter().flatten().filter_map(|s| s["code"].as_str());
        let size = properties["hardwareProfile"]["vmSize"].as_str().or(vm["sku"]["name"].as_str());
        Some(Self {
            id: vm["id"].as_str()?.to_owned(),
            computer_name: properties["osProfile"]["computerName"].as_str()?.to_lowercase(),
            vm_size: size.unwrap_or_default().to_owned(),
            location: vm["location"].as_str().unwrap_or_default().to_lowercase(),
            zone: vm["zones"].as_array().and_then(|z| z.first()).and_then(Value::as_str).map(str::to_owned),
            is_off: power.into_iter().any(|code| {
                [
                    "PowerState/stopped",
                    "PowerState/deallocated",
                    "PowerState/deallocating",
                    "PowerState/stopping",
                ]
                .iter()
                .any(|off| code.eq_ignore_ascii_case(off))
            }),
        })
    }

    /// The node's provider id: the resource group is in lower case, as AKS writes it.
    pub fn provider_id(&self) -> String {
        let mut parts: Vec<String> = self.id.split('/').map(str::to_owned).collect();
        for at in 1..parts.len() {
            if parts[at - 1].eq_ignore_ascii_case("resourceGroups") {
                parts[at] = parts[at].to_lowercase();
                parts[at - 1] = "resourceGroups".to_owned();
            }
        }
        format!("azure://{}", parts.join("/"))
    }

    /// The node's zone label: `<region>-<n>`, or `0` outside of zones.
    pub fn zone_label(&self) -> String {
        match &self.zone {
            Some(zone) => format!("{}-{zone}", self.location),
            None => "0".to_owned(),
        }
    }
}

/// Knows the instances, and for how long.
#[derive(Clone)]
pub(crate) struct Instances {
    arm: Arm,
    known: Arc<Mutex<(Option<Instant>, Vec<Instance>)>>,
}

impl Instances {
    pub fn new(arm: &Arm) -> Self {
        Self { arm: arm.clone(), known: Arc::default() }
    }

    /// The scale sets of the group.
    pub async fn scale_sets(&self) -> Result<Vec<Value>, ArmError> {
        self.arm.list(&format!("{}/providers/{SCALE_SETS}", self.arm.group()), COMPUTE).await
    }

    async fn read(&self) -> Result<Vec<Instance>, ArmError> {
        let mut all = Vec::new();
        for set in self.scale_sets().await? {
            let Some(name) = set["name"].as_str() else { continue };
            let id = format!("{}/virtualMachines?$expand=instanceView", self.arm.id(SCALE_SETS, name));
            let region = self.arm.config.location.to_lowercase();
            let listed = self.arm.list(&id, COMPUTE).await?;
            all.extend(
                listed.iter().filter_map(Instance::of).map(|i| Instance { location: region.clone(), ..i }),
            );
        }
        Ok(all)
    }

    /// The instance behind a node.
    pub async fn of_node(&self, name: &str, may_be_old: bool) -> Result<Option<Instance>, ArmError> {
        let mut known = self.known.lock().await;
        let find = |all: &[Instance]| all.iter().find(|i| i.computer_name == name).cloned();
        if may_be_old
            && known.0.is_some_and(|at| at.elapsed() < FRESH)
            && let Some(found) = find(&known.1)
        {
            return Ok(Some(found));
        }
        let all = self.read().await?;
        let found = find(&all);
        *known = (Some(Instant::now()), all);
        Ok(found)
    }

    /// The private addresses of an instance, the primary one first.
    pub async fn addresses(&self, instance: &Instance) -> Result<Vec<String>, ArmError> {
        let interfaces = self.arm.list(&format!("{}/networkInterfaces", instance.id), COMPUTE).await?;
        let mut found: Vec<(bool, String)> = Vec::new();
        for interface in &interfaces {
            let primary = interface["properties"]["primary"].as_bool().unwrap_or(true);
            for ip in interface["properties"]["ipConfigurations"].as_array().into_iter().flatten() {
                let first = primary && ip["properties"]["primary"].as_bool().unwrap_or(true);
                if let Some(address) = ip["properties"]["privateIPAddress"].as_str() {
                    found.push((!first, address.to_owned()));
                }
            }
        }
        found.sort_by_key(|(later, _)| *later);
        Ok(found.into_iter().map(|(_, address)| address).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_read_and_named_as_aks_names_it() {
        let vm = serde_json::json!({
            "id": "/subscriptions/s/resourceGroups/MC_rg_c_eastus/providers/Microsoft.Compute/virtualMachineScaleSets/aks-nodepool1-1-vmss/virtualMachines/0",
            "location": "eastus", "zones": ["2"], "sku": {"name": "Standard_DS2_v2"},
            "properties": {
                "osProfile": {"computerName": "aks-nodepool1-1-vmss000000"},
                "instanceView": {"statuses": [{"code": "ProvisioningState/succeeded"}, {"code": "PowerState/deallocated"}]},
            },
        });
        let instance = Instance::of(&vm).unwrap();
        assert_eq!(
            instance.provider_id(),
            "azure:///subscriptions/s/resourceGroups/mc_rg_c_eastus/providers/Microsoft.Compute/virtualMachineScaleSets/aks-nodepool1-1-vmss/virtualMachines/0"
        );
        assert_eq!((instance.zone_label().as_str(), instance.is_off), ("eastus-2", true));
        assert_eq!(instance.vm_size, "Standard_DS2_v2");
        assert_eq!(Instance { zone: None, ..instance }.zone_label(), "0");
    }
}
