//! Whether the state directory is whole: a file whose loss loses data is never silently made anew.
//!
//! What is checked here belongs to the whole installation. The vaults' key is checked by the vaults, a cluster's keys where
//! its control plane starts.

use anyhow::{Result, ensure};

use crate::place::State;

/// Refuses a state of which a part is gone that the rest needs. A first start that was cut short passes: it wrote these
/// files in the order in which they are needed.
pub(super) fn check(state: &State) -> Result<()> {
    let there = |name: &str| state.join(name).exists();
    let missing = |name: &str, why: &str| {
        format!(
            "`{}` is missing: {why}. Put it back from a backup, or begin anew with `lazurite down --purge`",
            state.join(name).display()
        )
    };
    ensure!(
        there("ca.key") || !there("ca.crt"),
        missing(
            "ca.key",
            "a new authority would be unknown to every client and machine that trusts the present one"
        )
    );
    ensure!(
        there("entra.redb") || !there("arm.redb"),
        missing(
            "entra.redb",
            "the resources belong to a tenant, identities and role assignments that only this directory knows"
        )
    );
    let clusters =
        std::fs::read_dir(state.join("clusters")).is_ok_and(|mut entries| entries.next().is_some());
    ensure!(
        there("arm.redb") || !clusters,
        missing("arm.redb", "there are clusters, and it holds every resource that they belong to")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_rest_needs_may_not_be_missing() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::at(dir.path());
        check(&state).unwrap();
        for file in ["ca.key", "ca.crt", "entra.redb", "arm.redb"] {
            std::fs::write(state.join(file), b"x").unwrap();
            check(&state).unwrap_or_else(|error| panic!("a first start cut short after {file}: {error}"));
        }
        std::fs::create_dir_all(state.join("clusters/0123456789abcdef")).unwrap();
        for file in ["ca.key", "entra.redb", "arm.redb"] {
            std::fs::remove_file(state.join(file)).unwrap();
            let error = check(&state).unwrap_err().to_string();
            assert!(error.contains(file) && error.contains("backup"), "{error}");
            std::fs::write(state.join(file), b"x").unwrap();
        }
        check(&state).unwrap();
    }
}
