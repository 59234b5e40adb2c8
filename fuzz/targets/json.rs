//! JSON of clients: read as serde reads it, judged without harm.

#![no_main]

use api_model::decode::{self, Document};
use lazurite_fuzz::model;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let read = decode::json(data);
    let plain = serde_json::from_slice::<Value>(data);
    let Ok(read) = read else {
        assert!(plain.is_err(), "refused, but it is JSON");
        return;
    };
    assert_eq!(Some(&read.value), plain.ok().as_ref());
    let document = Document::json(data).expect("it was read before");
    assert_eq!(read.repeated, !decode::repeated_json(&document).is_empty());
    let text = |key: &str| read.value.get(key).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let Some(resource) = model().by_kind(group, version, text("kind")) else { return };
    let unknown = decode::unknown_and_repeated(&resource.schema, &document);
    let mut object = read.value.clone();
    let misfit = decode::misfit(&resource.schema, &object);
    let pruned = resource.schema.prune(&mut object);
    if misfit.is_none() && !pruned.is_empty() {
        assert!(!unknown.is_empty(), "{pruned:?}");
    }
    resource.schema.default(&mut object);
    let mut again = object.clone();
    resource.schema.default(&mut again);
    assert_eq!(object, again, "defaults are not stable");
    let _ = resource.schema.validate(&object);
    let _ = api_model::validation::validate_create(resource, &object);
});
