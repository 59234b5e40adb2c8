//! What may be done to a repository, a tag or a manifest: Azure's `changeableAttributes`, by which images are locked.

use serde_json::{Value, json};

use super::errors::Failure;
use super::store::{Stored, hex_of};

/// A thing that can be forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    Delete,
    Write,
    Read,
}

impl Right {
    fn name(self) -> &'static str {
        match self {
            Right::Delete => "deleteEnabled",
            Right::Write => "writeEnabled",
            Right::Read => "readEnabled",
        }
    }
}

const NAMES: [&str; 4] = ["deleteEnabled", "writeEnabled", "readEnabled", "listEnabled"];

/// The file's name for an object: a tag, a digest, or the repository itself (empty).
fn file(object: &str) -> String {
    match (object, hex_of(object)) {
        ("", _) => "repository".to_owned(),
        (_, Some(hex)) => format!("manifest-{hex}"),
        (tag, None) => format!("tag-{tag}"),
    }
}

/// The attributes of an object, as they are shown.
pub(super) fn rights(store: &Stored, repository: &str, object: &str) -> Result<Value, Failure> {
    let stored = store.attributes(repository, &file(object))?;
    let stored: Value = stored.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let right = |name: &str| stored.get(name).and_then(Value::as_bool).unwrap_or(true);
    Ok(json!(NAMES.iter().map(|name| (*name, right(name))).collect::<std::collections::BTreeMap<_, _>>()))
}

/// Changes attributes; those that are not named stay.
pub(super) fn change(store: &Stored, repository: &str, object: &str, body: &[u8]) -> Result<(), Failure> {
    let invalid = || {
        Failure::new(
            http::StatusCode::BAD_REQUEST,
            "METADATA_INVALID",
            "the attributes are not JSON of booleans",
        )
    };
    let given: Value = serde_json::from_slice(body).map_err(|_| invalid())?;
    let mut now = rights(store, repository, object)?;
    for (name, value) in given.as_object().ok_or_else(invalid)? {
        if NAMES.contains(&name.as_str()) {
            now[name] = json!(value.as_bool().ok_or_else(invalid)?);
        }
    }
    store.set_attributes(repository, &file(object), now.to_string().as_bytes())?;
    Ok(())
}

/// Refuses what is forbidden to an object, to the manifest it points to, or to the whole repository.
pub(super) fn require(store: &Stored, repository: &str, object: &str, right: Right) -> Result<(), Failure> {
    let pointed = match hex_of(object) {
        None if !object.is_empty() => store.manifest(repository, object)?.map(|manifest| manifest.digest),
        _ => None,
    };
    for object in ["", object].into_iter().chain(pointed.as_deref()) {
        if rights(store, repository, object)?[right.name()] == json!(false) {
            return Err(Failure::new(
                http::StatusCode::METHOD_NOT_ALLOWED,
                "UNSUPPORTED",
                "The operation is disallowed on this registry, repository or image. View troubleshooting steps at https://aka.ms/acr/faq/#why-does-my-pull-or-push-request-fail-with-disallowed-operation",
            ));
        }
    }
    Ok(())
}
