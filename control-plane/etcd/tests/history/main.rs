//! Recorded histories: clients create, update, delete, get, list and watch while the store is killed again and again; then each
//! answer is held against one order of all writes.
//!
//! The store is a process of its own: a real etcd, or this test started again as a child that serves an embedded store through the
//! front. `STORE_HISTORY_KILLS` asks for more kills.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails here says so")]

mod check;
mod record;
#[path = "../it/world.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod world;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use store::Embedded;

/// In a child: the store's file and the port.
const CHILD: &str = "STORE_HISTORY_CHILD";
const KILLS: &str = "STORE_HISTORY_KILLS";
const KILLS_DEFAULT: usize = 4;

/// A store that can be killed.
#[allow(missing_docs, reason = "a test's own")]
pub enum Server {
    Etcd(world::RealEtcd),
    Front { child: Option<Child>, file: PathBuf, port: u16 },
}

impl Server {
    fn url(&self) -> String {
        match self {
            Self::Etcd(real) => real.url(),
            Self::Front { port, .. } => format!("http://127.0.0.1:{port}"),
        }
    }

    /// `kill -9`, and start again.
    async fn kill_and_start(&mut self) {
        match self {
            Self::Etcd(real) => {
                real.kill();
                assert!(real.run().await, "etcd starts again");
            }
            Self::Front { child, file, port } => {
                end(child);
                *child = Some(start_child(file, *port));
            }
        }
    }
}

fn end(child: &mut Option<Child>) {
    if let Some(mut child) = child.take() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Front { child, .. } = self {
            end(child);
        }
    }
}

fn start_child(file: &Path, port: u16) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["the_embedded_store_keeps_one_order", "--exact", "--nocapture"])
        .env(CHILD, format!("{port}:{}", file.display()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

async fn serve_for_ever(told: &str) -> ! {
    let (port, file) = told.split_once(':').unwrap();
    let tasks = kit::Tasks::new();
    // The last one may not have let go of its port and file yet.
    let listener = loop {
        match tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse().unwrap())).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let store = Embedded::open(Path::new(file), store::Options::default(), &tasks).unwrap();
    let front = etcd::Front::new(store, etcd::FrontOptions::default(), &tasks);
    kit::serve::plain(listener, front.service(), &tasks);
    std::future::pending::<()>().await;
    std::process::exit(1)
}

fn kills() -> usize {
    std::env::var(KILLS).ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS_DEFAULT)
}

async fn run(server: Server) {
    let history = record::record(server, kills()).await;
    let told = check::check(&history);
    println!("{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_keeps_one_order() {
    if let Ok(told) = std::env::var(CHILD) {
        serve_for_ever(&told).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.redb");
    let port = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let child = start_child(&file, port);
    run(Server::Front { child: Some(child), file, port }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_keeps_one_order() {
    let folder = tempfile::tempdir().unwrap();
    let Some(real) = world::RealEtcd::start(folder.path()).await else { return };
    run(Server::Etcd(real)).await;
}
