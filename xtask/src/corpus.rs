//! `cargo xtask corpus`: generates the data file of a Kubernetes minor version.
//!
//! Input: the definitions in a pinned PyPI wheel and the hand-written facts under `control-plane/api-model/corpus/facts`. Output:
//! `corpus/<minor>.model`, readable, one line a field, `corpus/<minor>.prose.zst`, the documentation in the same order, and
//! `corpus/<minor>.protobuf`, the field numbers of the binary form, from a pinned crate.
//! The same input gives the same bytes; `--check` fails when the files in the tree differ. See `write.rs`, `resources.rs`,
//! `parameters.rs` and `protobuf.rs` for the notations.

mod facts;
mod fetch;
mod parameters;
mod protobuf;
mod resources;
mod write;

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// Arguments of `cargo xtask corpus`.
#[derive(clap::Args)]
pub struct Args {
    /// Kubernetes minor version; all known ones when none is named.
    #[arg(long)]
    minor: Option<String>,
    /// A `kubernetes-validate` wheel already on disk, instead of pip's download.
    #[arg(long)]
    wheel: Option<PathBuf>,
    /// Write nothing; fail when the files in the tree are not what would be written.
    #[arg(long)]
    check: bool,
}

/// Generates, or checks, the corpus of one minor version or of all.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let minors = match &args.minor {
        Some(minor) => vec![minor.as_str()],
        None if args.wheel.is_some() => bail!("a wheel holds one minor version: name it with --minor"),
        None => fetch::minors().collect(),
    };
    let mut stale = Vec::new();
    for minor in minors {
        if !generate(minor, args)? {
            stale.push(minor);
        }
    }
    if !stale.is_empty() {
        bail!("the corpus is not what `cargo xtask corpus` generates: {}", stale.join(", "));
    }
    Ok(())
}

/// Whether the files in the tree were as generated; always so when they were written.
fn generate(minor: &str, args: &Args) -> anyhow::Result<bool> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../control-plane/api-model/corpus");
    let definitions = fetch::definitions(minor, args.wheel.as_deref())?;
    let facts = facts::Facts::read(&folder.join("facts"), minor, &definitions)?;
    let queries = parameters::corpus(&fetch::client()?)?;
    let written = write::corpus(minor, &definitions, &facts, &queries)?;
    let base = if minor == facts::BASE { None } else { Some(fetch::definitions(facts::BASE, None)?) };
    let numbers =
        protobuf::corpus(minor, &definitions, base.as_ref().unwrap_or(&definitions), &facts.shapes)?;
    let prose = zstd::bulk::compress(written.prose.as_bytes(), 19)?;
    let made = [
        ("model", written.model.as_bytes()),
        ("prose.zst", prose.as_slice()),
        ("protobuf", numbers.as_bytes()),
    ];
    let mut fresh = true;
    for (name, bytes) in made {
        let path = folder.join(format!("{minor}.{name}"));
        let same = std::fs::read(&path).is_ok_and(|old| old == bytes);
        if args.check {
            fresh &= same;
            println!("{}: {}", path.display(), if same { "as generated" } else { "differs" });
        } else {
            std::fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
            println!("{}: {} bytes{}", path.display(), bytes.len(), if same { ", unchanged" } else { "" });
        }
    }
    Ok(fresh)
}
