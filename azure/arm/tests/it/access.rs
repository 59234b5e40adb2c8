//! Roles, locks, deny assignments.

use http::Method;
use serde_json::{Value, json};

use crate::harness::World;

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";

async fn assign(world: &World, scope: &str, role: &str, principal: &str) -> String {
    let id = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", uuid::Uuid::new_v4());
    let body = json!({"properties": {"roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"), "principalId": principal}});
    let answer = world.put(&id, body.clone()).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let twin = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", uuid::Uuid::new_v4());
    assert_eq!(world.put(&twin, body).await.code(), "RoleAssignmentExists");
    id
}

#[tokio::test]
async fn roles_reach_down_and_no_further() {
    let world = World::new().await;
    for group in ["one", "two"] {
        world.group(group).await;
        world.put(&world.widget(group, "w"), json!({"location": "eastus"})).await;
    }
    let (somebody, token) = world.somebody("somebody").await;
    let see =
        async |path: String| world.as_who(&token, Method::GET, &path, Value::Null).await.status.as_u16();
    assert_eq!(see(world.widget("one", "w")).await, 403);
    assert!(
        world.as_who(&token, Method::GET, "/subscriptions", Value::Null).await.body["value"]
            .as_array()
            .unwrap()
            .is_empty()
    );

    let reader = assign(&world, &world.group_path("one"), READER, &somebody).await;
    assert_eq!(see(world.widget("one", "w")).await, 200);
    assert_eq!(see(world.widget("two", "w")).await, 403);
    let groups = world
        .as_who(&token, Method::GET, &format!("/subscriptions/{}/resourcegroups", world.sub), Value::Null)
        .await;
    assert_eq!(groups.body["value"].as_array().unwrap().len(), 1, "only what one may see is listed");
    let resources = world
        .as_who(&token, Method::GET, &format!("/subscriptions/{}/resources", world.sub), Value::Null)
        .await;
    assert_eq!(resources.body["value"].as_array().unwrap().len(), 1);

    let refused =
        world.as_who(&token, Method::PUT, &world.widget("one", "x"), json!({"location": "eastus"})).await;
    assert_eq!(refused.status, 403);
    assert!(refused.message().contains(&format!("with object id '{somebody}' does not have authorization to perform action 'Microsoft.Test/widgets/write' over scope '{}'", world.widget("one", "x"))), "{}", refused.message());

    assign(&world, &world.group_path("one"), CONTRIBUTOR, &somebody).await;
    assert_eq!(
        world
            .as_who(&token, Method::PUT, &world.widget("one", "x"), json!({"location": "eastus"}))
            .await
            .status,
        201
    );
    let own = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/{}",
        world.group_path("one"),
        uuid::Uuid::new_v4()
    );
    assert_eq!(
        world.as_who(&token, Method::PUT, &own, json!({"properties": {}})).await.code(),
        "AuthorizationFailed"
    );

    let here = world.get(&format!("{}/providers/Microsoft.Authorization/roleAssignments?$filter=atScope() and assignedTo('{somebody}')", world.group_path("one"))).await;
    assert_eq!(here.body["value"].as_array().unwrap().len(), 2);
    world.delete(&reader).await;
    assert_eq!(world.delete(&reader).await.status, 204);
}

#[tokio::test]
async fn custom_roles_and_names() {
    let world = World::new().await;
    world.group("g").await;
    let definitions =
        format!("/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions", world.sub);
    let found = world.get(&format!("{definitions}?$filter=roleName eq 'acrpull'")).await;
    assert_eq!(found.body["value"][0]["name"], "7f951dda-4ed3-4680-a7ca-43fe172d538d");
    let guid = uuid::Uuid::new_v4();
    let role = json!({"properties": {"roleName": "Echoer", "permissions": [{"actions": ["Microsoft.Test/widgets/echo/action", "*/read"]}], "assignableScopes": [world.group_path("g")]}});
    assert_eq!(world.put(&format!("{definitions}/{guid}"), role).await.status, 201);
    let (somebody, token) = world.somebody("echoer").await;
    assign(&world, &world.group_path("g"), &guid.to_string(), &somebody).await;
    world.put(&world.widget("g", "w"), json!({"location": "eastus"})).await;
    let echo = format!("{}/echo", world.widget("g", "w"));
    assert_eq!(world.as_who(&token, Method::POST, &echo, json!({"a": 1})).await.status, 200);
    assert_eq!(world.as_who(&token, Method::DELETE, &world.widget("g", "w"), Value::Null).await.status, 403);
}

#[tokio::test]
async fn locks_and_deny_assignments_stop_even_owners() {
    let world = World::new().await;
    world.group("g").await;
    let widget = world.widget("g", "w");
    world.put(&widget, json!({"location": "eastus"})).await;
    let lock = format!("{}/providers/Microsoft.Authorization/locks/l", world.group_path("g"));
    world.put(&lock, json!({"properties": {"level": "CanNotDelete"}})).await;
    assert_eq!(world.delete(&widget).await.code(), "ScopeLocked");
    assert_eq!(world.delete(&world.group_path("g")).await.code(), "ScopeLocked");
    assert_eq!(world.put(&widget, json!({"location": "eastus"})).await.status, 200);
    world.put(&lock, json!({"properties": {"level": "ReadOnly"}})).await;
    assert_eq!(world.put(&widget, json!({"location": "eastus"})).await.code(), "ScopeLocked");
    assert_eq!(world.delete(&lock).await.status, 200);

    let deny = format!(
        "{}/providers/Microsoft.Authorization/denyAssignments/{}",
        world.group_path("g"),
        uuid::Uuid::new_v4()
    );
    let body = json!({"properties": {"denyAssignmentName": "lockdown", "permissions": [{"actions": ["*/write", "*/delete"], "notActions": []}],
        "principals": [{"id": "00000000-0000-0000-0000-000000000000", "type": "SystemDefined"}], "excludePrincipals": []}});
    assert_eq!(world.put(&deny, body.clone()).await.status, 403, "customers cannot make them");
    let cloud = world.front.ctx("Microsoft.ContainerService").arm;
    cloud.put(&deny, "2022-04-01", body).await.unwrap();
    assert_eq!(
        world.put(&widget, json!({"location": "eastus"})).await.code(),
        "DenyAssignmentAuthorizationFailed"
    );
    assert_eq!(world.get(&widget).await.status, 200);
}
