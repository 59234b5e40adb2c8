//! The same flow for who is not root: nodes in the API only, which say so.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
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
    what_needs_a_process_says_that_there_is_none(&lab)?;
    jobs_complete(&lab)?;
    add_ons_are_put_back(&lab)?;
    secrets_are_for_the_owner_only(&lab)?;
    lab.kill()?;
    lab.up()?;
    three_ready_nodes(&lab, "a restart")?;
    ensure!(lab.kubectl("get deployment hello -o name")?.contains("hello"));
    stop_and_start_keep_objects(&lab)?;
    lab.az("aks delete -g rg-dev -n dev-cluster --yes")?;
    lab.finish()
}

const SOON: Duration = Duration::from_secs(60);

fn three_ready_nodes(lab: &Lab, after: &str) -> Result<()> {
    wait_for(&format!("three ready nodes after {after}"), SOON, || {
        let nodes = lab.kubectl("get nodes --no-headers")?;
        Ok((nodes.lines().filter(|line| line.contains(" Ready")).count() == 3).then_some(()))
    })
}

fn what_needs_a_process_says_that_there_is_none(lab: &Lab) -> Result<()> {
    for line in
        ["exec deployment/hello -- true", "attach deployment/hello", "port-forward deployment/hello :80"]
    {
        let refused = lab.kubectl_refused(line)?;
        ensure!(refused.contains("this node is simulated"), "`kubectl {line}` has to say so: {refused}");
    }
    Ok(())
}

fn jobs_complete(lab: &Lab) -> Result<()> {
    lab.kubectl("create job once --image=anything.example/at/all:1 -- true")?;
    lab.kubectl("wait job/once --for=condition=Complete --timeout=30s")?;
    let pods = lab.kubectl_json("get pods -l job-name=once")?;
    let ended = &pods["items"][0]["status"]["containerStatuses"][0]["state"]["terminated"];
    ensure!(ended["reason"] == "Completed" && ended["exitCode"] == 0, "{ended}");
    ensure!(ended["message"].as_str().is_some_and(|text| text.contains("simulated")), "{ended}");
    Ok(())
}

fn add_ons_are_put_back(lab: &Lab) -> Result<()> {
    let shape = || -> Result<(u64, String)> {
        let coredns = lab.kubectl_json("get deployment coredns -n kube-system")?;
        let image =
            coredns["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
        Ok((coredns["spec"]["replicas"].as_u64().unwrap_or_default(), image.to_owned()))
    };
    let wanted = shape()?;
    for deed in [
        "scale deployment coredns -n kube-system --replicas=5",
        "set image deployment coredns -n kube-system coredns=elsewhere.example/x:1",
        "delete deployment coredns -n kube-system",
    ] {
        lab.kubectl(deed)?;
        wait_for(&format!("coredns put back after `{deed}`"), SOON, || {
            Ok((shape()? == wanted).then_some(()))
        })?;
    }
    Ok(())
}

/// Of all that the service wrote, others may read what holds no secret.
fn secrets_are_for_the_owner_only(lab: &Lab) -> Result<()> {
    const OPEN: [&str; 5] = ["service.json", "ca.crt", "lock", "images", "machine.json"];
    fn walk(dir: &Path, open: &mut Vec<String>) -> Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let metadata = entry.metadata()?;
            let mode = metadata.permissions().mode();
            if OPEN.contains(&name.as_str()) || (metadata.is_dir() && mode & 0o077 == 0) {
                continue;
            }
            if metadata.is_dir() {
                walk(&path, open)?;
            } else if metadata.is_file() && mode & 0o077 != 0 {
                open.push(path.display().to_string());
            }
        }
        Ok(())
    }
    let mut open = Vec::new();
    walk(&lab.state(), &mut open)?;
    ensure!(open.is_empty(), "others can read {}", open.join(", "));
    Ok(())
}

fn stop_and_start_keep_objects(lab: &Lab) -> Result<()> {
    let before = lab.kubectl_json("get deployment hello")?;
    lab.az("aks stop -g rg-dev -n dev-cluster")?;
    let power = || lab.az_json("aks show -g rg-dev -n dev-cluster --query powerState.code");
    ensure!(power()? == "Stopped");
    lab.kubectl_refused("get nodes --request-timeout=5s")?;
    lab.az("aks start -g rg-dev -n dev-cluster")?;
    ensure!(power()? == "Running");
    three_ready_nodes(lab, "az aks start")?;
    let after = lab.kubectl_json("get deployment hello")?;
    ensure!(
        before["metadata"]["uid"] == after["metadata"]["uid"],
        "the deployment is another one after the start"
    );
    lab.kubectl("rollout status deployment hello --timeout=60s")?;
    Ok(())
}
