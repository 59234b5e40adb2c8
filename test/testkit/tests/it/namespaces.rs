//! Managed namespaces: what the resource manager is told stands in the cluster, and stays there.

use http::Method;
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use testkit::{Answer, Stack};

const LABEL: &str = "kubernetes.azure.com/managedByArm";
const QUOTA: &str = "defaultresourcequota";
const POLICY: &str = "defaultnetworkpolicy";

struct World {
    stack: Stack,
    token: String,
    cluster: String,
}

impl World {
    async fn new() -> Self {
        let stack = Stack::start().await.unwrap();
        let token = stack.sign_in().await.unwrap();
        let group = format!("/subscriptions/{}/resourceGroups/rg", stack.entra.subscription_id());
        let cluster = format!("{group}/providers/Microsoft.ContainerService/managedClusters/c");
        let place = json!({ "location": "eastus" });
        stack.done(&token, Method::PUT, &format!("{group}?api-version=2024-11-01"), &place).await.unwrap();
        let world = Self { stack, token, cluster };
        let body = json!({ "location": "eastus", "identity": { "type": "SystemAssigned" }, "properties": {
            "dnsPrefix": "c", "agentPoolProfiles": [{ "name": "nodepool1", "mode": "System", "count": 1,
                "osType": "Linux", "type": "VirtualMachineScaleSets" }] } });
        world.done(Method::PUT, "", &body).await;
        world
    }

    fn path(&self, below: &str) -> String {
        format!("{}{below}?api-version=2026-06-01", self.cluster)
    }

    async fn done(&self, method: Method, below: &str, body: &Value) {
        self.stack.done(&self.token, method, &self.path(below), body).await.unwrap();
    }

    async fn ask(&self, method: Method, below: &str, body: &Value) -> Answer {
        self.stack.call(&self.token, method, &self.path(below), body).await.unwrap()
    }

    async fn refused(&self, below: &str, body: &Value) -> (u16, String) {
        let answer = self.ask(Method::PUT, below, body).await;
        (answer.status.as_u16(), answer.code().to_owned())
    }

    fn client(&self) -> Client {
        self.stack.planes.admin(&self.cluster).unwrap()
    }
}

fn body(properties: Value) -> Value {
    json!({ "location": "eastus", "properties": properties })
}

fn amounts() -> Value {
    json!({ "cpuRequest": "1000m", "cpuLimit": "2", "memoryRequest": "512Mi", "memoryLimit": "1Gi" })
}

/// Waits until an object there fits.
async fn until<K>(api: &Api<K>, name: &str, fits: impl Fn(&Value) -> bool)
where
    K: kube::Resource
        + Clone
        + std::fmt::Debug
        + Send
        + serde::de::DeserializeOwned
        + serde::Serialize
        + 'static,
{
    let condition = |found: Option<&K>| found.is_some_and(|found| fits(&json!(found)));
    let waited = await_condition(api.clone(), name, condition);
    tokio::time::timeout(std::time::Duration::from_secs(20), waited).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_managed_namespace_is_in_the_cluster_and_is_put_back() {
    let world = World::new().await;
    let at = "/managedNamespaces/team";
    let wish = body(json!({ "labels": { "env": "dev" }, "annotations": { "owner": "retail" },
        "defaultResourceQuota": amounts(), "defaultNetworkPolicy": { "ingress": "DenyAll" } }));
    let made = world.ask(Method::PUT, at, &wish).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.body["properties"]["provisioningState"], "Creating");
    let operation = made.headers["azure-asyncoperation"].to_str().unwrap();
    let operation = operation.trim_start_matches(&world.stack.url()).to_owned();
    world.stack.ended(&world.token, &operation).await.unwrap();

    let shown = world.ask(Method::GET, at, &Value::Null).await.body;
    let properties = &shown["properties"];
    assert_eq!(properties["provisioningState"], "Succeeded");
    assert_eq!(properties["labels"], json!({ "env": "dev", "kubernetes.io/metadata.name": "team" }));
    assert_eq!(properties["defaultNetworkPolicy"], json!({ "ingress": "DenyAll", "egress": "AllowAll" }));
    assert_eq!(
        (&properties["adoptionPolicy"], &properties["deletePolicy"]),
        (&json!("Never"), &json!("Keep"))
    );
    assert!(properties["portalFqdn"].as_str().unwrap().contains(".portal.hcp."), "{shown}");

    let client = world.client();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let found = json!(namespaces.get("team").await.unwrap());
    assert_eq!(found["metadata"]["labels"]["env"], "dev");
    assert_eq!(found["metadata"]["labels"][LABEL], "true");
    assert_eq!(found["metadata"]["annotations"], json!({ "owner": "retail" }));
    let quotas: Api<ResourceQuota> = Api::namespaced(client.clone(), "team");
    let hard =
        json!({ "limits.cpu": "2", "limits.memory": "1Gi", "requests.cpu": "1", "requests.memory": "512Mi" });
    assert_eq!(json!(quotas.get(QUOTA).await.unwrap())["spec"]["hard"], hard);
    let policies: Api<NetworkPolicy> = Api::namespaced(client, "team");
    let rules = json!({ "egress": [{}], "podSelector": {}, "policyTypes": ["Ingress", "Egress"] });
    assert_eq!(json!(policies.get(POLICY).await.unwrap())["spec"], rules);

    // What is said again is nothing to do.
    for again in [&shown, &wish] {
        let answer = world.ask(Method::PUT, at, again).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body["eTag"], shown["eTag"]);
        assert!(!answer.headers.contains_key("azure-asyncoperation"));
    }

    let patch = |patch: Value| Patch::Merge(patch);
    let as_somebody = PatchParams::default();
    quotas.delete(QUOTA, &DeleteParams::default()).await.unwrap();
    until(&quotas, QUOTA, |quota| quota["spec"]["hard"] == hard).await;
    let more = patch(json!({ "spec": { "hard": { "pods": "1", "requests.cpu": "9" } } }));
    quotas.patch(QUOTA, &as_somebody, &more).await.unwrap();
    until(&quotas, QUOTA, |quota| quota["spec"]["hard"] == hard).await;
    let open = patch(json!({ "spec": { "ingress": [{}] } }));
    policies.patch(POLICY, &as_somebody, &open).await.unwrap();
    until(&policies, POLICY, |policy| policy["spec"] == rules).await;
    let bare = patch(json!({ "metadata": { "labels": { LABEL: null, "env": "prod" } } }));
    namespaces.patch("team", &as_somebody, &bare).await.unwrap();
    let labels = |found: &Value| {
        found["metadata"]["labels"][LABEL] == "true" && found["metadata"]["labels"]["env"] == "dev"
    };
    until(&namespaces, "team", labels).await;

    // An update takes away what is no longer said.
    world.done(Method::PUT, at, &body(json!({ "deletePolicy": "Keep" }))).await;
    let found = json!(namespaces.get("team").await.unwrap());
    assert_eq!(found["metadata"]["labels"]["env"], Value::Null, "{found}");
    assert_eq!(found["metadata"]["annotations"], Value::Null, "{found}");
    assert!(quotas.get_opt(QUOTA).await.unwrap().is_none());
    world.stack.end().await.unwrap();
}

#[tokio::test]
async fn a_namespace_that_is_there_already_is_adopted_as_the_policy_says() {
    let world = World::new().await;
    let namespaces: Api<Namespace> = Api::all(world.client());
    let theirs = json!({ "metadata": { "name": "theirs", "labels": { "env": "dev" } } });
    namespaces.create(&PostParams::default(), &serde_json::from_value(theirs).unwrap()).await.unwrap();
    let at = "/managedNamespaces/theirs";
    let with = |policy: &str, env: &str, deletion: &str| {
        body(json!({ "labels": { "env": env }, "adoptionPolicy": policy, "deletePolicy": deletion }))
    };
    let exists = (409, "NamespaceAlreadyExists".to_owned());
    assert_eq!(world.refused(at, &with("Never", "dev", "Keep")).await, exists);
    assert_eq!(world.refused(at, &with("IfIdentical", "prod", "Keep")).await, exists);
    let unknown = world.ask(Method::GET, at, &Value::Null).await;
    assert_eq!(unknown.status, 404, "a refusal leaves nothing");

    world.done(Method::PUT, at, &with("IfIdentical", "dev", "Keep")).await;
    world.done(Method::DELETE, at, &Value::Null).await;
    let kept = json!(namespaces.get("theirs").await.unwrap());
    assert_eq!(kept["metadata"]["labels"][LABEL], Value::Null, "{kept}");
    assert_eq!(world.ask(Method::GET, at, &Value::Null).await.status, 404);

    world.done(Method::PUT, at, &with("Always", "prod", "Delete")).await;
    assert_eq!(json!(namespaces.get("theirs").await.unwrap())["metadata"]["labels"]["env"], "prod");
    let leaving = world.ask(Method::DELETE, at, &Value::Null).await;
    assert_eq!(leaving.status, 202, "{}", leaving.body);
    until(&namespaces, "theirs", |found| found["status"]["phase"] == "Terminating").await;
    let busy = (409, "OperationNotAllowed".to_owned());
    assert_eq!(world.refused(at, &with("Always", "prod", "Delete")).await, busy);
    // Nobody empties namespaces here but the test.
    let empty =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "theirs" }, "spec": {} });
    let finalize = http::Request::put("/api/v1/namespaces/theirs/finalize")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(empty.to_string().into_bytes());
    world.client().request_text(finalize.unwrap()).await.unwrap();
    let operation = leaving.headers["azure-asyncoperation"].to_str().unwrap();
    let operation = operation.trim_start_matches(&world.stack.url()).to_owned();
    world.stack.ended(&world.token, &operation).await.unwrap();
    assert_eq!(world.ask(Method::GET, at, &Value::Null).await.status, 404);
    world.stack.end().await.unwrap();
}

#[tokio::test]
async fn a_stopped_cluster_refuses_and_a_started_one_repairs() {
    let world = World::new().await;
    let at = "/managedNamespaces/team";
    world.done(Method::PUT, at, &body(json!({ "defaultResourceQuota": amounts() }))).await;
    let quotas: Api<ResourceQuota> = Api::namespaced(world.client(), "team");
    world.done(Method::POST, "/stop", &Value::Null).await;
    let busy = (409, "OperationNotAllowed".to_owned());
    assert_eq!(world.refused(at, &body(json!({}))).await, busy);
    let refused = world.ask(Method::DELETE, at, &Value::Null).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "OperationNotAllowed"));
    let stopped = world.ask(Method::POST, &format!("{at}/listCredential"), &json!({})).await;
    assert_eq!((stopped.status.as_u16(), stopped.code()), (409, "OperationNotAllowed"));
    quotas.delete(QUOTA, &DeleteParams::default()).await.unwrap();
    world.done(Method::POST, "/start", &Value::Null).await;
    until(&quotas, QUOTA, |quota| quota["spec"]["hard"]["requests.cpu"] == "1").await;

    for (name, properties) in [("kube-system", json!({})), ("team", json!({ "deletePolicy": "Perhaps" }))] {
        let at = format!("/managedNamespaces/{name}");
        assert_eq!(
            world.refused(&at, &body(properties)).await,
            (400, "InvalidParameter".to_owned()),
            "{name}"
        );
    }
    world.done(Method::DELETE, "", &Value::Null).await;
    assert_eq!(world.ask(Method::GET, at, &Value::Null).await.status, 404);
    world.stack.end().await.unwrap();
}
