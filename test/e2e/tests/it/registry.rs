//! A registry by a client that knows nothing of Azure: skopeo, with az's token and as applications with and without roles.

use std::process::Stdio;

use anyhow::{Result, ensure};
use e2e::{Fabric, Lab, image, skip, tool};
use serde_json::Value;

const HOST: &str = "lazuriteoci.azurecr.io";
const PULL: &str = "7f951dda-4ed3-4680-a7ca-43fe172d538d";
const PUSH: &str = "8311e382-0749-4cb8-b61a-304f252e45ec";
const DELETE: &str = "c2f4ef07-c644-48eb-af81-4b1b4947fb11";

/// An application that signs in to the registry.
struct Application {
    app_id: String,
    secret: String,
}

impl Application {
    fn new(lab: &Lab, name: &str) -> Result<Self> {
        let made = lab.az_json(&format!("ad sp create-for-rbac -n {name}"))?;
        Ok(Self { app_id: text(&made["appId"]), secret: text(&made["password"]) })
    }

    fn give(&self, lab: &Lab, role: &str, registry: &str) -> Result<()> {
        lab.az(&format!(
            "role assignment create --assignee {} --role {role} --scope {registry}",
            self.app_id
        ))?;
        Ok(())
    }

    fn credentials(&self) -> String {
        format!("{}:{}", self.app_id, self.secret)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// skopeo in the laboratory: what it printed, or what it said when it failed.
fn skopeo(lab: &Lab, line: &str) -> Result<std::result::Result<String, String>> {
    let mut command = lab.command(&tool("skopeo")?);
    let output = command
        .arg("--insecure-policy")
        .args(line.split_whitespace())
        .env("REGISTRY_AUTH_FILE", lab.file("auth.json"))
        .stdin(Stdio::null())
        .output()?;
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(if output.status.success() { Ok(said.into_owned()) } else { Err(error.into_owned()) })
}

fn works(lab: &Lab, line: &str) -> Result<String> {
    skopeo(lab, line)?.map_err(|error| anyhow::anyhow!("`skopeo {line}` failed: {error}"))
}

fn refused(lab: &Lab, line: &str) -> Result<String> {
    match skopeo(lab, line)? {
        Ok(said) => Err(anyhow::anyhow!("`skopeo {line}` succeeded, but had to be refused: {said}")),
        Err(error) => Ok(error),
    }
}

#[test]
fn a_registry_is_used_by_a_client_that_knows_no_azure() -> Result<()> {
    if tool("skopeo").is_err() {
        return skip("skopeo is not installed");
    }
    let Some(mut lab) = Lab::start(Fabric::Simulated)? else { return Ok(()) };
    let archive = lab.file("image.tar");
    image::write_small(&archive, "docker.io/library/hello:1")?;
    let archive = format!("oci-archive:{}", archive.display());
    lab.az("group create -n rg-oci -l eastus")?;
    let registry = text(&lab.az_json("acr create -g rg-oci -n lazuriteoci --sku Basic")?["id"]);
    // A registry is known by its name, so through the proxy.
    lab.through_proxy()?;

    let token = text(&lab.az_json("acr login -n lazuriteoci --expose-token")?["accessToken"]);
    let az = format!("00000000-0000-0000-0000-000000000000:{token}");
    works(&lab, &format!("copy --dest-creds {az} {archive} docker://{HOST}/app:v1"))?;
    works(
        &lab,
        &format!(
            "copy --src-creds {az} --dest-creds {az} docker://{HOST}/app:v1 docker://{HOST}/team/app:v2"
        ),
    )?;
    let seen: Value =
        serde_json::from_str(&works(&lab, &format!("inspect --creds {az} docker://{HOST}/app:v1"))?)?;
    ensure!(seen["RepoTags"] == serde_json::json!(["v1"]) && seen["Architecture"] == "amd64", "{seen}");
    let repositories = lab.az_json("acr repository list -n lazuriteoci")?;
    ensure!(repositories == serde_json::json!(["app", "team/app"]), "{repositories}");

    roles_decide(&lab, &registry, &archive)?;
    lab.finish()
}

fn roles_decide(lab: &Lab, registry: &str, archive: &str) -> Result<()> {
    let (puller, pusher) = (Application::new(lab, "puller")?, Application::new(lab, "pusher")?);
    let stranger = Application::new(lab, "stranger")?.credentials();
    puller.give(lab, PULL, registry)?;
    pusher.give(lab, PUSH, registry)?;
    let image = format!("docker://{HOST}/app");

    let (puller, pushing) = (puller.credentials(), pusher.credentials());
    works(lab, &format!("inspect --creds {puller} {image}:v1"))?;
    works(lab, &format!("list-tags --creds {puller} {image}"))?;
    let why = refused(lab, &format!("copy --dest-creds {puller} {archive} {image}:mine"))?;
    ensure!(why.contains("denied") || why.contains("unauthorized"), "{why}");

    works(lab, &format!("copy --dest-creds {pushing} {archive} {image}:v3"))?;
    works(lab, &format!("copy --src-creds {pushing} {image}:v3 dir:{}", lab.file("pulled").display()))?;
    refused(lab, &format!("delete --creds {pushing} {image}:v3"))?;

    for line in [
        format!("inspect --creds {stranger} {image}:v1"),
        format!("copy --dest-creds {stranger} {archive} {image}:no"),
    ] {
        let why = refused(lab, &line)?;
        ensure!(why.contains("authentication required"), "{why}");
    }
    let why = refused(lab, &format!("inspect --no-creds {image}:v1"))?;
    ensure!(why.contains("unauthorized") || why.contains("authentication required"), "{why}");
    refused(lab, &format!("inspect --creds nobody:wrong {image}:v1"))?;

    pusher.give(lab, DELETE, registry)?;
    works(lab, &format!("delete --creds {pushing} {image}:v3"))?;
    refused(lab, &format!("inspect --creds {pushing} {image}:v3"))?;
    Ok(())
}
