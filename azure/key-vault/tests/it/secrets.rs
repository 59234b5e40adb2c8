//! Secrets.

use http::{Method, StatusCode, header};
use kit::http::Service;
use providers::fake::OWNER;
use serde_json::{Value, json};

use crate::world::{World, vault_body, vault_id};

#[tokio::test]
async fn a_request_without_a_token_is_led_to_one() {
    let world = World::with_vault().await;
    let reply = world.ask(None, Method::GET, "kv1", "/secrets", Value::Null).await;
    assert_eq!((reply.status, reply.code()), (StatusCode::UNAUTHORIZED, "Unauthorized"));
    assert_eq!(
        reply.headers["www-authenticate"],
        format!(
            "Bearer authorization=\"https://login.microsoftonline.com/{}\", resource=\"https://vault.azure.net\"",
            providers::fake::TENANT
        )
    );
    let nobody = world.ask(Some(OWNER), Method::GET, "kv9", "/secrets", Value::Null).await;
    assert_eq!((nobody.status.as_u16(), nobody.code()), (404, "VaultNotFound"));
}

#[tokio::test]
async fn a_secret_has_versions() {
    let world = World::with_vault().await;
    let body = json!({"value": "one", "contentType": "text/plain", "tags": {"a": "b"},
        "attributes": {"exp": 2_000_000_000}});
    let first = world.data(Method::PUT, "/secrets/Name", body).await.ok();
    let id = first["id"].as_str().unwrap().to_owned();
    let version = id.strip_prefix("https://kv1.vault.azure.net/secrets/Name/").unwrap();
    assert_eq!(version.len(), 32);
    let now = 1_780_272_000;
    let expected = json!({"value": "one", "contentType": "text/plain", "tags": {"a": "b"}, "id": id,
        "attributes": {"enabled": true, "exp": 2_000_000_000, "created": now, "updated": now,
            "recoveryLevel": "Recoverable+Purgeable", "recoverableDays": 90}});
    assert_eq!(first, expected);
    let second = world.data(Method::PUT, "/secrets/name", json!({"value": "two"})).await.ok();
    assert_eq!(world.data(Method::GET, "/secrets/name/", Value::Null).await.ok(), second);
    assert_eq!(
        world.data(Method::GET, &format!("/secrets/name/{version}"), Value::Null).await.ok(),
        expected
    );
    let versions = world.data(Method::GET, "/secrets/name/versions", Value::Null).await.ok();
    let ids: Vec<_> = versions["value"].as_array().unwrap().iter().map(|v| v["id"].clone()).collect();
    assert_eq!(ids, [first["id"].clone(), second["id"].clone()]);
    assert!(versions["value"][0].get("value").is_none());

    world.later(5);
    let patch = json!({"attributes": {"enabled": false}, "contentType": "x"});
    let patched = world.data(Method::PATCH, &format!("/secrets/name/{version}"), patch).await.ok();
    assert_eq!(patched["attributes"]["updated"], now + 5);
    assert_eq!(patched["contentType"], "x");
    let off = world.data(Method::GET, &format!("/secrets/name/{version}"), Value::Null).await;
    assert_eq!((off.status.as_u16(), off.code(), off.inner()), (403, "Forbidden", "SecretDisabled"));
    let none = world.data(Method::GET, "/secrets/name/0123", Value::Null).await;
    assert_eq!((none.status.as_u16(), none.code()), (404, "SecretNotFound"));
}

#[tokio::test]
async fn a_deleted_secret_blocks_its_name_until_recovered_or_purged() {
    let world = World::with_vault().await;
    world.data(Method::PUT, "/secrets/s", json!({"value": "v"})).await.ok();
    let deleted = world.data(Method::DELETE, "/secrets/s", Value::Null).await.ok();
    assert_eq!(deleted["recoveryId"], "https://kv1.vault.azure.net/deletedsecrets/s");
    assert_eq!(deleted["scheduledPurgeDate"], deleted["deletedDate"].as_i64().unwrap() + 90 * 86_400);
    assert_eq!(world.data(Method::GET, "/secrets/s", Value::Null).await.code(), "SecretNotFound");
    let blocked = world.data(Method::PUT, "/secrets/s", json!({"value": "w"})).await;
    assert_eq!((blocked.status.as_u16(), blocked.code()), (409, "Conflict"));
    assert_eq!(blocked.inner(), "ObjectIsDeletedButRecoverable");
    let listed = world.data(Method::GET, "/deletedsecrets", Value::Null).await.ok();
    assert_eq!(listed["value"][0]["recoveryId"], deleted["recoveryId"]);
    world.data(Method::POST, "/deletedsecrets/s/recover", Value::Null).await.ok();
    assert_eq!(world.data(Method::GET, "/secrets/s", Value::Null).await.ok()["value"], "v");
    world.data(Method::DELETE, "/secrets/s", Value::Null).await.ok();
    assert_eq!(world.data(Method::DELETE, "/deletedsecrets/s", Value::Null).await.status, 204);
    let gone = world.data(Method::GET, "/deletedsecrets/s", Value::Null).await;
    assert_eq!(gone.body["error"]["message"], "Deleted Secret not found: s");
    world.data(Method::PUT, "/secrets/s", json!({"value": "w"})).await.ok();
    let versions = world.data(Method::GET, "/secrets/s/versions", Value::Null).await.ok();
    assert_eq!(versions["value"].as_array().unwrap().len(), 1);
    world.data(Method::DELETE, "/secrets/s", Value::Null).await.ok();
    world.later(90 * 86_400);
    world.data(Method::PUT, "/secrets/s", json!({"value": "x"})).await.ok();
    let versions = world.data(Method::GET, "/secrets/s/versions", Value::Null).await.ok();
    assert_eq!(versions["value"].as_array().unwrap().len(), 1, "what was past recovery is gone");
}

#[tokio::test]
async fn nothing_is_purged_from_a_protected_vault() {
    let world = World::new().await;
    world.put(&vault_id("kv1"), vault_body(json!({"enablePurgeProtection": true}))).await.unwrap();
    world.assign(OWNER, "00482a5a-887f-4fb3-b363-3b7fe8e74483", &vault_id("kv1")).await;
    world.data(Method::PUT, "/secrets/s", json!({"value": "v"})).await.ok();
    let deleted = world.data(Method::DELETE, "/secrets/s", Value::Null).await.ok();
    assert_eq!(deleted["attributes"]["recoveryLevel"], "Recoverable");
    let refused = world.data(Method::DELETE, "/deletedsecrets/s", Value::Null).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "Forbidden"));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::with_vault().await;
    for at in 0..30 {
        world.data(Method::PUT, &format!("/secrets/s{at:02}"), json!({"value": "v"})).await.ok();
    }
    let (mut names, mut path) = (Vec::new(), "/secrets?maxresults=12".to_owned());
    loop {
        let page = world.data(Method::GET, &path, Value::Null).await.ok();
        names.extend(
            page["value"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["nextLink"].as_str() else { break };
        path = next.trim_start_matches("https://kv1.vault.azure.net").replace("api-version=7.4&", "");
    }
    let expected: Vec<_> =
        (0..30).map(|at| format!("https://kv1.vault.azure.net/secrets/s{at:02}")).collect();
    assert_eq!(names, expected);
    for size in ["0", "26", "x"] {
        let refused = world.data(Method::GET, &format!("/secrets?maxresults={size}"), Value::Null).await;
        assert_eq!(refused.code(), "BadParameter", "{size}");
    }
}

#[tokio::test]
async fn a_backup_is_restored_elsewhere_and_tells_nothing() {
    let world = World::with_vault().await;
    world.put(&vault_id("kv2"), vault_body(json!({}))).await.unwrap();
    world.assign(OWNER, "b86a8fe4-44ce-4948-aee5-eccb2c155cd7", &vault_id("kv2")).await;
    world.data(Method::PUT, "/secrets/s", json!({"value": "first-value"})).await.ok();
    world.data(Method::PUT, "/secrets/s", json!({"value": "second-value"})).await.ok();
    let backup = world.data(Method::POST, "/secrets/s/backup", Value::Null).await.ok();
    let there = world.data(Method::POST, "/secrets/restore", backup.clone()).await;
    assert_eq!((there.status.as_u16(), there.code()), (409, "Conflict"));
    world.ask(Some(OWNER), Method::POST, "kv2", "/secrets/restore", backup.clone()).await.ok();
    let restored = world.ask(Some(OWNER), Method::GET, "kv2", "/secrets/s", Value::Null).await.ok();
    assert_eq!(restored["value"], "second-value");
    let as_key = world.data(Method::POST, "/keys/restore", backup).await;
    assert_eq!(as_key.code(), "BadParameter");
    for wrong in [json!({}), json!({"value": "abc"}), json!({"value": 1})] {
        assert_eq!(world.data(Method::POST, "/secrets/restore", wrong).await.code(), "BadParameter");
    }
    let disk = std::fs::read(world.dir.path().join("arm.redb")).unwrap();
    for value in ["first-value", "second-value"] {
        assert!(!disk.windows(value.len()).any(|bytes| bytes == value.as_bytes()), "{value} is on the disk");
    }
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let world = World::with_vault().await;
    let long = "v".repeat(25_601);
    for (method, path, body, status) in [
        (Method::PUT, "/secrets/a_b", json!({"value": "v"}), 400),
        (Method::PUT, "/secrets/a%20b", json!({"value": "v"}), 400),
        (Method::PUT, "/secrets/s", json!({}), 400),
        (Method::PUT, "/secrets/s", json!({"value": 1}), 400),
        (Method::PUT, "/secrets/s", json!({"value": long}), 400),
        (Method::PUT, "/secrets/s", json!([]), 400),
        (Method::PUT, "/secrets/s", json!({"value": "v", "attributes": 1}), 400),
        (Method::PUT, "/secrets/s", json!({"value": "v", "attributes": {"exp": "soon"}}), 400),
        (Method::PUT, "/secrets/s", json!({"value": "v", "tags": {"a": 1}}), 400),
        (Method::GET, "/secrets?$skiptoken=%25", Value::Null, 400),
        (Method::POST, "/secrets/s", Value::Null, 405),
        (Method::DELETE, "/secrets", Value::Null, 405),
        (Method::GET, "/", Value::Null, 405),
        (Method::GET, "/nothing", Value::Null, 405),
        (Method::GET, "/storage", Value::Null, 501),
        (Method::GET, "/certificates/issuers", Value::Null, 501),
    ] {
        let reply = world.data(method.clone(), path, body).await;
        assert_eq!(reply.status, status, "{method} {path} {}", reply.body);
        assert!(!reply.code().is_empty(), "{method} {path}");
    }
    for version in ["", "?api-version=1.0"] {
        let request = http::Request::get(format!("/secrets{version}"))
            .header(header::HOST, "kv1.vault.azure.net")
            .header(header::AUTHORIZATION, format!("Bearer {OWNER}"))
            .body(kit::http::empty())
            .unwrap();
        assert_eq!(world.plane.call(request).await.status(), 400, "{version}");
    }
}
