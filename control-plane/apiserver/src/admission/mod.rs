//! The admission chain, in upstream's order for 1.36 with its default plugins and NodeRestriction: first everything that may change
//! an object, then everything that judges it as it will be stored.
//!
//! ```text
//! mutate:   NamespaceLifecycle LimitRanger ServiceAccount NodeRestriction TaintNodesByCondition Priority DefaultTolerationSeconds
//!           DefaultStorageClass StorageObjectInUseProtection RuntimeClass DefaultIngressClass PodTopologyLabels
//!           MutatingAdmissionPolicy MutatingAdmissionWebhook
//! validate: LimitRanger ServiceAccount PodSecurity Priority PersistentVolumeClaimResize RuntimeClass CertificateApproval
//!           CertificateSigning CertificateSubjectRestriction (RBAC escalation) ValidatingAdmissionPolicy ValidatingAdmissionWebhook
//!           ResourceQuota
//! ```
//!
//! MutatingAdmissionPolicy has nothing to do before 1.36, which is the first to serve its kinds without being told to. Guarantees:
//! what is registered is never silently skipped; a change of what a plugin reads counts from the next request after its write was
//! acknowledged; with nothing configured the chain looks at a few counters only.

mod backend;
mod certificates;
mod classes;
mod derived;
mod expressions;
mod limits;
mod matching;
mod namespace;
mod node_restriction;
mod pod_security;
mod pods;
mod policies;
mod quota;
mod resources;
mod rounds;
mod service_account;
mod storage;
mod versions;
mod webhooks;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

pub use backend::Backend;
pub use pod_security::Exemptions;
pub(crate) use webhooks::{Caller, Line};

use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, Part, text};
use crate::authz::{Authorizer, escalation};
use crate::registry::admit::Gate;
use crate::registry::{Registry, Served};
use crate::tunnel::Kubelets;

/// All plugins of one cluster.
pub struct Chain {
    objects: Arc<dyn Objects>,
    backend: Arc<dyn Backend>,
    authorizer: Arc<Authorizer>,
    security: pod_security::PodSecurity,
    priorities: pods::Priorities,
    classes: classes::Classes,
    webhooks: webhooks::Webhooks,
    policies: policies::Policies,
    mutations: policies::Mutations,
    quota: quota::Quota,
}

impl Chain {
    /// Over these objects; webhooks are called through `kubelets`.
    pub fn new(
        objects: Arc<dyn Objects>,
        authorizer: Arc<Authorizer>,
        kubelets: Arc<Kubelets>,
        backend: Arc<dyn Backend>,
    ) -> Self {
        let caller = Arc::new(Caller::new(objects.clone(), kubelets));
        Self {
            security: pod_security::PodSecurity::new(Exemptions::default()),
            priorities: pods::Priorities::default(),
            classes: classes::Classes::default(),
            webhooks: webhooks::Webhooks::new(objects.clone(), caller, backend.clone(), authorizer.clone()),
            policies: policies::Policies::new(objects.clone(), backend.clone(), authorizer.clone()),
            mutations: policies::Mutations::new(objects.clone(), backend.clone(), authorizer.clone()),
            quota: quota::Quota::new(objects.clone(), backend.clone()),
            objects,
            backend,
            authorizer,
        }
    }
}

/// Keeps the status of admission policies until `tasks` stop.
pub fn start_policy_status(registry: Arc<Registry>, tasks: &kit::Tasks) {
    tasks.spawn("policy-status", policies::keep_status(registry));
}

/// What plugins ask most: is it a create of this core resource itself?
fn creates(request: &AdmissionRequest<'_>, group: &str, plural: &str) -> bool {
    request.operation == Operation::Create && concerns(request, group, plural, "")
}

fn concerns(request: &AdmissionRequest<'_>, group: &str, plural: &str, subresource: &str) -> bool {
    request.resource.plural == plural && request.resource.group == group && request.subresource == subresource
}

/// The name that refusals give: the stated one, or what a name would be made of.
fn stated_name<'r>(request: &'r AdmissionRequest<'_>) -> &'r str {
    if !request.name.is_empty() {
        return request.name;
    }
    let object = request.object.as_deref();
    let of = |pointer| object.map(|object| text(object, pointer)).filter(|name| !name.is_empty());
    of("/metadata/name").or_else(|| of("/metadata/generateName")).unwrap_or("Unknown")
}

/// The name of the object; empty while it has none.
fn object_name<'r>(request: &'r AdmissionRequest<'_>) -> &'r str {
    let stated = request.object.as_deref().map(|object| text(object, "/metadata/name")).unwrap_or_default();
    if request.name.is_empty() { stated } else { request.name }
}

/// The 403 of a plugin.
fn forbid(request: &AdmissionRequest<'_>, why: &str) -> ApiError {
    ApiError::forbidden(&request.resource.group, &request.resource.plural, stated_name(request), why)
}

/// Labels of an object, for selectors.
fn labels(object: &Value) -> Option<&serde_json::Map<String, Value>> {
    object.part("/metadata/labels").and_then(Value::as_object)
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

/// Adds to a list, which is made when it is not there.
fn push(object: &mut Value, field: &str, value: Value) {
    match object.get_mut(field).and_then(Value::as_array_mut) {
        Some(list) => list.push(value),
        None => object[field] = Value::Array(vec![value]),
    }
}

#[async_trait]
impl Gate for Chain {
    async fn mutate(&self, request: &mut AdmissionRequest<'_>, served: &Served) -> Result<(), ApiError> {
        let mut rounds = rounds::Rounds::default();
        self.round(request, served, &mut rounds).await?;
        if !rounds.needed {
            return Ok(());
        }
        // What a webhook or a policy changed the other plugins have not seen.
        rounds.second = true;
        self.round(request, served, &mut rounds).await
    }

    async fn validate(&self, request: &mut AdmissionRequest<'_>, served: &Served) -> Result<(), ApiError> {
        let objects = &*self.objects;
        limits::check(request, objects)?;
        service_account::check(request, objects)?;
        self.security.check(request, objects)?;
        self.priorities.check(request, objects)?;
        storage::check_resize(request, objects)?;
        pods::check_overhead(request, objects)?;
        certificates::check(request, &self.authorizer)?;
        self.escalation(request)?;
        policies::check_definition(request)?;
        policies::check_permissions(request, objects, &*self.backend, &self.authorizer)?;
        self.policies.validate(request, served).await?;
        self.webhooks.validate(request, served).await?;
        self.quota.charge(request).await
    }

    async fn removed(&self, served: &Served, old: &Value) {
        self.quota.release(&served.resource, old).await;
    }
}

impl Chain {
    async fn round(
        &self,
        request: &mut AdmissionRequest<'_>,
        served: &Served,
        rounds: &mut rounds::Rounds,
    ) -> Result<(), ApiError> {
        self.complete(request).await?;
        self.mutations.mutate(request, served, rounds).await?;
        self.webhooks.mutate(request, served, rounds).await
    }

    /// Everything in the process that may change an object.
    async fn complete(&self, request: &mut AdmissionRequest<'_>) -> Result<(), ApiError> {
        let objects = &*self.objects;
        namespace::check(request, objects)?;
        let pods = request.resource.plural == "pods" && request.resource.group.is_empty();
        if pods {
            limits::default(request, objects);
            service_account::complete(request, objects).await?;
        }
        node_restriction::check(request, objects, &self.authorizer)?;
        if creates(request, "", "nodes") {
            node_restriction::taint(request);
        }
        if pods {
            self.priorities.set(request, objects)?;
            pods::tolerate(request);
            pods::runtime_class(request, objects)?;
            pods::topology_labels(request, objects);
        }
        storage::protect(request);
        self.classes.set(request, objects);
        Ok(())
    }

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
