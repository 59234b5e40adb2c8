//! ResourceQuota: what a namespace may hold in all.
//!
//! Usage is counted from the objects there are, plus what was admitted within the last seconds and is not among them
//! yet, so two requests at once cannot both take the last place. `status.used` is its controller's to write.

use std::collections::BTreeMap;
use std::sync::Arc;

use api_model::quantity::Quantity;
use jiff::{SignedDuration, Timestamp};
use kit::Clock;
use parking_lot::Mutex;
use serde_json::Value;

use super::forbid;
use crate::attributes::{AdmissionRequest, ApiError, Objects, Operation, items, text};

/// How long what was admitted counts although it is not seen: it may have failed later.
const PENDING: SignedDuration = SignedDuration::from_secs(2);

type Usage = BTreeMap<String, Quantity>;

struct Pending {
    at: Timestamp,
    namespace: String,
    resource: (String, String),
    name: String,
    usage: Usage,
}

/// The plugin with what it admitted a moment ago.
pub(super) struct Quota {
    objects: Arc<dyn Objects>,
    clock: Arc<dyn Clock>,
    pending: Mutex<Vec<Pending>>,
}

impl Quota {
    pub fn new(objects: Arc<dyn Objects>, clock: Arc<dyn Clock>) -> Self {
        Self { objects, clock, pending: Mutex::default() }
    }

    /// Judges a create, or a claim that grows, and remembers what it takes.
    pub fn charge(&self, request: &AdmissionRequest<'_>) -> Result<(), ApiError> {
        if request.namespace.is_empty() || !request.subresource.is_empty() {
            return Ok(());
        }
        let Some(object) = request.object.as_deref() else { return Ok(()) };
        let (group, plural) = (request.resource.group.as_str(), request.resource.plural.as_str());
        let mut takes = usage_of(group, plural, object);
        match (request.operation, request.old) {
            (Operation::Create, _) => {}
            (Operation::Update, Some(old)) if matches!(plural, "persistentvolumeclaims" | "services") => {
                for (name, had) in usage_of(group, plural, old) {
                    let now = takes.get(&name).copied().unwrap_or(Quantity::ZERO);
                    takes.insert(name, now.sub(&had));
                }
            }
            _ => return Ok(()),
        }
        let quotas = self.objects.list("", "resourcequotas", Some(request.namespace));
        let counting: Vec<&Arc<Value>> =
            quotas.iter().filter(|quota| in_scope(quota, plural, object)).collect();
        if counting.is_empty() {
            return Ok(());
        }
        // From counting to remembering, nobody else counts.
        let mut pending = self.pending.lock();
        let now = self.clock.now();
        pending.retain(|one| {
            let (group, plural) = &one.resource;
            now.duration_since(one.at) < PENDING
                && (one.name.is_empty()
                    || self.objects.get(group, plural, &one.namespace, &one.name).is_none())
        });
        for quota in counting {
            self.judge(request, quota, object, &takes, &pending)?;
        }
        if !request.dry_run && request.operation == Operation::Create {
            pending.push(Pending {
                at: now,
                namespace: request.namespace.to_owned(),
                resource: (group.to_owned(), plural.to_owned()),
                name: text(object, "/metadata/name").to_owned(),
                usage: takes,
            });
        }
        Ok(())
    }

    fn judge(
        &self,
        request: &AdmissionRequest<'_>,
        quota: &Value,
        object: &Value,
        takes: &Usage,
        pending: &[Pending],
    ) -> Result<(), ApiError> {
        let name = text(quota, "/metadata/name");
        let hard: Usage = quota
            .pointer("/spec/hard")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(name, most)| Some((name.clone(), parse(most)?)))
            .collect();
        if request.resource.plural == "pods" && request.resource.group.is_empty() {
            let missing = unspecified(&hard, object);
            if !missing.is_empty() {
                let why = format!("failed quota: {name}: must specify {}", missing.join(","));
                return Err(forbid(request, &why));
            }
        }
        let (mut requested, mut used_text, mut limited) = (Vec::new(), Vec::new(), Vec::new());
        for (resource, most) in &hard {
            let Some(take) = takes.get(resource).filter(|take| take.sign() > 0) else { continue };
            let used = self.used(request.namespace, resource, quota, pending);
            if used.add(take) > *most {
                requested.push(format!("{resource}={take}"));
                used_text.push(format!("{resource}={used}"));
                limited.push(format!("{resource}={most}"));
            }
        }
        if requested.is_empty() {
            return Ok(());
        }
        let why = format!(
            "exceeded quota: {name}, requested: {}, used: {}, limited: {}",
            requested.join(","),
            used_text.join(","),
            limited.join(",")
        );
        Err(forbid(request, &why))
    }

    fn used(&self, namespace: &str, resource: &str, quota: &Value, pending: &[Pending]) -> Quantity {
        let (group, plural) = counted(resource);
        let mut sum = Quantity::ZERO;
        for object in self.objects.list(&group, &plural, Some(namespace)) {
            if in_scope(quota, &plural, &object)
                && let Some(usage) = usage_of(&group, &plural, &object).get(resource)
            {
                sum = sum.add(usage);
            }
        }
        pending
            .iter()
            .filter(|one| one.namespace == namespace)
            .filter_map(|one| one.usage.get(resource))
            .fold(sum, |sum, usage| sum.add(usage))
    }
}

fn parse(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// The group and plural whose objects use a quota resource.
fn counted(resource: &str) -> (String, String) {
    if let Some(rest) = resource.strip_prefix("count/") {
        let (plural, group) = rest.split_once('.').unwrap_or((rest, ""));
        return (group.to_owned(), plural.to_owned());
    }
    let plural = match resource {
        "services.nodeports" | "services.loadbalancers" => "services",
        "requests.storage" => "persistentvolumeclaims",
        "services"
        | "configmaps"
        | "secrets"
        | "persistentvolumeclaims"
        | "replicationcontrollers"
        | "resourcequotas" => resource,
        storage if storage.contains(".storageclass.storage.k8s.io/") => "persistentvolumeclaims",
        _ => "pods",
    };
    (String::new(), plural.to_owned())
}

/// What one object takes.
fn usage_of(group: &str, plural: &str, object: &Value) -> Usage {
    let one = Quantity::from_int(1);
    let qualified = crate::attributes::qualified(group, plural);
    let mut usage = Usage::from([(format!("count/{qualified}"), one)]);
    if !group.is_empty() {
        return usage;
    }
    match plural {
        "pods" => pod_usage(object, &mut usage),
        "services" => {
            usage.insert("services".into(), one);
            let ports = i64::try_from(items(object, "/spec/ports").len()).unwrap_or(i64::MAX);
            let kind = text(object, "/spec/type");
            let balancer = kind == "LoadBalancer";
            let allocates =
                object.pointer("/spec/allocateLoadBalancerNodePorts") != Some(&Value::Bool(false));
            if kind == "NodePort" || (balancer && allocates) {
                usage.insert("services.nodeports".into(), Quantity::from_int(ports));
            }
            if balancer {
                usage.insert("services.loadbalancers".into(), one);
            }
        }
        "persistentvolumeclaims" => {
            usage.insert(plural.into(), one);
            let size =
                object.pointer("/spec/resources/requests/storage").and_then(parse).unwrap_or(Quantity::ZERO);
            usage.insert("requests.storage".into(), size);
            let class = text(object, "/spec/storageClassName");
            if !class.is_empty() {
                usage.insert(format!("{class}.storageclass.storage.k8s.io/persistentvolumeclaims"), one);
                usage.insert(format!("{class}.storageclass.storage.k8s.io/requests.storage"), size);
            }
        }
        "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas" => {
            usage.insert(plural.into(), one);
        }
        _ => {}
    }
    usage
}

fn pod_usage(pod: &Value, usage: &mut Usage) {
    if matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
        return;
    }
    usage.insert("pods".into(), Quantity::from_int(1));
    for (field, prefix) in [("requests", "requests."), ("limits", "limits.")] {
        for (name, amount) in pod_resources(pod, field) {
            if field == "requests" && matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
                usage.insert(name.clone(), amount);
            }
            usage.insert(format!("{prefix}{name}"), amount);
        }
    }
}

/// Containers together, or the greatest init container, whichever is more; plus overhead.
fn pod_resources(pod: &Value, field: &str) -> Usage {
    let of = |container: &Value| -> Usage {
        let all = container.pointer(&format!("/resources/{field}")).and_then(Value::as_object);
        all.into_iter().flatten().filter_map(|(name, value)| Some((name.clone(), parse(value)?))).collect()
    };
    let mut sum = Usage::new();
    for container in items(pod, "/spec/containers") {
        for (name, amount) in of(container) {
            let before = sum.get(&name).copied().unwrap_or(Quantity::ZERO);
            sum.insert(name, before.add(&amount));
        }
    }
    for container in items(pod, "/spec/initContainers") {
        for (name, amount) in of(container) {
            let before = sum.get(&name).copied().unwrap_or(Quantity::ZERO);
            if amount > before {
                sum.insert(name, amount);
            }
        }
    }
    for (name, value) in pod.pointer("/spec/overhead").and_then(Value::as_object).into_iter().flatten() {
        if let (Some(before), Some(more)) = (sum.get(name).copied(), parse(value)) {
            sum.insert(name.clone(), before.add(&more));
        }
    }
    sum
}

/// Compute resources under quota must be stated by every container.
fn unspecified(hard: &Usage, pod: &Value) -> Vec<String> {
    let mut missing = Vec::new();
    for resource in hard.keys() {
        let (field, name) = match resource.split_once('.') {
            Some(("limits", name @ ("cpu" | "memory"))) => ("limits", name),
            Some(("requests", name @ ("cpu" | "memory"))) => ("requests", name),
            None if matches!(resource.as_str(), "cpu" | "memory") => ("requests", resource.as_str()),
            _ => continue,
        };
        let without: Vec<&str> = super::containers(pod)
            .filter(|one| one.pointer(&format!("/resources/{field}/{name}")).is_none())
            .map(|one| text(one, "/name"))
            .collect();
        if !without.is_empty() {
            missing.push(format!("{resource} for: {}", without.join(",")));
        }
    }
    missing
}

/// Whether a quota counts an object, by its scopes.
fn in_scope(quota: &Value, plural: &str, object: &Value) -> bool {
    let plain =
        items(quota, "/spec/scopes").iter().filter_map(Value::as_str).map(|scope| (scope, "Exists", &[][..]));
    let selected = items(quota, "/spec/scopeSelector/matchExpressions")
        .iter()
        .map(|one| (text(one, "/scopeName"), text(one, "/operator"), items(one, "/values")));
    plain.chain(selected).all(|(scope, operator, values)| {
        if plural != "pods" {
            return false;
        }
        let finite = object.pointer("/spec/activeDeadlineSeconds").is_some_and(Value::is_number);
        let best_effort = || {
            super::containers(object).all(|one| {
                ["requests", "limits"].iter().all(|field| {
                    one.pointer(&format!("/resources/{field}"))
                        .and_then(Value::as_object)
                        .is_none_or(serde_json::Map::is_empty)
                })
            })
        };
        match scope {
            "Terminating" => finite,
            "NotTerminating" => !finite,
            "BestEffort" => best_effort(),
            "NotBestEffort" => !best_effort(),
            "PriorityClass" => {
                let class = text(object, "/spec/priorityClassName");
                match operator {
                    "In" => values.iter().any(|value| value == class),
                    "NotIn" => !values.iter().any(|value| value == class),
                    "DoesNotExist" => class.is_empty(),
                    _ => !class.is_empty(),
                }
            }
            _ => true,
        }
    })
}
