//! `cargo xtask tidy`: the repository tests itself.
//!
//! Checks that directions of imports are those of `layers.toml`, that each crate says what it is for,
//! that files and functions stay small (`tidy.toml` lists those that were longer already; the list may
//! only shrink), that forbidden words are absent, and that only `base/linux` has `unsafe`.

mod layers;
mod sizes;
mod words;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// How to check.
#[derive(clap::Args)]
pub struct Args {
    /// Rewrite `tidy.toml` with the sizes of today.
    #[arg(long)]
    ratchet: bool,
}

/// One thing that is not as it should be.
struct Fault(String);

/// A source file of ours.
struct Source {
    /// Relative to the repository.
    path: PathBuf,
    text: String,
}

impl Source {
    fn is_test(&self) -> bool {
        self.path.iter().any(|part| part == "tests" || part == "test")
            || self.path.file_stem().is_some_and(|stem| stem == "tests" || stem == "suite")
    }
}

/// Runs every check; fails with all faults at once.
pub fn run(args: &Args) -> Result<()> {
    let root = root()?;
    let sources = sources(&root)?;
    if args.ratchet {
        return sizes::write(&root, &sources);
    }
    let mut faults = layers::check(&root)?;
    faults.extend(sizes::check(&root, &sources)?);
    faults.extend(words::check(&sources));
    for Fault(text) in &faults {
        eprintln!("tidy: {text}");
    }
    if faults.is_empty() {
        eprintln!("tidy: {} files are as they should be", sources.len());
        return Ok(());
    }
    bail!("{} faults", faults.len())
}

fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(Path::to_owned).context("the repository has no root")
}

fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = ["base", "azure", "control-plane", "node", "apps", "test", "xtask"]
        .map(|dir| root.join(dir))
        .to_vec();
    while let Some(dir) = left.pop() {
        let entries =
            std::fs::read_dir(&dir).with_context(|| format!("failed to list `{}`", dir.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("failed to read `{}`", path.display()))?;
                found.push(Source { path: path.strip_prefix(root)?.to_owned(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_repository_is_tidy() {
        super::run(&super::Args { ratchet: false }).unwrap();
    }
}
