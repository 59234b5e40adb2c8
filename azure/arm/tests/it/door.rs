//! Authentication, versions, names, locations, errors.

use http::Method;
use serde_json::{Value, json};

use crate::harness::{HOST, World};

#[tokio::test]
async fn a_token_past_its_expiry_is_refused_with_both_times() {
    let issued: jiff::Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
    let clock = kit::clock::FixedClock::new(issued);
    let world = World::with_clock(clock.clone()).await;
    let path = "/subscriptions?api-version=2022-12-01";
    let ask = || {
        http::Request::get(path)
            .header("host", HOST)
            .header("authorization", format!("Bearer {}", world.token))
    };
    assert_eq!(world.send(ask(), "").await.status, 200);
    clock.set("2026-03-04T12:30:00Z".parse().unwrap());
    let answer = world.send(ask(), "").await;
    assert_eq!((answer.status.as_u16(), answer.code()), (401, "ExpiredAuthenticationToken"));
    let (start, end) = (
        "The access token expiry UTC time '2026-03-0",
        "is earlier than current UTC time '2026-03-04T12:30:00Z'.",
    );
    assert!(answer.message().starts_with(start) && answer.message().ends_with(end), "{}", answer.message());
    let fresh = world
        .sign_in(&world.owner.app_id, &world.owner.secret, "https://management.azure.com/.default")
        .await;
    assert_eq!(world.as_who(&fresh, Method::GET, "/subscriptions", Value::Null).await.status, 200);
}

#[tokio::test]
async fn what_is_kept_is_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new().await;
    let path = world.state().join("arm.redb");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn who_has_no_valid_token_is_refused() {
    let world = World::new().await;
    let path = "/subscriptions?api-version=2022-12-01";
    let vault =
        world.sign_in(&world.owner.app_id, &world.owner.secret, "https://vault.azure.net/.default").await;
    let mut broken = world.token.clone();
    broken.replace_range(broken.len() - 6.., "AAAAAA");
    let table = [
        (None, "AuthenticationFailed"),
        (Some("Basic x".to_owned()), "AuthenticationFailed"),
        (Some("Bearer nonsense".to_owned()), "InvalidAuthenticationToken"),
        (Some(format!("Bearer {broken}")), "InvalidAuthenticationToken"),
        (Some(format!("Bearer {vault}")), "InvalidAuthenticationTokenAudience"),
    ];
    for (value, code) in table {
        let mut request = http::Request::get(path).header("host", HOST);
        if let Some(value) = value {
            request = request.header("authorization", value);
        }
        let answer = world.send(request, "").await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, code));
        assert!(answer.header("www-authenticate").starts_with("Bearer authorization_uri="));
    }
    // A token for another host's audience does not become valid by calling the front door by that host's name.
    let request = http::Request::get(path)
        .header("host", "vault.azure.net")
        .header("authorization", format!("Bearer {vault}"));
    assert_eq!(world.send(request, "").await.status, 401);
}

#[tokio::test]
async fn versions_are_checked() {
    let world = World::new().await;
    world.group("g").await;
    let table = [
        ("/subscriptions".to_owned(), "", 400, "MissingApiVersionParameter"),
        ("/subscriptions".to_owned(), "?api-version=2099-01-01", 400, "InvalidApiVersionParameter"),
        (world.widget("g", "w"), "?api-version=nonsense", 400, "NoRegisteredProviderFound"),
        (world.widget("g", "w"), "?api-version=2026-08-01", 404, "ResourceNotFound"),
        (
            format!("{}/providers/Microsoft.Test/gadgets/x", world.group_path("g")),
            "?api-version=2025-01-01",
            404,
            "InvalidResourceType",
        ),
        (
            format!("{}/providers/Nobody.Knows/x/y", world.group_path("g")),
            "?api-version=2025-01-01",
            404,
            "InvalidResourceNamespace",
        ),
        (
            format!("{}/providers/Microsoft.Sql/servers/y", world.group_path("g")),
            "?api-version=2025-01-01",
            501,
            "NotImplemented",
        ),
        ("/subscriptions/nonsense".to_owned(), "?api-version=2022-12-01", 400, "InvalidSubscriptionId"),
        (
            "/subscriptions/00000000-0000-0000-0000-000000000001".to_owned(),
            "?api-version=2022-12-01",
            404,
            "SubscriptionNotFound",
        ),
    ];
    for (path, query, status, code) in table {
        let request = http::Request::get(format!("{path}{query}"))
            .header("host", HOST)
            .header("authorization", format!("Bearer {}", world.token));
        let answer = world.send(request, "").await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path}{query}");
    }
}

#[tokio::test]
async fn bad_requests_are_refused_with_azures_codes() {
    let world = World::new().await;
    world.group("g").await;
    let east = json!({"location": "eastus"});
    let table = [
        (world.group_path("bad!name"), east.clone(), 400, "InvalidResourceGroup"),
        (world.group_path("h"), json!({"location": "mars"}), 400, "LocationNotAvailableForResourceGroup"),
        (world.group_path("h"), json!({}), 400, "LocationRequired"),
        (world.group_path("g"), json!({"location": "westus"}), 409, "InvalidResourceGroupLocation"),
        (world.widget("missing", "w"), east.clone(), 404, "ResourceGroupNotFound"),
        (world.widget("g", "Bad_Name"), east.clone(), 400, "InvalidResourceName"),
        (world.widget("g", "w"), json!({"location": "mars"}), 400, "LocationNotAvailableForResourceType"),
        (world.widget("g", "w"), json!({}), 400, "LocationRequired"),
        (world.widget("g", "w"), json!([1]), 400, "InvalidRequestContent"),
        (world.widget("g", "none/parts/p"), json!({}), 404, "ParentResourceNotFound"),
    ];
    for (path, body, status, code) in table {
        let answer = world.put(&path, body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path}: {}", answer.message());
    }
    let request = http::Request::put(format!("{}?api-version=2025-01-01", world.widget("g", "w")))
        .header("host", HOST)
        .header("authorization", format!("Bearer {}", world.token));
    assert_eq!(world.send(request, "{nonsense").await.code(), "InvalidRequestContent");
}

#[tokio::test]
async fn paths_are_forgiving() {
    let world = World::new().await;
    world.group("Group").await;
    let made =
        world.put(&world.widget("GROUP", "w"), json!({"location": "East US", "tags": {"a": "b"}})).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["id"], json!(world.widget("Group", "w")), "the group is written as it was made");
    assert_eq!(made.body["location"], "eastus");
    let odd =
        format!("//SUBSCRIPTIONS/{}/resourcegroups/group/providers/microsoft.TEST//WIDGETS/W/", world.sub);
    assert_eq!(world.get(&odd).await.body["name"], "w");
}

#[tokio::test]
async fn the_metadata_document_needs_no_token() {
    let world = World::new().await;
    let get = |host: &'static str, version: &str| {
        http::Request::get(format!("//metadata/endpoints?api-version={version}")).header("host", host)
    };
    let one = world.send(get(HOST, "2022-09-01"), "").await;
    assert_eq!(one.body["resourceManager"], "https://localhost:8443/");
    assert_eq!(one.body["authentication"]["loginEndpoint"], "https://localhost:8443/");
    assert!(world.send(get(HOST, "2019-05-01"), "").await.body.is_array());
    let public = world.send(get("management.azure.com", "2022-09-01"), "").await;
    assert_eq!(public.body["authentication"]["loginEndpoint"], "https://login.microsoftonline.com/");
}

#[tokio::test]
async fn subscriptions_providers_and_features() {
    let world = World::new().await;
    assert_eq!(world.get("/subscriptions").await.body["value"][0]["subscriptionId"], json!(world.sub));
    assert_eq!(world.get("/tenants").await.body["value"][0]["tenantId"], json!(world.entra.tenant_id()));
    let prefix = format!("/subscriptions/{}", world.sub);
    assert!(world.get(&format!("{prefix}/locations")).await.body["value"].as_array().unwrap().len() > 30);
    let provider = format!("{prefix}/providers/microsoft.test");
    let shown = world.get(&provider).await;
    assert_eq!(shown.body["resourceTypes"][0]["resourceType"], "widgets");
    world.group("g").await;
    world.call(Method::POST, &format!("{provider}/unregister"), Value::Null).await;
    let refused = world.put(&world.widget("g", "w"), json!({"location": "eastus"})).await;
    assert_eq!(refused.code(), "MissingSubscriptionRegistration");
    let again = world.call(Method::POST, &format!("{provider}/register"), Value::Null).await;
    assert_eq!(again.body["registrationState"], "Registered");
    let feature = format!("{prefix}/providers/Microsoft.Features/providers/Microsoft.Test/features/F");
    assert_eq!(world.get(&feature).await.body["properties"]["state"], "NotRegistered");
    world.call(Method::POST, &format!("{feature}/register"), Value::Null).await;
    assert_eq!(world.get(&feature).await.body["properties"]["state"], "Registered");
}
