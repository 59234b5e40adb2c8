//! Whoever writes a resource that names another one must be allowed to use the other: every id in the read-back bodies,
//! written by somebody who may write everything and use nothing.

use std::collections::BTreeSet;

use arm::ResourceId;
use http::Method;
use serde_json::{Value, json};

use crate::read_back::{World, text};

/// Ids that may be named without a right to them, with the reason.
const FREE: &[(&str, &str, &str)] = &[
    (
        "Microsoft.Compute/virtualMachineScaleSets",
        "userAssignedIdentities",
        "assigned already: checked when it is new",
    ),
    (
        "Microsoft.Network/loadBalancers/inboundNatRules",
        "frontendIPConfiguration",
        "a part of the balancer that the rule is a part of too",
    ),
    (
        "Microsoft.ContainerRegistry/registries/tokens",
        "scopeMapId",
        "a part of the registry that the token is a part of too",
    ),
    ("Microsoft.OperationsManagement/solutions", "workspaceResourceId", "the provider looks it up"),
    ("Microsoft.Insights/metricAlerts", "scopes", "an alert watches what anybody may name"),
    ("Microsoft.Insights/metricAlerts", "actionGroupId", "an alert calls any group"),
    ("Microsoft.Insights/activityLogAlerts", "scopes", "an alert watches what anybody may name"),
    ("Microsoft.Insights/activityLogAlerts", "actionGroupId", "an alert calls any group"),
    ("Microsoft.Insights/dataCollectionRules", "dataCollectionEndpointId", "the provider looks it up"),
    ("Microsoft.Insights/dataCollectionRules", "workspaceResourceId", "the provider looks it up"),
    (
        "Microsoft.Insights/dataCollectionRuleAssociations",
        "dataCollectionRuleId",
        "checked by the provider, with read",
    ),
    ("Microsoft.Management/managementGroups", "parent", "checked by the front door, with write on it"),
    ("Microsoft.Authorization/roleAssignments", "roleDefinitionId", "a role is no resource one joins"),
];

/// Every id of a resource in a body, with the member that holds it; what is the written resource's own is left out.
fn named(own: &ResourceId, member: &str, value: &Value, found: &mut Vec<(String, ResourceId)>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                if let Ok(id) = ResourceId::parse(name)
                    && name.starts_with('/')
                {
                    found.push((member.to_owned(), id));
                }
                named(own, if name == "id" { member } else { name.as_str() }, value, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| named(own, member, value, found)),
        Value::String(text) if text.starts_with('/') => {
            let id = ResourceId::parse(text).ok().filter(|id| !id.types().is_empty() && !id.is_within(own));
            found.extend(id.map(|id| (member.to_owned(), id)));
        }
        _ => {}
    }
}

#[tokio::test]
async fn who_may_not_use_what_a_body_names_may_not_write_it() {
    let world = World::new().await;
    let somebody = world.stack.somebody("writer").await.unwrap();
    let token = world
        .stack
        .sign_in_as(&somebody.app_id, &somebody.secret, "https://management.azure.com")
        .await
        .unwrap();
    let role = world.subscription(
        "/providers/Microsoft.Authorization/roleDefinitions/5a3b0b5e-0f2c-4c8e-9a51-9d6a3c4b0009",
    );
    let body = json!({"properties": {"roleName": "Writer", "type": "CustomRole", "assignableScopes": [world.subscription("")],
        "permissions": [{"actions": ["*/write"], "notActions": [], "dataActions": [], "notDataActions": []}]}});
    world.write(Method::PUT, &role, "2022-04-01", &body).await.unwrap();
    let assignment = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/5a3b0b5e-0f2c-4c8e-9a51-9d6a3c4b0008",
        world.group
    );
    let body = json!({"properties": {"roleDefinitionId": role, "principalId": somebody.object_id, "principalType": "ServicePrincipal"}});
    world.write(Method::PUT, &assignment, "2022-04-01", &body).await.unwrap();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for row in world.rows() {
        let Some(at) = row["at"].as_str().filter(|at| at.starts_with('/') && row["body"].is_object()) else {
            continue;
        };
        let kind = text(&row["type"]);
        let version = row["version"]
            .as_str()
            .map_or_else(|| world.versions[&kind.to_ascii_lowercase()][0].clone(), str::to_owned);
        if let Err(error) = world.write(Method::PUT, at, &version, &row["body"]).await {
            wrong.push(format!("{kind}: {error}"));
            continue;
        }
        let mut ids = Vec::new();
        named(&ResourceId::parse(at).unwrap(), "", &row["body"], &mut ids);
        let free = |member: &str| FREE.iter().any(|(of, name, _)| *of == kind && *name == member);
        let expected: BTreeSet<String> =
            ids.iter().filter(|(member, _)| !free(member)).map(|(_, id)| id.key().to_owned()).collect();
        if expected.is_empty() {
            continue;
        }
        checked += 1;
        let path = format!("{at}?api-version={version}");
        let refused = world.stack.call(&token, Method::PUT, &path, &row["body"]).await.unwrap();
        if (refused.status.as_u16(), refused.code()) != (403, "LinkedAuthorizationFailed") {
            wrong.push(format!("{kind}: {} {}", refused.status, refused.body));
            continue;
        }
        let words = refused.message().split('\'').collect::<Vec<_>>();
        let begin = format!(
            "The client '{}' with object id '{}' has permission to perform action '{kind}/write' on scope '",
            words[1], somebody.object_id
        );
        if !refused.message().starts_with(&begin) {
            wrong.push(format!("{kind}: {}", refused.message()));
        }
        let said: BTreeSet<String> = words
            .iter()
            .rev()
            .nth(1)
            .into_iter()
            .flat_map(|scopes| scopes.split(','))
            .map(|scope| ResourceId::parse(scope).map_or_else(|_| scope.to_owned(), |id| id.key().to_owned()))
            .collect();
        if said != expected {
            wrong.push(format!("{kind}: refused for {said:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(checked >= 15, "only {checked} bodies name others");
}
