//! Bad requests by the thousand: each is answered with a `Status` that says what is wrong with it (or is legal after all), none with a
//! failure of the server's own, none by a panic or not at all; and the server does not grow by them.
//!
//! `LAZURITE_BAD_REQUESTS` says how many (a million for the whole thing), `LAZURITE_BAD_REQUESTS_SEED` where to begin: the request that
//! fails is named by its seed.

mod requests;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kube::client::Body;
use serde_json::Value;

use crate::harness::{Server, start};
use requests::{Bad, bad};

const COUNT_DEFAULT: u64 = 20_000;
/// How long one answer may take on a machine that does much else.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// What the server may grow by between the first fifth of the requests and their end, in MiB: objects come and go all the time.
const GROWTH_MAX_MIB: u64 = 256;

/// Different problems after which it goes no further.
const PROBLEMS_MAX: usize = 40;

static PANICS: AtomicUsize = AtomicUsize::new(0);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Memory of this process that is in use, in MiB.
fn resident_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * 4096 / (1 << 20)
}

/// What an answer says, in whichever form it was asked for.
fn said(head: &http::response::Parts, bytes: &[u8]) -> Value {
    let media = head.headers.get("content-type").and_then(|media| media.to_str().ok()).unwrap_or_default();
    match media {
        "application/yaml" => serde_yaml_ng::from_slice(bytes).unwrap_or_default(),
        "application/vnd.kubernetes.protobuf" => {
            let model = api_model::Model::load("1.35").unwrap();
            api_model::protobuf::decode(&model, bytes).unwrap_or_default()
        }
        // A path that is nobody's is answered in plain words.
        "text/plain; charset=utf-8" if head.status == 404 && bytes == b"404 page not found\n" => {
            serde_json::json!({"kind": "Status", "code": 404, "message": "404 page not found"})
        }
        _ => serde_json::from_slice(bytes).unwrap_or_default(),
    }
}

/// The status of the answer, or what is wrong with it; none when the request cannot even be written down.
async fn ask(client: &kube::Client, request: &Bad) -> Result<Option<u16>, String> {
    let mut built = http::Request::builder().method(request.method).uri(&request.path);
    for (name, value) in &request.headers {
        built = built.header(*name, value);
    }
    let Ok(built) = built.body(Body::from(request.body.clone())) else { return Ok(None) };
    let Ok(answer) = tokio::time::timeout(ANSWER_LIMIT, client.send(built)).await else {
        return Err("no answer".to_owned());
    };
    let (head, body) = answer.map_err(|error| error.to_string())?.into_parts();
    let status = head.status.as_u16();
    // Watches go on; nobody waits for their end.
    if status < 400 || request.method == "HEAD" && status < 500 {
        return Ok(Some(status));
    }
    let bytes = body.collect_bytes().await.map_err(|error| error.to_string())?;
    let said = said(&head, &bytes);
    let message = said["message"].as_str().unwrap_or_default();
    if status >= 500 {
        return Err(format!("{status}: {message}"));
    }
    if said["kind"] != "Status" || said["code"] != status || message.is_empty() {
        return Err(format!("{status} is no Status: {}", String::from_utf8_lossy(&bytes)));
    }
    Ok(Some(status))
}

async fn clean(server: &Server) {
    for plural in ["pods", "configmaps", "secrets", "services", "events"] {
        server.delete(&format!("/api/v1/namespaces/default/{plural}?gracePeriodSeconds=0")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_answered_and_leave_nothing() {
    let (count, first) =
        (number("LAZURITE_BAD_REQUESTS", COUNT_DEFAULT), number("LAZURITE_BAD_REQUESTS_SEED", 1));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        hook(info);
    }));
    let server = start().await;
    let client = server.client();
    let begun = Instant::now();
    let (mut codes, mut unspeakable, mut after_first_fifth) = (BTreeMap::<u16, u64>::new(), 0_u64, 0);
    let mut wrong = BTreeMap::<String, String>::new();
    for seed in first..first + count {
        let request = bad(seed);
        let mut problem = match ask(&client, &request).await {
            Ok(None) => {
                unspeakable += 1;
                None
            }
            Ok(Some(status)) => {
                *codes.entry(status).or_default() += 1;
                None
            }
            Err(problem) => Some(problem),
        };
        if PANICS.swap(0, Ordering::Relaxed) > 0 {
            problem = Some("a panic".to_owned());
        }
        if let Some(problem) = problem {
            let request = format!("seed {seed}: {} {} {:?}", request.method, request.path, request.headers);
            eprintln!("{problem} | {request}");
            let kind: String = problem.chars().take(40).collect();
            wrong.entry(kind).or_insert(request);
            assert!(wrong.len() < PROBLEMS_MAX, "{wrong:#?}");
        }
        if seed == first + count / 5 {
            after_first_fifth = resident_mib();
        }
        if seed % 20_000 == 0 {
            clean(&server).await;
            eprintln!("{seed}: {} s, {} MiB, {codes:?}", begun.elapsed().as_secs(), resident_mib());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let grown = resident_mib().saturating_sub(after_first_fifth);
    eprintln!(
        "{count} requests from {first} in {:?}: {codes:?}, {unspeakable} unspeakable, grown by {grown} MiB",
        begun.elapsed()
    );
    assert!(grown < GROWTH_MAX_MIB, "grown by {grown} MiB");
    assert!(
        codes.keys().any(|code| *code < 300) && codes.len() > 6,
        "they are not all bad in one way: {codes:?}"
    );
    server.get("/readyz").await;
}
