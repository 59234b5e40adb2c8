//! What the data of a kind cannot say: which fields the server sets, what a write may not change, how an
//! object goes.
//!
//! [`Rules`] are per resource and computed once; [`prepare_create`] and [`prepare_update`] are called by the
//! generic registry with the object in the version of the request, defaults filled in, before admission.

pub mod certificates;
pub mod deletion;
pub mod namespaces;
pub mod pods;
pub mod prepare;
pub mod services;

use api_model::Resource;

pub use prepare::{prepare_create, prepare_update};

/// The rules of a resource.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// `metadata.generation` counts changes of anything but metadata and status.
    pub generation: bool,
    /// `status` is written through `/status` alone.
    pub status: bool,
    /// Objects are made by POST and never stored (reviews).
    pub is_virtual: bool,
    /// Objects go after a grace period, when their keeper agrees.
    pub graceful: bool,
    /// A deletion answers with the object instead of a `Status`.
    pub returns_deleted: bool,
    /// Dependents stay when the caller says nothing.
    pub orphans_dependents: bool,
    /// A PUT may create.
    pub create_on_update: bool,
    /// A PUT must carry a resource version.
    pub needs_version: bool,
    /// Writes need not be on the disk to be acknowledged.
    pub relaxed: bool,
    /// Objects vanish by themselves after this time, in seconds.
    pub ttl_s: Option<u64>,
}

/// Kinds whose strategy counts generations.
const GENERATION: &[(&str, &str)] = &[
    ("", "pods"),
    ("", "replicationcontrollers"),
    ("", "podtemplates"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("apps", "daemonsets"),
    ("apps", "statefulsets"),
    ("batch", "jobs"),
    ("batch", "cronjobs"),
    ("policy", "poddisruptionbudgets"),
    ("networking.k8s.io", "ingresses"),
    ("networking.k8s.io", "ingressclasses"),
    ("networking.k8s.io", "networkpolicies"),
    ("discovery.k8s.io", "endpointslices"),
    ("scheduling.k8s.io", "priorityclasses"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("resource.k8s.io", "resourceslices"),
    ("resource.k8s.io", "deviceclasses"),
];

/// Kinds that a PUT without a resource version does not change.
const NEEDS_VERSION: &[(&str, &str)] = &[
    ("certificates.k8s.io", "clustertrustbundles"),
    ("certificates.k8s.io", "podcertificaterequests"),
    ("node.k8s.io", "runtimeclasses"),
    ("policy", "poddisruptionbudgets"),
    ("storage.k8s.io", "csinodes"),
    ("storage.k8s.io", "csidrivers"),
    ("storage.k8s.io", "csistoragecapacities"),
    ("storage.k8s.io", "volumeattachments"),
    ("storage.k8s.io", "volumeattributesclasses"),
];

/// Groups all of whose kinds are such.
const NEED_VERSION: &[&str] = &[
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "coordination.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "storagemigration.k8s.io",
];

/// Kinds that a PUT may create.
const CREATE_ON_UPDATE: &[(&str, &str)] = &[
    ("", "endpoints"),
    ("", "events"),
    ("events.k8s.io", "events"),
    ("", "limitranges"),
    ("", "services"),
    ("coordination.k8s.io", "leases"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
];

/// How long events live, in seconds.
pub const EVENT_TTL_S: u64 = 3600;

impl Rules {
    /// The rules of a built-in resource.
    pub fn of(resource: &Resource) -> Self {
        let (group, plural) = (resource.group.as_str(), resource.plural.as_str());
        let name = (group, plural);
        let event = plural == "events";
        Self {
            generation: GENERATION.contains(&name),
            status: resource.subresources.iter().any(|sub| sub.name == "status"),
            is_virtual: matches!(group, "authentication.k8s.io" | "authorization.k8s.io")
                || name == ("", "bindings"),
            graceful: name == ("", "pods"),
            returns_deleted: api_model::openapi::returns_deleted(group, plural),
            orphans_dependents: name == ("", "replicationcontrollers") || name == ("batch", "jobs"),
            create_on_update: CREATE_ON_UPDATE.contains(&name),
            needs_version: NEED_VERSION.contains(&group) || NEEDS_VERSION.contains(&name),
            relaxed: event || name == ("coordination.k8s.io", "leases"),
            ttl_s: event.then_some(EVENT_TTL_S),
        }
    }

    /// The rules of a custom resource.
    pub fn custom(status: bool) -> Self {
        Self { generation: true, status, needs_version: true, ..Self::default() }
    }
}
