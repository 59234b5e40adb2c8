//! Azure RBAC for Kubernetes: role assignments in Resource Manager as an API server's last authoriser.
//!
//! A request becomes a data action (`Microsoft.ContainerService/managedClusters/apps/deployments/write`) at a scope (the cluster, or
//! `<cluster>/namespaces/<namespace>` and `<cluster>/managedNamespaces/<namespace>`), as AKS's authorisation webhook makes it, and is answered in its words. Who is no user of the directory (no
//! `oid`) gets no opinion. AKS keeps an answer for up to five minutes; here nothing is kept, so a change of assignments counts at once.

use std::sync::Arc;

use api_model::Model;
use apiserver::{Attributes, Decision, ExternalAuthorizer};
use arm::access::Access;
use arm::{ArmError, ResourceId};
use tokio::sync::SetOnce;

const PREFIX: &str = "Microsoft.ContainerService/managedClusters";
const NOT_ALLOWED: &str =
    "User does not have access to the resource in Azure. Update role assignment to allow access.";
const NO_OPINION: &str = "Azure does not have opinion for this user.";
const NOT_OF_THE_DIRECTORY: &str = "Azure does not have opinion for this non AAD user. If you are an AAD user, please set Extra:oid \
    parameter for impersonated user in the kubeconfig";
/// Served by others than the API server itself, and yet known to Azure as resources of their own.
const AGGREGATED: &str = "metrics.k8s.io";

/// One cluster's.
pub(super) struct AzureRbac {
    cluster: ResourceId,
    assignments: Arc<SetOnce<Access>>,
    model: Arc<Model>,
}

impl AzureRbac {
    /// For the cluster with this ARM id.
    pub(super) fn new(
        cluster: &str,
        assignments: Arc<SetOnce<Access>>,
        model: Arc<Model>,
    ) -> Result<Self, ArmError> {
        Ok(Self { cluster: ResourceId::parse(cluster)?, assignments, model })
    }

    /// Where assignments count: at a namespace those of `<cluster>/namespaces/<namespace>`, and those of the managed namespace.
    fn scopes(&self, namespace: &str) -> Vec<ResourceId> {
        match namespace {
            "" => vec![self.cluster.clone()],
            namespace => {
                ["namespaces", "managedNamespaces"].map(|kind| self.cluster.child(kind, namespace)).into()
            }
        }
    }

    /// Every data action that a request needs; none that Azure would know is none allowed.
    fn actions(&self, asked: &Attributes) -> Vec<String> {
        if !asked.is_resource {
            return vec![joined(&[PREFIX, asked.path.trim_matches('/'), action_of(&asked.verb)])];
        }
        let all = |word: &str| word == "*";
        if !all(&asked.group) && !all(&asked.resource) && !all(&asked.verb) {
            return vec![self.action(asked)];
        }
        let namespaced_only = !asked.namespace.is_empty();
        let known = self.model.resources().iter().filter(|one| {
            (all(&asked.group) || one.group == asked.group)
                && (all(&asked.resource) || one.plural == asked.resource)
                && (one.namespaced || !namespaced_only)
        });
        let verbs: &[&str] =
            if all(&asked.verb) { &["read", "write", "delete"] } else { &[action_of(&asked.verb)] };
        let mut found: Vec<String> = known
            .flat_map(|one| verbs.iter().map(|verb| joined(&[PREFIX, &one.group, &one.plural, verb])))
            .collect();
        found.sort();
        found.dedup();
        found
    }

    fn action(&self, asked: &Attributes) -> String {
        let Attributes { group, resource, subresource, verb, .. } = asked;
        if resource == "pods" && subresource == "exec" {
            return joined(&[PREFIX, group, "pods/exec/action"]);
        }
        // Words that are no resources (`users` to impersonate, `signers`) are in groups that are.
        let known = group == AGGREGATED || self.model.resources().iter().any(|one| one.group == *group);
        match known {
            true => joined(&[PREFIX, group, resource, action_of(verb)]),
            false => joined(&[PREFIX, "customresources", action_of(verb)]),
        }
    }
}

/// Non-empty parts with slashes between.
fn joined(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/")
}

/// A verb as Azure's operations end; other verbs end none.
fn action_of(verb: &str) -> &'static str {
    match verb {
        "get" | "list" | "watch" => "read",
        "create" | "patch" | "update" => "write",
        "delete" | "deletecollection" => "delete",
        "bind" => "bind/action",
        "escalate" => "escalate/action",
        "use" => "use/action",
        "impersonate" => "impersonate/action",
        _ => "",
    }
}

fn no_opinion(reason: &str) -> Decision {
    Decision::NoOpinion { reason: reason.to_owned() }
}

impl ExternalAuthorizer for AzureRbac {
    fn authorize(&self, asked: &Attributes) -> Decision {
        let user = &asked.user;
        if user.name.to_ascii_lowercase().starts_with("system:") {
            return no_opinion(NO_OPINION);
        }
        let Some(object_id) = user.extra.get("oid").and_then(|ids| ids.first()) else {
            return no_opinion(NOT_OF_THE_DIRECTORY);
        };
        let denied = Decision::Deny { reason: NOT_ALLOWED.to_owned() };
        let Some(access) = self.assignments.get() else { return denied };
        let is_id = |id: &&String| uuid::Uuid::try_parse(id).is_ok();
        let groups: Vec<String> = user.groups.iter().filter(is_id).cloned().collect();
        let scopes = self.scopes(&asked.namespace);
        let mut first = None;
        for action in self.actions(asked) {
            let granted = |scope| access.data_grant(object_id, &groups, &action, scope);
            match scopes.iter().find_map(granted) {
                Some(assignment) => first = first.or(Some(assignment)),
                None => return denied,
            }
        }
        let Some(assignment) = first else { return denied };
        let role = assignment.properties["roleDefinitionId"].as_str().unwrap_or_default();
        let role = role.rsplit('/').next().unwrap_or_default();
        Decision::Allow {
            reason: format!(
                "Access allowed by Azure RBAC Role Assignment {} of Role {} to user {}",
                assignment.name.replace('-', ""),
                role.replace('-', ""),
                user.name
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_become_data_actions() {
        let cluster =
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c";
        let model = Model::load("1.35").unwrap();
        let asked = AzureRbac::new(cluster, Arc::default(), model).unwrap();
        let table = [
            ("get", "", "pods", "", "pods/read"),
            ("watch", "", "pods", "log", "pods/read"),
            ("create", "", "pods", "exec", "pods/exec/action"),
            ("create", "", "pods", "portforward", "pods/write"),
            ("patch", "apps", "deployments", "scale", "apps/deployments/write"),
            ("deletecollection", "batch", "jobs", "", "batch/jobs/delete"),
            (
                "bind",
                "rbac.authorization.k8s.io",
                "clusterroles",
                "",
                "rbac.authorization.k8s.io/clusterroles/bind/action",
            ),
            ("impersonate", "", "users", "", "users/impersonate/action"),
            ("list", "example.com", "widgets", "", "customresources/read"),
            ("list", "metrics.k8s.io", "pods", "", "metrics.k8s.io/pods/read"),
            ("approve", "certificates.k8s.io", "signers", "", "certificates.k8s.io/signers"),
        ];
        for (verb, group, resource, subresource, wanted) in table {
            let attributes = Attributes {
                is_resource: true,
                verb: verb.into(),
                group: group.into(),
                resource: resource.into(),
                subresource: subresource.into(),
                ..Attributes::default()
            };
            assert_eq!(
                asked.actions(&attributes),
                [format!("{PREFIX}/{wanted}")],
                "{verb} {group}/{resource}"
            );
        }
        let path = Attributes { verb: "get".into(), path: "/metrics".into(), ..Attributes::default() };
        assert_eq!(asked.actions(&path), [format!("{PREFIX}/metrics/read")]);
        let at = asked.scopes("dev");
        assert_eq!(at[0].to_string(), format!("{cluster}/namespaces/dev"));
        assert_eq!(at[1].to_string(), format!("{cluster}/managedNamespaces/dev"));
    }
}
