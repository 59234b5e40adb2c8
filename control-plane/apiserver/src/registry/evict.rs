//! `/binding` and `/eviction` of pods.

use api_model::selector::LabelSelector;
use api_model::{Cause, FieldPath};
use serde_json::{Value, json};

use super::manage::Who;
use super::modify::Modify;
use super::{ATTEMPTS_MAX, Registry, Target, admit, object};
use crate::attributes::{ApiError, Objects, Operation};
use crate::handlers::options::{DeleteOptions, Query, WriteOptions};

impl Registry {
    /// Binds a pod to a node, as the scheduler does.
    ///
    /// # Errors
    /// When the pod is gone, going, or bound already.
    pub async fn bind(
        &self,
        target: &Target,
        binding: &Value,
        options: &WriteOptions,
    ) -> Result<(), ApiError> {
        let mut binding = binding.clone();
        admit::judge(self, target, Operation::Create, &mut binding, options).await?;
        let binding = &binding;
        let node = object::text(binding, &["target", "name"]).to_owned();
        check_binding(target, binding)?;
        let now = object::timestamp(self.clock.now());
        let who = Who::updates(&options.manager, "binding");
        let pods = target.through("").judged();
        let modify = Modify { target: &pods, options, who: &who, checked: false };
        let refuse = |why: &str| ApiError::conflict("", "pods/binding", &target.name, why);
        let mut change = |old: &Value| {
            let uid = object::uid(binding);
            if !uid.is_empty() && uid != object::uid(old) {
                return Err(pods.another(uid, object::uid(old)));
            }
            if object::terminating(old) {
                return Err(refuse(&format!(
                    "pod {} is being deleted, cannot be assigned to a host",
                    target.name
                )));
            }
            let bound = object::text(old, &["spec", "nodeName"]);
            if !bound.is_empty() {
                return Err(refuse(&format!("pod {} is already assigned to node \"{bound}\"", target.name)));
            }
            if !object::items(old, &["spec", "schedulingGates"]).is_empty() {
                return Err(refuse(&format!("pod {} has non-empty .spec.schedulingGates", target.name)));
            }
            let mut new = old.clone();
            object::map_mut(&mut new, "spec").insert("nodeName".to_owned(), json!(node));
            for key in ["labels", "annotations"] {
                if let Some(given) = object::at(binding, &["metadata", key]).as_object() {
                    let own = object::meta_mut(&mut new).entry(key).or_insert_with(|| json!({}));
                    if let Value::Object(own) = own {
                        own.extend(given.clone());
                    }
                }
            }
            Ok(new)
        };
        self.modify_with(&modify, &mut change, Some(&|pod: &mut Value| set_scheduled(pod, &now)))
            .await
            .map(|_| ())
    }

    /// Evicts a pod, when the budget that covers it allows.
    ///
    /// # Errors
    /// 429 when the budget has nothing left.
    pub async fn evict(
        &self,
        target: &Target,
        eviction: &Value,
        options: &WriteOptions,
    ) -> Result<(), ApiError> {
        let body = object::at(eviction, &["deleteOptions"]);
        let asked = DeleteOptions::of(&Query::default(), body.is_object().then_some(body))?;
        let dry_run = asked.dry_run || options.dry_run;
        let mut eviction = eviction.clone();
        admit::judge(self, target, Operation::Create, &mut eviction, dry_run).await?;
        for _ in 0..ATTEMPTS_MAX {
            let pod = self.current(target).await?.ok_or_else(|| target.not_found())?.value();
            let way =
                if ends_anyway(&pod) { Way::Free } else { self.charge_budget(target, &pod, dry_run).await? };
            let mut delete = DeleteOptions { dry_run, ..asked.clone() };
            if way == Way::Free && delete.resource_version.is_none() {
                // Nothing was charged for the pod as it is seen here; another one has to be looked at again.
                delete.resource_version = Some(object::resource_version(&pod).to_owned());
            } else if !dry_run && asked.resource_version.is_none() {
                self.mark_evicted(target).await?;
            }
            match self.delete(&target.through("").judged(), &delete).await {
                Err(error)
                    if error.reason == "Conflict" && way == Way::Free && asked.resource_version.is_none() => {
                }
                result => return result.map(|_| ()),
            }
        }
        Err(target.modified())
    }

    /// Says in the pod's status that it goes because somebody asked for it.
    async fn mark_evicted(&self, target: &Target) -> Result<(), ApiError> {
        let now = object::timestamp(self.clock.now());
        let (options, who) = (WriteOptions::internal(MANAGER), Who::updates(MANAGER, "status"));
        let status = target.through("status").judged();
        let modify = Modify { target: &status, options: &options, who: &who, checked: false };
        let mut mark = |old: &Value| {
            let mut pod = old.clone();
            let conditions =
                object::map_mut(&mut pod, "status").entry("conditions").or_insert_with(|| json!([]));
            let mut condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": now});
            if let Some(generation) = object::number(old, &["metadata", "generation"]) {
                condition["observedGeneration"] = json!(generation);
            }
            if let Value::Array(list) = conditions {
                list.retain(|condition| object::text(condition, &["type"]) != "DisruptionTarget");
                list.push(condition);
            }
            Ok(pod)
        };
        self.modify(&modify, &mut mark).await.map(|_| ())
    }

    /// Takes the eviction of a pod from the budget that covers it.
    async fn charge_budget(&self, target: &Target, pod: &Value, dry_run: bool) -> Result<Way, ApiError> {
        let covering: Vec<_> = Objects::list(self, "policy", "poddisruptionbudgets", Some(&target.namespace))
            .into_iter()
            .filter(|budget| covers(budget, pod))
            .collect();
        if covering.len() > 1 {
            let why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(ApiError::new(500, "", why));
        }
        let (Some(budget), Some(served)) = (covering.first(), self.served("policy", "poddisruptionbudgets"))
        else {
            return Ok(Way::Charged);
        };
        if !ready(pod) && lets_unready_go(budget) {
            return Ok(Way::Free);
        }
        let name = object::name(budget);
        let at = Target::new(served, &target.namespace, name, target.user.clone()).through("status").judged();
        let options = WriteOptions { dry_run, ..WriteOptions::internal(MANAGER) };
        let who = Who::updates(MANAGER, "status");
        let modify = Modify { target: &at, options: &options, who: &who, checked: false };
        let now = object::timestamp(self.clock.now());
        self.modify(&modify, &mut |old| charged(old, &target.name, &now)).await?;
        Ok(Way::Charged)
    }
}

/// How an eviction may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The budget was charged, or there is none.
    Charged,
    /// The pod does not count for a budget.
    Free,
}

/// The most evictions whose pods a budget still remembers.
const DISRUPTED_MAX: usize = 2000;
/// Who writes budgets and pods here.
const MANAGER: &str = "kube-apiserver";
/// When to come back while a budget is being worked on, in seconds.
const BUDGET_RETRY_S: u32 = 10;

/// A pod that no budget holds: it does not run, or it is going already.
fn ends_anyway(pod: &Value) -> bool {
    matches!(object::text(pod, &["status", "phase"]), "Succeeded" | "Failed" | "Pending")
        || object::terminating(pod)
}

fn ready(pod: &Value) -> bool {
    object::items(pod, &["status", "conditions"]).iter().any(|condition| {
        object::text(condition, &["type"]) == "Ready" && object::text(condition, &["status"]) == "True"
    })
}

/// Whether a budget lets a pod go that is not ready, for nothing.
fn lets_unready_go(budget: &Value) -> bool {
    if object::text(budget, &["spec", "unhealthyPodEvictionPolicy"]) == "AlwaysAllow" {
        return true;
    }
    let status = |name: &str| object::number(budget, &["status", name]).unwrap_or(0);
    status("desiredHealthy") > 0 && status("currentHealthy") >= status("desiredHealthy")
}

/// The budget after one more eviction.
fn charged(old: &Value, pod: &str, now: &str) -> Result<Value, ApiError> {
    let name = object::name(old);
    let status = |field: &str| object::number(old, &["status", field]).unwrap_or(0);
    if status("observedGeneration") < object::number(old, &["metadata", "generation"]).unwrap_or(0) {
        let why = format!("The disruption budget {name} is still being processed by the server.");
        return Err(over_budget(&why, Some(BUDGET_RETRY_S)));
    }
    let refused = |why: &str| Err(ApiError::forbidden("policy", "poddisruptionbudget", name, why));
    if status("disruptionsAllowed") < 0 {
        return refused("pdb disruptions allowed is negative");
    }
    if object::at(old, &["status", "disruptedPods"])
        .as_object()
        .is_some_and(|pods| pods.len() > DISRUPTED_MAX)
    {
        return refused("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if status("disruptionsAllowed") == 0 {
        return Err(over_budget(&why_none_left(old), None));
    }
    let mut new = old.clone();
    let written = object::map_mut(&mut new, "status");
    written.insert("disruptionsAllowed".to_owned(), json!(status("disruptionsAllowed") - 1));
    let disrupted = written.entry("disruptedPods").or_insert_with(|| json!({}));
    object::set(disrupted, pod, json!(now));
    Ok(new)
}

fn why_none_left(budget: &Value) -> String {
    let name = object::name(budget);
    let failed = object::items(budget, &["status", "conditions"]).iter().find(|condition| {
        object::text(condition, &["type"]) == "DisruptionAllowed"
            && object::text(condition, &["reason"]) == "SyncFailed"
    });
    if let Some(failed) = failed {
        let why = object::text(failed, &["message"]);
        return format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {why}"
        );
    }
    let status = |field: &str| object::number(budget, &["status", field]).unwrap_or(0);
    let (wanted, have) = (status("desiredHealthy"), status("currentHealthy"));
    format!("The disruption budget {name} needs {wanted} healthy pods and has {have} currently")
}

fn over_budget(why: &str, retry_after_s: Option<u32>) -> ApiError {
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    let mut error = ApiError::new(429, "TooManyRequests", message);
    let mut details = json!({"causes": [{"reason": "DisruptionBudget", "message": why}]});
    if let Some(seconds) = retry_after_s {
        details["retryAfterSeconds"] = json!(seconds);
    }
    error.details = Some(details);
    error
}

/// Whether a budget's selector chooses the pod. One that cannot be read chooses nothing.
fn covers(budget: &Value, pod: &Value) -> bool {
    let selector = LabelSelector::from_object(Some(object::at(budget, &["spec", "selector"])));
    selector.is_ok_and(|selector| {
        selector.matches_with(|key| object::at(pod, &["metadata", "labels", key]).as_str())
    })
}

/// Refuses a binding that names no node.
fn check_binding(target: &Target, binding: &Value) -> Result<(), ApiError> {
    let (kind, name) =
        (object::text(binding, &["target", "kind"]), object::text(binding, &["target", "name"]));
    let mut causes = Vec::new();
    if !matches!(kind, "" | "Node") {
        let path = FieldPath::new("target.kind");
        causes.push(Cause::unsupported(&path, &json!(kind), &["Node", "<empty>"]));
    }
    if name.is_empty() {
        causes.push(Cause::required(&FieldPath::new("target.name"), ""));
    }
    if causes.is_empty() { Ok(()) } else { Err(ApiError::invalid("", "Binding", &target.name, &causes)) }
}

fn set_scheduled(pod: &mut Value, now: &str) {
    let status = object::map_mut(pod, "status");
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    if let Value::Array(list) = conditions {
        list.retain(|condition| object::text(condition, &["type"]) != "PodScheduled");
        list.push(json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now}));
    }
}
