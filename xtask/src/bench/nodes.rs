//! A cluster of three nodes: made, a workload run on it, deleted; and load on its API server.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use http::Method;
use serde_json::{Value, json};

use super::apiserver::{self, Size};
use super::azure::Cloud;
use super::figures::Report;
use super::lab::{Fabric, Lab};
use super::load::Api;

const NODES: usize = 3;
const ROUNDS: usize = 3;
const WORKLOAD_LIMIT: Duration = Duration::from_secs(60);

/// Makes and deletes clusters on this fabric, then loads one's API server.
pub async fn measure(binary: &Path, fabric: Fabric, load: Option<&Size>, report: &mut Report) -> Result<()> {
    let mut lab = Lab::new(binary, fabric)?;
    let started = lab.start().await?;
    if fabric == Fabric::Linux {
        report.figure("start to first answer, real fabric", started.as_secs_f64(), "s", Some(0.3));
    }
    let cloud = Cloud::sign_in(&lab).await?;
    let kind = if fabric == Fabric::Linux { "real" } else { "simulated" };
    for round in 1..=ROUNDS {
        let name = format!("three-{round}");
        let begun = Instant::now();
        let created = cloud.create(&name, NODES).await?;
        let label = format!("{NODES} {kind} nodes, round {round}");
        report.figure(format!("{label}: PUT to Succeeded"), created.cluster.as_secs_f64(), "s", None);
        let api = cloud.api(&name, begun).await?;
        let ready = ready_nodes(&api).await?;
        if ready != NODES {
            bail!("{ready} nodes are ready in a cluster that is Succeeded");
        }
        run_workload(&api).await?;
        report.figure(
            format!("{label}: PUT to two pods running"),
            begun.elapsed().as_secs_f64(),
            "s",
            Some(15.0),
        );
        let deleted = cloud.delete(&name).await?;
        report.figure(format!("{label}: DELETE to gone"), deleted.as_secs_f64(), "s", None);
    }
    if let Some(size) = load {
        cloud.create("loaded", 1).await?;
        let target = cloud.target("loaded", Instant::now()).await?;
        apiserver::run(&target, &[lab.pid()?], size, report).await?;
    }
    lab.finish()
}

async fn ready_nodes(api: &Api) -> Result<usize> {
    let nodes = api.json("/api/v1/nodes").await?;
    Ok(items(&nodes).filter(|node| condition(node, "Ready")).count())
}

async fn run_workload(api: &Api) -> Result<()> {
    let body = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "hello"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "hello"}},
            "template": {"metadata": {"labels": {"app": "hello"}}, "spec": {
                "containers": [{"name": "hello", "image": "lazurite.azurecr.io/hello:1"}]}}}});
    let path = "/apis/apps/v1/namespaces/default/deployments";
    api.send(Method::POST, path, Some(("application/json", body.to_string()))).await?;
    let begun = Instant::now();
    loop {
        let pods = api.json("/api/v1/namespaces/default/pods?labelSelector=app%3Dhello").await?;
        if items(&pods).filter(|pod| condition(pod, "Ready")).count() == 2 {
            return Ok(());
        }
        if begun.elapsed() > WORKLOAD_LIMIT {
            bail!("the workload does not run: {}", pods["items"]);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

fn condition(object: &Value, kind: &str) -> bool {
    let mut conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == kind && condition["status"] == "True")
}
