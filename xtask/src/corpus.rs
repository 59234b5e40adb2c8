//! `cargo xtask corpus`: generates the data file of a Kubernetes minor version.
//!
//! Input: the definitions in a pinned PyPI wheel and the hand-written facts under `control-plane/api-model/corpus/facts`. Output:
//! `corpus/<minor>.model`, readable, one line a field, `corpus/<minor>.prose.zst`, the documentation in the same order, and
//! `corpus/<minor>.protobuf`, the field numbers of the binary form, from a pinned crate.
//! The same input gives the same bytes; `--check` fails when the files in the tree differ. See `write.rs` and `protobuf.rs`
//! for the notations.

mod fetch;
mod protobuf;
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
    let numbers = protobuf::corpus(&args.minor, &definitions, &facts("pointers")?)?;
    let prose = zstd::bulk::compress(written.prose.as_bytes(), 19)?;
    let mut stale = false;
    let made = [
        ("model", written.model.as_bytes()),
        ("prose.zst", prose.as_slice()),
        ("protobuf", numbers.as_bytes()),
    ];
    for (name, bytes) in made {
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
