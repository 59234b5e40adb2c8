//! `vaults/accessPolicies/{add|replace|remove}`: a PUT that changes some of a vault's policies.

use arm::json::{list, text};
use arm::{ArmError, Ctx, Deleted, Put, Resource, ResourceId, ResourceType, TypeDescriptor, Written};
use async_trait::async_trait;
use http::StatusCode;
use serde_json::{Value, json};

use super::{API_VERSIONS, shape};

/// The three deeds; none is ever kept as a resource.
pub(super) struct Policies;

/// Whom a policy is for: tenant, object and, for applications on behalf of users, the application.
fn whom(policy: &Value) -> (String, String, String) {
    let of = |name: &str| text(policy, name).unwrap_or_default().to_ascii_lowercase();
    (of("/tenantId"), of("/objectId"), of("/applicationId"))
}

/// One permission more or less in one kind's list.
fn permissions(policy: &Value, kind: &str) -> Vec<Value> {
    list(policy, &format!("/permissions/{kind}")).to_vec()
}

fn same(one: &Value, other: &Value) -> bool {
    one.as_str().unwrap_or_default().eq_ignore_ascii_case(other.as_str().unwrap_or_default())
}

/// The policies after the deed.
fn changed(deed: &str, old: &[Value], given: &[Value]) -> Vec<Value> {
    let mut made = old.to_vec();
    for policy in given {
        let at = made.iter().position(|other| whom(other) == whom(policy));
        match (deed, at) {
            ("add", Some(at)) => merge(&mut made[at], policy, true),
            ("remove", Some(at)) => {
                merge(&mut made[at], policy, false);
                let empty = |kind: &str| permissions(&made[at], kind).is_empty();
                if ["keys", "secrets", "certificates", "storage"].into_iter().all(empty) {
                    made.remove(at);
                }
            }
            ("remove", None) => {}
            (_, Some(at)) => made[at] = policy.clone(),
            (_, None) => made.push(policy.clone()),
        }
    }
    made
}

fn merge(into: &mut Value, policy: &Value, add: bool) {
    for kind in ["keys", "secrets", "certificates", "storage"] {
        let named = permissions(policy, kind);
        if named.is_empty() {
            continue;
        }
        let mut kept = permissions(into, kind);
        if add {
            for permission in named {
                if !kept.iter().any(|other| same(other, &permission)) {
                    kept.push(permission);
                }
            }
        } else {
            kept.retain(|other| !named.iter().any(|permission| same(other, permission)));
        }
        into["permissions"][kind] = Value::Array(kept);
    }
}

#[async_trait]
impl ResourceType for Policies {
    fn descriptor(&self) -> TypeDescriptor {
        TypeDescriptor {
            created: StatusCode::OK,
            ..TypeDescriptor::new("Microsoft.KeyVault/vaults/accessPolicies", API_VERSIONS)
        }
    }

    async fn put(&self, ctx: &Ctx, request: Put<'_>) -> Result<Written, ArmError> {
        let deed = request.id.name().to_ascii_lowercase();
        if !matches!(deed.as_str(), "add" | "replace" | "remove") {
            return Err(ArmError::bad_request(
                "BadRequest",
                format!("The operation '{deed}' on access policies is not add, replace or remove."),
            ));
        }
        let given = shape::policies(list(request.properties(), "/accessPolicies"))?;
        let vault = request.id.top();
        let mut after = Vec::new();
        let (mut refused, mut location) = (None, None);
        let written = ctx.resources.modify(&vault, |vault| {
            let old = list(&vault.properties, "/accessPolicies").to_vec();
            location = vault.location.clone();
            match shape::policies(&changed(&deed, &old, &given)) {
                Ok(made) => after = made,
                Err(error) => {
                    refused = Some(error);
                    return false;
                }
            }
            vault.properties["accessPolicies"] = json!(after);
            after != old
        });
        written.await?;
        if let Some(error) = refused {
            return Err(error);
        }
        Ok(Written::Elsewhere(json!({
            "id": format!("{vault}/accessPolicies/"), "type": "Microsoft.KeyVault/vaults/accessPolicies",
            "location": location, "properties": {"accessPolicies": after},
        })))
    }

    async fn delete(&self, _: &Ctx, _: &Resource) -> Result<Deleted, ArmError> {
        Ok(Deleted::Done)
    }

    async fn get(&self, _: &Ctx, _: &ResourceId) -> Result<Option<Resource>, ArmError> {
        Ok(None)
    }

    async fn list(&self, _: &Ctx, _: &ResourceId) -> Result<Vec<Resource>, ArmError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(object: &str, secrets: &[&str]) -> Value {
        json!({"tenantId": "t", "objectId": object, "permissions": {"secrets": secrets}})
    }

    #[test]
    fn deeds() {
        let old = [policy("a", &["get"]), policy("b", &["list"])];
        let table = [
            ("add", vec![policy("A", &["Get", "set"])], json!([["get", "set"], ["list"]])),
            ("add", vec![policy("c", &["get"])], json!([["get"], ["list"], ["get"]])),
            ("replace", vec![policy("a", &["set"])], json!([["set"], ["list"]])),
            ("remove", vec![policy("a", &["get"])], json!([["list"]])),
            ("remove", vec![policy("c", &["get"])], json!([["get"], ["list"]])),
        ];
        for (deed, given, expected) in table {
            let made = changed(deed, &old, &given);
            let shown: Vec<_> = made.iter().map(|p| p["permissions"]["secrets"].clone()).collect();
            assert_eq!(json!(shown), expected, "{deed} {given:?}");
        }
    }
}
