//! Locks, for each method at and below the locked scope; and what else is refused before a provider sees a request.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{World, anything};

const TYPES: &[&str] = &[
    "Microsoft.Network/virtualNetworks",
    "Microsoft.Network/virtualNetworks/subnets",
    "Microsoft.Storage/storageAccounts",
];
const ROLE: &str = "/providers/Microsoft.Authorization/roleAssignments/8e3af657-a8ff-443c-a75c-2fe8c4bcb635";

/// Method, path below the group, and which locks on the group refuse it: `d` deletions, `r` everything but reading.
const DEEDS: &[(&str, &str, &str)] = &[
    ("GET", "", ""),
    ("PATCH", "", "r"),
    ("DELETE", "", "dr"),
    ("GET", "/providers/Microsoft.Storage/storageAccounts/x", ""),
    ("PUT", "/providers/Microsoft.Storage/storageAccounts/x", "r"),
    ("PUT", "/providers/Microsoft.Storage/storageAccounts/new", "r"),
    ("PATCH", "/providers/Microsoft.Storage/storageAccounts/x", "r"),
    ("DELETE", "/providers/Microsoft.Storage/storageAccounts/x", "dr"),
    ("POST", "/providers/Microsoft.Storage/storageAccounts/x/listKeys", "r"),
    ("POST", "/providers/Microsoft.Storage/storageAccounts/x/regenerateKey", "r"),
    ("PUT", "/providers/Microsoft.Network/virtualNetworks/x/subnets/y", "r"),
    ("DELETE", "/providers/Microsoft.Network/virtualNetworks/x/subnets/x", "dr"),
    ("PUT", "/providers/Microsoft.Resources/tags/default", "r"),
    ("PUT", ROLE, "r"),
    ("DELETE", ROLE, "dr"),
    ("GET", "/providers/Microsoft.Authorization/locks/lock", ""),
    ("DELETE", "/providers/Microsoft.Authorization/locks/lock", ""),
];

/// The owner as Reader: an assignment that changes nothing.
fn reader(world: &World) -> Value {
    json!({"properties": {"principalId": world.owner.object_id,
        "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"}})
}

async fn locked(level: &str) -> World {
    let world = World::with_providers(anything(TYPES)).await;
    world.group("g").await;
    let group = world.group_path("g");
    for path in ["Microsoft.Storage/storageAccounts/x", "Microsoft.Network/virtualNetworks/x"] {
        let made = world.put(&format!("{group}/providers/{path}"), json!({"location": "eastus"})).await;
        assert_eq!(made.status, 201);
    }
    let subnet = format!("{group}/providers/Microsoft.Network/virtualNetworks/x/subnets/x");
    assert_eq!(world.put(&subnet, json!({})).await.status, 201);
    assert_eq!(world.put(&format!("{group}{ROLE}"), reader(&world)).await.status, 201);
    let lock = format!("{group}/providers/Microsoft.Authorization/locks/lock");
    assert_eq!(world.put(&lock, json!({"properties": {"level": level}})).await.status, 201);
    world
}

#[tokio::test]
async fn a_lock_refuses_what_its_level_says_of_every_method() {
    for (level, letter) in [("CanNotDelete", "d"), ("ReadOnly", "r")] {
        let mut kept = None;
        for (method, path, refused) in DEEDS {
            // What goes through may change what comes after: then it is another world.
            let world = match kept.take() {
                Some(world) => world,
                None => locked(level).await,
            };
            let group = world.group_path("g");
            let body = match *method {
                "PUT" if path.contains("roleAssignments") => reader(&world),
                "PUT" | "PATCH" => {
                    json!({"location": "eastus", "properties": {"tags": {}}, "tags": {"a": "b"}})
                }
                "POST" => json!({}),
                _ => Value::Null,
            };
            let answer = world.call(method.parse::<Method>().unwrap(), &format!("{group}{path}"), body).await;
            let locked = (answer.status.as_u16(), answer.code()) == (409, "ScopeLocked");
            assert_eq!(
                locked,
                refused.contains(letter),
                "{level} {method} {path}: {} {}",
                answer.status,
                answer.body
            );
            if locked {
                let deed = if *method == "DELETE" { "delete" } else { "write" };
                let words = format!(
                    "' cannot perform {deed} operation because following scope(s) are locked: '{group}'. Please remove the lock and try again."
                );
                assert!(answer.message().ends_with(&words), "{}", answer.message());
            }
            kept = (locked || *method == "GET").then_some(world);
        }
    }
}

#[tokio::test]
async fn a_lock_below_refuses_the_deletion_of_what_is_above() {
    let world = World::with_providers(anything(TYPES)).await;
    world.group("g").await;
    let network = format!("{}/providers/Microsoft.Network/virtualNetworks/x", world.group_path("g"));
    world.put(&network, json!({"location": "eastus"})).await;
    world.put(&format!("{network}/subnets/x"), json!({})).await;
    let lock = format!("{network}/subnets/x/providers/Microsoft.Authorization/locks/lock");
    world.put(&lock, json!({"properties": {"level": "CanNotDelete"}})).await;
    for path in [&network, &world.group_path("g")] {
        assert_eq!(world.delete(path).await.code(), "ScopeLocked", "{path}");
    }
    assert_eq!(world.put(&network, json!({"location": "eastus"})).await.status, 200);
}

#[tokio::test]
async fn a_member_at_the_wrong_place_is_refused_of_a_tracked_resource_and_dropped_of_others() {
    let world = World::with_providers(anything(TYPES)).await;
    world.group("g").await;
    let network = format!("{}/providers/Microsoft.Network/virtualNetworks/x", world.group_path("g"));
    let body = json!({"addressSpace": {}, "location": "eastus"});
    for method in [Method::PUT, Method::PATCH] {
        if method == Method::PATCH {
            assert_eq!(
                world.put(&network, json!({"location": "eastus", "plan": {"name": "p"}})).await.status,
                201
            );
        }
        let refused = world.call(method, &network, body.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "InvalidRequestContent"));
        assert_eq!(
            refused.message(),
            "The request content was invalid and could not be deserialized: 'Could not find member 'addressSpace' on object of type 'ResourceDefinition'. Path 'addressSpace', line 1, position 17.'."
        );
    }
    assert_eq!(world.get(&network).await.body["plan"], json!({"name": "p"}));
    let subnet = format!("{network}/subnets/s");
    assert_eq!(
        world.put(&subnet, json!({"addressPrefix": "10.0.0.0/24", "properties": {"a": 1}})).await.status,
        201
    );
    let shown = world.get(&subnet).await.body;
    assert_eq!((&shown["addressPrefix"], &shown["properties"]), (&Value::Null, &json!({"a": 1})));
}

#[tokio::test]
async fn conditions_and_policies_are_refused_by_name() {
    let world = World::new().await;
    world.group("g").await;
    let group = world.group_path("g");
    let body = |name: &str, value: &str| {
        json!({"properties": {"principalId": world.owner.object_id, name: value,
        "roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"}})
    };
    for (name, value) in [("condition", "@Resource[a:b] StringEquals 'c'"), ("conditionVersion", "2.0")] {
        let refused = world.put(&format!("{group}{ROLE}"), body(name, value)).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (501, "NotImplemented"), "{name}");
        assert_eq!(refused.body["error"]["target"], name);
    }
    assert_eq!(world.put(&format!("{group}{ROLE}"), body("condition", "")).await.status, 201);
    for kind in ["policyAssignments", "policyDefinitions", "policyExemptions"] {
        let path = format!("{group}/providers/Microsoft.Authorization/{kind}/p");
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let body = if method == Method::PUT { json!({"properties": {}}) } else { Value::Null };
            let refused = world.call(method.clone(), &path, body).await;
            assert_eq!((refused.status.as_u16(), refused.code()), (501, "NotImplemented"), "{method} {kind}");
            assert!(refused.message().contains(kind), "{}", refused.message());
        }
    }
}
