use super::*;
use crate::{Embedded, Options, suite};
use futures::StreamExt;
use kit::Tasks;

const SECRET: &str = "/registry/core/secrets/default/a";

fn keyring() -> Keyring {
    Keyring::default().with_new_key().unwrap()
}

fn plain() -> Arc<Embedded> {
    Embedded::memory(Options::default(), &Tasks::new())
}

#[tokio::test]
async fn conforms() {
    let all = Configuration {
        rules: vec![Rule { resources: vec!["*.*".into()], providers: vec![Provider::AesGcm] }],
    };
    suite::all(|| async { Encrypted::new(plain(), all.clone(), &keyring()) }).await;
}

#[test]
fn which_resources_a_rule_is_for() {
    let table = [
        ("secrets", "/registry/core/secrets/default/a", true),
        ("secrets", "/registry/core/configmaps/default/a", false),
        ("secrets", "/registry/example.com/secrets/default/a", false),
        ("deployments.apps", "/registry/apps/deployments/default/a", true),
        ("*.apps", "/registry/apps/deployments/default/a", true),
        ("*.apps", "/registry/batch/jobs/default/a", false),
        ("*.", "/registry/core/configmaps/default/a", true),
        ("*.*", "/registry/example.com/foos/a", true),
        ("*.*", "/elsewhere", false),
    ];
    for (pattern, key, sealed) in table {
        let first = Configuration::seal([pattern]).of(key).first() == Some(&Provider::AesGcm);
        assert_eq!(first, sealed, "`{pattern}` for `{key}`");
    }
}

#[tokio::test]
async fn the_store_below_sees_no_secret_and_readers_see_it() {
    let below = plain();
    let store = Encrypted::new(below.clone(), Configuration::seal(["secrets"]), &keyring());
    let mut watch = store.watch("/registry/", 0).await.unwrap();
    store.commit(Txn::create(SECRET, "{\"password\":\"hunter2\"}")).await.unwrap();
    store.commit(Txn::create("/registry/core/configmaps/default/a", "{}")).await.unwrap();
    let stored = below.range(Range::default()).await.unwrap().items;
    assert_eq!(&stored[0].value[..], b"{}");
    assert_eq!(key_of(&stored[1]), Some("key-00000001"));
    assert!(!stored[1].value.windows(7).any(|part| part == b"hunter2"));
    let (read, _) = store.get(SECRET).await.unwrap();
    assert_eq!(&read.unwrap().value[..], b"{\"password\":\"hunter2\"}");
    let event = watch.next().await.unwrap().unwrap();
    assert_eq!(&event.events[0].kv.value[..], b"{\"password\":\"hunter2\"}");
    let lost = store.commit(Txn::create(SECRET, "{}")).await.unwrap();
    let Committed::Conflict { current } = lost else { panic!("it is there already") };
    assert_eq!(&current[0].as_ref().unwrap().value[..], b"{\"password\":\"hunter2\"}");
}

fn key_of(kv: &KeyValue) -> Option<&str> {
    seal::key_id(&kv.value)
}

#[tokio::test]
async fn a_value_moved_changed_or_without_its_key_does_not_open() {
    let below = plain();
    let keys = keyring();
    let store = Encrypted::new(below.clone(), Configuration::seal(["secrets"]), &keys);
    store.commit(Txn::create(SECRET, "one")).await.unwrap();
    let sealed = below.get(SECRET).await.unwrap().0.unwrap().value;
    let mut changed = sealed.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    let moved = "/registry/core/secrets/default/b";
    for (key, value) in [
        (moved, sealed.to_vec()),
        ("/registry/core/secrets/default/c", changed),
        ("/registry/core/secrets/default/d", sealed[..30].to_vec()),
    ] {
        below.commit(Txn::create(key, value)).await.unwrap();
        assert!(matches!(store.get(key).await, Err(StoreError::Sealed { doing: "decrypt", .. })), "{key}");
    }
    let stranger = Encrypted::new(below.clone(), Configuration::seal(["secrets"]), &keyring());
    assert!(matches!(stranger.get(SECRET).await, Err(StoreError::Sealed { .. })));
    let strict = Rule { resources: vec!["secrets".into()], providers: vec![Provider::AesGcm] };
    let strict = Encrypted::new(below.clone(), Configuration { rules: vec![strict] }, &keys);
    let planted = "/registry/core/secrets/default/e";
    below.commit(Txn::create(planted, "plain")).await.unwrap();
    assert!(matches!(strict.get(planted).await, Err(StoreError::Sealed { .. })));
}

#[tokio::test]
async fn plain_values_are_sealed_and_keys_change() {
    let folder = tempfile::tempdir().unwrap();
    let source = FileKeys::new(folder.path().join("encryption.keys"));
    let first = source.load().await.unwrap();
    let below = plain();
    below.commit(Txn::create(SECRET, "old and plain")).await.unwrap();
    let store = Encrypted::new(below.clone(), Configuration::seal(["secrets"]), &first);
    assert_eq!(&store.get(SECRET).await.unwrap().0.unwrap().value[..], b"old and plain");
    assert_eq!((store.reseal().await.unwrap(), store.reseal().await.unwrap()), (1, 0));

    let second = source.load().await.unwrap().with_new_key().unwrap();
    source.save(&second).await.unwrap();
    store.use_keys(&second);
    assert_eq!(&store.get(SECRET).await.unwrap().0.unwrap().value[..], b"old and plain");
    assert_eq!(store.reseal().await.unwrap(), 1);
    store.use_keys(&source.load().await.unwrap().newest_only());
    assert_eq!(&store.get(SECRET).await.unwrap().0.unwrap().value[..], b"old and plain");
    assert_eq!(key_of(&below.get(SECRET).await.unwrap().0.unwrap()), Some("key-00000002"));

    let mode = std::fs::metadata(folder.path().join("encryption.keys")).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    let plainly =
        Rule { resources: vec!["secrets".into()], providers: vec![Provider::Identity, Provider::AesGcm] };
    let back = Encrypted::new(below.clone(), Configuration { rules: vec![plainly] }, &second);
    assert_eq!(back.reseal().await.unwrap(), 1);
    assert_eq!(&below.get(SECRET).await.unwrap().0.unwrap().value[..], b"old and plain");
}
