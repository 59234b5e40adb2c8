//! The front asked directly: what no tool asks for, and what it must refuse.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use etcd::FrontOptions;
use etcd::proto::kv_client::KvClient;
use etcd::proto::watch_client::WatchClient;
use etcd::proto::watch_create_request::FilterType;
use etcd::proto::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, WatchCancelRequest,
    WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse, request_op, watch_request,
};
use kit::Tasks;
use store::{Embedded, Options};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};

use crate::world::serve;

struct World {
    channel: Channel,
    store: Arc<Embedded>,
    _tasks: Tasks,
}

async fn world(options: Options, front: FrontOptions) -> World {
    let tasks = Tasks::new();
    let store = Embedded::memory(options, &tasks);
    let address = serve(store.clone(), front, &tasks).await;
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    World { channel, store, _tasks: tasks }
}

impl World {
    fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone())
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> i64 {
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        let put = PutRequest { key, value, ..PutRequest::default() };
        self.kv().put(put).await.unwrap().into_inner().header.unwrap().revision
    }

    async fn watch(&self) -> Watch {
        let (requests, stream) = mpsc::channel(16);
        let mut client = WatchClient::new(self.channel.clone());
        let responses = client.watch(ReceiverStream::new(stream)).await.unwrap().into_inner();
        Watch { requests, responses }
    }
}

struct Watch {
    requests: mpsc::Sender<WatchRequest>,
    responses: Streaming<WatchResponse>,
}

impl Watch {
    async fn ask(&self, request: watch_request::Request) {
        self.requests.send(WatchRequest { request: Some(request) }).await.unwrap();
    }

    async fn next(&mut self) -> WatchResponse {
        let next = tokio::time::timeout(Duration::from_secs(10), self.responses.message());
        next.await.expect("an answer comes").unwrap().expect("the stream goes on")
    }

    async fn create(&mut self, create: WatchCreateRequest) -> WatchResponse {
        self.ask(watch_request::Request::Create(create)).await;
        self.next().await
    }
}

fn all() -> WatchCreateRequest {
    WatchCreateRequest {
        key: Bytes::from_static(b"\0"),
        range_end: Bytes::from_static(b"\0"),
        ..Default::default()
    }
}

#[tokio::test]
async fn keys_that_are_no_text_keep_their_order() {
    let world = world(Options::default(), FrontOptions::default()).await;
    let keys: [&[u8]; 5] = [b"\x80\x00", b"a", b"\xff\xff", b"\xc3\xa9", b"\x00"];
    for key in keys {
        world.put(key, key).await;
    }
    let range = |key: &[u8], end: &[u8]| RangeRequest {
        key: Bytes::copy_from_slice(key),
        range_end: Bytes::copy_from_slice(end),
        ..RangeRequest::default()
    };
    let found = world.kv().range(range(b"\0", b"\0")).await.unwrap().into_inner();
    let names: Vec<&[u8]> = found.kvs.iter().map(|kv| &kv.key[..]).collect();
    let expected: [&[u8]; 5] = [b"\x00", b"a", b"\x80\x00", b"\xc3\xa9", b"\xff\xff"];
    assert_eq!(names, expected);
    let found = world.kv().range(range(b"\x80", b"\xff")).await.unwrap().into_inner();
    assert_eq!(
        (found.count, &found.kvs[0].key[..], &found.kvs[1].value[..]),
        (2, &b"\x80\x00"[..], &b"\xc3\xa9"[..])
    );
    let none = world.kv().range(range(b"b", b"a")).await.unwrap().into_inner();
    assert_eq!((none.count, none.kvs.len()), (0, 0));
}

#[tokio::test]
async fn filters_of_a_range() {
    let world = world(Options::default(), FrontOptions::default()).await;
    for key in [b"/a", b"/b", b"/c", b"/b", b"/a"] {
        world.put(key, b"1").await;
    }
    let mut request = RangeRequest {
        key: "/".into(),
        range_end: "0".into(),
        min_mod_revision: 5,
        limit: 1,
        ..RangeRequest::default()
    };
    let found = world.kv().range(request.clone()).await.unwrap().into_inner();
    assert_eq!((found.kvs.len(), found.more, found.count), (1, true, 3));
    request.max_create_revision = 2;
    let found = world.kv().range(request).await.unwrap().into_inner();
    assert_eq!((found.kvs.len(), &found.kvs[0].key[..], found.more), (1, &b"/a"[..], false));
}

#[tokio::test]
async fn what_is_refused() {
    let world = world(Options::default(), FrontOptions::default()).await;
    let put = |key: &str| RequestOp {
        request: Some(request_op::Request::Put(PutRequest {
            key: key.to_owned().into(),
            ..Default::default()
        })),
    };
    let delete = |key: &str, end: &str| RequestOp {
        request: Some(request_op::Request::DeleteRange(DeleteRangeRequest {
            key: key.to_owned().into(),
            range_end: end.to_owned().into(),
            prev_kv: false,
        })),
    };
    let inner = |success: Vec<RequestOp>, failure: Vec<RequestOp>| RequestOp {
        request: Some(request_op::Request::Txn(TxnRequest { success, failure, ..Default::default() })),
    };
    let duplicate = "etcdserver: duplicate key given in txn request";
    let table = [
        (vec![put("/a"), put("/a")], duplicate),
        (vec![put("/b"), delete("/a", "/c")], duplicate),
        (vec![delete("/a", "/c"), put("/b")], duplicate),
        (vec![put("/a"), inner(vec![put("/a")], vec![])], duplicate),
        (vec![put("")], "etcdserver: key is not provided"),
        (
            (0..129).map(|number| put(&format!("/{number}"))).collect(),
            "etcdserver: too many operations in txn request",
        ),
    ];
    for (success, expected) in table {
        let status = world.kv().txn(TxnRequest { success, ..Default::default() }).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::InvalidArgument, expected));
    }
    let large = PutRequest { key: "/a".into(), value: vec![0; 1_600_000].into(), ..Default::default() };
    let status = world.kv().put(large).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::InvalidArgument, "etcdserver: request is too large")
    );
    assert_eq!(world.store.revisions().0, 1, "nothing of all this was done");
    // One branch or the other is made: a key may be in both.
    let either = vec![
        inner(vec![put("/a")], vec![put("/a"), delete("/b", "")]),
        delete("/x", "/y"),
        delete("/x", "/z"),
    ];
    let answer =
        world.kv().txn(TxnRequest { success: either, ..Default::default() }).await.unwrap().into_inner();
    assert_eq!((answer.succeeded, answer.responses.len(), answer.header.unwrap().revision), (true, 3, 2));
}

#[tokio::test]
async fn watches_on_one_stream() {
    let world = world(Options::default(), FrontOptions::default()).await;
    world.put(b"/a", b"1").await;
    let mut watch = world.watch().await;
    let created = watch.create(all()).await;
    assert_eq!((created.watch_id, created.created, created.header.unwrap().revision), (0, true, 2));
    let no_puts = WatchCreateRequest { filters: vec![FilterType::Noput.into()], watch_id: 7, ..all() };
    assert_eq!(watch.create(no_puts.clone()).await.watch_id, 7);
    let twice = watch.create(no_puts).await;
    assert_eq!((twice.watch_id, twice.created, twice.canceled), (-1, true, true));
    assert_eq!(twice.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
    let empty = WatchCreateRequest { key: "/b".into(), range_end: "/a".into(), ..Default::default() };
    assert_eq!(watch.create(empty).await.cancel_reason, "mvcc: watcher range is empty");
    world.put(b"/b", b"1").await;
    let put = watch.next().await;
    assert_eq!((put.watch_id, put.events.len(), put.events[0].prev_kv.clone()), (0, 1, None));
    watch.ask(watch_request::Request::Cancel(WatchCancelRequest { watch_id: 0 })).await;
    let canceled = watch.next().await;
    assert_eq!((canceled.watch_id, canceled.canceled), (0, true));
    let delete = DeleteRangeRequest { key: "/b".into(), ..Default::default() };
    world.kv().delete_range(delete).await.unwrap();
    let deleted = watch.next().await;
    assert_eq!((deleted.watch_id, deleted.events.len()), (7, 1));
    let kv = deleted.events[0].kv.clone().unwrap();
    assert_eq!((kv.mod_revision, kv.version, kv.create_revision), (4, 0, 0));
}

/// Progress never runs ahead of the events, and comes by itself to who asked for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_exact() {
    let options = FrontOptions { progress_every: Duration::from_millis(200), ..FrontOptions::default() };
    let world = Arc::new(world(Options::default(), options).await);
    let mut watch = world.watch().await;
    watch.create(WatchCreateRequest { progress_notify: true, ..all() }).await;
    let writer = world.clone();
    let writes = tokio::spawn(async move {
        for number in 0..300_u32 {
            writer.put(b"/a", &number.to_le_bytes()).await;
        }
    });
    let (mut seen, mut told) = (1, 0);
    while seen < 301 {
        watch.ask(watch_request::Request::Progress(WatchProgressRequest {})).await;
        let response = watch.next().await;
        match response.events.last().and_then(|event| event.kv.as_ref()) {
            Some(kv) => seen = kv.mod_revision,
            None => {
                assert!(response.header.unwrap().revision <= seen, "progress came before its events");
                told += 1;
            }
        }
    }
    writes.await.unwrap();
    assert!(told > 0);
    loop {
        let response = watch.next().await;
        assert!(response.events.is_empty());
        if response.watch_id == 0 {
            assert_eq!(response.header.unwrap().revision, 301);
            break;
        }
    }
}

#[tokio::test]
async fn large_revisions_come_in_parts_to_who_asked_for_it() {
    let options = FrontOptions { fragment_bytes: 250, ..FrontOptions::default() };
    let world = world(Options::default(), options).await;
    let mut watch = world.watch().await;
    watch.create(WatchCreateRequest { fragment: true, ..all() }).await;
    watch.create(all()).await;
    let put = |number: u8| RequestOp {
        request: Some(request_op::Request::Put(PutRequest {
            key: vec![b'a' + number].into(),
            value: vec![number; 100].into(),
            ..Default::default()
        })),
    };
    let txn = TxnRequest { success: (0..4).map(put).collect(), ..Default::default() };
    world.kv().txn(txn).await.unwrap();
    let (mut parts, mut whole) = (Vec::new(), Vec::new());
    while parts.iter().sum::<usize>() < 4 || whole.is_empty() {
        let response = watch.next().await;
        if response.watch_id == 0 {
            parts.push(response.events.len());
            assert_eq!(response.fragment, parts.iter().sum::<usize>() < 4);
        } else {
            whole.push(response.events.len());
        }
    }
    assert!(parts.len() > 1);
    assert_eq!(whole, [4]);
}

/// A client that reads late misses nothing, though the store closed its watcher; when the past is gone, it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_misses_nothing() {
    let options = Options { watcher_events: 5, ..Options::default() };
    let world = world(options, FrontOptions::default()).await;
    let mut watch = world.watch().await;
    watch.create(all()).await;
    for _ in 0..2_000 {
        let op = store::Op::Put { key: "/a".into(), value: vec![0; 2_000].into(), lease: None };
        let txn = store::Txn { ops: vec![op], ..store::Txn::default() };
        store::Store::commit(&*world.store, txn.relaxed()).await.unwrap();
    }
    for revision in 2..2_002 {
        let response = watch.next().await;
        assert_eq!(
            (response.events.len(), response.events[0].kv.as_ref().unwrap().mod_revision),
            (1, revision)
        );
    }
    store::Store::compact(&*world.store, 1_000).await.unwrap();
    let created = watch.create(WatchCreateRequest { start_revision: 5, ..all() }).await;
    assert!(created.created);
    let ended = watch.next().await;
    assert_eq!((ended.watch_id, ended.canceled, ended.compact_revision), (created.watch_id, true, 1_000));
    assert_eq!(ended.cancel_reason, "etcdserver: mvcc: required revision has been compacted");
}
