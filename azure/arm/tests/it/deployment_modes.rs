//! Deployments: what-if, complete mode, cancelling, subscriptions, nesting, symbolic names, what Bicep emits.

use http::Method;
use serde_json::{Value, json};

use crate::harness::World;

const WIDGETS: &str = "Microsoft.Test/widgets";

fn widget(name: &str, properties: Value) -> Value {
    json!({"type": WIDGETS, "apiVersion": "2025-01-01", "name": name, "location": "[resourceGroup().location]", "properties": properties})
}

fn deployment(world: &World, name: &str) -> String {
    format!("{}/providers/Microsoft.Resources/deployments/{name}", world.group_path("g"))
}

async fn deploy(world: &World, name: &str, properties: Value) -> Value {
    let made = world.put(&deployment(world, name), json!({ "properties": properties })).await;
    assert!(made.status.is_success(), "{}", made.body);
    let end = world.follow(&made).await;
    assert_eq!(end["status"], "Succeeded", "{end}");
    world.get(&deployment(world, name)).await.body["properties"].clone()
}

#[tokio::test]
async fn what_if_tells_each_change_and_makes_none() {
    let world = World::new().await;
    world.group("g").await;
    world.put(&world.widget("g", "same"), json!({"location": "eastus", "properties": {"n": 1}})).await;
    world
        .put(
            &world.widget("g", "other"),
            json!({"location": "eastus", "tags": {"t": "1"}, "properties": {"n": 1, "kept": true}}),
        )
        .await;
    world.put(&world.widget("g", "aside"), json!({"location": "eastus"})).await;
    let mut changed = widget("other", json!({"n": 2}));
    changed["tags"] = json!({});
    let inner = json!({"type": "Microsoft.Resources/deployments", "apiVersion": "2025-04-01", "name": "inner",
        "properties": {"mode": "Incremental", "template": {"resources": [widget("nested", json!({}))]}}});
    let template = json!({"resources": [widget("same", json!({"n": 1})), changed, widget("new", json!({"of": "[reference('new-one').x]"})), widget("new-one", json!({})), inner]});
    let before = world.front.resources().list(&arm::ResourceId::root()).len();
    let ask = async |mode: &str, format: &str| {
        let body = json!({"properties": {"mode": mode, "template": template, "whatIfSettings": {"resultFormat": format}}});
        let answer = world.call(Method::POST, &format!("{}/whatIf", deployment(&world, "d")), body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["properties"]["changes"].as_array().unwrap().clone()
    };
    let changes = ask("Incremental", "FullResourcePayloads").await;
    let told: Vec<(String, &str)> = changes
        .iter()
        .map(|c| {
            (
                c["resourceId"].as_str().unwrap().rsplit('/').next().unwrap().to_owned(),
                c["changeType"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("same", "NoChange"),
        ("other", "Modify"),
        ("new", "Create"),
        ("new-one", "Create"),
        ("nested", "Create"),
        ("aside", "Ignore"),
    ];
    assert_eq!(told, expected.map(|(n, c)| (n.to_owned(), c)));
    let delta = changes[1]["delta"].as_array().unwrap();
    assert_eq!(
        (&delta[0]["path"], &delta[0]["before"], &delta[0]["after"]),
        (&json!("properties.n"), &json!(1), &json!(2))
    );
    assert_eq!((&delta[1]["path"], &delta[1]["propertyChangeType"]), (&json!("tags.t"), &json!("Delete")));
    let changes = ask("Complete", "ResourceIdOnly").await;
    assert_eq!(
        changes.last().unwrap(),
        &json!({"resourceId": world.widget("g", "aside"), "changeType": "Delete"})
    );
    assert_eq!(world.front.resources().list(&arm::ResourceId::root()).len(), before);
}

#[tokio::test]
async fn complete_mode_deletes_what_the_template_does_not_name() {
    let world = World::new().await;
    world.group("g").await;
    for name in ["a", "b", "c"] {
        world.put(&world.widget("g", name), json!({"location": "eastus"})).await;
    }
    let mut off = widget("c", json!({}));
    off["condition"] = json!(false);
    let template = json!({"resources": [widget("a", json!({})), widget("n", json!({})), off]});
    let properties = deploy(&world, "d", json!({"mode": "Complete", "template": template})).await;
    assert_eq!(properties["mode"], "Complete");
    let left = world.get(&format!("{}/resources", world.group_path("g"))).await;
    let names: Vec<&str> =
        left.body["value"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "n"]);
    let operations = world.get(&format!("{}/operations", deployment(&world, "d"))).await;
    let deeds: Vec<&str> = operations.body["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| o["properties"]["provisioningOperation"].as_str().unwrap())
        .collect();
    assert_eq!(deeds, ["Create", "Create", "Delete", "Delete"]);
    let refused = format!("/subscriptions/{}/providers/Microsoft.Resources/deployments/s", world.sub);
    let answer = world
        .put(&refused, json!({"location": "eastus", "properties": {"mode": "Complete", "template": {}}}))
        .await;
    assert_eq!(answer.code(), "InvalidDeployment");
}

#[tokio::test]
async fn a_running_deployment_can_be_cancelled_and_nothing_else() {
    let world = World::new().await;
    world.group("g").await;
    let template = json!({"resources": [widget("a", json!({"stuck": true})), {"type": WIDGETS, "apiVersion": "2025-01-01", "name": "b", "location": "eastus", "dependsOn": ["a"]}]});
    let body = json!({"properties": {"mode": "Incremental", "template": template}});
    let made = world.put(&deployment(&world, "d"), body.clone()).await;
    assert_eq!(made.body["properties"]["provisioningState"], "Running");
    assert_eq!(world.put(&deployment(&world, "d"), body).await.code(), "DeploymentActive");
    assert_eq!(world.delete(&deployment(&world, "d")).await.code(), "DeploymentActive");
    let cancel = format!("{}/cancel", deployment(&world, "d"));
    assert_eq!(world.call(Method::POST, &cancel, Value::Null).await.status, 204);
    assert_eq!(world.follow(&made).await["status"], "Canceled");
    let shown = world.get(&deployment(&world, "d")).await;
    assert_eq!(shown.body["properties"]["provisioningState"], "Canceled");
    assert_eq!(world.get(&world.widget("g", "b")).await.status, 404);
    assert_eq!(world.call(Method::POST, &cancel, Value::Null).await.code(), "DeploymentCannotBeCancelled");
    assert_eq!(world.delete(&deployment(&world, "d")).await.status, 204);
    assert_eq!(world.call(Method::POST, &cancel, Value::Null).await.code(), "DeploymentNotFound");
}

#[tokio::test]
async fn a_deployment_cut_off_by_a_restart_says_so() {
    let world = World::new().await;
    world.group("g").await;
    let template = json!({"resources": [widget("a", json!({"stuck": true}))]});
    world.put(&deployment(&world, "d"), json!({"properties": {"template": template}})).await;
    let world = world.restarted().await;
    let shown = world.get(&deployment(&world, "d")).await;
    assert_eq!(shown.body["properties"]["provisioningState"], "Failed");
    assert_eq!(shown.body["properties"]["error"]["code"], "DeploymentInterrupted");
    let path = format!(
        "/subscriptions/{}/providers/Microsoft.Insights/eventtypes/management/values?$filter=status eq 'Failed'",
        world.sub
    );
    let events = world.get(&path).await;
    assert!(events.body["value"].to_string().contains("DeploymentInterrupted"), "{}", events.body);
    let again = json!({"properties": {"template": {"resources": [widget("b", json!({}))]}}});
    assert_eq!(world.put(&deployment(&world, "d"), again).await.status, 200);
}

/// As Bicep compiles modules, loops, existing resources, types, functions and outputs.
#[tokio::test]
async fn what_bicep_emits_is_deployed_at_a_subscription() {
    let world = World::new().await;
    world.group("shared").await;
    world
        .put(&world.widget("shared", "old"), json!({"location": "eastus", "properties": {"secret": "s3"}}))
        .await;
    let module = json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#", "languageVersion": "2.0",
        "contentVersion": "1.0.0.0",
        "parameters": {"names": {"type": "array", "items": {"type": "string", "minLength": 1}}, "key": {"type": "securestring"}},
        "resources": {
            "loop": {"copy": {"name": "loop", "count": "[length(parameters('names'))]"}, "type": WIDGETS, "apiVersion": "2025-01-01",
                "name": "[parameters('names')[copyIndex()]]", "location": "[resourceGroup().location]", "properties": {"index": "[copyIndex()]", "slow": true}},
            "part": {"type": "Microsoft.Test/widgets/parts", "apiVersion": "2025-01-01", "name": "[format('{0}/{1}', parameters('names')[0], 'p')]",
                "properties": {"state": "[reference('loop[1]').provisioningState]"}, "dependsOn": ["loop"]},
        },
        "outputs": {
            "ids": {"type": "array", "copy": {"count": "[length(parameters('names'))]", "input": "[resourceId('Microsoft.Test/widgets', parameters('names')[copyIndex()])]"}},
            "states": {"type": "array", "value": "[map(references('loop', 'full'), lambda('w', lambdaVariables('w').properties.provisioningState))]"},
            "hidden": {"type": "securestring", "value": "[parameters('key')]"},
        },
    });
    let template = json!({
        "$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#", "languageVersion": "2.0",
        "contentVersion": "1.0.0.0",
        "definitions": {"app": {"type": "object", "properties": {"group": {"type": "string"}, "widgets": {"type": "array", "items": {"type": "string"}}}}},
        "functions": [{"namespace": "__bicep", "members": {"tagged": {"parameters": [{"type": "string", "name": "text"}], "output": {"type": "string", "value": "[format('app-{0}', parameters('text'))]"}}}}],
        "parameters": {"app": {"$ref": "#/definitions/app"}, "more": {"type": "bool", "defaultValue": false}},
        "variables": {"group": "[__bicep.tagged(parameters('app').group)]"},
        "resources": {
            "old": {"existing": true, "type": WIDGETS, "apiVersion": "2025-01-01", "resourceGroup": "shared", "name": "old"},
            "group": {"type": "Microsoft.Resources/resourceGroups", "apiVersion": "2024-11-01", "name": "[variables('group')]", "location": "[deployment().location]"},
            "never": {"condition": "[parameters('more')]", "type": "Microsoft.Resources/resourceGroups", "apiVersion": "2024-11-01", "name": "never", "location": "eastus"},
            "module": {"type": "Microsoft.Resources/deployments", "apiVersion": "2025-04-01", "name": "module", "resourceGroup": "[variables('group')]",
                "properties": {"expressionEvaluationOptions": {"scope": "inner"}, "mode": "Incremental",
                    "parameters": {"names": {"value": "[parameters('app').widgets]"}, "key": {"value": "[reference('old').secret]"}}, "template": module},
                "dependsOn": ["group", "old", "never"]},
        },
        "outputs": {
            "first": {"type": "string", "value": "[reference('module').outputs.ids.value[0]]"},
            "states": {"type": "array", "value": "[reference('module').outputs.states.value]"},
            "maybe": {"type": "string", "nullable": true, "value": "[tryGet(reference('old'), 'nothing')]"},
        },
    });
    let path = format!("/subscriptions/{}/providers/Microsoft.Resources/deployments/main", world.sub);
    let body = json!({"location": "eastus", "properties": {"mode": "Incremental", "template": template,
        "parameters": {"app": {"value": {"group": "x", "widgets": ["one", "two"]}}}}});
    let checked = world.call(Method::POST, &format!("{path}/validate"), body.clone()).await;
    assert_eq!(checked.status, 200, "{}", checked.body);
    let made = world.put(&path, body.clone()).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let end = world.follow(&made).await;
    assert_eq!(end["status"], "Succeeded", "{end}");
    let outputs = world.get(&path).await.body["properties"]["outputs"].clone();
    assert_eq!(outputs["first"]["value"], json!(world.widget("app-x", "one")));
    assert_eq!(outputs["states"]["value"], json!(["Succeeded", "Succeeded"]));
    assert_eq!(outputs["maybe"]["value"], Value::Null);
    let inner = world
        .get(&format!("{}/providers/Microsoft.Resources/deployments/module", world.group_path("app-x")))
        .await
        .body;
    assert_eq!(inner["properties"]["outputs"]["hidden"], json!({"type": "SecureString"}));
    assert_eq!(
        inner["properties"]["parameters"]["key"],
        json!({"type": "SecureString"}),
        "secrets are not shown"
    );
    assert_eq!(world.get(&world.group_path("never")).await.status, 404);
    let mut elsewhere = body.clone();
    elsewhere["location"] = json!("westus");
    assert_eq!(world.put(&path, elsewhere).await.code(), "InvalidDeploymentLocation");
    let mut wrong = body;
    wrong["properties"]["parameters"]["app"]["value"]["widgets"] = json!([1]);
    let refused = world.put(&path, wrong).await;
    assert!(
        refused.message().contains("'app.widgets[0]' is not valid. Expected a value of type 'String'"),
        "{}",
        refused.message()
    );
    let nowhere = world.put(&path, json!({"properties": {"template": {}}})).await;
    assert_eq!(nowhere.code(), "LocationRequired");
}
