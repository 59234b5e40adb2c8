//! The network's configuration.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::PLUGIN;
use crate::error::CniError;

/// Versions of the specification that are spoken.
pub(crate) const VERSIONS: [&str; 3] = ["0.3.1", "0.4.0", "1.0.0"];
const DEFAULT_MTU: u32 = 1500;
/// The pods' gateway: an address no one has; a neighbour entry says who is meant.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);

/// The configuration as a runtime hands it over.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkConfig {
    /// Version of the specification.
    pub cni_version: String,
    /// The network's name.
    pub name: String,
    /// The prefix pods get their addresses from.
    pub subnet: Ipv4Net,
    /// Largest packet.
    #[serde(default = "default_mtu")]
    pub mtu: u32,
    /// What the runtime wants for this pod.
    #[serde(default)]
    pub runtime_config: RuntimeConfig,
}

/// Wishes of one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeConfig {
    /// Host ports.
    #[serde(default)]
    pub port_mappings: Option<Vec<PortMapping>>,
}

/// A port of the host that leads to the pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// Port of the host; 0 means none.
    pub host_port: u16,
    /// Port of the pod.
    pub container_port: u16,
    /// `tcp` or `udp`.
    #[serde(default = "default_protocol")]
    pub protocol: String,
    /// Address of the host; empty means all.
    #[serde(default, rename = "hostIP")]
    pub host_ip: String,
}

fn default_mtu() -> u32 {
    DEFAULT_MTU
}

fn default_protocol() -> String {
    "tcp".into()
}

impl NetworkConfig {
    pub(crate) fn parse(text: &str) -> Result<Self, CniError> {
        let config: Self = serde_json::from_str(text).map_err(CniError::Decode)?;
        if !VERSIONS.contains(&config.cni_version.as_str()) {
            return Err(CniError::Version(config.cni_version));
        }
        check_name("name", &config.name, 64)?;
        if config.subnet.prefix_len() > 30 {
            return Err(CniError::Config(format!("{} is too small", config.subnet)));
        }
        for mapping in config.ports() {
            let bad_address = !mapping.host_ip.is_empty() && mapping.host_ip.parse::<Ipv4Addr>().is_err();
            if bad_address || !["tcp", "udp"].contains(&mapping.protocol.to_ascii_lowercase().as_str()) {
                return Err(CniError::Config(format!("host port {} cannot be mapped", mapping.host_port)));
            }
        }
        Ok(config)
    }

    pub(crate) fn ports(&self) -> &[PortMapping] {
        self.runtime_config.port_mappings.as_deref().unwrap_or_default()
    }

    /// An address in the form of the result's version.
    pub(crate) fn ip(&self, address: Ipv4Addr) -> Value {
        let mut ip = json!({"address": format!("{address}/32"), "gateway": GATEWAY, "interface": 1});
        if self.cni_version != "1.0.0" {
            ip["version"] = "4".into();
        }
        ip
    }
}

/// Names become file and interface names: they hold nothing that could lead elsewhere.
pub(crate) fn check_name(variable: &'static str, name: &str, length_max: usize) -> Result<(), CniError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let starts_well = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    match starts_well && name.len() <= length_max && name.bytes().all(good) {
        true => Ok(()),
        false => Err(CniError::Environment { variable, problem: format!("`{name}` is not valid") }),
    }
}

/// What a node writes to `/etc/cni/net.d/10-azure.conflist`.
pub fn conflist(subnet: Ipv4Net, mtu: u32) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "azure",
        "plugins": [{
            "type": PLUGIN, "subnet": subnet, "mtu": mtu, "capabilities": {"portMappings": true},
        }],
    })
}
