//! The cloud half against a small cloud that remembers what it is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::cloud::Cloud;
use crate::arm::Arm;
use crate::instances::Instances;
use crate::{Config, TokenError, TokenSource};

struct Token;

#[async_trait]
impl TokenSource for Token {
    async fn token(&self) -> Result<String, TokenError> {
        Ok("secret".into())
    }
}

#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Value>>);

#[async_trait]
impl kit::http::Service for Memory {
    async fn call(&self, request: kit::http::Request) -> kit::http::Response {
        assert_eq!(request.headers()["authorization"], "Bearer secret");
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let body = kit::http::read(request.into_body(), 1 << 20).await.unwrap();
        let mut all = self.0.lock();
        match method {
            Method::GET if path.split('/').count() % 2 == 0 => {
                let inside = all.iter().filter(|(id, _)| {
                    id.strip_prefix(&format!("{path}/")).is_some_and(|rest| !rest.contains('/'))
                });
                kit::http::json(
                    StatusCode::OK,
                    &json!({"value": inside.map(|(_, v)| v.clone()).collect::<Vec<_>>()}),
                )
            }
            Method::GET => match all.get(&path) {
                Some(found) => kit::http::json(StatusCode::OK, found),
                None => {
                    kit::http::json(StatusCode::NOT_FOUND, &json!({"error": {"code": "ResourceNotFound"}}))
                }
            },
            Method::PUT => {
                let mut value: Value = serde_json::from_slice(&body).unwrap();
                value["id"] = path.clone().into();
                value["name"] = path.rsplit('/').next().unwrap().into();
                if path.contains("publicIPAddresses") {
                    value["properties"]["ipAddress"] = "20.2.0.7".into();
                }
                all.insert(path, value.clone());
                kit::http::json(StatusCode::OK, &value)
            }
            _ => {
                all.remove(&path);
                kit::http::status(StatusCode::OK)
            }
        }
    }
}

fn cloud() -> (Cloud, Arc<Memory>, String) {
    let memory = Arc::new(Memory::default());
    let config = Config {
        cloud: memory.clone(),
        token: Arc::new(Token),
        subscription_id: "s".into(),
        resource_group: "MC_rg_c_eastus".into(),
        location: "eastus".into(),
        cluster_name: "c".into(),
    };
    let arm = Arm::new(Arc::new(config));
    let group = format!("{}/providers/Microsoft.Network", arm.group());
    memory.0.lock().insert(format!("{group}/loadBalancers/kubernetes"), json!({
        "name": "kubernetes",
        "properties": {"frontendIPConfigurations": [{"name": "outbound"}], "backendAddressPools": [{"name": "kubernetes"}]},
    }));
    memory.0.lock().insert(
        format!("{group}/networkSecurityGroups/aks-agentpool-1-nsg"),
        json!({
            "name": "aks-agentpool-1-nsg", "properties": {"securityRules": []},
        }),
    );
    (Cloud { instances: Instances::new(&arm), arm }, memory, group)
}

#[tokio::test]
async fn a_public_service_comes_and_goes() {
    let (cloud, memory, group) = cloud();
    let mut service: k8s_openapi::api::core::v1::Service = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "1-2"},
        "spec": {"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30080}]},
    }))
    .unwrap();
    assert_eq!(cloud.ensure(&service).await.unwrap(), "20.2.0.7");
    {
        let all = memory.0.lock();
        let balancer = &all[&format!("{group}/loadBalancers/kubernetes")]["properties"];
        assert_eq!(balancer["frontendIPConfigurations"].as_array().unwrap().len(), 2);
        assert_eq!(balancer["loadBalancingRules"][0]["name"], "a12-TCP-80");
        let address = &all[&format!("{group}/publicIPAddresses/kubernetes-a12")];
        assert_eq!(address["tags"]["k8s-azure-service"], "default/web");
        let rules = &all[&format!("{group}/networkSecurityGroups/aks-agentpool-1-nsg")]["properties"]["securityRules"];
        assert_eq!(rules[0]["properties"]["destinationAddressPrefixes"], json!(["20.2.0.7"]));
    }
    let before = memory.0.lock().clone();
    cloud.ensure(&service).await.unwrap();
    assert_eq!(*memory.0.lock(), before, "a second time changes nothing");

    service.status =
        serde_json::from_value(json!({"loadBalancer": {"ingress": [{"ip": "20.2.0.7"}]}})).unwrap();
    cloud.remove(&service).await.unwrap();
    let all = memory.0.lock();
    let balancer = &all[&format!("{group}/loadBalancers/kubernetes")]["properties"];
    assert_eq!(balancer["frontendIPConfigurations"], json!([{"name": "outbound"}]));
    assert_eq!(balancer["loadBalancingRules"], json!([]));
    assert!(!all.contains_key(&format!("{group}/publicIPAddresses/kubernetes-a12")));
    let rules =
        &all[&format!("{group}/networkSecurityGroups/aks-agentpool-1-nsg")]["properties"]["securityRules"];
    assert_eq!(*rules, json!([]));
}

#[tokio::test]
async fn an_address_that_is_not_there_is_named() {
    let (cloud, _, _) = cloud();
    let service = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "1"},
        "spec": {"type": "LoadBalancer", "loadBalancerIP": "1.2.3.4", "ports": [{"port": 80}]},
    }))
    .unwrap();
    let error = cloud.ensure(&service).await.unwrap_err().to_string();
    assert_eq!(error, "user supplied IP Address 1.2.3.4 was not found in resource group MC_rg_c_eastus");
}
