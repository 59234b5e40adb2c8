//! A cloud in memory: what is put is there, lists list, one address is given to all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use cloud_controller_manager::{TokenError, TokenSource};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// The providers of the node resource group.
pub const GROUP: &str = "/subscriptions/s/resourceGroups/MC_rg_c_eastus/providers";

pub struct Token;

#[async_trait]
impl TokenSource for Token {
    async fn token(&self) -> Result<String, TokenError> {
        Ok("secret".into())
    }
}

pub struct Memory(Mutex<BTreeMap<String, Value>>, AtomicBool);

impl Default for Memory {
    fn default() -> Self {
        let set = format!("{GROUP}/Microsoft.Compute/virtualMachineScaleSets/aks-nodepool1-1-vmss");
        let pool = json!([{"name": "kubernetes"}]);
        let all = [
            (set.clone(), json!({"name": "aks-nodepool1-1-vmss", "properties": {}})),
            (
                format!("{set}/virtualMachines/0"),
                json!({
                    "id": format!("{set}/virtualMachines/0"), "location": "eastus", "zones": ["1"],
                    "sku": {"name": "Standard_DS2_v2"},
                    "properties": {"osProfile": {"computerName": "aks-nodepool1-1-vmss000000"}},
                }),
            ),
            (
                format!("{set}/virtualMachines/0/networkInterfaces/nic"),
                json!({"properties": {"ipConfigurations": [{"properties": {"privateIPAddress": "10.224.0.4"}}]}}),
            ),
            (
                format!("{GROUP}/Microsoft.Network/loadBalancers/kubernetes"),
                json!({"name": "kubernetes", "properties": {
                    "frontendIPConfigurations": [{"name": "outbound"}], "backendAddressPools": pool}}),
            ),
            (
                format!("{GROUP}/Microsoft.Network/networkSecurityGroups/aks-agentpool-1-nsg"),
                json!({"name": "aks-agentpool-1-nsg", "properties": {"securityRules": []}}),
            ),
        ];
        Self(Mutex::new(all.into()), AtomicBool::new(false))
    }
}

impl Memory {
    pub fn all(&self) -> BTreeMap<String, Value> {
        self.0.lock().clone()
    }

    pub fn remove(&self, end: &str) {
        self.0.lock().retain(|id, _| !id.ends_with(end));
    }

    /// From now on writes are forbidden, or not.
    pub fn refuse(&self, refuse: bool) {
        self.1.store(refuse, Ordering::Relaxed);
    }
}

#[async_trait]
impl kit::http::Service for Memory {
    async fn call(&self, request: kit::http::Request) -> kit::http::Response {
        assert_eq!(request.headers()["authorization"], "Bearer secret");
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let body = kit::http::read(request.into_body(), 1 << 20).await.unwrap();
        if method != Method::GET && self.1.load(Ordering::Relaxed) {
            let error =
                json!({"error": {"code": "AuthorizationFailed", "message": "The client has no role."}});
            return kit::http::json(StatusCode::FORBIDDEN, &error);
        }
        let mut all = self.0.lock();
        match method {
            Method::GET if path.split('/').count() % 2 == 0 => {
                let inside = all.iter().filter(|(id, _)| {
                    id.strip_prefix(&format!("{path}/")).is_some_and(|rest| !rest.contains('/'))
                });
                let values: Vec<Value> = inside.map(|(_, v)| v.clone()).collect();
                kit::http::json(StatusCode::OK, &json!({"value": values}))
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
