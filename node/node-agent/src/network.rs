//! The node's part of the network of pods: forwarding, masquerading, the plugin's configuration.

use std::path::Path;

use ipnet::Ipv4Net;
use kit::files::{Readers, write_atomic};
use linux::Netns;

use crate::document::{Bootstrap, Facts};
use crate::error::{BootError, Cause};

const TABLE: &str = "azure-ip-masq";
const CONFLIST: &str = "etc/cni/net.d/10-azure.conflist";
const MTU: u32 = 1500;

/// Sets the machine up. `root` is `/`, but for tests.
pub(crate) fn set_up(root: &Path, facts: &Facts, bootstrap: &Bootstrap) -> Result<(), BootError> {
    try_set_up(root, facts, bootstrap).map_err(BootError::Network)
}

fn try_set_up(root: &Path, facts: &Facts, bootstrap: &Bootstrap) -> Result<(), Cause> {
    let own = Netns::at("/proc/self/ns/net");
    let setting = |key: &str, value: &str| (format!("ipv4/{key}"), value.to_owned());
    own.sysctl(&[
        setting("ip_forward", "1"),
        setting("conf/all/rp_filter", "0"),
        setting("conf/default/rp_filter", "0"),
        setting("conf/all/send_redirects", "0"),
        setting("conf/default/send_redirects", "0"),
    ])?;
    linux::nft::apply_here(&masquerade(facts, bootstrap))?;
    let Some(pods) = facts.routed_prefixes.first() else {
        return Err("no prefix for pods is routed to this machine".into());
    };
    let conflist = serde_json::to_vec_pretty(&cni::conflist(*pods, MTU))?;
    write_atomic(&root.join(CONFLIST), &conflist, Readers::Everyone)?;
    Ok(())
}

/// Pods speak to pods and services with their own address, to everything else with the node's. As on AKS, pods do
/// not reach the wire server's settings.
fn masquerade(facts: &Facts, bootstrap: &Bootstrap) -> String {
    let list = |prefixes: &[Ipv4Net]| {
        let texts: Vec<String> =
            Ipv4Net::aggregate(&prefixes.to_vec()).iter().map(ToString::to_string).collect();
        format!("{{ {} }}", texts.join(", "))
    };
    let inside = list(&[bootstrap.pod_cidr.trunc(), bootstrap.service_cidr.trunc(), facts.subnet()]);
    let pods = match facts.routed_prefixes.as_slice() {
        [] => list(&[bootstrap.pod_cidr.trunc()]),
        own => list(own),
    };
    let body = format!(
        "\tchain postrouting {{
\t\ttype nat hook postrouting priority 101; policy accept;
\t\toifname \"eth0\" ip saddr {pods} ip daddr != {inside} masquerade
\t}}
\tchain forward {{
\t\ttype filter hook forward priority 0; policy accept;
\t\tip saddr {pods} ip daddr 168.63.129.16 tcp dport {{ 80, 32526 }} drop
\t}}
"
    );
    linux::nft::replace_table("ip", TABLE, &body)
}
