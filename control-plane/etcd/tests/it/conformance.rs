//! The one suite for all stores, against a real etcd and against our own front.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd::{Etcd, FrontOptions, Options, Tls, mutual_tls};
use futures::StreamExt;
use kit::Tasks;
use kit::pki::{Authority, Leaf, Usage};
use store::{Committed, Durability, Embedded, Range, Store, StoreError, Txn, suite};

use crate::world::{RealEtcd, serve};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_etcd_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let Some(real) = RealEtcd::start(folder.path()).await else { return };
    let tasks = Tasks::new();
    let number = AtomicUsize::new(0);
    suite::all(|| async {
        let prefix = format!("/lazurite/{}", number.fetch_add(1, Ordering::Relaxed));
        Etcd::open(Options::new([real.url()], prefix), &tasks).await.unwrap()
    })
    .await;
    tasks.drain(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_front_behind_our_client_conforms() {
    let tasks = Tasks::new();
    suite::all(|| async {
        let below = Embedded::memory(store::Options::default(), &tasks);
        let address = serve(below, FrontOptions::default(), &tasks).await;
        Etcd::open(Options::new([format!("http://{address}")], "/lazurite/a"), &tasks).await.unwrap()
    })
    .await;
    tasks.drain(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn only_a_client_with_a_certificate_is_answered() {
    kit::tls::install_provider();
    let (authority, stranger) = (
        Authority::new("etcd", Duration::from_secs(3600)).unwrap(),
        Authority::new("stranger", Duration::from_secs(3600)).unwrap(),
    );
    let leaf = |name: &str, usage| Leaf {
        common_name: name.into(),
        organizations: Vec::new(),
        dns_names: vec!["etcd.example".into()],
        addresses: Vec::new(),
        usage,
        valid: Duration::from_secs(3600),
    };
    let server = authority.issue(&leaf("server", Usage::Server)).unwrap();
    let config = mutual_tls(&server.certificate_pem, &server.key_pem, authority.certificate_pem()).unwrap();
    let tasks = Tasks::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let below = Embedded::memory(store::Options::default(), &tasks);
    kit::serve::tls(
        listener,
        config,
        etcd::Front::new(below, FrontOptions::default(), &tasks).service(),
        &tasks,
    );
    let options = |issuer: Option<&Authority>| {
        let identity = issuer.map(|issuer| {
            let issued = issuer.issue(&leaf("client", Usage::Client)).unwrap();
            kit::tls::ClientIdentity { chain_pem: issued.certificate_pem, key_pem: issued.key_pem }
        });
        let tls = Tls {
            roots_pem: authority.certificate_pem().to_owned(),
            identity,
            server_name: Some("etcd.example".into()),
        };
        let limit =
            Duration::from_secs(if issuer.is_some_and(|one| std::ptr::eq(one, &authority)) { 10 } else { 1 });
        Options { tls: Some(tls), request_limit: limit, ..Options::new([endpoint.clone()], "/a") }
    };
    let store = Etcd::open(options(Some(&authority)), &tasks).await.unwrap();
    assert!(matches!(store.commit(Txn::create("/b", "1")).await, Ok(Committed::Succeeded { .. })));
    assert!(Etcd::open(options(None), &tasks).await.is_err());
    assert!(Etcd::open(options(Some(&stranger)), &tasks).await.is_err());
}

/// Two prefixes are two stores, though one counter counts for both.
#[tokio::test]
async fn stores_with_different_prefixes_do_not_see_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let Some(real) = RealEtcd::start(folder.path()).await else { return };
    let tasks = Tasks::new();
    let open = |prefix: &'static str| Etcd::open(Options::new([real.url()], prefix), &tasks);
    let (one, other) = (open("/one").await.unwrap(), open("/other").await.unwrap());
    let mut watch = one.watch("", 0).await.unwrap();
    let before = one.revision().await.unwrap();
    for number in 0..5 {
        other.commit(Txn::create(format!("/a{number}"), "1")).await.unwrap();
    }
    assert_eq!(one.revision().await.unwrap(), before, "what another store does is not news");
    let Committed::Succeeded { revision } = one.commit(Txn::create("/a", "1").relaxed()).await.unwrap()
    else {
        panic!("it is new")
    };
    assert_eq!(one.revision().await.unwrap(), revision);
    let first = watch.next().await.unwrap().unwrap();
    assert_eq!((first.revision, first.events.len(), &*first.events[0].kv.key), (revision, 1, "/a"));
    assert_eq!(one.range(Range::default()).await.unwrap().items.len(), 1);
    assert_eq!(other.range(Range::default()).await.unwrap().items.len(), 5);
}

/// etcd dies and comes back: the watch goes on where it was, reads wait, and a write in between says that nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_after_etcd_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut real) = RealEtcd::start(folder.path()).await else { return };
    let tasks = Tasks::new();
    let options = Options { request_limit: Duration::from_secs(20), ..Options::new([real.url()], "/one") };
    let store = Etcd::open(options, &tasks).await.unwrap();
    let mut watch = store.watch("/", 0).await.unwrap();
    let mut wanted = Vec::new();
    for round in 0..3 {
        for number in 0..20 {
            let txn = Txn::create(format!("/{round}/{number}"), "1");
            let Committed::Succeeded { revision } = store.commit(txn).await.unwrap() else {
                panic!("it is new")
            };
            wanted.push(revision);
        }
        // Half is read before, half after.
        for revision in wanted.drain(..10) {
            assert_eq!(watch.next().await.unwrap().unwrap().revision, revision);
        }
        real.kill();
        let lost = store.commit(Txn { durability: Durability::Durable, ..Txn::create("/lost", "1") }).await;
        assert!(matches!(lost, Err(StoreError::Unavailable { .. })), "{lost:?}");
        assert!(real.run().await, "etcd starts again");
        assert!(store.get("/lost").await.unwrap().0.is_none(), "it was not even sent");
    }
    for revision in wanted {
        assert_eq!(watch.next().await.unwrap().unwrap().revision, revision);
    }
}
