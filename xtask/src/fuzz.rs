//! Runs the fuzz targets of `fuzz/` for a while and prints what they did: runs, seconds, findings.
//!
//! Needs `cargo install cargo-fuzz --locked`. The targets are built without a sanitizer: what they test has no `unsafe`, and panics, hangs
//! and memory are watched without one. A finding stays in `fuzz/artifacts/<target>/`; run it again with
//! `cargo fuzz run --sanitizer none <target> <file>`.

use anyhow::{Context, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

/// How long one input may take, in seconds.
const INPUT_LIMIT_S: u32 = 20;
/// What one target may hold, in MiB.
const MEMORY_MAX_MIB: u32 = 2048;

/// Run the fuzz targets.
#[derive(clap::Args)]
pub struct Args {
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Targets that run at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Only these; all when none is named.
    targets: Vec<String>,
}

struct Ran {
    target: String,
    runs: u64,
    seconds: u64,
    findings: usize,
}

/// Builds the targets, runs them and prints a table.
///
/// # Errors
/// When they do not build, or something was found.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz")
        .canonicalize()
        .context("there is no fuzz folder")?;
    let all = targets(&fuzz)?;
    if let Some(unknown) = args.targets.iter().find(|name| !all.contains(*name)) {
        bail!(
            "there is no target {unknown}; there are {}",
            all.iter().cloned().collect::<Vec<_>>().join(", ")
        );
    }
    build(&fuzz)?;
    let chosen = all.into_iter().filter(|name| args.targets.is_empty() || args.targets.contains(name));
    let queue = Mutex::new(chosen.rev().collect::<Vec<String>>());
    let done = Mutex::new(Vec::new());
    let next = || queue.lock().ok().and_then(|mut queue| queue.pop());
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                while let Some(target) = next() {
                    let ran = one(&fuzz, &target, args.seconds);
                    if let Ok(mut done) = done.lock() {
                        done.push(ran);
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default().into_iter().collect::<anyhow::Result<Vec<Ran>>>()?;
    done.sort_by(|a, b| a.target.cmp(&b.target));
    println!("{:<14} {:>14} {:>9} {:>9}", "target", "runs", "seconds", "findings");
    for ran in &done {
        println!("{:<14} {:>14} {:>9} {:>9}", ran.target, ran.runs, ran.seconds, ran.findings);
    }
    let found: usize = done.iter().map(|ran| ran.findings).sum();
    if found > 0 {
        bail!("{found} findings, see fuzz/artifacts");
    }
    Ok(())
}

/// The targets there are: a file each.
fn targets(fuzz: &Path) -> anyhow::Result<BTreeSet<String>> {
    let files = std::fs::read_dir(fuzz.join("targets"))?;
    let name = |path: PathBuf| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Ok(files.filter_map(|file| name(file.ok()?.path())).collect())
}

fn build(fuzz: &Path) -> anyhow::Result<()> {
    let status = Command::new("cargo")
        .args(["fuzz", "build", "--sanitizer", "none"])
        // Coverage is a flag of nightly compilers.
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(fuzz)
        .status()
        .context("cargo fuzz is not there: cargo install cargo-fuzz --locked")?;
    if !status.success() {
        bail!("the targets do not build; if cargo has no `fuzz`: cargo install cargo-fuzz --locked");
    }
    Ok(())
}

fn artifacts(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

fn one(fuzz: &Path, target: &str, seconds: u64) -> anyhow::Result<Ran> {
    let (corpus, found) = (fuzz.join("corpus").join(target), fuzz.join("artifacts").join(target));
    std::fs::create_dir_all(&corpus)?;
    std::fs::create_dir_all(&found)?;
    let before = artifacts(&found);
    let begun = Instant::now();
    let output = Command::new("nice")
        .args(["-n", "19"])
        .arg(fuzz.join("target/x86_64-unknown-linux-gnu/release").join(target))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_LIMIT_S}"))
        .arg(format!("-rss_limit_mb={MEMORY_MAX_MIB}"))
        .arg(format!("-artifact_prefix={}/", found.display()))
        .arg("-print_final_stats=1")
        .arg(&corpus)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{target} does not start"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let findings = artifacts(&found).saturating_sub(before).max(usize::from(!output.status.success()));
    if findings > 0 {
        let last: Vec<&str> = text.lines().rev().take(40).collect();
        eprintln!("{target}:\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    Ok(Ran { target: target.to_owned(), runs: executed(&text), seconds: begun.elapsed().as_secs(), findings })
}

/// The number of runs, as the fuzzer says at its end.
fn executed(text: &str) -> u64 {
    let number = |line: &str| {
        line.strip_prefix("stat::number_of_executed_units:").and_then(|rest| rest.trim().parse().ok())
    };
    text.lines().find_map(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_from_the_end_of_the_output() {
        let text = "#2097152\tpulse\nDone 2338 runs in 1 second(s)\nstat::number_of_executed_units: 2338\n";
        assert_eq!(executed(text), 2338);
    }

    #[test]
    fn every_target_is_declared() {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
        for target in targets(&fuzz).unwrap() {
            assert!(manifest.contains(&format!("path = \"targets/{target}.rs\"")), "{target}");
        }
    }
}
