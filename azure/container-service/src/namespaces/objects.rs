//! A managed namespace as objects of its cluster: a Namespace, a ResourceQuota and a NetworkPolicy, named and labelled as AKS does.
//!
//! Guarantees: what is applied again changes nothing; fields of the quota and the policy that others added go away. Does not: take labels and
//! annotations from the Namespace that somebody else put there, or enforce the policy: that is the network engine's.

use std::time::Duration;

use arm::Resource;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::{Map, Value, json};

use crate::json::text;

/// Marks what the resource manager owns.
pub(crate) const LABEL: &str = "kubernetes.azure.com/managedByArm";
/// The kinds that carry it: group, version, kind.
pub(crate) const KINDS: [(&str, &str, &str); 3] =
    [("", "v1", "Namespace"), ("", "v1", "ResourceQuota"), ("networking.k8s.io", "v1", "NetworkPolicy")];

const QUOTA: &str = "defaultresourcequota";
const POLICY: &str = "defaultnetworkpolicy";
const MANAGER: &str = "aks-namespace";
/// How long a Namespace may take to empty.
const GONE_DEADLINE: Duration = Duration::from_secs(600);
/// Written by `kubectl apply`; no difference to anybody.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What stands in the cluster under a namespace's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A Namespace that is managed already.
    Ours,
    /// Somebody's, which says what it shall say.
    Identical,
    /// Somebody's that differs.
    Different,
    /// One that is on its way out.
    Terminating,
}

fn resource((group, version, kind): (&str, &str, &str)) -> ApiResource {
    let mut resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    if kind == "NetworkPolicy" {
        resource.plural = "networkpolicies".to_owned();
    }
    resource
}

/// All objects of one of [`KINDS`].
pub(super) fn everywhere<K>(client: &kube::Client, kind: (&str, &str, &str)) -> Api<K>
where
    K: kube::Resource<DynamicType = ApiResource>,
{
    Api::all_with(client.clone(), &resource(kind))
}

/// What a managed namespace shall be in its cluster.
pub(super) struct Wish {
    name: String,
    labels: Value,
    annotations: Value,
    quota: Option<Value>,
    policy: Value,
}

impl Wish {
    /// From the stored resource.
    pub(super) fn of(namespace: &Resource) -> Self {
        let properties = &namespace.properties;
        let rule = |direction: &str| text(properties, &format!("/defaultNetworkPolicy/{direction}"));
        Self {
            name: namespace.name.clone(),
            labels: properties.get("labels").cloned().unwrap_or_else(|| json!({})),
            annotations: properties.get("annotations").cloned().unwrap_or_else(|| json!({})),
            quota: quota(&properties["defaultResourceQuota"]),
            policy: policy(rule("ingress").unwrap_or_default(), rule("egress").unwrap_or_default()),
        }
    }

    fn namespaces(client: &kube::Client) -> Api<DynamicObject> {
        everywhere(client, KINDS[0])
    }

    fn inside(&self, client: &kube::Client, kind: (&str, &str, &str)) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), &self.name, &resource(kind))
    }

    fn namespace(&self) -> Value {
        let mut labels = self.labels.clone();
        labels[LABEL] = json!("true");
        json!({ "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": self.name, "labels": labels, "annotations": self.annotations } })
    }

    fn object(&self, (group, version, kind): (&str, &str, &str), name: &str, spec: &Value) -> Value {
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        json!({ "apiVersion": api_version, "kind": kind,
            "metadata": { "name": name, "namespace": self.name, "labels": { LABEL: "true" } }, "spec": spec })
    }

    /// What is there already.
    pub(super) async fn look(&self, client: &kube::Client) -> Result<Found, kube::Error> {
        let Some(found) = Self::namespaces(client).get_opt(&self.name).await? else {
            return Ok(Found::Nothing);
        };
        let labels = found.metadata.labels.unwrap_or_default();
        if found.metadata.deletion_timestamp.is_some() {
            return Ok(Found::Terminating);
        }
        if labels.get(LABEL).is_some_and(|value| value == "true") {
            return Ok(Found::Ours);
        }
        let mut annotations = found.metadata.annotations.unwrap_or_default();
        annotations.remove(LAST_APPLIED);
        let same = json!(labels) == self.labels && json!(annotations) == self.annotations;
        let same = same
            && self.would_stay(client, KINDS[1], QUOTA, self.quota.as_ref()).await?
            && self.would_stay(client, KINDS[2], POLICY, Some(&self.policy)).await?;
        Ok(if same { Found::Identical } else { Found::Different })
    }

    /// Whether an object that is there would keep its specification.
    async fn would_stay(
        &self,
        client: &kube::Client,
        kind: (&str, &str, &str),
        name: &str,
        spec: Option<&Value>,
    ) -> Result<bool, kube::Error> {
        let api = self.inside(client, kind);
        let Some(found) = api.get_opt(name).await? else { return Ok(true) };
        let Some(spec) = spec else { return Ok(false) };
        // The API server knows which amounts are equal.
        let parameters = PatchParams::apply(MANAGER).force().dry_run();
        let patch = Patch::Apply(self.object(kind, name, spec));
        let would = api.patch(name, &parameters, &patch).await?;
        Ok(would.data["spec"] == found.data["spec"] && extras(&would.data["spec"], spec).is_none())
    }

    /// Makes everything as it shall be.
    pub(super) async fn make(&self, client: &kube::Client) -> Result<(), kube::Error> {
        let parameters = PatchParams::apply(MANAGER).force();
        let namespace = Patch::Apply(self.namespace());
        Self::namespaces(client).patch(&self.name, &parameters, &namespace).await?;
        match &self.quota {
            Some(spec) => self.keep(client, KINDS[1], QUOTA, spec).await?,
            None => ignore_absent(
                self.inside(client, KINDS[1]).delete(QUOTA, &DeleteParams::default()).await.map(|_| ()),
            )?,
        }
        self.keep(client, KINDS[2], POLICY, &self.policy).await
    }

    async fn keep(
        &self,
        client: &kube::Client,
        kind: (&str, &str, &str),
        name: &str,
        spec: &Value,
    ) -> Result<(), kube::Error> {
        let api = self.inside(client, kind);
        let patch = Patch::Apply(self.object(kind, name, spec));
        let kept = api.patch(name, &PatchParams::apply(MANAGER).force(), &patch).await?;
        if let Some(extras) = extras(&kept.data["spec"], spec) {
            let patch = Patch::Merge(json!({ "spec": extras }));
            api.patch(name, &PatchParams::default(), &patch).await?;
        }
        Ok(())
    }

    /// Lets go: everything stays and belongs to the cluster from now on.
    pub(super) async fn release(&self, client: &kube::Client) -> Result<(), kube::Error> {
        let patch = Patch::Merge(json!({ "metadata": { "labels": { LABEL: null } } }));
        for (kind, name) in [(KINDS[1], QUOTA), (KINDS[2], POLICY)] {
            let patched = self.inside(client, kind).patch(name, &PatchParams::default(), &patch).await;
            ignore_absent(patched.map(|_| ()))?;
        }
        let patched = Self::namespaces(client).patch(&self.name, &PatchParams::default(), &patch).await;
        ignore_absent(patched.map(|_| ()))
    }

    /// Deletes the Namespace with all that is in it; whether it was gone in time.
    pub(super) async fn destroy(&self, client: &kube::Client) -> Result<bool, kube::Error> {
        let namespaces = Self::namespaces(client);
        let Some(found) = namespaces.get_opt(&self.name).await? else { return Ok(true) };
        ignore_absent(namespaces.delete(&self.name, &DeleteParams::default()).await.map(|_| ()))?;
        let uid = found.metadata.uid.unwrap_or_default();
        let gone = await_condition(namespaces, &self.name, conditions::is_deleted(&uid));
        Ok(matches!(tokio::time::timeout(GONE_DEADLINE, gone).await, Ok(Ok(_))))
    }
}

fn ignore_absent(outcome: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match outcome {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        outcome => outcome,
    }
}

fn quota(quota: &Value) -> Option<Value> {
    let names = [
        ("cpuRequest", "requests.cpu"),
        ("cpuLimit", "limits.cpu"),
        ("memoryRequest", "requests.memory"),
        ("memoryLimit", "limits.memory"),
    ];
    let hard: Map<String, Value> = names
        .into_iter()
        .filter_map(|(member, name)| Some((name.to_owned(), quota.get(member)?.clone())))
        .collect();
    (!hard.is_empty()).then(|| json!({ "hard": hard }))
}

/// A policy with both directions: one that allows nothing has no rules.
fn policy(ingress: &str, egress: &str) -> Value {
    let mut spec = json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] });
    for (direction, peers, rule) in [("ingress", "from", ingress), ("egress", "to", egress)] {
        match rule {
            "AllowAll" => spec[direction] = json!([{}]),
            "AllowSameNamespace" => spec[direction] = json!([{ peers: [{ "podSelector": {} }] }]),
            _ => {}
        }
    }
    spec
}

/// A merge patch that takes away what is in `found` and not wanted.
fn extras(found: &Value, wanted: &Value) -> Option<Value> {
    let (found, wanted) = (found.as_object()?, wanted.as_object()?);
    let extras: Map<String, Value> = found
        .iter()
        .filter_map(|(key, value)| match wanted.get(key) {
            None => Some((key.clone(), Value::Null)),
            Some(wanted) => Some((key.clone(), extras(value, wanted)?)),
        })
        .collect();
    (!extras.is_empty()).then_some(Value::Object(extras))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_says_both_directions() {
        let same = |peers: &str| json!([{ peers: [{ "podSelector": {} }] }]);
        for (ingress, egress, rules) in [
            ("DenyAll", "DenyAll", json!({})),
            ("DenyAll", "AllowAll", json!({ "egress": [{}] })),
            (
                "AllowSameNamespace",
                "AllowSameNamespace",
                json!({ "ingress": same("from"), "egress": same("to") }),
            ),
        ] {
            let mut expected = json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] });
            expected.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
            assert_eq!(policy(ingress, egress), expected, "{ingress} {egress}");
        }
    }

    #[test]
    fn what_others_added_is_taken_away() {
        let wanted = json!({ "hard": { "requests.cpu": "1" } });
        assert_eq!(extras(&json!({ "hard": { "requests.cpu": "2" } }), &wanted), None);
        let found = json!({ "hard": { "requests.cpu": "1", "pods": "3" }, "scopes": ["Terminating"] });
        assert_eq!(extras(&found, &wanted), Some(json!({ "hard": { "pods": null }, "scopes": null })));
    }
}
