//! What AKS refuses we refuse: with its words, and leaving nothing behind.

use anyhow::{Result, ensure};
use e2e::{Fabric, Lab};

fn refused(lab: &Lab, line: &str, expected: &[&str]) -> Result<()> {
    let text = lab.az_refused(line)?;
    for part in expected {
        ensure!(text.contains(part), "`az {line}` had to say `{part}`, but said:\n{text}");
    }
    Ok(())
}

#[test]
fn refusals_are_akss_own_and_leave_nothing() -> Result<()> {
    let Some(lab) = Lab::start(Fabric::Simulated)? else { return Ok(()) };
    let create = "aks create -g rg-dev --generate-ssh-keys";
    refused(&lab, &format!("{create} -n dev"), &["ResourceGroupNotFound", "Resource group 'rg-dev' could not be found"])?;
    refused(&lab, "group create -n rg-dev -l atlantis", &["LocationNotAvailable", "atlantis"])?;
    lab.az("group create -n rg-dev -l eastus")?;
    refused(&lab, &format!("{create} -n -bad-"), &[])?;
    refused(&lab, &format!("{create} -n bad_name_ --node-count 1"), &["InvalidParameter"])?;
    refused(&lab, &format!("{create} -n dev -l atlantis"), &["atlantis", "is not available for resource type"])?;
    refused(&lab, &format!("{create} -n dev --node-count 0"), &[])?;
    refused(&lab, &format!("{create} -n dev -k 1.12.0"), &["1.12.0"])?;
    let left = lab.az_json("group list")?;
    ensure!(left.as_array().map(Vec::len) == Some(1), "a refusal left a group behind: {left}");
    ensure!(lab.az_json("aks list")?.as_array().is_some_and(Vec::is_empty), "a refusal left a cluster behind");
    ensure!(std::fs::read_dir(lab.state().join("clusters")).map(Iterator::count).unwrap_or(0) == 0);
    callers_without_a_role(&lab)?;
    lab.finish()
}

/// Someone who may sign in but was given no role sees and makes nothing.
fn callers_without_a_role(lab: &Lab) -> Result<()> {
    let made = lab.az_json("ad sp create-for-rbac -n stranger")?;
    let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
    let (app, secret, tenant) = (text("appId"), text("password"), text("tenant"));
    let secret_file = lab.file("stranger-secret");
    std::fs::write(&secret_file, &secret)?;
    let config = lab.file("stranger-az");
    copy_az_configuration(lab, &config)?;
    let az = |words: &[&str]| -> Result<std::process::Output> {
        let output = lab
            .command(std::path::Path::new("az"))
            .args(words)
            .env("AZURE_CONFIG_DIR", &config)
            .output()?;
        Ok(output)
    };
    let password = format!("@{}", secret_file.display());
    let login = az(&[
        "login", "--service-principal", "-u", &app, "-p", &password, "--tenant", &tenant, "--allow-no-subscriptions",
    ])?;
    ensure!(login.status.success(), "{}", String::from_utf8_lossy(&login.stderr));
    let subscription = lab.az_json("account show")?["id"].as_str().unwrap_or_default().to_owned();
    let path = format!(
        "/subscriptions/{subscription}/resourceGroups/rg-dev/providers/Microsoft.ContainerService/managedClusters/dev?api-version=2025-05-01"
    );
    let answer = az(&["rest", "--method", "get", "--url", &path])?;
    let stderr = String::from_utf8_lossy(&answer.stderr);
    ensure!(!answer.status.success() && stderr.contains("AuthorizationFailed"), "{stderr}");
    Ok(())
}

fn copy_az_configuration(lab: &Lab, to: &std::path::Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for name in ["config", "clouds.config"] {
        std::fs::copy(lab.file("home/azure").join(name), to.join(name))?;
    }
    Ok(())
}

#[test]
fn a_second_create_in_flight_and_an_expired_token_are_refused() -> Result<()> {
    let Some(lab) = Lab::start(Fabric::Simulated)? else { return Ok(()) };
    lab.az("group create -n rg-dev -l eastus")?;
    lab.az("aks create -g rg-dev -n dev --node-count 1 --generate-ssh-keys")?;
    // Two deeds on one cluster at once: the second hears which one runs.
    lab.az("aks nodepool add -g rg-dev --cluster-name dev -n extra --node-count 1 --no-wait")?;
    let text = lab.az_refused("aks nodepool add -g rg-dev --cluster-name dev -n more --node-count 1");
    if let Ok(text) = text {
        ensure!(text.contains("OperationNotAllowed") && text.contains("in progress"), "{text}");
    }
    let output = std::process::Command::new("curl")
        .args(["-sk", "-H", "Authorization: Bearer not-a-token"])
        .arg(format!("{}/subscriptions?api-version=2022-12-01", endpoint(&lab)?))
        .output()?;
    let answer = String::from_utf8_lossy(&output.stdout);
    ensure!(answer.contains("InvalidAuthenticationToken"), "{answer}");
    lab.finish()
}

fn endpoint(lab: &Lab) -> Result<String> {
    let credentials: serde_json::Value = serde_json::from_slice(&std::fs::read(lab.file("home/credentials.json"))?)?;
    Ok(credentials["endpoint"].as_str().unwrap_or_default().to_owned())
}
