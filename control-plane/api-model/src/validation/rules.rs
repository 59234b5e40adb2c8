//! Which rules each kind has.

use super::place::Place;
use super::report::Report;
use super::{
    admission, autoscaler, batch, classes, cluster, config, cron, devices, endpoints, events, flow_control,
    job_status, mutations, network, persistent_volume, pod, rbac, reviews, scheduling, service, signers,
    storage, workloads,
};
use crate::resource::Resource;

pub(super) type Alone = fn(&Place, &mut Report);
pub(super) type Change = fn(&Place, &Place, &mut Report);

/// The rules of a kind beside those of metadata.
#[derive(Clone, Copy, Default)]
pub(super) struct Rules {
    /// What always holds.
    pub always: Option<Alone>,
    /// What holds only when it is made.
    pub created: Option<Alone>,
    /// What may change.
    pub changes: Option<Change>,
    /// What may be written to its status.
    pub status: Option<Change>,
    /// Why there is nothing to say beside shape and metadata.
    pub shape_only: &'static str,
}

const fn shape_only(why: &'static str) -> Rules {
    Rules { always: None, created: None, changes: None, status: None, shape_only: why }
}

const NONE: Rules = shape_only("");

/// The rules of a built-in kind.
pub(super) fn of(resource: &Resource) -> Rules {
    let kind = resource.kind.as_str();
    match resource.group.as_str() {
        "" => core(kind),
        "apps" => apps(kind),
        "batch" => jobs(kind),
        "autoscaling" => {
            Rules { always: Some(autoscaler::autoscaler), status: Some(autoscaler::status), ..NONE }
        }
        "policy" => {
            Rules { always: Some(scheduling::budget), status: Some(scheduling::budget_status), ..NONE }
        }
        "discovery.k8s.io" => {
            Rules { always: Some(endpoints::slice), changes: Some(endpoints::slice_changes), ..NONE }
        }
        "networking.k8s.io" => networking(kind),
        "rbac.authorization.k8s.io" => roles(kind),
        "storage.k8s.io" => storage_kinds(kind),
        "scheduling.k8s.io" => Rules {
            always: Some(scheduling::priority_class),
            changes: Some(scheduling::priority_class_changes),
            ..NONE
        },
        "node.k8s.io" => Rules {
            always: Some(scheduling::runtime_class),
            changes: Some(scheduling::runtime_class_changes),
            ..NONE
        },
        "coordination.k8s.io" => Rules { always: Some(scheduling::lease), ..NONE },
        "certificates.k8s.io" => {
            Rules { always: Some(signers::request), status: Some(signers::status), ..NONE }
        }
        "flowcontrol.apiserver.k8s.io" => flow(kind),
        "admissionregistration.k8s.io" => admission_kinds(kind),
        "apiregistration.k8s.io" => Rules {
            always: Some(admission::api_service),
            status: Some(admission::api_service_status),
            ..NONE
        },
        "apiextensions.k8s.io" => shape_only("definitions are judged with their schemas"),
        "resource.k8s.io" => device_kinds(kind),
        "events.k8s.io" => Rules { created: Some(events::new), changes: Some(events::new_changes), ..NONE },
        "authentication.k8s.io" | "authorization.k8s.io" => review(kind),
        _ => NONE,
    }
}

fn core(kind: &str) -> Rules {
    match kind {
        "Pod" => Rules {
            created: Some(pod::pod),
            changes: Some(pod::update),
            status: Some(pod::status::status),
            ..NONE
        },
        "PodTemplate" => Rules { always: Some(workloads::pod_template), ..NONE },
        "Service" => Rules {
            always: Some(service::service),
            changes: Some(service::changes),
            status: Some(service::balancer_status),
            ..NONE
        },
        "Endpoints" => Rules { always: Some(endpoints::endpoints), ..NONE },
        "ConfigMap" => {
            Rules { always: Some(config::config_map), changes: Some(config::config_map_changes), ..NONE }
        }
        "Secret" => Rules { always: Some(config::secret), changes: Some(config::secret_changes), ..NONE },
        "ServiceAccount" => shape_only("references to secrets are followed where they are used"),
        "Namespace" => {
            Rules { created: Some(cluster::namespace), status: Some(cluster::namespace_status), ..NONE }
        }
        "Node" => Rules { created: Some(cluster::node), changes: Some(cluster::node_changes), ..NONE },
        "LimitRange" => Rules { always: Some(cluster::limit_range), ..NONE },
        "ResourceQuota" => Rules {
            always: Some(cluster::quota),
            changes: Some(cluster::quota_changes),
            status: Some(cluster::quota_status),
            ..NONE
        },
        "ReplicationController" => Rules {
            always: Some(workloads::replication_controller),
            status: Some(workloads::replica_status),
            ..NONE
        },
        "PersistentVolume" => Rules {
            always: Some(persistent_volume::volume),
            changes: Some(persistent_volume::changes),
            ..NONE
        },
        "PersistentVolumeClaim" => Rules {
            always: Some(storage::claim),
            changes: Some(storage::claim_changes),
            status: Some(storage::claim_status),
            ..NONE
        },
        "Event" => Rules { always: Some(events::core), ..NONE },
        "Binding" => Rules { always: Some(cluster::binding), ..NONE },
        "ComponentStatus" => shape_only("nobody writes it"),
        _ => NONE,
    }
}

fn apps(kind: &str) -> Rules {
    let workload = |always: Alone| Rules {
        always: Some(always),
        changes: Some(workloads::selector_changes),
        status: Some(workloads::replica_status),
        ..NONE
    };
    match kind {
        "Deployment" => workload(workloads::deployment),
        "ReplicaSet" => workload(workloads::replica_set),
        "DaemonSet" => {
            Rules { status: Some(workloads::daemon_set_status), ..workload(workloads::daemon_set) }
        }
        "StatefulSet" => {
            Rules { changes: Some(workloads::stateful_set_changes), ..workload(workloads::stateful_set) }
        }
        "ControllerRevision" => {
            Rules { always: Some(workloads::revision), changes: Some(workloads::revision_changes), ..NONE }
        }
        _ => NONE,
    }
}

fn jobs(kind: &str) -> Rules {
    match kind {
        "Job" => Rules {
            always: Some(batch::job),
            changes: Some(batch::job_changes),
            status: Some(job_status::status),
            ..NONE
        },
        "CronJob" => Rules { always: Some(cron::cron_job), created: Some(cron::name), ..NONE },
        _ => NONE,
    }
}

fn networking(kind: &str) -> Rules {
    match kind {
        "Ingress" => Rules {
            always: Some(network::ingress),
            created: Some(network::ingress_created),
            status: Some(service::balancer_status),
            ..NONE
        },
        "IngressClass" => Rules {
            always: Some(network::ingress_class),
            changes: Some(network::ingress_class_changes),
            ..NONE
        },
        "NetworkPolicy" => Rules { always: Some(network::policy), ..NONE },
        "IPAddress" => {
            Rules { always: Some(network::address), changes: Some(network::address_changes), ..NONE }
        }
        "ServiceCIDR" => Rules {
            always: Some(network::service_range),
            changes: Some(network::service_range_changes),
            ..NONE
        },
        _ => NONE,
    }
}

fn roles(kind: &str) -> Rules {
    match kind {
        "Role" => Rules { always: Some(rbac::role), ..NONE },
        "ClusterRole" => Rules { always: Some(rbac::cluster_role), ..NONE },
        "RoleBinding" => {
            Rules { always: Some(rbac::role_binding), changes: Some(rbac::binding_changes), ..NONE }
        }
        "ClusterRoleBinding" => {
            Rules { always: Some(rbac::cluster_role_binding), changes: Some(rbac::binding_changes), ..NONE }
        }
        _ => NONE,
    }
}

fn storage_kinds(kind: &str) -> Rules {
    let pair =
        |always: Alone, changes: Change| Rules { always: Some(always), changes: Some(changes), ..NONE };
    match kind {
        "StorageClass" => pair(classes::storage_class, classes::storage_class_changes),
        "VolumeAttributesClass" => pair(classes::attributes_class, classes::attributes_class_changes),
        "CSIDriver" => pair(classes::driver, classes::driver_changes),
        "CSINode" => pair(classes::node_drivers, classes::node_drivers_changes),
        "CSIStorageCapacity" => pair(classes::capacity, classes::capacity_changes),
        "VolumeAttachment" => Rules {
            status: Some(classes::attachment_status),
            ..pair(classes::attachment, classes::attachment_changes)
        },
        _ => NONE,
    }
}

fn flow(kind: &str) -> Rules {
    match kind {
        "FlowSchema" => {
            Rules { always: Some(flow_control::schema), status: Some(flow_control::status), ..NONE }
        }
        "PriorityLevelConfiguration" => {
            Rules { always: Some(flow_control::level), status: Some(flow_control::status), ..NONE }
        }
        _ => NONE,
    }
}

fn admission_kinds(kind: &str) -> Rules {
    match kind {
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
            Rules { always: Some(admission::webhooks), ..NONE }
        }
        "ValidatingAdmissionPolicy" => Rules { always: Some(admission::policy), ..NONE },
        "ValidatingAdmissionPolicyBinding" => Rules { always: Some(admission::policy_binding), ..NONE },
        "MutatingAdmissionPolicy" => Rules { always: Some(mutations::policy), ..NONE },
        "MutatingAdmissionPolicyBinding" => Rules { always: Some(mutations::binding), ..NONE },
        _ => NONE,
    }
}

fn device_kinds(kind: &str) -> Rules {
    match kind {
        "DeviceClass" => Rules { always: Some(devices::class), ..NONE },
        "ResourceClaim" => Rules {
            always: Some(devices::claim),
            changes: Some(devices::claim_changes),
            status: Some(devices::claim_status),
            ..NONE
        },
        "ResourceClaimTemplate" => {
            Rules { always: Some(devices::claim_template), changes: Some(devices::claim_changes), ..NONE }
        }
        "ResourceSlice" => {
            Rules { always: Some(devices::slice), changes: Some(devices::slice_changes), ..NONE }
        }
        _ => NONE,
    }
}

fn review(kind: &str) -> Rules {
    match kind {
        "SubjectAccessReview" => Rules { created: Some(reviews::access), ..NONE },
        "SelfSubjectAccessReview" => Rules { created: Some(reviews::self_access), ..NONE },
        "LocalSubjectAccessReview" => Rules { created: Some(reviews::local_access), ..NONE },
        "SelfSubjectRulesReview" | "TokenReview" => {
            shape_only("without a namespace or a token the request itself is bad, not a field of it")
        }
        "SelfSubjectReview" => shape_only("it asks nothing but who is asking"),
        _ => NONE,
    }
}
