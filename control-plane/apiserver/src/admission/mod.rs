//! The in-process admission chain, in upstream's order: first everything that may change an object, then everything that judges it.
//!
//! ```text
//! mutate:   NamespaceLifecycle LimitRanger ServiceAccount NodeRestriction TaintNodesByCondition Priority DefaultTolerationSeconds
//!           DefaultStorageClass RuntimeClass DefaultIngressClass MutatingAdmissionWebhook
//! validate: LimitRanger NodeRestriction PodSecurity PersistentVolumeClaimResize Certificate* (RBAC escalation) ValidatingAdmissionPolicy
//!           ValidatingAdmissionWebhook ResourceQuota
//! ```
//!
//! Guarantees: what is registered is never silently skipped. A policy in CEL that matches is refused with a `Status` that says so, because CEL is not evaluated
//! here yet. Does not store anything: quota is charged from the objects there are and from what was admitted a moment ago.

mod certificates;
mod classes;
mod limits;
mod namespace;
mod nodes;
mod pod_security;
mod pods;
mod policies;
mod quota;
mod service_account;
mod webhooks;

use std::sync::Arc;

use async_trait::async_trait;
use kit::Clock;
use serde_json::Value;

use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation};
use crate::authz::{Authorizer, escalation};
use crate::registry::admit::Gate;
use crate::tunnel::Kubelets;

/// All plugins of one cluster.
pub struct Chain {
    objects: Arc<dyn Objects>,
    authorizer: Arc<Authorizer>,
    webhooks: webhooks::Webhooks,
    quota: quota::Quota,
}

impl Chain {
    /// Over these objects; webhooks are called through `kubelets`.
    pub fn new(
        objects: Arc<dyn Objects>,
        authorizer: Arc<Authorizer>,
        kubelets: Arc<Kubelets>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            webhooks: webhooks::Webhooks::new(objects.clone(), kubelets),
            quota: quota::Quota::new(objects.clone(), clock),
            objects,
            authorizer,
        }
    }
}

/// What plugins ask most: is it a create of this core resource itself?
fn creates(request: &AdmissionRequest<'_>, group: &str, plural: &str) -> bool {
    request.operation == Operation::Create && concerns(request, group, plural, "")
}

fn concerns(request: &AdmissionRequest<'_>, group: &str, plural: &str, subresource: &str) -> bool {
    request.resource.group == group && request.resource.plural == plural && request.subresource == subresource
}

/// The 403 of a plugin.
fn forbid(request: &AdmissionRequest<'_>, why: &str) -> ApiError {
    let stated = request.object.as_deref().map(|object| crate::attributes::text(object, "/metadata/name"));
    let name = if request.name.is_empty() { stated.unwrap_or_default() } else { request.name };
    ApiError::forbidden(&request.resource.group, &request.resource.plural, name, why)
}

/// Labels of an object, for selectors.
fn labels(object: &Value) -> Option<&serde_json::Map<String, Value>> {
    object.pointer("/metadata/labels").and_then(Value::as_object)
}

/// All containers of a pod's spec that start with it.
fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let list = |pointer| crate::attributes::items(pod, pointer).iter();
    list("/spec/initContainers").chain(list("/spec/containers"))
}

/// The same, to change.
fn each_container(pod: &mut Value, mut change: impl FnMut(&mut Value)) {
    for list in ["initContainers", "containers"] {
        let found = pod.get_mut("spec").and_then(|spec| spec.get_mut(list)).and_then(Value::as_array_mut);
        for container in found.into_iter().flatten() {
            change(container);
        }
    }
}

#[async_trait]
impl Gate for Chain {
    async fn mutate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), ApiError> {
        let objects = &*self.objects;
        namespace::check(request, objects)?;
        if creates(request, "", "pods") {
            limits::default(request, objects)?;
            service_account::complete(request, objects)?;
        }
        nodes::check(request, objects)?;
        if creates(request, "", "nodes") {
            nodes::taint(request);
        }
        if creates(request, "", "pods") {
            pods::priority(request, objects)?;
            pods::tolerate(request);
            pods::runtime_class(request, objects)?;
        }
        classes::default_storage_class(request, objects);
        classes::default_ingress_class(request, objects);
        self.webhooks.mutate(request).await
    }

    async fn validate(&self, request: &mut AdmissionRequest<'_>) -> Result<(), ApiError> {
        let objects = &*self.objects;
        limits::check(request, objects)?;
        pod_security::check(request, objects)?;
        pods::one_default_class(request, objects)?;
        classes::check_resize(request, objects)?;
        certificates::check(request, &self.authorizer)?;
        self.escalation(request)?;
        policies::check(request, objects)?;
        self.webhooks.validate(request).await?;
        self.quota.charge(request)
    }
}

impl Chain {
    fn escalation(&self, request: &AdmissionRequest<'_>) -> Result<(), ApiError> {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        if !writes || request.resource.group != "rbac.authorization.k8s.io" {
            return Ok(());
        }
        let Some(object) = request.object.as_deref() else { return Ok(()) };
        let plural = &request.resource.plural;
        escalation::check(&self.authorizer, request.user, plural, request.namespace, object, request.old)
    }
}

#[cfg(test)]
mod tests;
