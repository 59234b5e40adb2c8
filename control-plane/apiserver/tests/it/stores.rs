//! Other stores under the API server: one etcd under two servers, and one whose disk fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etcd::Etcd;
use serde_json::{Value, json};

use crate::harness::{Server, start_with};

#[path = "../../../etcd/tests/it/world.rs"]
#[allow(dead_code, reason = "shared with the tests of etcd")]
mod world;

async fn server(url: &str) -> Server {
    let tasks = kit::Tasks::new();
    let store = Etcd::open(etcd::Options::new([url], "/clusters/test"), &tasks).await.unwrap();
    start_with(store, tasks).await
}

fn map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"value": value}})
}

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SERVICES: &str = "/api/v1/namespaces/default/services";

/// What one server acknowledged the other shows at once, and neither gives an address twice.
async fn two_servers(url: &str) {
    kit::tls::install_provider();
    let pair = [server(url).await, server(url).await];
    for number in 0..20 {
        let (writer, reader) = (&pair[number % 2], &pair[(number + 1) % 2]);
        let name = format!("m{number}");
        let made = writer.post(MAPS, map(&name, "1")).await.ok();
        let path = format!("{MAPS}/{name}");
        assert_eq!(reader.get(&path).await.ok(), made);
        let listed = reader.get(MAPS).await.ok();
        let names: Vec<&str> = listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|item| item["metadata"]["name"].as_str())
            .collect();
        assert!(names.contains(&name.as_str()), "{names:?}");
        let changed = reader.put(&path, map(&name, "2")).await.ok();
        assert_eq!(writer.get(&path).await.ok(), changed);
        reader.delete(&path).await.ok();
        writer.get(&path).await.refused(404);
    }
    let pair = Arc::new(pair);
    let mut made = tokio::task::JoinSet::new();
    for number in 0..40 {
        let pair = pair.clone();
        made.spawn(async move {
            let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("s{number}")},
                "spec": {"type": "NodePort", "ports": [{"port": 80}]}});
            pair[number % 2].post(SERVICES, service).await.ok()
        });
    }
    let made = made.join_all().await;
    let of = |pointer: &str| -> BTreeSet<String> {
        made.iter().map(|service| service.pointer(pointer).unwrap().to_string()).collect()
    };
    assert_eq!((of("/spec/clusterIP").len(), of("/spec/ports/0/nodePort").len()), (40, 40));
    let wanted = made[0]["spec"]["clusterIP"].clone();
    let twice = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "twice"},
        "spec": {"clusterIP": wanted, "ports": [{"port": 80}]}});
    let refused = pair[1].post(SERVICES, twice).await.refused(422);
    assert!(refused.contains("provided IP is already allocated"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_over_one_etcd() {
    let folder = tempfile::tempdir().unwrap();
    let Some(real) = world::RealEtcd::start(folder.path()).await else { return };
    two_servers(&real.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_over_one_front() {
    let tasks = kit::Tasks::new();
    let store = store::Embedded::memory(store::Options::default(), &tasks);
    let address = world::serve(store, etcd::FrontOptions::default(), &tasks).await;
    two_servers(&format!("http://{address}")).await;
}

/// A store that is gone is said so, and reads that need it do not answer from the past.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_etcd_a_server_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut real) = world::RealEtcd::start(folder.path()).await else { return };
    kit::tls::install_provider();
    let tasks = kit::Tasks::new();
    let options = etcd::Options {
        request_limit: Duration::from_secs(1),
        ..etcd::Options::new([real.url()], "/clusters/test")
    };
    let server = start_with(Etcd::open(options, &tasks).await.unwrap(), tasks).await;
    server.post(MAPS, map("a", "1")).await.ok();
    real.kill();
    server.post(MAPS, map("b", "1")).await.refused(503);
    server.get(&format!("{MAPS}/a")).await.refused(503);
    let cached = server.get(&format!("{MAPS}/a?resourceVersion=0")).await.ok();
    assert_eq!(cached["data"]["value"], "1");
    assert!(real.run().await);
    for _ in 0..100 {
        if server.post(MAPS, map("b", "1")).await.status == 201 {
            server.get(&format!("{MAPS}/b")).await.ok();
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never works again");
}

/// Memory whose flush can be made to fail.
#[derive(Debug)]
struct Failing {
    memory: redb::backends::InMemoryBackend,
    fails: Arc<AtomicBool>,
}

impl redb::StorageBackend for Failing {
    fn len(&self) -> std::io::Result<u64> {
        self.memory.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.memory.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.memory.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        if self.fails.load(Ordering::Relaxed) { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.memory.write(offset, data)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_failing_disk_writes_are_refused_and_reads_go_on() {
    kit::tls::install_provider();
    let (tasks, fails) = (kit::Tasks::new(), Arc::new(AtomicBool::new(false)));
    let storage = Failing { memory: redb::backends::InMemoryBackend::new(), fails: fails.clone() };
    let store = store::Embedded::open_on(storage, store::Options::default(), &tasks).unwrap();
    let server = start_with(store, tasks).await;
    server.post(MAPS, map("a", "1")).await.ok();
    fails.store(true, Ordering::Relaxed);
    let path = format!("{MAPS}/a");
    server.post(MAPS, map("b", "1")).await.refused(500);
    server.put(&path, map("a", "2")).await.refused(500);
    server.delete(&path).await.refused(500);
    assert_eq!(server.get(&path).await.ok()["data"]["value"], "1");
    let listed = server.get(MAPS).await.ok();
    assert!(listed["items"].as_array().unwrap().iter().all(|item| item["metadata"]["name"] != "b"));
    server.get(&format!("{MAPS}/b")).await.refused(404);
}
