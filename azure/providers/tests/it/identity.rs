//! User-assigned identities and what they trust.

use serde_json::{Value, json};

use crate::world::{World, id};

const IDENTITY: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";

fn credential(issuer: &str, subject: &str, audiences: Value) -> Value {
    json!({ "properties": { "issuer": issuer, "subject": subject, "audiences": audiences } })
}

#[tokio::test]
async fn a_trust_is_judged_alone_and_beside_the_others() {
    let world = World::new().await;
    let identity = id(IDENTITY, "app");
    world.put(&identity, json!({ "location": "eastus" })).await.unwrap();
    let one = format!("{identity}/federatedIdentityCredentials/one");
    let usual = json!(["api://AzureADTokenExchange"]);
    let good = credential("https://issuer.example/a", "s", usual.clone());
    let made = world.put(&one, good.clone()).await.unwrap();
    assert_eq!(made["properties"], good["properties"]);
    assert_eq!(world.put(&one, good.clone()).await.unwrap()["properties"], good["properties"]);
    let other = format!("{identity}/federatedIdentityCredentials/two");
    let long = "x".repeat(601);
    for (body, code) in [
        (good, "Conflict"),
        (credential("http://issuer.example", "t", usual.clone()), "BadRequest"),
        (credential("issuer", "t", usual.clone()), "BadRequest"),
        (credential("https://issuer.example", "t", json!([])), "BadRequest"),
        (credential("https://issuer.example", "t", json!(["a", "b"])), "BadRequest"),
        (credential("https://issuer.example", &long, usual.clone()), "BadRequest"),
        (json!({ "properties": { "issuer": "https://issuer.example", "audiences": usual } }), "BadRequest"),
    ] {
        let error = world.put(&other, body.clone()).await.unwrap_err();
        assert_eq!(error.code, code, "{body}: {}", error.message);
    }
    for number in 0..19 {
        let path = format!("{identity}/federatedIdentityCredentials/more{number}");
        world
            .put(&path, credential("https://issuer.example", &number.to_string(), usual.clone()))
            .await
            .unwrap();
    }
    let error = world.put(&other, credential("https://issuer.example", "t", usual)).await.unwrap_err();
    assert!(error.message.starts_with("Too many"), "{}", error.message);
}

#[tokio::test]
async fn an_identity_is_named_and_isolated_as_azure_has_it() {
    let world = World::new().await;
    let body = |scope: Value| json!({ "location": "eastus", "properties": { "isolationScope": scope } });
    assert!(world.put(&id(IDENTITY, "ab"), body(Value::Null)).await.is_err(), "a name has three characters");
    assert_eq!(
        world.put(&id(IDENTITY, "app"), body(json!("Galactic"))).await.unwrap_err().code,
        "BadRequest"
    );
    let made = world.put(&id(IDENTITY, "app"), body(json!("Regional"))).await.unwrap();
    assert_eq!(made["properties"]["isolationScope"], "Regional");
    let ids =
        |value: &Value| (value["properties"]["principalId"].clone(), value["properties"]["clientId"].clone());
    let again = world.put(&id(IDENTITY, "app"), body(Value::Null)).await.unwrap();
    assert_eq!(ids(&again), ids(&made), "a second PUT makes no second identity");
}
