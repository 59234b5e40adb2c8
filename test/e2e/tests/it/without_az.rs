//! The quickstart for who has no az: `lazurite group` and `lazurite aks` do its job, and say the same.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{Fabric, Lab, wait_for};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn the_quickstart_works_without_az() -> Result<()> {
    let Some(lab) = Lab::start_with_only(Fabric::Simulated, &["kubectl"])? else { return Ok(()) };
    the_way_to_az_is_said(&lab)?;
    groups(&lab)?;
    cluster(&lab)?;
    refusals(&lab)?;
    pools(&lab)?;
    stop_and_start(&lab)?;
    ok(&lab, "aks delete -g rg-dev -n dev --yes")?;
    ensure!(json(&lab, "aks list")? == serde_json::json!([]));
    ok(&lab, "group delete -n rg-dev --yes")?;
    ensure!(ok(&lab, "group exists -n rg-dev")?.trim() == "false");
    lab.finish()
}

fn ok(lab: &Lab, line: &str) -> Result<String> {
    Ok(lab.lazurite(&line.split_whitespace().collect::<Vec<_>>())?.stdout)
}

fn json(lab: &Lab, line: &str) -> Result<Value> {
    let text = ok(lab, line)?;
    serde_json::from_str(&text).with_context(|| format!("`lazurite {line}` printed no JSON: {text}"))
}

fn refused(lab: &Lab, line: &str, code: i32, words: &str) -> Result<()> {
    let output = lab.try_lazurite(line)?;
    ensure!(output.code == Some(code), "`lazurite {line}` ended with {:?}: {}", output.code, output.stderr);
    ensure!(output.stderr.contains(words), "`lazurite {line}` said: {}", output.stderr);
    ensure!(output.stdout.is_empty(), "{}", output.stdout);
    Ok(())
}

fn the_way_to_az_is_said(lab: &Lab) -> Result<()> {
    let said = lab.up()?.stderr;
    ensure!(said.contains("pip install azure-cli") && said.contains("lazurite aks create"), "{said}");
    // Whoever reads one line closes the pipe on the rest.
    for arguments in [&["completion", "bash"][..], &["env"]] {
        let mut child = lab
            .command(&lab.file("bin/lazurite"))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut first = String::new();
        BufReader::with_capacity(16, child.stdout.take().context("no output")?).read_line(&mut first)?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success() && !said.contains("panicked"), "{arguments:?}: {said}");
    }
    Ok(())
}

fn groups(lab: &Lab) -> Result<()> {
    ensure!(ok(lab, "group exists -n rg-dev")?.trim() == "false");
    let group = json(lab, "group create -n rg-dev -l eastus --tags team=red cost")?;
    ensure!(group["properties"]["provisioningState"] == "Succeeded", "{group}");
    ensure!(
        group["tags"] == serde_json::json!({"team": "red", "cost": ""}) && group["managedBy"].is_null(),
        "{group}"
    );
    ensure!(json(lab, "group show -g rg-dev")? == group);
    let table = ok(lab, "group list -o table")?;
    let lines: Vec<&str> = table.lines().collect();
    ensure!(
        lines
            == [
                "Name    Location    Status",
                "------  ----------  ---------",
                "rg-dev  eastus      Succeeded"
            ],
        "{table}"
    );
    ensure!(ok(lab, "group exists -n rg-dev")?.trim() == "true");
    Ok(())
}

fn cluster(lab: &Lab) -> Result<()> {
    let made = json(lab, "aks create -g rg-dev -n dev -c 2 --no-ssh-key")?;
    ensure!(made["provisioningState"] == "Succeeded" && made["resourceGroup"] == "rg-dev", "{made}");
    ensure!(
        made["agentPoolProfiles"][0]["name"] == "nodepool1" && made["agentPoolProfiles"][0]["count"] == 2,
        "{made}"
    );
    ensure!(made["enableRbac"] == true && made.get("properties").is_none(), "{made}");
    let merged = lab.try_lazurite("aks get-credentials -g rg-dev -n dev")?;
    let file = lab.file("home/kubeconfig");
    ensure!(
        merged.stderr == format!("Merged \"dev\" as current context in {}\n", file.display()),
        "{}",
        merged.stderr
    );
    let nodes = lab.kubectl("get nodes --no-headers")?;
    ensure!(nodes.lines().filter(|line| line.contains(" Ready")).count() == 2, "{nodes}");
    let table = ok(lab, "aks show -g rg-dev -n dev -o table")?;
    let headings: Vec<&str> = table.lines().next().unwrap_or_default().split_whitespace().collect();
    let expected =
        "Name Location ResourceGroup KubernetesVersion CurrentKubernetesVersion ProvisioningState Fqdn";
    ensure!(headings.join(" ") == expected, "{table}");
    let fqdn = made["fqdn"].as_str().context("no fqdn")?;
    ensure!(ok(lab, "aks list --query [].{b:fqdn,a:name} -o tsv")? == format!("{fqdn}\tdev\n"));
    ensure!(ok(lab, "aks show -g rg-dev -n dev -o yaml")?.contains(&format!("\nfqdn: {fqdn}\n")));
    ensure!(ok(lab, "aks show -g rg-dev -n dev -o none")?.is_empty());
    admin(lab)
}

fn admin(lab: &Lab) -> Result<()> {
    ok(lab, "aks get-credentials -g rg-dev -n dev --admin")?;
    ensure!(lab.kubectl("config current-context")?.trim() == "dev-admin");
    ensure!(lab.kubectl("get nodes -o name")?.lines().count() == 2);
    refused(
        lab,
        "aks get-credentials -g rg-dev -n dev",
        1,
        "A different object named clusterUser_rg-dev_dev already exists",
    )?;
    ok(lab, "aks get-credentials -g rg-dev -n dev --overwrite-existing")?;
    ensure!(lab.kubectl("config current-context")?.trim() == "dev");
    ensure!(ok(lab, "aks get-credentials -g rg-dev -n dev -f -")?.contains("clusterUser_rg-dev_dev"));
    Ok(())
}

fn refusals(lab: &Lab) -> Result<()> {
    refused(lab, "aks show -g rg-dev -n nope", 3, "ERROR: (ResourceNotFound) ")?;
    refused(lab, "aks create -g nope -n dev --no-ssh-key", 3, "ERROR: (ResourceGroupNotFound) ")?;
    refused(lab, "aks create -g rg-dev -n dev", 1, "already exists")?;
    refused(lab, "aks create -g rg-dev -n bad. --no-ssh-key", 1, "ERROR: (")?;
    refused(lab, "aks create -g rg-dev -n keyless", 1, "--generate-ssh-keys")?;
    refused(lab, "aks show -n dev", 2, "--resource-group")?;
    refused(lab, "aks list --query [", 2, "--query")?;
    refused(lab, "aks delete -g rg-dev -n dev", 1, "ERROR: Operation cancelled.")?;
    ok(lab, "aks delete -g rg-dev -n nope --yes")?;
    Ok(())
}

fn pools(lab: &Lab) -> Result<()> {
    let of = "-g rg-dev --cluster-name dev";
    let nodes = |count: usize| {
        wait_for(&format!("{count} nodes"), SOON, || {
            Ok((lab.kubectl("get nodes -o name")?.lines().count() == count).then_some(()))
        })
    };
    let pool = json(
        lab,
        &format!("aks nodepool add {of} -n user1 -c 1 --labels tier=back --node-taints a=b:NoSchedule"),
    )?;
    ensure!(pool["mode"] == "User" && pool["nodeLabels"]["tier"] == "back", "{pool}");
    ensure!(pool["nodeTaints"] == serde_json::json!(["a=b:NoSchedule"]), "{pool}");
    nodes(3)?;
    refused(lab, &format!("aks nodepool add {of} -n user1"), 1, "Node pool user1 already exists")?;
    ensure!(json(lab, &format!("aks nodepool scale {of} -n user1 -c 2"))?["count"] == 2);
    nodes(4)?;
    refused(lab, &format!("aks nodepool scale {of} -n user1 -c 2"), 1, "The new node count is the same")?;
    let table = ok(lab, &format!("aks nodepool list {of} -o table"))?;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    ensure!(rows.len() == 4, "{table}");
    ensure!(
        rows[0].join(" ") == "Name OsType KubernetesVersion VmSize Count MaxPods ProvisioningState Mode",
        "{table}"
    );
    ensure!(table.contains("user1") && table.contains("Standard_DS2_v2"), "{table}");
    ensure!(
        json(lab, &format!("aks nodepool show {of} -n user1"))?["typePropertiesType"]
            == "VirtualMachineScaleSets"
    );
    ok(lab, &format!("aks nodepool delete {of} -n user1"))?;
    nodes(2)?;
    refused(lab, &format!("aks nodepool delete {of} -n user1"), 1, "Node pool user1 doesnt exist")
}

fn stop_and_start(lab: &Lab) -> Result<()> {
    ok(lab, "aks stop -g rg-dev -n dev")?;
    ensure!(ok(lab, "aks show -g rg-dev -n dev --query powerState.code -o tsv")?.trim() == "Stopped");
    ok(lab, "aks start -g rg-dev -n dev")?;
    ensure!(ok(lab, "aks show -g rg-dev -n dev --query powerState.code -o tsv")?.trim() == "Running");
    wait_for("ready nodes after the start", SOON, || {
        let nodes = lab.kubectl("get nodes --no-headers")?;
        Ok((nodes.lines().filter(|line| line.contains(" Ready")).count() == 2).then_some(()))
    })
}
