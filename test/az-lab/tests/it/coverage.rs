//! Every command that is said to work is run by a transcript, here or in the laboratories with clusters.

use std::path::Path;

use anyhow::Result;
use transcripts::Coverage;

#[test]
fn every_command_of_the_list_is_run_or_says_why_not() -> Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut coverage = Coverage::read(&here.join("commands.list"))?;
    coverage.folder(&here.join("az"))?;
    coverage.folder(&here.join("../e2e/az"))?;
    let faults = coverage.faults();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let (run, listed) = coverage.counts();
    eprintln!("{run} of {listed} commands are run by transcripts");
    Ok(())
}
