//! Workspaces, diagnostic settings, collection rules, alerts.

use arm::ArmError;
use providers::fake::SUBSCRIPTION;
use serde_json::{Value, json};

use crate::world::{World, id};

const WORKSPACE: &str = "Microsoft.OperationalInsights/workspaces";

fn workspace() -> String {
    id(WORKSPACE, "logs")
}

async fn with_workspace() -> (World, Value) {
    let world = World::new().await;
    let made = world.put(&workspace(), json!({"location": "eastus", "properties": {}})).await.unwrap();
    (world, made)
}

/// A second PUT of the same, and of what came back, answers the same and writes nothing.
async fn twice(world: &World, id: &str, body: Value) -> Value {
    let first = world.put(id, body.clone()).await.unwrap();
    let ticks = *world.front.resources().watch().borrow();
    assert_eq!(world.put(id, body).await.unwrap(), first, "{id}");
    assert_eq!(world.put(id, first.clone()).await.unwrap(), first, "{id}");
    assert_eq!(world.get(id).await, first, "{id}");
    assert_eq!(*world.front.resources().watch().borrow(), ticks, "{id}: nothing was written");
    first
}

fn refused(answer: Result<Value, ArmError>) -> ArmError {
    answer.expect_err("it was not refused")
}

#[tokio::test]
async fn a_workspace_is_filled_in_and_comes_back_with_its_ids() {
    let (world, made) = with_workspace().await;
    let again = twice(&world, &workspace(), json!({"location": "eastus", "properties": {}})).await;
    assert_eq!(again, made);
    let properties = &made["properties"];
    assert_eq!(properties["sku"]["name"], "PerGB2018");
    assert_eq!(properties["retentionInDays"], 30);
    assert_eq!(properties["workspaceCapping"]["dailyQuotaGb"], -1.0);
    assert_eq!(properties["provisioningState"], "Succeeded");
    let keys = world.post(&format!("{}/sharedKeys", workspace()), Value::Null).await.unwrap();
    assert_eq!(world.post(&format!("{}/sharedKeys", workspace()), Value::Null).await.unwrap(), keys);
    assert!(!made.to_string().contains(keys["primarySharedKey"].as_str().unwrap()));

    world.delete(&workspace()).await.unwrap();
    let deleted =
        format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.OperationalInsights/deletedWorkspaces");
    assert_eq!(world.get(&deleted).await["value"][0]["name"], "logs");
    let back = world.put(&workspace(), json!({"location": "eastus", "properties": {}})).await.unwrap();
    assert_eq!(back["properties"]["customerId"], properties["customerId"]);
    assert_eq!(world.post(&format!("{}/sharedKeys", workspace()), Value::Null).await.unwrap(), keys);
    assert_eq!(world.get(&deleted).await["value"], json!([]));
    world.owner().delete(format!("{}?force=true", workspace()), crate::world::API).await.unwrap();
    for (body, word) in [
        (json!({"sku": {"name": "Gold"}}), "Gold"),
        (json!({"retentionInDays": 7}), "7 days"),
        (json!({"retentionInDays": 731}), "731"),
    ] {
        let error = refused(world.put(&workspace(), json!({"location": "eastus", "properties": body})).await);
        assert!(error.code == "InvalidParameter" && error.message.contains(word), "{error:?}");
    }
}

#[tokio::test]
async fn diagnostic_settings_name_what_the_resource_has() {
    let (world, _) = with_workspace().await;
    let vnet = id("Microsoft.Network/virtualNetworks", "v");
    world.put(&vnet, crate::world::network("10.0.0.0/24", json!({}))).await.unwrap();
    let at = |name: &str| format!("{vnet}/providers/Microsoft.Insights/diagnosticSettings/{name}");
    let body = |rows: Value| json!({"properties": {"workspaceId": workspace(), "logs": rows}});
    let made =
        twice(&world, &at("one"), body(json!([{"category": "VMProtectionAlerts", "enabled": true}]))).await;
    assert_eq!(made["properties"]["logs"][0]["retentionPolicy"], json!({"days": 0, "enabled": false}));
    let listed = world.get(&format!("{vnet}/providers/Microsoft.Insights/diagnosticSettings")).await;
    assert_eq!(listed["value"], json!([made]));
    let categories =
        world.get(&format!("{vnet}/providers/Microsoft.Insights/diagnosticSettingsCategories")).await;
    let names: Vec<_> = categories["value"].as_array().unwrap().iter().map(|c| c["name"].clone()).collect();
    assert_eq!(names, ["VMProtectionAlerts", "AllMetrics"]);
    let metrics = world.get(&format!("{vnet}/providers/Microsoft.Insights/metricDefinitions")).await;
    assert_eq!(metrics["value"][0]["name"]["value"], "IfUnderDDoSAttack", "{metrics}");
    for (name, rows, code, word) in [
        (
            "two",
            json!([{"category": "Nonsense", "enabled": true}]),
            "BadRequest",
            "Category 'Nonsense' is not supported.",
        ),
        ("two", json!([{"categoryGroup": "audit", "enabled": true}]), "BadRequest", "audit"),
        ("two", json!([{"enabled": true}]), "BadRequest", "either"),
        (
            "two",
            json!([{"category": "VMProtectionAlerts", "enabled": true}]),
            "Conflict",
            "already used in diagnostic setting 'one'",
        ),
    ] {
        let error = refused(world.put(&at(name), body(rows)).await);
        assert!(error.code == code && error.message.contains(word), "{error:?}");
    }
    let nowhere = refused(world.put(&at("two"), json!({"properties": {"logs": []}})).await);
    assert!(nowhere.message.contains("data sink"), "{nowhere:?}");
    let values = refused(
        world.owner().get(format!("{vnet}/providers/Microsoft.Insights/metrics"), "2018-01-01").await,
    );
    assert_eq!(values.code, "NotImplemented");
}

#[tokio::test]
async fn what_monitoring_of_a_cluster_needs_is_linked() {
    let (world, made) = with_workspace().await;
    let rule = id("Microsoft.Insights/dataCollectionRules", "MSCI-eastus-c");
    let body = json!({"location": "eastus", "kind": "Linux", "properties": {
        "dataSources": {"extensions": [{"name": "ContainerInsightsExtension", "extensionName": "ContainerInsights",
            "streams": ["Microsoft-ContainerInsights-Group-Default"], "extensionSettings": {}}]},
        "destinations": {"logAnalytics": [{"name": "ciworkspace", "workspaceResourceId": workspace()}]},
        "dataFlows": [{"streams": ["Microsoft-ContainerInsights-Group-Default"], "destinations": ["ciworkspace"]}],
    }});
    let first = twice(&world, &rule, body.clone()).await;
    assert!(first["properties"]["immutableId"].as_str().unwrap().starts_with("dcr-"));
    let destination = &first["properties"]["destinations"]["logAnalytics"][0];
    assert_eq!(destination["workspaceId"], made["properties"]["customerId"]);
    let vnet = id("Microsoft.Network/virtualNetworks", "v");
    world.put(&vnet, crate::world::network("10.0.0.0/24", json!({}))).await.unwrap();
    let link = format!(
        "{vnet}/providers/Microsoft.Insights/dataCollectionRuleAssociations/ContainerInsightsExtension"
    );
    let association = json!({"properties": {"dataCollectionRuleId": rule, "description": "d"}});
    twice(&world, &link, association).await;
    let used = world.delete(&rule).await.unwrap_err();
    assert_eq!(used.code, "AssociationsExist");
    world.delete(&link).await.unwrap();
    let endpoint = id("Microsoft.Insights/dataCollectionEndpoints", "e");
    twice(&world, &endpoint, json!({"location": "eastus", "properties": {}})).await;
    let mut wrong = body.clone();
    wrong["properties"]["dataFlows"][0]["destinations"] = json!(["elsewhere"]);
    assert!(refused(world.put(&rule, wrong).await).message.contains("elsewhere"));
    world.delete(&rule).await.unwrap();

    let solution = id("Microsoft.OperationsManagement/solutions", "ContainerInsights(logs)");
    let body = json!({"location": "eastus", "properties": {"workspaceResourceId": workspace()},
        "plan": {"name": "ContainerInsights(logs)", "product": "OMSGallery/ContainerInsights",
            "publisher": "Microsoft", "promotionCode": ""}});
    let made = twice(&world, &solution, body.clone()).await;
    assert_eq!(made["plan"], body["plan"]);
    let other = id("Microsoft.OperationsManagement/solutions", "Else(logs)");
    assert_eq!(refused(world.put(&other, body).await).code, "SolutionNameMismatch");
}

#[tokio::test]
async fn alerts_and_their_groups_are_kept() {
    let (world, _) = with_workspace().await;
    let group = id("Microsoft.Insights/actionGroups", "ops");
    let body = json!({"location": "Global", "properties": {"groupShortName": "ops",
        "emailReceivers": [{"name": "me", "emailAddress": "a@contoso.com"}]}});
    let made = twice(&world, &group, body).await;
    assert_eq!((&made["location"], &made["properties"]["enabled"]), (&json!("global"), &json!(true)));
    assert_eq!(made["properties"]["emailReceivers"][0]["status"], "Enabled");
    let alert = id("Microsoft.Insights/metricAlerts", "slow");
    let body = |severity: i64, scope: String| {
        json!({"location": "global", "properties": {"severity": severity, "scopes": [scope],
            "evaluationFrequency": "PT1M", "windowSize": "PT5M", "actions": [{"actionGroupId": group}],
            "criteria": {"odata.type": "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
                "allOf": [{"name": "c", "metricName": "Query Count", "operator": "GreaterThan", "threshold": 1,
                    "timeAggregation": "Count", "criterionType": "StaticThresholdCriterion"}]}}})
    };
    let made = twice(&world, &alert, body(2, workspace())).await;
    assert_eq!(made["properties"]["autoMitigate"], true);
    assert!(refused(world.put(&alert, body(5, workspace())).await).message.contains("severity"));
    assert!(refused(world.put(&alert, body(2, id(WORKSPACE, "none"))).await).is_not_found());
    let long = json!({"location": "global", "properties": {"groupShortName": "much-too-long-a-name"}});
    assert!(refused(world.put(&group, long).await).message.contains("12 characters"));
}
