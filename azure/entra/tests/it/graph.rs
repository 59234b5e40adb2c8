//! Graph as az uses it.

use serde_json::{Value, json};

use crate::bench::{Bench, GRAPH};

fn ids(answer: &Value) -> Vec<&str> {
    answer["value"].as_array().unwrap().iter().map(|o| o["id"].as_str().or(o.as_str()).unwrap()).collect()
}

async fn user(bench: &Bench, admin: &str, name: &str) -> String {
    let body = json!({"accountEnabled": true, "displayName": name, "mailNickname": name, "jobTitle": "engineer",
        "userPrincipalName": format!("{name}@{}", bench.entra.domain()),
        "passwordProfile": {"password": "Correct-Horse-1", "forceChangePasswordNextSignIn": false}});
    bench.done(admin, "POST", "/users", body).await["id"].as_str().unwrap().to_owned()
}

async fn group(bench: &Bench, admin: &str, name: &str) -> String {
    let body =
        json!({"displayName": name, "mailNickname": name, "mailEnabled": false, "securityEnabled": true});
    bench.done(admin, "POST", "/groups", body).await["id"].as_str().unwrap().to_owned()
}

async fn app(bench: &Bench, admin: &str, body: Value) -> (String, String) {
    let made = bench.done(admin, "POST", "/applications", body).await;
    let app_id = made["appId"].as_str().unwrap().to_owned();
    bench.done(admin, "POST", "/servicePrincipals", json!({"appId": app_id})).await;
    (made["id"].as_str().unwrap().to_owned(), app_id)
}

fn reference(id: &str) -> Value {
    json!({"@odata.id": format!("https://graph.microsoft.com/v1.0/directoryObjects/{id}")})
}

#[tokio::test]
async fn groups_nest_and_know_all_their_members() {
    let (bench, _, admin) = Bench::administered().await;
    let ada = user(&bench, &admin, "ada").await;
    let (outer, inner) = (group(&bench, &admin, "outer").await, group(&bench, &admin, "inner").await);
    bench.done(&admin, "POST", &format!("/groups/{outer}/members/$ref"), reference(&inner)).await;
    bench.done(&admin, "POST", &format!("/groups/{inner}/members/$ref"), reference(&ada)).await;
    // A ring of groups ends too.
    bench.done(&admin, "POST", &format!("/groups/{inner}/members/$ref"), reference(&outer)).await;
    let read = async |path: String| bench.done(&admin, "GET", &path, Value::Null).await;
    assert_eq!(ids(&read(format!("/groups/{outer}/members")).await), [inner.as_str()]);
    let all = read(format!("/groups/{outer}/transitiveMembers/microsoft.graph.user")).await;
    assert_eq!(ids(&all), [ada.as_str()]);
    assert_eq!(read(format!("/groups/{outer}/transitiveMembers/$count")).await, json!(3));
    assert_eq!(ids(&read(format!("/users/{ada}/memberOf")).await), [inner.as_str()]);
    assert_eq!(ids(&read(format!("/users/{ada}/transitiveMemberOf")).await).len(), 2);
    let upn = format!("ada@{}", bench.entra.domain());
    assert_eq!(read(format!("/users/{upn}?$select=displayName")).await["displayName"], "ada");
    let asked = json!({"groupIds": [outer, "11111111-1111-1111-1111-111111111111"]});
    let path = format!("/directoryObjects/{ada}/checkMemberGroups");
    assert_eq!(ids(&bench.done(&admin, "POST", &path, asked).await), [outer.as_str()]);
    let path = format!("/groups/{inner}/getMemberGroups");
    let groups = bench.done(&admin, "POST", &path, json!({"securityEnabledOnly": false})).await;
    assert!(ids(&groups).contains(&outer.as_str()));
    let wanted = json!({"ids": [ada, outer], "types": ["user"]});
    assert_eq!(ids(&bench.done(&admin, "POST", "/directoryObjects/getByIds", wanted).await), [ada.as_str()]);
    bench.done(&admin, "DELETE", &format!("/users/{ada}"), Value::Null).await;
    assert_eq!(
        ids(&read(format!("/groups/{inner}/members")).await),
        [outer.as_str()],
        "who is gone is no member"
    );
}

#[tokio::test]
async fn owners_may_change_what_they_own_and_nothing_else() {
    let (bench, first, admin) = Bench::administered().await;
    let (object, app_id) = app(&bench, &admin, json!({"displayName": "mine"})).await;
    let secret = bench.done(&admin, "POST", &format!("/applications/{object}/addPassword"), json!({})).await;
    let me = bench.client_token(&app_id, secret["secretText"].as_str().unwrap(), GRAPH).await.unwrap();
    let principal =
        bench.done(&admin, "GET", &format!("/servicePrincipals(appId='{app_id}')"), Value::Null).await;
    let mine = principal["id"].as_str().unwrap();
    let rename = json!({"displayName": "renamed"});
    let (status, body) = bench.graph(&me, "PATCH", &format!("/applications/{object}"), rename.clone()).await;
    assert_eq!((status, body["error"]["code"].as_str()), (403, Some("Authorization_RequestDenied")));
    bench.done(&admin, "POST", &format!("/applications/{object}/owners/$ref"), reference(mine)).await;
    let again =
        bench.graph(&admin, "POST", &format!("/applications/{object}/owners/$ref"), reference(mine)).await;
    assert_eq!(again.0, 400, "{}", again.1);
    bench.done(&me, "PATCH", &format!("/applications/{object}"), rename).await;
    let owners = bench.done(&me, "GET", &format!("/applications/{object}/owners"), Value::Null).await;
    assert_eq!(ids(&owners), [first.object_id.as_str(), mine]);
    let owned = bench.done(&me, "GET", &format!("/servicePrincipals/{mine}/ownedObjects"), Value::Null).await;
    assert_eq!(ids(&owned), [object.as_str()]);
    let named = bench.done(&me, "GET", &format!("/servicePrincipals/{mine}"), Value::Null).await;
    assert_eq!(named["displayName"], "renamed", "the principal's name follows its application's");
    assert_eq!(bench.graph(&me, "DELETE", &format!("/servicePrincipals/{mine}"), Value::Null).await.0, 403);
    let owned_group = group(&bench, &admin, "owned").await;
    let path = format!("/groups/{owned_group}/owners/{}/$ref", first.object_id);
    let (status, body) = bench.graph(&admin, "DELETE", &path, Value::Null).await;
    assert!(
        status == 400 && body["error"]["message"].as_str().unwrap().contains("at least one owner"),
        "{body}"
    );
    bench.done(&admin, "DELETE", &format!("/applications/{object}/owners/{mine}/$ref"), Value::Null).await;
    assert_eq!(
        bench.graph(&me, "POST", &format!("/applications/{object}/addPassword"), json!({})).await.0,
        403
    );
}

#[tokio::test]
async fn certificates_and_trusts_are_judged_and_kept() {
    let (bench, _, admin) = Bench::administered().await;
    let (object, _) = app(&bench, &admin, json!({"displayName": "x", "identifierUris": ["api://x"]})).await;
    let path = format!("/applications/{object}");
    let authority = kit::pki::Authority::new("client", std::time::Duration::from_secs(86_400)).unwrap();
    let pem: Vec<String> =
        authority.certificate_pem().lines().filter(|l| !l.starts_with('-')).map(str::to_owned).collect();
    let credential = |key: Value| json!({"keyCredentials": [{"type": "AsymmetricX509Cert", "usage": "Verify", "key": key, "keyId": "k1"}]});
    let (status, body) = bench.graph(&admin, "PATCH", &path, credential(json!("bm8="))).await;
    assert_eq!(
        (status, body["error"]["message"].as_str()),
        (400, Some("Key credential must be a valid certificate."))
    );
    bench.done(&admin, "PATCH", &path, credential(json!(pem.join("\n")))).await;
    // As az does it: the whole list back, without the keys.
    bench.done(&admin, "PATCH", &path, credential(Value::Null)).await;
    let shown = bench.done(&admin, "GET", &path, Value::Null).await;
    assert_eq!(shown["keyCredentials"][0]["customKeyIdentifier"].as_str().unwrap().len(), 40);
    assert_eq!(shown["keyCredentials"][0]["key"], Value::Null);
    assert_eq!(
        bench.graph(&admin, "PATCH", &path, json!({"keyCredentials": [{"keyId": "other"}]})).await.0,
        400
    );

    let trusts = format!("{path}/federatedIdentityCredentials");
    let trust = |name: &str, subject: &str, audiences: Value| json!({"name": name, "issuer": "https://token.actions.example", "subject": subject, "audiences": audiences});
    let usual = json!(["api://AzureADTokenExchange"]);
    bench.done(&admin, "POST", &trusts, trust("one", "s", usual.clone())).await;
    for (body, status) in [
        (trust("two", "s", usual.clone()), 409),
        (trust("one", "t", usual.clone()), 409),
        (trust("two", "t", json!([])), 400),
        (json!({"name": "two", "issuer": "http://x", "subject": "t", "audiences": usual}), 400),
        (json!({"name": "two", "issuer": "https://x", "audiences": usual}), 400),
    ] {
        let (given, answer) = bench.graph(&admin, "POST", &trusts, body.clone()).await;
        assert_eq!(given, status, "{body}: {answer}");
    }
    bench.done(&admin, "PATCH", &format!("{trusts}/one"), json!({"subject": "u"})).await;
    assert_eq!(bench.done(&admin, "GET", &format!("{trusts}/one"), Value::Null).await["subject"], "u");
    bench.done(&admin, "DELETE", &format!("{trusts}/one"), Value::Null).await;
    assert_eq!(bench.graph(&admin, "GET", &format!("{trusts}/one"), Value::Null).await.0, 404);
    let taken = bench
        .graph(&admin, "POST", "/applications", json!({"displayName": "y", "identifierUris": ["api://X"]}))
        .await;
    assert!(
        taken.0 == 400 && taken.1["error"]["message"].as_str().unwrap().contains("identifierUris"),
        "{}",
        taken.1
    );
}

#[tokio::test]
async fn lists_are_filtered_sorted_counted_and_paged() {
    let (bench, _, admin) = Bench::administered().await;
    for name in ["ada", "bob", "cyd", "dan", "eve"] {
        user(&bench, &admin, name).await;
    }
    let names = |answer: &Value| -> Vec<String> {
        answer["value"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o["displayName"].as_str().unwrap().to_owned())
            .collect()
    };
    for (query, expected) in [
        ("$orderby=displayName", "ada bob cyd dan eve"),
        ("$orderby=displayName%20desc&$top=2", "eve dan"),
        ("$filter=displayName%20in%20('ada','Eve')&$orderby=displayName", "ada eve"),
        ("$filter=startswith(userPrincipalName,'b')", "bob"),
        ("$filter=endswith(displayName,'n')&$count=true", "dan"),
        (
            "$filter=not(displayName%20eq%20'ada')%20and%20jobTitle%20eq%20'engineer'&$count=true&$orderby=displayName",
            "bob cyd dan eve",
        ),
        ("$search=%22displayName:cy%22", "cyd"),
    ] {
        let answer = bench.done(&admin, "GET", &format!("/users?{query}"), Value::Null).await;
        assert_eq!(names(&answer).join(" "), expected, "{query}");
    }
    let (mut seen, mut next) = (
        Vec::new(),
        Some("/users?$top=2&$orderby=displayName&$count=true&$select=id,displayName".to_owned()),
    );
    while let Some(path) = next {
        let page = bench.done(&admin, "GET", &path, Value::Null).await;
        assert_eq!(page["@odata.count"], 5);
        assert!(
            page["value"][0].get("userPrincipalName").is_none(),
            "what is not selected is not shown: {page}"
        );
        seen.extend(names(&page));
        next = page["@odata.nextLink"]
            .as_str()
            .map(|l| l.strip_prefix("https://graph.microsoft.com/v1%2E0").unwrap().to_owned());
    }
    assert_eq!(seen, ["ada", "bob", "cyd", "dan", "eve"]);
    for (path, code) in [
        ("/users?$filter=nonsense", "Request_BadRequest"),
        ("/users?$filter=colour%20eq%20'red'", "BadRequest"),
        ("/users?$select=colour", "BadRequest"),
        ("/users?$top=1000", "Request_UnsupportedQuery"),
        ("/users?$expand=nothing", "BadRequest"),
        ("/planets", "BadRequest"),
    ] {
        let (status, body) = bench.graph(&admin, "GET", path, Value::Null).await;
        assert_eq!((status, body["error"]["code"].as_str()), (400, Some(code)), "{path}: {body}");
    }
    let outer = group(&bench, &admin, "g").await;
    let expanded =
        bench.done(&admin, "GET", &format!("/groups/{outer}?$expand=owners&$select=id"), Value::Null).await;
    assert_eq!(expanded["owners"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn users_are_made_by_the_rules() {
    let (bench, _, admin) = Bench::administered().await;
    let domain = bench.entra.domain();
    user(&bench, &admin, "ada").await;
    let body = |upn: &str, password: &str| json!({"accountEnabled": true, "displayName": "x", "mailNickname": "x", "userPrincipalName": upn, "passwordProfile": {"password": password}});
    for (upn, password, words) in [
        ("x@elsewhere.example".to_owned(), "Correct-Horse-1", "domain portion"),
        (format!("x@{domain}"), "short", "complexity"),
        (format!("x@{domain}"), "alllowercase", "complexity"),
        (format!("ADA@{domain}"), "Correct-Horse-1", "userPrincipalName already exists"),
    ] {
        let (status, answer) = bench.graph(&admin, "POST", "/users", body(&upn, password)).await;
        assert!(
            status == 400 && answer["error"]["message"].as_str().unwrap().contains(words),
            "{upn}: {answer}"
        );
    }
    let (status, answer) = bench.graph(&admin, "GET", "/me", Value::Null).await;
    assert!(status == 400 && answer["error"]["message"].as_str().unwrap().contains("delegated"), "{answer}");
}

#[tokio::test]
async fn roles_and_permissions_are_given_and_stand_in_tokens() {
    let (bench, first, admin) = Bench::administered().await;
    let role = "2a7c1de0-4d0c-4c8a-9d0e-000000000001";
    let roles = json!([{"id": role, "value": "Tasks.Run", "displayName": "run", "description": "run", "isEnabled": true, "allowedMemberTypes": ["Application"]}]);
    let (_, server) = app(
        &bench,
        &admin,
        json!({"displayName": "server", "appRoles": roles, "api": {"requestedAccessTokenVersion": 2}}),
    )
    .await;
    let (object, client) = app(&bench, &admin, json!({"displayName": "client"})).await;
    let id = async |app: &str| {
        bench.done(&admin, "GET", &format!("/servicePrincipals(appId='{app}')"), Value::Null).await["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (server_id, client_id) = (id(&server).await, id(&client).await);
    let give = |role: &str| json!({"principalId": client_id, "resourceId": server_id, "appRoleId": role});
    let path = format!("/servicePrincipals/{client_id}/appRoleAssignments");
    assert_eq!(bench.graph(&admin, "POST", &path, give("22222222-2222-2222-2222-222222222222")).await.0, 400);
    let made = bench.done(&admin, "POST", &path, give(role)).await;
    assert_eq!(
        (made["principalDisplayName"].as_str(), made["principalType"].as_str()),
        (Some("client"), Some("ServicePrincipal"))
    );
    assert_eq!(bench.graph(&admin, "POST", &path, give(role)).await.0, 400, "twice is once too often");
    let held = bench
        .done(&admin, "GET", &format!("/servicePrincipals/{server_id}/appRoleAssignedTo"), Value::Null)
        .await;
    assert_eq!(held["value"].as_array().unwrap().len(), 1);
    let secret = bench.done(&admin, "POST", &format!("/applications/{object}/addPassword"), json!({})).await;
    let token = bench.client_token(&client, secret["secretText"].as_str().unwrap(), &server).await.unwrap();
    let claims = crate::bench::claims(&token);
    assert_eq!(claims["roles"], json!(["Tasks.Run"]));
    assert_eq!(
        (&claims["ver"], &claims["aud"], &claims["azp"]),
        (&json!("2.0"), &json!(server), &json!(client))
    );
    assert!(claims.get("appid").is_none());
    assert_eq!(
        bench.entra.verify(&token, std::slice::from_ref(&server)).unwrap().appid.as_deref(),
        Some(client.as_str())
    );
    bench.done(&admin, "DELETE", &format!("{path}/{}", made["id"].as_str().unwrap()), Value::Null).await;

    let graph = id("00000003-0000-0000-c000-000000000000").await;
    let grant = json!({"clientId": client_id, "consentType": "AllPrincipals", "resourceId": graph, "scope": "User.Read"});
    let made = bench.done(&admin, "POST", "/oauth2PermissionGrants", grant.clone()).await;
    assert_eq!(bench.graph(&admin, "POST", "/oauth2PermissionGrants", grant).await.0, 409);
    let filter = format!("/oauth2PermissionGrants?$filter=clientId%20eq%20'{client_id}'");
    assert_eq!(ids(&bench.done(&admin, "GET", &filter, Value::Null).await), [made["id"].as_str().unwrap()]);
    bench.done(&admin, "DELETE", &format!("/applications/{object}"), Value::Null).await;
    assert!(ids(&bench.done(&admin, "GET", "/oauth2PermissionGrants", Value::Null).await).is_empty());
    assert_ne!(first.app_id, client);
}

#[tokio::test]
async fn a_batch_is_answered_as_its_requests_would_be_alone() {
    let (bench, _, admin) = Bench::administered().await;
    let new = |name: &str| json!({"displayName": name, "mailNickname": name, "mailEnabled": false, "securityEnabled": true});
    let json_type = json!({"Content-Type": "application/json"});
    let batch = json!({"requests": [
        {"id": "1", "method": "POST", "url": "/groups", "headers": json_type, "body": new("one")},
        {"id": "2", "method": "GET", "url": "/groups?$filter=displayName%20eq%20'one'", "dependsOn": ["1"]},
        {"id": "3", "method": "GET", "url": "/users/nobody"},
        {"id": "4", "method": "POST", "url": "/groups", "headers": json_type, "body": new("two"), "dependsOn": ["3"]},
        {"id": "5", "method": "GET", "url": "groups/$count", "headers": {"Authorization": "Bearer another"}}]});
    let answer = bench.done(&admin, "POST", "/$batch", batch).await;
    let responses = answer["responses"].as_array().unwrap();
    let statuses: Vec<(&str, u64)> =
        responses.iter().map(|r| (r["id"].as_str().unwrap(), r["status"].as_u64().unwrap())).collect();
    assert_eq!(statuses, [("1", 201), ("2", 200), ("3", 404), ("4", 424), ("5", 200)]);
    assert_eq!(responses[1]["body"]["value"][0]["id"], responses[0]["body"]["id"]);
    assert_eq!(responses[2]["body"]["error"]["code"], "Request_ResourceNotFound");
    assert_eq!(responses[4]["body"], 1);

    let one = |id: &str, url: &str| json!({"id": id, "method": "GET", "url": url});
    let many: Vec<Value> = (0..21).map(|at| one(&at.to_string(), "/users")).collect();
    for (requests, words) in [
        (json!(many), "exceeds the maximum value of 20"),
        (json!([one("1", "/users"), one("1", "/users")]), "there twice"),
        (json!([one("1", "/$batch")]), "no other batch"),
        (json!([{"id": "1", "url": "/users"}]), "has no 'method'"),
        (json!([{"id": "1", "method": "GET", "url": "/users", "dependsOn": ["2"]}]), "not before it"),
        (json!("x"), "Invalid batch payload"),
    ] {
        let (status, answer) = bench.graph(&admin, "POST", "/$batch", json!({"requests": requests})).await;
        assert_eq!(status, 400, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(words), "{answer}");
    }
    assert_eq!(bench.graph("", "POST", "/$batch", json!({"requests": []})).await.0, 401);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_as_each_plane_says_it() {
    let (bench, ..) = Bench::administered().await;
    for (path, code, words) in [
        ("/v1.0/users", "/error/code", "/error/message"),
        ("/common/oauth2/v2.0/token", "/error", "/error_description"),
    ] {
        let request = http::Request::post(path).body("x".repeat(2 << 20)).unwrap();
        let (status, body) = bench.send(request).await;
        assert_eq!(status, 413, "{body}");
        assert!(body.pointer(code).is_some_and(Value::is_string), "{path}: {body}");
        assert!(body.pointer(words).and_then(Value::as_str).is_some_and(|t| t.contains("1048576")), "{body}");
    }
}
