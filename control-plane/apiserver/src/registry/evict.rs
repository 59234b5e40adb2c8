//! `/binding` and `/eviction` of pods.

use serde_json::{Value, json};

use super::manage::Who;
use super::modify::Modify;
use super::remove::Removed;
use super::{Registry, Target, admit, object};
use crate::attributes::{ApiError, Objects, Operation};
use crate::handlers::options::{DeleteOptions, WriteOptions};

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
        let kind = object::text(binding, &["target", "kind"]);
        if node.is_empty() || !(kind.is_empty() || kind == "Node") {
            let path = api_model::FieldPath::new("target.name");
            return Err(ApiError::invalid(
                "",
                "Binding",
                &target.name,
                &[api_model::Cause::required(&path, "")],
            ));
        }
        let now = object::timestamp(self.clock.now());
        let who = Who::updates(&options.manager, "binding");
        let modify = Modify { target: &target.through("").judged(), options, who: &who, checked: false };
        let refuse = |why: &str| ApiError::conflict("", "pods/binding", &target.name, why);
        let mut change = |old: &Value| {
            let uid = object::uid(binding);
            if !uid.is_empty() && uid != object::uid(old) {
                return Err(refuse(&format!(
                    "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                    object::uid(old)
                )));
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

    /// Evicts a pod, when the budgets that cover it allow.
    ///
    /// # Errors
    /// 429 when a budget has nothing left.
    pub async fn evict(&self, target: &Target, eviction: &Value, dry_run: bool) -> Result<(), ApiError> {
        let body = object::at(eviction, &["deleteOptions"]);
        let query = crate::handlers::options::Query::default();
        let mut options = DeleteOptions::of(&query, body.is_object().then_some(body))?;
        options.dry_run |= dry_run;
        let mut eviction = eviction.clone();
        admit::judge(self, target, Operation::Create, &mut eviction, options.dry_run).await?;
        let pod = self.current(target).await?.ok_or_else(|| target.not_found())?.value();
        let ended = matches!(object::text(&pod, &["status", "phase"]), "Succeeded" | "Failed" | "Pending");
        if !ended && !object::terminating(&pod) {
            self.charge_budgets(target, &pod, options.dry_run).await?;
        }
        match self.delete(&target.through("").judged(), &options).await? {
            Removed::Gone(_) | Removed::Marked(_) => Ok(()),
        }
    }

    async fn charge_budgets(&self, target: &Target, pod: &Value, dry_run: bool) -> Result<(), ApiError> {
        let covering: Vec<_> = Objects::list(self, "policy", "poddisruptionbudgets", Some(&target.namespace))
            .into_iter()
            .filter(|budget| covers(budget, pod))
            .collect();
        if covering.len() > 1 {
            return Err(ApiError::internal(
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            ));
        }
        let (Some(budget), Some(served)) = (covering.first(), self.served("policy", "poddisruptionbudgets"))
        else {
            return Ok(());
        };
        let name = object::name(budget).to_owned();
        let at =
            Target::new(served, &target.namespace, &name, target.user.clone()).through("status").judged();
        let mut options = WriteOptions::internal("apiserver");
        options.dry_run = dry_run;
        let who = Who::updates("apiserver", "status");
        let modify = Modify { target: &at, options: &options, who: &who, checked: false };
        let now = object::timestamp(self.clock.now());
        let pod_name = target.name.clone();
        self.modify(&modify, &mut |old| {
            let allowed = object::number(old, &["status", "disruptionsAllowed"]).unwrap_or(0);
            let observed = object::number(old, &["status", "observedGeneration"]).unwrap_or(0);
            if observed < object::number(old, &["metadata", "generation"]).unwrap_or(0) {
                return Err(over_budget(
                    &name,
                    "The disruption budget is still being processed by the server.",
                ));
            }
            if allowed <= 0 {
                let healthy = object::number(old, &["status", "currentHealthy"]).unwrap_or(0);
                let wanted = object::number(old, &["status", "desiredHealthy"]).unwrap_or(0);
                let why = format!(
                    "The disruption budget {name} needs {wanted} healthy pods and has {healthy} currently"
                );
                return Err(over_budget(&name, &why));
            }
            let mut new = old.clone();
            let status = object::map_mut(&mut new, "status");
            status.insert("disruptionsAllowed".to_owned(), json!(allowed - 1));
            let disrupted = status.entry("disruptedPods").or_insert_with(|| json!({}));
            object::set(disrupted, &pod_name, json!(now));
            Ok(new)
        })
        .await
        .map(|_| ())
    }
}

fn over_budget(_: &str, why: &str) -> ApiError {
    let mut error = ApiError::new(
        429,
        "TooManyRequests",
        "Cannot evict pod as it would violate the pod's disruption budget.",
    );
    error.details = Some(json!({"causes": [{"reason": "DisruptionBudget", "message": why}]}));
    error
}

fn covers(budget: &Value, pod: &Value) -> bool {
    let selector = object::at(budget, &["spec", "selector"]);
    if !selector.is_object() {
        return false;
    }
    let label = |key: &str| object::at(pod, &["metadata", "labels", key]).as_str();
    let exact = object::at(selector, &["matchLabels"])
        .as_object()
        .is_none_or(|wanted| wanted.iter().all(|(key, value)| label(key) == value.as_str()));
    exact
        && object::items(selector, &["matchExpressions"]).iter().all(|expression| {
            let have = label(object::text(expression, &["key"]));
            let listed = object::items(expression, &["values"]).iter().any(|value| value.as_str() == have);
            match object::text(expression, &["operator"]) {
                "In" => have.is_some() && listed,
                "NotIn" => !listed,
                "Exists" => have.is_some(),
                _ => have.is_none(),
            }
        })
}

fn set_scheduled(pod: &mut Value, now: &str) {
    let status = object::map_mut(pod, "status");
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    if let Value::Array(list) = conditions {
        list.retain(|condition| object::text(condition, &["type"]) != "PodScheduled");
        list.push(json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now}));
    }
}
