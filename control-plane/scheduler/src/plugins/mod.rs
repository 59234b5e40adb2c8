//! The rules: each says whether a pod may run on a node, or how much it would like to.

pub(crate) mod fit;
pub(crate) mod inter_pod;
pub(crate) mod node_affinity;
pub(crate) mod ports;
pub(crate) mod spread;
pub(crate) mod taints;

/// Why a node was turned down.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Refusal {
    /// Whose rule it was.
    pub plugin: Plugin,
    /// The reason, in upstream's words.
    pub text: String,
    /// Whether removing pods cannot help.
    pub final_: bool,
}

/// The rules by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Plugin {
    NodeUnschedulable,
    TaintToleration,
    NodeAffinity,
    NodePorts,
    Fit,
    Volumes,
    Spread,
    InterPod,
}

impl Refusal {
    /// A refusal that removing pods may lift.
    pub fn soft(plugin: Plugin, text: impl Into<String>) -> Self {
        Self { plugin, text: text.into(), final_: false }
    }

    /// A refusal that removing pods cannot lift.
    pub fn hard(plugin: Plugin, text: impl Into<String>) -> Self {
        Self { plugin, text: text.into(), final_: true }
    }
}
