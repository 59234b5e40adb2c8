//! The one list of loops.

use std::collections::BTreeSet;

use crate::context::Context;

/// A loop: its name, as upstream's `--controllers` knows it, and what starts it.
pub(crate) struct Descriptor {
    pub name: &'static str,
    pub start: fn(&Context),
}

const fn descriptor(name: &'static str, start: fn(&Context)) -> Descriptor {
    Descriptor { name, start }
}

/// All loops.
pub(crate) const CONTROLLERS: &[Descriptor] = &[
    descriptor("serviceaccount-controller", crate::account::start_default),
    descriptor("root-ca-certificate-publisher-controller", crate::account::start_root_ca),
    descriptor("namespace-controller", crate::namespace::start),
    descriptor("garbage-collector-controller", crate::gc::start),
    descriptor("endpoints-controller", crate::endpoints::legacy::start),
    descriptor("endpointslice-controller", crate::endpoints::slices::start),
    descriptor("endpointslice-mirroring-controller", crate::endpoints::mirror::start),
    descriptor("certificatesigningrequest-approving-controller", crate::certificates::start_approving),
    descriptor("certificatesigningrequest-signing-controller", crate::certificates::start_signing),
    descriptor("certificatesigningrequest-cleaner-controller", crate::certificates::start_cleaning),
    descriptor("node-lifecycle-controller", crate::node::lifecycle::start),
    descriptor("taint-eviction-controller", crate::node::eviction::start),
    descriptor("pod-garbage-collector-controller", crate::node::pod_gc::start),
    descriptor("deployment-controller", crate::workload::deployment::start),
    descriptor("replicaset-controller", crate::workload::replicaset::start),
    descriptor("daemonset-controller", crate::workload::daemonset::start),
    descriptor("statefulset-controller", crate::workload::statefulset::start),
    descriptor("job-controller", crate::workload::job::start),
    descriptor("cronjob-controller", crate::workload::cronjob::start),
    descriptor("ttl-after-finished-controller", crate::workload::job::start_ttl),
    descriptor("disruption-controller", crate::disruption::start),
    descriptor("resourcequota-controller", crate::quota::start),
    descriptor("persistentvolumeclaim-protection-controller", crate::protection::start_claims),
    descriptor("persistentvolume-protection-controller", crate::protection::start_volumes),
    descriptor("volumeattributesclass-protection-controller", crate::protection::start_classes),
    descriptor("clusterrole-aggregation-controller", crate::roles::start),
    descriptor("token-cleaner-controller", crate::tokens::start),
];

/// Starts every loop once.
pub(crate) fn start_all(context: &Context) {
    let mut names = BTreeSet::new();
    for controller in CONTROLLERS {
        assert!(names.insert(controller.name), "two controllers are called `{}`", controller.name);
        (controller.start)(context);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = super::CONTROLLERS.iter().map(|c| c.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
