//! `lazurite status`: whether the service runs, and what it carries.

use std::process::ExitCode;

use anyhow::Result;
use http::Method;
use serde_json::{Value, json};

use super::Output;
use super::output::say;
use super::remote::{Remote, block_on};
use crate::place::{Home, ServiceFile, State};

pub(crate) fn run(output: Output) -> Result<ExitCode> {
    let state = State::locate();
    let Some(running) = state.running() else {
        match output {
            Output::Json => say(json!({"running": false, "state": state.path()}))?,
            Output::Table => say(format_args!("stopped    state in {}", state.path().display()))?,
        }
        return Ok(ExitCode::from(3));
    };
    let clusters = block_on(clusters())?;
    match output {
        Output::Json => {
            let all =
                json!({"running": true, "service": running, "state": state.path(), "clusters": clusters});
            say(serde_json::to_string_pretty(&all)?)?;
        }
        Output::Table => table(&state, &running, &clusters)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn clusters() -> Result<Vec<Value>> {
    let credentials = Home::locate().credentials()?;
    let remote = Remote::running()?;
    let token = remote.token(&credentials).await?;
    let path = format!(
        "/subscriptions/{}/providers/Microsoft.ContainerService/managedClusters?api-version=2025-05-01",
        credentials.subscription_id
    );
    let mut answer = remote.send(Method::GET, &path, &token, kit::http::empty()).await?;
    match answer["value"].take() {
        Value::Array(clusters) => Ok(clusters),
        _ => Ok(Vec::new()),
    }
}

fn table(state: &State, running: &ServiceFile, clusters: &[Value]) -> Result<()> {
    say(format_args!("running    pid {}, version {}", running.pid, running.version))?;
    say(format_args!("front      https://localhost:{}", running.front.port()))?;
    say(format_args!("api        https://localhost:{}", running.api.port()))?;
    say(format_args!("nodes      {}", running.fabric))?;
    say(format_args!("state      {}", state.path().display()))?;
    if clusters.is_empty() {
        return say("clusters   none");
    }
    say("")?;
    say(format_args!("{:<20} {:<16} {:<12} {:<11} {:>5}", "CLUSTER", "GROUP", "STATE", "VERSION", "NODES"))?;
    for cluster in clusters {
        let properties = &cluster["properties"];
        let nodes: u64 = properties["agentPoolProfiles"]
            .as_array()
            .map(|pools| pools.iter().filter_map(|pool| pool["count"].as_u64()).sum())
            .unwrap_or_default();
        say(format_args!(
            "{:<20} {:<16} {:<12} {:<11} {:>5}",
            text(&cluster["name"]),
            cluster["id"].as_str().and_then(|id| id.split('/').nth(4)).unwrap_or("-"),
            text(&properties["provisioningState"]),
            text(&properties["currentKubernetesVersion"]),
            nodes
        ))?;
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
