//! The activity log: every write with its outcome and its cause, found by the filters that az sends; health events.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{HOST, World};

async fn log(world: &World, filter: &str) -> Vec<Value> {
    let path = format!(
        "/subscriptions/{}/providers/Microsoft.Insights/eventtypes/management/values?$filter={filter}",
        world.sub
    );
    let answer = world.get(&path).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["value"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_write_is_logged_with_who_what_and_how_it_ended() {
    let world = World::new().await;
    world.group("g").await;
    let widget = world.widget("g", "w");
    let request = http::Request::put(format!("{widget}?api-version=2025-01-01"))
        .header("host", HOST)
        .header("x-ms-correlation-request-id", "11111111-2222-3333-4444-555555555555")
        .header("x-ms-client-request-id", "mine")
        .header("authorization", format!("Bearer {}", world.token));
    assert_eq!(world.send(request, "{\"location\":\"eastus\"}").await.status, 201);
    world.get(&widget).await;
    let events = log(&world, &format!("resourceUri eq '{widget}'")).await;
    assert_eq!(events.len(), 1, "reading is not logged: {events:?}");
    let event = &events[0];
    let expected = [
        ("/operationName/value", "Microsoft.Test/widgets/write"),
        ("/status/value", "Succeeded"),
        ("/subStatus/value", "Created"),
        ("/subStatus/localizedValue", "Created (HTTP Status Code: 201)"),
        ("/correlationId", "11111111-2222-3333-4444-555555555555"),
        ("/httpRequest/clientRequestId", "mine"),
        ("/httpRequest/method", "PUT"),
        ("/level", "Informational"),
        ("/eventName/value", "EndRequest"),
        ("/resourceGroupName", "g"),
        ("/resourceProviderName/value", "Microsoft.Test"),
        ("/resourceType/value", "Microsoft.Test/widgets"),
        ("/authorization/action", "Microsoft.Test/widgets/write"),
        ("/claims/appid", world.owner.app_id.as_str()),
        (
            "/claims/http:~1~1schemas.microsoft.com~1identity~1claims~1objectidentifier",
            world.owner.object_id.as_str(),
        ),
        ("/properties/statusCode", "Created"),
    ];
    for (pointer, value) in expected {
        assert_eq!(event.pointer(pointer).and_then(Value::as_str), Some(value), "{pointer}: {event}");
    }
    let picked = log(&world, &format!("resourceUri eq '{widget}'&$select=caller,status")).await;
    assert_eq!(picked[0].as_object().unwrap().keys().collect::<Vec<_>>(), ["caller", "status"]);
}

#[tokio::test]
async fn what_goes_on_is_logged_from_its_start_to_its_end() {
    let world = World::new().await;
    world.group("g").await;
    let body = json!({"location": "eastus", "properties": {"slow": true, "broken": true}});
    let made = world.put(&world.widget("g", "w"), body).await;
    world.follow(&made).await;
    let events = log(&world, &format!("resourceUri eq '{}'", world.widget("g", "w"))).await;
    let words: Vec<&str> =
        events.iter().filter_map(|e| e["status"]["value"].as_str()).filter(|w| *w != "Active").collect();
    assert_eq!(words, ["Failed", "Accepted", "Started"], "the newest first");
    let failed = events.iter().find(|e| e["status"]["value"] == "Failed").unwrap();
    assert_eq!(failed["level"], "Error");
    assert_eq!(failed["subStatus"]["value"], "Conflict");
    assert!(failed["properties"]["statusMessage"].as_str().unwrap().contains("WidgetBroken"));
    assert!(events.iter().all(|e| e["status"]["value"] == "Active"
        || e["operationId"] == failed["operationId"] && e["correlationId"] == failed["correlationId"]));
    let health =
        format!("{}/providers/Microsoft.ResourceHealth/availabilityStatuses/current", world.widget("g", "w"));
    assert_eq!(world.get(&health).await.body["properties"]["availabilityState"], "Unavailable");
    let active = log(&world, "category eq 'ResourceHealth'").await;
    assert_eq!(active[0]["properties"]["currentHealthStatus"], "Unavailable");
    assert_eq!(active[0]["properties"]["previousHealthStatus"], "Available");
    let events =
        world.get(&format!("/subscriptions/{}/providers/Microsoft.ResourceHealth/events", world.sub)).await;
    assert_eq!(events.body["value"].as_array().unwrap().len(), 1);
    world.put(&world.widget("g", "w"), json!({"location": "eastus"})).await;
    assert_eq!(log(&world, "category eq 'ResourceHealth'").await[0]["status"]["value"], "Resolved");
}

#[tokio::test]
async fn failures_of_the_last_hour_are_found_as_az_looks_for_them() {
    let world = World::new().await;
    world.group("g").await;
    world.group("h").await;
    let (_, token) = world.somebody("nobody").await;
    world.as_who(&token, Method::PUT, &world.widget("g", "w"), json!({"location": "eastus"})).await;
    world.put(&world.widget("h", "w"), json!({"location": "mars"})).await;
    let now = jiff::Timestamp::now();
    let text = |t: jiff::Timestamp| t.to_string().trim_end_matches('Z').to_owned();
    let (from, to) =
        (text(now - jiff::SignedDuration::from_hours(1)), text(now + jiff::SignedDuration::from_mins(1)));
    let hour = format!("eventTimestamp ge {from} and eventTimestamp le {to}");
    let failed = log(&world, &format!("{hour} and status eq 'Failed'")).await;
    let codes: Vec<&str> = failed.iter().filter_map(|e| e["subStatus"]["value"].as_str()).collect();
    assert_eq!(codes, ["BadRequest", "Forbidden"]);
    let table = [
        (format!("{hour} and resourceGroupName eq 'H'"), 2),
        (format!("{hour} and levels eq 'Error'"), 2),
        (format!("{hour} and levels eq 'Critical,Warning'"), 0),
        (format!("{hour} and status eq 'Failed' and caller eq '{}'", world.owner.object_id), 1),
        (format!("{hour} and resourceProvider eq 'Microsoft.Test'"), 2),
        (format!("{hour} and operations eq 'Microsoft.Test/widgets/write'"), 2),
        (format!("{hour} and correlationId eq '{}'", failed[0]["correlationId"].as_str().unwrap()), 1),
        (format!("eventTimestamp ge {to} and eventChannels eq 'Admin, Operation'"), 0),
    ];
    for (filter, count) in table {
        assert_eq!(log(&world, &filter).await.len(), count, "{filter}");
    }
    for wrong in ["eventTimestamp ge yesterday", "colour eq 'red'", "status ge 'Failed'", "status"] {
        let path = format!(
            "/subscriptions/{}/providers/Microsoft.Insights/eventtypes/management/values?$filter={wrong}",
            world.sub
        );
        assert_eq!(world.get(&path).await.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn the_log_outlives_the_service() {
    let world = World::new().await;
    world.group("g").await;
    let world = world.restarted().await;
    let events = log(&world, "resourceGroupName eq 'g'").await;
    assert_eq!(events[0]["operationName"]["value"], "Microsoft.Resources/subscriptions/resourceGroups/write");
}
