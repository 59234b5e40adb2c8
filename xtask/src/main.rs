//! Chores of the repository: `cargo xtask <chore>`. Each chore is a module with `Args` and `run`.

mod bench;
mod corpus;
mod fuzz;
mod tidy;

use clap::Parser;

/// Chores of the repository.
#[derive(Parser)]
enum Chore {
    /// Measure what SPEC.md promises.
    Bench(bench::Args),
    /// Generate (or, with `--check`, verify) the data file of a Kubernetes minor version.
    Corpus(corpus::Args),
    /// Run the fuzz targets for a while.
    Fuzz(fuzz::Args),
    /// Check that the repository is as it should be.
    Tidy(tidy::Args),
}

fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::Bench(args) => bench::run(&args),
        Chore::Corpus(args) => corpus::run(&args),
        Chore::Fuzz(args) => fuzz::run(&args),
        Chore::Tidy(args) => tidy::run(&args),
    }
}
