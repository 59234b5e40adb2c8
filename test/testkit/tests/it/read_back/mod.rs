//! What is PUT comes back: a rich body for every registered type of the real providers, written, read, written again.
//!
//! The types come from the cloud's own list of providers, so one without a body fails the test. For each body: what was
//! sent is shown (defaults are added, nothing is dropped or re-cased but ids), a second identical PUT and a PUT of what
//! GET answered change nothing anywhere in the store and start no work, every listed api-version answers the same, lists
//! hold the same object, and a PATCH of the tags leaves the rest alone.

mod compare;

use std::collections::{BTreeMap, BTreeSet};

use arm::ResourceId;
use http::Method;
use jiff::ToSpan;
use serde_json::{Value, json};
use testkit::{Answer, Stack};

use compare::{difference, missing};

const BODIES: [&str; 2] = [include_str!("network.json"), include_str!("others.json")];
/// Groups and providers; other versions are those the providers list.
const RESOURCES: &str = "2024-11-01";

/// A stack with a group, and what its providers list.
pub struct World {
    pub stack: Stack,
    token: String,
    pub group: String,
    /// Listed api-versions, by lower-case type.
    pub versions: BTreeMap<String, Vec<String>>,
}

impl World {
    pub async fn new() -> Self {
        let stack = Stack::start().await.unwrap();
        let token = stack.sign_in().await.unwrap();
        let group = format!("/subscriptions/{}/resourceGroups/rg", stack.entra.subscription_id());
        let mut world = Self { stack, token, group, versions: BTreeMap::new() };
        let made = world.ask(Method::PUT, &world.group, RESOURCES, &json!({"location": "eastus"})).await;
        assert_eq!(made.status, 201);
        world.rise().await;
        let listed = world.ask(Method::GET, &world.subscription("/providers"), RESOURCES, &Value::Null).await;
        for provider in listed.body["value"].as_array().unwrap() {
            for kind in provider["resourceTypes"].as_array().unwrap() {
                let name = format!("{}/{}", text(&provider["namespace"]), text(&kind["resourceType"]));
                let versions = kind["apiVersions"].as_array().unwrap().iter().map(text).collect();
                world.versions.insert(name.to_ascii_lowercase(), versions);
            }
        }
        world
    }

    /// Makes the subscription's owner one of the whole tenant: management groups stand above subscriptions.
    async fn rise(&self) {
        let authorization = "/providers/Microsoft.Authorization";
        let elevated = format!("{authorization}/elevateAccess");
        assert_eq!(self.ask(Method::POST, &elevated, "2017-05-01", &Value::Null).await.status, 200);
        let owner = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
        let body = json!({"properties": {"principalId": self.stack.owner.object_id,
            "roleDefinitionId": format!("{authorization}/roleDefinitions/{owner}")}});
        let path = format!("{authorization}/roleAssignments/5a3b0b5e-0f2c-4c8e-9a51-9d6a3c4b0007");
        let made = self.ask(Method::PUT, &path, "2022-04-01", &body).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }

    pub fn subscription(&self, path: &str) -> String {
        format!("/subscriptions/{}{path}", self.stack.entra.subscription_id())
    }

    async fn ask(&self, method: Method, path: &str, version: &str, body: &Value) -> Answer {
        let path = format!("{path}?api-version={version}");
        self.stack.call(&self.token, method, &path, body).await.unwrap()
    }

    /// Fills in the places a body names.
    fn fill(&self, text: &str) -> String {
        let subscription = self.stack.entra.subscription_id();
        text.replace("{group}", &self.group)
            .replace("{odd}", &format!("/Subscriptions/{subscription}/resourcegroups/RG"))
            .replace("{sub}", &subscription)
            .replace("{tenant}", &self.stack.entra.tenant_id())
            .replace("{owner}", &self.stack.owner.object_id)
    }

    pub fn rows(&self) -> Vec<Value> {
        BODIES.iter().flat_map(|file| serde_json::from_str::<Vec<Value>>(&self.fill(file)).unwrap()).collect()
    }

    /// Everything that is stored.
    pub fn store(&self) -> BTreeMap<String, Value> {
        let all = self.stack.front.resources().list(&ResourceId::root());
        all.iter().map(|r| (r.id.to_string(), serde_json::to_value(&**r).unwrap())).collect()
    }

    /// A PUT or PATCH to its end.
    pub async fn write(
        &self,
        method: Method,
        path: &str,
        version: &str,
        body: &Value,
    ) -> Result<Answer, String> {
        self.stack.clock.set(kit::Clock::now(&self.stack.clock) + 1.second());
        let answer = self.ask(method.clone(), path, version, body).await;
        if !answer.status.is_success() {
            return Err(format!("{method}: {} {}", answer.status, answer.body));
        }
        if let Some(operation) = answer.headers.get("azure-asyncoperation") {
            let url = operation.to_str().unwrap().trim_start_matches(&self.stack.url()).to_owned();
            self.stack.ended(&self.token, &url).await.map_err(|error| format!("{method}: {error:#}"))?;
        }
        Ok(answer)
    }

    /// The same as [`write`](Self::write) for a write that has nothing to do.
    async fn write_in_vain(&self, path: &str, version: &str, body: &Value) -> Result<(), String> {
        let (before, events) = (self.store(), self.stack.front.activity().events().len());
        let answer = self.write(Method::PUT, path, version, body).await?;
        let after = self.store();
        let mut wrong = Vec::new();
        if answer.headers.contains_key("azure-asyncoperation") {
            wrong.push("started work".to_owned());
        }
        let ids: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        for id in ids {
            let null = Value::Null;
            let (old, new) = (before.get(id).unwrap_or(&null), after.get(id).unwrap_or(&null));
            wrong.extend(difference(old, new).map(|difference| format!("changed {id}: {difference}")));
        }
        let events = self.stack.front.activity().events().len() - events;
        if events != 1 {
            wrong.push(format!("{events} events instead of one"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }

    async fn get(&self, path: &str, version: &str) -> Result<Value, String> {
        let answer = self.ask(Method::GET, path, version, &Value::Null).await;
        if answer.status == 200 { Ok(answer.body) } else { Err(format!("GET: {}", answer.body)) }
    }

    async fn listed(&self, path: &str, version: &str) -> Result<Vec<Value>, String> {
        Ok(self.get(path, version).await?["value"].as_array().cloned().unwrap_or_default())
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Where a row's resource is; `first` is the first of a list.
async fn place(world: &World, row: &Value, version: &str) -> Result<String, String> {
    if row["at"] != "first" {
        return Ok(text(&row["at"]));
    }
    let list = world.listed(&text(&row["of"]), version).await?;
    list.first().map(|first| text(&first["id"])).ok_or_else(|| "the list is empty".to_owned())
}

/// What is wrong with a row, one line each.
async fn check(world: &World, row: &Value) -> Vec<String> {
    let kind = text(&row["type"]);
    let listed = world.versions.get(&kind.to_ascii_lowercase()).cloned().unwrap_or_default();
    let version = row["version"].as_str().map_or_else(|| listed[0].clone(), str::to_owned);
    if let Some(list) = row["list only"].as_str() {
        return world.listed(list, &version).await.err().into_iter().collect();
    }
    let at = match place(world, row, &version).await {
        Ok(at) => at,
        Err(error) => return vec![error],
    };
    let mut wrong = Vec::new();
    let body = if row["made"] == true || row["read only"] == true {
        match world.get(&at, &version).await {
            Ok(shown) => shown,
            Err(error) => return vec![error],
        }
    } else {
        if let Err(error) = world.write(Method::PUT, &at, &version, &row["body"]).await {
            return vec![error];
        }
        row["body"].clone()
    };
    if row["elsewhere"] == true {
        wrong.extend(world.write_in_vain(&at, &version, &body).await.err().map(|e| format!("again: {e}")));
        return wrong;
    }
    let shown = match world.get(&at, &version).await {
        Ok(shown) => shown,
        Err(error) => return vec![error],
    };
    let hidden: Vec<String> = row["hidden"].as_array().into_iter().flatten().map(text).collect();
    wrong.extend(hidden.iter().filter(|p| shown.pointer(p).is_some()).map(|p| format!("shows {p}")));
    wrong.extend(missing("", &body, &shown).into_iter().filter(|m| !hidden.iter().any(|h| m.starts_with(h))));
    if row["read only"] != true && row["again"] != "runs" {
        wrong.extend(world.write_in_vain(&at, &version, &body).await.err().map(|e| format!("again: {e}")));
        let back = world.write_in_vain(&at, &version, &shown).await;
        wrong.extend(back.err().map(|e| format!("what GET answered: {e}")));
    }
    wrong.extend(readings(world, row, &at, &listed, &shown).await);
    if shown["location"].is_string() && row["read only"] != true && row["made"] != true {
        wrong.extend(tags(world, &at, &version, &shown).await);
    }
    wrong
}

/// Other versions and lists say the same.
async fn readings(world: &World, row: &Value, at: &str, versions: &[String], shown: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for version in versions {
        match world.get(at, version).await {
            Ok(other) => {
                wrong.extend(difference(shown, &other).map(|d| format!("in {version}: {d}")));
            }
            Err(error) => wrong.push(format!("in {version}: {error}")),
        }
    }
    let kind = text(&row["type"]);
    let collection = at.rsplit_once('/').map_or("", |(collection, _)| collection).to_owned();
    let mut collections = vec![collection];
    if shown["location"].is_string()
        && kind.matches('/').count() == 1
        && kind != "Microsoft.Resources/resourceGroups"
    {
        collections.push(world.subscription(&format!("/providers/{kind}")));
    }
    let version = row["version"].as_str().or(versions.first().map(String::as_str)).unwrap_or(RESOURCES);
    for list in collections.iter().filter(|_| row["no list"] != true) {
        let found = match world.listed(list, version).await {
            Ok(found) => found,
            Err(error) => {
                wrong.push(format!("{list}: {error}"));
                continue;
            }
        };
        let id = text(&shown["id"]);
        match found.iter().find(|one| text(&one["id"]).eq_ignore_ascii_case(&id)) {
            Some(one) => wrong.extend(difference(shown, one).map(|d| format!("in the list {list}: {d}"))),
            None => wrong.push(format!("is not in the list {list}")),
        }
    }
    wrong
}

/// A PATCH of the tags changes nothing else.
async fn tags(world: &World, at: &str, version: &str, shown: &Value) -> Vec<String> {
    let tags = json!({"patched": "yes"});
    if let Err(error) = world.write(Method::PATCH, at, version, &json!({"tags": tags})).await {
        return vec![error];
    }
    let mut after = match world.get(at, version).await {
        Ok(after) => after,
        Err(error) => return vec![error],
    };
    let mut wrong = Vec::new();
    if after["tags"]["patched"] != "yes" {
        wrong.push(format!("PATCH: the tags are {}", after["tags"]));
    }
    for name in ["tags", "eTag", "systemData"] {
        after[name] = shown[name].clone();
    }
    if after["properties"]["modifiedDate"].is_string() {
        after["properties"]["modifiedDate"] = shown["properties"]["modifiedDate"].clone();
    }
    let changed = difference(&without_etags(shown), &without_etags(&after));
    wrong.extend(changed.map(|d| format!("PATCH of tags: {d}")));
    wrong
}

/// The same without the ETags of its parts, which are the whole's.
fn without_etags(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let rest = map.iter().filter(|(name, _)| *name != "etag");
            Value::Object(rest.map(|(name, value)| (name.clone(), without_etags(value))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(without_etags).collect()),
        plain => plain.clone(),
    }
}

#[tokio::test]
async fn what_is_put_comes_back_for_every_registered_type() {
    let world = World::new().await;
    let rows = world.rows();
    let covered: BTreeSet<String> = rows.iter().map(|row| text(&row["type"]).to_ascii_lowercase()).collect();
    let registered: BTreeSet<String> = world.versions.keys().cloned().collect();
    let without: Vec<_> = registered.difference(&covered).collect();
    assert!(without.is_empty(), "types without a body: {without:?}");
    let unknown: Vec<_> = covered.difference(&registered).collect();
    assert!(unknown.is_empty(), "bodies of types that are not registered: {unknown:?}");
    let mut wrong = Vec::new();
    for row in rows.iter().filter(|row| row.get("none").is_none()) {
        let found = check(&world, row).await;
        let kind = text(&row["type"]);
        wrong.extend(found.into_iter().map(|line| format!("{kind}: {line}")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    world.stack.end().await.unwrap();
}
