//! Cluster roles that are the sum of others, chosen by labels.

use std::sync::Arc;

use informers::objects::is_deleting;
use informers::{Error, Informer, Key, Next, Queue, selector};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::{Api, Patch, PatchParams};

use crate::context::Context;

/// Starts the loop.
pub(crate) fn start(context: &Context) {
    let roles = context.informer::<ClusterRole>();
    let client = context.client("clusterrole-aggregation-controller");
    let queue = Queue::new();
    let (all, waiting) = (roles.clone(), queue.clone());
    roles.subscribe(move |change| {
        waiting.add(Key::of(change.object().as_ref()));
        let sums = all.list().into_iter().filter(|r| r.aggregation_rule.is_some());
        sums.for_each(|r| waiting.add(Key::of(r.as_ref())));
    });
    let r = roles.clone();
    context.loops.run(
        "clusterrole-aggregation-controller",
        1,
        queue,
        async move { r.synced().await },
        move |key| {
            let (roles, client) = (roles.clone(), client.clone());
            async move { sync(&roles, client, &key).await }
        },
    );
}

/// The rules of all roles that a sum's selectors choose, each once, in the order of the roles' names.
fn sum(role: &ClusterRole, all: &[Arc<ClusterRole>]) -> Option<Vec<PolicyRule>> {
    let selectors = role.aggregation_rule.as_ref()?.cluster_role_selectors.clone().unwrap_or_default();
    let mut rules: Vec<PolicyRule> = Vec::new();
    for other in all.iter().filter(|o| o.metadata.name != role.metadata.name) {
        if !selectors.iter().any(|s| selector::matches_opt(s, other.metadata.labels.as_ref())) {
            continue;
        }
        for rule in other.rules.iter().flatten() {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    Some(rules)
}

async fn sync(roles: &Informer<ClusterRole>, client: kube::Client, key: &Key) -> Result<Next, Error> {
    let Some(role) = roles.get(key).filter(|r| !is_deleting(&r.metadata)) else { return Ok(None) };
    let Some(rules) = sum(&role, &roles.list()) else { return Ok(None) };
    if role.rules.as_deref().unwrap_or_default() == rules {
        return Ok(None);
    }
    let patch = serde_json::json!({
        "metadata": {"resourceVersion": role.metadata.resource_version}, "rules": rules,
    });
    let api: Api<ClusterRole> = Api::all(client);
    roles.observe(api.patch(&key.name, &PatchParams::default(), &Patch::Merge(&patch)).await?);
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_added_up_once() {
        let role = |name: &str, aggregate: bool| -> Arc<ClusterRole> {
            let rule = serde_json::json!({"verbs": ["get"], "resources": ["pods"], "apiGroups": [""]});
            let sum = serde_json::json!({"clusterRoleSelectors": [{"matchLabels": {"to": "view"}}]});
            Arc::new(
                serde_json::from_value(serde_json::json!({
                    "metadata": {"name": name, "labels": {"to": "view"}},
                    "rules": if aggregate { serde_json::json!([]) } else { serde_json::json!([rule]) },
                    "aggregationRule": aggregate.then_some(sum),
                }))
                .unwrap(),
            )
        };
        let all = [role("a", false), role("b", false), role("view", true)];
        assert_eq!(sum(&all[2], &all).unwrap().len(), 1);
        assert_eq!(sum(&all[0], &all), None);
    }
}
