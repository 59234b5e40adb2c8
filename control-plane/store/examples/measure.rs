//! Prints what a store costs: acknowledged writes per second by number of writers, with and without encryption, file size, memory of
//! many idle ones, and a snapshot.

use std::sync::Arc;
use std::time::Instant;

use store::encrypted::{Configuration, Encrypted, Keyring};
use store::{Embedded, Options, Range, Store, Txn};

fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
}

async fn write(store: Arc<dyn Store>, of: &'static str, writers: usize, each: usize) -> f64 {
    let begin = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let store = store.clone();
        running.spawn(async move {
            for number in 0..each {
                let key = format!("/registry/core/{of}/{writers}/{writer}/{number}");
                store.commit(Txn::create(key, vec![b'x'; 2000])).await.expect("commits");
            }
        });
    }
    running.join_all().await;
    (writers * each) as f64 / begin.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).expect("a folder");
    let folder = std::path::Path::new(&folder);
    let tasks = kit::Tasks::new();
    let before = resident_kib();
    let mut idle = Vec::new();
    for number in 0..100 {
        let path = folder.join(format!("idle-{number}.redb"));
        let store = Embedded::open(&path, Options::default(), &tasks).expect("opens");
        store.commit(Txn::create("/a", "1")).await.expect("commits");
        idle.push(store);
    }
    println!("100 idle stores: {} KiB resident each", (resident_kib() - before) / 100);
    let size = std::fs::metadata(folder.join("idle-0.redb")).expect("is there");
    println!(
        "a new file: {} KiB, {} KiB on disk",
        size.len() / 1024,
        std::os::unix::fs::MetadataExt::blocks(&size) / 2
    );
    for (writers, each) in [(1, 200), (16, 100), (256, 40)] {
        let rate = write(idle[1].clone(), "pods", writers, each).await;
        println!("{writers} writers: {rate:.0} acknowledged writes/s");
    }
    let size = std::fs::metadata(folder.join("idle-1.redb")).expect("is there").len();
    println!("12040 objects of 2000 bytes: {} KiB", size / 1024);
    let begin = Instant::now();
    let taken = idle[1].snapshot(&folder.join("measure.snapshot")).expect("takes");
    println!("a snapshot of them: {:.0} ms, {} KiB", begin.elapsed().as_secs_f64() * 1e3, taken.bytes / 1024);
    encryption(&tasks, folder).await;
}

/// The same writes through the layer, plain and sealed, on the disk and in memory, where nothing else takes time.
async fn encryption(tasks: &kit::Tasks, folder: &std::path::Path) {
    let keys = Keyring::default().with_new_key().expect("has chance");
    for place in ["disk", "memory"] {
        for of in ["pods", "secrets"] {
            let below = match place {
                "disk" => Embedded::open(&folder.join(format!("{of}.redb")), Options::default(), tasks)
                    .expect("opens"),
                _ => Embedded::memory(Options::default(), tasks),
            };
            let store = Encrypted::new(below, Configuration::seal(["secrets"]), &keys);
            let rate = write(store.clone(), of, 16, 200).await;
            let begin = Instant::now();
            let read = store.range(Range::prefix("/registry/")).await.expect("reads").items.len();
            let each_us = begin.elapsed().as_secs_f64() * 1e6 / read as f64;
            let how = if of == "secrets" { "sealed" } else { "plain" };
            println!(
                "{place}, {how}: {rate:.0} writes/s by 16 writers; a list of {read} costs {each_us:.2} us each"
            );
        }
    }
}
