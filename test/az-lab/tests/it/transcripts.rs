//! The transcripts in `az/`, each in a cloud of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use az_lab::Lab;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("az")
}

macro_rules! transcripts {
    ($($name:ident),* $(,)?) => {
        /// Every transcript that is played.
        const PLAYED: &[&str] = &[$(stringify!($name)),*];

        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() -> Result<()> {
                let Some(lab) = Lab::start().await? else { return Ok(()) };
                lab.play(&folder().join(concat!(stringify!($name), ".az"))).await
            }
        )*
    };
}

transcripts! {
    access,
    accounts,
    alerts,
    artifacts,
    balancers,
    certificates,
    compute,
    deployments,
    directory,
    features,
    groups,
    identities,
    interfaces,
    management_groups,
    private_dns,
    private_link,
    registries,
    scale_sets,
    security_groups,
    signed_in,
    storage_accounts,
    vaults,
    virtual_networks,
    watchers,
    what_is_watched,
}

#[test]
fn every_transcript_is_played() {
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".az")?.to_owned()))
        .collect();
    assert_eq!(files, PLAYED.iter().map(|name| (*name).to_owned()).collect());
}
