//! The names AKS gives to what it makes, and the rules for names it is given.

use rand::Rng;

use crate::fault::Fault;

/// Longest name of a node resource group.
pub const NODE_GROUP_LENGTH_MAX: usize = 80;
/// Page that AKS points to when a name breaks its rules.
const NAMING_RULES: &str = "Please see https://aka.ms/aks-naming-rules for more details.";

/// `MC_<group>_<cluster>_<location>`.
pub fn node_resource_group(group: &str, cluster: &str, location: &str) -> String {
    format!("MC_{group}_{cluster}_{location}")
}

/// Refuses a cluster name that AKS refuses: 1 to 63 letters, digits, `_` and `-`, letter or digit at both ends.
pub fn check_cluster(name: &str) -> Result<(), Fault> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if name.len() <= 63 && inner && edge(name.chars().next()) && edge(name.chars().last()) {
        return Ok(());
    }
    Err(Fault::parameter(
        "name",
        format!(
            "the managed cluster name '{name}' must consist of 1 to 63 letters, numbers, underscores and hyphens \
             and start and end with a letter or a number. {NAMING_RULES}"
        ),
    ))
}

/// Refuses a DNS prefix that AKS refuses: 1 to 54 letters, digits and `-`, letter or digit at both ends.
pub fn check_dns_prefix(prefix: &str) -> Result<(), Fault> {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if prefix.len() <= 54 && inner && edge(prefix.chars().next()) && edge(prefix.chars().last()) {
        return Ok(());
    }
    Err(Fault::parameter(
        "dnsPrefix",
        format!(
            "the DNS prefix '{prefix}' must consist of 1 to 54 letters, numbers and hyphens and start and end with \
             a letter or a number. {NAMING_RULES}"
        ),
    ))
}

/// Refuses a pool name that AKS refuses: `^[a-z][a-z0-9]*$`, at most 12 on Linux and 6 on Windows.
pub fn check_pool(name: &str, windows: bool) -> Result<(), Fault> {
    let longest = if windows { 6 } else { 12 };
    let shape = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    if shape && name.len() <= longest {
        return Ok(());
    }
    Err(Fault::parameter(
        "agentPoolProfile.name",
        format!(
            "the agent pool name '{name}' must begin with a lowercase letter, contain only lowercase letters and \
             numbers and be at most {longest} characters long. {NAMING_RULES}"
        ),
    ))
}

/// Eight lower-case letters and digits, for the API server's name.
pub fn fqdn_suffix(random: &mut impl Rng) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    (0..8).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])).collect()
}

/// Eight digits, for a pool's scale set.
pub fn pool_suffix(random: &mut impl Rng) -> String {
    format!("{:08}", random.random_range(10_000_000..100_000_000_u32))
}

/// Eight digits that name a cluster's shared resources: always the same for one API server name.
///
/// AKS draws them from the 64-bit FNV-1a hash of that name, as here; its generator after the hash is Go's, so the
/// digits differ from Azure's own.
pub fn cluster_suffix(dns_name: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in dns_name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{:08}", 10_000_000 + hash % 90_000_000)
}

/// `<prefix>-<suffix>.hcp.<location>.azmk8s.io`.
pub fn fqdn(dns_prefix: &str, suffix: &str, location: &str) -> String {
    format!("{}-{suffix}.hcp.{location}.azmk8s.io", dns_prefix.to_ascii_lowercase())
}

/// The same name as the portal reaches it.
pub fn portal_fqdn(dns_prefix: &str, suffix: &str, location: &str) -> String {
    format!("{}-{suffix}.portal.hcp.{location}.azmk8s.io", dns_prefix.to_ascii_lowercase())
}

/// The scale set of a pool.
pub fn scale_set(pool: &str, suffix: &str) -> String {
    format!("aks-{pool}-{suffix}-vmss")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_names() {
        for good in ["a", "dev-cluster", "A_b-9", &"a".repeat(63)] {
            check_cluster(good).unwrap();
        }
        for bad in ["", "-a", "a-", "a.b", "ä", "_a", &"a".repeat(64)] {
            assert_eq!(check_cluster(bad).unwrap_err().code, "InvalidParameter", "{bad}");
        }
    }

    #[test]
    fn pool_names() {
        for good in ["a", "nodepool1", "abcdefghijkl"] {
            check_pool(good, false).unwrap();
        }
        for bad in ["", "1a", "Pool", "a-b", "abcdefghijklm"] {
            assert_eq!(check_pool(bad, false).unwrap_err().target.unwrap(), "agentPoolProfile.name", "{bad}");
        }
        check_pool("win123", true).unwrap();
        check_pool("win1234", true).unwrap_err();
    }

    #[test]
    fn a_name_has_one_suffix_of_eight_digits() {
        let suffix = cluster_suffix("dev-clust-rg-dev-000000-abcd1234");
        assert_eq!(suffix, cluster_suffix("dev-clust-rg-dev-000000-abcd1234"));
        assert_eq!(suffix.len(), 8);
        assert_eq!(scale_set("nodepool1", "22790412"), "aks-nodepool1-22790412-vmss");
    }
}
