//! Role assignments and definitions, links between resources, management groups, locks: the finer points.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{World, anything};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

fn assignment(scope: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{}", uuid::Uuid::new_v4())
}

fn grant(role: &str, principal: &str) -> Value {
    json!({"properties": {"roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"), "principalId": principal}})
}

#[tokio::test]
async fn assignments_are_checked_and_never_become_others() {
    let world = World::new().await;
    world.group("g").await;
    let (who, _) = world.somebody("somebody").await;
    let (other, _) = world.somebody("other").await;
    let group = world.group_path("g");
    let id = assignment(&group);
    let first = world.put(&id, grant(READER, &who)).await;
    assert_eq!(first.status, 201, "{}", first.body);
    assert_eq!(first.body["properties"]["principalType"], "ServicePrincipal");
    let again = world.put(&id, grant(READER, &who)).await;
    assert_eq!((again.status.as_u16(), &again.body), (200, &first.body), "the same again changes nothing");

    let elsewhere = format!("/subscriptions/{}", world.sub) + id.trim_start_matches(&group);
    let nobody = uuid::Uuid::new_v4().to_string();
    let typed = |kind: &str, principal: &str| {
        let mut body = grant(READER, principal);
        body["properties"]["principalType"] = json!(kind);
        body
    };
    let conditional = {
        let mut body = grant(CONTRIBUTOR, &who);
        body["properties"]["condition"] = json!("@Resource[x] StringEquals 'y'");
        body
    };
    let missing = format!("{}/providers/Microsoft.Test/widgets/gone", group);
    let table = [
        (id.clone(), grant(READER, &other), 400, "RoleAssignmentUpdateNotPermitted"),
        (id.clone(), grant(CONTRIBUTOR, &who), 400, "RoleAssignmentUpdateNotPermitted"),
        (elsewhere, grant(READER, &who), 400, "RoleAssignmentUpdateNotPermitted"),
        (assignment(&group), grant(READER, &who), 409, "RoleAssignmentExists"),
        (
            assignment(&group),
            grant(&uuid::Uuid::new_v4().to_string(), &who),
            404,
            "RoleDefinitionDoesNotExist",
        ),
        (assignment(&group), grant(READER, "me"), 400, "InvalidPrincipalId"),
        (assignment(&group), grant(READER, &nobody), 400, "PrincipalNotFound"),
        (assignment(&group), typed("User", &nobody), 400, "PrincipalNotFound"),
        (assignment(&group), typed("User", &other), 400, "UnmatchedPrincipalType"),
        (assignment(&group), typed("Robot", &other), 400, "InvalidPrincipalType"),
        (assignment(&group), conditional, 501, "NotImplemented"),
        (assignment(&world.group_path("nowhere")), grant(READER, &other), 404, "ResourceGroupNotFound"),
        (assignment(&missing), grant(READER, &other), 404, "ResourceNotFound"),
        (
            format!("{group}/providers/Microsoft.Authorization/roleAssignments/x"),
            grant(READER, &other),
            400,
            "InvalidRoleAssignmentId",
        ),
        (assignment(&group), typed("ServicePrincipal", &nobody), 201, ""),
    ];
    for (path, body, status, code) in table {
        let answer = world.put(&path, body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn lists_of_assignments_are_filtered_as_az_filters_them() {
    let world = World::new().await;
    world.group("g").await;
    let (who, _) = world.somebody("somebody").await;
    let (group, subscription) = (world.group_path("g"), format!("/subscriptions/{}", world.sub));
    world.put(&world.widget("g", "w"), json!({"location": "eastus"})).await;
    for scope in [&subscription, &group, &world.widget("g", "w")] {
        assert_eq!(world.put(&assignment(scope), grant(READER, &who)).await.status, 201);
    }
    let count = async |scope: &str, filter: &str| {
        let path = format!("{scope}/providers/Microsoft.Authorization/roleAssignments?$filter={filter}");
        world.get(&path).await.body["value"].as_array().map(Vec::len)
    };
    assert_eq!(count(&group, "atScope()").await, Some(3), "the owner's and two of somebody's");
    assert_eq!(count(&group, &format!("principalId eq '{who}'")).await, Some(3), "above and below as well");
    assert_eq!(count(&group, &format!("atScope() and assignedTo('{who}')")).await, Some(2));
    assert_eq!(count(&subscription, &format!("atScope() and principalId eq '{who}'")).await, Some(1));
    let unknown = format!("{group}/providers/Microsoft.Authorization/roleAssignments?$filter=scope eq 'x'");
    assert_eq!(world.get(&unknown).await.code(), "UnsupportedQuery");
}

#[tokio::test]
async fn roles_of_ones_own_are_checked_and_stay_while_they_are_used() {
    let world = World::new().await;
    world.group("g").await;
    world.group("h").await;
    let group = world.group_path("g");
    let definitions =
        format!("/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions", world.sub);
    let role = |scopes: Value, actions: Value| json!({"properties": {"roleName": "Mine", "description": "d", "permissions": [{"actions": actions}], "assignableScopes": scopes}});
    let guid = uuid::Uuid::new_v4().to_string();
    let path = format!("{definitions}/{guid}");
    let foreign = uuid::Uuid::new_v4();
    let table = [
        (path.clone(), role(json!([]), json!(["*/read"])), "InvalidRoleDefinition"),
        (path.clone(), role(json!(["/"]), json!(["*/read"])), "InvalidRoleDefinition"),
        (path.clone(), role(json!([group]), json!([])), "InvalidRoleDefinition"),
        (path.clone(), role(json!([group]), json!(["nonsense"])), "InvalidActionOrNotAction"),
        (path.clone(), role(json!([group]), json!([7])), "InvalidActionOrNotAction"),
        (path.clone(), role(json!([world.group_path("gone")]), json!(["*/read"])), "ResourceGroupNotFound"),
        (
            path.clone(),
            role(json!([format!("/subscriptions/{foreign}")]), json!(["*/read"])),
            "LinkedAuthorizationFailed",
        ),
        (format!("{definitions}/x"), role(json!([group]), json!(["*/read"])), "InvalidRoleDefinitionId"),
        (
            format!("{definitions}/{READER}"),
            role(json!([group]), json!(["*/read"])),
            "InvalidRoleDefinitionId",
        ),
    ];
    for (path, body, code) in table {
        let answer = world.put(&path, body.clone()).await;
        assert_eq!(answer.code(), code, "{body}: {}", answer.body);
    }
    assert_eq!(world.put(&path, role(json!([group]), json!(["*/read"]))).await.status, 201);
    let twin = format!("{definitions}/{}", uuid::Uuid::new_v4());
    assert_eq!(
        world.put(&twin, role(json!([group]), json!(["*/read"]))).await.code(),
        "RoleDefinitionWithSameNameExists"
    );
    let (who, token) = world.somebody("somebody").await;
    let outside = world.put(&assignment(&world.group_path("h")), grant(&guid, &who)).await;
    assert_eq!(outside.code(), "RoleDefinitionDoesNotExist", "it cannot be assigned where it is not for");
    let id = assignment(&group);
    assert_eq!(world.put(&id, grant(&guid, &who)).await.status, 201);
    assert_eq!(world.as_who(&token, Method::GET, &group, Value::Null).await.status, 200);
    let used = world.delete(&path).await;
    assert_eq!((used.status.as_u16(), used.code()), (400, "RoleDefinitionHasAssignments"));
    world.put(&path, role(json!([group]), json!(["Microsoft.Test/*"]))).await;
    assert_eq!(world.as_who(&token, Method::GET, &group, Value::Null).await.status, 403, "at once");
    world.delete(&id).await;
    assert_eq!(world.delete(&path).await.status, 200);
    assert_eq!(world.get(&path).await.code(), "RoleDefinitionDoesNotExist");
    assert_eq!(world.delete(&format!("{definitions}/{OWNER}")).await.code(), "InvalidRoleDefinitionId");
}

#[tokio::test]
async fn a_resource_that_names_others_needs_the_right_to_use_them() {
    let types = [
        "Microsoft.Network/virtualNetworks",
        "Microsoft.Network/virtualNetworks/subnets",
        "Microsoft.Network/networkInterfaces",
        "Microsoft.ManagedIdentity/userAssignedIdentities",
    ];
    let world = World::with_providers(anything(&types)).await;
    for group in ["mine", "theirs"] {
        world.group(group).await;
    }
    let network = format!("{}/providers/Microsoft.Network/virtualNetworks/v", world.group_path("theirs"));
    let identity = format!(
        "{}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i",
        world.group_path("theirs")
    );
    for path in [&network, &identity] {
        assert_eq!(world.put(path, json!({"location": "eastus"})).await.status, 201);
    }
    let subnet = format!("{network}/subnets/s");
    world.put(&subnet, json!({})).await;
    let (who, token) = world.somebody("somebody").await;
    world.put(&assignment(&world.group_path("mine")), grant(CONTRIBUTOR, &who)).await;
    let interface = format!("{}/providers/Microsoft.Network/networkInterfaces/n", world.group_path("mine"));
    let body = json!({"location": "eastus", "properties": {"ipConfigurations": [{"name": "a", "properties": {"subnet": {"id": subnet}}}]}});
    let refused = world.as_who(&token, Method::PUT, &interface, body.clone()).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "LinkedAuthorizationFailed"));
    let text = format!(
        "has permission to perform action 'Microsoft.Network/networkInterfaces/write' on scope '{interface}'; however, it does not have permission to perform action(s) 'Microsoft.Network/virtualNetworks/subnets/join/action' on the linked scope(s) '{subnet}' (respectively) or the linked scope(s) are invalid."
    );
    assert!(refused.message().ends_with(&text), "{}", refused.message());
    let network_contributor = "4d97b98b-1d4f-4787-a291-c67834d212e7";
    assert_eq!(world.put(&assignment(&subnet), grant(network_contributor, &who)).await.status, 201);
    assert_eq!(world.as_who(&token, Method::PUT, &interface, body).await.status, 201);

    let with = json!({"location": "eastus", "identity": {"type": "UserAssigned", "userAssignedIdentities": {(identity.clone()): {}}}});
    let refused = world.as_who(&token, Method::PUT, &interface, with.clone()).await;
    assert_eq!(refused.code(), "LinkedAuthorizationFailed");
    let operator = "f1a07417-d97a-45cb-824c-7a7467783830";
    assert_eq!(world.put(&assignment(&identity), grant(operator, &who)).await.status, 201);
    assert_eq!(world.as_who(&token, Method::PUT, &interface, with).await.status, 200);
}

#[tokio::test]
async fn roles_come_down_from_management_groups() {
    let world = World::new().await;
    world.group("g").await;
    let root = format!("/providers/Microsoft.Management/managementGroups/{}", world.entra.tenant_id());
    let team = "/providers/Microsoft.Management/managementGroups/team";
    assert_eq!(world.get(&root).await.status, 403, "an owner of the subscription has nothing above it");
    let elevate = "/providers/Microsoft.Authorization/elevateAccess";
    assert_eq!(world.call(Method::POST, elevate, Value::Null).await.status, 200);
    assert_eq!(world.put(&assignment(&root), grant(OWNER, &world.owner.object_id)).await.status, 201);
    assert_eq!(world.get(&root).await.body["properties"]["displayName"], "Tenant Root Group");
    let made = world.put(team, json!({"properties": {"displayName": "Team"}})).await;
    assert_eq!(made.status, 200, "{}", made.body);
    assert_eq!(made.body["properties"]["details"]["parent"]["id"], json!(root));

    let (who, token) = world.somebody("somebody").await;
    assert_eq!(world.put(&assignment(team), grant(READER, &who)).await.status, 201);
    let see =
        async || world.as_who(&token, Method::GET, &world.group_path("g"), Value::Null).await.status.as_u16();
    assert_eq!(see().await, 403, "the subscription is not in the group yet");
    let into = format!("{team}/subscriptions/{}", world.sub);
    assert_eq!(world.put(&into, Value::Null).await.status, 200);
    assert_eq!(see().await, 200);
    let listed = world.as_who(&token, Method::GET, "/subscriptions", Value::Null).await;
    assert_eq!(listed.body["value"].as_array().unwrap().len(), 1);
    assert_eq!(world.delete(team).await.code(), "BadRequest", "it has a child");
    let path = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments?$filter=atScope() and principalId eq '{who}'",
        world.group_path("g")
    );
    let inherited = world.get(&path).await;
    assert_eq!(inherited.body["value"][0]["properties"]["scope"], json!(team));
    assert_eq!(world.delete(&into).await.status, 200);
    assert_eq!(see().await, 403);
    // Groups below groups: what is assigned above comes down to the subscription.
    let at = |name: &str| format!("/providers/Microsoft.Management/managementGroups/{name}");
    let under = |parent: &str| json!({"properties": {"details": {"parent": {"id": at(parent)}}}});
    let mut parent = "team".to_owned();
    for level in 2..=6 {
        let name = format!("level{level}");
        assert_eq!(world.put(&at(&name), under(&parent)).await.status, 200, "{name}");
        parent = name;
    }
    assert_eq!(world.put(&at("level7"), under("level6")).await.code(), "BadRequest");
    assert_eq!(world.put(team, under("level3")).await.code(), "BadRequest", "it would be below itself");
    assert_eq!(
        world.put(&format!("{}/subscriptions/{}", at("level6"), world.sub), Value::Null).await.status,
        200
    );
    assert_eq!(see().await, 200);
    let tree = world.get(&format!("{team}?$expand=children&$recurse=true")).await.body;
    let inner = "/properties/children/0/children/0/children/0/children/0/children/0/children/0/id";
    assert_eq!(tree.pointer(inner), Some(&json!(format!("/subscriptions/{}", world.sub))), "{tree}");
    assert_eq!(world.get(&format!("{team}/descendants")).await.body["value"].as_array().unwrap().len(), 6);
    let entities = world.call(Method::POST, "/providers/Microsoft.Management/getEntities", Value::Null).await;
    assert_eq!((entities.status.as_u16(), &entities.body["count"]), (200, &json!(8)), "{}", entities.body);
    let moved = json!({"parentGroupId": root});
    assert_eq!(world.call(Method::PATCH, &at("level5"), moved).await.status, 200);
    assert_eq!(see().await, 403, "the subscription went with the group");
    let theirs = world.as_who(&token, Method::PUT, &at("theirs"), under("level5")).await;
    assert_eq!(theirs.status, 403, "who may not write to the parent makes no group");
    let out = format!("{}/subscriptions/{}", at("level6"), world.sub);
    assert_eq!(world.delete(&out).await.status, 200);
    assert_eq!(world.delete(team).await.code(), "BadRequest", "it has a child");
    for level in [6, 5, 4, 3, 2] {
        assert_eq!(world.delete(&at(&format!("level{level}"))).await.status, 202);
    }
    assert_eq!(world.delete(team).await.status, 202);
    assert_eq!(world.delete(team).await.status, 204);
    let below = json!({"properties": {"details": {"parent": {"id": "/providers/Microsoft.Management/managementGroups/nope"}}}});
    assert_eq!(world.put(team, below).await.status, 404);
}

#[tokio::test]
async fn what_is_assigned_to_a_group_is_assigned_to_its_members() {
    let world = World::new().await;
    world.group("g").await;
    let (who, _) = world.somebody("member").await;
    let graph =
        world.sign_in(&world.owner.app_id, &world.owner.secret, "https://graph.microsoft.com/.default").await;
    let mut groups = Vec::new();
    for name in ["inner", "outer"] {
        let body =
            json!({"displayName": name, "mailEnabled": false, "mailNickname": name, "securityEnabled": true});
        let made = world.graph(Method::POST, "/v1.0/groups", body, &graph).await;
        groups.push(made.body["id"].as_str().unwrap().to_owned());
    }
    let join = async |group: &str, member: &str| {
        let body =
            json!({"@odata.id": format!("https://graph.microsoft.com/v1.0/directoryObjects/{member}")});
        let path = format!("/v1.0/groups/{group}/members/$ref");
        assert_eq!(world.graph(Method::POST, &path, body, &graph).await.status, 204);
    };
    join(&groups[1], &groups[0]).await;
    let group = world.group_path("g");
    assert_eq!(world.put(&assignment(&group), grant(READER, &groups[1])).await.status, 201);
    join(&groups[0], &who).await;
    let path =
        format!("{group}/providers/Microsoft.Authorization/roleAssignments?$filter=assignedTo('{who}')");
    assert_eq!(world.get(&path).await.body["value"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_read_only_lock_stops_writes_deletes_and_posts_below_it() {
    let world = World::new().await;
    world.group("g").await;
    let (group, widget) = (world.group_path("g"), world.widget("g", "w"));
    world.put(&widget, json!({"location": "eastus"})).await;
    let lock = format!("/subscriptions/{}/providers/Microsoft.Authorization/locks/all", world.sub);
    assert_eq!(
        world.put(&lock, json!({"properties": {"level": "ReadOnly", "notes": "n"}})).await.status,
        201
    );
    assert_eq!(
        world.put(&lock, json!({"properties": {"level": "ReadOnly", "notes": "n"}})).await.status,
        200
    );
    let table = [
        (Method::PUT, widget.clone(), json!({"location": "eastus"})),
        (Method::PATCH, widget.clone(), json!({"tags": {}})),
        (Method::DELETE, widget.clone(), Value::Null),
        (Method::POST, format!("{widget}/echo"), json!({})),
        (Method::PATCH, group.clone(), json!({"tags": {}})),
        (Method::DELETE, group.clone(), Value::Null),
        (
            Method::PUT,
            format!("{widget}/providers/Microsoft.Resources/tags/default"),
            json!({"properties": {"tags": {}}}),
        ),
        (Method::PUT, assignment(&group), grant(READER, &world.owner.object_id)),
        (
            Method::PUT,
            format!("{group}/providers/Microsoft.Resources/deployments/d"),
            json!({"properties": {"template": {}}}),
        ),
    ];
    for (method, path, body) in table {
        let answer = world.call(method.clone(), &path, body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (409, "ScopeLocked"),
            "{method} {path}: {}",
            answer.body
        );
        assert!(answer.message().contains("because following scope(s) are locked: '/subscriptions/"));
    }
    assert_eq!(world.get(&widget).await.status, 200);
    let listed = world.get(&format!("{widget}/providers/Microsoft.Authorization/locks")).await;
    assert_eq!(listed.body["value"][0]["properties"], json!({"level": "ReadOnly", "notes": "n"}));
    assert_eq!(world.delete(&lock).await.status, 200);
    assert_eq!(world.delete(&widget).await.status, 200);
}
