use std::sync::Arc;

use bytes::Bytes;
use store::{Event, EventKind, KeyValue};

use super::cache::{Cache, Start};
use super::change::Kind;
use super::filter::Filter;
use super::header::Paths;

const PREFIX: &str = "/registry/core/configmaps/";

fn event(name: &str, revision: u64) -> Event {
    let value =
        format!("{{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{{\"name\":\"{name}\"}}}}");
    let kv = KeyValue {
        key: format!("{PREFIX}default/{name}").into(),
        value: Bytes::from(value),
        create_revision: revision,
        mod_revision: revision,
        version: 1,
        lease: None,
    };
    Event { kind: EventKind::Put, kv, previous: None }
}

#[tokio::test]
async fn a_watcher_that_falls_behind_is_cut_off_and_the_others_are_not() {
    let cache = Arc::new(Cache::new(PREFIX.to_owned(), Paths::default()));
    let follow = || cache.subscribe(Filter::default(), Start::After(0), 0).unwrap();
    let (mut quick, mut slow) = (follow(), follow());
    const CHANGES: u64 = 10_000;
    let mut seen = 0;
    for revision in 1..=CHANGES {
        cache.apply(&event("x", revision), 0);
        while let Some((kind, change)) = quick.ready() {
            seen += 1;
            assert_eq!((kind == Kind::Added, change.revision), (seen == 1, seen));
        }
    }
    assert_eq!((seen, cache.subscribers()), (CHANGES, 1));
    // What the slow one was given before it was cut off is whole and in order; then it ends.
    let mut last = 0;
    while let Some((_, change)) = slow.next().await {
        assert_eq!(change.revision, last + 1);
        last = change.revision;
    }
    assert!(last > 1000 && last < CHANGES, "{last}");
    drop(quick);
    assert_eq!(cache.subscribers(), 0);
}

#[tokio::test]
async fn a_watch_resumes_from_the_window_and_not_from_before_it() {
    let cache = Arc::new(Cache::new(PREFIX.to_owned(), Paths::default()));
    cache.start_at(5);
    for revision in 6..=9 {
        cache.apply(&event(&format!("m{revision}"), revision), 0);
    }
    // A version that the window knows resumes without a gap, one before it is refused with the oldest.
    let mut resumed = cache.subscribe(Filter::default(), Start::After(7), 9).unwrap();
    let next = resumed.ready().map(|(_, change)| change.revision);
    assert_eq!((next, resumed.ready().map(|(_, change)| change.revision)), (Some(8), Some(9)));
    assert_eq!(cache.subscribe(Filter::default(), Start::After(4), 9).err(), Some(5));
    assert!(cache.subscribe(Filter::default(), Start::After(5), 9).is_ok());
}
