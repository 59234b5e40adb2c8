//! Template deployments.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{HOST, World};

fn template() -> Value {
    json!({
        "parameters": {"name": {"type": "string"}, "count": {"type": "int", "defaultValue": 2}},
        "variables": {"first": "[concat(parameters('name'), '-0')]"},
        "resources": [
            {"type": "Microsoft.Test/widgets/parts", "apiVersion": "2025-01-01", "name": "[concat(variables('first'), '/p')]",
             "properties": {"parent": "[reference(variables('first')).provisioningState]"}},
            {"type": "Microsoft.Test/widgets", "apiVersion": "2025-01-01", "name": "[format('{0}-{1}', parameters('name'), copyIndex())]",
             "location": "[resourceGroup().location]", "copy": {"name": "widgets", "count": "[parameters('count')]"},
             "properties": {"slow": true, "index": "[copyIndex()]"}},
        ],
        "outputs": {"id": {"type": "string", "value": "[resourceId('Microsoft.Test/widgets', variables('first'))]"},
            "state": {"type": "string", "value": "[reference(variables('first')).provisioningState]"}},
    })
}

#[tokio::test]
async fn a_template_is_deployed_in_the_order_of_its_references() {
    let world = World::new().await;
    world.group("g").await;
    let path = format!("{}/providers/Microsoft.Resources/deployments/d", world.group_path("g"));
    let body = json!({"properties": {"mode": "Incremental", "template": template(), "parameters": {"name": {"value": "w"}}}});
    let checked = world.call(Method::POST, &format!("{path}/validate"), body.clone()).await;
    assert_eq!(checked.status, 200, "{}", checked.body);
    let made = world.put(&path, body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(world.follow(&made).await["status"], "Succeeded");
    let shown = world.get(&path).await.body;
    assert_eq!(shown["properties"]["outputs"]["state"]["value"], "Succeeded");
    assert_eq!(shown["properties"]["outputs"]["id"]["value"], json!(world.widget("g", "w-0")));
    assert_eq!(world.get(&world.widget("g", "w-0/parts/p")).await.body["properties"]["parent"], "Succeeded");
    let legacy = format!("/subscriptions/{}/resourcegroups/g/deployments/d/operations", world.sub);
    assert_eq!(world.get(&legacy).await.body["value"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn deployments_fail_with_the_inner_error_and_do_no_more_than_their_sender() {
    let world = World::new().await;
    world.group("g").await;
    let path = format!("{}/providers/Microsoft.Resources/deployments/d", world.group_path("g"));
    let broken = json!({"resources": [{"type": "Microsoft.Test/widgets", "apiVersion": "2025-01-01", "name": "b", "location": "mars"}]});
    let made = world.put(&path, json!({"properties": {"template": broken}})).await;
    let end = world.follow(&made).await;
    assert_eq!((&end["status"], &end["error"]["code"]), (&json!("Failed"), &json!("DeploymentFailed")));
    assert_eq!(end["error"]["details"][0]["code"], "LocationNotAvailableForResourceType");

    let missing = world.put(&path, json!({"properties": {"template": template()}})).await;
    assert_eq!((missing.status.as_u16(), missing.code()), (400, "InvalidTemplate"));
    let linked = json!({"properties": {"templateLink": {"uri": "https://example.com"}}});
    assert_eq!(world.put(&path, linked).await.code(), "NotImplemented");

    let (somebody, token) = world.somebody("deployer").await;
    let role = json!({"properties": {"roleName": "Deployer", "assignableScopes": [format!("/subscriptions/{}", world.sub)],
        "permissions": [{"actions": ["Microsoft.Resources/*", "*/read"]}]}});
    let guid = uuid::Uuid::new_v4();
    world
        .put(
            &format!("/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{guid}", world.sub),
            role,
        )
        .await;
    let assignment = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/{}",
        world.group_path("g"),
        uuid::Uuid::new_v4()
    );
    world
        .put(
            &assignment,
            json!({"properties": {"roleDefinitionId": format!("/x/{guid}"), "principalId": somebody}}),
        )
        .await;
    let other = format!("{}/providers/Microsoft.Resources/deployments/e", world.group_path("g"));
    let body = json!({"properties": {"template": template(), "parameters": {"name": {"value": "w"}}}});
    let made = world.as_who(&token, Method::PUT, &other, body).await;
    assert_eq!(world.follow(&made).await["error"]["details"][0]["code"], "AuthorizationFailed");
}

#[tokio::test]
async fn a_body_as_az_sends_it_is_read() {
    let world = World::new().await;
    world.group("g").await;
    let path = format!(
        "{}/providers/Microsoft.Resources/deployments/d/validate?api-version=2025-04-01",
        world.group_path("g")
    );
    let request = http::Request::post(path)
        .header("host", HOST)
        .header("authorization", format!("Bearer {}", world.token));
    let body = "{\"properties\": {\"parameters\": {}, \"mode\": \"Incremental\", template:{\n// a comment\n\"resources\": []}\n}}";
    assert_eq!(world.send(request, body).await.status, 200);
}
