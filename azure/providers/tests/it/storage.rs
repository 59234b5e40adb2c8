//! Storage accounts and what is in them as resources.

use providers::fake::SUBSCRIPTION;
use serde_json::{Value, json};

use crate::world::{World, id};

fn account(name: &str) -> String {
    id("Microsoft.Storage/storageAccounts", name)
}

fn body() -> Value {
    json!({"location": "eastus", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}, "properties": {}})
}

async fn twice(world: &World, id: &str, body: Value) -> Value {
    let first = world.put(id, body.clone()).await.unwrap();
    let ticks = *world.front.resources().watch().borrow();
    assert_eq!(world.put(id, body).await.unwrap(), first, "{id}");
    assert_eq!(world.put(id, first.clone()).await.unwrap(), first, "{id}");
    assert_eq!(world.get(id).await, first, "{id}");
    assert_eq!(*world.front.resources().watch().borrow(), ticks, "{id}: nothing was written");
    first
}

#[tokio::test]
async fn an_account_is_filled_in_and_its_keys_stay_out_of_it() {
    let world = World::new().await;
    let made = twice(&world, &account("store1"), body()).await;
    assert_eq!(made["sku"], json!({"name": "Standard_LRS", "tier": "Standard"}));
    let properties = &made["properties"];
    assert_eq!(properties["primaryEndpoints"]["file"], "https://store1.file.core.windows.net/");
    assert_eq!(
        (&properties["accessTier"], &properties["supportsHttpsTrafficOnly"]),
        (&json!("Hot"), &json!(true))
    );
    let keys = world.post(&format!("{}/listKeys", account("store1")), Value::Null).await.unwrap();
    let value = |keys: &Value, at: usize| keys["keys"][at]["value"].as_str().unwrap().to_owned();
    assert_eq!(value(&keys, 0).len(), 88);
    assert!(!made.to_string().contains(&value(&keys, 0)));
    let renewed = json!({"keyName": "key2"});
    let after = world.post(&format!("{}/regenerateKey", account("store1")), renewed).await.unwrap();
    assert_eq!(value(&after, 0), value(&keys, 0));
    assert_ne!(value(&after, 1), value(&keys, 1));
    let kept = world.put(&account("store1"), body()).await.unwrap();
    assert_eq!(kept["properties"]["keyCreationTime"]["key2"], after["keys"][1]["creationTime"]);
    world.delete(&account("store1")).await.unwrap();
    world.put(&account("store1"), body()).await.unwrap();
    let fresh = world.post(&format!("{}/listKeys", account("store1")), Value::Null).await.unwrap();
    assert_ne!(value(&fresh, 0), value(&keys, 0));
}

#[tokio::test]
async fn accounts_that_cannot_be_are_refused() {
    let world = World::new().await;
    world.put(&account("store1"), body()).await.unwrap();
    let with = |name: &str, value: Value| {
        let mut body = body();
        body[name] = value;
        body
    };
    for (name, body, code) in [
        ("Store", body(), "AccountNameInvalid"),
        ("ab", body(), "AccountNameInvalid"),
        ("store2", with("sku", json!({"name": "Tin"})), "InvalidValuesForRequestParameters"),
        ("store2", with("kind", json!("Box")), "InvalidValuesForRequestParameters"),
        ("store2", with("kind", json!("FileStorage")), "InvalidAccountType"),
        ("store1", with("kind", json!("BlobStorage")), "AccountPropertyCannotBeUpdated"),
    ] {
        assert_eq!(world.put(&account(name), body).await.unwrap_err().code, code, "{name}");
    }
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/other");
    world.owner().put(&group, "2021-04-01", json!({"location": "eastus"})).await.unwrap();
    let other = format!("{group}/providers/Microsoft.Storage/storageAccounts/store1");
    assert_eq!(world.put(&other, body()).await.unwrap_err().code, "StorageAccountAlreadyTaken");
    let check = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Storage/checkNameAvailability");
    for (name, reason) in
        [("store1", json!("AlreadyExists")), ("x!", json!("AccountNameInvalid")), ("free", Value::Null)]
    {
        assert_eq!(world.post(&check, json!({"name": name})).await.unwrap()["reason"], reason, "{name}");
    }
    let sas = world.post(&format!("{}/ListAccountSas", account("store1")), json!({})).await.unwrap_err();
    assert_eq!(sas.code, "NotImplemented");
}

#[tokio::test]
async fn services_containers_and_shares_are_there() {
    let world = World::new().await;
    world.put(&account("store1"), body()).await.unwrap();
    let blob = format!("{}/blobServices/default", account("store1"));
    assert_eq!(world.get(&blob).await["properties"]["deleteRetentionPolicy"]["enabled"], false);
    let kept = json!({"properties": {"deleteRetentionPolicy": {"enabled": true, "days": 9}}});
    twice(&world, &blob, kept).await;
    let container = format!("{blob}/containers/logs");
    let made = twice(&world, &container, json!({"properties": {"metadata": {"a": "b"}}})).await;
    assert_eq!(
        (&made["properties"]["publicAccess"], &made["properties"]["metadata"]["a"]),
        (&json!("None"), &json!("b"))
    );
    let open = json!({"properties": {"publicAccess": "Blob"}});
    assert_eq!(world.put(&container, open).await.unwrap_err().code, "PublicAccessNotPermitted");
    let shares = format!("{}/fileServices/default/shares", account("store1"));
    let made = twice(&world, &format!("{shares}/data"), json!({"properties": {}})).await;
    assert_eq!(
        (&made["properties"]["shareQuota"], &made["properties"]["enabledProtocols"]),
        (&json!(5120), &json!("SMB"))
    );
    assert_eq!(world.get(&shares).await["value"], json!([made]));
    for (name, properties) in [
        ("Bad", json!({})),
        ("ok-name", json!({"shareQuota": 0})),
        ("ok-name", json!({"enabledProtocols": "NFS"})),
        ("ok-name", json!({"accessTier": "Warm"})),
        ("data", json!({"enabledProtocols": "NFS"})),
    ] {
        let answer = world.put(&format!("{shares}/{name}"), json!({"properties": properties})).await;
        assert!(answer.is_err(), "{name} {properties}");
    }
    let nowhere = format!("{}/fileServices/default/shares/data", account("store2"));
    assert_eq!(world.put(&nowhere, json!({})).await.unwrap_err().code, "ParentResourceNotFound");
}
