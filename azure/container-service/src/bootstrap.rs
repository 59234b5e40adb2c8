//! The document a node finds at its first boot (`customData`); its form is in `docs/contracts.md`, section 2.

use serde_json::{Value, json};

use crate::control_planes::ControlPlaneStatus;
use crate::json::{number, text};
use crate::settings::Settings;
use crate::sizes::Size;
use crate::{pool, state};

/// What the document is made from.
pub struct Bootstrap<'a> {
    /// The cluster.
    pub cluster: &'a arm::Resource,
    /// The tenant.
    pub tenant_id: &'a str,
    /// Name of the pool.
    pub pool_name: &'a str,
    /// Properties of the pool.
    pub pool: &'a Value,
    /// Its VM size.
    pub size: &'a Size,
    /// The control plane.
    pub plane: &'a ControlPlaneStatus,
}

/// The document. Holds a secret: the bootstrap token.
pub fn document(from: &Bootstrap<'_>, settings: &Settings) -> Value {
    let properties = &from.cluster.properties;
    let node_group = text(properties, "/nodeResourceGroup").unwrap_or_default();
    let mirror = settings
        .registry_mirror
        .as_ref()
        .map(|mirror| json!({ "server": mirror.server, "caPem": mirror.ca_pem }));
    json!({
        "clusterName": from.cluster.name,
        "resourceGroup": from.cluster.id.group(),
        "subscriptionId": from.cluster.id.subscription(),
        "tenantId": from.tenant_id,
        "location": from.cluster.location,
        "kubernetesVersion": state::pool_version(from.pool),
        "fqdn": from.plane.fqdn,
        "apiServerAddress": from.plane.address,
        "apiServerPort": from.plane.port,
        "caPem": from.plane.ca_pem,
        "bootstrapToken": from.plane.bootstrap_token,
        "serviceCidr": text(properties, "/networkProfile/serviceCidr"),
        "podCidr": text(properties, "/networkProfile/podCidr"),
        "dnsServiceIp": text(properties, "/networkProfile/dnsServiceIP"),
        "clusterDomain": "cluster.local",
        "networkPlugin": text(properties, "/networkProfile/networkPlugin"),
        "networkPluginMode": text(properties, "/networkProfile/networkPluginMode"),
        "maxPods": number(from.pool, "/maxPods"),
        "labels": pool::labels(from.pool_name, from.pool, node_group, from.size),
        "taints": pool::taints(from.pool),
        "registryMirror": mirror,
        "kubeletClientId": text(properties, "/identityProfile/kubeletidentity/clientId"),
        "systemImage": settings.system_image,
        "mode": if settings.simulated { "simulated" } else { "real" },
    })
}
