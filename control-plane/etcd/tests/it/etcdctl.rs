//! etcd's own tool against our front; where a real etcd is at hand, the same words are compared with its own.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;

use etcd::FrontOptions;
use kit::Tasks;
use store::Embedded;

use crate::world::{Etcdctl, RealEtcd, serve};

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

async fn front(tasks: &Tasks) -> (Arc<Embedded>, String) {
    let below = Embedded::memory(store::Options::default(), tasks);
    let address = serve(below.clone(), FrontOptions::default(), tasks).await;
    (below, address.to_string())
}

/// The same session, word for word, against both.
const SESSION: &[(&[&str], &str)] = &[
    (&["put", "/a", "one"], ""),
    (&["put", "/b", "two", "--prev-kv"], ""),
    (&["put", "/a", "three", "--prev-kv"], ""),
    (&["get", "/a"], ""),
    (&["get", "/", "--prefix", "--keys-only"], ""),
    (&["get", "/", "--prefix", "--print-value-only", "--order=DESCEND"], ""),
    (&["get", "/a", "/z", "--limit=1"], ""),
    (&["get", "/", "--from-key", "--sort-by=MODIFY", "--order=ASCEND"], ""),
    (&["get", "/a", "--rev=2"], ""),
    (&["get", "/a", "-w", "json", "--rev=3"], ""),
    (&["txn"], "mod(\"/a\") = \"4\"\nver(\"/b\") > \"0\"\n\nput /c four\nget /c\ndel /b\n\nget /a\n\n"),
    (&["txn"], "val(\"/a\") = \"no\"\n\nput /c no\n\nget /a\nget / --prefix\n\n"),
    (&["txn"], "create(\"/missing\") = \"0\"\nval(\"/missing\") != \"x\"\n\nput /c no\n\nget /c\n\n"),
    (&["del", "/", "--prefix", "--prev-kv"], ""),
    (&["del", "/none"], ""),
    (&["put", "\u{fc}ber", "\u{1f600}"], ""),
    (&["get", "\u{fc}", "--prefix"], ""),
    (&["compaction", "5"], ""),
    (&["get", "/a", "--rev=5"], ""),
];

/// What it must refuse, with the reason.
const REFUSED: &[&[&str]] = &[
    &["get", "/a", "--rev=3"],
    &["get", "/a", "--rev=1000"],
    &["compaction", "5"],
    &["compaction", "1000"],
    &["put", "--lease=12345678", "/a", "1"],
    &["put", "--ignore-value", "/none"],
    &["lease", "revoke", "12345678"],
];

async fn session(tool: &Etcdctl) -> Vec<String> {
    let mut said = Vec::new();
    for (arguments, input) in SESSION {
        let text = tool.run_with(arguments, input).await;
        // Who answered, and in which term, differ.
        let same = |line: &&str| {
            !["\"ClusterID\"", "\"MemberID\"", "\"RaftTerm\""].iter().any(|who| line.contains(who))
        };
        let text: Vec<&str> = text.lines().filter(same).collect();
        said.push(format!("{arguments:?}\n{}", text.join("\n")));
    }
    for arguments in REFUSED {
        let text = tool.refused(arguments).await;
        let reason = text.split("\"error\":").last().unwrap_or_default().lines().next().unwrap_or_default();
        said.push(format!("{arguments:?}\n{reason}"));
    }
    said
}

/// The JSON form tells who answered on the same line.
fn without_who(text: &str) -> String {
    let Some(header) = text.find("\"header\":{") else { return text.to_owned() };
    let end = text[header..].find('}').map_or(text.len(), |end| header + end);
    let kept: Vec<&str> = text[header..end].split(',').filter(|part| part.contains("revision")).collect();
    format!("{}{}{}", &text[..header], kept.join(","), &text[end..])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_cannot_tell_the_front_from_etcd() {
    let tasks = Tasks::new();
    let (_, endpoint) = front(&tasks).await;
    let Some(tool) = Etcdctl::new(&endpoint) else { return };
    let ours = session(&tool).await;
    let folder = tempfile::tempdir().unwrap();
    let Some(real) = RealEtcd::start(folder.path()).await else { return };
    let theirs = session(&Etcdctl::new(&real.url()).unwrap()).await;
    for (our, their) in ours.iter().zip(&theirs) {
        assert_eq!(without_who(our), without_who(their));
    }
    assert_eq!(ours.len(), theirs.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_watches() {
    let tasks = Tasks::new();
    let (_, endpoint) = front(&tasks).await;
    let Some(tool) = Etcdctl::new(&endpoint) else { return };
    tool.run(&["put", "/w/a", "1"]).await;
    let watch = |arguments: &[&str]| {
        let mut child = tool.command(arguments).stdout(Stdio::piped()).stdin(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        (child, lines)
    };
    let (mut child, mut said) = watch(&["watch", "/w/", "--prefix", "--rev=2", "--prev-kv"]);
    tool.run(&["put", "/w/a", "2"]).await;
    tool.run(&["put", "/elsewhere", "2"]).await;
    tool.run(&["del", "/w/a"]).await;
    let expected = ["PUT", "/w/a", "1", "PUT", "/w/a", "1", "/w/a", "2", "DELETE", "/w/a", "2", "/w/a"];
    for line in expected {
        assert_eq!(said.next().unwrap().unwrap(), line);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    tool.run(&["compaction", "4"]).await;
    let (mut child, mut said) = watch(&["watch", "/w/", "--prefix", "--rev=2"]);
    assert!(said.next().is_none(), "the past is gone and it ends");
    assert!(!child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_leases() {
    let tasks = Tasks::new();
    let (below, endpoint) = front(&tasks).await;
    let Some(tool) = Etcdctl::new(&endpoint) else { return };
    let granted = tool.run(&["lease", "grant", "600"]).await;
    let id = granted.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(granted.trim(), format!("lease {id} granted with TTL(600s)"));
    tool.run(&["put", "/l/a", "1", &format!("--lease={id}")]).await;
    let told = tool.run(&["lease", "timetolive", &id, "--keys"]).await;
    assert!(told.starts_with(&format!("lease {id} granted with TTL(600s), remaining(")), "{told}");
    assert!(told.trim().ends_with("attached keys([/l/a])"), "{told}");
    assert_eq!(lines(&tool.run(&["lease", "list"]).await)[1], id);
    let kept = tool.run(&["lease", "keep-alive", "--once", &id]).await;
    assert_eq!(kept.trim(), format!("lease {id} keepalived with TTL(600)"));
    tool.run(&["lease", "revoke", &id]).await;
    assert_eq!(tool.run(&["get", "/l/", "--prefix"]).await, "");
    assert_eq!(tool.run(&["lease", "timetolive", &id]).await.trim(), format!("lease {id} already expired"));
    assert!(below.leases().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcdctl_keeps_house() {
    let tasks = Tasks::new();
    let folder = tempfile::tempdir().unwrap();
    let below = Embedded::open(&folder.path().join("store.redb"), store::Options::default(), &tasks).unwrap();
    let address = serve(below, FrontOptions::default(), &tasks).await;
    let Some(tool) = Etcdctl::new(&address.to_string()) else { return };
    for number in 0..20 {
        tool.run(&["put", &format!("/k/{number}"), "value"]).await;
    }
    tool.run(&["endpoint", "health"]).await;
    let status = tool.run(&["endpoint", "status", "-w", "fields"]).await;
    assert!(status.contains("\"Revision\" : 21") && status.contains("\"Version\" : \"3.5.30\""), "{status}");
    assert!(tool.run(&["endpoint", "hashkv"]).await.contains(&address.to_string()));
    assert!(tool.run(&["member", "list"]).await.contains("started, default"));
    assert_eq!(tool.run(&["alarm", "list"]).await, "");
    assert!(tool.run(&["defrag"]).await.contains("Finished defragmenting"));
    assert!(tool.refused(&["member", "remove", "1"]).await.contains("not capable"));
    let file = folder.path().join("saved.snapshot");
    tool.run(&["snapshot", "save", file.to_str().unwrap()]).await;
    let restored = folder.path().join("restored.redb");
    let made = store::restore(&file, &restored).unwrap();
    assert_eq!((made.keys, made.revision), (20, 21 + store::RESTORE_BUMP));
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}
