//! Which Kubernetes versions are served.
//!
//! A version may be asked for as `1.35` or `1.35.6`; the first is an alias of the newest patch.

use serde_json::{Value, json};

use crate::fault::Fault;

/// Served patch versions, newest last: one of each minor version that there is an object model of (the host of the control
/// planes checks that).
pub const SERVED: &[&str] = &["1.34.9", "1.35.6", "1.36.3"];
/// What a cluster gets that names none.
pub const DEFAULT: &str = "1.35.6";

/// `1.35` of `1.35.6`.
pub fn minor(version: &str) -> &str {
    version.match_indices('.').nth(1).map_or(version, |(at, _)| &version[..at])
}

/// The patch version that a wish means; an empty wish is the default.
pub fn resolve(wish: &str) -> Option<&'static str> {
    if wish.is_empty() {
        return Some(DEFAULT);
    }
    SERVED.iter().rev().copied().find(|served| *served == wish || minor(served) == wish)
}

/// [`resolve`], or the refusal AKS gives.
pub fn require(wish: &str, code: &str, target: &str) -> Result<&'static str, Fault> {
    resolve(wish).ok_or_else(|| {
        Fault::bad_request(
            code,
            format!(
                "Version {wish} is not supported in this region. Please use [az aks get-versions] command to get \
                 the supported version list in this region. For more information, please check \
                 https://aka.ms/supported-version-list"
            ),
        )
        .target(target)
    })
}

/// Answer of `locations/{l}/kubernetesVersions`.
pub fn location_listing() -> Value {
    let mut minors: Vec<&str> = SERVED.iter().map(|served| minor(served)).collect();
    minors.dedup();
    let values: Vec<Value> = minors
        .into_iter()
        .rev()
        .map(|this| {
            let patches: serde_json::Map<String, Value> = SERVED
                .iter()
                .filter(|served| minor(served) == this)
                .map(|served| ((*served).to_owned(), json!({ "upgrades": upgrades(served) })))
                .collect();
            json!({
                "version": this,
                "isDefault": (this == minor(DEFAULT)).then_some(true),
                "isPreview": null,
                "capabilities": { "supportPlan": ["KubernetesOfficial"] },
                "patchVersions": patches,
            })
        })
        .collect();
    json!({ "values": values })
}

/// Served versions that a cluster of this version may go to: newer, at most one minor up.
pub fn upgrades(from: &str) -> Vec<&'static str> {
    let Some(position) = SERVED.iter().position(|served| *served == from) else { return Vec::new() };
    let minor_of = |version: &str| minor(version).split_once('.').and_then(|(_, m)| m.parse::<u32>().ok());
    SERVED[position + 1..]
        .iter()
        .copied()
        .filter(|newer| match (minor_of(newer), minor_of(from)) {
            (Some(new), Some(old)) => new <= old + 1,
            _ => false,
        })
        .collect()
}

/// Answer of `upgradeProfiles/default` of a cluster.
pub fn upgrade_profile(id: &str, version: &str, pools: &[(String, String)]) -> Value {
    let profile = |name: Option<&str>, version: &str| {
        json!({
            "name": name,
            "kubernetesVersion": version,
            "osType": "Linux",
            "upgrades": upgrades(version).iter().map(|to| json!({ "kubernetesVersion": to })).collect::<Vec<_>>(),
        })
    };
    json!({
        "id": format!("{id}/upgradeprofiles/default"),
        "name": "default",
        "type": "Microsoft.ContainerService/managedClusters/upgradeprofiles",
        "properties": {
            "controlPlaneProfile": profile(None, version),
            "agentPoolProfiles": pools.iter().map(|(name, version)| profile(Some(name), version)).collect::<Vec<_>>(),
        },
    })
}

/// Answer of `availableAgentPoolVersions`.
pub fn pool_listing(id: &str) -> Value {
    let versions: Vec<Value> = SERVED
        .iter()
        .map(
            |served| json!({ "default": *served == DEFAULT, "isPreview": null, "kubernetesVersion": served }),
        )
        .collect();
    json!({
        "id": format!("{id}/availableagentpoolversions"),
        "name": "default",
        "type": "Microsoft.ContainerService/managedClusters/availableAgentpoolVersions",
        "properties": { "agentPoolVersions": versions },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upgrades_go_up_by_one_minor_version() {
        assert_eq!(upgrades("1.34.9"), ["1.35.6"]);
        assert_eq!(upgrades("1.35.6"), ["1.36.3"]);
        assert!(upgrades("1.36.3").is_empty());
        let listing = location_listing();
        let of = |at: usize, key: &str| listing["values"][at][key].clone();
        assert_eq!([of(0, "version"), of(1, "version"), of(2, "version")], ["1.36", "1.35", "1.34"]);
        assert_eq!([of(0, "isDefault"), of(1, "isDefault")], [Value::Null, json!(true)]);
    }

    #[test]
    fn a_minor_is_an_alias() {
        assert_eq!(resolve(""), Some("1.35.6"));
        assert_eq!(resolve("1.35"), Some("1.35.6"));
        assert_eq!(resolve("1.35.6"), Some("1.35.6"));
        assert_eq!(resolve("1.34"), Some("1.34.9"));
        assert_eq!(resolve("1.36"), Some("1.36.3"));
        assert_eq!(resolve("1.20.5"), None);
        assert_eq!(resolve("1.3"), None);
        let fault = require("1.20", "K8sVersionNotSupported", "kubernetesVersion").unwrap_err();
        assert!(fault.message.starts_with("Version 1.20 is not supported in this region."));
    }
}
