//! The registry: no request is answered with its failure, what comes down is what went up, and nothing is read or written past the gate.

#![no_main]

use async_trait::async_trait;
use kit::http::Connection;
use lazurite_fuzz::Choices;
use lazurite_fuzz::door::{Answer, send};
use libfuzzer_sys::fuzz_target;
use providers::registry::{Action, Gate, Principal, Registry};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

const SECRET: &[u8] = b"{\"secret\":\"of another registry\"}";

/// Everybody is who they say; one pushes to the first registry, one pulls from it.
struct First;

#[async_trait]
impl Gate for First {
    async fn bearer(&self, token: &str) -> Option<Principal> {
        Some(Principal { object_id: token.to_owned(), name: token.to_owned() })
    }
    async fn is_public(&self, _: &str) -> bool {
        false
    }
    async fn secret(&self, _: &str, _: &str, _: &str) -> Option<Principal> {
        None
    }
    async fn allows(&self, principal: &Principal, repository: &str, action: Action) -> bool {
        let is_first = repository == "one.azurecr.io" || repository.starts_with("one.azurecr.io/");
        match principal.name.as_str() {
            "owner" => true,
            "pusher" => is_first,
            "reader" => is_first && matches!(action, Action::Pull | Action::ReadMetadata | Action::List),
            _ => false,
        }
    }
    fn is_open_to(&self, _: &Connection, _: &str) -> bool {
        false
    }
}

/// Where the stores are: in memory, if the machine has such a place.
fn place() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        parent.join(format!("lazurite-fuzz-images-{}", std::process::id()))
    })
}

/// A store that is gone in the end, beside a file that nobody may touch.
struct Bench(PathBuf);

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn sent(
    registry: &Registry,
    method: &str,
    path: &str,
    who: &str,
    range: Option<&str>,
    body: &[u8],
) -> Option<Answer> {
    let bearer = format!("Bearer {who}");
    let mut headers = vec![("host", "one.azurecr.io"), ("authorization", bearer.as_str())];
    headers.extend(range.map(|range| ("content-range", range)));
    let answer = send(registry, method, path, &headers, body)?;
    let status = answer.status.as_u16();
    assert!(status < 500, "{who} {method} {path}: {answer:?}");
    if status >= 400 {
        let said = answer.json();
        assert!(
            said["errors"][0]["code"].is_string() && said["errors"][0]["message"].is_string(),
            "{answer:?}"
        );
    }
    if who != "owner" {
        assert!(!answer.body.windows(SECRET.len()).any(|part| part == SECRET), "{who} {method} {path}");
    }
    if who == "reader" && !["GET", "HEAD"].contains(&method) && !path.starts_with("/oauth2") {
        assert!(status >= 400, "{who} {method} {path}: {answer:?}");
    }
    if who == "stranger" {
        assert!(
            status >= 400
                || path.trim_end_matches('/') == "/v2"
                || path.starts_with("/v2/?")
                || path.starts_with("/v2?")
                || path.starts_with("/oauth2"),
            "{who} {method} {path}: {answer:?}"
        );
    }
    let told = answer.header("docker-content-digest");
    if method == "GET" && status == 200 && !told.is_empty() {
        assert_eq!(told, digest(&answer.body), "{path}");
        assert!(!path.contains("sha256:") || path.contains(told), "{path}: {told}");
    }
    Some(answer)
}

const NAMES: [&str; 10] = ["web", "web", "a/b", "a", "A", "..", "web/_tags", "a//b", "_x", "web/manifests"];
const QUERIES: [&str; 9] = [
    "",
    "",
    "?n=1",
    "?n=x",
    "?ns=two.azurecr.io",
    "?ns=..",
    "?n=0&last=v1",
    "?orderby=timedesc",
    "?ns=docker.io",
];
const RANGES: [&str; 8] = ["0-1", "bytes 0-3/4", "2-3", "", "-", "4-1", "18446744073709551616-", "0-0"];

/// What a request may be about, grown as things are put.
struct Known {
    digests: Vec<String>,
    uploads: Vec<String>,
}

impl Known {
    fn reference(&self, choices: &mut Choices<'_>) -> String {
        let fixed = [
            "v1",
            "latest",
            "..",
            "../v1",
            "/dev/zero",
            "../../../../token.key",
            "v1/../v1",
            "sha256:12",
            "",
            "%2e%2e",
        ];
        match choices.byte() % 3 {
            0 => (*choices.of(&fixed)).to_owned(),
            1 => choices.of(&self.digests).clone(),
            _ => "v1".to_owned(),
        }
    }

    fn manifest(&self, choices: &mut Choices<'_>) -> Vec<u8> {
        let mut made = json!({"schemaVersion": 2});
        while choices.more() && choices.byte() % 4 != 0 {
            let at = self.reference(choices);
            let entry = json!({"digest": at, "size": choices.of(&[json!(1), json!(-1), json!(u64::MAX), json!("x")]), "mediaType": "a/b"});
            match choices.byte() % 7 {
                0 => made["config"] = entry,
                1 => made["layers"] = json!([entry]),
                2 => made["manifests"] = json!([entry, 5]),
                3 => made["subject"] = entry,
                4 => {
                    made["mediaType"] =
                        json!(choices.of(&["application/vnd.oci.image.index.v1+json", "a\nb", "é", ""]))
                }
                5 => made["layers"] = json!([{"digest": at, "urls": []}, {"size": u64::MAX}, {"size": 1}]),
                _ => made["config"] = json!("text"),
            }
        }
        made.to_string().into_bytes()
    }
}

fn act(registry: &Registry, choices: &mut Choices<'_>, known: &mut Known, raw: &str) {
    let who = *choices.of(&["pusher", "pusher", "reader", "stranger"]);
    let (name, query) = (*choices.of(&NAMES), *choices.of(&QUERIES));
    let method = *choices.of(&["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"]);
    let small = [
        b"".as_slice(),
        b"{}",
        b"layer",
        b"5",
        b"{\"deleteEnabled\":false}",
        b"{\"readEnabled\":true,\"x\":1}",
        raw.as_bytes(),
    ];
    let body = *choices.of(&small);
    match choices.byte() % 10 {
        0 => {
            let path = format!("/v2/{name}/blobs/uploads/?digest={}", digest(body));
            let Some(answer) = sent(registry, "POST", &path, who, None, body) else { return };
            if answer.status.as_u16() == 201 {
                let down = format!("/v2/{name}/blobs/{}", digest(body));
                let down = sent(registry, "GET", &down, "pusher", None, b"").expect("it was sent before");
                assert_eq!(down.body, body, "{path}");
                known.digests.push(digest(body));
            }
        }
        1 => {
            let from = choices.of(&NAMES);
            let mount = choices.of(&known.digests);
            let path = format!(
                "/v2/{name}/blobs/uploads/{}mount={mount}&from={from}",
                if query.is_empty() { "?".to_owned() } else { format!("{query}&") }
            );
            let answer = sent(registry, "POST", &path, who, None, b"");
            known.uploads.extend(
                answer.map(|answer| answer.header("location").to_owned()).filter(|at| at.contains("uploads")),
            );
        }
        2 | 3 => {
            let at = choices.of(&known.uploads).clone();
            let range = (choices.byte() % 2 == 0).then(|| *choices.of(&RANGES));
            let end = if method == "PUT" {
                format!("?digest={}", choices.of(&known.digests))
            } else {
                String::new()
            };
            sent(registry, method, &format!("{at}{end}"), who, range, body);
        }
        4 | 5 => {
            let reference = known.reference(choices);
            let manifest = if choices.byte() % 8 == 0 { body.to_vec() } else { known.manifest(choices) };
            let path = format!("/v2/{name}/manifests/{reference}");
            let Some(answer) = sent(registry, "PUT", &path, who, None, &manifest) else { return };
            if answer.status.as_u16() == 201 {
                assert!(
                    serde_json::from_slice::<Value>(&manifest).is_ok_and(|manifest| manifest.is_object())
                );
                assert_eq!(answer.header("docker-content-digest"), digest(&manifest));
                for at in [path, format!("/v2/{name}/manifests/{}", digest(&manifest))] {
                    let down = sent(registry, "GET", &at, "pusher", None, b"").expect("it was sent before");
                    assert!(down.body == manifest || down.status.as_u16() == 405, "{at}: {down:?}");
                }
                known.digests.push(digest(&manifest));
            }
        }
        6 => {
            let part = *choices.of(&["", "/_tags", "/_manifests", "/_tags/", "/_manifests/"]);
            let end = if part.ends_with('/') { known.reference(choices) } else { String::new() };
            sent(registry, method, &format!("/acr/v1/{name}{part}{end}{query}"), who, None, body);
        }
        7 => {
            let part = *choices.of(&["manifests", "blobs", "referrers", "tags/list", "blobs/uploads"]);
            let end = if part.len() < 10 { format!("/{}", known.reference(choices)) } else { String::new() };
            sent(registry, method, &format!("/v2/{name}/{part}{end}{query}"), who, None, body);
        }
        8 => {
            let path = *choices.of(&[
                "/v2/",
                "/v2",
                "/v2/_catalog",
                "/acr/v1/_catalog",
                "/oauth2/token",
                "/oauth2/exchange",
                "/",
                "/v3",
            ]);
            sent(registry, method, &format!("{path}{query}"), who, None, body);
        }
        _ => {
            sent(registry, method, raw, who, None, body);
        }
    }
}

/// An archive: of whatever bytes, or a layout whose parts may not fit each other.
fn archive(registry: &Registry, choices: &mut Choices<'_>, raw: &[u8]) {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, text: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_cksum();
        let _ = tar.append_data(&mut header, path, text);
    };
    let config = digest(b"{}");
    let manifest = json!({"schemaVersion": 2, "config": {"digest": config}, "layers": [{"digest": choices.of(&[config.as_str(), "sha256:1", "../x"])}]}).to_string();
    let named = *choices.of(&["one.azurecr.io/web:1", "../web:1", "web", "a..b/web:1", "é", "x.y/../z:1"]);
    let pointed = [digest(manifest.as_bytes()), "sha256:self".to_owned(), config.clone()];
    let index = json!({"manifests": [{"digest": choices.of(&pointed), "annotations": {"io.containerd.image.name": named}}]}).to_string();
    add("index.json", index.as_bytes());
    add("blobs/sha256/self", index.as_bytes());
    add(&format!("blobs/{}", config.replace(':', "/")), b"{}");
    add(&format!("blobs/{}", pointed[0].replace(':', "/")), manifest.as_bytes());
    if choices.byte() % 3 == 0 {
        add("layer.tar", b"layer");
        add(
            "manifest.json",
            json!([{"Config": "index.json", "Layers": ["layer.tar"], "RepoTags": [named]}])
                .to_string()
                .as_bytes(),
        );
    }
    for bytes in [raw, &tar.into_inner().unwrap_or_default()] {
        let Ok(names) = registry.load_archive(bytes, None) else { continue };
        let images = registry.images().expect("they are listed");
        assert!(names.iter().all(|name| images.contains(name)), "{names:?} {images:?}");
    }
}

/// What the store holds is in its places, and is what its name says.
fn judge(dir: &Path) {
    let entries = |path: PathBuf| {
        let mut found: Vec<String> = std::fs::read_dir(path)
            .expect("a folder")
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        found.sort();
        found
    };
    assert_eq!(entries(dir.to_owned()), ["outside", "store"]);
    assert_eq!(std::fs::read(dir.join("outside")).expect("it is there"), b"untouched");
    assert_eq!(entries(dir.join("store")), ["blobs", "repositories", "token.key", "uploads"]);
    for name in entries(dir.join("store/blobs")) {
        let bytes = std::fs::read(dir.join("store/blobs").join(&name)).expect("it is there");
        assert_eq!(digest(&bytes), format!("sha256:{name}"));
    }
}

fuzz_target!(|data: &[u8]| {
    let bench = Bench(place().to_owned());
    let store = bench.0.join("store");
    std::fs::create_dir_all(&store).expect("a folder");
    std::fs::write(bench.0.join("outside"), b"untouched").expect("a file");
    let clock = Arc::new(kit::clock::FixedClock::new(jiff::Timestamp::UNIX_EPOCH));
    let registry = Registry::open(&store, Arc::new(First), clock).expect("a store");
    let secret = format!("/v2/web/blobs/uploads/?ns=two.azurecr.io&digest={}", digest(SECRET));
    let put = sent(&registry, "POST", &secret, "owner", None, SECRET).expect("a request");
    assert_eq!(put.status.as_u16(), 201);
    let mut known = Known {
        digests: vec![digest(b"{}"), digest(SECRET)],
        uploads: vec!["/v2/web/blobs/uploads/x".to_owned()],
    };
    let mut choices = Choices(data);
    let text = String::from_utf8_lossy(data).into_owned();
    if choices.byte() % 8 == 0 {
        archive(&registry, &mut choices, data);
    }
    for _ in 0..12 {
        if !choices.more() {
            break;
        }
        act(&registry, &mut choices, &mut known, &text);
    }
    judge(&bench.0);
});
