//! Resource Manager as az speaks to it: a token, groups, clusters, credentials.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine;
use http::{Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::kubeconfig::Target;
use super::lab::Lab;
use super::load::Api;

const CLUSTERS: &str = "2026-06-01";
const GROUPS: &str = "2024-11-01";
const GROUP: &str = "rg-bench";
const ANSWER_MAX_BYTES: usize = 16 << 20;
const CREATE_LIMIT: Duration = Duration::from_secs(180);

#[derive(Deserialize)]
struct Credentials {
    tenant_id: String,
    subscription_id: String,
    client_id: String,
    client_secret: String,
}

/// A signed-in client of Resource Manager.
#[derive(Clone)]
pub struct Cloud {
    client: kit::client::Client,
    origin: String,
    token: String,
    subscription: String,
}

/// How long parts of a cluster's creation took, from the PUT on.
pub struct Created {
    /// Until the API server said it is ready.
    pub plane: Duration,
    /// Until the cluster was `Succeeded`: all nodes ready.
    pub cluster: Duration,
}

impl Cloud {
    /// Signs in and makes a resource group.
    pub async fn sign_in(lab: &Lab) -> Result<Self> {
        let bytes = kit::files::read(&lab.home().join("credentials.json"))?;
        let credentials: Credentials = serde_json::from_slice(&bytes)?;
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope=https%3A%2F%2Fmanagement.azure.com%2F.default",
            escaped(&credentials.client_id),
            escaped(&credentials.client_secret),
        );
        let client = lab.client()?;
        let request =
            http::Request::post(format!("{}/{}/oauth2/v2.0/token", lab.origin(), credentials.tenant_id))
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(kit::http::full(form))?;
        let (status, answer) = answer(client.send(request).await?).await?;
        let Some(token) = answer["access_token"].as_str() else { bail!("no token ({status}): {answer}") };
        let cloud = Self {
            client,
            origin: lab.origin(),
            token: token.to_owned(),
            subscription: credentials.subscription_id,
        };
        let group =
            format!("/subscriptions/{}/resourceGroups/{GROUP}?api-version={GROUPS}", cloud.subscription);
        cloud.ask(Method::PUT, &group, &json!({ "location": "eastus" })).await?;
        Ok(cloud)
    }

    /// Makes a cluster and waits for it.
    pub async fn create(&self, name: &str, nodes: usize) -> Result<Created> {
        let begun = Instant::now();
        self.ask(Method::PUT, &self.path(name, ""), &body(name, nodes)).await?;
        let plane = async {
            let api = self.api(name, begun).await?;
            until(begun, "the control plane", Duration::from_millis(4), async || {
                Ok(api.send(Method::GET, "/readyz", None).await.is_ok().then_some(()))
            })
            .await?;
            anyhow::Ok(begun.elapsed())
        };
        let (plane, cluster) = tokio::try_join!(plane, self.succeeded(name, begun))?;
        Ok(Created { plane, cluster })
    }

    async fn succeeded(&self, name: &str, begun: Instant) -> Result<Duration> {
        until(begun, "the cluster", Duration::from_millis(20), async || {
            let (_, cluster) = self.send(Method::GET, &self.path(name, ""), &Value::Null).await?;
            match cluster["properties"]["provisioningState"].as_str() {
                Some("Succeeded") => Ok(Some(())),
                Some("Failed" | "Canceled") => bail!("cluster `{name}` failed: {cluster}"),
                _ => Ok(None),
            }
        })
        .await?;
        Ok(begun.elapsed())
    }

    /// A connection to the cluster's API server with its administrator's credential, as soon as there is one.
    pub async fn api(&self, name: &str, begun: Instant) -> Result<Api> {
        self.target(name, begun).await?.connect()
    }

    /// The cluster's API server and its administrator's credential.
    pub async fn target(&self, name: &str, begun: Instant) -> Result<Target> {
        let path = self.path(name, "/listClusterAdminCredential");
        until(begun, "the credential", Duration::from_millis(4), async || {
            let (status, answer) = self.send(Method::POST, &path, &Value::Null).await?;
            if !status.is_success() {
                return Ok(None);
            }
            let value = answer["kubeconfigs"][0]["value"].as_str().context("no kubeconfig")?;
            let text = base64::engine::general_purpose::STANDARD.decode(value)?;
            Ok(Some(Target::parse(std::str::from_utf8(&text)?)?))
        })
        .await
    }

    /// Deletes a cluster and waits until it is gone.
    pub async fn delete(&self, name: &str) -> Result<Duration> {
        let begun = Instant::now();
        self.ask(Method::DELETE, &self.path(name, ""), &Value::Null).await?;
        until(begun, "the deletion", Duration::from_millis(20), async || {
            let (status, _) = self.send(Method::GET, &self.path(name, ""), &Value::Null).await?;
            Ok((status == StatusCode::NOT_FOUND).then_some(()))
        })
        .await?;
        Ok(begun.elapsed())
    }

    fn path(&self, name: &str, action: &str) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{GROUP}/providers/Microsoft.ContainerService/managedClusters/{name}{action}?api-version={CLUSTERS}",
            self.subscription
        )
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let (status, answer) = self.send(method.clone(), path, body).await?;
        if !status.is_success() {
            bail!("{method} {path}: {status}: {answer}");
        }
        Ok(answer)
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        let body = if body.is_null() { kit::http::empty() } else { kit::http::full(body.to_string()) };
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.origin))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)?;
        answer(self.client.send(request).await?).await
    }
}

/// Asks again and again until there is an answer.
async fn until<T>(
    begun: Instant,
    what: &str,
    pause: Duration,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    loop {
        if let Some(found) = ask().await? {
            return Ok(found);
        }
        if begun.elapsed() > CREATE_LIMIT {
            bail!("{what} did not come within {} s", CREATE_LIMIT.as_secs());
        }
        tokio::time::sleep(pause).await;
    }
}

async fn answer(response: kit::http::Response) -> Result<(StatusCode, Value)> {
    let status = response.status();
    let bytes = kit::http::read(response.into_body(), ANSWER_MAX_BYTES).await?;
    let value = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? };
    Ok((status, value))
}

/// What `az aks create` sends, without what it leaves at the default.
fn body(name: &str, nodes: usize) -> Value {
    json!({
        "location": "eastus", "identity": { "type": "SystemAssigned" }, "sku": { "name": "Base", "tier": "Free" },
        "properties": {
            "dnsPrefix": format!("{name}-bench"), "enableRBAC": true,
            "agentPoolProfiles": [{
                "name": "nodepool1", "mode": "System", "type": "VirtualMachineScaleSets", "count": nodes,
                "osType": "Linux",
            }],
            "networkProfile": { "loadBalancerSku": "standard", "outboundType": "loadBalancer" },
        },
    })
}

/// A word as forms carry it.
fn escaped(word: &str) -> String {
    let mut out = String::with_capacity(word.len());
    for byte in word.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_secret_survives_the_form() {
        assert_eq!(super::escaped("a~B+/= "), "a~B%2B%2F%3D%20");
    }
}
