//! The pod's interface pair, address and routes.

use std::net::Ipv4Addr;

use linux::Netns;
use linux::ip::{Repeat, batch, batch_here};
use sha2::{Digest, Sha256};

use crate::addresses::Owner;
use crate::config::GATEWAY;
use crate::error::CniError;

/// The hardware address of the node's end of every pair.
pub(crate) const NODE_MAC: &str = "aa:aa:aa:aa:aa:aa";

/// The name of the node's end.
pub(crate) fn host_name(owner: &Owner) -> String {
    let digest = Sha256::digest(format!("{}/{}", owner.container, owner.interface));
    let hex: String = digest[..5].iter().map(|b| format!("{b:02x}")).collect();
    format!("azv{hex}")
}

fn failed<E>(deed: &'static str) -> impl FnOnce(E) -> CniError
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |source| CniError::Link { deed, source: Box::new(source) }
}

pub(crate) fn make(
    pod: &Netns,
    host: &str,
    interface: &str,
    address: Ipv4Addr,
    mtu: u32,
) -> Result<(), CniError> {
    // What an ADD that was cut off has left.
    remove(host);
    let node = [
        format!(
            "link add {host} address {NODE_MAC} mtu {mtu} type veth peer name {interface} mtu {mtu} netns {}",
            pod.path().display()
        ),
        format!("link set {host} up"),
        format!("route replace {address}/32 dev {host}"),
    ];
    batch_here(&node, Repeat::Strict).map_err(failed("make the pod's interface"))?;
    let inside = [
        "link set lo up".to_owned(),
        format!("addr add {address}/32 dev {interface}"),
        format!("link set {interface} up"),
        format!("neigh replace {GATEWAY} lladdr {NODE_MAC} dev {interface} nud permanent"),
        format!("route add {GATEWAY}/32 dev {interface} scope link"),
        format!("route add default via {GATEWAY} dev {interface} src {address}"),
    ];
    batch(pod, &inside, Repeat::Strict).map_err(failed("set up the pod's interface"))
}

/// Removes the pair; the pod's end and the route go with it.
pub(crate) fn remove(host: &str) {
    // Absent is the usual case after the pod's namespace is gone.
    let _ = batch_here(&[format!("link del {host}")], Repeat::Tolerant);
}

pub(crate) fn check(pod: &Netns, interface: &str, address: Ipv4Addr) -> Result<(), CniError> {
    let shown = pod
        .run(|| linux::Command::new(["ip", "-4", "-o", "addr", "show", "dev", interface]).run())
        .map_err(failed("enter the pod's namespace"))?
        .map_err(failed("read the pod's addresses"))?;
    match shown.contains(&format!(" {address}/32 ")) {
        true => Ok(()),
        false => Err(CniError::Lost { interface: interface.to_owned(), address }),
    }
}
