//! Many clusters in one service: the last takes about as much work as the first.
//!
//! `LAZURITE_MANY_CLUSTERS` is how many (8; 100 for the figure in SPEC.md).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::Method;
use serde_json::json;

use crate::kill::cloud::{Cloud, Session};

const USUAL: usize = 8;

async fn cluster(session: &Session, number: usize) -> Result<()> {
    let path = format!(
        "/subscriptions/{}/resourceGroups/rg-many/providers/Microsoft.ContainerService/managedClusters/c{number}",
        session.subscription
    );
    let body = json!({ "location": "eastus", "identity": { "type": "SystemAssigned" }, "properties": {
        "dnsPrefix": format!("c{number}"),
        "agentPoolProfiles": [{ "name": "nodepool1", "mode": "System", "count": 1, "vmSize": "Standard_D2s_v3", "osType": "Linux" }],
        "networkProfile": { "loadBalancerSku": "standard", "outboundType": "loadBalancer" } } });
    let answer = session.call(Method::PUT, &path, &body).await?;
    ensure!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.body);
    let operation = answer.operation().context("no operation")?;
    let error = session.end_of(&operation).await?;
    ensure!(error.is_none(), "{path}: {error:?}");
    Ok(())
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_many_clusters_takes_about_as_much_work_as_the_first() -> Result<()> {
    kit::tls::install_provider();
    let many = std::env::var("LAZURITE_MANY_CLUSTERS").ok().and_then(|n| n.parse().ok()).unwrap_or(USUAL);
    let Some(mut cloud) = Cloud::new()? else { return Ok(()) };
    cloud.spawn()?;
    let (session, _) = cloud.sign_in().await?;
    let group = format!("/subscriptions/{}/resourceGroups/rg-many", session.subscription);
    ensure!(session.call(Method::PUT, &group, &json!({ "location": "eastus" })).await?.status.is_success());
    let mut times = Vec::new();
    for number in 0..many {
        let (begun, before) = (Instant::now(), cloud.processor_time()?);
        cluster(&session, number).await?;
        // What else runs on the machine is not the service's doing: judged is its processor time.
        let worked = cloud.processor_time()? - before;
        eprintln!("cluster {number}: {:?}, {worked:?} of processor", begun.elapsed());
        times.push(worked);
    }
    // The very first also makes what all share.
    let tenth = (many / 4).clamp(1, 10);
    let (first, last) = (median(&times[1..=tenth.min(many - 1)]), median(&times[many - tenth..]));
    eprintln!(
        "{many} clusters one after the other: {first:?} of processor each at first, {last:?} in the end"
    );
    ensure!(
        last <= first * 3 + Duration::from_secs(1),
        "a cluster took {first:?} of processor at first and {last:?} in the end"
    );
    cloud.finish()
}
