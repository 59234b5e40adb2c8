//! Who may know whom: `layers.toml` against `cargo metadata`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::Fault;

#[derive(Deserialize)]
struct Layers {
    /// Folder: folders its crates may import from.
    folders: BTreeMap<String, Vec<String>>,
    /// Crate: crates of the same folder it may import.
    inside: BTreeMap<String, Vec<String>>,
}

pub(super) fn check(root: &Path) -> Result<Vec<Fault>> {
    let text = std::fs::read_to_string(root.join("layers.toml")).context("failed to read layers.toml")?;
    let layers: Layers = toml::from_str(&text).context("layers.toml is not as it should be")?;
    let metadata = metadata(root)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let folder_of: BTreeMap<&str, String> = packages
        .iter()
        .filter_map(|package| {
            let manifest = Path::new(package["manifest_path"].as_str()?);
            let folder = manifest.strip_prefix(root).ok()?.iter().next()?.to_string_lossy().into_owned();
            Some((package["name"].as_str()?, folder))
        })
        .collect();
    let mut faults = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(folder) = folder_of.get(name) else { continue };
        let normal = |dependency: &&Value| dependency["kind"].is_null();
        for dependency in package["dependencies"].as_array().into_iter().flatten().filter(normal) {
            let target = dependency["name"].as_str().unwrap_or_default();
            let Some(target_folder) = folder_of.get(target) else { continue };
            if !allowed(&layers, name, folder, target, target_folder) {
                faults.push(Fault(format!(
                    "`{name}` ({folder}) must not know `{target}` ({target_folder}); see layers.toml"
                )));
            }
        }
    }
    Ok(faults)
}

fn allowed(layers: &Layers, name: &str, folder: &str, target: &str, target_folder: &str) -> bool {
    if folder != target_folder
        || layers.folders.get(folder).is_some_and(|all| all.iter().any(|f| f == folder))
    {
        return layers.folders.get(folder).is_some_and(|all| all.iter().any(|f| f == target_folder));
    }
    layers.inside.get(name).is_some_and(|all| all.iter().any(|allowed| allowed == target))
}

fn metadata(root: &Path) -> Result<Value> {
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("failed to run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")
}
