//! Creates and deletes in a row, and power cuts at random moments of `az aks create`.
//!
//! A few rounds each time; `make soak` runs 20 and 50.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use e2e::{Fabric, Lab, wait_for};
use rand::Rng;

const SETTLED: Duration = Duration::from_secs(120);

fn rounds(variable: &str, usual: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Only the customer's own group is left, no machine, no control plane.
fn nothing_left(lab: &Lab) -> Result<()> {
    let groups = lab.az_json("group list")?;
    ensure!(groups.as_array().map(Vec::len) == Some(1), "groups left: {groups}");
    for dir in ["machines", "clusters"] {
        let left = std::fs::read_dir(lab.state().join(dir)).map(Iterator::count).unwrap_or(0);
        ensure!(left == 0, "{left} {dir} left");
    }
    let resources = lab.az_json("resource list")?;
    ensure!(resources.as_array().is_some_and(Vec::is_empty), "resources left: {resources}");
    Ok(())
}

#[test]
fn creates_and_deletes_in_a_row_leave_nothing() -> Result<()> {
    let Some(lab) = Lab::start(Fabric::Linux)? else { return Ok(()) };
    lab.az("group create -n rg -l eastus")?;
    for round in 0..rounds("LAZURITE_CREATES", 5) {
        lab.az("aks create -g rg -n c --node-count 1 --generate-ssh-keys")?;
        lab.az("aks delete -g rg -n c --yes")?;
        nothing_left(&lab).map_err(|error| error.context(format!("round {round}")))?;
    }
    lab.finish()
}

#[test]
fn power_cuts_during_create_end_in_succeeded_or_a_failed_that_a_repeat_repairs() -> Result<()> {
    let Some(lab) = Lab::start(Fabric::Linux)? else { return Ok(()) };
    lab.az("group create -n rg -l eastus")?;
    // One that is not disturbed says how long the moments to choose from reach.
    let begun = Instant::now();
    lab.az("aks create -g rg -n c --node-count 1 --generate-ssh-keys")?;
    let whole = u64::try_from(begun.elapsed().as_millis())?;
    lab.az("aks delete -g rg -n c --yes")?;
    let mut random = rand::rng();
    let (mut succeeded, mut repaired) = (0, 0);
    for round in 0..rounds("LAZURITE_KILLS", 10) {
        let create = lab.az_spawn("aks create -g rg -n c --node-count 1 --generate-ssh-keys")?;
        std::thread::sleep(Duration::from_millis(random.random_range(whole / 5..whole)));
        lab.kill()?;
        drop(create);
        lab.up()?;
        let state = settle(&lab)?;
        match state.as_str() {
            "Succeeded" => succeeded += 1,
            "absent" | "Failed" => {
                lab.az("aks create -g rg -n c --node-count 1 --generate-ssh-keys")?;
                repaired += 1;
            }
            other => bail!("round {round}: the cluster ended in {other}"),
        }
        lab.az("aks delete -g rg -n c --yes")?;
        nothing_left(&lab).map_err(|error| error.context(format!("round {round}, {state}")))?;
    }
    eprintln!("{succeeded} went on by themselves, {repaired} were repaired by a repeat");
    lab.finish()
}

/// Waits until no deed runs on the cluster; its state, or `absent`.
fn settle(lab: &Lab) -> Result<String> {
    let begun = Instant::now();
    let state = wait_for("the end of the interrupted create", SETTLED, || {
        let clusters = lab.az_json("aks list")?;
        let Some(cluster) = clusters.as_array().and_then(|all| all.first()) else {
            return Ok(Some("absent".to_owned()));
        };
        let state = cluster["provisioningState"].as_str().unwrap_or_default().to_owned();
        Ok(matches!(state.as_str(), "Succeeded" | "Failed").then_some(state))
    })?;
    eprintln!("settled as {state} after {:.1} s", begun.elapsed().as_secs_f64());
    Ok(state)
}
