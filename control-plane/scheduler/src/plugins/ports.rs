//! Two pods cannot have one port of a node.

use super::{Plugin, Refusal};
use crate::node::NodeInfo;
use crate::pod::{HostPort, PodInfo};

fn clash(a: &HostPort, b: &HostPort) -> bool {
    a.1 == b.1 && a.2 == b.2 && (a.0 == b.0 || a.0 == "0.0.0.0" || b.0 == "0.0.0.0")
}

pub(crate) fn filter(pod: &PodInfo, node: &NodeInfo) -> Result<(), Refusal> {
    if pod.ports.is_empty() || node.host_ports == 0 {
        return Ok(());
    }
    let taken = node.pods.values().flat_map(|p| &p.ports);
    for port in taken {
        if pod.ports.iter().any(|own| clash(own, port)) {
            let text = "node(s) didn't have free ports for the requested pod ports";
            return Err(Refusal::soft(Plugin::NodePorts, text));
        }
    }
    Ok(())
}
