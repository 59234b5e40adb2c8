//! No way in without a role: every registered type of the real providers with every method, every action and everything
//! read below, the providers' own calls, the vaults' data plane and the directory; asked by somebody who is known and has
//! no role, and by nobody. (The registries' data plane: [`registry_roles`](crate::registry_roles).)

use http::Method;
use kit::http::Service;
use serde_json::{Value, json};

use crate::read_back::World;
use crate::requests::{made, requests};

#[tokio::test]
async fn without_a_role_or_a_token_every_registered_route_is_refused() {
    let world = World::new().await;
    let few = [
        "userAssignedIdentities/identity",
        "registries/readback1",
        "vaults/readback1",
        "storageAccounts/readback1",
    ];
    made(&world, |at| few.iter().any(|end| at.ends_with(end))).await;
    let nobody = world.stack.somebody("nobody").await.unwrap();
    let token =
        world.stack.sign_in_as(&nobody.app_id, &nobody.secret, "https://management.azure.com").await.unwrap();
    let before = world.store();
    let all = requests(&world);
    assert!(all.len() > 400, "only {} requests", all.len());
    let body = json!({"location": "eastus", "properties": {}});
    let mut wrong = Vec::new();
    for (method, path) in all.iter().map(|asked| (&asked.method, &asked.path)) {
        let body = if *method == Method::GET || *method == Method::HEAD { &Value::Null } else { &body };
        let url = format!("{path}?api-version=2025-01-01");
        let bearer = format!("Bearer {token}");
        for (authorization, status, code) in [
            (Some(bearer.as_str()), 403, "AuthorizationFailed"),
            (None, 401, "AuthenticationFailed"),
            (Some("Bearer nonsense"), 401, "InvalidAuthenticationToken"),
        ] {
            let answer = world.stack.call_as(authorization, method.clone(), &url, body).await.unwrap();
            let right = answer.status == status && (*method == Method::HEAD || answer.code() == code);
            if !right {
                wrong.push(format!(
                    "{method} {path}: {} {} instead of {status} {code}",
                    answer.status, answer.body
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
    assert_eq!(world.store(), before, "nothing was written");
}

/// A GET, PUT or POST to a vault.
pub async fn ask(
    vault: &key_vault::DataPlane,
    authorization: Option<&str>,
    method: &str,
    path: &str,
) -> (u16, Value) {
    let mut request = http::Request::builder()
        .method(method)
        .uri(format!("https://readback1.vault.azure.net{path}?api-version=7.4"))
        .header("host", "readback1.vault.azure.net")
        .header("content-type", "application/json");
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let answer = vault.call(request.body(kit::http::full("{\"value\":\"x\",\"kty\":\"EC\"}")).unwrap()).await;
    let status = answer.status().as_u16();
    let bytes = kit::http::read(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

#[tokio::test]
async fn without_a_role_or_a_token_no_vault_opens() {
    let world = World::new().await;
    let vault = format!("{}/providers/Microsoft.KeyVault/vaults/readback1", world.group);
    let plane = key_vault::DataPlane::open(world.stack.state_dir(), &world.stack.front).unwrap();
    let nobody = world.stack.somebody("nobody").await.unwrap();
    let token =
        world.stack.sign_in_as(&nobody.app_id, &nobody.secret, "https://vault.azure.net").await.unwrap();
    let paths = [
        ("GET", "/secrets"),
        ("GET", "/secrets/x"),
        ("GET", "/secrets/x/versions"),
        ("PUT", "/secrets/x"),
        ("PATCH", "/secrets/x/1"),
        ("DELETE", "/secrets/x"),
        ("POST", "/secrets/x/backup"),
        ("POST", "/secrets/restore"),
        ("GET", "/deletedsecrets"),
        ("GET", "/deletedsecrets/x"),
        ("DELETE", "/deletedsecrets/x"),
        ("POST", "/deletedsecrets/x/recover"),
        ("GET", "/keys"),
        ("GET", "/keys/x"),
        ("POST", "/keys/x/create"),
        ("PUT", "/keys/x"),
        ("DELETE", "/keys/x"),
        ("POST", "/keys/x/1/sign"),
        ("POST", "/keys/x/1/decrypt"),
        ("POST", "/keys/x/1/unwrapkey"),
        ("POST", "/keys/x/rotate"),
        ("GET", "/keys/x/rotationpolicy"),
        ("GET", "/deletedkeys"),
        ("GET", "/certificates"),
        ("GET", "/certificates/x"),
        ("POST", "/certificates/x/create"),
        ("POST", "/certificates/x/import"),
        ("GET", "/certificates/x/policy"),
        ("GET", "/certificates/x/pending"),
        ("DELETE", "/certificates/x"),
        ("GET", "/deletedcertificates"),
        ("DELETE", "/deletedcertificates/x"),
    ];
    for roles in [true, false] {
        let body = json!({"location": "eastus", "properties": {"tenantId": world.stack.entra.tenant_id(),
            "sku": {"family": "A", "name": "standard"}, "enableRbacAuthorization": roles, "accessPolicies": []}});
        world.write(Method::PUT, &vault, "2023-07-01", &body).await.unwrap();
        for (method, path) in paths {
            let refused = ask(&plane, Some(&format!("Bearer {token}")), method, path).await;
            assert_eq!(
                (refused.0, &refused.1["error"]["code"]),
                (403, &json!("Forbidden")),
                "{method} {path} {roles}"
            );
            for authorization in [None, Some("Bearer nonsense")] {
                let refused = ask(&plane, authorization, method, path).await;
                assert_eq!(refused.0, 401, "{method} {path} {roles}: {}", refused.1);
            }
        }
    }
}

#[tokio::test]
async fn without_an_administrator_the_directory_changes_nothing() {
    let world = World::new().await;
    let stack = &world.stack;
    let nobody = stack.somebody("nobody").await.unwrap();
    let graph =
        stack.sign_in_as(&nobody.app_id, &nobody.secret, "https://graph.microsoft.com").await.unwrap();
    let owner = &stack.owner.object_id;
    let writes = [
        ("POST", "/v1.0/users".to_owned()),
        ("POST", "/v1.0/groups".to_owned()),
        ("PATCH", format!("/v1.0/servicePrincipals/{owner}")),
        ("DELETE", format!("/v1.0/servicePrincipals/{owner}")),
        ("POST", format!("/v1.0/servicePrincipals/{owner}/addPassword")),
    ];
    for (method, path) in writes {
        let body = json!({"displayName": "x", "mailNickname": "x", "mailEnabled": false, "securityEnabled": true,
            "accountEnabled": true, "userPrincipalName": format!("x@{}", stack.entra.domain()), "passwordProfile": {"password": "Secret-12345"}});
        let method: Method = method.parse().unwrap();
        let refused = stack.call(&graph, method.clone(), &path, &body).await.unwrap();
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (403, "Authorization_RequestDenied"),
            "{method} {path}: {}",
            refused.body
        );
        let refused = stack.call_as(None, method.clone(), &path, &body).await.unwrap();
        assert_eq!(
            (refused.status.as_u16(), refused.code()),
            (401, "InvalidAuthenticationToken"),
            "{method} {path}"
        );
        let other = world.stack.sign_in().await.unwrap();
        let refused = stack.call(&other, method.clone(), &path, &body).await.unwrap();
        assert_eq!(refused.status.as_u16(), 401, "{method} {path}: a token for another API");
    }
}
