//! `kill -9` while many write: nothing that was acknowledged is lost, and what is there is a prefix of what was done.
//!
//! The test starts itself as a child that prints each acknowledged write, kills it at a random moment, and reads the file.

#![allow(clippy::unwrap_used, reason = "a test that fails here says so")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use store::{Embedded, Options, Range, Store, Txn};

const CHILD: &str = "STORE_KILL_TEST_FILE";
/// More rounds than the default, for a soak.
const ROUNDS: &str = "STORE_KILL_TEST_ROUNDS";
const ROUNDS_DEFAULT: usize = 12;
const ROUNDS_OF_A_STORE: usize = 50;

#[test]
fn no_acknowledged_write_is_lost() {
    if let Some(path) = std::env::var_os(CHILD) {
        write_for_ever(Path::new(&path));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut path = folder.path().join("store.redb");
    let mut acknowledged = std::collections::BTreeMap::new();
    let mut writes = 0;
    let rounds = std::env::var(ROUNDS).ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS_DEFAULT);
    for round in 0..rounds {
        // A soak's rounds all cost the same: a store is grown, and read in full after each kill, for so many.
        if round > 0 && round % ROUNDS_OF_A_STORE == 0 {
            std::fs::remove_file(&path).unwrap();
            path = folder.path().join(format!("store-{round}.redb"));
            acknowledged.clear();
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["no_acknowledged_write_is_lost", "--exact", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let until = 20 + rand::random_range(0..300);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        while let Some(Ok(line)) = lines.next() {
            let Some((key, revision)) = line.strip_prefix("ack ").and_then(|rest| rest.split_once(' '))
            else {
                continue;
            };
            acknowledged.insert(key.to_owned(), revision.parse::<u64>().unwrap());
            seen += 1;
            if seen == until {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= until, "round {round}: the child ended by itself");
        check(&path, &acknowledged);
        writes += seen;
    }
    println!("{rounds} kills, {writes} acknowledged writes, none lost");
}

fn check(path: &Path, acknowledged: &std::collections::BTreeMap<String, u64>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Embedded::open(path, Options::default(), &kit::Tasks::new()).unwrap();
        let found = store.range(Range::default()).await.unwrap();
        let revisions: std::collections::HashMap<_, _> =
            found.items.iter().map(|kv| (&*kv.key, kv.mod_revision)).collect();
        for (key, revision) in acknowledged {
            assert_eq!(revisions.get(key.as_str()), Some(revision), "`{key}` was acknowledged");
        }
        // Each write makes a new key, so a prefix of the history is as many keys as revisions.
        assert_eq!(found.items.len() as u64, found.revision - 1);
    });
}

fn write_for_ever(path: &Path) -> ! {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Embedded::open(path, Options::default(), &kit::Tasks::new()).unwrap();
        let run = store.revision().await.unwrap();
        for writer in 0..8 {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0.. {
                    let key = format!("/{run}/{writer}/{number}");
                    let txn = Txn::create(key.as_str(), vec![b'x'; 700]);
                    let relaxed = number % 5 == 4;
                    let txn = if relaxed { txn.relaxed() } else { txn };
                    let Ok(store::Committed::Succeeded { revision }) = store.commit(txn).await else { break };
                    if !relaxed {
                        println!("ack {key} {revision}");
                    }
                }
            });
        }
        std::future::pending::<()>().await;
    });
    std::process::exit(1)
}
