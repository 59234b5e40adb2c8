//! Making a service's wishes true in the node resource group.

use k8s_openapi::api::core::v1::Service;
use serde_json::{Value, json};

use super::security;
use super::wish::{self, POOL, setting};
use crate::arm::{Arm, ArmError, COMPUTE, NETWORK};
use crate::instances::{Instances, SCALE_SETS};

const BALANCERS: &str = "Microsoft.Network/loadBalancers";
const ADDRESSES: &str = "Microsoft.Network/publicIPAddresses";
const GROUPS: &str = "Microsoft.Network/networkSecurityGroups";
const TAG_SERVICE: &str = "k8s-azure-service";
const TAG_CLUSTER: &str = "k8s-azure-cluster-name";

/// Why a service could not be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum CloudError {
    #[error(transparent)]
    Arm(#[from] ArmError),
    #[error("{0}")]
    Wish(String),
}

/// Load balancers, addresses and security groups of one cluster.
#[derive(Clone)]
pub(super) struct Cloud {
    pub arm: Arm,
    pub instances: Instances,
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl Cloud {
    /// Everything the service needs; returns its address.
    pub async fn ensure(&self, service: &Service) -> Result<String, CloudError> {
        let internal = wish::is_internal(service);
        // A service that changed sides leaves nothing behind on the other.
        self.leave(service, !internal).await?;
        let public = if internal { None } else { Some(self.public_address(service).await?) };
        let balancer = self.balancer(service, internal, public.as_ref()).await?;
        let address = match &public {
            Some(public) => text(public, "/properties/ipAddress").to_owned(),
            None => {
                let prefix = wish::prefix(service);
                let frontends = balancer["properties"]["frontendIPConfigurations"].as_array();
                let own = frontends.into_iter().flatten().find(|f| f["name"] == prefix.as_str());
                own.map(|f| text(f, "/properties/privateIPAddress").to_owned()).unwrap_or_default()
            }
        };
        if address.is_empty() {
            return Err(CloudError::Wish("the frontend has no address yet".into()));
        }
        self.security(&address, &security::wanted(service)).await?;
        Ok(address)
    }

    /// Removes everything the service had.
    pub async fn remove(&self, service: &Service) -> Result<(), CloudError> {
        let ingress =
            service.status.as_ref().and_then(|s| s.load_balancer.as_ref()).and_then(|l| l.ingress.as_ref());
        for ip in ingress.into_iter().flatten().filter_map(|i| i.ip.as_deref()) {
            self.security(ip, &[]).await?;
        }
        self.leave(service, false).await?;
        self.leave(service, true).await
    }

    async fn leave(&self, service: &Service, internal: bool) -> Result<(), CloudError> {
        let id = self.arm.id(BALANCERS, wish::balancer_name(internal));
        if let Some(mut balancer) = self.arm.get(&id, NETWORK).await?
            && set_parts(&mut balancer, &wish::prefix(service), vec![], vec![], vec![])
        {
            let empty =
                balancer["properties"]["frontendIPConfigurations"].as_array().is_none_or(Vec::is_empty);
            if empty {
                self.drop_balancer(&id).await?;
            } else {
                self.write(&id, &balancer).await?;
            }
        }
        if !internal {
            let id = self.arm.id(ADDRESSES, &wish::public_ip_name(service));
            if self.arm.get(&id, NETWORK).await?.is_some() {
                self.arm.delete(&id, NETWORK).await?;
            }
        }
        Ok(())
    }

    async fn write(&self, id: &str, body: &Value) -> Result<Value, CloudError> {
        let etag = body["etag"].as_str();
        Ok(self.arm.put(id, NETWORK, body, etag).await?)
    }

    async fn public_address(&self, service: &Service) -> Result<Value, CloudError> {
        let wanted = setting(service, "azure-load-balancer-ipv4")
            .or(service.spec.as_ref().and_then(|s| s.load_balancer_ip.as_deref()))
            .filter(|ip| !ip.is_empty());
        let named = setting(service, "azure-pip-name");
        if wanted.is_some() || named.is_some() {
            let group = match setting(service, "azure-load-balancer-resource-group") {
                Some(group) => {
                    format!("/subscriptions/{}/resourceGroups/{group}", self.arm.config.subscription_id)
                }
                None => self.arm.group(),
            };
            let all = self.arm.list(&format!("{group}/providers/{ADDRESSES}"), NETWORK).await?;
            let found = all.into_iter().find(|a| {
                wanted.is_some_and(|ip| text(a, "/properties/ipAddress") == ip)
                    || named.is_some_and(|n| text(a, "/name").eq_ignore_ascii_case(n))
            });
            return found.ok_or_else(|| {
                let what = wanted.or(named).unwrap_or_default();
                let group = group.rsplit('/').next().unwrap_or_default().to_owned();
                CloudError::Wish(format!(
                    "user supplied IP Address {what} was not found in resource group {group}"
                ))
            });
        }
        let id = self.arm.id(ADDRESSES, &wish::public_ip_name(service));
        let label = setting(service, "azure-dns-label-name");
        if let Some(there) = self.arm.get(&id, NETWORK).await?
            && (label.is_none() || label == Some(text(&there, "/properties/dnsSettings/domainNameLabel")))
        {
            return Ok(there);
        }
        let mut body = json!({
            "location": self.arm.config.location,
            "sku": {"name": "Standard", "tier": "Regional"},
            "tags": {TAG_SERVICE: wish::name(service), TAG_CLUSTER: "kubernetes"},
            "properties": {
                "publicIPAllocationMethod": "Static",
                "publicIPAddressVersion": "IPv4",
                "idleTimeoutInMinutes": 4,
            },
        });
        if let Some(label) = label {
            body["properties"]["dnsSettings"] = json!({"domainNameLabel": label});
            body["tags"]["k8s-azure-dns-label-service"] = json!(wish::name(service));
        }
        Ok(self.arm.put(&id, NETWORK, &body, None).await?)
    }

    async fn balancer(
        &self,
        service: &Service,
        internal: bool,
        public: Option<&Value>,
    ) -> Result<Value, CloudError> {
        let id = self.arm.id(BALANCERS, wish::balancer_name(internal));
        let known = self.arm.get(&id, NETWORK).await?;
        let is_new = known.is_none();
        let mut balancer = known.unwrap_or_else(|| {
            json!({"location": self.arm.config.location, "sku": {"name": "Standard", "tier": "Regional"}, "properties": {}})
        });
        let prefix = wish::prefix(service);
        let frontend = match public {
            Some(public) => json!({"publicIPAddress": {"id": public["id"]}}),
            None => self.internal_frontend(service).await?,
        };
        let (rules, probes) = wish::rules(service, &id);
        let mut changed = ensure_pool(&mut balancer);
        let frontend = json!({"name": prefix, "properties": frontend});
        changed |= set_parts(&mut balancer, &prefix, vec![frontend], rules, probes);
        if changed {
            balancer = self.write(&id, &balancer).await?;
        }
        if internal || is_new {
            self.join_pool(&format!("{id}/backendAddressPools/{POOL}"), true).await?;
        }
        Ok(balancer)
    }

    /// An internal frontend is in the nodes' subnet, or in another one of their network.
    async fn internal_frontend(&self, service: &Service) -> Result<Value, CloudError> {
        let sets = self.instances.scale_sets().await?;
        let pointer = "/properties/virtualMachineProfile/networkProfile/networkInterfaceConfigurations/0/properties/ipConfigurations/0/properties/subnet/id";
        let subnet = sets.iter().find_map(|s| s.pointer(pointer).and_then(Value::as_str));
        let Some(subnet) = subnet else {
            return Err(CloudError::Wish("the cluster has no nodes whose subnet could be used".into()));
        };
        let subnet = match (setting(service, "azure-load-balancer-internal-subnet"), subnet.rsplit_once('/'))
        {
            (Some(name), Some((subnets, _))) => format!("{subnets}/{name}"),
            _ => subnet.to_owned(),
        };
        let wanted = setting(service, "azure-load-balancer-ipv4")
            .or(service.spec.as_ref().and_then(|s| s.load_balancer_ip.as_deref()))
            .filter(|ip| !ip.is_empty());
        let mut frontend = json!({"subnet": {"id": subnet}, "privateIPAllocationMethod": "Dynamic"});
        if let Some(ip) = wanted {
            frontend["privateIPAllocationMethod"] = "Static".into();
            frontend["privateIPAddress"] = ip.into();
        }
        Ok(frontend)
    }

    /// Puts every scale set into a pool, or takes it out.
    async fn join_pool(&self, pool: &str, join: bool) -> Result<(), CloudError> {
        for set in self.instances.scale_sets().await? {
            let mut profile = set["properties"]["virtualMachineProfile"]["networkProfile"].clone();
            let pools = "/networkInterfaceConfigurations/0/properties/ipConfigurations/0/properties";
            let Some(configuration) = profile.pointer_mut(pools) else { continue };
            let mut members =
                configuration["loadBalancerBackendAddressPools"].as_array().cloned().unwrap_or_default();
            let is_pool = |m: &Value| m["id"].as_str().is_some_and(|id| id.eq_ignore_ascii_case(pool));
            if members.iter().any(is_pool) == join {
                continue;
            }
            if join {
                members.push(json!({"id": pool}));
            } else {
                members.retain(|m| !is_pool(m));
            }
            configuration["loadBalancerBackendAddressPools"] = Value::Array(members);
            let name = text(&set, "/name");
            let body = json!({"properties": {"virtualMachineProfile": {"networkProfile": profile}}});
            self.arm.patch(&self.arm.id(SCALE_SETS, name), COMPUTE, &body).await?;
        }
        Ok(())
    }

    async fn drop_balancer(&self, id: &str) -> Result<(), CloudError> {
        self.join_pool(&format!("{id}/backendAddressPools/{POOL}"), false).await?;
        Ok(self.arm.delete(id, NETWORK).await?)
    }

    /// The agents' security group lets the wanted traffic to the address, and nothing else that was let before.
    async fn security(&self, address: &str, wanted: &[security::Allow]) -> Result<(), CloudError> {
        let groups = self.arm.list(&format!("{}/providers/{GROUPS}", self.arm.group()), NETWORK).await?;
        let own = groups.into_iter().find(|g| {
            let name = text(g, "/name");
            name.starts_with("aks-agentpool-") && name.ends_with("-nsg")
        });
        let Some(mut group) = own else { return Ok(()) };
        if security::apply(&mut group, address, wanted) {
            let id = self.arm.id(GROUPS, text(&group, "/name"));
            self.write(&id, &group).await?;
        }
        Ok(())
    }
}

fn ensure_pool(balancer: &mut Value) -> bool {
    let pools = &mut balancer["properties"]["backendAddressPools"];
    let mut all = pools.as_array().cloned().unwrap_or_default();
    if all.iter().any(|p| p["name"] == POOL) {
        return false;
    }
    all.push(json!({"name": POOL}));
    *pools = Value::Array(all);
    true
}

fn set_parts(
    balancer: &mut Value,
    prefix: &str,
    frontends: Vec<Value>,
    rules: Vec<Value>,
    probes: Vec<Value>,
) -> bool {
    let properties = &mut balancer["properties"];
    let mut changed = wish::replace_own(&mut properties["frontendIPConfigurations"], prefix, frontends);
    changed |= wish::replace_own(&mut properties["loadBalancingRules"], prefix, rules);
    changed |= wish::replace_own(&mut properties["probes"], prefix, probes);
    changed
}
