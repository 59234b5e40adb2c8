//! `lazurite aks get-credentials`: a cluster's kubeconfig, merged into kubectl's.
//!
//! Follows az: an entry of the same name that differs is replaced only when the user says so, an
//! administrator's context is renamed to `<cluster>-admin`, a symbolic link is not written through.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use kit::files::{Readers, write_atomic};
use serde_json::{Value, json};

use super::Cluster;
use crate::cli::arm::Arm;
use crate::cli::output::{ask, write_out};

/// Which credentials, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct GetCredentials {
    #[command(flatten)]
    cluster: Cluster,
    /// File to merge into; `-` prints. $KUBECONFIG's first, else ~/.kube/config, if not given.
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// The administrator's credentials.
    #[arg(short, long)]
    admin: bool,
    /// Replace entries of the same names.
    #[arg(long)]
    overwrite_existing: bool,
    /// Name of the context and cluster in the file.
    #[arg(long)]
    context: Option<String>,
}

impl GetCredentials {
    pub(super) async fn run(self, arm: &Arm) -> Result<()> {
        let who = if self.admin { "listClusterAdminCredential" } else { "listClusterUserCredential" };
        let path = format!("{}/{who}", self.cluster.path(arm));
        let answer = arm.send(Method::POST, &path, None).await?.body;
        let encoded =
            answer["kubeconfigs"][0]["value"].as_str().context("No Kubernetes credentials found.")?;
        let bytes = STANDARD.decode(encoded).context("the credentials are not base64")?;
        let file = self.file.clone().unwrap_or_else(default_file);
        if file.as_os_str() == "-" {
            return write_out(&bytes);
        }
        let mut addition: Value =
            serde_yaml_ng::from_slice(&bytes).context("the credentials are not YAML")?;
        rename(&mut addition, self.context.as_deref());
        let current = addition["current-context"].as_str().unwrap_or("UNKNOWN").to_owned();
        merge_into(&file, addition, self.overwrite_existing)?;
        if !arm.quiet() {
            eprintln!("Merged \"{current}\" as current context in {}", file.display());
        }
        Ok(())
    }
}

/// The file kubectl itself would write to.
fn default_file() -> PathBuf {
    let named = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let first = std::env::split_paths(&named).find(|path| !path.as_os_str().is_empty());
    first.unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".kube/config"))
}

/// Gives the context the name that was asked for, and an administrator's its own.
fn rename(config: &mut Value, wished: Option<&str>) {
    if let Some(wished) = wished {
        for pointer in
            ["/contexts/0/name", "/contexts/0/context/cluster", "/clusters/0/name", "/current-context"]
        {
            if let Some(name) = config.pointer_mut(pointer) {
                *name = json!(wished);
            }
        }
    }
    let of_admin = config.pointer("/contexts/0/context/user").and_then(Value::as_str);
    if of_admin.is_some_and(|user| user.starts_with("clusterAdmin")) {
        let name = format!("{}-admin", config["contexts"][0]["name"].as_str().unwrap_or_default());
        config["contexts"][0]["name"] = json!(name);
        config["current-context"] = json!(name);
    }
}

fn merge_into(file: &Path, addition: Value, overwrite: bool) -> Result<()> {
    if file.is_symlink() {
        bail!(
            "Kubeconfig path \"{}\" is a symbolic link. Refusing to write to prevent symlink-following attacks.",
            file.display()
        );
    }
    let existing = match std::fs::read_to_string(file) {
        Ok(text) => {
            serde_yaml_ng::from_str(&text).with_context(|| format!("`{}` is not YAML", file.display()))?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Null,
        Err(error) => return Err(error).with_context(|| format!("failed to read `{}`", file.display())),
    };
    let merged = merge(existing, addition, |name| {
        let question =
            format!("A different object named {name} already exists in your kubeconfig file.\nOverwrite?");
        Ok(overwrite || ask(&question)?.unwrap_or(false))
    })?;
    let text = serde_yaml_ng::to_string(&merged).context("failed to write YAML")?;
    // A bare file name has an empty parent, which is no directory.
    let file = std::path::absolute(file).context("failed to find the working directory")?;
    write_atomic(&file, text.as_bytes(), Readers::Owner)?;
    Ok(())
}

/// `addition` in `existing`; `replace` is asked for each entry that is there and differs.
fn merge(existing: Value, addition: Value, mut replace: impl FnMut(&str) -> Result<bool>) -> Result<Value> {
    let Value::Object(mut merged) = existing else { return Ok(addition) };
    for key in ["clusters", "users", "contexts"] {
        let Some(added) = addition[key].as_array() else { continue };
        let kept = merged.entry(key).or_insert(Value::Null);
        if !kept.is_array() {
            *kept = json!([]);
        }
        let Some(kept) = kept.as_array_mut() else { continue };
        for entry in added {
            let name = entry["name"].as_str().unwrap_or_default();
            if let Some(at) = kept.iter().position(|other| other["name"] == entry["name"]) {
                if kept[at] != *entry && !replace(name)? {
                    bail!("A different object named {name} already exists in {key} in your kubeconfig file.");
                }
                kept.remove(at);
            }
            kept.push(entry.clone());
        }
    }
    merged.insert("current-context".to_owned(), addition["current-context"].clone());
    Ok(Value::Object(merged))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str, user: &str, server: &str) -> Value {
        json!({"clusters": [{"name": name, "cluster": {"server": server}}], "users": [{"name": user, "user": {}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}], "current-context": name})
    }

    #[test]
    fn entries_of_others_stay() {
        let merged = merge(config("a", "ua", "s"), config("b", "ub", "s"), |_| Ok(false)).unwrap();
        assert_eq!(merged["clusters"].as_array().unwrap().len(), 2);
        assert_eq!(merged["current-context"], "b");
        let same = merge(merged.clone(), config("b", "ub", "s"), |_| Ok(false)).unwrap();
        assert_eq!(same, merged);
    }

    #[test]
    fn another_entry_of_the_name_is_replaced_only_when_told() {
        let refused = merge(config("a", "u", "old"), config("a", "u", "new"), |_| Ok(false)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "A different object named a already exists in clusters in your kubeconfig file."
        );
        let merged = merge(config("a", "u", "old"), config("a", "u", "new"), |_| Ok(true)).unwrap();
        assert_eq!(merged, config("a", "u", "new"));
    }

    #[test]
    fn an_administrators_context_has_its_own_name() {
        let mut admin = config("a", "clusterAdmin_g_a", "s");
        rename(&mut admin, Some("mine"));
        assert_eq!(admin["current-context"], "mine-admin");
        assert_eq!(admin["contexts"][0]["context"]["cluster"], "mine");
        assert_eq!(admin["clusters"][0]["name"], "mine");
    }

    #[test]
    fn the_file_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = std::env::temp_dir().join(format!("lazurite-kubeconfig-{}", std::process::id()));
        let file = dir.join("kube/config");
        merge_into(&file, config("a", "u", "s"), false).unwrap();
        merge_into(&file, config("b", "v", "s"), false).unwrap();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(mode & 0o777, 0o600);
        assert!(text.contains("current-context: b") && text.contains("name: a"), "{text}");
    }
}
