//! The pod's `/etc/hosts`, written by the kubelet and mounted into every container.

use super::spec::Spec;

const HEADER: &str = "# Kubernetes-managed hosts file.\n";
const HEADER_HOST_NETWORK: &str = "# Kubernetes-managed hosts file (host network).\n";

/// The file's content; `node_hosts` is the node's own file, for pods on its network.
pub fn content(spec: &Spec, addresses: &[String], node_hosts: &str, cluster_domain: &str) -> String {
    let mut out = String::new();
    if spec.host_network() {
        out.push_str(HEADER_HOST_NETWORK);
        out.push_str(node_hosts);
    } else {
        out.push_str(HEADER);
        out.push_str("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
        out.push_str(
            "fe00::\tip6-localnet\nfe00::\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n",
        );
        let (name, domain) = super::sandbox::hostname(spec, cluster_domain);
        for address in addresses {
            match domain.is_empty() {
                true => out.push_str(&format!("{address}\t{name}\n")),
                false => {
                    let short = name.strip_suffix(&format!(".{domain}")).unwrap_or(&name);
                    out.push_str(&format!("{address}\t{short}.{domain}\t{short}\n"));
                }
            }
        }
    }
    let aliases = spec.spec().and_then(|pod| pod.host_aliases.clone()).unwrap_or_default();
    if !aliases.is_empty() {
        out.push_str("\n# Entries added by HostAliases.\n");
    }
    for alias in aliases {
        let names = alias.hostnames.unwrap_or_default().join("\t");
        out.push_str(&format!("{}\t{names}\n", alias.ip));
    }
    out
}
