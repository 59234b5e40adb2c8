//! The CNI plugin: a pod's interface, address and routes.
//!
//! As Azure CNI in overlay mode: the pod's address comes from the prefix that the network routes to this node; the
//! pod has it alone (/32) and sends everything to 169.254.1.1, which is the node's end of its interface pair; the
//! node routes the address to the pair. Host ports are translated by nftables.
//!
//! Guarantees: an address is free again only after its release is on disk, and the address freed last is the last
//! to be used again; DEL succeeds however often it is called and whatever is left of the pod; a failed ADD leaves
//! nothing. Does not: mask outgoing traffic (the node agent does, once for all pods), IPv6, bandwidth.

mod addresses;
mod config;
mod error;
mod link;
mod loopback;
mod ports;

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

pub use config::{NetworkConfig, PortMapping, conflist};
pub use error::CniError;
pub use loopback::{LOOPBACK, loopback};

/// The plugin's name: the binary under this name is the plugin.
pub const PLUGIN: &str = "lazurite-cni";

/// Where addresses are kept, normally.
pub const STATE_DIRECTORY: &str = "/var/lib/cni/lazurite";

/// What is asked: the environment and standard input of one call.
#[derive(Debug, Clone)]
pub struct Request {
    /// `CNI_COMMAND`.
    pub command: String,
    /// `CNI_CONTAINERID`.
    pub container: String,
    /// `CNI_NETNS`.
    pub netns: Option<PathBuf>,
    /// `CNI_IFNAME`.
    pub interface: String,
    /// Standard input.
    pub config: String,
    /// Where addresses are kept.
    pub state: PathBuf,
}

/// The plugin's whole program.
pub fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let mut config = String::new();
    let read = std::io::stdin().read_to_string(&mut config);
    let request = Request {
        command: variable("CNI_COMMAND"),
        container: variable("CNI_CONTAINERID"),
        netns: Some(variable("CNI_NETNS")).filter(|n| !n.is_empty()).map(PathBuf::from),
        interface: variable("CNI_IFNAME"),
        config,
        state: STATE_DIRECTORY.into(),
    };
    let done = read.map_err(|source| CniError::Input { source }).and_then(|_| execute(&request));
    match done {
        Ok(Value::Null) => ExitCode::SUCCESS,
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{}", error.render(&request.config));
            ExitCode::FAILURE
        }
    }
}

/// Does what is asked, in this thread's network namespace; the result is what goes to standard output (`null`:
/// nothing).
pub fn execute(request: &Request) -> Result<Value, CniError> {
    match request.command.as_str() {
        "VERSION" => Ok(json!({"cniVersion": "1.0.0", "supportedVersions": config::VERSIONS})),
        "ADD" => add(request),
        "DEL" => delete(request).map(|()| Value::Null),
        "CHECK" => check(request).map(|()| Value::Null),
        other => Err(CniError::Environment { variable: "CNI_COMMAND", problem: format!("is `{other}`") }),
    }
}

fn names(request: &Request) -> Result<(), CniError> {
    config::check_name("CNI_CONTAINERID", &request.container, 256)?;
    config::check_name("CNI_IFNAME", &request.interface, 15)
}

fn netns(request: &Request) -> Result<linux::Netns, CniError> {
    let path = request
        .netns
        .clone()
        .ok_or_else(|| CniError::Environment { variable: "CNI_NETNS", problem: "is missing".into() })?;
    Ok(linux::Netns::at(path))
}

fn add(request: &Request) -> Result<Value, CniError> {
    let config = NetworkConfig::parse(&request.config)?;
    names(request)?;
    let pod = netns(request)?;
    let mut pool = addresses::Pool::open(&request.state, &config)?;
    let owner = addresses::Owner {
        container: request.container.clone(),
        interface: request.interface.clone(),
        ports: config.ports().to_vec(),
    };
    let address = pool.take(&owner)?;
    let host = link::host_name(&owner);
    let made = link::make(&pod, &host, &request.interface, address, config.mtu)
        .and_then(|()| if owner.ports.is_empty() { Ok(()) } else { ports::write(&pool.owners()?) });
    if let Err(error) = made {
        link::remove(&host);
        pool.free(&owner)?;
        return Err(error);
    }
    Ok(json!({
        "cniVersion": config.cni_version,
        "interfaces": [
            {"name": host, "mac": link::NODE_MAC},
            {"name": request.interface, "sandbox": pod.path()},
        ],
        "ips": [config.ip(address)],
        "routes": [{"dst": "0.0.0.0/0", "gw": config::GATEWAY}],
        "dns": {},
    }))
}

fn delete(request: &Request) -> Result<(), CniError> {
    let config = NetworkConfig::parse(&request.config)?;
    names(request)?;
    let mut pool = addresses::Pool::open(&request.state, &config)?;
    let owner = addresses::Owner {
        container: request.container.clone(),
        interface: request.interface.clone(),
        ports: Vec::new(),
    };
    link::remove(&link::host_name(&owner));
    if pool.free(&owner)? {
        ports::write(&pool.owners()?)?;
    }
    Ok(())
}

fn check(request: &Request) -> Result<(), CniError> {
    let config = NetworkConfig::parse(&request.config)?;
    names(request)?;
    let pool = addresses::Pool::open(&request.state, &config)?;
    let address = pool
        .find(&request.container, &request.interface)?
        .ok_or_else(|| CniError::Unknown { container: request.container.clone() })?;
    link::check(&netns(request)?, &request.interface, address)
}
