//! Signing in, as clients do it.

use http::Method;
use serde_json::{Value, json};

use crate::harness::World;

#[tokio::test]
async fn token_requests_are_refused_with_entras_numbers() {
    let world = World::new().await;
    let tenant = world.entra.tenant_id();
    let (app, secret) = (world.owner.app_id.as_str(), world.owner.secret.as_str());
    let scope = "https://management.azure.com/.default";
    type Fields<'a> = &'a [(&'a str, &'a str)];
    let table: [(&str, Fields<'_>, u16, u32); 6] = [
        (
            &tenant,
            &[
                ("grant_type", "client_credentials"),
                ("client_id", app),
                ("client_secret", "wrong"),
                ("scope", scope),
            ],
            401,
            7_000_215,
        ),
        (
            &tenant,
            &[
                ("grant_type", "client_credentials"),
                ("client_id", "nobody"),
                ("client_secret", secret),
                ("scope", scope),
            ],
            400,
            700_016,
        ),
        (
            "elsewhere",
            &[
                ("grant_type", "client_credentials"),
                ("client_id", app),
                ("client_secret", secret),
                ("scope", scope),
            ],
            400,
            90_002,
        ),
        (
            &tenant,
            &[
                ("grant_type", "client_credentials"),
                ("client_id", app),
                ("client_secret", secret),
                ("scope", "https://evil.example/.default"),
            ],
            400,
            500_011,
        ),
        (
            &tenant,
            &[
                ("grant_type", "password"),
                ("client_id", "04b07795-8ddb-461a-bbee-02f9e1bf7b46"),
                ("username", "x@y"),
                ("password", "p"),
                ("scope", scope),
            ],
            400,
            50_126,
        ),
        (
            &tenant,
            &[("grant_type", "client_credentials"), ("client_id", app), ("scope", scope)],
            401,
            7_000_218,
        ),
    ];
    for (tenant, fields, status, number) in table {
        let answer = world.form(&format!("/{tenant}/oauth2/v2.0/token"), fields).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body["error_codes"][0].as_u64()),
            (status, Some(u64::from(number))),
            "{}",
            answer.body
        );
    }
}

#[tokio::test]
async fn people_sign_in_by_password_and_device_and_refresh() {
    let world = World::new().await;
    let az = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
    let id = world.entra.create_user("ada", "Ada", "correct horse", false).await.unwrap();
    let upn = format!("ada@{}", world.entra.domain());
    let token = "/organizations/oauth2/v2.0/token";
    let scope = "https://localhost:8443//.default offline_access openid profile";
    let mine = world
        .form(
            token,
            &[
                ("grant_type", "password"),
                ("client_id", az),
                ("username", &upn),
                ("password", "correct horse"),
                ("scope", scope),
            ],
        )
        .await;
    assert_eq!(mine.status, 200, "{}", mine.body);
    assert!(mine.body["scope"].as_str().unwrap().contains("https://localhost:8443/"));
    let refresh = mine.body["refresh_token"].as_str().unwrap();
    let again = world
        .form(
            token,
            &[
                ("grant_type", "refresh_token"),
                ("client_id", az),
                ("refresh_token", refresh),
                ("scope", scope),
            ],
        )
        .await;
    let access = again.body["access_token"].as_str().unwrap().to_owned();
    let claims = world.entra.verify(&access, &["https://localhost:8443".to_owned()]).unwrap();
    assert_eq!(
        (claims.oid.as_str(), claims.upn.as_deref(), claims.is_app),
        (id.as_str(), Some(upn.as_str()), false)
    );

    let started =
        world.form("/organizations/oauth2/v2.0/devicecode", &[("client_id", az), ("scope", scope)]).await;
    let code = started.body["device_code"].as_str().unwrap().to_owned();
    let poll = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", az),
        ("device_code", code.as_str()),
    ];
    assert_eq!(world.form(token, &poll).await.body["error"], "authorization_pending");
    let user_code = started.body["user_code"].as_str().unwrap();
    world
        .form("/devicelogin", &[("otc", user_code), ("username", &upn), ("password", "correct horse")])
        .await;
    assert_eq!(world.form(token, &poll).await.status, 200);
    assert_ne!(world.form(token, &poll).await.status, 200, "a device code works once");
}

#[tokio::test]
async fn groups_stand_in_tokens_and_give_roles() {
    let world = World::new().await;
    world.group("g").await;
    let graph =
        world.sign_in(&world.owner.app_id, &world.owner.secret, "https://graph.microsoft.com/.default").await;
    let (somebody, before) = world.somebody("member").await;
    let group = world
        .graph(Method::POST, "/v1.0/groups", json!({"displayName": "team", "mailNickname": "team"}), &graph)
        .await;
    let group = group.body["id"].as_str().unwrap().to_owned();
    let reference =
        json!({"@odata.id": format!("https://graph.microsoft.com/v1.0/directoryObjects/{somebody}")});
    assert_eq!(
        world
            .graph(Method::POST, &format!("/v1.0/groups/{group}/members/$ref"), reference, &graph)
            .await
            .status,
        204
    );
    let role = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/{}",
        world.group_path("g"),
        uuid::Uuid::new_v4()
    );
    let body = json!({"properties": {"roleDefinitionId": "/x/acdd72a7-3385-48ef-bd42-f606fba81ae7", "principalId": group}});
    assert_eq!(world.put(&role, body).await.body["properties"]["principalType"], "Group");
    assert_eq!(
        world.as_who(&before, Method::GET, &world.group_path("g"), Value::Null).await.status,
        403,
        "groups count from the next token on"
    );
    let found = world
        .graph(
            Method::GET,
            "/v1.0/servicePrincipals?$filter=displayName%20eq%20'member'",
            Value::Null,
            &graph,
        )
        .await;
    let app_id = found.body["value"][0]["appId"].as_str().unwrap();
    let app = world
        .graph(
            Method::GET,
            &format!("/v1.0/applications?$filter=appId%20eq%20'{app_id}'"),
            Value::Null,
            &graph,
        )
        .await;
    let path = format!("/v1.0/applications/{}/addPassword", app.body["value"][0]["id"].as_str().unwrap());
    let secret = world.graph(Method::POST, &path, json!({}), &graph).await;
    let after = world
        .sign_in(app_id, secret.body["secretText"].as_str().unwrap(), "https://management.azure.com/.default")
        .await;
    assert_eq!(world.as_who(&after, Method::GET, &world.group_path("g"), Value::Null).await.status, 200);
    let mine = world
        .sign_in(app_id, secret.body["secretText"].as_str().unwrap(), "https://graph.microsoft.com/.default")
        .await;
    let refused = world
        .graph(Method::POST, "/v1.0/groups", json!({"displayName": "x", "mailNickname": "x"}), &mine)
        .await;
    assert_eq!(refused.code(), "Authorization_RequestDenied");
}

#[tokio::test]
async fn the_directory_survives_a_restart_and_keys_rotate() {
    let world = World::new().await;
    let (tenant, token) = (world.entra.tenant_id(), world.token.clone());
    world.entra.rotate_key().await.unwrap();
    assert!(
        world.entra.verify(&token, &["https://localhost:8443".to_owned()]).is_ok(),
        "tokens of the older key stay valid"
    );
    let world = world.restarted().await;
    assert_eq!(world.entra.tenant_id(), tenant);
    assert!(world.entra.bootstrap("again").await.unwrap().is_none());
    assert!(world.entra.verify(&token, &["https://localhost:8443".to_owned()]).is_ok());
}
