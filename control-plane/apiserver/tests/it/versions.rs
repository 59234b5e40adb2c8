//! What `resourceVersion` and `resourceVersionMatch` mean for get, list and watch: the table of the documentation, cell by cell.
//!
//! The world: `a`, `b` and `c` were made, then `a` was deleted. `{a}`, `{b}` and `{c}` in a query are the versions at
//! which they were made, `{now}` is that of the deletion, `{future}` one that does not exist.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Server, map, start};

const MAPS: &str = "/api/v1/namespaces/t/configmaps";

struct World {
    server: Server,
    versions: Vec<(&'static str, u64)>,
}

async fn world() -> World {
    let server = start().await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "t"}});
    server.post("/api/v1/namespaces", namespace).await.ok();
    let mut versions = Vec::new();
    for name in ["a", "b", "c"] {
        let made = server.post(MAPS, map(name)).await.ok();
        versions.push((name, version(&made)));
    }
    server.delete(&format!("{MAPS}/a")).await.ok();
    let now = version(&server.get(MAPS).await.ok());
    versions.extend([("now", now), ("future", now + 1000)]);
    World { server, versions }
}

fn version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

impl World {
    fn filled(&self, text: &str) -> String {
        let fill = |text: String, (name, version): &(&str, u64)| {
            text.replace(&format!("{{{name}}}"), &version.to_string())
        };
        self.versions.iter().fold(text.to_owned(), fill)
    }

    fn named(&self, version: u64) -> &'static str {
        self.versions.iter().find(|(_, known)| *known == version).map_or("?", |(name, _)| name)
    }

    /// `b c @now` for a list, with `…` when more follow; the code and message of a refusal.
    async fn list(&self, query: &str) -> String {
        let answer = self.server.get(&format!("{MAPS}?{}", self.filled(query))).await;
        if answer.status != 200 {
            return format!("{} {}", answer.status, answer.body["message"].as_str().unwrap());
        }
        let names = answer.body["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap());
        let names: Vec<&str> = names.collect();
        let more = if answer.body["metadata"]["continue"].is_string() { " …" } else { "" };
        format!("{}{more} @{}", names.join(" "), self.named(version(&answer.body)))
    }

    /// The events of a watch of a second, `+b +c -a =`; the last is a bookmark.
    async fn watch(&self, query: &str) -> String {
        let path = format!("{MAPS}?watch=true&timeoutSeconds=1&{}", self.filled(query));
        let answer = self.server.get(&path).await;
        if answer.status != 200 {
            return format!("{} {}", answer.status, answer.body["message"].as_str().unwrap());
        }
        let events = answer.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let events = events.map(|line| {
            let event: Value = serde_json::from_slice(line).unwrap();
            let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
            match event["type"].as_str().unwrap() {
                "ADDED" => format!("+{name}"),
                "DELETED" => format!("-{name}"),
                "BOOKMARK"
                    if event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true" =>
                {
                    format!("={}", self.named(version(&event["object"])))
                }
                other => format!("{other} {}", event["object"]),
            }
        });
        events.collect::<Vec<_>>().join(" ")
    }
}

const FORBIDDEN: &str = "422 ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: ";

/// Queries of lists and what is answered. `{F}` is the beginning of a refusal.
const LISTS: &[(&str, &str)] = &[
    // Without a limit.
    ("", "b c @now"),
    ("resourceVersion=0", "b c @now"),
    ("resourceVersion={a}", "b c @now"),
    ("resourceVersion={now}", "b c @now"),
    ("resourceVersion={future}", "504 Timeout: Too large resource version: {future}, current: {now}"),
    ("resourceVersion=0&resourceVersionMatch=NotOlderThan", "b c @now"),
    ("resourceVersion={a}&resourceVersionMatch=NotOlderThan", "b c @now"),
    ("resourceVersion={a}&resourceVersionMatch=Exact", "a @a"),
    ("resourceVersion={c}&resourceVersionMatch=Exact", "a b c @c"),
    ("resourceVersion={now}&resourceVersionMatch=Exact", "b c @now"),
    (
        "resourceVersion={future}&resourceVersionMatch=Exact",
        "504 Timeout: Too large resource version: {future}, current: {now}",
    ),
    (
        "resourceVersion=0&resourceVersionMatch=Exact",
        "{F}resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
    ),
    ("resourceVersionMatch=Exact", "{F}resourceVersionMatch is forbidden unless resourceVersion is provided"),
    (
        "resourceVersionMatch=NotOlderThan",
        "{F}resourceVersionMatch is forbidden unless resourceVersion is provided",
    ),
    (
        "resourceVersion=0&resourceVersionMatch=Newest",
        "422 ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Unsupported value: \"Newest\": supported values: \"Exact\", \"NotOlderThan\", \"\"",
    ),
    // With one.
    ("limit=1", "b … @now"),
    ("limit=2", "b c @now"),
    ("limit=1&resourceVersion=0", "b c @now"),
    ("limit=1&resourceVersion={b}", "a … @b"),
    ("limit=1&resourceVersion={now}", "b … @now"),
    ("limit=1&resourceVersion=0&resourceVersionMatch=NotOlderThan", "b c @now"),
    ("limit=1&resourceVersion={a}&resourceVersionMatch=NotOlderThan", "b … @now"),
    ("limit=2&resourceVersion={c}&resourceVersionMatch=Exact", "a b … @c"),
    (
        "limit=1&resourceVersion=0&resourceVersionMatch=Exact",
        "{F}resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
    ),
    (
        "limit=1&resourceVersionMatch=Exact",
        "{F}resourceVersionMatch is forbidden unless resourceVersion is provided",
    ),
    // What is not a version, and what a list does not do.
    (
        "resourceVersion=abc",
        "400 resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax",
    ),
    ("limit=abc", "400 strconv.ParseInt: parsing \"abc\": invalid syntax"),
    (
        "sendInitialEvents=true",
        "422 ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
    ),
    (
        "continue=%25",
        "400 invalid continue token: continue key is not valid: illegal base64 data at input byte 0",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_of_the_version_asked_for() {
    let world = world().await;
    let answers = join_all(LISTS.iter().map(|(query, _)| world.list(query))).await;
    for ((query, wanted), answer) in LISTS.iter().zip(answers) {
        assert_eq!(answer, world.filled(&wanted.replace("{F}", FORBIDDEN)), "?{query}");
    }
}

const INITIAL: &str = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

/// Queries of watches and the events that come within a second. `{I}` asks for initial events.
const WATCHES: &[(&str, &str)] = &[
    ("", "+b +c"),
    ("resourceVersion=0", "+b +c"),
    ("resourceVersion={a}", "+b +c -a"),
    ("resourceVersion={b}", "+c -a"),
    ("resourceVersion={now}", ""),
    ("resourceVersion={future}", ""),
    ("{I}", "+b +c =now"),
    ("{I}&resourceVersion=0", "+b +c =now"),
    ("{I}&resourceVersion={a}", "+b +c =now"),
    ("{I}&resourceVersion={future}", "504 Timeout: Too large resource version: {future}, current: {now}"),
    ("{I}&fieldSelector=metadata.name%3Dnone", "=now"),
    ("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", "+b +c"),
    ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan", ""),
    ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=0", ""),
    ("sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion={b}", "+c -a"),
    ("sendInitialEvents=true", "{F}sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
    ("sendInitialEvents=false", "{F}sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
    (
        "resourceVersion=0&resourceVersionMatch=NotOlderThan",
        "{F}resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
    ),
    (
        "sendInitialEvents=true&resourceVersionMatch=Exact",
        "422 ListOptions.meta.k8s.io \"\" is invalid: [resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan, resourceVersionMatch: Unsupported value: \"Exact\": supported values: \"NotOlderThan\"]",
    ),
    ("{I}&continue=x", "{F}resourceVersionMatch is forbidden when continue is provided"),
    (
        "resourceVersion=abc",
        "422 configmaps \"\" is invalid: resourceVersion: Invalid value: \"abc\": strconv.ParseUint: parsing \"abc\": invalid syntax",
    ),
    ("timeoutSeconds=soon", "+b +c"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_starts_where_it_is_told() {
    let world = world().await;
    let queries: Vec<String> = WATCHES.iter().map(|(query, _)| query.replace("{I}", INITIAL)).collect();
    let answers = join_all(queries.iter().map(|query| world.watch(query))).await;
    for ((query, wanted), answer) in WATCHES.iter().zip(answers) {
        assert_eq!(answer, world.filled(&wanted.replace("{F}", FORBIDDEN)), "?{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_object_is_at_least_as_new_as_asked() {
    let world = world().await;
    let get = async |query: &str| world.server.get(&format!("{MAPS}/b?{}", world.filled(query))).await;
    for query in ["", "resourceVersion=0", "resourceVersion={a}", "resourceVersion={now}"] {
        assert_eq!(version(&get(query).await.ok()), version(&get("").await.ok()), "{query}");
    }
    let future = get("resourceVersion={future}").await;
    assert_eq!(future.headers["retry-after"], "1");
    assert_eq!(future.body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    future.refused(504);
    get("resourceVersion=abc").await.refused(400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_goes_with_nothing_that_contradicts_it() {
    let world = world().await;
    let first = world.server.get(&format!("{MAPS}?limit=1")).await.ok();
    assert_eq!(first["metadata"]["remainingItemCount"], 1);
    let token = first["metadata"]["continue"].as_str().unwrap();
    assert_eq!(world.list(&format!("continue={token}")).await, "c @now");
    assert_eq!(world.list(&format!("continue={token}&resourceVersion=0")).await, "c @now");
    let refused = world.list(&format!("continue={token}&resourceVersion={{a}}")).await;
    assert_eq!(refused, "400 specifying resource version is not allowed when using continue");
    let refused =
        world.list(&format!("continue={token}&resourceVersion=0&resourceVersionMatch=NotOlderThan")).await;
    assert_eq!(refused, format!("{FORBIDDEN}resourceVersionMatch is forbidden when continue is provided"));
    let selected = world.server.get(&format!("{MAPS}?limit=1&labelSelector=!none")).await.ok();
    assert!(selected["metadata"]["continue"].is_string());
    assert!(
        selected["metadata"].get("remainingItemCount").is_none(),
        "nobody counts what a selector would choose"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_whose_version_is_forgotten_can_be_ended_all_the_same() {
    let tasks = kit::Tasks::new();
    let store = store::Embedded::memory(store::Options::default(), &tasks);
    let server = crate::harness::start_with(store.clone(), tasks).await;
    let maps = "/api/v1/namespaces/default/configmaps";
    for name in ["a", "b", "c"] {
        server.post(maps, map(name)).await.ok();
    }
    let first = server.get(&format!("{maps}?limit=1")).await.ok();
    let (token, old) = (first["metadata"]["continue"].as_str().unwrap(), version(&first));
    server.post(maps, map("d")).await.ok();
    let now = store::Store::revision(&*store).await.unwrap();
    store::Store::compact(&*store, now).await.unwrap();
    let expired = server.get(&format!("{maps}?limit=1&continue={token}")).await;
    let rest = expired.body["metadata"]["continue"].as_str().unwrap().to_owned();
    assert_eq!(expired.body["reason"], "Expired");
    assert!(
        expired
            .refused(410)
            .starts_with("The provided continue parameter is too old to display a consistent list result.")
    );
    let page = server.get(&format!("{maps}?limit=2&continue={rest}")).await.ok();
    let names: Vec<&str> = page["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["b", "c"], "from where the page before ended, as things are now");
    assert!(version(&page) > old);
    let last = page["metadata"]["continue"].as_str().unwrap();
    assert_eq!(
        server.get(&format!("{maps}?continue={last}")).await.ok()["items"][0]["metadata"]["name"],
        "d"
    );
    let exact = server.get(&format!("{maps}?resourceVersion={old}&resourceVersionMatch=Exact")).await;
    assert_eq!(exact.refused(410), "The resourceVersion for the provided list is too old.");
}
