//! The VM sizes a pool may have. Facts come from the compute provider's list; the composing program hands them in.

use crate::fault::Fault;

/// A VM size: name, cores, memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// For example `Standard_DS2_v2`.
    pub name: String,
    /// Virtual cores.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// What AKS chose for a pool that names no size.
pub const DEFAULT: &str = "Standard_DS2_v2";

/// The sizes on offer.
#[derive(Debug, Clone, Default)]
pub struct Sizes(pub Vec<Size>);

impl Sizes {
    /// A size by name, without regard to case.
    pub fn find(&self, name: &str) -> Option<&Size> {
        self.0.iter().find(|size| size.name.eq_ignore_ascii_case(name))
    }

    /// [`find`](Self::find), or the refusal AKS gives.
    pub fn require(&self, name: &str, location: &str) -> Result<&Size, Fault> {
        self.find(name).ok_or_else(|| {
            let names: Vec<String> = self.0.iter().map(|size| size.name.to_ascii_lowercase()).collect();
            Fault::bad_request(
                "BadRequest",
                format!(
                    "The VM size of {name} is not allowed in your subscription in location '{location}'. The \
                     available VM sizes are '{}'. For more details, please visit \
                     https://aka.ms/aks/quotas-skus-regions",
                    names.join(",")
                ),
            )
            .target("agentPoolProfile.vmSize")
        })
    }
}

/// Managed OS disk in GiB by cores, where the caller names none.
pub fn os_disk_gib(cpus: u32) -> u32 {
    match cpus {
        0..=7 => 128,
        8..=15 => 256,
        16..=63 => 512,
        _ => 1024,
    }
}
