//! Per-kind rules with upstream's texts: what may be created, and what may change.
//!
//! Objects come here pruned, defaulted and of the right shape ([`crate::Schema::validate`]); a missing part is read as empty.
//! Writes through `binding`, `resize` and `ephemeralcontainers` change what an update may not; their handlers do not ask
//! [`validate_update`] but check what they change.

mod admission;
mod batch;
mod config;
mod container;
mod identity;
mod metadata;
pub mod names;
mod network;
mod pod;
mod pod_update;
mod report;
mod scheduling;
mod service;
mod storage;
mod volumes;
mod workloads;

use crate::cause::Cause;
use crate::resource::Resource;
use report::Report;
use serde_json::Value;

/// What is wrong with a new object.
pub fn validate_create(resource: &Resource, object: &Value) -> Vec<Cause> {
    let mut report = Report::default();
    metadata::create(resource, object, &mut report);
    by_kind(resource, object, &mut report);
    report.causes
}

/// What is wrong with changing `old` into `new`.
pub fn validate_update(resource: &Resource, new: &Value, old: &Value) -> Vec<Cause> {
    let mut report = Report::default();
    metadata::update(resource, new, old, &mut report);
    // What was stored is not judged again: rules grow stricter, and an object must stay deletable.
    if new.get("spec") != old.get("spec") || new.get("spec").is_none() {
        by_kind(resource, new, &mut report);
    }
    if !resource.custom {
        changes(resource, new, old, &mut report);
    }
    report.causes
}

fn by_kind(resource: &Resource, o: &Value, report: &mut Report) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        _ if resource.custom => {}
        ("", "Pod") => pod::pod(o, report),
        ("", "Service") => service::service(o, report),
        ("", "ConfigMap") => config::config_map(o, report),
        ("", "Secret") => config::secret(o, report),
        ("", "PersistentVolumeClaim") => storage::claim(o, report),
        ("", "PersistentVolume") => storage::volume(o, report),
        ("", "ReplicationController") => workloads::replication_controller(o, report),
        ("apps", "Deployment") => workloads::deployment(o, report),
        ("apps", "ReplicaSet") => workloads::replica_set(o, report),
        ("apps", "DaemonSet") => workloads::daemon_set(o, report),
        ("apps", "StatefulSet") => workloads::stateful_set(o, report),
        ("batch", "Job") => batch::job(o, report),
        ("batch", "CronJob") => batch::cron_job(o, report),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => {
            identity::role(o, resource.namespaced, report)
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            identity::binding(o, resource.namespaced, report);
        }
        ("certificates.k8s.io", _) => identity::signing_request(o, report),
        ("coordination.k8s.io", "Lease") => scheduling::lease(o, report),
        ("scheduling.k8s.io", "PriorityClass") => scheduling::priority_class(o, report),
        ("autoscaling", "HorizontalPodAutoscaler") => scheduling::autoscaler(o, report),
        ("policy", "PodDisruptionBudget") => scheduling::budget(o, report),
        ("discovery.k8s.io", "EndpointSlice") => network::endpoint_slice(o, report),
        ("networking.k8s.io", "Ingress") => network::ingress(o, report),
        ("networking.k8s.io", "NetworkPolicy") => network::policy(o, report),
        ("storage.k8s.io", "StorageClass") => storage::class(o, report),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => admission::definition(o, report),
        (
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration",
        ) => {
            admission::webhooks(o, report);
        }
        _ => {}
    }
}

fn changes(resource: &Resource, new: &Value, old: &Value, report: &mut Report) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => pod_update::changes(new, old, report),
        ("", "Service") => service::changes(new, old, report),
        ("", "ConfigMap") => config::config_map_changes(new, old, report),
        ("", "Secret") => config::secret_changes(new, old, report),
        ("", "Node") => scheduling::node_changes(new, old, report),
        ("", "PersistentVolumeClaim") => storage::claim_changes(new, old, report),
        ("", "PersistentVolume") => storage::volume_changes(new, old, report),
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet") => {
            report.immutable(new, old, &["spec", "selector"]);
        }
        ("apps", "StatefulSet") => workloads::stateful_set_changes(new, old, report),
        ("apps", "ControllerRevision") => report.immutable(new, old, &["data"]),
        ("batch", "Job") => batch::job_changes(new, old, report),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            identity::binding_changes(new, old, report);
        }
        ("certificates.k8s.io", _) => identity::signing_request_changes(new, old, report),
        ("scheduling.k8s.io", "PriorityClass") => scheduling::priority_class_changes(new, old, report),
        ("discovery.k8s.io", "EndpointSlice") => report.immutable(new, old, &["addressType"]),
        ("storage.k8s.io", "StorageClass") => storage::class_changes(new, old, report),
        _ => {}
    }
}
