//! Roles: permissions with wildcards. Those that are always there are data in [`built_in`](super::built_in).

use serde_json::{Value, json};

use crate::{Resource, ResourceId};

pub use super::built_in::{OWNER, USER_ACCESS_ADMINISTRATOR, built_in};

/// What a role lets do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permission {
    /// Allowed on the control plane.
    pub actions: Vec<String>,
    /// Taken away from `actions`.
    pub not_actions: Vec<String>,
    /// Allowed on data.
    pub data_actions: Vec<String>,
    /// Taken away from `data_actions`.
    pub not_data_actions: Vec<String>,
}

impl Permission {
    /// Whether a control-plane action is allowed.
    pub fn allows(&self, action: &str) -> bool {
        self.actions.iter().any(|p| matches(p, action))
            && !self.not_actions.iter().any(|p| matches(p, action))
    }

    /// Whether a data action is allowed.
    pub fn allows_data(&self, action: &str) -> bool {
        self.data_actions.iter().any(|p| matches(p, action))
            && !self.not_data_actions.iter().any(|p| matches(p, action))
    }

    /// As bodies carry it.
    pub fn to_json(&self) -> Value {
        json!({"actions": self.actions, "notActions": self.not_actions, "dataActions": self.data_actions,
            "notDataActions": self.not_data_actions})
    }

    /// Reads `permissions` of a body.
    pub fn read_list(value: Option<&Value>) -> Vec<Permission> {
        let list = |p: &Value, name: &str| -> Vec<String> {
            p.get(name)
                .and_then(Value::as_array)
                .map(|l| l.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
                .unwrap_or_default()
        };
        value
            .and_then(Value::as_array)
            .map(|permissions| {
                permissions
                    .iter()
                    .map(|p| Permission {
                        actions: list(p, "actions"),
                        not_actions: list(p, "notActions"),
                        data_actions: list(p, "dataActions"),
                        not_data_actions: list(p, "notDataActions"),
                    })
                    .collect()
            })
            .unwrap_or_default()
    }
}

/// Whether `action` fits `pattern`, in which `*` stands for anything, also for slashes; between two slashes it may stand
/// for nothing at all, and one of them: `vaults/*/read` is also `vaults/read`. (Managed Identity Operator may assign an
/// identity by `userAssignedIdentities/*/assign/action`.) Case does not matter.
pub fn matches(pattern: &str, action: &str) -> bool {
    fits(pattern.as_bytes(), action.as_bytes())
}

fn fits(pattern: &[u8], action: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where the last star was, and how much it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while from < action.len() {
        match pattern.get(at) {
            Some(b'*') => {
                let between = at > 0 && pattern[at - 1] == b'/' && pattern.get(at + 1) == Some(&b'/');
                let nothing = between && from > 0 && action[from - 1] == b'/';
                if nothing && fits(&pattern[at + 2..], &action[from..]) {
                    return true;
                }
                star = Some((at, from));
                at += 1;
            }
            Some(letter) if letter.eq_ignore_ascii_case(&action[from]) => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((place, taken)) = star else { return false };
                star = Some((place, taken + 1));
                (at, from) = (place + 1, taken + 1);
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == b'*')
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name in ids.
    pub guid: String,
    /// Its display name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// `BuiltInRole` or `CustomRole`.
    pub kind: String,
    /// What it lets do.
    pub permissions: Vec<Permission>,
    /// Where it may be assigned.
    pub assignable_scopes: Vec<String>,
    /// `createdOn`, `updatedOn`, `createdBy`, `updatedBy`.
    pub history: Value,
}

impl Role {
    /// A custom role from the store.
    pub fn from_resource(resource: &Resource) -> Self {
        let text =
            |name: &str| resource.properties.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        Self {
            guid: resource.name.clone(),
            name: text("roleName"),
            description: text("description"),
            kind: "CustomRole".to_owned(),
            permissions: Permission::read_list(resource.properties.get("permissions")),
            assignable_scopes: resource
                .properties
                .get("assignableScopes")
                .and_then(Value::as_array)
                .map(|l| l.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect())
                .unwrap_or_default(),
            history: ["createdOn", "updatedOn", "createdBy", "updatedBy"]
                .into_iter()
                .map(|name| (name.to_owned(), resource.properties.get(name).cloned().unwrap_or_default()))
                .collect(),
        }
    }

    /// Whether any permission lets do a control-plane action.
    pub fn allows(&self, action: &str) -> bool {
        self.permissions.iter().any(|p| p.allows(action))
    }

    /// As GET shows it; the id is in the subscription asked for.
    pub fn to_json(&self, scope: &ResourceId) -> Value {
        let prefix = scope.subscription_id().map(|s| s.to_string()).unwrap_or_default();
        let mut body = json!({
            "id": format!("{prefix}/providers/Microsoft.Authorization/roleDefinitions/{}", self.guid),
            "type": "Microsoft.Authorization/roleDefinitions", "name": self.guid,
            "properties": {
                "roleName": self.name, "type": self.kind, "description": self.description,
                "assignableScopes": self.assignable_scopes,
                "permissions": self.permissions.iter().map(Permission::to_json).collect::<Vec<_>>(),
            }
        });
        if let (Some(history), Some(properties)) =
            (self.history.as_object(), body["properties"].as_object_mut())
        {
            properties.extend(history.clone());
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::{built_in, matches};

    #[test]
    fn patterns() {
        let table = [
            ("*", "Microsoft.X/y/write", true),
            ("*/read", "Microsoft.X/y/read", true),
            ("*/read", "Microsoft.X/y/write", false),
            ("Microsoft.Network/*", "microsoft.network/virtualNetworks/subnets/join/action", true),
            ("Microsoft.Authorization/*/Write", "Microsoft.Authorization/roleAssignments/write", true),
            ("Microsoft.X/y/*/read", "Microsoft.X/y/read", true),
            ("Microsoft.X/y/*/read", "Microsoft.X/y/z/w/read", true),
            ("Microsoft.X/y/*/assign/action", "Microsoft.X/y/assign/action", true),
            ("Microsoft.X/y/*/assign/action", "Microsoft.X/y/action", false),
            ("Microsoft.X/y*/read", "Microsoft.X/yread", false),
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/*/c/*/d", "a/x/c/y/d", true),
            ("a/*/c/*/d", "a/x/y/d", false),
            ("*/*/read", "a/b/read", true),
            ("*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
            ("**", "", true),
            ("", "a", false),
        ];
        for (pattern, action, expected) in table {
            assert_eq!(matches(pattern, action), expected, "{pattern} {action}");
        }
    }

    #[test]
    fn contributor_cannot_assign_roles_and_reader_only_reads() {
        let role = |name: &str| built_in().iter().find(|r| r.name == name).unwrap().permissions[0].clone();
        assert!(role("Contributor").allows("Microsoft.Network/loadBalancers/write"));
        assert!(!role("Contributor").allows("Microsoft.Authorization/roleAssignments/write"));
        assert!(role("Owner").allows("Microsoft.Authorization/roleAssignments/write"));
        assert!(
            !role("Reader")
                .allows("Microsoft.ContainerService/managedClusters/listClusterUserCredential/action")
        );
        assert!(
            role("Azure Kubernetes Service RBAC Reader")
                .allows_data("Microsoft.ContainerService/managedClusters/pods/read")
        );
        assert!(
            !role("Azure Kubernetes Service RBAC Reader")
                .allows_data("Microsoft.ContainerService/managedClusters/secrets/read")
        );
    }
}
