//! Throttling, pages, ETags under contention, tags, what is refused clearly.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use crate::harness::{HOST, World};

#[tokio::test]
async fn who_asks_too_much_hears_when_to_come_again() {
    let clock = kit::clock::FixedClock::new(jiff::Timestamp::now());
    let world = World::narrow(clock.clone()).await;
    let path = format!("/subscriptions/{}", world.sub);
    for left in (0..250).rev() {
        let answer = world.get(&path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-ms-ratelimit-remaining-subscription-reads")),
            (200, left.to_string().as_str())
        );
    }
    let refused = world.get(&path).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "SubscriptionRequestsThrottled"));
    assert_eq!(refused.header("retry-after"), "1");
    assert!(
        refused.message().starts_with("Number of 'read' requests for subscription '"),
        "{}",
        refused.message()
    );
    let written = world.put(&world.group_path("g"), json!({"location": "eastus"})).await;
    assert_eq!(
        written.header("x-ms-ratelimit-remaining-subscription-writes"),
        "199",
        "writes have their own"
    );
    assert_eq!(world.get("/tenants").await.header("x-ms-ratelimit-remaining-tenant-reads"), "249");
    let (_, token) = world.somebody("other").await;
    assert_eq!(
        world.as_who(&token, Method::GET, &path, Value::Null).await.status,
        403,
        "and so has everybody"
    );
    clock.set(jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2));
    assert_eq!(world.get(&path).await.status, 200);
}

#[tokio::test]
async fn lists_come_in_pages() {
    let world = World::new().await;
    world.group("g").await;
    for number in 0..7 {
        let body = json!({"location": "eastus", "tags": {"odd": (number % 2).to_string()}});
        world.put(&world.widget("g", &format!("w{number}")), body).await;
    }
    let all = |path: String| {
        let world = &world;
        async move {
            let (mut names, mut next) = (Vec::new(), path);
            loop {
                let request = http::Request::get(next.replace(' ', "%20"))
                    .header("host", HOST)
                    .header("authorization", format!("Bearer {}", world.token));
                let page = world.send(request, "").await;
                assert_eq!(page.status, 200, "{}", page.body);
                let rows = page.body["value"].as_array().unwrap();
                assert!(rows.len() <= 3);
                names.extend(rows.iter().map(|r| r["name"].as_str().unwrap().to_owned()));
                match page.body["nextLink"].as_str() {
                    Some(link) => next = link.trim_start_matches("https://localhost:8443").to_owned(),
                    None => return names,
                }
            }
        }
    };
    let version = "api-version=2025-01-01&$top=3";
    let group = world.group_path("g");
    let expected: Vec<String> = (0..7).map(|n| format!("w{n}")).collect();
    assert_eq!(all(format!("{group}/providers/Microsoft.Test/widgets?{version}")).await, expected);
    assert_eq!(all(format!("{group}/resources?{version}")).await, expected);
    let odd = format!(
        "/subscriptions/{}/resources?{version}&$filter=tagName eq 'odd' and tagValue eq '1'",
        world.sub
    );
    assert_eq!(all(odd).await, ["w1", "w3", "w5"]);
    assert_eq!(all(format!("/subscriptions/{}/resourceGroups?{version}", world.sub)).await, ["g"]);
    for (query, code) in [
        ("$top=0", "InvalidTopParameter"),
        ("$top=x", "InvalidTopParameter"),
        ("$skipToken=zz", "InvalidSkipToken"),
    ] {
        let answer = world.get(&format!("{group}/resources?{query}")).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, code), "{query}");
    }
}

#[tokio::test]
async fn a_second_identical_put_changes_nothing() {
    let world = World::new().await;
    world.group("g").await;
    let body = json!({"location": "eastus", "tags": {"a": "b"}, "properties": {"x": [1, 2]}});
    let first = world.put(&world.widget("g", "w"), body.clone()).await;
    let second = world.put(&world.widget("g", "w"), body).await;
    assert_eq!((second.status.as_u16(), &second.body), (200, &first.body));
    assert_eq!(second.header("etag"), first.header("etag"));
    let patched = world.call(Method::PATCH, &world.widget("g", "w"), json!({"tags": {"a": "b"}})).await;
    assert_eq!(patched.body, first.body);
    let other = world.call(Method::PATCH, &world.widget("g", "w"), json!({"tags": {"a": "c"}})).await;
    assert_ne!(other.header("etag"), first.header("etag"));
}

#[tokio::test]
async fn a_hundred_writers_with_etags_lose_no_update() {
    let world = Arc::new(World::new().await);
    world.group("g").await;
    let path = world.widget("g", "w");
    world.put(&path, json!({"location": "eastus", "properties": {"seen": []}})).await;
    let writers = (0..100).map(|number| {
        let (world, path) = (world.clone(), path.clone());
        tokio::spawn(async move {
            let mut tries = 0;
            loop {
                tries += 1;
                let now = world.get(&path).await;
                let mut body = now.body.clone();
                body["properties"]["seen"].as_array_mut().unwrap().push(json!(number));
                let request = http::Request::put(format!("{path}?api-version=2025-01-01"))
                    .header("host", HOST)
                    .header("if-match", now.header("etag"))
                    .header("authorization", format!("Bearer {}", world.token));
                let answer = world.send(request, &body.to_string()).await;
                match answer.status.as_u16() {
                    200 => return tries,
                    412 => assert_eq!(answer.code(), "PreconditionFailed"),
                    other => panic!("{other}: {}", answer.body),
                }
            }
        })
    });
    let mut tries = 0;
    for writer in futures::future::join_all(writers).await {
        tries += writer.unwrap();
    }
    let seen = world.get(&path).await.body["properties"]["seen"].as_array().unwrap().clone();
    let mut numbers: Vec<i64> = seen.iter().filter_map(Value::as_i64).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>(), "after {tries} tries");
}

#[tokio::test]
async fn tags_are_changed_by_their_own_api() {
    let world = World::new().await;
    world.group("g").await;
    let widget = world.widget("g", "w");
    world.put(&widget, json!({"location": "eastus", "tags": {"Team": "a", "env": "x"}})).await;
    for scope in [widget.clone(), world.group_path("g"), format!("/subscriptions/{}", world.sub)] {
        let path = format!("{scope}/providers/Microsoft.Resources/tags/default");
        let tags = async |method: Method, operation: &str, tags: Value| {
            let answer = world
                .call(method, &path, json!({"operation": operation, "properties": {"tags": tags}}))
                .await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            answer.body["properties"]["tags"].clone()
        };
        assert_eq!(
            tags(Method::PUT, "", json!({"Team": "a", "env": "x"})).await,
            json!({"Team": "a", "env": "x"})
        );
        assert_eq!(
            tags(Method::PATCH, "Merge", json!({"team": "b"})).await,
            json!({"env": "x", "team": "b"})
        );
        assert_eq!(tags(Method::PATCH, "Delete", json!({"ENV": ""})).await, json!({"team": "b"}));
        assert_eq!(tags(Method::PATCH, "Replace", json!({"n": "1"})).await, json!({"n": "1"}));
        assert_eq!(world.get(&path).await.body["properties"]["tags"], json!({"n": "1"}));
        let wrong =
            world.call(Method::PATCH, &path, json!({"operation": "Add", "properties": {"tags": {}}})).await;
        assert_eq!(wrong.status, 400);
        assert_eq!(world.delete(&path).await.status, 200);
        assert_eq!(world.get(&path).await.body["properties"]["tags"], json!({}));
    }
    let bad = world.put(&widget, json!({"location": "eastus", "tags": {"a/b": "c"}})).await;
    assert_eq!(bad.code(), "InvalidTagNameCharacters");
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let world = World::new().await;
    world.group("g").await;
    for deed in ["moveResources", "validateMoveResources", "exportTemplate"] {
        let answer = world.call(Method::POST, &format!("{}/{deed}", world.group_path("g")), json!({})).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (501, "NotImplemented"), "{deed}");
    }
    let nowhere =
        world.call(Method::POST, &format!("{}/moveResources", world.group_path("x")), json!({})).await;
    assert_eq!(nowhere.code(), "ResourceGroupNotFound");
}

#[tokio::test]
async fn a_request_of_an_unknown_version_does_nothing() {
    let world = World::new().await;
    let request = |method: Method, path: &str, version: &str| {
        http::Request::builder()
            .method(method)
            .uri(format!("{path}?api-version={version}"))
            .header("host", HOST)
            .header("authorization", format!("Bearer {}", world.token))
    };
    let body = "{\"location\":\"eastus\",\"properties\":{\"level\":\"ReadOnly\"}}";
    let lock = format!("/subscriptions/{}/providers/Microsoft.Authorization/locks/l", world.sub);
    for path in [world.group_path("g"), lock] {
        let refused = world.send(request(Method::PUT, &path, "2099-01-01"), body).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (400, "InvalidApiVersionParameter"));
        assert!(refused.message().contains("The supported versions are '"), "{}", refused.message());
        assert_eq!(world.get(&path).await.status, 404);
    }
    let subscription = format!("/subscriptions/{}", world.sub);
    for method in [Method::PUT, Method::DELETE, Method::POST] {
        let refused = world.send(request(method, &subscription, "2022-12-01"), "{}").await;
        assert_eq!((refused.status.as_u16(), refused.code()), (404, "InvalidRequestUri"));
    }
}
