//! Bodies of bad requests: what was once right, with values and bytes changed here and there.

use api_model::Resource;
use rand::Rng;
use rand::RngCore;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};

use super::requests::{MODEL, pick};
use crate::made::{Choices, Stray, any, object};

/// One more byte than a body may have.
const LARGE_BYTES: usize = (3 << 20) + 2;

pub fn noise(rng: &mut StdRng, max: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..max)];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// An object of the kind or a patch of it.
pub fn body(rng: &mut StdRng, resource: &Resource, name: &str, media: &str) -> Vec<u8> {
    if rng.random_ratio(1, 2000) {
        return vec![b'['; rng.random_range(1..LARGE_BYTES)];
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
        called(rng, &mut value, name);
    }
    written(rng, &value, media)
}

/// Gives it a name, and takes what nearly all would be refused for.
fn called(rng: &mut StdRng, value: &mut Value, name: &str) {
    if !value["metadata"].is_object() {
        value["metadata"] = json!({});
    }
    value["metadata"]["name"] = name.into();
    if let Value::Object(metadata) = &mut value["metadata"]
        && rng.random_ratio(9, 10)
    {
        for field in ["resourceVersion", "namespace", "uid", "deletionTimestamp", "finalizers"] {
            metadata.remove(field);
        }
    }
}

/// A value in a form, more or less.
pub fn written(rng: &mut StdRng, value: &Value, media: &str) -> Vec<u8> {
    let mut bytes = match media {
        "application/vnd.kubernetes.protobuf" => {
            api_model::protobuf::encode(&MODEL, value).unwrap_or_else(|_| value.to_string().into_bytes())
        }
        _ => value.to_string().into_bytes(),
    };
    match rng.random_range(0..40) {
        // An envelope around nothing, and what is said to be compressed.
        0 => bytes = [b"k8s\0".as_slice(), &noise(rng, 200)].concat(),
        1 => bytes = [b"\x1f\x8b\x08\0".as_slice(), &noise(rng, 200)].concat(),
        2..=11 if !bytes.is_empty() => garble(rng, &mut bytes),
        _ => {}
    }
    bytes
}

fn garble(rng: &mut StdRng, bytes: &mut Vec<u8>) {
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
    let one = |rng: &mut StdRng, choices: &mut Choices<'_>| json!({"op": pick(rng, &kinds), "path": pick(rng, &paths), "from": pick(rng, &paths), "value": any(choices, 4)});
    (0..rng.random_range(0..6)).map(|_| one(rng, choices)).collect()
}
