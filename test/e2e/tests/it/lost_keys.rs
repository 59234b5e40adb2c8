//! A file whose loss loses data is missing: the service says so and makes no new one; put back, all is there again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::{Value, json};

use crate::kill::cloud::{Cloud, Session};

/// Files of the whole installation.
const FILES: [&str; 4] = ["key-vault.key", "entra.redb", "arm.redb", "ca.key"];
/// Files of a cluster.
const OF_CLUSTERS: [&str; 2] = ["encryption.keys", "keys.json"];

async fn made(session: &Session) -> Result<()> {
    let group = format!("/subscriptions/{}/resourceGroups/rg", session.subscription);
    let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/killedvault");
    let cluster = format!("{group}/providers/Microsoft.ContainerService/managedClusters/c");
    for (path, body) in [
        (&group, json!({ "location": "eastus" })),
        (
            &vault,
            json!({ "location": "eastus", "properties": { "tenantId": session.tenant,
            "sku": { "family": "A", "name": "standard" }, "enableRbacAuthorization": true } }),
        ),
        (
            &cluster,
            json!({ "location": "eastus", "identity": { "type": "SystemAssigned" }, "properties": { "dnsPrefix": "c",
            "agentPoolProfiles": [{ "name": "p", "mode": "System", "count": 1, "vmSize": "Standard_D2s_v3" }] } }),
        ),
    ] {
        let answer = session.call(Method::PUT, path, &body).await?;
        ensure!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
        if let Some(operation) = answer.operation() {
            let error = session.end_of(&operation).await?;
            ensure!(error.is_none(), "{path}: {error:?}");
        }
    }
    session.become_secrets_officer(&vault).await?;
    let answer = session.vault(Method::PUT, "/secrets/s", &json!({ "value": "kept" })).await?;
    ensure!(answer.status.is_success(), "{}", answer.body);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_missing_is_said_and_never_made_anew() -> Result<()> {
    kit::tls::install_provider();
    let Some(mut cloud) = Cloud::new()? else { return Ok(()) };
    cloud.spawn()?;
    let (session, _) = cloud.sign_in().await?;
    made(&session).await?;
    cloud.kill()?;
    for name in FILES {
        let (file, aside) = (cloud.state().join(name), cloud.state().join("aside"));
        std::fs::rename(&file, &aside).with_context(|| format!("{name} is not there"))?;
        cloud.spawn()?;
        let refused = cloud.sign_in().await;
        ensure!(refused.is_err(), "the service starts without {name}");
        let log = cloud.log();
        ensure!(log.contains(name) && log.contains("backup"), "without {name} it says: {log}");
        ensure!(!file.exists(), "a new {name} was made");
        std::fs::rename(&aside, &file)?;
    }
    let cluster = std::fs::read_dir(cloud.state().join("clusters"))?.next().context("no cluster")??.path();
    for name in OF_CLUSTERS {
        let (file, aside) = (cluster.join(name), cloud.state().join("aside"));
        std::fs::rename(&file, &aside).with_context(|| format!("{name} is not there"))?;
        cloud.spawn()?;
        cloud.sign_in().await.context("one cluster's key keeps the others from starting")?;
        said(&cloud, name).await?;
        ensure!(!file.exists(), "a new {name} was made");
        cloud.kill()?;
        std::fs::rename(&aside, &file)?;
    }
    cloud.spawn()?;
    let (session, _) = cloud.sign_in().await?;
    let secret = session.vault(Method::GET, "/secrets/s", &Value::Null).await?;
    ensure!(secret.body["value"] == "kept", "{}", secret.body);
    cloud.finish()
}

/// Control planes start behind the first answer.
async fn said(cloud: &Cloud, name: &str) -> Result<()> {
    for _ in 0..500 {
        let log = cloud.log();
        if log.contains(&format!("{name}` is missing")) && log.contains("backup") {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("without {name} it says: {}", cloud.log())
}
