//! What a hundred definitions cost: memory, time until they are served, time to describe them.

use std::time::{Duration, Instant};

use super::shape::{self, Hooks, schema};
use crate::harness::{Server, start};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Bytes of this process in memory.
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Processor time of this process.
fn processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let rest = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 =
        rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

async fn timed(server: &Server, path: &str, accept: &str) -> (Duration, usize) {
    let begun = Instant::now();
    let answer = server.send("GET", path, &[accept], Vec::new()).await;
    assert_eq!(answer.status, 200, "{path}");
    (begun.elapsed(), answer.bytes.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_definitions_cost_little() {
    let server = start().await;
    let hooks = Hooks { node: String::new(), bundle: String::new() };
    let shapes = shape::all(&hooks);
    let first = |shape: &shape::Shape| -> Vec<(String, Vec<u8>)> {
        let kinds = shape.kinds.iter();
        let made = kinds.map(|kind| {
            let path = kind.path(kind.versions[0], "default", "");
            (
                format!("{}?dryRun=All", path.trim_end_matches('/')),
                kind.object(0, "default", "").to_string().into_bytes(),
            )
        });
        made.collect()
    };
    let objects: Vec<(String, Vec<u8>)> = shapes.iter().flat_map(first).collect();
    let definitions: Vec<_> = shapes.into_iter().flat_map(|shape| shape.definitions).collect();
    let fields: usize = definitions.iter().map(schema::fields).sum();
    let bodies: Vec<(String, Vec<u8>)> = definitions
        .iter()
        .map(|one| (one["metadata"]["name"].as_str().unwrap().to_owned(), one.to_string().into_bytes()))
        .collect();
    drop(definitions);
    let bytes: usize = bodies.iter().map(|(_, body)| body.len()).sum();
    server.get("/openapi/v3").await;
    let (before, busy) = (resident_bytes(), processor());
    let mut slowest = Duration::ZERO;
    let begun = Instant::now();
    for (name, body) in bodies {
        let asked = Instant::now();
        server.send("POST", DEFINITIONS, &["content-type: application/json"], body).await.ok();
        // It is served as soon as it is acknowledged.
        let group = name.split_once('.').unwrap().1;
        assert_eq!(server.get(&format!("/apis/{group}")).await.status, 200);
        slowest = slowest.max(asked.elapsed());
    }
    let took = begun.elapsed();
    let (made, used) = (resident_bytes(), processor() - busy);
    println!(
        "{fields} fields in {bytes} bytes; all made in {took:?}, slowest {slowest:?}, processor {used:?}"
    );
    println!("memory for each: {} KiB", (made - before) / 102_400);
    assert!(
        (made - before) / 102_400 < 400,
        "a definition that nobody uses takes little more than its bytes"
    );
    let asked = Instant::now();
    for (path, body) in objects {
        server.send("POST", &path, &["content-type: application/json"], body).await.ok();
    }
    println!(
        "first objects of all kinds in {:?}; memory for each {} KiB",
        asked.elapsed(),
        (resident_bytes() - before) / 102_400
    );
    for (path, accept) in [
        ("/openapi/v3", "accept: application/json"),
        ("/openapi/v3", "accept: application/json"),
        ("/openapi/v3/apis/argo.installs.test/v1alpha1", "accept: application/json"),
        ("/openapi/v2", "accept: application/json"),
        ("/openapi/v2", "accept: application/json"),
        ("/openapi/v2", "accept: application/com.github.proto-openapi.spec.v2.v1.0+protobuf"),
        ("/apis", "accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"),
    ] {
        let (took, bytes) = timed(&server, path, accept).await;
        println!(
            "{path} ({accept}): {took:?}, {bytes} bytes; memory for each {} KiB",
            (resident_bytes() - before) / 102_400
        );
    }
}
