//! What can be reached through a private endpoint, under which names.

use arm::ResourceId;

/// A kind of target: its type, the group ids that clients ask for, suffixes of the public and the private name.
struct Target {
    full_type: &'static str,
    groups: &'static [&'static str],
    public: &'static str,
    private: &'static str,
}

/// From Azure's table of private-link resources and their zones.
const TARGETS: [Target; 7] = [
    Target {
        full_type: "Microsoft.ContainerRegistry/registries",
        groups: &["registry"],
        public: "azurecr.io",
        private: "privatelink.azurecr.io",
    },
    Target {
        full_type: "Microsoft.KeyVault/vaults",
        groups: &["vault"],
        public: "vault.azure.net",
        private: "privatelink.vaultcore.azure.net",
    },
    Target {
        full_type: "Microsoft.Storage/storageAccounts",
        groups: &["blob", "blob_secondary"],
        public: "blob.core.windows.net",
        private: "privatelink.blob.core.windows.net",
    },
    Target {
        full_type: "Microsoft.Storage/storageAccounts",
        groups: &["file"],
        public: "file.core.windows.net",
        private: "privatelink.file.core.windows.net",
    },
    Target {
        full_type: "Microsoft.Storage/storageAccounts",
        groups: &["queue"],
        public: "queue.core.windows.net",
        private: "privatelink.queue.core.windows.net",
    },
    Target {
        full_type: "Microsoft.Storage/storageAccounts",
        groups: &["table"],
        public: "table.core.windows.net",
        private: "privatelink.table.core.windows.net",
    },
    Target {
        full_type: "Microsoft.ContainerService/managedClusters",
        groups: &["management"],
        public: "",
        private: "",
    },
];

/// The names of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// `v.vault.azure.net`.
    pub public: String,
    /// `v.privatelink.vaultcore.azure.net`.
    pub private: String,
}

/// Whether a type has this group id; `Err`: those it has.
pub fn check(id: &ResourceId, group: Option<&str>) -> Result<(), Vec<&'static str>> {
    let of_type: Vec<&Target> = TARGETS.iter().filter(|t| id.is_type(t.full_type)).collect();
    let known: Vec<&str> = of_type.iter().flat_map(|t| t.groups.iter().copied()).collect();
    match group {
        // A private-link service has none.
        None if known.is_empty() => Ok(()),
        Some(group) if known.iter().any(|k| k.eq_ignore_ascii_case(group)) => Ok(()),
        _ => Err(known),
    }
}

/// The names of a target and group; `None`: the names are not derived from the resource's.
pub fn names(id: &ResourceId, group: &str) -> Option<Names> {
    let target = TARGETS
        .iter()
        .find(|t| id.is_type(t.full_type) && t.groups.iter().any(|g| g.eq_ignore_ascii_case(group)))
        .filter(|target| !target.public.is_empty())?;
    let name = id.name().to_ascii_lowercase();
    Some(Names { public: format!("{name}.{}", target.public), private: format!("{name}.{}", target.private) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_type_and_group() {
        let id = |kind: &str| ResourceId::of_resource("s", "g", kind, "One");
        let vault = names(&id("Microsoft.KeyVault/vaults"), "vault").unwrap();
        assert_eq!(vault.public, "one.vault.azure.net");
        assert_eq!(vault.private, "one.privatelink.vaultcore.azure.net");
        assert_eq!(names(&id("Microsoft.ContainerService/managedClusters"), "management"), None);
        assert_eq!(check(&id("Microsoft.KeyVault/vaults"), Some("Vault")), Ok(()));
        assert_eq!(check(&id("Microsoft.KeyVault/vaults"), Some("blob")), Err(vec!["vault"]));
        assert_eq!(check(&id("Microsoft.Network/privateLinkServices"), None), Ok(()));
    }
}
