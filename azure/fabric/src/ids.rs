//! Ids of networks and machines: eight hex digits of the ARM id, short enough for interface names.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

fn eight_hex(resource_id: &str) -> String {
    let digest = Sha256::digest(resource_id.to_ascii_lowercase().as_bytes());
    hex::encode(&digest[..4])
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The id that belongs to an ARM resource id (case does not matter).
            pub fn of(resource_id: &str) -> Self {
                Self(eight_hex(resource_id))
            }

            /// Reads an id back; `None` unless it is eight lower-case hex digits.
            pub fn parse(text: &str) -> Option<Self> {
                let good = text.len() == 8
                    && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
                good.then(|| Self(text.to_owned()))
            }

            /// The eight digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name of its network namespace.
            pub fn namespace(&self) -> String {
                format!(concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// A virtual network.
    NetworkId,
    "lz-n-"
);
id!(
    /// A machine (a scale-set instance or a virtual machine).
    MachineId,
    "lz-m-"
);

impl MachineId {
    /// The hardware address of its interface, `00:0d:` and the id: no two machines have the same.
    pub fn mac(&self) -> String {
        let id = &self.0;
        format!("00:0d:{}:{}:{}:{}", &id[0..2], &id[2..4], &id[4..6], &id[6..8])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_ignores_case_and_reads_back() {
        let id = NetworkId::of("/subscriptions/A/x");
        assert_eq!(id, NetworkId::of("/Subscriptions/a/X"));
        assert_eq!(NetworkId::parse(id.as_str()), Some(id));
        assert_eq!(MachineId::parse("../../et"), None);
    }
}
