//! Vaults as resources.

use http::Method;
use providers::fake::{SUBSCRIPTION, TENANT};
use serde_json::{Value, json};

use crate::world::{World, vault_body, vault_id};

#[tokio::test]
async fn what_was_put_comes_back_with_defaults_and_a_second_put_changes_nothing() {
    let world = World::new().await;
    let body = vault_body(json!({
        "accessPolicies": [{"tenantId": TENANT, "objectId": "o", "permissions": {"secrets": ["get", "list"]}}],
        "networkAcls": {"defaultAction": "Deny", "ipRules": [{"value": "1.2.3.4"}]},
        "enabledForDiskEncryption": true, "softDeleteRetentionInDays": 7,
    }));
    let made = world.put(&vault_id("kv1"), body.clone()).await.unwrap();
    let expected = json!({
        "tenantId": TENANT, "sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": true,
        "accessPolicies": [{"tenantId": TENANT, "objectId": "o", "permissions": {"secrets": ["get", "list"]}}],
        "networkAcls": {"bypass": "AzureServices", "defaultAction": "Deny", "ipRules": [{"value": "1.2.3.4/32"}],
            "virtualNetworkRules": []},
        "enabledForDeployment": false, "enabledForDiskEncryption": true, "enableSoftDelete": true,
        "softDeleteRetentionInDays": 7, "publicNetworkAccess": "Enabled",
        "vaultUri": "https://kv1.vault.azure.net/", "provisioningState": "Succeeded",
    });
    assert_eq!(made["properties"], expected);
    let etag = |world: &World| {
        let id = arm::ResourceId::parse(&vault_id("kv1")).unwrap();
        world.front.resources().get(&id).unwrap().etag.clone()
    };
    let (before, ticks) = (etag(&world), *world.front.resources().watch().borrow());
    world.later(60);
    assert_eq!(world.put(&vault_id("kv1"), body).await.unwrap(), made);
    assert_eq!(world.put(&vault_id("KV1"), made.clone()).await.unwrap(), made);
    assert_eq!(etag(&world), before);
    assert_eq!(*world.front.resources().watch().borrow(), ticks, "nothing was written");
    let patch = json!({"tags": {"a": "b"}, "properties": {"enabledForTemplateDeployment": true}});
    let patched =
        world.owner().patch(vault_id("kv1"), "2023-07-01", patch).await.unwrap().done().await.unwrap();
    assert_eq!(patched["tags"], json!({"a": "b"}));
    assert_eq!(patched["properties"]["enabledForTemplateDeployment"], true);
    assert_eq!(patched["properties"]["accessPolicies"], expected["accessPolicies"]);
}

#[tokio::test]
async fn what_a_vault_cannot_be_is_refused() {
    let world = World::new().await;
    for (name, properties, code) in [
        ("1kv", json!({}), "VaultNameNotValid"),
        ("k--v", json!({}), "VaultNameNotValid"),
        ("kv1", json!({"tenantId": "x"}), "BadRequest"),
        ("kv1", json!({"sku": {"name": "gold"}}), "BadRequest"),
        ("kv1", json!({"softDeleteRetentionInDays": 5}), "BadRequest"),
        ("kv1", json!({"enableSoftDelete": false}), "BadRequest"),
        ("kv1", json!({"enablePurgeProtection": false}), "BadRequest"),
        ("kv1", json!({"accessPolicies": [{"tenantId": TENANT}]}), "BadRequest"),
        ("kv1", json!({"networkAcls": {"defaultAction": "Maybe"}}), "BadRequest"),
        ("kv1", json!({"networkAcls": {"ipRules": [{"value": "here"}]}}), "BadRequest"),
        ("kv1", json!({"createMode": "recover"}), "VaultNotFound"),
    ] {
        let error = world.put(&vault_id(name), vault_body(properties.clone())).await.unwrap_err();
        assert_eq!(error.code, code, "{name} {properties}: {}", error.message);
    }
    let policy = json!([{"tenantId": TENANT, "objectId": "o", "permissions": {"keys": ["fly"]}}]);
    let error = world.put(&vault_id("kv1"), vault_body(json!({"accessPolicies": policy}))).await.unwrap_err();
    assert!(error.message.contains("fly"), "{}", error.message);
}

#[tokio::test]
async fn a_deleted_vault_keeps_its_name_and_contents_until_it_is_purged() {
    let world = World::with_vault().await;
    world.data(Method::PUT, "/secrets/s", json!({"value": "kept"})).await.ok();
    world.delete(&vault_id("kv1")).await.unwrap();
    assert_eq!(world.data(Method::GET, "/secrets/s", Value::Null).await.status, 404);

    let base = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.KeyVault");
    let listed = world.get(&format!("{base}/deletedVaults")).await;
    let deleted = &listed["value"][0];
    assert_eq!(deleted["properties"]["vaultId"], vault_id("kv1"));
    assert_eq!(deleted["properties"]["scheduledPurgeDate"], "2026-08-30T00:00:00Z");
    assert!(deleted["properties"].get("vault").is_none(), "{deleted}");
    let one = format!("{base}/locations/eastus/deletedVaults/kv1");
    assert_eq!(world.get(&one).await, *deleted);
    let check = json!({"name": "kv1", "type": "Microsoft.KeyVault/vaults"});
    let taken = world.post(&format!("{base}/checkNameAvailability"), check.clone()).await.unwrap();
    assert_eq!((&taken["nameAvailable"], &taken["reason"]), (&json!(false), &json!("AlreadyExists")));
    let again = world.put(&vault_id("kv1"), vault_body(json!({}))).await.unwrap_err();
    assert_eq!(again.code, "ConflictError");

    let recover = vault_body(json!({"createMode": "recover"}));
    world.put(&vault_id("kv1"), recover).await.unwrap();
    world.assign(providers::fake::OWNER, "00482a5a-887f-4fb3-b363-3b7fe8e74483", &vault_id("kv1")).await;
    assert_eq!(world.data(Method::GET, "/secrets/s", Value::Null).await.ok()["value"], "kept");

    world.delete(&vault_id("kv1")).await.unwrap();
    world.post(&format!("{one}/purge"), Value::Null).await.unwrap();
    assert_eq!(world.owner().get(&one, "2023-07-01").await.unwrap_err().code, "DeletedVaultNotFound");
    let free = world.post(&format!("{base}/checkNameAvailability"), check).await.unwrap();
    assert_eq!(free, json!({"nameAvailable": true}));
    world.put(&vault_id("kv1"), vault_body(json!({}))).await.unwrap();
    world.assign(providers::fake::OWNER, "00482a5a-887f-4fb3-b363-3b7fe8e74483", &vault_id("kv1")).await;
    let gone = world.data(Method::GET, "/secrets/s", Value::Null).await;
    assert_eq!((gone.status.as_u16(), gone.code()), (404, "SecretNotFound"));
}

/// A deletion or a recovery that is cut short between its writes leaves the vault and what is kept of it.
#[tokio::test]
async fn a_vault_that_is_there_is_not_deleted_whatever_else_is_kept() {
    let world = World::with_vault().await;
    world.data(Method::PUT, "/secrets/s", json!({"value": "kept"})).await.ok();
    let id = arm::ResourceId::parse(&vault_id("kv1")).unwrap();
    let vault = (*world.front.resources().get(&id).unwrap()).clone();
    world.delete(&vault_id("kv1")).await.unwrap();
    world.front.resources().save(vault).await.unwrap();
    world.assign(providers::fake::OWNER, "00482a5a-887f-4fb3-b363-3b7fe8e74483", &vault_id("kv1")).await;
    assert_eq!(world.data(Method::GET, "/secrets/s", Value::Null).await.ok()["value"], "kept");
    let base = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.KeyVault");
    assert_eq!(world.get(&format!("{base}/deletedVaults")).await["value"], json!([]));
    let purge = format!("{base}/locations/eastus/deletedVaults/kv1/purge");
    assert_eq!(world.post(&purge, Value::Null).await.unwrap_err().code, "DeletedVaultNotFound");

    world.delete(&vault_id("kv1")).await.unwrap();
    assert_eq!(world.data(Method::GET, "/secrets/s", Value::Null).await.status, 404);
    world.put(&vault_id("kv1"), vault_body(json!({"createMode": "recover"}))).await.unwrap();
    world.assign(providers::fake::OWNER, "00482a5a-887f-4fb3-b363-3b7fe8e74483", &vault_id("kv1")).await;
    assert_eq!(world.data(Method::GET, "/secrets/s", Value::Null).await.ok()["value"], "kept");
}

#[tokio::test]
async fn a_protected_vault_goes_only_when_its_time_is_over() {
    let world = World::new().await;
    let body = vault_body(json!({"enablePurgeProtection": true, "softDeleteRetentionInDays": 7}));
    world.put(&vault_id("kv1"), body).await.unwrap();
    let kept = world.put(&vault_id("kv1"), vault_body(json!({}))).await.unwrap();
    assert_eq!(kept["properties"]["enablePurgeProtection"], true);
    world.delete(&vault_id("kv1")).await.unwrap();
    let base = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.KeyVault");
    let purge = format!("{base}/locations/eastus/deletedVaults/kv1/purge");
    let refused = world.post(&purge, Value::Null).await.unwrap_err();
    assert_eq!(refused.message, "Operation 'DeletedVaultPurge' is not allowed.");
    world.later(7 * 86_400);
    assert_eq!(world.get(&format!("{base}/deletedVaults")).await["value"], json!([]));
    world.put(&vault_id("kv1"), vault_body(json!({}))).await.unwrap();
}

#[tokio::test]
async fn a_name_belongs_to_one_vault_of_the_cloud() {
    let world = World::new().await;
    world.put(&vault_id("kv1"), vault_body(json!({}))).await.unwrap();
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/other");
    world.owner().put(&group, "2021-04-01", json!({"location": "eastus"})).await.unwrap();
    let other = format!("{group}/providers/Microsoft.KeyVault/vaults/KV1");
    assert_eq!(world.put(&other, vault_body(json!({}))).await.unwrap_err().code, "VaultAlreadyExists");
}

#[tokio::test]
async fn access_policies_are_added_replaced_and_removed_one_by_one() {
    let world = World::new().await;
    world.put(&vault_id("kv1"), vault_body(json!({}))).await.unwrap();
    let policies = |deed: &str| format!("{}/accessPolicies/{deed}", vault_id("kv1"));
    let body = |secrets: Value| {
        json!({"properties": {"accessPolicies": [
            {"tenantId": TENANT, "objectId": "o", "permissions": {"secrets": secrets}}]}})
    };
    let added = world.put(&policies("add"), body(json!(["get"]))).await.unwrap();
    assert_eq!(added["type"], "Microsoft.KeyVault/vaults/accessPolicies");
    world.put(&policies("add"), body(json!(["list"]))).await.unwrap();
    let seen = world.get(&vault_id("kv1")).await["properties"]["accessPolicies"].clone();
    assert_eq!(seen[0]["permissions"]["secrets"], json!(["get", "list"]));
    world.put(&policies("remove"), body(json!(["get", "list"]))).await.unwrap();
    assert_eq!(world.get(&vault_id("kv1")).await["properties"]["accessPolicies"], json!([]));
    assert_eq!(world.put(&policies("juggle"), body(json!([]))).await.unwrap_err().code, "BadRequest");
    assert!(world.owner().get(policies("add"), "2023-07-01").await.unwrap_err().is_not_found());
}
