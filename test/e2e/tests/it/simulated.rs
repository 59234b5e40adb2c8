//! The same flow for who is not root: nodes in the API only, which say so.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::{Fabric, Lab, wait_for};

#[test]
fn the_quickstart_works_without_real_machines() -> Result<()> {
    let Some(lab) = Lab::start(Fabric::Simulated)? else { return Ok(()) };
    let took = lab.cluster("rg-dev", "dev-cluster", 3)?;
    eprintln!("az aks create, three simulated nodes: {:.1} s", took.as_secs_f64());
    ensure!(lab.kubectl("get nodes -o wide")?.contains("simulated://"));
    lab.kubectl("create deployment hello --image=anything.example/at/all:1 --replicas=2")?;
    lab.kubectl("expose deployment hello --port 80")?;
    lab.kubectl("rollout status deployment hello --timeout=30s")?;
    let refused = lab.kubectl_refused("logs deployment/hello")?;
    ensure!(refused.contains("simulated"), "logs of a simulated pod have to say so: {refused}");
    lab.kill()?;
    lab.up()?;
    wait_for("three ready nodes after a restart", Duration::from_secs(60), || {
        let nodes = lab.kubectl("get nodes --no-headers")?;
        Ok((nodes.lines().filter(|line| line.contains(" Ready")).count() == 3).then_some(()))
    })?;
    ensure!(lab.kubectl("get deployment hello -o name")?.contains("hello"));
    lab.az("aks delete -g rg-dev -n dev-cluster --yes")?;
    lab.finish()
}
