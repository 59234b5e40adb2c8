//! Who may do what in a vault.

use http::Method;
use providers::fake::{OWNER, TENANT};
use serde_json::{Value, json};

use crate::world::{SOMEBODY, World, vault_body, vault_id};

/// Role, then whether it may: read a secret, list secrets, set one, list keys, make a key, encrypt, list
/// certificates, import one, purge a secret.
const ROLES: [(&str, &str, [bool; 9]); 8] = [
    ("Administrator", "00482a5a-887f-4fb3-b363-3b7fe8e74483", [true; 9]),
    (
        "Reader",
        "21090545-7ca7-4776-b22c-e363652d74d2",
        [false, true, false, true, false, false, true, false, false],
    ),
    (
        "Secrets User",
        "4633458b-17de-408a-b874-0445c86b69e6",
        [true, true, false, false, false, false, false, false, false],
    ),
    (
        "Secrets Officer",
        "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
        [true, true, true, false, false, false, false, false, true],
    ),
    (
        "Crypto User",
        "12338af0-0e69-4776-bea7-57ae8d297424",
        [false, false, false, true, false, true, false, false, false],
    ),
    (
        "Crypto Officer",
        "14b46e9e-c2b7-41b4-b07b-48a6ebf60603",
        [false, false, false, true, true, true, false, false, false],
    ),
    (
        "Certificates Officer",
        "a4417e6f-fecd-4de8-b567-7b0420556985",
        [false, false, false, false, false, false, true, true, false],
    ),
    ("Contributor (of the resource)", "b24988ac-6180-42a0-ab88-20f7382dd24c", [false; 9]),
];

async fn allowed(world: &World, who: &str) -> [bool; 9] {
    let deeds = [
        (Method::GET, "/secrets/s", Value::Null),
        (Method::GET, "/secrets", Value::Null),
        (Method::PUT, "/secrets/new", json!({"value": "v"})),
        (Method::GET, "/keys", Value::Null),
        (Method::POST, "/keys/new/create", json!({"kty": "EC"})),
        (Method::POST, "/keys/k/encrypt", json!({"alg": "RSA-OAEP", "value": "aGk"})),
        (Method::GET, "/certificates", Value::Null),
        (Method::POST, "/certificates/new/import", json!({"value": "no certificate"})),
        (Method::DELETE, "/deletedsecrets/none", Value::Null),
    ];
    let mut may = [false; 9];
    for (slot, (method, path, body)) in may.iter_mut().zip(deeds) {
        let reply = world.ask(Some(who), method, "kv1", path, body).await;
        *slot = reply.status != 403;
        assert!(*slot || reply.code() == "Forbidden", "{path} {}", reply.body);
    }
    may
}

#[tokio::test]
async fn built_in_roles_allow_what_they_say() {
    let world = World::with_vault().await;
    world.data(Method::PUT, "/secrets/s", json!({"value": "v"})).await.ok();
    world.data(Method::POST, "/keys/k/create", json!({"kty": "RSA"})).await.ok();
    assert_eq!(allowed(&world, SOMEBODY).await, [false; 9]);
    for (at, (name, role, expected)) in ROLES.into_iter().enumerate() {
        let who = format!("44444444-4444-4444-4444-44444444444{at}");
        world.assign(&who, role, &vault_id("kv1")).await;
        assert_eq!(allowed(&world, &who).await, expected, "{name}");
    }
}

#[tokio::test]
async fn a_role_on_one_secret_opens_that_secret_only() {
    let world = World::with_vault().await;
    for name in ["a", "b"] {
        world.data(Method::PUT, &format!("/secrets/{name}"), json!({"value": name})).await.ok();
    }
    let scope = format!("{}/secrets/a", vault_id("kv1"));
    world.assign(SOMEBODY, "4633458b-17de-408a-b874-0445c86b69e6", &scope).await;
    let ask = |path: &'static str| world.ask(Some(SOMEBODY), Method::GET, "kv1", path, Value::Null);
    assert_eq!(ask("/secrets/a").await.ok()["value"], "a");
    let refused = ask("/secrets/b").await;
    assert_eq!((refused.status.as_u16(), refused.inner()), (403, "ForbiddenByRbac"));
    let message = refused.body["error"]["message"].as_str().unwrap();
    for part in [
        "Caller is not authorized to perform action on resource.\r\n",
        &format!("oid={SOMEBODY};iss=https://sts.windows.net/{TENANT}/"),
        "Action: 'Microsoft.KeyVault/vaults/secrets/getSecret/action'",
        "/providers/microsoft.keyvault/vaults/kv1/secrets/b'",
        "Vault: kv1;location=eastus",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_eq!(ask("/secrets").await.status, 403);
}

#[tokio::test]
async fn access_policies_decide_where_roles_do_not() {
    let world = World::new().await;
    let policy = |permissions: Value| {
        vault_body(json!({"enableRbacAuthorization": false, "accessPolicies": [
            {"tenantId": TENANT, "objectId": SOMEBODY, "permissions": permissions}]}))
    };
    world.put(&vault_id("kv1"), policy(json!({"secrets": ["Get", "Set"], "keys": ["all"]}))).await.unwrap();
    world.assign(OWNER, "00482a5a-887f-4fb3-b363-3b7fe8e74483", &vault_id("kv1")).await;
    let roles = world.data(Method::GET, "/secrets", Value::Null).await;
    assert_eq!((roles.status.as_u16(), roles.inner()), (403, "AccessDenied"), "a role is worth nothing here");
    let ask = |method, path: &'static str, body| world.ask(Some(SOMEBODY), method, "kv1", path, body);
    ask(Method::PUT, "/secrets/s", json!({"value": "v"})).await.ok();
    ask(Method::GET, "/secrets/s", Value::Null).await.ok();
    ask(Method::POST, "/keys/k/create", json!({"kty": "EC"})).await.ok();
    let refused = ask(Method::GET, "/secrets", Value::Null).await;
    let message = refused.body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("does not have secrets list permission on key vault 'kv1;location=eastus'"),
        "{message}"
    );
    world.put(&vault_id("kv1"), policy(json!({"secrets": ["list"]}))).await.unwrap();
    assert_eq!(ask(Method::GET, "/secrets/s", Value::Null).await.status, 403);
    assert_eq!(ask(Method::GET, "/secrets", Value::Null).await.status, 200);
}
