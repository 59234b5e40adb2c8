//! Bad requests by the thousand: each is answered with a `Status` that says what is wrong with it (or is legal after all), none with a
//! failure of the server's own, none by a panic or not at all; and the server does not grow by them: memory, descriptors, tasks and watches are back to where they were.
//!
//! `LAZURITE_BAD_REQUESTS` says how many (a million for the whole thing), `LAZURITE_BAD_REQUESTS_SEED` where to begin: the request that
//! fails is named by its seed.

mod bodies;
mod kept;
mod leaks;
mod requests;
mod special;
mod wire;
mod words;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kube::client::Body;
use serde_json::Value;

use crate::far_kubelet;
use crate::front::Front;
use crate::harness::{Server, start_minor};
use leaks::resident_mib;
use requests::{Bad, MINOR, MODEL, bad};

const COUNT_DEFAULT: u64 = 20_000;
/// How long one answer may take on a machine that does much else.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// What the server may grow by between the first fifth of the requests and their end, in MiB: objects come and go all the time.
const GROWTH_MAX_MIB: u64 = 256;

/// Requests after which everything was needed once.
const WARM: u64 = 1000;
/// So many requests are asked at once.
const TOGETHER: usize = 8;
/// So often bytes are written on a connection.
const WIRE_EVERY: u64 = 200;
/// So many policies and bindings stay at most, and for so many requests.
const STAYING_MAX: usize = 6;
const STAYING_EVERY: u64 = 40;
/// Different problems after which it goes no further.
const PROBLEMS_MAX: usize = 40;

static PANICS: AtomicUsize = AtomicUsize::new(0);

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What an answer says, in whichever form it was asked for.
fn said(head: &http::response::Parts, bytes: &[u8]) -> Value {
    let media = head.headers.get("content-type").and_then(|media| media.to_str().ok()).unwrap_or_default();
    match media {
        "application/yaml" => serde_yaml_ng::from_slice(bytes).unwrap_or_default(),
        "application/vnd.kubernetes.protobuf" => {
            api_model::protobuf::decode(&MODEL, bytes).unwrap_or_default()
        }
        // A path that is nobody's is answered in plain words.
        "text/plain; charset=utf-8" if head.status == 404 && bytes == b"404 page not found\n" => {
            serde_json::json!({"kind": "Status", "code": 404, "message": "404 page not found"})
        }
        _ => serde_json::from_slice(bytes).unwrap_or_default(),
    }
}

/// Failures that are nobody's mistake here: there is one node, no webhook answers, and a policy may make of an object what is none.
fn is_excused(status: u16, message: &str) -> bool {
    let of_streams = [
        "error dialing backend",
        "Internal error occurred: error dialing backend",
        "no endpoints available for service",
        "no service port",
        "error trying to reach service",
    ];
    let of_policies = [
        "Internal error occurred: strict decoding error",
        "Internal error occurred: json: cannot unmarshal",
        "Resource kind ",
    ];
    matches!(status, 500 | 502 | 503)
        && of_streams.iter().chain(&of_policies).any(|start| message.starts_with(start))
}

/// A good answer.
struct Answered {
    status: u16,
    /// Name of what is answered about, where that matters.
    name: Option<String>,
}

/// The answer, or what is wrong with it; none when the request cannot even be written down.
async fn ask(client: &kube::Client, request: &Bad) -> Result<Option<Answered>, String> {
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
        let wanted = request.goes.is_some() && matches!(request.method, "POST" | "PUT" | "PATCH");
        let name = match wanted {
            true => {
                let bytes = body.collect_bytes().await.map_err(|error| error.to_string())?;
                let said = said(&head, &bytes);
                said.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned)
            }
            false => None,
        };
        return Ok(Some(Answered { status, name }));
    }
    let bytes = body.collect_bytes().await.map_err(|error| error.to_string())?;
    let said = said(&head, &bytes);
    let message = said["message"].as_str().unwrap_or_default();
    if status >= 500 && !is_excused(status, message) {
        return Err(format!("{status}: {message}"));
    }
    if said["kind"] != "Status" || said["code"] != status || message.is_empty() {
        return Err(format!("{status} is no Status: {}", String::from_utf8_lossy(&bytes)));
    }
    Ok(Some(Answered { status, name: None }))
}

async fn clean(server: &Server) {
    for plural in ["pods", "configmaps", "secrets", "services", "events"] {
        server.delete(&format!("/api/v1/namespaces/default/{plural}?gracePeriodSeconds=0")).await;
    }
    server.delete("/apis/kept.test/v1/namespaces/default/things").await;
    far_kubelet::run_pod(server).await;
}

/// What came of all requests so far.
#[derive(Default)]
struct Tally {
    codes: BTreeMap<u16, u64>,
    unspeakable: u64,
    wrong: BTreeMap<String, String>,
    /// How many of the kinds that change what becomes of others were stored.
    kinds: BTreeMap<String, u64>,
    /// Those of them that stay for a while.
    staying: Vec<String>,
}

impl Tally {
    /// Asks all of them at once, and writes down what came of it. What changes the answers to others is asked alone.
    async fn ask(&mut self, server: &Server, client: &kube::Client, requests: Vec<(u64, Bad)>) {
        let asked = requests.iter().map(|(_, request)| ask(client, request));
        let answers = futures::future::join_all(asked).await;
        for ((seed, request), answer) in requests.iter().zip(answers) {
            match answer {
                Ok(None) => self.unspeakable += 1,
                Ok(Some(answered)) => {
                    *self.codes.entry(answered.status).or_default() += 1;
                    if let (Some(collection), Some(name)) = (&request.goes, &answered.name) {
                        self.stored(server, collection, name).await;
                    }
                }
                Err(said) => self.wrong(
                    &said,
                    *seed,
                    &format!("{} {} {:?}", request.method, request.path, request.headers),
                ),
            }
        }
        if PANICS.swap(0, Ordering::Relaxed) > 0 {
            let (first, all) = (requests.first().map_or(0, |(seed, _)| *seed), requests.len());
            self.wrong("a panic", first, &format!("or one of the {all} from there"));
        }
    }

    /// Takes away what changes what becomes of others: at once, or with others after a while.
    async fn stored(&mut self, server: &Server, collection: &str, name: &str) {
        let kind = collection.rsplit('/').next().unwrap_or_default().to_owned();
        *self.kinds.entry(kind).or_default() += 1;
        let path = format!("{collection}/{name}");
        if !special::stays(collection) {
            server.delete(&path).await;
            return;
        }
        self.staying.push(path);
        if self.staying.len() >= STAYING_MAX {
            self.leave(server).await;
        }
    }

    async fn leave(&mut self, server: &Server) {
        for path in self.staying.drain(..) {
            server.delete(&path).await;
        }
    }

    fn wrong(&mut self, problem: &str, seed: u64, request: &str) {
        let request = format!("seed {seed}: {request}");
        eprintln!("{problem} | {request}");
        self.wrong.entry(problem.chars().take(40).collect()).or_insert(request);
        assert!(self.wrong.len() < PROBLEMS_MAX, "{:#?}", self.wrong);
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
    let front = Front::over(start_minor(MINOR).await);
    let server = &front.server;
    kept::define(server).await;
    far_kubelet::start(server).await;
    let client = server.client();
    let begun = Instant::now();
    let mut tally = Tally::default();
    let (mut before, mut after_first_fifth) = (None, 0);
    let mut together = Vec::new();
    for seed in first..first + count {
        let request = bad(seed);
        let (alone, last) =
            (request.goes.is_some(), seed + 1 == first + count || (seed - first + 1).is_multiple_of(WARM));
        if alone {
            tally.ask(server, &client, std::mem::take(&mut together)).await;
        }
        together.push((seed, request));
        if alone || last || together.len() >= TOGETHER {
            tally.ask(server, &client, std::mem::take(&mut together)).await;
        }
        if seed.is_multiple_of(STAYING_EVERY) {
            tally.leave(server).await;
        }
        if seed.is_multiple_of(WIRE_EVERY)
            && let Err(problem) = wire::ask(&front, seed).await
        {
            tally.wrong(&problem, seed, "on the wire");
        }
        let asked = seed - first + 1;
        // All that is made when it is first needed is there by now.
        if asked == WARM.min(count) {
            before = Some(leaks::settled(server).await);
        }
        if asked == count / 5 {
            after_first_fifth = resident_mib();
        }
        if asked.is_multiple_of(20_000) {
            clean(server).await;
            eprintln!("{asked}: {} s, {} MiB, {:?}", begun.elapsed().as_secs(), resident_mib(), tally.codes);
        }
    }
    let took = begun.elapsed();
    tally.leave(server).await;
    clean(server).await;
    assert!(tally.wrong.is_empty(), "{:#?}", tally.wrong);
    let grown = resident_mib().saturating_sub(after_first_fifth);
    let (codes, unspeakable) = (&tally.codes, tally.unspeakable);
    eprintln!(
        "{count} requests from {first} in {took:?} ({:?} of work), grown by {grown} MiB",
        leaks::worked()
    );
    eprintln!("{codes:?}, {unspeakable} unspeakable; stored {:?}", tally.kinds);
    assert!(grown < GROWTH_MAX_MIB, "grown by {grown} MiB");
    if let Some(before) = before {
        let now = leaks::returned(server, before).await.unwrap();
        eprintln!("held at first {before:?}, in the end {now:?}");
    }
    assert!(
        codes.keys().any(|code| *code < 300) && codes.len() > 6,
        "they are not all bad in one way: {codes:?}"
    );
    server.get("/readyz").await;
}
