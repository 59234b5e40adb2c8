//! Resources come, change and go.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{HOST, World};

#[tokio::test]
async fn a_resource_is_made_shown_changed_and_deleted() {
    let world = World::new().await;
    world.group("g").await;
    let id = world.widget("g", "w");
    let made = world
        .put(
            &id,
            json!({"location": "eastus", "properties": {"size": 1}, "identity": {"type": "SystemAssigned"}}),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let principal = made.body["identity"]["principalId"].as_str().unwrap().to_owned();
    assert_eq!(world.entra.principal(&principal).unwrap().kind, "ServicePrincipal");
    assert_eq!(made.body["systemData"]["createdByType"], "Application");
    let etag = made.body["etag"].as_str().unwrap().to_owned();

    let patched = world.call(Method::PATCH, &id, json!({"tags": {"a": "1"}})).await;
    assert_eq!((patched.status.as_u16(), &patched.body["tags"]["a"]), (200, &json!("1")));
    assert_eq!(patched.body["properties"]["size"], 1);
    assert_eq!(patched.body["identity"]["principalId"], json!(principal));

    let with = |method: Method, name: &'static str, value: String| {
        http::Request::builder()
            .method(method)
            .uri(format!("{id}?api-version=2025-01-01"))
            .header("host", HOST)
            .header("authorization", format!("Bearer {}", world.token))
            .header(name, value)
    };
    let body = r#"{"location":"eastus"}"#;
    assert_eq!(world.send(with(Method::PUT, "if-match", etag), body).await.status, 412);
    assert_eq!(world.send(with(Method::PUT, "if-none-match", "*".to_owned()), body).await.status, 412);
    assert_eq!(world.send(with(Method::PUT, "if-match", "*".to_owned()), body).await.status, 200);

    let part = format!("{id}/parts/p");
    assert_eq!(world.put(&part, json!({"properties": {"n": 1}})).await.status, 201);
    assert_eq!(
        world.get(&format!("{id}/parts")).await.body["value"][0]["type"],
        "Microsoft.Test/widgets/parts"
    );
    assert_eq!(world.call(Method::POST, &format!("{id}/echo"), json!({"x": 1})).await.body, json!({"x": 1}));
    assert_eq!(world.call(Method::POST, &format!("{id}/dance"), Value::Null).await.code(), "NotImplemented");

    assert_eq!(world.delete(&id).await.status, 200);
    assert_eq!(world.get(&part).await.code(), "ResourceNotFound");
    assert_eq!(world.delete(&id).await.status, 204);
    assert!(world.entra.principal(&principal).is_none(), "the identity goes with its resource");
}

#[tokio::test]
async fn operations_can_be_followed_and_survive_a_restart() {
    let world = World::new().await;
    world.group("g").await;
    let id = world.widget("g", "slow");
    let made = world.put(&id, json!({"location": "eastus", "properties": {"slow": true}})).await;
    assert_eq!(
        (made.status.as_u16(), &made.body["properties"]["provisioningState"]),
        (201, &json!("Creating"))
    );
    assert_eq!(made.header("retry-after"), "1");
    assert_eq!(world.follow(&made).await["status"], "Succeeded");
    assert_eq!(world.get(&id).await.body["properties"]["provisioningState"], "Succeeded");

    let broken = world
        .put(
            &world.widget("g", "b"),
            json!({"location": "eastus", "properties": {"slow": true, "broken": true}}),
        )
        .await;
    let end = world.follow(&broken).await;
    assert_eq!((&end["status"], &end["error"]["code"]), (&json!("Failed"), &json!("WidgetBroken")));

    // An operation that nobody ended before the service stopped.
    let resource = arm::ResourceId::parse(&id).unwrap();
    let left = world.front.operations().create(&resource, "update", "eastus").await.unwrap().id().to_owned();
    let world = world.restarted().await;
    assert_eq!(world.get(&id).await.body["properties"]["provisioningState"], "Failed");
    let record = world.front.operations().get(&left).unwrap();
    assert_eq!(record.error.unwrap().code, "OperationInterrupted");

    let gone = world.delete(&id).await;
    assert_eq!(gone.status, 202);
    assert!(gone.header("location").contains("/operationresults/"));
    assert_eq!(world.follow(&gone).await["status"], "Succeeded");
    assert_eq!(world.get(&id).await.status, 404);
}

/// Each of these is a moment between two writes at which the power may fail.
#[tokio::test]
async fn what_a_power_cut_left_half_done_gets_an_end_at_the_next_start() {
    let world = World::new().await;
    world.group("g").await;
    let id = |name: &str| arm::ResourceId::parse(&world.widget("g", name)).unwrap();
    let never = world.entra.managed_identity_create(&id("never").to_string()).await.unwrap();
    world.put(&world.widget("g", "half"), json!({"location": "eastus", "properties": {}})).await;
    let updating = |widget: &mut arm::Resource| {
        widget.set_provisioning_state("Updating");
        true
    };
    world.front.resources().modify(&id("half"), updating).await.unwrap();
    let group = arm::ResourceId::parse(&world.group_path("g")).unwrap();
    let mut running = arm::Resource::new(group.extension("Microsoft.Resources/deployments", "d"));
    running.properties = json!({"provisioningState": "Running", "mode": "Incremental"});
    let deployment = world.front.resources().save(running).await.unwrap().id;
    let operations = world.front.operations();
    let gone = operations.create_delete(&id("gone"), "eastus").await.unwrap().id().to_owned();

    let world = world.restarted().await;
    assert!(world.entra.principal(&never.principal_id).is_none(), "an identity of nothing");
    let half = world.get(&world.widget("g", "half")).await.body;
    assert_eq!(half["properties"]["provisioningState"], "Failed");
    let shown = world.get(&deployment.to_string()).await.body;
    assert_eq!(shown["properties"]["error"]["code"], "DeploymentInterrupted", "{shown}");
    let record = world.front.operations().get(&gone).unwrap();
    assert_eq!(record.status, arm::OperationStatus::Succeeded, "what is gone was deleted");
}

#[tokio::test]
async fn deleting_a_group_deletes_what_is_in_it() {
    let world = World::new().await;
    world.group("g").await;
    for name in ["a", "b"] {
        world
            .put(&world.widget("g", name), json!({"location": "eastus", "properties": {"slow": name == "a"}}))
            .await;
    }
    let list = world
        .get(&format!("/subscriptions/{}/resources?$filter=resourceGroup eq 'G' and name eq 'a'", world.sub))
        .await;
    assert_eq!(list.body["value"].as_array().unwrap().len(), 1);
    let path = world.group_path("g");
    assert_eq!(world.call(Method::HEAD, &path, Value::Null).await.status, 204);
    let gone = world.delete(&path).await;
    assert_eq!(gone.status, 202);
    let url = gone.header("location").trim_start_matches("https://localhost:8443").to_owned();
    loop {
        let request = http::Request::get(&url)
            .header("host", HOST)
            .header("authorization", format!("Bearer {}", world.token));
        let state = world.send(request, "").await;
        if state.status != 202 {
            assert_eq!(state.status, 200, "{}", state.body);
            break;
        }
    }
    assert_eq!(world.call(Method::HEAD, &path, Value::Null).await.status, 404);
    assert_eq!(world.get(&world.widget("g", "a")).await.code(), "ResourceGroupNotFound");
    let log = world.get(&format!("/subscriptions/{}/providers/Microsoft.Insights/eventtypes/management/values?$filter=resourceGroupName eq 'g'", world.sub)).await;
    let deeds: Vec<&str> = log.body["value"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e["operationName"]["value"].as_str())
        .collect();
    assert!(deeds.contains(&"Microsoft.Test/widgets/delete"), "{deeds:?}");
}

#[tokio::test]
async fn the_client_in_the_process_speaks_as_an_identity_and_is_refused_like_anyone() {
    let world = World::new().await;
    world.group("g").await;
    let made = world
        .put(&world.widget("g", "w"), json!({"location": "eastus", "identity": {"type": "SystemAssigned"}}))
        .await;
    let principal = made.body["identity"]["principalId"].as_str().unwrap();
    let arm = world.front.ctx("Microsoft.Resources").arm.with_identity(principal);
    let refused =
        arm.put(world.widget("g", "x"), "2025-01-01", json!({"location": "eastus"})).await.unwrap_err();
    assert_eq!(refused.code, "AuthorizationFailed");
    let role = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/{}",
        world.group_path("g"),
        uuid::Uuid::new_v4()
    );
    let contributor =
        "/providers/Microsoft.Authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c";
    let body = json!({"properties": {"roleDefinitionId": contributor, "principalId": principal, "principalType": "ServicePrincipal"}});
    assert_eq!(world.put(&role, body).await.status, 201);
    let slow = json!({"location": "eastus", "properties": {"slow": true}});
    let reply = arm.put(world.widget("g", "x"), "2025-01-01", slow).await.unwrap().done().await.unwrap();
    assert_eq!(reply["properties"]["provisioningState"], "Succeeded");
    arm.delete(world.widget("g", "x"), "2025-01-01").await.unwrap().done().await.unwrap();
    assert!(arm.find(world.widget("g", "x"), "2025-01-01").await.unwrap().is_none());
}

/// A group's deletion that a restart interrupts is still the caller's: in the log, and in what they may do.
#[tokio::test]
async fn a_deletion_goes_on_after_a_restart_as_whoever_asked_for_it() {
    for keeps_the_role in [true, false] {
        let world = World::new().await;
        world.group("g").await;
        let (who, token) = world.somebody("somebody").await;
        let role = world.grant("b24988ac-6180-42a0-ab88-20f7382dd24c", &who, &world.group_path("g")).await;
        let widget = world.widget("g", "w");
        let body = json!({"location": "eastus", "properties": {"slow": true, "stays": true}});
        let made = world.put(&widget, body).await;
        assert_eq!(world.follow(&made).await["status"], "Succeeded");
        let gone = world.as_who(&token, Method::DELETE, &world.group_path("g"), Value::Null).await;
        assert_eq!(gone.status, 202, "{}", gone.body);
        let id = arm::ResourceId::parse(&widget).unwrap();
        let mut changed = world.front.resources().watch();
        while world.front.resources().get(&id).unwrap().provisioning_state() != Some("Deleting") {
            changed.changed().await.unwrap();
        }
        let lets_go = |widget: &mut arm::Resource| {
            widget.properties["stays"] = json!(false);
            true
        };
        world.front.resources().modify(&id, lets_go).await.unwrap();
        if !keeps_the_role {
            assert_eq!(world.delete(&role).await.status, 200);
        }
        let world = world.restarted().await;
        let events = world.front.activity().events().len();
        let group = arm::ResourceId::parse(&world.group_path("g")).unwrap();
        let operation = world.front.operations().running().into_iter().find(|o| o.resource == group);
        let ended = match operation {
            Some(operation) => world.front.operations().wait(&operation.id).await.unwrap().status,
            None => arm::OperationStatus::Succeeded,
        };
        let log = world.front.activity().events();
        let deeds: Vec<_> = log.iter().filter(|e| e.action == "Microsoft.Test/widgets/delete").collect();
        let correlation =
            &log.iter().find(|e| e.action.ends_with("resourceGroups/delete")).unwrap().correlation_id;
        assert!(!deeds.is_empty() && deeds.iter().all(|e| e.caller_id == who), "{deeds:?} {events}");
        assert!(deeds.iter().all(|e| e.correlation_id == *correlation), "{deeds:?}");
        assert_eq!(ended == arm::OperationStatus::Succeeded, keeps_the_role);
        assert_eq!(world.front.resources().exists(&id), !keeps_the_role);
    }
}

#[tokio::test]
async fn a_patch_of_tags_replaces_them() {
    let world = World::new().await;
    world.group("g").await;
    let widget = world.widget("g", "w");
    let tags = json!({"a": "1", "b": "2"});
    world.put(&widget, json!({"location": "eastus", "tags": tags, "properties": {"kept": 1}})).await;
    world.put(&world.group_path("g"), json!({"location": "eastus", "tags": tags})).await;
    for path in [widget, world.group_path("g")] {
        for (patch, expected) in [
            (json!({"tags": {"c": "3"}}), json!({"c": "3"})),
            (json!({}), json!({"c": "3"})),
            (json!({"tags": {}}), json!({})),
        ] {
            let patched = world.call(Method::PATCH, &path, patch.clone()).await;
            assert_eq!(patched.status, 200, "{}", patched.body);
            assert_eq!(world.get(&path).await.body["tags"], expected, "{path} {patch}");
        }
    }
    assert_eq!(world.get(&world.widget("g", "w")).await.body["properties"]["kept"], 1);
}

/// What is not built is refused to whoever might not do it, before anybody hears that it is not built.
#[tokio::test]
async fn who_has_no_role_does_not_hear_what_is_not_built() {
    let world = World::new().await;
    world.group("g").await;
    let (_, nobody) = world.somebody("nobody").await;
    let group = world.group_path("g");
    for (method, path) in [
        (Method::GET, "/providers/Microsoft.Authorization/policyAssignments"),
        (Method::PUT, "/providers/Microsoft.Authorization/policyAssignments/x"),
        (Method::GET, "/providers/Microsoft.PolicyInsights/policyStates/latest"),
        (Method::PUT, "/providers/Microsoft.Web/sites/x"),
        (Method::DELETE, "/providers/Microsoft.Test/widgets/w/unknown/x"),
    ] {
        let path = format!("{group}{path}");
        let refused = world.as_who(&nobody, method.clone(), &path, json!({})).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (403, "AuthorizationFailed"),
            "{method} {path}"
        );
        let told = world.call(method.clone(), &path, json!({})).await;
        assert_eq!((told.status.as_u16(), told.code()), (501, "NotImplemented"), "{method} {path}");
    }
}
