//! The stack, as other tests use it.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

mod linked;
mod namespaces;
mod no_way_in;
mod read_back;
mod registry_roles;
mod requests;
mod role_holders;
mod role_matrix;

use http::Method;
use jiff::ToSpan;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};
use testkit::Stack;

const SUBSCRIPTIONS: &str = "/subscriptions?api-version=2022-12-01";

#[tokio::test]
async fn a_token_past_its_expiry_is_refused_by_the_front_door() {
    let stack = Stack::start().await.unwrap();
    let token = stack.sign_in().await.unwrap();
    let ask = async |token: &str| stack.call(token, Method::GET, SUBSCRIPTIONS, &Value::Null).await.unwrap();
    assert_eq!(ask(&token).await.status, 200);
    let later = jiff::Timestamp::now() + 72.hours();
    stack.clock.set(later);
    let refused = ask(&token).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (401, "ExpiredAuthenticationToken"));
    let text = refused.message();
    assert!(text.starts_with("The access token expiry UTC time '"), "{text}");
    assert!(text.ends_with(&format!("' is earlier than current UTC time '{later}'.")), "{text}");
    let challenge = refused.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("Bearer authorization_uri="), "{challenge}");
    let fresh = stack.sign_in().await.unwrap();
    assert_eq!(ask(&fresh).await.status, 200);
    stack.end().await.unwrap();
}

#[tokio::test]
async fn a_cluster_is_created_stopped_started_and_deleted() {
    let stack = Stack::start().await.unwrap();
    let token = stack.sign_in().await.unwrap();
    let group = format!("/subscriptions/{}/resourceGroups/rg", stack.entra.subscription_id());
    let location = json!({"location": "eastus"});
    stack.done(&token, Method::PUT, &format!("{group}?api-version=2024-11-01"), &location).await.unwrap();
    let cluster = format!("{group}/providers/Microsoft.ContainerService/managedClusters/c");
    let path = |action: &str| format!("{cluster}{action}?api-version=2026-06-01");
    let body = json!({"location": "eastus", "identity": {"type": "SystemAssigned"}, "properties": {
        "dnsPrefix": "c", "agentPoolProfiles": [{"name": "nodepool1", "mode": "System", "count": 2, "osType": "Linux",
            "type": "VirtualMachineScaleSets"}]}});
    stack.done(&token, Method::PUT, &path(""), &body).await.unwrap();

    let client = stack.planes.admin(&cluster).unwrap();
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await.unwrap();
    assert_eq!(nodes.items.len(), 2);
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let kept: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "kept"}})).unwrap();
    maps.create(&PostParams::default(), &kept).await.unwrap();

    stack.done(&token, Method::POST, &path("/stop"), &Value::Null).await.unwrap();
    assert!(stack.planes.admin(&cluster).is_none());
    stack.done(&token, Method::POST, &path("/start"), &Value::Null).await.unwrap();
    let maps: Api<ConfigMap> = Api::default_namespaced(stack.planes.admin(&cluster).unwrap());
    maps.get("kept").await.unwrap();

    stack.done(&token, Method::DELETE, &path(""), &Value::Null).await.unwrap();
    assert!(stack.planes.admin(&cluster).is_none());
    let gone = stack.call(&token, Method::GET, &path(""), &Value::Null).await.unwrap();
    assert_eq!(gone.code(), "ResourceNotFound");
    stack.end().await.unwrap();
}
