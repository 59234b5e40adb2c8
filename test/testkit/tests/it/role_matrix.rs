//! Each built-in role × each operation of the real providers, and of the vaults' data plane: allowed exactly when the role
//! says so. What is refused has no effect.
//!
//! A read-only lock stands behind the roles: what a role lets through it stops, so nothing changes either way.

use http::Method;
use serde_json::{Value, json};

use crate::no_way_in::ask;
use crate::read_back::World;
use crate::requests::{made, requests};
use crate::role_holders::holders;

#[tokio::test]
async fn every_role_lets_do_what_its_actions_say_and_nothing_else() {
    let world = World::new().await;
    // Machines and clusters change by themselves; what may be done to them is decided before they are looked for.
    let still = [
        "Microsoft.Network/",
        "Microsoft.ManagedIdentity/",
        "Microsoft.Storage/",
        "Microsoft.KeyVault/",
        "Microsoft.ContainerRegistry/",
        "Microsoft.OperationalInsights/",
    ];
    made(&world, |at| {
        let kind = at.rsplit_once("/providers/").map_or("", |(_, kind)| kind);
        still.iter().any(|namespace| kind.starts_with(namespace))
            && !at.contains("/privateEndpointConnections/")
    })
    .await;
    let holders = holders(&world).await;
    let lock = format!("{}/providers/Microsoft.Authorization/locks/still", world.group);
    let read_only = json!({"properties": {"level": "ReadOnly"}});
    world.write(Method::PUT, &lock, "2020-05-01", &read_only).await.unwrap();
    let before = world.store();
    let all = requests(&world);
    assert!(all.len() > 450, "only {} requests", all.len());
    let body = json!({"location": "eastus", "properties": {}});
    let (mut wrong, mut passed) = (Vec::new(), 0);
    for holder in &holders {
        let token = holder.token(&world, "https://management.azure.com").await;
        for asked in &all {
            let reads = asked.method == Method::GET || asked.method == Method::HEAD;
            let body = if reads { &Value::Null } else { &body };
            let path = format!("{}?api-version=2025-01-01", asked.path);
            let answer = world.stack.call(&token, asked.method.clone(), &path, body).await.unwrap();
            let refused = answer.status == 403
                && (asked.method == Method::HEAD || answer.code() == "AuthorizationFailed");
            let known = answer.status != 401 && answer.status != 429;
            let may = holder.may(&asked.action);
            passed += usize::from(may);
            if may == refused || !known {
                let said = if may { "lets" } else { "does not let" };
                wrong.push(format!(
                    "{} {said} {}: {} {}: {} {}",
                    holder.role, asked.action, asked.method, asked.path, answer.status, answer.body
                ));
            }
        }
    }
    let count = all.len() * holders.len();
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong[..wrong.len().min(60)].join("\n"));
    assert_eq!(world.store(), before, "nothing was written");
    eprintln!("{} roles, {} requests each, {passed} of {count} allowed", holders.len(), all.len());
}

/// A request to a vault, and the data action that it needs below `Microsoft.KeyVault/vaults/`.
const VAULT: &[(&str, &str, &str)] = &[
    ("GET", "/secrets", "secrets/readMetadata/action"),
    ("GET", "/secrets/x", "secrets/getSecret/action"),
    ("GET", "/secrets/x/versions", "secrets/readMetadata/action"),
    ("PUT", "/secrets/x", "secrets/setSecret/action"),
    ("PATCH", "/secrets/x/1", "secrets/update/action"),
    ("DELETE", "/secrets/none", "secrets/delete"),
    ("POST", "/secrets/x/backup", "secrets/backup/action"),
    ("POST", "/secrets/restore", "secrets/restore/action"),
    ("GET", "/deletedsecrets", "secrets/readMetadata/action"),
    ("GET", "/deletedsecrets/x", "secrets/readMetadata/action"),
    ("DELETE", "/deletedsecrets/x", "secrets/purge/action"),
    ("POST", "/deletedsecrets/x/recover", "secrets/recover/action"),
    ("GET", "/keys", "keys/read"),
    ("GET", "/keys/x", "keys/read"),
    ("POST", "/keys/x/create", "keys/create/action"),
    ("PUT", "/keys/x", "keys/import/action"),
    ("PATCH", "/keys/x/1", "keys/update/action"),
    ("DELETE", "/keys/none", "keys/delete"),
    ("POST", "/keys/x/backup", "keys/backup/action"),
    ("POST", "/keys/x/1/encrypt", "keys/encrypt/action"),
    ("POST", "/keys/x/1/decrypt", "keys/decrypt/action"),
    ("POST", "/keys/x/1/wrapkey", "keys/wrap/action"),
    ("POST", "/keys/x/1/unwrapkey", "keys/unwrap/action"),
    ("POST", "/keys/x/1/sign", "keys/sign/action"),
    ("POST", "/keys/x/1/verify", "keys/verify/action"),
    ("POST", "/keys/x/rotate", "keys/rotate/action"),
    ("GET", "/keys/x/rotationpolicy", "keyrotationpolicies/read"),
    ("GET", "/deletedkeys", "keys/read"),
    ("DELETE", "/deletedkeys/x", "keys/purge/action"),
    ("POST", "/deletedkeys/x/recover", "keys/recover/action"),
    ("GET", "/certificates", "certificates/read"),
    ("GET", "/certificates/x", "certificates/read"),
    ("POST", "/certificates/x/create", "certificates/create/action"),
    ("POST", "/certificates/x/import", "certificates/import/action"),
    ("GET", "/certificates/x/policy", "certificates/read"),
    ("GET", "/certificates/x/pending", "certificates/read"),
    ("DELETE", "/certificates/none", "certificates/delete"),
    ("GET", "/deletedcertificates", "certificates/read"),
    ("DELETE", "/deletedcertificates/x", "certificates/purge/action"),
];

#[tokio::test]
async fn every_role_opens_of_a_vault_what_its_data_actions_say_and_nothing_else() {
    let world = World::new().await;
    let vault = format!("{}/providers/Microsoft.KeyVault/vaults/readback1", world.group);
    let body = json!({"location": "eastus", "properties": {"tenantId": world.stack.entra.tenant_id(),
        "sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": true}});
    world.write(Method::PUT, &vault, "2023-07-01", &body).await.unwrap();
    let plane = key_vault::DataPlane::open(world.stack.state_dir(), &world.stack.front).unwrap();
    let holders = holders(&world).await;
    let mut bearers = Vec::new();
    for holder in &holders {
        bearers.push(format!("Bearer {}", holder.token(&world, "https://vault.azure.net").await));
    }
    let administrator = holders.iter().position(|holder| holder.role == "Key Vault Administrator").unwrap();
    let state = async || {
        let mut found = Vec::new();
        for path in [
            "/secrets",
            "/deletedsecrets",
            "/keys",
            "/deletedkeys",
            "/certificates",
            "/deletedcertificates",
            "/secrets/x",
        ] {
            found.push(ask(&plane, Some(&bearers[administrator]), "GET", path).await);
        }
        found
    };
    assert_eq!(ask(&plane, Some(&bearers[administrator]), "PUT", "/secrets/x").await.0, 200);
    let before = state().await;
    let mut wrong = Vec::new();
    let mut round = async |allowed: bool| {
        for (holder, bearer) in holders.iter().zip(&bearers) {
            for (method, path, action) in VAULT {
                if holder.may_data(&format!("Microsoft.KeyVault/vaults/{action}")) != allowed {
                    continue;
                }
                let (status, said) = ask(&plane, Some(bearer), method, path).await;
                let by_role = said.pointer("/error/innererror/code") == Some(&json!("ForbiddenByRbac"));
                if allowed == (status == 403 && by_role) || status == 401 {
                    wrong.push(format!(
                        "{} {action} {allowed}: {method} {path}: {status} {said}",
                        holder.role
                    ));
                }
            }
        }
    };
    round(false).await;
    assert_eq!(state().await, before, "what is refused has no effect");
    round(true).await;
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
