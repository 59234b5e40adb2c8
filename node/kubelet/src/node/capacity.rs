//! What the machine has, and what of it pods may use: AKS's reservations.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::config::Config;

/// Memory kept free: below it AKS's kubelet evicts.
const EVICTION_MEMORY_BYTES: u64 = 100 << 20;
/// Processors kept for the node by number of cores, in thousandths (AKS's table).
const CPU_RESERVED: [(u32, u64); 7] =
    [(1, 60), (2, 100), (4, 140), (8, 180), (16, 260), (32, 420), (64, 740)];

/// What pods may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocatable {
    /// Thousandths of processors.
    pub cpu_milli: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of disk.
    pub disk_bytes: u64,
}

/// Processors kept for the node; between the table's rows in proportion.
fn reserved_cpu_milli(cores: u32) -> u64 {
    let above = CPU_RESERVED.iter().position(|(count, _)| *count >= cores);
    match above {
        Some(0) => CPU_RESERVED[0].1,
        None => CPU_RESERVED[CPU_RESERVED.len() - 1].1,
        Some(index) => {
            let ((low, from), (high, to)) = (CPU_RESERVED[index - 1], CPU_RESERVED[index]);
            from + (to - from) * u64::from(cores - low) / u64::from(high - low)
        }
    }
}

/// Memory kept for the node from Kubernetes 1.29: 20 MB per pod and 50 MB, at most a quarter.
fn reserved_memory_bytes(memory_bytes: u64, max_pods: u32) -> u64 {
    ((20 * u64::from(max_pods) + 50) << 20).min(memory_bytes / 4)
}

/// What pods may use.
pub fn allocatable(config: &Config) -> Allocatable {
    let cpu = u64::from(config.cpus) * 1000;
    let memory = config.memory_bytes;
    let kept = reserved_memory_bytes(memory, config.max_pods) + EVICTION_MEMORY_BYTES;
    Allocatable {
        cpu_milli: cpu.saturating_sub(reserved_cpu_milli(config.cpus)),
        memory_bytes: memory.saturating_sub(kept),
        disk_bytes: config.ephemeral_storage_bytes / 10 * 9,
    }
}

/// `status.capacity` and `status.allocatable`.
pub fn lists(config: &Config) -> (BTreeMap<String, Quantity>, BTreeMap<String, Quantity>) {
    let may = allocatable(config);
    let list = |cpu: String, memory: u64, disk: String| {
        BTreeMap::from(
            [
                ("cpu", cpu),
                ("memory", format!("{}Ki", memory / 1024)),
                ("ephemeral-storage", disk),
                ("pods", config.max_pods.to_string()),
                ("hugepages-1Gi", "0".to_owned()),
                ("hugepages-2Mi", "0".to_owned()),
            ]
            .map(|(name, text)| (name.to_owned(), Quantity(text))),
        )
    };
    (
        list(
            config.cpus.to_string(),
            config.memory_bytes,
            format!("{}Ki", config.ephemeral_storage_bytes / 1024),
        ),
        list(format!("{}m", may.cpu_milli), may.memory_bytes, may.disk_bytes.to_string()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_are_those_of_aks() {
        for (cores, milli) in [(1, 60), (2, 100), (3, 120), (4, 140), (6, 160), (64, 740), (96, 740)] {
            assert_eq!(reserved_cpu_milli(cores), milli, "{cores} cores");
        }
        assert_eq!(reserved_memory_bytes(8 << 30, 30), 650 << 20);
        assert_eq!(reserved_memory_bytes(7 << 30, 250), (7 << 30) / 4);
    }
}
