//! What may never be: a resource without an end, or something that belongs to nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::cloud::Session;
use super::is_final;

const DISK_LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

fn text<'a>(value: &'a Value, place: &str) -> &'a str {
    value.pointer(place).and_then(Value::as_str).unwrap_or_default()
}

fn lower(value: &Value, place: &str) -> String {
    text(value, place).to_ascii_lowercase()
}

/// Looks through everything.
pub async fn nothing_is_left_over(session: &Session, state: &Path) -> Result<()> {
    let subscription = format!("/subscriptions/{}", session.subscription);
    let groups = session.list(&format!("{subscription}/resourceGroups")).await?;
    let resources = session.list(&format!("{subscription}/resources")).await?;
    let clusters =
        session.list(&format!("{subscription}/providers/Microsoft.ContainerService/managedClusters")).await?;
    states(session, &groups, &resources).await?;
    node_groups(&groups, &clusters)?;
    let instances = scale_sets(session, &resources).await?;
    addresses(session, &resources).await?;
    identities(session, &resources, &groups).await?;
    assignments(session, &subscription).await?;
    on_disk(state, clusters.len(), instances).await
}

async fn states(session: &Session, groups: &[Value], resources: &[Value]) -> Result<()> {
    let mut etags = BTreeMap::<String, String>::new();
    for one in groups.iter().chain(resources) {
        let id = text(one, "/id");
        let shown = session.get(id).await?;
        ensure!(shown.status.is_success(), "{id} is listed, but: {} {}", shown.status, shown.body);
        let state = shown.body["properties"]["provisioningState"].as_str();
        ensure!(is_final(state), "{id} stays in {state:?}");
        for name in ["etag", "eTag"] {
            if let Some(etag) = shown.body[name].as_str()
                && let Some(other) = etags.insert(etag.to_owned(), id.to_owned())
            {
                ensure!(other == id, "{id} and {other} have the same ETag {etag}");
            }
        }
    }
    Ok(())
}

/// A node group has a cluster, and a cluster its node group.
fn node_groups(groups: &[Value], clusters: &[Value]) -> Result<()> {
    let managed: BTreeSet<String> = groups
        .iter()
        .filter(|g| g.get("managedBy").is_some_and(Value::is_string))
        .map(|g| lower(g, "/name"))
        .collect();
    let wanted: BTreeSet<String> =
        clusters.iter().map(|c| lower(c, "/properties/nodeResourceGroup")).collect();
    ensure!(managed == wanted, "node groups {managed:?}, but clusters have {wanted:?}");
    Ok(())
}

/// As many instances as the capacity says, all of them up or off as wanted. How many there are in all.
async fn scale_sets(session: &Session, resources: &[Value]) -> Result<usize> {
    let mut all = 0;
    for set in resources.iter().filter(|r| lower(r, "/type") == "microsoft.compute/virtualmachinescalesets") {
        let id = text(set, "/id");
        let capacity = session.get(id).await?.body["sku"]["capacity"].as_u64().unwrap_or(0);
        let instances = session.list(&format!("{id}/virtualMachines")).await?;
        ensure!(
            u64::try_from(instances.len())? == capacity,
            "{id} has {} instances and a capacity of {capacity}",
            instances.len()
        );
        for instance in &instances {
            let state = text(instance, "/properties/provisioningState");
            ensure!(state == "Succeeded", "{} is in {state}", text(instance, "/id"));
        }
        all += instances.len();
    }
    Ok(all)
}

/// What a subnet says is using it is there.
async fn addresses(session: &Session, resources: &[Value]) -> Result<()> {
    for network in resources.iter().filter(|r| lower(r, "/type") == "microsoft.network/virtualnetworks") {
        let shown = session.get(text(network, "/id")).await?.body;
        let subnets = shown["properties"]["subnets"].as_array().cloned().unwrap_or_default();
        let used = subnets
            .iter()
            .flat_map(|s| s["properties"]["ipConfigurations"].as_array().cloned().unwrap_or_default());
        for one in used {
            let id = text(&one, "/id");
            let top: Vec<&str> = id.split('/').take(9).collect();
            let top = top.join("/");
            let there = session.get(&top).await?;
            ensure!(there.status.is_success(), "{id} uses a subnet, but {top} answers {}", there.status);
        }
    }
    Ok(())
}

/// Each managed identity belongs to a resource, and each resource's identity is known.
async fn identities(session: &Session, resources: &[Value], groups: &[Value]) -> Result<()> {
    let answer = session.graph("/v1.0/servicePrincipals?$top=999").await?;
    ensure!(answer.status.is_success(), "Graph: {} {}", answer.status, answer.body);
    let all = answer.body["value"].as_array().cloned().unwrap_or_default();
    let managed: Vec<&Value> =
        all.iter().filter(|p| text(p, "/servicePrincipalType") == "ManagedIdentity").collect();
    let there: BTreeSet<String> = resources.iter().chain(groups).map(|r| lower(r, "/id")).collect();
    for principal in &managed {
        let names = principal["alternativeNames"].as_array().cloned().unwrap_or_default();
        let owner =
            names.iter().filter_map(Value::as_str).map(str::to_ascii_lowercase).find(|n| n.starts_with('/'));
        ensure!(
            owner.as_ref().is_some_and(|owner| there.contains(owner)),
            "the identity of {owner:?} is left over"
        );
    }
    let known: BTreeSet<&str> = managed.iter().map(|p| text(p, "/id")).collect();
    for one in resources {
        let principal = text(one, "/identity/principalId");
        ensure!(
            principal.is_empty() || known.contains(principal),
            "{} has lost its identity",
            text(one, "/id")
        );
    }
    Ok(())
}

/// Each role is assigned to somebody who exists, on something that exists.
async fn assignments(session: &Session, subscription: &str) -> Result<()> {
    for one in
        session.list(&format!("{subscription}/providers/Microsoft.Authorization/roleAssignments")).await?
    {
        let scope = text(&one, "/properties/scope");
        if scope.matches('/').count() > 2 {
            let there = session.get(scope).await?;
            ensure!(
                there.status.is_success(),
                "a role is assigned on {scope}, which answers {}",
                there.status
            );
        }
        let principal = text(&one, "/properties/principalId");
        let known = session.graph(&format!("/v1.0/servicePrincipals/{principal}")).await?;
        ensure!(known.status.is_success(), "a role on {scope} is assigned to {principal}, whom nobody knows");
    }
    Ok(())
}

/// A directory for each control plane and each machine, and no journal of a saga that is over. What goes with the end of an
/// operation may be gone a moment after that is told.
async fn on_disk(state: &Path, clusters: usize, machines: usize) -> Result<()> {
    let names = |dir: &str| -> Vec<_> {
        std::fs::read_dir(state.join(dir)).into_iter().flatten().flatten().map(|e| e.file_name()).collect()
    };
    let begun = Instant::now();
    loop {
        let (planes, journals, disks) = (names("clusters").len(), names("sagas"), names("machines").len());
        if planes == clusters && journals.is_empty() && disks <= machines {
            return Ok(());
        }
        ensure!(
            begun.elapsed() < DISK_LIMIT,
            "on the disk are {planes} control planes for {clusters} clusters, the journals {journals:?}, {disks} disks for {machines} machines"
        );
        tokio::time::sleep(PAUSE).await;
    }
}
