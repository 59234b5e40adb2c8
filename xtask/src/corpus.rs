//! `cargo xtask corpus`: generates the data file of a Kubernetes minor version.
//!
//! Input: the definitions in a pinned PyPI wheel and the hand-written facts under `control-plane/api-model/corpus/facts`. Output:
//! `corpus/<minor>.model`, readable, one line a field, and `corpus/<minor>.prose.zst`, the documentation in the same order.
//! The same input gives the same bytes; `--check` fails when the files in the tree differ. See `write.rs` for the notation.

mod fetch;
mod write;

use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// Arguments of `cargo xtask corpus`.
#[derive(clap::Args)]
pub struct Args {
    /// Kubernetes minor version.
    #[arg(long, default_value = "1.35")]
    minor: String,
    /// A `kubernetes-validate` wheel already on disk, instead of pip's download.
    #[arg(long)]
    wheel: Option<PathBuf>,
    /// Write nothing; fail when the files in the tree are not what would be written.
    #[arg(long)]
    check: bool,
}

/// Generates, or checks, the corpus of one minor version.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../control-plane/api-model/corpus");
    let facts = |name: &str| {
        let path = folder.join("facts").join(format!("{}.{name}", args.minor));
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    let definitions = fetch::definitions(&args.minor, args.wheel.as_deref())?;
    let written = write::corpus(&args.minor, &definitions, &facts("resources")?, &facts("defaults")?)?;
    let prose = zstd::bulk::compress(written.prose.as_bytes(), 19)?;
    let mut stale = false;
    for (name, bytes) in [("model", written.model.as_bytes()), ("prose.zst", prose.as_slice())] {
        let path = folder.join(format!("{}.{name}", args.minor));
        let same = std::fs::read(&path).is_ok_and(|old| old == bytes);
        if args.check {
            stale |= !same;
            println!("{}: {}", path.display(), if same { "as generated" } else { "differs" });
        } else {
            std::fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
            println!("{}: {} bytes{}", path.display(), bytes.len(), if same { ", unchanged" } else { "" });
        }
    }
    if stale {
        bail!("the corpus is not what `cargo xtask corpus --minor {}` generates", args.minor);
    }
    Ok(())
}
