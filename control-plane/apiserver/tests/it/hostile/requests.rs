//! Bad requests, made of a number: the same number is the same request.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngCore, SeedableRng};
use serde_json::Value;

use crate::made::{Choices, Stray, any, model, object};

/// A request that may be anything.
#[derive(Debug)]
pub struct Bad {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// Kinds that change what becomes of other requests: they would call nobody, refuse everything or serve new kinds.
const LEFT_OUT: &[&str] = &[
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "apiservices",
    "namespaces",
    "customresourcedefinitions",
];
const NAMES: &[&str] = &["a", "b", "c", "d", "e", "f", "default"];
const ODD: &[&str] = &[
    "", "..", ".", "%00", "%2f", "a%20b", "A_b", "-", "%ff%fe", "%c3%a9", "a:b", "~", "%25", "$patch",
    "a..b", "%0a",
];
const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const SUBRESOURCES: &[&str] = &[
    "status",
    "scale",
    "binding",
    "eviction",
    "token",
    "approval",
    "resize",
    "ephemeralcontainers",
    "finalize",
    "nope",
    "%00",
];
const MEDIA: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
    "text/plain",
    "",
    "application/json; charset=utf-8",
    "*/*",
    "application/cbor",
    "multipart/form-data; boundary=x",
    ";;;",
];
const ACCEPT: &[&str] = &[
    "application/json",
    "*/*",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "text/html",
    "",
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
    "application/json;as=Nope;v=v9;g=x",
    ";q=0,,",
    "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
];
const PARAMETERS: &[&str] = &[
    "fieldManager",
    "fieldValidation",
    "dryRun",
    "force",
    "pretty",
    "limit",
    "continue",
    "labelSelector",
    "fieldSelector",
    "resourceVersionMatch",
    "propagationPolicy",
    "gracePeriodSeconds",
    "orphanDependents",
    "allowWatchBookmarks",
    "sendInitialEvents",
    "includeObject",
    "resourceVersion",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "nope",
];
const VALUES: &[&str] = &[
    "",
    "m",
    "Strict",
    "Warn",
    "Ignore",
    "All",
    "true",
    "false",
    "1",
    "0",
    "-1",
    "x=y,z!=1",
    "metadata.name=a",
    "a in (b,c)",
    "(((",
    "%00",
    "NotOlderThan",
    "Exact",
    "Foreground",
    "Orphan",
    "99999999999999999999",
    "%F0%9F%92%A9",
    "a%0Ab",
    "==,,!",
    "None",
    "eyJ2IjoibWV0YSJ9",
];
const PLAIN: &[&str] = &[
    "/",
    "/api",
    "/apis",
    "/version",
    "/healthz",
    "/readyz",
    "/livez/ping",
    "/openapi/v2",
    "/openapi/v3",
    "/openapi/v3/apis/apps/v1",
    "/metrics",
    "/apis/apps",
    "/apis/apps/v1",
    "/api/v1",
    "/api/v9",
    "/apis/nope/v1/things",
    "/api/v1/namespaces//pods",
    "//",
    "/api/v1/watch",
    "/.well-known/openid-configuration",
    "/api/v1/pods/a/b/c/d/e",
    "/apis/%00/v1/x",
    "/debug/pprof/",
    "/logs/",
    "/static",
];

/// The request of a number.
pub fn bad(seed: u64) -> Bad {
    let mut rng = StdRng::seed_from_u64(seed);
    let rng = &mut rng;
    if rng.random_ratio(1, 20) {
        let mut path = (*pick(rng, PLAIN)).to_owned();
        query(rng, &mut path);
        return Bad {
            method: pick(rng, METHODS),
            path,
            headers: headers(rng, "application/json"),
            body: noise(rng, 64),
        };
    }
    let resources = model().resources();
    let resource = loop {
        let found = &resources[rng.random_range(0..resources.len())];
        if !LEFT_OUT.contains(&found.plural.as_str()) {
            break found;
        }
    };
    let mut path = format!("/{}", resource.group_path());
    if resource.namespaced != rng.random_ratio(1, 30) {
        path.push_str("/namespaces/");
        path.push_str(if rng.random_ratio(1, 12) { pick(rng, ODD) } else { "default" });
    }
    path.push('/');
    path.push_str(if rng.random_ratio(1, 40) { pick(rng, ODD) } else { &resource.plural });
    let named = rng.random_ratio(7, 10);
    let method = match rng.random_range(0..20) {
        0 => pick(rng, METHODS),
        at if named => ["GET", "PUT", "PATCH", "PATCH", "PATCH", "DELETE"][at % 6],
        at => ["POST", "POST", "POST", "GET", "POST", "DELETE"][at % 6],
    };
    let name = if rng.random_ratio(1, 15) { pick(rng, ODD) } else { pick(rng, NAMES) };
    if named {
        path.push('/');
        path.push_str(name);
        if rng.random_ratio(1, 6) {
            path.push('/');
            let own = resource.subresources.choose(rng).map(|sub| sub.name.as_str());
            // Streams need a node to speak to.
            let own =
                own.filter(|name| !matches!(*name, "exec" | "attach" | "portforward" | "proxy" | "log"));
            let own = own.filter(|_| rng.random_ratio(4, 5));
            path.push_str(own.unwrap_or_else(|| pick(rng, SUBRESOURCES)));
        }
    }
    query(rng, &mut path);
    let fitting = match method {
        "PATCH" => pick(rng, &MEDIA[3..7]),
        _ => pick(rng, &MEDIA[..3]),
    };
    let body = if matches!(method, "GET" | "HEAD" | "OPTIONS") {
        Vec::new()
    } else {
        body(rng, resource, name, fitting)
    };
    Bad { method, path, headers: headers(rng, fitting), body }
}

fn pick(rng: &mut StdRng, from: &[&'static str]) -> &'static str {
    from[rng.random_range(0..from.len())]
}

fn noise(rng: &mut StdRng, max: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..max)];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn query(rng: &mut StdRng, path: &mut String) {
    let mut separator = '?';
    while rng.random_ratio(1, 3) {
        path.push(separator);
        separator = '&';
        let name = pick(rng, PARAMETERS);
        path.push_str(name);
        path.push('=');
        // A version the server has not reached is waited for.
        path.push_str(if name == "resourceVersion" {
            pick(rng, &["0", "1", "x", "-1", ""])
        } else {
            pick(rng, VALUES)
        });
    }
    if separator == '?' && rng.random_ratio(1, 2) {
        path.push_str("?fieldManager=m");
    }
}

fn headers(rng: &mut StdRng, fitting: &str) -> Vec<(&'static str, String)> {
    let media = if rng.random_ratio(1, 10) { pick(rng, MEDIA) } else { fitting };
    let mut headers = vec![("content-type", media.to_owned())];
    if rng.random_ratio(1, 3) {
        headers.push(("accept", pick(rng, ACCEPT).to_owned()));
    }
    if rng.random_ratio(1, 20) {
        let name = *[
            "user-agent",
            "impersonate-user",
            "accept-encoding",
            "if-match",
            "content-encoding",
            "x-remote-user",
        ]
        .choose(rng)
        .unwrap_or(&"x");
        headers
            .push((name, pick(rng, &["kubectl/v1", "gzip", "", "system:nobody", "\u{e9}", "*"]).to_owned()));
    }
    headers
}

/// A body that was once right: an object of the kind or a patch of it, with values and bytes changed here and there.
fn body(rng: &mut StdRng, resource: &api_model::Resource, name: &str, media: &str) -> Vec<u8> {
    if rng.random_ratio(1, 2000) {
        return vec![b'['; rng.random_range(1..(3 << 20) + 2)];
    }
    let seed = noise(rng, 300);
    let mut choices = Choices(&seed);
    let stray = if media.contains("strategic") {
        Stray::Directives
    } else {
        *[Stray::Never, Stray::Values].choose(rng).unwrap_or(&Stray::Never)
    };
    let mut value = if media.contains("json-patch") {
        operations(rng, &mut choices)
    } else {
        object(resource, &mut choices, stray)
    };
    if value.is_object() && rng.random_ratio(9, 10) {
        if !value["metadata"].is_object() {
            value["metadata"] = serde_json::json!({});
        }
        value["metadata"]["name"] = name.into();
        if let Value::Object(metadata) = &mut value["metadata"]
            && rng.random_ratio(9, 10)
        {
            // Else nearly all are refused for them.
            for field in ["resourceVersion", "namespace", "uid", "deletionTimestamp", "finalizers"] {
                metadata.remove(field);
            }
        }
    }
    let mut bytes = match media {
        "application/vnd.kubernetes.protobuf" => {
            api_model::protobuf::encode(model(), &value).unwrap_or_else(|_| value.to_string().into_bytes())
        }
        _ => value.to_string().into_bytes(),
    };
    if rng.random_ratio(1, 4) && !bytes.is_empty() {
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..4) {
                0 => bytes[at] = rng.random(),
                1 => bytes.truncate(at + 1),
                2 => bytes.insert(at, *b"{}[]\",:\\0x \n".choose(rng).unwrap_or(&0)),
                _ => {
                    let part = bytes[at..bytes.len().min(at + 16)].to_vec();
                    bytes.extend(part);
                }
            }
        }
    }
    bytes
}

fn operations(rng: &mut StdRng, choices: &mut Choices<'_>) -> Value {
    let paths = [
        "/metadata/labels",
        "/metadata/name",
        "/spec",
        "/spec/replicas",
        "/data",
        "/data/a",
        "/status",
        "/metadata/finalizers/-",
        "",
        "/x/0",
        "nope",
    ];
    let kinds = ["add", "remove", "replace", "move", "copy", "test", "swap"];
    let one = |rng: &mut StdRng, choices: &mut Choices<'_>| serde_json::json!({"op": pick(rng, &kinds), "path": pick(rng, &paths), "from": pick(rng, &paths), "value": any(choices, 4)});
    (0..rng.random_range(0..6)).map(|_| one(rng, choices)).collect()
}
