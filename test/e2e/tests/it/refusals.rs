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
    refused(
        &lab,
        &format!("{create} -n dev"),
        &["ResourceGroupNotFound", "Resource group 'rg-dev' could not be found"],
    )?;
    refused(&lab, "group create -n rg-dev -l atlantis", &["LocationNotAvailable", "atlantis"])?;
    lab.az("group create -n rg-dev -l eastus")?;
    // az checks names itself; the service behind it has to as well.
    refused(&lab, &put_cluster(&lab, "bad_name_", 1)?, &["InvalidParameter", "bad_name_"])?;
    refused(&lab, &put_cluster(&lab, "dev", 0)?, &["agentPoolProfile", "count"])?;
    refused(
        &lab,
        &format!("{create} -n dev -l atlantis"),
        &["atlantis", "is not available for resource type"],
    )?;
    refused(&lab, &format!("{create} -n dev --node-count 0"), &[])?;
    refused(&lab, &format!("{create} -n dev -k 1.12.0"), &["1.12.0"])?;
    let left = lab.az_json("group list")?;
    ensure!(left.as_array().map(Vec::len) == Some(1), "a refusal left a group behind: {left}");
    ensure!(
        lab.az_json("aks list")?.as_array().is_some_and(Vec::is_empty),
        "a refusal left a cluster behind"
    );
    ensure!(std::fs::read_dir(lab.state().join("clusters")).map(Iterator::count).unwrap_or(0) == 0);
    callers_without_a_role(&lab)?;
    lab.finish()
}

/// The command that PUTs a cluster past az's own checks.
fn put_cluster(lab: &Lab, name: &str, count: u32) -> Result<String> {
    let subscription = lab.az_json("account show")?["id"].as_str().unwrap_or_default().to_owned();
    let body = format!(
        r#"{{"location":"eastus","identity":{{"type":"SystemAssigned"}},"properties":{{"dnsPrefix":"d","agentPoolProfiles":[{{"name":"np","count":{count},"vmSize":"Standard_DS2_v2","mode":"System"}}]}}}}"#
    );
    Ok(format!(
        "rest --method put --url /subscriptions/{subscription}/resourceGroups/rg-dev/providers/Microsoft.ContainerService/managedClusters/{name}?api-version=2025-05-01 --body {body}"
    ))
}

/// Someone who may sign in but was given no role sees and makes nothing.
fn callers_without_a_role(lab: &Lab) -> Result<()> {
    let made = lab.az_json("ad sp create-for-rbac -n stranger")?;
    let text = |name: &str| made[name].as_str().unwrap_or_default().to_owned();
    let (app, secret, tenant) = (text("appId"), text("password"), text("tenant"));
    let endpoint = endpoint(lab)?;
    let form = lab.file("stranger-form");
    std::fs::write(
        &form,
        format!(
            "grant_type=client_credentials&client_id={app}&client_secret={secret}&scope=https://management.azure.com/.default"
        ),
    )?;
    let signed_in = curl(&[
        "--data",
        &format!("@{}", form.display()),
        &format!("{endpoint}/{tenant}/oauth2/v2.0/token"),
    ])?;
    let token = signed_in["access_token"].as_str().unwrap_or_default().to_owned();
    ensure!(!token.is_empty(), "{signed_in}");
    let subscription = lab.az_json("account show")?["id"].as_str().unwrap_or_default().to_owned();
    let url = format!(
        "{endpoint}/subscriptions/{subscription}/resourceGroups/rg-dev/providers/Microsoft.ContainerService/managedClusters/dev?api-version=2025-05-01"
    );
    let bearer = format!("Authorization: Bearer {token}");
    for method in ["GET", "PUT", "DELETE"] {
        let answer =
            curl(&["-X", method, "-H", &bearer, "-H", "Content-Type: application/json", "-d", "{}", &url])?;
        ensure!(answer["error"]["code"] == "AuthorizationFailed", "{method}: {answer}");
    }
    Ok(())
}

/// Runs curl against the laboratory and returns the JSON answer.
fn curl(arguments: &[&str]) -> Result<serde_json::Value> {
    let output = std::process::Command::new("curl").arg("-sk").args(arguments).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text).map_err(|error| anyhow::anyhow!("not JSON ({error}): {text}"))
}

/// What needs a moment that az is too slow to hit (a second write in flight) or a wait (an expired token) is proved in the
/// process: container-service's and testkit's tests.
#[test]
fn a_token_that_is_none_is_refused() -> Result<()> {
    let Some(lab) = Lab::start(Fabric::Simulated)? else { return Ok(()) };
    let url = format!("{}/subscriptions?api-version=2022-12-01", endpoint(&lab)?);
    let answer = curl(&["-H", "Authorization: Bearer not-a-token", &url])?;
    ensure!(answer["error"]["code"] == "InvalidAuthenticationToken", "{answer}");
    lab.finish()
}

fn endpoint(lab: &Lab) -> Result<String> {
    let credentials: serde_json::Value =
        serde_json::from_slice(&std::fs::read(lab.file("home/credentials.json"))?)?;
    Ok(credentials["endpoint"].as_str().unwrap_or_default().to_owned())
}
