//! Bad requests, made of a number: the same number is the same request.

use std::sync::{Arc, LazyLock};

use api_model::{Model, Resource};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::bodies::{body, noise};
use super::words::{ACCEPT, MEDIA, METHODS, NAMES, ODD, PARAMETERS, PLAIN, SUBRESOURCES, VALUES};
use super::{kept, special};

/// The minor version that is asked: the newest, which serves all kinds.
pub const MINOR: &str = "1.36";
/// Those subresources that answer with a stream, mostly after an upgrade.
pub const STREAMS: &[&str] = &["exec", "attach", "portforward", "proxy", "log"];
/// Bytes of an absurdly long value.
const LONG_BYTES: usize = 20_000;

pub static MODEL: LazyLock<Arc<Model>> = LazyLock::new(|| Model::load(MINOR).expect("the built-in corpus"));

/// A request that may be anything.
#[derive(Debug)]
pub struct Bad {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// What is stored by it would change what becomes of other requests, and is to go: the collection it is in.
    pub goes: Option<String>,
}

/// The request of a number.
pub fn bad(seed: u64) -> Bad {
    let mut rng = StdRng::seed_from_u64(seed);
    let rng = &mut rng;
    match rng.random_range(0..40) {
        0 | 1 => plain(rng),
        2 => special::request(rng),
        3 => of(rng, kept::thing()),
        _ => {
            let resources = MODEL.resources();
            let resource = &resources[rng.random_range(0..resources.len())];
            of(rng, resource)
        }
    }
}

fn plain(rng: &mut StdRng) -> Bad {
    let mut path = (*pick(rng, PLAIN)).to_owned();
    query(rng, &mut path, false);
    let (method, headers) = (pick(rng, METHODS), headers(rng, "application/json"));
    Bad { method, path, headers, body: noise(rng, 64), goes: None }
}

/// A request about a resource.
fn of(rng: &mut StdRng, resource: &Resource) -> Bad {
    let is_special = special::is(resource);
    let collection = collection(rng, resource);
    let mut path = collection.clone();
    let named = rng.random_ratio(7, 10);
    let method = match rng.random_range(0..20) {
        0 => pick(rng, METHODS),
        at if named => ["GET", "PUT", "PATCH", "PATCH", "PATCH", "DELETE"][at % 6],
        at => ["POST", "POST", "POST", "GET", "POST", "DELETE"][at % 6],
    };
    // The namespace everything is in, stays as it is.
    let names = if resource.plural == "namespaces" { &NAMES[..6] } else { NAMES };
    let name = if rng.random_ratio(1, 15) { pick(rng, ODD) } else { pick(rng, names) };
    let mut streams = false;
    if named {
        path.push('/');
        path.push_str(name);
        if rng.random_ratio(1, 6) {
            let own = resource.subresources.choose(rng).map(|sub| sub.name.as_str());
            let own = own.filter(|_| rng.random_ratio(4, 5));
            let subresource = own.unwrap_or_else(|| pick(rng, SUBRESOURCES));
            streams = STREAMS.iter().any(|stream| subresource.starts_with(stream));
            path.push('/');
            path.push_str(subresource);
        }
    }
    let watches = method == "GET" && rng.random_ratio(1, 12);
    query(rng, &mut path, watches);
    let fitting = match method {
        "PATCH" => pick(rng, &MEDIA[3..7]),
        _ => pick(rng, &MEDIA[..3]),
    };
    let mut headers = headers(rng, fitting);
    if (streams || watches) && rng.random_ratio(1, 2) {
        upgrade(rng, &mut headers);
    }
    let bare = matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE") && rng.random_ratio(9, 10);
    let body = if bare { Vec::new() } else { body(rng, resource, name, fitting) };
    Bad { method, path, headers, body, goes: is_special.then_some(collection) }
}

fn collection(rng: &mut StdRng, resource: &Resource) -> String {
    let mut path = format!("/{}", resource.group_path());
    if resource.namespaced != rng.random_ratio(1, 30) {
        path.push_str("/namespaces/");
        path.push_str(match rng.random_range(0..12) {
            0 => pick(rng, ODD),
            1 => pick(rng, NAMES),
            _ => "default",
        });
    }
    path.push('/');
    path.push_str(if rng.random_ratio(1, 40) { pick(rng, ODD) } else { &resource.plural });
    path
}

pub fn pick<'t>(rng: &mut StdRng, from: &[&'t str]) -> &'t str {
    from[rng.random_range(0..from.len())]
}

fn query(rng: &mut StdRng, path: &mut String, watches: bool) {
    let mut separator = '?';
    let mut add = |path: &mut String, name: &str, value: &str| {
        path.push(separator);
        separator = '&';
        path.push_str(name);
        path.push('=');
        path.push_str(value);
    };
    if watches {
        add(path, "watch", "true");
    }
    let mut any = watches;
    while rng.random_ratio(1, 3) {
        any = true;
        let name = pick(rng, PARAMETERS);
        // A version the server has not reached is waited for.
        let versions = ["0", "1", "x", "-1", ""];
        let value = pick(rng, if name == "resourceVersion" { &versions[..] } else { VALUES });
        add(path, name, value);
    }
    if rng.random_ratio(1, 300) {
        add(path, pick(rng, PARAMETERS), &"a,".repeat(rng.random_range(1..LONG_BYTES / 2)));
    } else if !any && rng.random_ratio(1, 2) {
        add(path, "fieldManager", "m");
    }
}

fn headers(rng: &mut StdRng, fitting: &str) -> Vec<(&'static str, String)> {
    const OTHERS: [&str; 12] = [
        "user-agent",
        "impersonate-user",
        "impersonate-group",
        "impersonate-uid",
        "impersonate-extra-a%zz",
        "accept-encoding",
        "if-match",
        "if-none-match",
        "content-encoding",
        "transfer-encoding",
        "range",
        "x-remote-user",
    ];
    let media = if rng.random_ratio(1, 10) { pick(rng, MEDIA) } else { fitting };
    let mut headers = vec![("content-type", media.to_owned())];
    if rng.random_ratio(1, 3) {
        headers.push(("accept", pick(rng, ACCEPT).to_owned()));
    }
    if rng.random_ratio(1, 20) {
        let name = OTHERS[rng.random_range(0..OTHERS.len())];
        let values =
            ["kubectl/v1", "gzip", "", "system:nobody", "\u{e9}", "*", "chunked", "bytes=0-", "br, deflate"];
        headers.push((name, pick(rng, &values).to_owned()));
    }
    if rng.random_ratio(1, 500) {
        headers.push(("x-long", "x".repeat(rng.random_range(1..LONG_BYTES))));
    }
    headers
}

/// Wishes to go on as something else, more or less well said.
fn upgrade(rng: &mut StdRng, headers: &mut Vec<(&'static str, String)>) {
    let mut say = |name: &'static str, values: &[&str]| {
        if rng.random_ratio(5, 6) {
            headers.push((name, pick(rng, values).to_owned()));
        }
    };
    say("connection", &["Upgrade", "keep-alive, upgrade", "close", ""]);
    say("upgrade", &["websocket", "SPDY/3.1", "h2c", "websocket, SPDY/3.1", ""]);
    say("sec-websocket-version", &["13", "12", "x"]);
    say("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ==", "x", ""]);
    say(
        "sec-websocket-protocol",
        &[
            "v5.channel.k8s.io",
            "v4.channel.k8s.io, channel.k8s.io",
            "base64.binary.k8s.io",
            "base64url.bearer.authorization.k8s.io.x",
            "base64url.bearer.authorization.k8s.io.!!, v4.channel.k8s.io",
            "SPDY/3.1+portforward.k8s.io",
            "nope",
        ],
    );
    say("x-stream-protocol-version", &["v4.channel.k8s.io", "portforward.k8s.io", "nope"]);
}
